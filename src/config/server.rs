//! The keys of the top level and of `[server]`, `[process]` and `[log]`.

use std::net::{Ipv4Addr, SocketAddr};

use super::PORT;
use super::keys::{Key, Reload, Row, Table};
use super::kinds::{Addresses, Choice, Flag, Label, Networks, Number, PathPrefix, Text};
use super::reader::{Problem, Reader, Section};
use crate::control::DEFAULT_HOSTNAME;
use crate::log::LogFormat;
use crate::mount::MAX_THREADS;
use crate::platform::check_user;

pub(super) const ROWS: &[&dyn Row] = &[
    &LISTEN,
    &PATH_PREFIX,
    &TRUSTED_PROXIES,
    &ALLOW,
    &DENY,
    &WORKERS,
    &NAME,
    &HOSTNAME,
    &LOCATION,
    &ADMIN,
    &USER,
    &COMBINED,
    &FORMAT,
];

/// The user that root cannot switch to, if the key names one.
pub(super) fn unusable(reader: &mut Reader<'_>, process: Section<'_>) -> Vec<Problem> {
    let user = reader.get(process, &USER);
    let error = check_user(&user).err();
    let problem = |error| Problem {
        line: reader.line_of(process, USER.name),
        text: format!("invalid value \"{user}\" for {}: {error}", process.key(USER.name)),
    };
    error.map(problem).into_iter().collect()
}

pub(super) static LISTEN: Key<Addresses> = Key {
    table: Table::Top,
    name: "listen",
    kind: Addresses,
    default: || vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))],
    reload: Reload::Restart(|old, new| old.listen != new.listen),
    doc: "Addresses to listen on. `[::]` accepts IPv4 too, unless an IPv4 address with the same port is listed. `SILVASONIC_ICECAST_PORT` replaces the port; sockets from systemd replace the whole list.",
};

pub(super) static PATH_PREFIX: Key<PathPrefix> = Key {
    table: Table::Top,
    name: "path_prefix",
    kind: PathPrefix,
    default: String::new,
    reload: Reload::AtOnce,
    doc: "Accepted in front of every path; the path without it stays valid.",
};

pub(super) static TRUSTED_PROXIES: Key<Networks> = Key {
    table: Table::Top,
    name: "trusted_proxies",
    kind: Networks,
    default: Vec::new,
    reload: Reload::AtOnce,
    doc: "Proxies whose `Forwarded` and `X-Forwarded-For`, `-Host`, `-Proto` and `-Prefix` are believed.",
};

pub(super) static ALLOW: Key<Networks> = Key {
    table: Table::Top,
    name: "allow",
    kind: Networks,
    default: Vec::new,
    reload: Reload::AtOnce,
    doc: "Networks that may connect; an empty list admits all.",
};

pub(super) static DENY: Key<Networks> = Key {
    table: Table::Top,
    name: "deny",
    kind: Networks,
    default: Vec::new,
    reload: Reload::AtOnce,
    doc: "Networks that may not connect, even if `allow` lists them.",
};

pub(super) static WORKERS: Key<Number> = Key {
    table: Table::Top,
    name: "workers",
    kind: Number { least: 1, most: MAX_THREADS },
    default: || 1,
    reload: Reload::Restart(|old, new| old.workers != new.workers),
    doc: "Data-plane threads. One serves thousands of listeners; several share them, each with its own copy of the rings.",
};

pub(super) static NAME: Key<Label> = Key {
    table: Table::Server,
    name: "name",
    kind: Label,
    default: || None,
    reload: Reload::AtOnce,
    doc: "What the station is called on the listening page and in `/api/v1/mounts`.",
};

pub(super) static HOSTNAME: Key<Text> = Key {
    table: Table::Server,
    name: "hostname",
    kind: Text,
    default: || DEFAULT_HOSTNAME.to_owned(),
    reload: Reload::AtOnce,
    doc: "The name shown in status and in its listen URLs. With the default, these URLs have the host that the client asked for.",
};

pub(super) static LOCATION: Key<Text> = Key {
    table: Table::Server,
    name: "location",
    kind: Text,
    default: || "Earth".to_owned(),
    reload: Reload::AtOnce,
    doc: "Where the station is, shown in status.",
};

pub(super) static ADMIN: Key<Text> = Key {
    table: Table::Server,
    name: "admin",
    kind: Text,
    default: || "admin@silvasonic.local".to_owned(),
    reload: Reload::AtOnce,
    doc: "The contact of the administrator, shown in status.",
};

pub(super) static USER: Key<Text> = Key {
    table: Table::Process,
    name: "user",
    kind: Text,
    default: || "nobody".to_owned(),
    reload: Reload::Restart(|old, new| old.user != new.user),
    doc: "The user that the process switches to when it is started as root: a name, or numbers such as `65534:65534`.",
};

pub(super) static COMBINED: Key<Flag> = Key {
    table: Table::Log,
    name: "combined",
    kind: Flag,
    default: || false,
    reload: Reload::Restart(|old, new| old.combined != new.combined),
    doc: "Write a line in the combined log format to standard output for each listener that leaves. The log throttle applies: 200 lines at once, then ten per second.",
};

pub(super) static FORMAT: Key<Choice<LogFormat>> = Key {
    table: Table::Log,
    name: "format",
    kind: Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
    default: || LogFormat::Text,
    reload: Reload::Restart(|old, new| old.log_format != new.log_format),
    doc: "The log on standard error: text with fields in logfmt, or one JSON object per line. Lines to journald are not affected: they have all fields.",
};
