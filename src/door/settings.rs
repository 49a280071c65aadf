//! What the door needs of the configuration.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::{Login, Secret};
use crate::mount::MountRules;

/// The door's part of the configuration.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Accepted in front of every path.
    pub prefix: String,
    /// Proxies whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that may connect; empty for all.
    pub allow: Vec<IpNet>,
    /// Networks that may not connect, even where `allow` lists them.
    pub deny: Vec<IpNet>,
    /// The login of sources, for mounts that have none of their own.
    pub source: Login,
    /// The key that signs links to mounts; without it no link is valid.
    pub share_key: Option<Secret>,
    /// The rules of the mounts.
    pub rules: MountRules,
    /// Limits.
    pub limits: Limits,
}

/// Limits on connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Mounts at once.
    pub sources: usize,
    /// Listeners of all mounts together.
    pub listeners: usize,
    /// Connections of one client; 0 for no limit.
    pub connections_per_ip: usize,
    /// The longest request head, in bytes.
    pub request_head: usize,
    /// Time for a request head.
    pub head_timeout: Duration,
    /// Kernel memory for what a listener has not yet received, in bytes.
    pub listener_send_buffer: usize,
}

impl DoorSettings {
    /// Whether a peer is a trusted proxy.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}
