//! Where passwords come from: the file itself, a file of their own, or the service's credentials.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Environment;
use super::reader::{Reader, Section};
use super::values::text_of;
use crate::auth::Secret;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The text of a file of passwords, tokens, addresses or a whole configuration; it may be anything, so only so much of it is read.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// A password that has to be there.
pub(super) fn password(
    reader: &mut Reader<'_>,
    auth: Section<'_>,
    whose: &str,
    environment: &Environment,
) -> Secret {
    let key = format!("{whose}_password");
    let credential = environment.credential(&format!("{whose}-password"));
    if let Some(secret) = secret(reader, auth, &key, credential) {
        return secret;
    }
    reader.complain(None, format!(
        "there is no {whose} password; give [auth] {key}_file = \"/run/secrets/{whose}-password\""
    ));
    Secret::new("")
}

/// What links are signed with, if there may be any.
pub(super) fn share_key(
    reader: &mut Reader<'_>,
    auth: Section<'_>,
    environment: &Environment,
) -> Option<Secret> {
    const SHORTEST: usize = 32;
    let key = secret(reader, auth, "share_key", environment.credential("share-key"))?;
    if key.expose().len() < SHORTEST && !key.expose().is_empty() {
        let line = reader.line_of(auth, "share_key").or(reader.line_of(auth, "share_key_file"));
        reader.complain(
            line,
            format!("the share key is too short; it takes {SHORTEST} characters or more"),
        );
    }
    Some(key)
}

/// A secret in the section itself or in a file that it names.
pub(super) fn secret_of(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
) -> Option<Secret> {
    secret(reader, section, key, None)
}

/// A secret from wherever it is: under `key`, in the file under `key` and `_file`, else in the service's credentials.
fn secret(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    credential: Option<PathBuf>,
) -> Option<Secret> {
    let file_key = format!("{key}_file");
    let written = text_of(reader, section, key, "");
    let file = text_of(reader, section, &file_key, "");
    let (line, path) = match (reader.line_of(section, key), reader.line_of(section, &file_key)) {
        (Some(_), None) => return Some(Secret::new(written)),
        (Some(line), Some(_)) => {
            let text =
                format!("{} and {file_key} are both given; keep one of them", section.path(key));
            reader.complain(Some(line), text);
            return Some(Secret::new(""));
        }
        (None, Some(line)) => (Some(line), PathBuf::from(file)),
        (None, None) => (None, credential.filter(|path| path.exists())?),
    };
    let what = key.replace('_', " ");
    let text = match read_file(&path) {
        Ok(text) => match text.trim_end_matches(['\r', '\n']) {
            "" => format!("the {what} in {} is empty", path.display()),
            text => return Some(Secret::new(text)),
        },
        Err(error) => format!("the {what} cannot be read from {}: {error}", path.display()),
    };
    reader.complain(line, text);
    Some(Secret::new(""))
}
