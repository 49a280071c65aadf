//! The configuration: read from TOML, checked as a whole, and turned into the settings of each part.

mod access;
mod auth;
mod budget;
mod files;
mod icecast;
mod keys;
mod kinds;
mod layer;
mod limits;
mod manual;
mod masked;
mod mounts;
mod peers;
mod reader;
mod rows;
mod server;
mod webrtc;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use budget::Budget;
pub use keys::{KeyTable, Reload, Row, Table};
pub use manual::{markdown, schema};
pub use reader::Problem;
pub use rows::KEYS;

use files::read_bytes;
use kinds::quoted;
use masked::masked;
use reader::Reader;

use crate::auth::Secret;
use crate::control::{ControlSettings, ShownConfig};
use crate::door::DoorSettings;
use crate::log::LogFormat;
use crate::peers::PeerSettings;
use crate::webrtc::WebRtcSettings;

/// The port that is used if none is configured.
pub const PORT: u16 = 8080;

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The number of data-plane threads.
    pub workers: usize,
    /// The settings of WebRTC.
    pub webrtc: WebRtcSettings,
    /// The user that the process switches to when it is started as root.
    pub user: String,
    /// Whether standard output gets a line in the combined log format for each listener that leaves.
    pub combined: bool,
    /// The format of the log on standard error.
    pub log_format: LogFormat,
    /// Settings of an `icecast.xml` that are not supported.
    pub ignored: Vec<Problem>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Problem>,
    /// What stops the start of the server, if root starts it.
    pub unusable: Vec<Problem>,
    /// Whether the file was an `icecast.xml`.
    pub is_xml: bool,
    /// The settings of the door, including the mount rules.
    pub door: DoorSettings,
    /// The settings of the control plane.
    pub control: ControlSettings,
    /// Other servers.
    pub peers: PeerSettings,
    /// What the administrator may see of it.
    pub shown: ShownConfig,
}

/// The part of the process's environment that the configuration depends on.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `SILVASONIC_ICECAST_PORT`.
    pub port: Option<String>,
    /// `CREDENTIALS_DIRECTORY`, set by systemd.
    pub credentials: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self {
            port: std::env::var("SILVASONIC_ICECAST_PORT").ok(),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }

    /// The path of a credential, whether it exists or not.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        Some(self.credentials.as_ref()?.join(name))
    }

    /// The port to listen on, if the environment sets one.
    ///
    /// # Errors
    /// The variable is set to something that is not a port.
    pub fn port(&self) -> Result<Option<u16>, Problem> {
        let Some(text) = &self.port else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let text = format!(
                "invalid value {text} for SILVASONIC_ICECAST_PORT in the environment; \
                 allowed: a port from 0 to 65535"
            );
            Problem { line: None, text }
        })
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// All problems of the file, by line.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, Vec<Problem>> {
        Self::read(&bytes_of_file(path)?, environment)
    }

    /// Reads a document in TOML or in Icecast's XML.
    ///
    /// # Errors
    /// All problems of the document, by line.
    pub fn read(bytes: &[u8], environment: &Environment) -> Result<Self, Vec<Problem>> {
        let text = icecast::decode(bytes).map_err(|problem| vec![problem])?;
        if !icecast::is_xml(&text) {
            return Self::parse(&text, environment);
        }
        let converted = icecast::convert(&text)?;
        let reader = Reader::new(&converted.toml, KEYS, Some(converted.origin()));
        let mut config = Self::of_document(reader, environment)?;
        config.ignored = converted.ignored;
        config.warn(converted.warnings);
        config.is_xml = true;
        Ok(config)
    }

    /// The configuration in a file as TOML, converted if it is Icecast's XML.
    ///
    /// # Errors
    /// The file cannot be read, or it cannot be converted.
    pub fn toml(path: &Path) -> Result<String, Vec<Problem>> {
        let bytes = bytes_of_file(path)?;
        let text = icecast::decode(&bytes).map_err(|problem| vec![problem])?;
        if icecast::is_xml(&text) {
            Ok(icecast::convert(&text)?.toml)
        } else {
            Ok(text.into_owned())
        }
    }

    /// Reads a document in TOML.
    ///
    /// # Errors
    /// All problems of the document, by line.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, Vec<Problem>> {
        Self::of_document(Reader::new(text, KEYS, None), environment)
    }

    fn of_document(
        (mut reader, document): (Reader<'_>, DeTable<'_>),
        environment: &Environment,
    ) -> Result<Self, Vec<Problem>> {
        if !reader.is_configuration(&document) {
            return Err(reader.finish());
        }
        let in_force = masked(reader.text(), &document);
        let top = reader.top(&document);
        let [server, auth, process, log, limits, webrtc, defaults] = [
            Table::Server,
            Table::Auth,
            Table::Process,
            Table::Log,
            Table::Limits,
            Table::WebRtc,
            Table::MountDefaults,
        ]
        .map(|table| reader.section(&document, table));
        let mounts = reader.sections(&document, Table::Mount);
        let relays = reader.sections(&document, Table::Relay);
        let forwards = reader.sections(&document, Table::Forward);

        let port = environment.port().unwrap_or_else(|problem| {
            reader.problems.push(problem);
            None
        });
        let mut listen = reader.get(top, &server::LISTEN);
        for address in &mut listen {
            address.set_port(port.unwrap_or(address.port()));
        }
        let prefix = reader.get(top, &server::PATH_PREFIX);
        let credentials = auth::credentials(&mut reader, auth, environment);
        let share_key = auth::share_key(&mut reader, auth, environment);
        let rules = mounts::read(
            &mut reader,
            defaults,
            &mounts,
            (&prefix, &top.key(server::PATH_PREFIX.name)),
        );
        let limits = limits::read(&mut reader, limits);
        let peers = PeerSettings {
            relays: peers::relays(&mut reader, &relays),
            forwards: peers::forwards(&mut reader, &forwards),
            limits,
            rules: rules.clone(),
        };
        let mut config = Self {
            listen,
            workers: reader.get(top, &server::WORKERS),
            webrtc: webrtc::read(&mut reader, webrtc),
            user: reader.get(process, &server::USER),
            combined: reader.get(log, &server::COMBINED),
            log_format: reader.get(log, &server::FORMAT),
            ignored: Vec::new(),
            warnings: Vec::new(),
            unusable: server::unusable(&mut reader, process),
            is_xml: false,
            peers,
            shown: ShownConfig { in_force, warnings: Vec::new() },
            control: ControlSettings {
                name: reader.get(server, &server::NAME),
                allow_origin: rules.defaults.allow_origin.clone(),
                hostname: reader.get(server, &server::HOSTNAME),
                location: reader.get(server, &server::LOCATION),
                admin: reader.get(server, &server::ADMIN),
                limits,
                credentials: credentials.clone(),
                share_key: share_key.clone(),
                rules: rules.clone(),
            },
            door: DoorSettings {
                prefix,
                trusted_proxies: reader.get(top, &server::TRUSTED_PROXIES),
                allow: reader.get(top, &server::ALLOW),
                deny: reader.get(top, &server::DENY),
                credentials: credentials.clone(),
                share_key,
                rules,
                limits,
            },
        };
        if reader.problems.is_empty() {
            config.warn(reader.warnings);
            Ok(config)
        } else {
            Err(reader.finish())
        }
    }

    /// Adds warnings.
    fn warn(&mut self, warnings: Vec<Problem>) {
        self.warnings.extend(warnings);
        self.warnings.sort_by_key(|warning| warning.line);
        let all = self.ignored.iter().chain(&self.warnings);
        self.shown.warnings = all.map(ToString::to_string).collect();
    }

    /// The keys that need a restart and whose values differ in `new`, as the manual writes them.
    pub fn needs_restart(&self, new: &Self) -> impl Iterator<Item = String> {
        KEYS.all().filter_map(|row| match row.reload() {
            Reload::Restart(differ) if differ(self, new) => {
                let element = icecast::element(row.table(), row.name()).filter(|_| new.is_xml);
                Some(element.map_or_else(|| row.path(), ToOwned::to_owned))
            }
            _ => None,
        })
    }

    /// The configuration that is used without a file: on loopback only, with the passwords that the
    /// caller generated.
    ///
    /// # Errors
    /// The port in the environment is invalid.
    pub fn trial(
        source: &Secret,
        admin: &Secret,
        environment: &Environment,
    ) -> Result<Self, Vec<Problem>> {
        let text = format!(
            "listen = [\"127.0.0.1:{PORT}\"]\n[auth]\nsource_password = {}\nadmin_password = {}\n",
            quoted(source.expose()),
            quoted(admin.expose())
        );
        Self::parse(&text, environment)
    }
}

fn bytes_of_file(path: &Path) -> Result<Vec<u8>, Vec<Problem>> {
    read_bytes(path)
        .map_err(|error| vec![Problem { line: None, text: format!("cannot be read: {error}") }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_any_password_is_taken_as_it_is() {
        let odd = Secret::new("a\"b\\c\u{1f}'ö");
        let environment = Environment::default();
        let config = Config::trial(&odd, &Secret::new("x"), &environment).unwrap();
        assert_eq!(config.control.credentials.source.password, odd);
        assert!(config.listen.iter().all(|address| address.ip().is_loopback()));
    }
}
