//! Compresses the files of `src/web`, which `src/control/page/assets.rs` includes, once for each
//! build instead of at each start of the server. Comments of scripts and styles stay behind: they are
//! half of the text. The same files make the same bytes.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, Crc};

const FOLDER: &str = "src/web";

fn main() -> io::Result<()> {
    // Cargo looks into the folder and all below it.
    println!("cargo::rerun-if-changed={FOLDER}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut files = files_in(Path::new(FOLDER))?;
    files.sort();
    let mut all = Crc::new();
    let mut list = String::new();
    for (number, file) in files.iter().enumerate() {
        let plain = match file.extension().and_then(|extension| extension.to_str()) {
            Some("js" | "css") => without_comments(&fs::read_to_string(file)?).into_bytes(),
            _ => fs::read(file)?,
        };
        all.update(&plain);
        let compressed = format!("{number}.gz");
        fs::write(out.join(&compressed), gzip(&plain)?)?;
        let name = file.strip_prefix(FOLDER).ok().and_then(Path::to_str);
        let name = name.ok_or_else(|| io::Error::other("a file name that is not UTF-8"))?;
        let length = plain.len();
        _ = writeln!(
            list,
            "Asset {{ name: {name:?}, length: {length}, gzip: include_bytes!({compressed:?}) }},"
        );
    }
    let version = all.sum();
    fs::write(
        out.join("assets.rs"),
        format!("Assets {{ all: &[\n{list}], version: \"{version:08x}\" }}\n"),
    )
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Empties the lines that are comments and nothing else. All others keep their numbers, so that a
/// browser names the place of an error as it is in the source.
fn without_comments(text: &str) -> String {
    let mut is_inside = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let bare = line.trim();
        let is_comment = is_inside || bare.starts_with("//") || bare.starts_with("/*");
        let ends = bare.ends_with("*/");
        // A comment before code, such as the type of an expression, stays.
        let has_code = !is_inside && bare.starts_with("/*") && bare.contains("*/") && !ends;
        if !is_comment || has_code {
            kept.push_str(line);
        } else if !bare.starts_with("//") || is_inside {
            is_inside = !ends;
        }
        kept.push('\n');
    }
    kept
}

/// The header of the result has neither a time nor a name.
fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}
