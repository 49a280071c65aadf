//! The listening page: its files, which are in the program itself.
//!
//! [`asset`] is a pure function from a request's path and header fields to an answer. Files are compressed once,
//! at the start. The documents name the others under a path that changes with their content, so a browser keeps
//! those for ever and asks after the documents only. Nothing here comes from, or points to, another server.

use std::io::Write;
use std::sync::LazyLock;

use crc::{CRC_32_ISO_HDLC, Crc};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::url_path;

/// What a file is called and what is in it.
macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../web/", $name)))
    };
}

const FILES: [(&str, &[u8]); 31] = [
    file!("asking.js"),
    file!("clock.js"),
    file!("embed.html"),
    file!("embed.js"),
    file!("history.js"),
    file!("icon.svg"),
    file!("index.html"),
    file!("instrument.js"),
    file!("list.js"),
    file!("listening.js"),
    file!("memory.js"),
    file!("meter.js"),
    file!("mounts.js"),
    file!("mp4.js"),
    file!("ogg.js"),
    file!("opus.js"),
    file!("pace.js"),
    file!("page.js"),
    file!("palette.js"),
    file!("picture.js"),
    file!("player.js"),
    file!("qr.js"),
    file!("scale.js"),
    file!("session.js"),
    file!("sharing.js"),
    file!("sound.js"),
    file!("spectrogram.js"),
    file!("stream.js"),
    file!("style.css"),
    file!("webm.js"),
    file!("words.js"),
];

/// Where the documents want the microphones for browsers without scripts.
const MICROPHONES: &str = "<!-- microphones -->";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// Everything from here, no script or style within a document, and frames for whom they are meant.
macro_rules! policy {
    ($ancestors:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors ",
            $ancestors
        )
    };
}

/// A microphone that a browser without scripts can play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Microphone<'a> {
    /// Its mount, with the leading slash.
    pub mount: &'a str,
    /// What people call it.
    pub title: &'a str,
}

/// A file as it is sent.
struct Shelved {
    name: &'static str,
    kind: &'static str,
    plain: Bytes,
    gzip: Bytes,
}

struct Shelf {
    files: Vec<Shelved>,
    /// Changes with any of the files.
    version: String,
}

static SHELF: LazyLock<Shelf> = LazyLock::new(|| {
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    let files = FILES.map(|(name, content)| {
        digest.update(content);
        Shelved {
            name,
            kind: kind(name),
            plain: Bytes::from_static(content),
            gzip: gzip(content, Compression::best()),
        }
    });
    Shelf { files: files.into(), version: format!("{:08x}", digest.finalize()) }
});

/// Compresses the files, so that nobody has to wait for it later.
pub(crate) fn prepare() {
    LazyLock::force(&SHELF);
}

/// Whether there is a document at `path`, which lists microphones.
pub(crate) fn is_document(path: &str) -> bool {
    matches!(path, "/" | "/embed")
}

/// The answer to a request for `path` (without any prefix) if it is one of the page's, and `None` if not.
///
/// `microphones` are those for browsers without scripts.
pub(crate) fn asset(
    path: &str,
    fields: &HeaderMap,
    microphones: &[Microphone<'_>],
) -> Option<Response<Full<Bytes>>> {
    let compressed = accepts_gzip(fields);
    let (body, kind, cache, policy) = match path {
        "/" | "/embed" => {
            let (name, policy) = if path == "/" {
                ("index.html", policy!("'self'"))
            } else {
                ("embed.html", policy!("*"))
            };
            let text = document(name, microphones)?;
            let body =
                if compressed { gzip(text.as_bytes(), Compression::fast()) } else { text.into() };
            (body, kind(name), ASK_AGAIN, policy)
        }
        _ => {
            let rest = path.strip_prefix("/web/")?;
            let (version, name) = rest.split_once('/').unwrap_or(("", rest));
            // Of another version comes what there is now; but a document is no asset.
            let file = find(name).filter(|file| !file.kind.starts_with("text/html"))?;
            let current = version == SHELF.version;
            let body = if compressed { &file.gzip } else { &file.plain };
            let cache = if current { FOR_EVER } else { ASK_AGAIN };
            (body.clone(), file.kind, cache, policy!("'self'"))
        }
    };
    let tag = tag(&body, compressed);
    let known = fields.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &tag));
    let mut response = Response::new(Full::new(if known { Bytes::new() } else { body }));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let mut say = |field: HeaderName, value: &'static str| {
        response.headers_mut().insert(field, HeaderValue::from_static(value));
    };
    say(CONTENT_TYPE, kind);
    say(CACHE_CONTROL, cache);
    say(CONTENT_SECURITY_POLICY, policy);
    say(X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(REFERRER_POLICY, "no-referrer");
    say(VARY, "Accept-Encoding");
    if compressed && !known {
        say(CONTENT_ENCODING, "gzip");
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Some(response)
}

fn find(name: &str) -> Option<&'static Shelved> {
    SHELF.files.iter().find(|file| file.name == name)
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

/// A document with the present files and microphones in it.
fn document(name: &str, microphones: &[Microphone<'_>]) -> Option<String> {
    let text = std::str::from_utf8(&find(name)?.plain).ok()?;
    let listed: String = microphones.iter().map(listing).collect();
    let versioned = format!("\"web/{}/", SHELF.version);
    Some(text.replace("\"web/", &versioned).replace(MICROPHONES, &listed))
}

fn listing(microphone: &Microphone<'_>) -> String {
    let path = url_path(microphone.mount.trim_start_matches('/'));
    let title = escape(microphone.title);
    format!(
        "<p><a href=\"{path}\">{title}</a><audio controls preload=none src=\"{path}\"></audio></p>"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn gzip(content: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    // Writing to memory cannot fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default().into()
}

fn accepts_gzip(fields: &HeaderMap) -> bool {
    let mut codings = fields
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let never =
            weight.replace(' ', "").trim_start_matches("q=0").chars().all(|c| c == '0' || c == '.');
        name.trim().eq_ignore_ascii_case("gzip") && (weight.is_empty() || !never)
    })
}

fn tag(body: &[u8], compressed: bool) -> String {
    let sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(body);
    format!("\"{sum:08x}{}\"", if compressed { "-gzip" } else { "" })
}

/// Whether `If-None-Match` names this tag.
fn names(known: &HeaderValue, tag: &str) -> bool {
    known.to_str().is_ok_and(|known| {
        known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use http_body_util::BodyExt;

    use super::*;

    fn get(path: &str, fields: &[(HeaderName, &str)]) -> Option<(Response<()>, Vec<u8>)> {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let microphones = [Microphone { mount: "/a b/mic:1.opus", title: "<b> & \"co\"" }];
        let (head, body) = asset(path, &fields.collect(), &microphones)?.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes().to_vec();
        Some((Response::from_parts(head, ()), body))
    }

    fn text(name: &str) -> &'static str {
        std::str::from_utf8(&find(name).unwrap().plain).unwrap()
    }

    #[test]
    fn all_of_it_is_under_60_kib() {
        let sum: usize = SHELF.files.iter().map(|file| file.gzip.len()).sum();
        println!("{sum} bytes compressed");
        assert!(sum > 10 * 1024, "nothing was looked at: {sum}");
        assert!(sum < 60 * 1024, "{sum}");
    }

    #[test]
    fn every_file_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let there: BTreeSet<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(there, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn whatever_a_file_refers_to_exists_and_is_here() {
        let mut found = 0;
        for (name, _) in FILES {
            let text = text(name);
            // Namespaces are names, not addresses.
            let bare = text.replace("http://www.w3.org/2000/svg", "");
            for external in ["http://", "https://", "\"//", "'//", "url("] {
                assert!(!bare.contains(external), "{name} has {external}");
            }
            for reference in ["from \"./", "import \"./", "\"web/"] {
                for rest in text.split(reference).skip(1) {
                    let file = rest.split('"').next().unwrap();
                    assert!(find(file).is_some(), "{name} refers to {file}");
                    found += 1;
                }
            }
            assert!(
                !text.contains("style=") && !text.contains(" onclick"),
                "{name} has inline code"
            );
        }
        assert!(found > 30, "nothing was looked at: {found}");
    }

    #[test]
    fn a_document_names_files_that_can_be_kept_for_ever() {
        let (head, body) = get("/", &[]).unwrap();
        assert_eq!(head.headers()[CACHE_CONTROL], ASK_AGAIN);
        let body = String::from_utf8(body).unwrap();
        let script = body.split("src=\"").find_map(|rest| rest.split_once(".js\"")).unwrap().0;
        let (head, _) = get(&format!("/{script}.js"), &[]).unwrap();
        assert_eq!(head.headers()[CACHE_CONTROL], FOR_EVER);
        let (head, _) = get("/web/00000000/page.js", &[]).unwrap();
        assert_eq!(head.headers()[CACHE_CONTROL], ASK_AGAIN, "of another version");
        for none in
            ["/web/", "/web/none.js", "/web/index.html", "/web/a/b/page.js", "/embed/", "/x"]
        {
            assert!(get(none, &[]).is_none(), "{none}");
        }
    }

    #[test]
    fn compressed_or_not_it_is_the_same() {
        let (plain, content) = get("/web/page.js", &[]).unwrap();
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        for (accepted, compressed) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("GZIP", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
        ] {
            let (head, body) = get("/web/page.js", &[(ACCEPT_ENCODING, accepted)]).unwrap();
            assert_eq!(head.headers().contains_key(CONTENT_ENCODING), compressed, "{accepted}");
            if compressed {
                let mut decoder = flate2::write::GzDecoder::new(Vec::new());
                decoder.write_all(&body).unwrap();
                assert_eq!(decoder.finish().unwrap(), content);
                assert_ne!(head.headers()[ETAG], plain.headers()[ETAG]);
            }
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        for path in ["/", "/embed", "/web/style.css"] {
            let (head, _) = get(path, &[]).unwrap();
            let tag = head.headers()[ETAG].to_str().unwrap();
            let (head, body) = get(path, &[(IF_NONE_MATCH, &format!("W/\"x\", W/{tag}"))]).unwrap();
            assert_eq!((head.status(), body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
            let (head, body) = get(path, &[(IF_NONE_MATCH, "\"other\"")]).unwrap();
            assert_eq!((head.status(), body.is_empty()), (StatusCode::OK, false), "{path}");
        }
    }

    #[test]
    fn microphones_for_browsers_without_scripts_are_escaped() {
        for path in ["/", "/embed"] {
            let body = String::from_utf8(get(path, &[]).unwrap().1).unwrap();
            let listed = "<p><a href=\"a%20b/mic%3A1.opus\">&lt;b&gt; &amp; &quot;co&quot;</a>";
            assert!(body.contains(listed), "{path}: {body}");
            assert!(!body.contains(MICROPHONES));
        }
    }

    #[test]
    fn only_the_embedded_player_may_be_framed_elsewhere() {
        for (path, ancestors) in [("/", "'self'"), ("/embed", "*"), ("/web/icon.svg", "'self'")] {
            let (head, _) = get(path, &[]).unwrap();
            let policy = head.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; "), "{policy}");
            assert!(policy.ends_with(&format!("frame-ancestors {ancestors}")), "{policy}");
            assert_eq!(head.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }
}
