//! Where passwords come from: the file itself, a file of their own, or the service's credentials.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Environment;
use super::reader::{Problem, Reader, Section};
use crate::door::Secret;

/// A password file's text; the file may be anything, so only so much of it is read.
fn read_secret(path: &Path) -> io::Result<String> {
    const LONGEST: u64 = 1024;
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes")));
    }
    Ok(text)
}

/// A password: from the file itself, from another file, or from the service's credentials.
pub(super) fn password(
    reader: &mut Reader<'_>,
    auth: Section<'_>,
    whose: &str,
    environment: &Environment,
) -> Secret {
    let (key, file_key) = (format!("{whose}_password"), format!("{whose}_password_file"));
    let written = super::text_of(reader, auth, &key, "");
    let file = super::text_of(reader, auth, &file_key, "");
    let credential =
        environment.credentials.as_ref().map(|dir| dir.join(format!("{whose}-password")));
    let (line, source) = match (reader.line_of(auth, &key), reader.line_of(auth, &file_key)) {
        (Some(_), None) => return Secret::new(written),
        (Some(line), Some(_)) => {
            let text = format!("[auth] {key} and {file_key} are both given; keep one of them");
            reader.problems.push(Problem { line: Some(line), text });
            return Secret::new("");
        }
        (None, Some(line)) => (Some(line), Some(PathBuf::from(file))),
        (None, None) => (None, credential.filter(|path| path.exists())),
    };
    let what = match &source {
        None => Err(format!(
            "there is no {whose} password; give [auth] {file_key} = \"/run/secrets/{whose}-password\""
        )),
        Some(path) => match read_secret(path) {
            Err(error) => {
                Err(format!("the {whose} password cannot be read from {}: {error}", path.display()))
            }
            Ok(text) => match text.trim_end_matches(['\r', '\n']) {
                "" => Err(format!("the {whose} password in {} is empty", path.display())),
                text => Ok(Secret::new(text)),
            },
        },
    };
    what.unwrap_or_else(|text| {
        reader.problems.push(Problem { line, text });
        Secret::new("")
    })
}
