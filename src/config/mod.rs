//! The configuration: read from TOML, checked whole, and turned into each part's own settings.

mod budget;
mod icecast;
mod keys;
mod mounts;
mod passwords;
mod reader;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use budget::Budget;
pub use keys::{KEYS, Key, markdown};
pub use reader::Problem;

use mounts::rules;
use passwords::{password, read_file, share_key};
use reader::{Reader, Section};
use values::{flag, networks, number, size, text_of, texts, time, whole_number};

use crate::auth::{Credentials, Login, SOURCE_USER, Secret};
use crate::control::ControlSettings;
use crate::door::{DoorSettings, Limits};
use crate::mount::MAX_THREADS;

fn text_of_file(path: &Path) -> Result<String, Vec<Problem>> {
    read_file(path)
        .map_err(|error| vec![Problem { line: None, text: format!("cannot be read: {error}") }])
}

/// The port where nothing else is said.
pub const PORT: u16 = 8080;

/// Everything that a server needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Data-plane threads.
    pub workers: usize,
    /// Who the process becomes when it is started as root.
    pub user: String,
    /// Each listener's end is a line in the combined log format as well, on standard output.
    pub combined: bool,
    /// What of the file has no meaning here.
    pub ignored: Vec<Problem>,
    /// What the door needs to know, the mounts' rules among it.
    pub door: DoorSettings,
    /// What the control plane needs to know.
    pub control: ControlSettings,
}

/// What is taken from the process's environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `SILVASONIC_ICECAST_PORT`.
    pub port: Option<String>,
    /// `CREDENTIALS_DIRECTORY`, set by systemd.
    pub credentials: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        Self {
            port: std::env::var("SILVASONIC_ICECAST_PORT").ok(),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }

    /// Where a credential of this name would be.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        Some(self.credentials.as_ref()?.join(name))
    }

    /// The port to listen on, if the environment says one.
    ///
    /// # Errors
    /// A sentence, if it is no port.
    pub fn port(&self) -> Result<Option<u16>, Problem> {
        let Some(text) = &self.port else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let text = format!("the environment's SILVASONIC_ICECAST_PORT={text} is not allowed; it takes a port from 0 to 65535");
            Problem { line: None, text }
        })
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// All problems of it.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, Vec<Problem>> {
        Self::read(&text_of_file(path)?, environment)
    }

    /// Reads a document of either kind: TOML, or Icecast's XML.
    ///
    /// # Errors
    /// All problems of it.
    pub fn read(text: &str, environment: &Environment) -> Result<Self, Vec<Problem>> {
        if !icecast::is_xml(text) {
            return Self::parse(text, environment);
        }
        let converted = icecast::convert(text)?;
        let config = Self::parse(&converted.toml, environment);
        let mut config = config.map_err(|problems| converted.relocate(problems))?;
        config.ignored = converted.ignored;
        Ok(config)
    }

    /// A file's configuration in TOML, whichever kind it is.
    ///
    /// # Errors
    /// All problems of it.
    pub fn toml(path: &Path) -> Result<String, Vec<Problem>> {
        let text = text_of_file(path)?;
        if icecast::is_xml(&text) { Ok(icecast::convert(&text)?.toml) } else { Ok(text) }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// All problems of it.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let (mut reader, table) = Reader::new(text);
        let root = reader.root(
            &table,
            &["server", "auth", "process", "log", "limits", "mount-defaults", "mount"],
        );
        let server = reader.section(&table, "server");
        let auth = reader.section(&table, "auth");
        let process = reader.section(&table, "process");
        let log = reader.section(&table, "log");
        let limits = reader.section(&table, "limits");
        let defaults = reader.section(&table, "mount-defaults");
        let mounts = reader.mounts(&table);

        let port = environment.port().unwrap_or_else(|problem| {
            reader.problems.push(problem);
            None
        });
        let prefix = prefix(&mut reader, root);
        let credentials = Credentials {
            source: Login {
                user: SOURCE_USER.into(),
                password: password(&mut reader, auth, "source", environment),
            },
            admin: Login {
                user: text_of(&mut reader, auth, "admin_user", "admin"),
                password: password(&mut reader, auth, "admin", environment),
            },
        };
        let rules = rules(&mut reader, defaults, mounts);
        let limits = read_limits(&mut reader, limits);
        let config = Self {
            listen: listen(&mut reader, root, port),
            workers: number(&mut reader, root, "workers", 1, 1, MAX_THREADS),
            user: text_of(&mut reader, process, "user", "nobody"),
            combined: flag(&mut reader, log, "combined", false),
            ignored: Vec::new(),
            control: ControlSettings {
                hostname: text_of(&mut reader, server, "hostname", "localhost"),
                location: text_of(&mut reader, server, "location", "Earth"),
                admin: text_of(&mut reader, server, "admin", "admin@silvasonic.local"),
                request_head: limits.request_head,
                credentials: credentials.clone(),
            },
            door: DoorSettings {
                prefix,
                trusted_proxies: networks(&mut reader, root, "trusted_proxies", &[]),
                allow: networks(&mut reader, root, "allow", &[]),
                deny: networks(&mut reader, root, "deny", &[]),
                source: credentials.source.clone(),
                share_key: share_key(&mut reader, auth, environment),
                rules,
                limits,
            },
        };
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            reader.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
            Err(reader.problems)
        }
    }

    /// The keys whose values differ here and in `new`, and count from the next start only.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let all = [
            (self.listen != new.listen, "listen"),
            (self.workers != new.workers, "workers"),
            (self.user != new.user, "[process] user"),
            (self.combined != new.combined, "[log] combined"),
        ];
        all.into_iter().filter_map(|(differs, key)| differs.then_some(key)).collect()
    }

    /// What runs without a file: on loopback only, with passwords that the caller makes.
    ///
    /// # Errors
    /// A problem of the environment.
    pub fn for_trying(
        source: &Secret,
        admin: &Secret,
        environment: &Environment,
    ) -> Result<Self, Vec<Problem>> {
        let text = format!(
            "listen = [\"127.0.0.1:{PORT}\"]\n[auth]\nsource_password = {:?}\nadmin_password = {:?}\n",
            source.expose(),
            admin.expose()
        );
        Self::parse(&text, environment)
    }
}

fn limits_without_file() -> Limits {
    Limits {
        sources: 10,
        listeners: 100,
        connections_per_ip: fair_share(100),
        request_head: 8 * 1024,
        head_timeout: Duration::from_secs(10),
        listener_send_buffer: 64 * 1024,
    }
}

/// How many connections a client may have where nothing is said: most, so that a household or a proxy that is
/// not trusted fits behind one address, but never so many that nobody else can listen.
fn fair_share(listeners: usize) -> usize {
    const LEAST: usize = 8;
    (listeners - listeners / 4).max(LEAST)
}

fn read_limits(reader: &mut Reader<'_>, section: Section<'_>) -> Limits {
    let default = limits_without_file();
    let listeners = number(reader, section, "listeners", default.listeners, 1, 100_000);
    let (least_time, most_time) = (Duration::from_millis(100), Duration::from_mins(5));
    Limits {
        sources: number(reader, section, "sources", default.sources, 1, 1000),
        listeners,
        connections_per_ip: reader.get(
            section,
            "connections_per_ip",
            "\"auto\" or a whole number from 0 to 100000",
            fair_share(listeners),
            |value| match value.as_str() {
                Some("auto") => Some(fair_share(listeners)),
                Some(_) => None,
                None => whole_number(value).filter(|number| *number <= 100_000),
            },
        ),
        request_head: size(
            reader,
            section,
            "request_head",
            default.request_head,
            (1 << 10, "1KiB"),
            (64 << 10, "64KiB"),
        ),
        head_timeout: time(
            reader,
            section,
            "head_timeout",
            default.head_timeout,
            (least_time, "100ms"),
            (most_time, "5m"),
        ),
        listener_send_buffer: size(
            reader,
            section,
            "listener_send_buffer",
            default.listener_send_buffer,
            (8 << 10, "8KiB"),
            (16 << 20, "16MiB"),
        ),
    }
}

fn listen(reader: &mut Reader<'_>, root: Section<'_>, port: Option<u16>) -> Vec<SocketAddr> {
    let default = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))];
    let allowed = "a list of addresses with ports, such as [\"0.0.0.0:8080\", \"[::]:8080\"]";
    let mut listen = reader.get(root, "listen", allowed, default, |value| {
        texts(value, |text| text.parse::<SocketAddr>().ok()).filter(|list| !list.is_empty())
    });
    for (address, port) in listen.iter_mut().zip(std::iter::repeat(port)) {
        address.set_port(port.unwrap_or(address.port()));
    }
    listen
}

fn prefix(reader: &mut Reader<'_>, root: Section<'_>) -> String {
    let allowed = "\"\" or a path such as \"/stream\", without a slash at its end";
    reader.get(root, "path_prefix", allowed, String::new(), |value| {
        let text = value.as_str()?;
        let clean = text.starts_with('/')
            && text[1..].split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !text.contains(|c: char| c.is_control() || matches!(c, '?' | '#' | '%' | '*'));
        (text.is_empty() || clean).then(|| text.to_owned())
    })
}
