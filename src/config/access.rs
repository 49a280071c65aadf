//! The keys of `[mount-defaults]` and `[[mount]]` that say who may listen and who may push.

use std::fmt::Display;

use super::auth::secret;
use super::files::read_file;
use super::keys::{Key, Reload, Row, Table};
use super::kinds::{Choice, FilePath, Networks, SecretText, Text};
use super::layer::Layer;
use crate::auth::{Access, AccessMode, Login, PasswordHashes, SOURCE_USER, Secret, Token};
use crate::text::entries;

pub(super) const ROWS: &[&dyn Row] = &[
    &ACCESS,
    &LISTENERS_FILE,
    &TOKENS_FILE,
    &ALLOW,
    &DENY,
    &SOURCE_USER_KEY,
    &SOURCE_PASSWORD,
    &SOURCE_PASSWORD_FILE,
];

static ACCESS: Key<Choice<AccessMode>> = Key {
    table: Table::MountDefaults,
    name: "access",
    kind: Choice(&[
        ("public", AccessMode::Public),
        ("password", AccessMode::Password),
        ("token", AccessMode::Token),
        ("closed", AccessMode::Closed),
    ]),
    default: || AccessMode::Public,
    reload: Reload::AtOnce,
    doc: "Who may listen: everybody (`public`), the users in `listeners_file` (`password`), clients with a token from `tokens_file` (`token`), or nobody (`closed`).",
};

static LISTENERS_FILE: Key<FilePath> = Key {
    table: Table::MountDefaults,
    name: "listeners_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "Users and bcrypt hashes with a cost from 4 to 12, as `htpasswd -B` writes them. Passwords have at most 72 bytes.",
};

static TOKENS_FILE: Key<FilePath> = Key {
    table: Table::MountDefaults,
    name: "tokens_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "One `name:token` per line, the token with 16 characters or more. Clients send it as `Authorization: Bearer` or `?token=`.",
};

static ALLOW: Key<Networks> = Key {
    table: Table::MountDefaults,
    name: "allow",
    kind: Networks,
    default: Vec::new,
    reload: Reload::AtOnce,
    doc: "Networks that may listen; an empty list admits all.",
};

static DENY: Key<Networks> = Key {
    table: Table::MountDefaults,
    name: "deny",
    kind: Networks,
    default: Vec::new,
    reload: Reload::AtOnce,
    doc: "Networks that may not listen, even if `allow` lists them.",
};

static SOURCE_USER_KEY: Key<Text> = Key {
    table: Table::MountDefaults,
    name: "source_user",
    kind: Text,
    default: || SOURCE_USER.to_owned(),
    reload: Reload::AtOnce,
    doc: "The user name of encoders of these mounts, if they have their own password.",
};

static SOURCE_PASSWORD: Key<SecretText> = Key {
    table: Table::MountDefaults,
    name: "source_password",
    kind: SecretText { shortest: 1 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The password of encoders of these mounts, instead of `[auth] source_password`. Better kept in a file.",
};

static SOURCE_PASSWORD_FILE: Key<FilePath> = Key {
    table: Table::MountDefaults,
    name: "source_password_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that password.",
};

/// Who may listen.
pub(super) fn access(layer: &mut Layer<'_, '_>) -> Access {
    let mode = layer.get(&ACCESS, |inherited| inherited.access.mode);
    let listeners = file(layer, &LISTENERS_FILE, PasswordHashes::parse);
    let tokens = file(layer, &TOKENS_FILE, tokens);
    let inherited = layer.inherited.map(|inherited| &inherited.access);
    let access = Access {
        mode,
        listeners: listeners.or_else(|| Some(inherited?.listeners.clone())).unwrap_or_default(),
        tokens: tokens.or_else(|| Some(inherited?.tokens.clone())).unwrap_or_default(),
        allow: layer.get(&ALLOW, |inherited| inherited.access.allow.clone()),
        deny: layer.get(&DENY, |inherited| inherited.access.deny.clone()),
    };
    let missing = match mode {
        AccessMode::Password if access.listeners.is_empty() => LISTENERS_FILE.name,
        AccessMode::Token if access.tokens.is_empty() => TOKENS_FILE.name,
        _ => return access,
    };
    let (reader, section) = (&mut *layer.reader, layer.section);
    // A file that could not be read has been reported already.
    if reader.line_of(section, missing).is_none() {
        let key = section.key(ACCESS.name);
        let text = format!("{key} is \"{}\" and requires `{missing}`", mode.name());
        let line = reader.line_of(section, ACCESS.name).or_else(|| section.line(reader));
        reader.report(line, text);
    }
    access
}

/// The content of a file that the section names; `None` if it names none.
fn file<T: Default>(
    layer: &mut Layer<'_, '_>,
    key: &Key<FilePath>,
    parse: impl Fn(&str) -> Result<T, (usize, String)>,
) -> Option<T> {
    let (reader, section) = (&mut *layer.reader, layer.section);
    let at = reader.line_of(section, key.name)?;
    // A path that is not allowed has been reported already.
    let Some(path) = reader.get(section, key) else { return Some(T::default()) };
    let key = section.key(key.name);
    let mut failed = |what: &dyn Display| {
        reader.report(Some(at), format!("{key}: {}{what}", path.display()));
        T::default()
    };
    Some(match read_file(&path) {
        Err(error) => failed(&format_args!(" cannot be read: {error}")),
        Ok(text) => parse(&text)
            .unwrap_or_else(|(line, what)| failed(&format_args!(", line {line}: {what}"))),
    })
}

/// The shortest token, in bytes.
const SHORTEST_TOKEN: usize = 16;

/// A file of tokens: one `name:token` per line.
fn tokens(text: &str) -> Result<Vec<Token>, (usize, String)> {
    entries(text)
        .map(|(number, line)| match line.split_once(':') {
            Some((name, token)) if token.len() >= SHORTEST_TOKEN => {
                Ok(Token { name: name.to_owned(), token: Secret::new(token) })
            }
            _ => {
                let text = format!(
                    "expected name:token, the token with {SHORTEST_TOKEN} characters or more"
                );
                Err((number, text))
            }
        })
        .collect()
}

/// The login of encoders of these mounts, if they have one of their own.
pub(super) fn source_login(layer: &mut Layer<'_, '_>) -> Option<Login> {
    let inherited = layer.inherited.and_then(|inherited| inherited.source.as_ref());
    let (reader, section) = (&mut *layer.reader, layer.section);
    let user = reader.given(section, &SOURCE_USER_KEY);
    let user = user.or_else(|| Some(inherited?.user.clone()));
    let password = secret(reader, section, (&SOURCE_PASSWORD, &SOURCE_PASSWORD_FILE), None);
    let line = reader.line_of(section, SOURCE_USER_KEY.name);
    if line.is_some() && password.is_none() && inherited.is_none() {
        let key = section.key(SOURCE_USER_KEY.name);
        let text = if section.element(SOURCE_USER_KEY.name).is_some() {
            format!("{key} requires <password>; without it, the login of all sources stays valid")
        } else {
            format!(
                "{key} requires `{}` or `{}`; without one, the login of [auth] would stay valid",
                SOURCE_PASSWORD.name, SOURCE_PASSWORD_FILE.name
            )
        };
        reader.report(line, text);
    }
    Some(Login {
        password: password.or_else(|| Some(inherited?.password.clone()))?,
        user: user.unwrap_or_else(SOURCE_USER_KEY.default),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_names_and_are_long() {
        let read = tokens("# who\n\nweb:0123456789abcdef\n").unwrap();
        assert_eq!((read.len(), &*read[0].name), (1, "web"));
        for (text, line) in [("0123456789abcdef0", 1), ("\nweb:short", 2)] {
            assert_eq!(tokens(text).unwrap_err().0, line);
        }
    }
}
