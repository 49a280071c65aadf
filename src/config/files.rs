//! Reads the files of a configuration.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The text of a configuration, or of a file that it names. The path may name any file, even an
/// endless device, so the length is limited.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}
