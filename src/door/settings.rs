//! Settings of the door.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::{Credentials, Secret};
use crate::mount::MountRules;

/// The door's part of the configuration.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Optional prefix of all paths, such as `/stream`.
    pub prefix: String,
    /// Networks of proxies whose forwarding fields are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that may connect. Empty: all.
    pub allow: Vec<IpNet>,
    /// Networks that may not connect. Overrides `allow`.
    pub deny: Vec<IpNet>,
    /// Logins of sources, for mounts without `source_password`, and of the administrator.
    pub credentials: Credentials,
    /// Key with which links are signed. Without it, no link is valid.
    pub share_key: Option<Secret>,
    /// Settings of mounts, by name pattern.
    pub rules: MountRules,
    /// Limits on connections and requests.
    pub limits: Limits,
}

/// Limits on connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of mounts.
    pub sources: usize,
    /// Maximum number of listeners of all mounts together.
    pub listeners: usize,
    /// Maximum number of connections of one client. 0: no limit.
    pub connections_per_ip: usize,
    /// Maximum length of a request head, in bytes.
    pub request_head: usize,
    /// Time within which a request head must be complete.
    pub head_timeout: Duration,
    /// Kernel memory for the send buffer of a listener's socket, in bytes.
    pub listener_send_buffer: usize,
}

impl DoorSettings {
    /// Whether a peer is a trusted proxy.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}
