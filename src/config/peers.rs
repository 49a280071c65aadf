//! The keys of `[[relay]]` and `[[forward]]`: other servers, from which mounts are pulled and to which
//! mounts are pushed.

use std::time::Duration;

use super::auth::secret;
use super::keys::{Key, Reload, Row, Table};
use super::kinds::{
    Choice, FilePath, Flag, MountName, MountPatterns, PathPrefix, SecretText, ServerAddress, Text,
    Time,
};
use super::reader::{Reader, Section};
use crate::auth::{Login, SOURCE_USER, Secret};
use crate::peers::{ForwardSettings, RelaySettings, ServerUrl, When};

pub(super) const ROWS: &[&dyn Row] = &[
    &RELAY_FROM,
    &RELAY_MOUNTS,
    &RELAY_USER,
    &RELAY_PASSWORD,
    &RELAY_PASSWORD_FILE,
    &RELAY_TOKEN,
    &RELAY_TOKEN_FILE,
    &RELAY_ON_DEMAND,
    &RELAY_LINGER,
    &RELAY_PREFIX,
    &RELAY_LOCAL_NAME,
    &FORWARD_TO,
    &FORWARD_MOUNTS,
    &FORWARD_USER,
    &FORWARD_PASSWORD,
    &FORWARD_PASSWORD_FILE,
    &FORWARD_WHEN,
    &FORWARD_PREFIX,
];

static RELAY_FROM: Key<ServerAddress> = Key {
    table: Table::Relay,
    name: "from",
    kind: ServerAddress,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The server from which mounts are pulled: a silvacast, an Icecast, or one that is like it.",
};

static RELAY_MOUNTS: Key<MountPatterns> = Key {
    table: Table::Relay,
    name: "mounts",
    kind: MountPatterns,
    default: MountPatterns::all,
    reload: Reload::AtOnce,
    doc: "Which of its mounts. Names without a `*` are pulled whatever it lists, others when it lists them.",
};

static RELAY_USER: Key<Text> = Key {
    table: Table::Relay,
    name: "user",
    kind: Text,
    default: || "relay".to_owned(),
    reload: Reload::AtOnce,
    doc: "The user name of the login there.",
};

static RELAY_PASSWORD: Key<SecretText> = Key {
    table: Table::Relay,
    name: "password",
    kind: SecretText { shortest: 1 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The password of the login there; without one, there is no login. Better kept in a file.",
};

static RELAY_PASSWORD_FILE: Key<FilePath> = Key {
    table: Table::Relay,
    name: "password_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that password.",
};

static RELAY_TOKEN: Key<SecretText> = Key {
    table: Table::Relay,
    name: "token",
    kind: SecretText { shortest: 1 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The token that opens the mounts there, in place of a login. Better kept in a file.",
};

static RELAY_TOKEN_FILE: Key<FilePath> = Key {
    table: Table::Relay,
    name: "token_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that token.",
};

static RELAY_ON_DEMAND: Key<Flag> = Key {
    table: Table::Relay,
    name: "on_demand",
    kind: Flag,
    default: || false,
    reload: Reload::AtOnce,
    doc: "Pull a mount only while somebody listens to it here. Until then it is listed as `idle`.",
};

static RELAY_LINGER: Key<Time> = Key {
    table: Table::Relay,
    name: "linger",
    kind: Time { least: Duration::ZERO, most: Duration::from_hours(1) },
    default: || Duration::from_secs(30),
    reload: Reload::AtOnce,
    doc: "How long it is still pulled on demand when the last listener has left.",
};

static RELAY_PREFIX: Key<PathPrefix> = Key {
    table: Table::Relay,
    name: "prefix",
    kind: PathPrefix,
    default: String::new,
    reload: Reload::AtOnce,
    doc: "What is put in front of the names here. Mounts whose name begins with it already are not pulled.",
};

static RELAY_LOCAL_NAME: Key<MountName> = Key {
    table: Table::Relay,
    name: "local_name",
    kind: MountName,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The name of the mount here, if `mounts` is a single name. It takes the place of `prefix`.",
};

static FORWARD_TO: Key<ServerAddress> = Key {
    table: Table::Forward,
    name: "to",
    kind: ServerAddress,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The server to which mounts are pushed: any that takes what Icecast takes.",
};

static FORWARD_MOUNTS: Key<MountPatterns> = Key {
    table: Table::Forward,
    name: "mounts",
    kind: MountPatterns,
    default: MountPatterns::all,
    reload: Reload::AtOnce,
    doc: "Which mounts of this server.",
};

static FORWARD_USER: Key<Text> = Key {
    table: Table::Forward,
    name: "user",
    kind: Text,
    default: || SOURCE_USER.to_owned(),
    reload: Reload::AtOnce,
    doc: "The user name of sources there.",
};

static FORWARD_PASSWORD: Key<SecretText> = Key {
    table: Table::Forward,
    name: "password",
    kind: SecretText { shortest: 1 },
    default: || None,
    reload: Reload::AtOnce,
    doc: "The password of sources there. Better kept in a file.",
};

static FORWARD_PASSWORD_FILE: Key<FilePath> = Key {
    table: Table::Forward,
    name: "password_file",
    kind: FilePath,
    default: || None,
    reload: Reload::AtOnce,
    doc: "The file with that password.",
};

static FORWARD_WHEN: Key<Choice<When>> = Key {
    table: Table::Forward,
    name: "when",
    kind: Choice(&[("always", When::Always), ("wanted", When::Wanted)]),
    default: || When::Always,
    reload: Reload::AtOnce,
    doc: "Push a mount while it has a stream, or only while somebody wants it there. The second asks a silvacast, whose mount must be `on_demand`.",
};

static FORWARD_PREFIX: Key<PathPrefix> = Key {
    table: Table::Forward,
    name: "prefix",
    kind: PathPrefix,
    default: String::new,
    reload: Reload::AtOnce,
    doc: "What is put in front of the names there.",
};

/// All servers from which mounts are pulled.
pub(super) fn relays(reader: &mut Reader<'_>, sections: &[Section<'_>]) -> Vec<RelaySettings> {
    let relays = sections.iter().filter_map(|&section| {
        let from = server(reader, section, &RELAY_FROM);
        let password = secret(reader, section, (&RELAY_PASSWORD, &RELAY_PASSWORD_FILE), None);
        let user = reader.get(section, &RELAY_USER);
        let local_name = reader.get(section, &RELAY_LOCAL_NAME);
        let mounts = reader.get(section, &RELAY_MOUNTS);
        if local_name.is_some() && !matches!(&mounts[..], [one] if one.name().is_some()) {
            let text = format!(
                "{} applies to a single mount only, and {} has several or a `*`",
                section.key(RELAY_LOCAL_NAME.name),
                section.key(RELAY_MOUNTS.name)
            );
            reader.report(reader.line_of(section, RELAY_LOCAL_NAME.name), text);
        }
        Some(RelaySettings {
            local_name,
            mounts,
            login: password.map(|password| Login { user, password }),
            token: secret(reader, section, (&RELAY_TOKEN, &RELAY_TOKEN_FILE), None),
            on_demand: reader.get(section, &RELAY_ON_DEMAND),
            linger: reader.get(section, &RELAY_LINGER),
            prefix: reader.get(section, &RELAY_PREFIX),
            from: from?,
        })
    });
    relays.collect()
}

/// All servers to which mounts are pushed.
pub(super) fn forwards(reader: &mut Reader<'_>, sections: &[Section<'_>]) -> Vec<ForwardSettings> {
    let forwards = sections.iter().filter_map(|&section| {
        let to = server(reader, section, &FORWARD_TO);
        let keys = (&FORWARD_PASSWORD, &FORWARD_PASSWORD_FILE);
        let password = secret(reader, section, keys, None).unwrap_or_else(|| {
            let (key, file) = (section.key(FORWARD_PASSWORD.name), FORWARD_PASSWORD_FILE.name);
            reader.report(section.line(reader), format!("no {key}; set it, or `{file}`"));
            Secret::new("")
        });
        Some(ForwardSettings {
            mounts: reader.get(section, &FORWARD_MOUNTS),
            login: Login { user: reader.get(section, &FORWARD_USER), password },
            when: reader.get(section, &FORWARD_WHEN),
            prefix: reader.get(section, &FORWARD_PREFIX),
            to: to?,
        })
    });
    forwards.collect()
}

fn server(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &'static Key<ServerAddress>,
) -> Option<ServerUrl> {
    let server = reader.get(section, key);
    if server.is_none() && reader.line_of(section, key.name).is_none() {
        let text = format!("{} is required; allowed: {}", section.key(key.name), key.allowed());
        reader.report(section.line(reader), text);
    }
    server
}
