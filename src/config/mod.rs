//! The configuration: read from TOML, checked whole, and turned into each part's own settings.

mod budget;
mod keys;
mod passwords;
mod reader;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

pub use budget::Budget;
pub use keys::{KEYS, Key, markdown};
pub use reader::Problem;

use passwords::password;
use reader::{Reader, Section};

use crate::control::Settings as ControlSettings;
use crate::door::{Credentials, Limits, Secret, Settings as DoorSettings};
use crate::mount::{Burst, Gap, MIN_RING, Pattern, Rules, Settings};
use crate::units;

/// The port where nothing else is said.
pub const PORT: u16 = 8080;

/// Who the process becomes where nothing else is said.
const USER: &str = "nobody";

/// Everything that a server needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Data-plane threads.
    pub workers: usize,
    /// Who the process becomes when it is started as root.
    pub user: String,
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
        let text = fs::read_to_string(path).map_err(|error| {
            vec![Problem { line: None, text: format!("cannot be read: {error}") }]
        })?;
        Self::parse(&text, environment)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// All problems of it.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let (mut reader, table) = Reader::new(text);
        let root = reader
            .root(&table, &["server", "auth", "process", "limits", "mount-defaults", "mount"]);
        let server = reader.section(&table, "server");
        let auth = reader.section(&table, "auth");
        let process = reader.section(&table, "process");
        let limits = reader.section(&table, "limits");
        let defaults = reader.section(&table, "mount-defaults");
        let mounts = reader.mounts(&table);

        let port = environment.port().unwrap_or_else(|problem| {
            reader.problems.push(problem);
            None
        });
        let defaults = mount_settings(&mut reader, defaults, &mount_settings_without_file());
        let rules = mounts.into_iter().filter_map(|section| {
            let name = reader.get(section, "name", PATTERN, None, |v| {
                Some(Some(Pattern::new(v.as_str()?).ok()?))
            });
            if name.is_none() && reader.line_of(section, "name").is_none() {
                let text = format!("each [[mount]] needs a name; it takes {PATTERN}");
                reader.problems.push(Problem { line: None, text });
            }
            let settings = mount_settings(&mut reader, section, &defaults);
            Some((name?, Arc::new(settings)))
        });
        let rules = rules.collect();
        let prefix = prefix(&mut reader, root);
        let config = Self {
            listen: listen(&mut reader, root, port),
            workers: number(&mut reader, root, "workers", 1, 1, 64),
            user: text_of(&mut reader, process, "user", USER),
            control: ControlSettings {
                hostname: text_of(&mut reader, server, "hostname", "localhost"),
                location: text_of(&mut reader, server, "location", "Earth"),
                admin: text_of(&mut reader, server, "admin", "admin@silvasonic.local"),
                prefix: prefix.clone(),
            },
            door: DoorSettings {
                prefix,
                trusted_proxies: networks(&mut reader, root),
                credentials: Credentials {
                    source: password(&mut reader, auth, "source", environment),
                    admin_user: text_of(&mut reader, auth, "admin_user", "admin"),
                    admin: password(&mut reader, auth, "admin", environment),
                },
                rules: Rules { rules, defaults: Arc::new(defaults) },
                limits: read_limits(&mut reader, limits),
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
        ];
        all.into_iter().filter_map(|(differs, key)| differs.then_some(key)).collect()
    }

    /// What runs without a file: on loopback only, with passwords that the caller makes.
    ///
    /// # Errors
    /// A problem of the environment.
    pub fn for_trying(
        source: Secret,
        admin: Secret,
        environment: &Environment,
    ) -> Result<Self, Problem> {
        let port = environment.port()?.unwrap_or(PORT);
        Ok(Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
            workers: 1,
            user: USER.into(),
            control: ControlSettings {
                hostname: "localhost".into(),
                location: "Earth".into(),
                admin: "admin@silvasonic.local".into(),
                prefix: String::new(),
            },
            door: DoorSettings {
                prefix: String::new(),
                trusted_proxies: Vec::new(),
                credentials: Credentials { source, admin_user: "admin".into(), admin },
                rules: Rules {
                    rules: Vec::new(),
                    defaults: Arc::new(mount_settings_without_file()),
                },
                limits: limits_without_file(),
            },
        })
    }
}

const PATTERN: &str = "a mount name such as \"/mic-*.opus\"";

fn mount_settings_without_file() -> Settings {
    Settings {
        ring: 256 * 1024,
        burst: Burst::Auto,
        source_timeout: Duration::from_secs(10),
        gap: Gap::Silence,
        gap_after: Duration::from_secs(1),
        hold: Duration::from_secs(30),
        listener_timeout: Duration::from_secs(30),
        max_listeners: 0,
        coalesce: Duration::ZERO,
    }
}

fn limits_without_file() -> Limits {
    Limits {
        sources: 10,
        listeners: 100,
        connections_per_ip: 0,
        request_head: 8 * 1024,
        head_timeout: Duration::from_secs(10),
        listener_send_buffer: 64 * 1024,
    }
}

fn mount_settings(reader: &mut Reader<'_>, section: Section<'_>, default: &Settings) -> Settings {
    const BURST: &str = "\"auto\" or a duration from \"0ms\" to \"10m\"";
    const GAP: &str = "\"silence\", \"pause\" or \"end\"";
    let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
    Settings {
        ring: size(
            reader,
            section,
            "ring",
            default.ring,
            (MIN_RING, "128KiB"),
            (256 << 20, "256MiB"),
        ),
        burst: reader.get(section, "burst", BURST, default.burst, |value| {
            match value.as_str()? {
                "auto" => Some(Burst::Auto),
                text => {
                    units::duration(text).filter(|t| *t <= Duration::from_mins(10)).map(Burst::Time)
                }
            }
        }),
        source_timeout: time(
            reader,
            section,
            "source_timeout",
            default.source_timeout,
            (second, "1s"),
            (hour, "1h"),
        ),
        gap: reader.get(section, "gap", GAP, default.gap, |value| match value.as_str()? {
            "silence" => Some(Gap::Silence),
            "pause" => Some(Gap::Pause),
            "end" => Some(Gap::End),
            _ => None,
        }),
        gap_after: time(
            reader,
            section,
            "gap_after",
            default.gap_after,
            (Duration::from_millis(100), "100ms"),
            (Duration::from_mins(5), "5m"),
        ),
        hold: time(
            reader,
            section,
            "hold",
            default.hold,
            (Duration::ZERO, "0s"),
            (Duration::from_hours(24), "24h"),
        ),
        listener_timeout: time(
            reader,
            section,
            "listener_timeout",
            default.listener_timeout,
            (second, "1s"),
            (hour, "1h"),
        ),
        max_listeners: number(reader, section, "max_listeners", default.max_listeners, 0, 100_000),
        coalesce: time(
            reader,
            section,
            "coalesce",
            default.coalesce,
            (Duration::ZERO, "0ms"),
            (Duration::from_secs(5), "5s"),
        ),
    }
}

fn read_limits(reader: &mut Reader<'_>, section: Section<'_>) -> Limits {
    let default = limits_without_file();
    let (least_time, most_time) = (Duration::from_millis(100), Duration::from_mins(5));
    Limits {
        sources: number(reader, section, "sources", default.sources, 1, 1000),
        listeners: number(reader, section, "listeners", default.listeners, 1, 100_000),
        connections_per_ip: number(reader, section, "connections_per_ip", 0, 0, 100_000),
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

fn number(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: usize,
    least: usize,
    most: usize,
) -> usize {
    let allowed = format!("a whole number from {least} to {most}");
    reader.get(section, key, &allowed, default, |value| {
        let number = value.as_integer()?;
        let number = usize::from_str_radix(number.as_str(), number.radix()).ok()?;
        (least..=most).contains(&number).then_some(number)
    })
}

fn size(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: usize,
    (least, least_text): (usize, &str),
    (most, most_text): (usize, &str),
) -> usize {
    let allowed = format!("a size from \"{least_text}\" to \"{most_text}\"");
    reader.get(section, key, &allowed, default, |value| {
        units::size(value.as_str()?).filter(|size| (least..=most).contains(size))
    })
}

fn time(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    key: &str,
    default: Duration,
    (least, least_text): (Duration, &str),
    (most, most_text): (Duration, &str),
) -> Duration {
    let allowed = format!("a duration from \"{least_text}\" to \"{most_text}\"");
    reader.get(section, key, &allowed, default, |value| {
        units::duration(value.as_str()?).filter(|time| (least..=most).contains(time))
    })
}

fn text_of(reader: &mut Reader<'_>, section: Section<'_>, key: &str, default: &str) -> String {
    reader.get(section, key, "a text in quotes, not empty", default.to_owned(), |value| {
        value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    })
}

fn texts<T>(value: &DeValue<'_>, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|element| read(element.get_ref().as_str()?)).collect()
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

fn networks(reader: &mut Reader<'_>, root: Section<'_>) -> Vec<IpNet> {
    let allowed = "a list of networks such as [\"10.89.0.0/16\", \"::1\"]";
    let network =
        |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    reader.get(root, "trusted_proxies", allowed, Vec::new(), |value| texts(value, network))
}
