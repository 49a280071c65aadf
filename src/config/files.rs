//! Reads the files of a configuration.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The bytes of a configuration. The path may name any file, even an endless device, so the length
/// is limited.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}

/// The text of a file that a configuration names, which must be UTF-8.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let not_utf8 = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
    String::from_utf8(read_bytes(path)?).map_err(not_utf8)
}
