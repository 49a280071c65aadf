//! The keys of `[auth]`, and the places where a secret can be: in the configuration, in a file that
//! it names, or among the service's credentials.

use std::path::PathBuf;

use super::Environment;
use super::files::read_file;
use super::keys::{Key, Reload, Row, Table};
use super::kinds::{FilePath, SecretText, Text};
use super::reader::{Reader, Section};
use crate::auth::{Credentials, DETECTOR_USER, Login, SOURCE_USER, Secret};

pub(super) const ROWS: &[&dyn Row] = &[
    &SOURCE_PASSWORD,
    &SOURCE_PASSWORD_FILE,
    &ADMIN_USER,
    &ADMIN_PASSWORD,
    &ADMIN_PASSWORD_FILE,
    &RELAY_USER,
    &RELAY_PASSWORD,
    &RELAY_PASSWORD_FILE,
    &DETECTOR_TOKEN,
    &DETECTOR_TOKEN_FILE,
    &SHARE_KEY,
    &SHARE_KEY_FILE,
];

static SOURCE_PASSWORD: Key<SecretText> = Key {
    table: Table::Auth,
    name: "source_password",
    kind: SecretText { shortest: 1 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The password of encoders, which log in as user `source`. Better kept in a file.",
};

static SOURCE_PASSWORD_FILE: Key<FilePath> = Key {
    table: Table::Auth,
    name: "source_password_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that password. Without either key, `$CREDENTIALS_DIRECTORY/source-password` is read.",
};

static ADMIN_USER: Key<Text> = Key {
    table: Table::Auth,
    name: "admin_user",
    kind: Text,
    default: || "admin".to_owned(),
    reload: Reload::AtOnce,
    doc: "The user name of the administrator.",
};

static ADMIN_PASSWORD: Key<SecretText> = Key {
    table: Table::Auth,
    name: "admin_password",
    kind: SecretText { shortest: 1 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The password of the administrator. Better kept in a file.",
};

static ADMIN_PASSWORD_FILE: Key<FilePath> = Key {
    table: Table::Auth,
    name: "admin_password_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that password. Without either key, `$CREDENTIALS_DIRECTORY/admin-password` is read.",
};

static RELAY_USER: Key<Text> = Key {
    table: Table::Auth,
    name: "relay_user",
    kind: Text,
    default: || "relay".to_owned(),
    reload: Reload::AtOnce,
    doc: "The user name of servers that relay the mounts of this one.",
};

static RELAY_PASSWORD: Key<SecretText> = Key {
    table: Table::Auth,
    name: "relay_password",
    kind: SecretText { shortest: 1 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "Their password, with which they may list and hear every mount that is not `closed`. Better kept in a file.",
};

static RELAY_PASSWORD_FILE: Key<FilePath> = Key {
    table: Table::Auth,
    name: "relay_password_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that password. Without either key, `$CREDENTIALS_DIRECTORY/relay-password` is read; without that too, no server may log in to relay.",
};

static DETECTOR_TOKEN: Key<SecretText> = Key {
    table: Table::Auth,
    name: "detector_token",
    kind: SecretText { shortest: 16 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The token with which programs that detect species may post what they have heard, as a bearer token or as the password of user `detector`. Better kept in a file.",
};

static DETECTOR_TOKEN_FILE: Key<FilePath> = Key {
    table: Table::Auth,
    name: "detector_token_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that token. Without either key, `$CREDENTIALS_DIRECTORY/detector-token` is read; without that too, only sources and the administrator may post detections.",
};

static SHARE_KEY: Key<SecretText> = Key {
    table: Table::Auth,
    name: "share_key",
    kind: SecretText { shortest: 32 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The key that signs the links of `silvacast share`; a new key revokes all links. Better kept in a file.",
};

static SHARE_KEY_FILE: Key<FilePath> = Key {
    table: Table::Auth,
    name: "share_key_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that key. Without either key, `$CREDENTIALS_DIRECTORY/share-key` is read.",
};

/// The passwords of sources and of the administrator, both of which are required.
pub(super) fn credentials(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    environment: &Environment,
) -> Credentials {
    let source = (&SOURCE_PASSWORD, &SOURCE_PASSWORD_FILE);
    let admin = (&ADMIN_PASSWORD, &ADMIN_PASSWORD_FILE);
    Credentials {
        source: Login {
            user: SOURCE_USER.into(),
            password: password(reader, section, source, environment),
        },
        admin: Login {
            user: reader.get(section, &ADMIN_USER),
            password: password(reader, section, admin, environment),
        },
        relay: relay_login(reader, section, environment),
        detector: detector_login(reader, section, environment),
    }
}

fn relay_login(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    environment: &Environment,
) -> Option<Login> {
    let keys = (&RELAY_PASSWORD, &RELAY_PASSWORD_FILE);
    let password = service_secret(reader, section, keys, environment)?;
    Some(Login { user: reader.get(section, &RELAY_USER), password })
}

fn detector_login(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    environment: &Environment,
) -> Option<Login> {
    let keys = (&DETECTOR_TOKEN, &DETECTOR_TOKEN_FILE);
    let password = service_secret(reader, section, keys, environment)?;
    Some(Login { user: DETECTOR_USER.into(), password })
}

fn password(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    keys: SecretKeys,
    environment: &Environment,
) -> Secret {
    let (key, file_key) = keys;
    service_secret(reader, section, keys, environment).unwrap_or_else(|| {
        let what = key.name.replace('_', " ");
        let remedy = if let Some(element) = section.element(key.name) {
            element.to_owned()
        } else {
            let file_key = section.key(file_key.name);
            let credential = credential_name(key);
            format!("{file_key}, for example to \"/etc/silvacast/{credential}\"")
        };
        reader.report(None, format!("no {what}; set {remedy}"));
        Secret::new("")
    })
}

/// The key that signs links, if links are used.
pub(super) fn share_key(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    environment: &Environment,
) -> Option<Secret> {
    service_secret(reader, section, (&SHARE_KEY, &SHARE_KEY_FILE), environment)
}

/// A secret of the whole server, which may also be the service's credential with the name of the key.
fn service_secret(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    keys: SecretKeys,
    environment: &Environment,
) -> Option<Secret> {
    let credential = environment.credential(&credential_name(keys.0));
    secret(reader, section, keys, credential)
}

/// The credential for a key: `source-password` for `source_password`.
fn credential_name(key: &Key<SecretText>) -> String {
    key.name.replace('_', "-")
}

/// The key of a secret, and the key of the file that may hold it instead.
pub(super) type SecretKeys = (&'static Key<SecretText>, &'static Key<FilePath>);

/// A secret from the configuration, from the file that it names, or else from the service's
/// credential; `None` if it is in none of them. Empty if the secret is invalid, which has been
/// reported.
pub(super) fn secret(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    (key, file_key): SecretKeys,
    credential: Option<PathBuf>,
) -> Option<Secret> {
    let invalid = Some(Secret::new(""));
    let (written, file) = (reader.get(section, key), reader.get(section, file_key));
    let lines = (reader.line_of(section, key.name), reader.line_of(section, file_key.name));
    let (line, path) = match lines {
        (Some(_), None) => return written.or(invalid),
        (Some(line), Some(_)) => {
            let (key, other) = (section.key(key.name), file_key.name);
            reader.report(
                Some(line),
                format!("{key} and `{other}` are both set; remove one of them"),
            );
            return invalid;
        }
        (None, Some(line)) => match file {
            Some(path) => (Some(line), path),
            None => return invalid,
        },
        (None, None) => (None, credential.filter(|path| path.exists())?),
    };
    let what = key.name.replace('_', " ");
    let problem = match read_file(&path) {
        Ok(text) => {
            let text = text.trim_end_matches(['\r', '\n']);
            match key.kind.refusal(text) {
                None => return Some(Secret::new(text)),
                Some(refusal) => format!("the {what} in {} {refusal}", path.display()),
            }
        }
        Err(error) => format!("cannot read the {what} from {}: {error}", path.display()),
    };
    reader.report(line, problem);
    invalid
}
