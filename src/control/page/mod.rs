//! The listening page, the embedded player and the operator's page: three documents, and the files that they refer to.
//!
//! [`asset`] is a pure function from a request's path and header fields to a response. The documents refer to the
//! files under a path that contains a version, which changes with their content: a browser caches the files for a
//! year and revalidates only the documents. Nothing here is loaded from, or links to, another server.

mod assets;
mod document;

use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::negotiation::{accepts_gzip, is_known, tag};
use super::response::{HttpResponse, streamed, whole};
use assets::{ASSETS, content_type, gzip};
pub(crate) use document::{Microphone, Shown};

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const FOR_A_DAY: &str = "public, max-age=86400";
const ASK_AGAIN: &str = "no-cache";
/// The icon of all pages, which is also the answer to `/favicon.ico`.
const ICON: &str = "icon.svg";

/// Everything is loaded from this server, documents have no inline scripts or styles, and `$ancestors` may frame them.
macro_rules! policy {
    ($ancestors:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
             media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors ",
            $ancestors
        )
    };
}

/// Whether the response for `path` is a document, which lists microphones.
pub(crate) fn is_document(path: &str) -> bool {
    matches!(path, "/" | "/embed")
}

/// The response to a request for `path` (without any prefix), or `None` if the page has nothing there.
///
/// Documents show the station's name, and its microphones for browsers without scripts.
pub(crate) fn asset(path: &str, fields: &HeaderMap, shown: Shown<'_>) -> Option<HttpResponse> {
    let compressed = accepts_gzip(fields);
    let (body, tag, content_type, cache, policy) = match path {
        "/" | "/embed" | "/admin/" => {
            let (name, policy) = match path {
                "/" => ("index.html", policy!("'self'")),
                "/admin/" => ("operator.html", policy!("'none'")),
                _ => ("embed.html", policy!("*")),
            };
            let text = document::render(name, shown)?;
            let body = if compressed { gzip(text.as_bytes()) } else { text.into() };
            let tag = tag(&body, compressed);
            (whole(body), tag, content_type(name), ASK_AGAIN, policy)
        }
        _ => {
            let is_favicon = path == "/favicon.ico";
            let (version, name) = match path {
                "/favicon.ico" => (None, ICON),
                "/service-worker.js" => (None, &path[1..]),
                _ => split_version(path.strip_prefix("/web/")?),
            };
            // A request for another version gets the current file. Documents have paths of their own.
            let content_type = content_type(name);
            let asset = ASSETS.find(name).filter(|_| !content_type.starts_with("text/html"))?;
            let body = if compressed {
                whole(Bytes::from_static(asset.gzip))
            } else {
                streamed(asset.pieces())
            };
            let cache = match version {
                Some(version) if version == ASSETS.version => FOR_EVER,
                _ if is_favicon => FOR_A_DAY,
                _ => ASK_AGAIN,
            };
            (body, tag(asset.gzip, compressed), content_type, cache, policy!("'self'"))
        }
    };
    let known = is_known(fields, &tag);
    let mut response = Response::new(if known { whole(Bytes::new()) } else { body });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let mut say = |field: HeaderName, value: &'static str| {
        response.headers_mut().insert(field, HeaderValue::from_static(value));
    };
    say(CONTENT_TYPE, content_type);
    say(CACHE_CONTROL, cache);
    say(CONTENT_SECURITY_POLICY, policy);
    say(X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(REFERRER_POLICY, "no-referrer");
    // A program gets `stats` at the path of the operator's page.
    say(VARY, if path == "/admin/" { "Accept, Accept-Encoding" } else { "Accept-Encoding" });
    if compressed && !known {
        say(CONTENT_ENCODING, "gzip");
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Some(response)
}

/// Splits a path below `/web/` into the version, if it begins with one, and the file's name.
fn split_version(path: &str) -> (Option<&str>, &str) {
    match path.split_once('/') {
        Some((version, name))
            if version.len() == 8 && version.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            (Some(version), name)
        }
        _ => (None, path),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::BodyExt;
    use hyper::header::{ACCEPT_ENCODING, IF_NONE_MATCH};

    use super::document::MICROPHONES;
    use super::*;

    fn get(path: &str, fields: &[(HeaderName, &str)]) -> Option<(Response<()>, Vec<u8>)> {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let microphones = [Microphone { mount: "/a b/mic:1.opus", title: "<b> & \"co\"".into() }];
        let shown = Shown { station: Some("Wood & pond"), microphones: &microphones };
        let (head, body) = asset(path, &fields.collect(), shown)?.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes().to_vec();
        Some((Response::from_parts(head, ()), body))
    }

    #[test]
    fn a_document_names_files_that_can_be_kept_for_ever() {
        let (head, body) = get("/", &[]).unwrap();
        assert_eq!(head.headers()[CACHE_CONTROL], ASK_AGAIN);
        let body = String::from_utf8(body).unwrap();
        let script = body.split("src=\"").find_map(|rest| rest.split_once(".js\"")).unwrap().0;
        let (head, _) = get(&format!("/{script}.js"), &[]).unwrap();
        assert_eq!(head.headers()[CACHE_CONTROL], FOR_EVER);
        let (head, _) = get("/web/00000000/scripts.js", &[]).unwrap();
        assert_eq!(head.headers()[CACHE_CONTROL], ASK_AGAIN, "of another version");
        for none in
            ["/web/", "/web/none.js", "/web/index.html", "/web/a/b/scripts.js", "/embed/", "/x"]
        {
            assert!(get(none, &[]).is_none(), "{none}");
        }
    }

    #[test]
    fn the_favicon_is_the_icon_of_the_pages() {
        let (head, icon) = get("/favicon.ico", &[]).unwrap();
        assert_eq!(head.headers()[CONTENT_TYPE], "image/svg+xml");
        assert_eq!(head.headers()[CACHE_CONTROL], FOR_A_DAY);
        assert_eq!(icon, get("/web/icon.svg", &[]).unwrap().1);
    }

    #[test]
    fn compressed_or_not_it_is_the_same() {
        let (plain, content) = get("/web/scripts.js", &[]).unwrap();
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        for (accepted, compressed) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("GZIP", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
        ] {
            let (head, body) = get("/web/scripts.js", &[(ACCEPT_ENCODING, accepted)]).unwrap();
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
    fn the_station_s_name_is_in_the_title_and_at_the_top() {
        let body = |path| String::from_utf8(get(path, &[]).unwrap().1).unwrap();
        assert!(body("/").contains("<title>Listen · Wood &amp; pond</title>"));
        assert!(body("/").contains("height=\"26\">Wood &amp; pond</p>"));
        assert!(body("/embed").contains("<title>Live sound · Wood &amp; pond</title>"));
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
