//! Networks, addresses, and paths of URLs.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde_json::{Value, json};
use toml::de::DeValue;

use super::{Kind, Text, quoted};
use crate::mount::{Name, Pattern};
use crate::peers::ServerUrl;

/// The most hosts of a list.
const MAX_HOSTS: usize = 8;

/// Networks, or single addresses.
#[derive(Debug)]
pub(in crate::config) struct Networks;

impl Kind for Networks {
    type Value = Vec<IpNet>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        list(value, network)
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        refused_element(value, network)
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        Some(written(value))
    }

    fn allowed(&self) -> String {
        "a list of networks or addresses, such as [\"10.89.0.0/16\", \"::1\"]".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": Text.schema() })
    }
}

/// At least one address with a port.
#[derive(Debug)]
pub(in crate::config) struct Addresses;

impl Kind for Addresses {
    type Value = Vec<SocketAddr>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        list(value, socket_address).filter(|list| !list.is_empty())
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        refused_element(value, socket_address)
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        Some(written(value))
    }

    fn allowed(&self) -> String {
        "a list of addresses with ports, such as [\"0.0.0.0:8080\", \"[::]:8080\"]".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": Text.schema(), "minItems": 1 })
    }
}

/// An address with a port, or none.
#[derive(Debug)]
pub(in crate::config) struct OptionalAddress;

impl Kind for OptionalAddress {
    type Value = Option<SocketAddr>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        socket_address(value.as_str()?).map(Some)
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        value.map(|address| quoted(&address.to_string()))
    }

    fn allowed(&self) -> String {
        "an address with a port, such as \"0.0.0.0:8189\"".to_owned()
    }

    fn schema(&self) -> Value {
        Text.schema()
    }
}

/// Addresses without ports, or names of hosts.
#[derive(Debug)]
pub(in crate::config) struct Hosts;

impl Kind for Hosts {
    type Value = Vec<String>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        list(value, host).filter(|list| list.len() <= MAX_HOSTS)
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        refused_element(value, host)
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        Some(written(value))
    }

    fn allowed(&self) -> String {
        format!(
            "a list of up to {MAX_HOSTS} addresses without ports, or names, \
             such as [\"192.0.2.1\", \"station.example\"]"
        )
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": Text.schema(), "maxItems": MAX_HOSTS })
    }
}

/// The beginning of a path, or nothing.
#[derive(Debug)]
pub(in crate::config) struct PathPrefix;

impl Kind for PathPrefix {
    type Value = String;

    fn read(&self, value: &DeValue<'_>) -> Option<String> {
        let text = value.as_str()?;
        let clean = text.starts_with('/')
            && text[1..].split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !text.contains(|c: char| c.is_control() || matches!(c, '?' | '#' | '%' | '*'));
        (text.is_empty() || clean).then(|| text.to_owned())
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn allowed(&self) -> String {
        "\"\" or a path such as \"/stream\", without a slash at its end".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^(/[^/?#%*]+)*$" })
    }
}

/// The name of a mount, or a pattern of names.
#[derive(Debug)]
pub(in crate::config) struct MountPattern;

impl Kind for MountPattern {
    type Value = Option<Pattern>;
    const REQUIRED: bool = true;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        Pattern::new(value.as_str()?).ok().map(Some)
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        Pattern::new(value.as_str()?).err().map(|error| error.to_string())
    }

    fn write(&self, _: &Self::Value) -> Option<String> {
        None
    }

    fn allowed(&self) -> String {
        "a mount name or a pattern, such as \"/mic-*.opus\"".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": r"^/[^?\[\]\\]+$" })
    }
}

/// The name of a mount.
#[derive(Debug)]
pub(in crate::config) struct MountName;

impl Kind for MountName {
    type Value = Option<Name>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        Name::new(value.as_str()?).ok().map(Some)
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        Name::new(value.as_str()?).err().map(|error| error.to_string())
    }

    fn write(&self, _: &Self::Value) -> Option<String> {
        None
    }

    fn allowed(&self) -> String {
        "a mount name, such as \"/mic-a.opus\"".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": r"^/[^?\[\]\\*]+$" })
    }
}

/// A list of names or patterns of mounts.
#[derive(Debug)]
pub(in crate::config) struct MountPatterns;

impl MountPatterns {
    /// All mounts.
    pub(in crate::config) fn all() -> Vec<Pattern> {
        Pattern::new("/**").into_iter().collect()
    }
}

impl Kind for MountPatterns {
    type Value = Vec<Pattern>;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        list(value, |text| Pattern::new(text).ok()).filter(|patterns| !patterns.is_empty())
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        refused_element(value, |text| Pattern::new(text).ok())
    }

    fn write(&self, value: &Self::Value) -> Option<String> {
        let names: Vec<_> = value.iter().map(|pattern| quoted(pattern.as_str())).collect();
        Some(format!("[{}]", names.join(", ")))
    }

    fn allowed(&self) -> String {
        "a list of mount names or patterns, such as [\"/mic-*.opus\"]".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "array", "items": MountPattern.schema(), "minItems": 1 })
    }
}

/// The URL of another server.
#[derive(Debug)]
pub(in crate::config) struct ServerAddress;

impl Kind for ServerAddress {
    type Value = Option<ServerUrl>;
    const REQUIRED: bool = true;

    fn read(&self, value: &DeValue<'_>) -> Option<Self::Value> {
        ServerUrl::parse(value.as_str()?).ok().map(Some)
    }

    fn refusal_reason(&self, value: &DeValue<'_>) -> Option<String> {
        ServerUrl::parse(value.as_str()?).err().map(|error| error.to_string())
    }

    fn write(&self, _: &Self::Value) -> Option<String> {
        None
    }

    fn allowed(&self) -> String {
        "the URL of a server, such as \"http://station.example:8080\"".to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "pattern": "^http://[^@?#]+$" })
    }
}

fn list<T>(value: &DeValue<'_>, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|element| read(element.get_ref().as_str()?)).collect()
}

fn written<T: ToString>(list: &[T]) -> String {
    let elements: Vec<_> = list.iter().map(|element| quoted(&element.to_string())).collect();
    format!("[{}]", elements.join(", "))
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// An address, or a name of letters, digits, hyphens and dots (RFC 1123, section 2.1).
fn host(text: &str) -> Option<String> {
    let is_label = |label: &str| {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(is_of_name)
    };
    let is_name = text.len() <= 253 && text.trim_end_matches('.').split('.').all(is_label);
    (is_name || text.parse::<IpAddr>().is_ok()).then(|| text.to_owned())
}

fn socket_address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// Names the first element of a list that cannot be read.
fn refused_element<T>(value: &DeValue<'_>, read: impl Fn(&str) -> Option<T>) -> Option<String> {
    let refused = |text: &&str| read(text).is_none();
    let mut texts = value.as_array()?.iter().filter_map(|element| element.get_ref().as_str());
    texts.find(refused).map(|text| format!("{} is not one", quoted(text)))
}
