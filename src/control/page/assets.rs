//! The files of `src/web`, as the build script compressed them.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use hyper::body::Bytes;

/// All files of the page, embedded at compile time: what is served never depends on the working
/// directory.
pub(super) static ASSETS: Assets = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

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
    /// How many bytes it has uncompressed.
    length: usize,
    pub(super) gzip: &'static [u8],
}

impl Assets {
    pub(super) fn find(&self, name: &str) -> Option<&Asset> {
        self.all.iter().find(|asset| asset.name == name)
    }
}

impl Asset {
    /// The file as it is in `src/web`, without its comments: for documents, and for clients that do not
    /// take gzip.
    pub(super) fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(self.length);
        // What the build compressed can be decompressed: a test does it with every file.
        let _ = GzDecoder::new(self.gzip).read_to_end(&mut plain);
        plain
    }
}

/// The type of the file `name`.
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
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
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::control::SOURCE_TEXT;

    fn text(asset: &Asset) -> String {
        String::from_utf8(asset.plain()).unwrap()
    }

    fn files_in(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
    }

    /// The name of what `reference` means in the file `name`.
    fn resolve(name: &str, reference: &str) -> String {
        let mut segments: Vec<_> = name.split('/').collect();
        segments.pop();
        for segment in reference.split('/') {
            match segment {
                "." => {}
                ".." => drop(segments.pop().unwrap()),
                segment => segments.push(segment),
            }
        }
        segments.join("/")
    }

    #[test]
    fn all_of_it_is_under_60_kib() {
        let sum: usize = ASSETS.all.iter().map(|asset| asset.gzip.len()).sum();
        println!("{sum} bytes compressed");
        assert!(sum > 10 * 1024, "nothing was looked at: {sum}");
        assert!(sum < 60 * 1024, "{sum}");
    }

    #[test]
    fn every_file_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let there: BTreeMap<_, _> = files_in(&folder)
            .into_iter()
            .map(|path| {
                let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        let embedded: BTreeMap<_, _> =
            ASSETS.all.iter().map(|asset| (asset.name.to_owned(), text(asset))).collect();
        assert!(there.keys().eq(embedded.keys()));
        for ((name, source), embedded) in there.iter().zip(embedded.values()) {
            assert_eq!(source.lines().count(), embedded.lines().count(), "{name}");
            for (number, (line, kept)) in source.lines().zip(embedded.lines()).enumerate() {
                let bare = line.trim_start();
                let is_comment = ["//", "/*", "*"].iter().any(|mark| bare.starts_with(mark));
                let place = format!("{name}:{}", number + 1);
                assert!(kept == line || (kept.is_empty() && is_comment), "{place}: {line}");
                assert!(!kept.trim_start().starts_with("//"), "{place}: {line}");
            }
        }
    }

    #[test]
    fn a_file_takes_no_more_memory_than_a_request_may() {
        for asset in ASSETS.all {
            assert_eq!(asset.plain().len(), asset.length, "{}", asset.name);
            assert!(asset.length <= SOURCE_TEXT, "{}: {} bytes", asset.name, asset.length);
        }
    }

    #[test]
    fn whatever_a_file_refers_to_exists_and_is_here() {
        let mut found = 0;
        for asset in ASSETS.all {
            let (name, text) = (asset.name, text(asset));
            // Namespaces are names, not addresses.
            let bare = text.replace("http://www.w3.org/2000/svg", "");
            for external in ["http://", "https://", "\"//", "'//", "url("] {
                assert!(!bare.contains(external), "{name} has {external}");
            }
            let quoted = |opening: &'static str| {
                text.split(opening).skip(1).map(|rest| rest.split('"').next().unwrap())
            };
            // Modules refer to files beside them, documents to files below their own address.
            let modules = ["from \"", "import \"", "import(\""]
                .into_iter()
                .flat_map(quoted)
                .filter(|reference| reference.starts_with('.'))
                .map(|reference| resolve(name, reference));
            for file in modules.chain(quoted("\"web/").map(str::to_owned)) {
                assert!(ASSETS.find(&file).is_some(), "{name} refers to {file}");
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
