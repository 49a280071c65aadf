//! The files of `src/web`, as the build script compressed them.

use std::io::{Read, Write};
use std::iter;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use hyper::body::Bytes;

/// All files of the page, embedded at compile time: what is served never depends on the working
/// directory.
pub(super) static ASSETS: Assets = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The size of the pieces of an uncompressed file, in bytes.
const PIECE: usize = 8 * 1024;

/// The files of the page.
pub(super) struct Assets {
    pub(super) all: &'static [Asset],
    /// Eight hexadecimal digits, which change with any of the files.
    pub(super) version: &'static str,
}

/// A file, embedded in the form in which nearly every browser takes it.
pub(super) struct Asset {
    /// Its path below `src/web`, such as `media/ogg.js`.
    pub(super) name: &'static str,
    pub(super) gzip: &'static [u8],
}

impl Assets {
    pub(super) fn find(&self, name: &str) -> Option<&Asset> {
        self.all.iter().find(|asset| asset.name == name)
    }
}

impl Asset {
    /// The file uncompressed, in pieces: for clients that do not take gzip.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Bytes> + use<> {
        let mut decoder = GzDecoder::new(self.gzip);
        iter::from_fn(move || {
            let mut piece = vec![0; PIECE];
            // What the build compressed can be decompressed: a test does it with every file.
            let length = decoder.read(&mut piece).unwrap_or_default();
            piece.truncate(length);
            (length > 0).then(|| piece.into())
        })
    }

    /// The same as a whole: for documents.
    pub(super) fn plain(&self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }
}

/// The type of the file `name`.
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/javascript; charset=utf-8",
    }
}

/// Compresses a document, which differs from request to request.
pub(super) fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// The scripts that are no modules.
    const SCRIPTS: [&str; 3] = ["start.js", "player.js", "service-worker.js"];

    fn text(asset: &Asset) -> String {
        String::from_utf8(asset.plain()).unwrap()
    }

    fn files_in(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn all_of_it_is_under_60_kib() {
        // A listener does not load the operator's page.
        let of_listeners = ASSETS.all.iter().filter(|asset| !asset.name.starts_with("operator"));
        let sum: usize = of_listeners.map(|asset| asset.gzip.len()).sum();
        println!("{sum} bytes compressed");
        assert!(sum > 10 * 1024, "nothing was looked at: {sum}");
        assert!(sum < 60 * 1024, "{sum}");
    }

    #[test]
    fn every_file_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let [bundle, operator] =
            ["scripts.js", "operator.js"].map(|name| text(ASSETS.find(name).unwrap()));
        let mut count = 0;
        for path in files_in(&folder) {
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
            let content = std::fs::read(&path).unwrap();
            let Ok(source) = String::from_utf8(content.clone()) else {
                assert_eq!(ASSETS.find(&name).expect(&name).plain(), content, "{name}");
                continue;
            };
            let is_module = content_type(&name).starts_with("text/javascript")
                && !SCRIPTS.contains(&name.as_str());
            let embedded = if is_module {
                let bundle = if name.starts_with("operator/") { &operator } else { &bundle };
                let (_, rest) = bundle.split_once(&format!("\n\"{name}\"() {{\n")).expect(&name);
                rest.split(".js\"() {\n").next().unwrap().to_owned()
            } else {
                text(ASSETS.find(&name).expect(&name))
            };
            // Line by line; indentation and comments are left out, and imports and exports have another form.
            let mut kept = embedded.lines();
            for line in source.lines() {
                let bare = line.trim();
                let marks = ["//", "/*", "*"];
                let is_comment =
                    line.contains("/** @") || marks.iter().any(|mark| bare.starts_with(mark));
                let is_linkage = is_module
                    && (["import ", "export "].iter().any(|mark| line.starts_with(mark))
                        || line.contains("import(\""));
                if bare.is_empty() || is_comment || is_linkage {
                    continue;
                }
                assert!(kept.any(|kept| kept == bare), "{name}: {line}");
                count += 1;
            }
        }
        assert!(count > 3000, "nothing was looked at: {count}");
    }

    #[test]
    fn comments_are_not_sent() {
        for name in ["scripts.js", "operator.js", "style.css"].iter().chain(&SCRIPTS) {
            for line in text(ASSETS.find(name).unwrap()).lines() {
                let bare = line.trim_start();
                assert!(!bare.starts_with("//") && bare != "/**", "{name}: {line}");
            }
        }
    }

    #[test]
    fn whatever_a_file_refers_to_exists_and_is_here() {
        let mut found = 0;
        for asset in ASSETS.all.iter().filter(|asset| content_type(asset.name) != "image/png") {
            let (name, text) = (asset.name, text(asset));
            // Namespaces are names, not addresses.
            let bare = text.replace("http://www.w3.org/2000/svg", "");
            for external in ["http://", "https://", "\"//", "'//", "url("] {
                assert!(!bare.contains(external), "{name} has {external}");
            }
            let quoted = |opening: &'static str| {
                text.split(opening).skip(1).map(|rest| rest.split('"').next().unwrap())
            };
            // Modules are named in the file that has all of them; documents refer to files below their own
            // address.
            for module in quoted("need(\"") {
                assert!(text.contains(&format!("\n\"{module}\"() {{\n")), "{name} needs {module}");
                found += 1;
            }
            for file in quoted("\"web/").chain(quoted("\"../web/")) {
                assert!(ASSETS.find(file).is_some(), "{name} refers to {file}");
                found += 1;
            }
            assert!(
                !text.contains("style=") && !text.contains(" onclick"),
                "{name} has inline code"
            );
        }
        assert!(found > 30, "nothing was looked at: {found}");
    }
}
