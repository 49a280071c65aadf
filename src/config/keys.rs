//! What the table of configuration keys is made of; [`KEYS`](super::KEYS) is the table.
//!
//! Each key is one row, a [`Key`]. The parser with its bounds and messages, the defaults, the keys
//! that need a restart, the manual and the JSON schema all come from the rows. The rows of a
//! section are in the module that reads the section, such as `limits`.

use std::iter::once;

use serde_json::Value;

use super::Config;
use super::kinds::Kind;

/// A table of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Keys before the first heading.
    Top,
    /// `[server]`
    Server,
    /// `[auth]`
    Auth,
    /// `[process]`
    Process,
    /// `[log]`
    Log,
    /// `[limits]`
    Limits,
    /// `[webrtc]`
    WebRtc,
    /// `[mount-defaults]`
    MountDefaults,
    /// `[[mount]]`
    Mount,
    /// `[[relay]]`
    Relay,
    /// `[[forward]]`
    Forward,
}

impl Table {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 11] = [
        Self::Top,
        Self::Server,
        Self::Auth,
        Self::Process,
        Self::Log,
        Self::Limits,
        Self::WebRtc,
        Self::MountDefaults,
        Self::Mount,
        Self::Relay,
        Self::Forward,
    ];

    /// Its name; empty for the top level.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Server => "server",
            Self::Auth => "auth",
            Self::Process => "process",
            Self::Log => "log",
            Self::Limits => "limits",
            Self::WebRtc => "webrtc",
            Self::MountDefaults => "mount-defaults",
            Self::Mount => "mount",
            Self::Relay => "relay",
            Self::Forward => "forward",
        }
    }

    /// Whether there may be several of them.
    pub fn is_repeated(self) -> bool {
        matches!(self, Self::Mount | Self::Relay | Self::Forward)
    }

    /// Its heading in the file: `[limits]`, `[[mount]]`; empty for the top level.
    pub fn heading(self) -> String {
        match self {
            Self::Top => String::new(),
            table if table.is_repeated() => format!("[[{}]]", table.name()),
            table => format!("[{}]", table.name()),
        }
    }
}

/// When a changed value takes effect after a reload.
#[derive(Clone, Copy, Debug)]
pub enum Reload {
    /// For every request, connection and stream from then on.
    AtOnce,
    /// When the mount's next stream begins.
    NextStream,
    /// When the mount is created the next time.
    NextMount,
    /// When the server is started the next time. The function compares the values of two
    /// configurations.
    Restart(fn(&Config, &Config) -> bool),
}

impl Reload {
    /// As the manual writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NextStream => "next stream",
            Self::NextMount => "next mount",
            Self::Restart(_) => "restart",
        }
    }
}

/// One key: its table, the values that it takes, and what it is for.
#[derive(Debug)]
pub(super) struct Key<K: Kind> {
    /// The table that it belongs to.
    pub table: Table,
    /// Its name.
    pub name: &'static str,
    /// The values that it takes.
    pub kind: K,
    /// The value without the key.
    pub default: fn() -> K::Value,
    /// When a changed value takes effect.
    pub reload: Reload,
    /// What it is for, in one line. The default, the allowed values and the reload are not
    /// repeated: the manual shows them beside it.
    pub doc: &'static str,
}

/// A row of the table, independent of the type of its values.
pub trait Row: Sync {
    /// The table that the key belongs to.
    fn table(&self) -> Table;
    /// The key.
    fn name(&self) -> &'static str;
    /// The default value, as TOML; `None` if the key has no default, or if omitting the key is the
    /// only way to write it.
    fn default(&self) -> Option<String>;
    /// Whether the key must be given.
    fn is_required(&self) -> bool;
    /// Whether it is one of the ways to give a password without which the server does not start:
    /// here, in a file or as a credential.
    fn is_one_way_to_give_a_password(&self) -> bool;
    /// What it takes, in words.
    fn allowed(&self) -> String;
    /// Whether its values must not be shown.
    fn is_secret(&self) -> bool;
    /// When a changed value takes effect after a reload.
    fn reload(&self) -> Reload;
    /// What it is for.
    fn doc(&self) -> &'static str;
    /// The JSON schema of its values.
    fn schema(&self) -> Value;

    /// What the manual has in place of a default, for a key without one.
    fn without_default(&self) -> &'static str {
        if self.is_required() {
            "required"
        } else if self.is_one_way_to_give_a_password() {
            "required here, in a file or as a credential"
        } else {
            "none"
        }
    }

    /// The key as the manual writes it: `[limits] sources`.
    fn path(&self) -> String {
        format!("{} {}", self.table().heading(), self.name()).trim_start().to_owned()
    }
}

impl<K: Kind> Key<K> {
    /// What it takes, in words.
    pub(super) fn allowed(&self) -> String {
        self.kind.allowed()
    }
}

impl<K: Kind> Row for Key<K> {
    fn table(&self) -> Table {
        self.table
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn default(&self) -> Option<String> {
        self.kind.write(&(self.default)())
    }

    fn is_required(&self) -> bool {
        K::REQUIRED
    }

    fn is_one_way_to_give_a_password(&self) -> bool {
        let secret = self.name.strip_suffix("_file").unwrap_or(self.name);
        self.table == Table::Auth && ["source_password", "admin_password"].contains(&secret)
    }

    fn allowed(&self) -> String {
        self.kind.allowed()
    }

    fn is_secret(&self) -> bool {
        K::SECRET
    }

    fn reload(&self) -> Reload {
        self.reload
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn schema(&self) -> Value {
        self.kind.schema()
    }
}

/// The rows of all keys.
#[derive(Clone, Copy)]
pub struct KeyTable(&'static [&'static [&'static dyn Row]]);

impl KeyTable {
    /// The rows of these modules.
    pub(super) const fn new(rows: &'static [&'static [&'static dyn Row]]) -> Self {
        Self(rows)
    }

    /// All rows, in the order of the manual.
    pub fn all(self) -> impl Iterator<Item = &'static dyn Row> {
        Table::ALL.into_iter().flat_map(move |table| self.of(table))
    }

    /// The rows of one table.
    pub fn of(self, table: Table) -> impl Iterator<Item = &'static dyn Row> {
        self.0.iter().copied().flatten().copied().filter(move |row| row.table() == table)
    }

    /// The rows of all keys that a table accepts: `[[mount]]` takes those of `[mount-defaults]` too.
    pub(super) fn accepted(self, table: Table) -> impl Iterator<Item = &'static dyn Row> {
        let inherited = (table == Table::Mount).then_some(Table::MountDefaults);
        once(table).chain(inherited).flat_map(move |table| self.of(table))
    }
}
