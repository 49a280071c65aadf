//! The files of `src/web`, embedded in the program and compressed once.

use std::io::Write;
use std::sync::LazyLock;

use crc::{CRC_32_ISO_HDLC, Crc};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use rust_embed::RustEmbed;

/// Embedded at compile time in every profile: what is served never depends on the working directory.
#[derive(RustEmbed)]
#[folder = "src/web"]
struct Embedded;

static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::compress);

/// A file in the forms in which it is sent.
pub(super) struct Asset {
    /// Its path below `src/web`, such as `media/ogg.js`.
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) plain: Bytes,
    pub(super) gzip: Bytes,
}

/// All files of the page.
pub(super) struct Assets {
    pub(super) all: Vec<Asset>,
    /// Eight hexadecimal digits, which change with any of the files.
    pub(super) version: String,
}

impl Assets {
    /// The first call compresses them.
    pub(super) fn get() -> &'static Self {
        &ASSETS
    }

    pub(super) fn find(&self, name: &str) -> Option<&Asset> {
        self.all.iter().find(|asset| asset.name == name)
    }

    fn compress() -> Self {
        let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
        let mut digest = crc.digest();
        let all = Embedded::iter()
            .filter_map(|name| {
                let plain = Bytes::from_owner(Embedded::get(&name)?.data);
                digest.update(&plain);
                let gzip = gzip(&plain, Compression::best());
                Some(Asset { content_type: content_type(&name), name: name.into(), plain, gzip })
            })
            .collect();
        Self { all, version: format!("{:08x}", digest.finalize()) }
    }
}

pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

pub(super) fn gzip(content: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    // Writing to memory cannot fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn text(asset: &Asset) -> &str {
        std::str::from_utf8(&asset.plain).unwrap()
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
        let sum: usize = Assets::get().all.iter().map(|asset| asset.gzip.len()).sum();
        println!("{sum} bytes compressed");
        assert!(sum > 10 * 1024, "nothing was looked at: {sum}");
        assert!(sum < 60 * 1024, "{sum}");
    }

    #[test]
    fn every_file_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let there: BTreeSet<_> = files_in(&folder)
            .into_iter()
            .map(|path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned())
            .collect();
        let embedded: BTreeSet<_> =
            Assets::get().all.iter().map(|asset| asset.name.clone()).collect();
        assert_eq!(there, embedded);
    }

    #[test]
    fn whatever_a_file_refers_to_exists_and_is_here() {
        let mut found = 0;
        let assets = Assets::get();
        for asset in &assets.all {
            let (name, text) = (asset.name.as_str(), text(asset));
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
                assert!(assets.find(&file).is_some(), "{name} refers to {file}");
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
