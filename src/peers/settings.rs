//! What the configuration says about other servers.

use std::fmt;
use std::time::Duration;

use crate::auth::{Login, Secret};
use crate::mount::{MountRules, Name, Pattern};
use crate::quota::Limits;

/// Everything that pulling and pushing depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// The servers from which mounts are pulled.
    pub relays: Vec<RelaySettings>,
    /// The servers to which mounts are pushed.
    pub forwards: Vec<ForwardSettings>,
    /// The limits of this server.
    pub limits: Limits,
    /// The settings of mounts, by name pattern.
    pub rules: MountRules,
}

/// A server from which mounts are pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaySettings {
    /// The server.
    pub from: ServerUrl,
    /// Which of its mounts.
    pub mounts: Vec<Pattern>,
    /// The login with which they are listed and heard.
    pub login: Option<Login>,
    /// The token with which they are heard.
    pub token: Option<Secret>,
    /// Whether a mount is pulled only while somebody listens.
    pub on_demand: bool,
    /// How long it is still pulled when the last listener has left.
    pub linger: Duration,
    /// What is put in front of the names here.
    pub prefix: String,
    /// The name here of the only mount.
    pub local_name: Option<Name>,
}

/// A server to which mounts are pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardSettings {
    /// The server.
    pub to: ServerUrl,
    /// Which mounts of this server.
    pub mounts: Vec<Pattern>,
    /// The login of sources there.
    pub login: Login,
    /// When they are pushed.
    pub when: When,
    /// What is put in front of the names there.
    pub prefix: String,
}

/// When a mount is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While it has a stream.
    Always,
    /// While somebody wants it at the other server.
    Wanted,
}

/// The URL of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Host and port.
    pub authority: String,
    /// What is in front of every path; without a slash at its end.
    pub prefix: String,
}

/// Why a text is not the URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// `https`.
    #[error("https is not supported; let a local proxy or a VPN encrypt it (docs/scale.md)")]
    Https,
    /// It has a user or a password.
    #[error("the login has keys of its own")]
    Login,
    /// Anything else.
    #[error("it is not an address")]
    Other,
}

impl ServerUrl {
    /// Reads a URL such as `http://station.example:8080`.
    ///
    /// # Errors
    /// [`ServerUrlError`].
    pub fn parse(text: &str) -> Result<Self, ServerUrlError> {
        if text.starts_with("https:") {
            return Err(ServerUrlError::Https);
        }
        let rest = text.strip_prefix("http://").ok_or(ServerUrlError::Other)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(ServerUrlError::Login);
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
        let is_path = |c: char| c.is_ascii_graphic() && !"?#\"<>\\".contains(c);
        // The colons of an IPv6 address are inside its brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = port.map_or(Ok(80), str::parse::<u16>).map_err(|_| ServerUrlError::Other)?;
        if host.is_empty() || !host.chars().all(is_host) || !path.chars().all(is_path) {
            return Err(ServerUrlError::Other);
        }
        let prefix = path.trim_end_matches('/').to_owned();
        Ok(Self { authority: format!("{host}:{port}"), prefix })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

impl RelaySettings {
    /// The name that a mount of the other server gets here; `None` if it is not pulled. One that is
    /// listed and has the prefix already is not: it would have come from here.
    pub fn local_name(&self, name: &Name) -> Option<Name> {
        if let Some(local) = &self.local_name {
            return Some(local.clone()).filter(|_| self.mounts.iter().any(|it| it.matches(name)));
        }
        let below = name.as_str().strip_prefix(&self.prefix).filter(|_| !self.prefix.is_empty());
        let is_named = self.named().any(|named| named == *name);
        let comes_back = !is_named && below.is_some_and(|rest| rest.starts_with('/'));
        let is_wanted = self.mounts.iter().any(|pattern| pattern.matches(name));
        let local = Name::new(&format!("{}{name}", self.prefix)).ok();
        local.filter(|_| is_wanted && !comes_back)
    }

    /// The mounts that are pulled without a look at what the other server lists.
    pub fn named(&self) -> impl Iterator<Item = Name> {
        self.mounts.iter().filter_map(Pattern::name)
    }

    /// Whether it must be known what the other server lists.
    pub fn needs_list(&self) -> bool {
        self.mounts.iter().any(|pattern| pattern.name().is_none())
    }
}

impl ForwardSettings {
    /// The name that a mount of this server gets at the other one; `None` if it is not pushed.
    pub fn remote_name(&self, name: &Name) -> Option<Name> {
        let is_wanted = self.mounts.iter().any(|pattern| pattern.matches(name));
        Name::new(&format!("{}{name}", self.prefix)).ok().filter(|_| is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers_are_read() {
        let parse = |text| ServerUrl::parse(text).map(|url| url.to_string());
        for (text, url) in [
            ("http://station.example", "http://station.example:80"),
            ("http://station.example/", "http://station.example:80"),
            ("http://[::1]:8080/stream/", "http://[::1]:8080/stream"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(url), "{text}");
        }
        for (text, error) in [
            ("https://station.example", ServerUrlError::Https),
            ("http://relay:pw@station.example", ServerUrlError::Login),
            ("station.example:8080", ServerUrlError::Other),
            ("http://", ServerUrlError::Other),
            ("http://a:99999", ServerUrlError::Other),
            ("http://a b", ServerUrlError::Other),
            ("http://a/b?c", ServerUrlError::Other),
            ("ftp://a", ServerUrlError::Other),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn names_get_the_prefix_once() {
        let name = |text: &str| Name::new(text).unwrap();
        let relay = RelaySettings {
            from: ServerUrl::parse("http://a").unwrap(),
            mounts: vec![Pattern::new("/mic-*").unwrap(), Pattern::new("/far/**").unwrap()],
            login: None,
            token: None,
            on_demand: false,
            linger: Duration::ZERO,
            prefix: "/far".into(),
            local_name: None,
        };
        assert_eq!(relay.local_name(&name("/mic-a")), Some(name("/far/mic-a")));
        assert_eq!(relay.local_name(&name("/other")), None);
        assert_eq!(relay.local_name(&name("/far/mic-a")), None, "it would have come from here");
        let near = RelaySettings { prefix: "/mic".into(), ..relay.clone() };
        assert_eq!(near.local_name(&name("/mic-a")), Some(name("/mic/mic-a")));
        let long = name(&format!("/mic-{}", "x".repeat(250)));
        assert_eq!(relay.local_name(&long), None);
        let renamed = RelaySettings { local_name: Some(name("/x")), ..relay };
        assert_eq!(renamed.local_name(&name("/mic-a")), Some(name("/x")));
    }
}
