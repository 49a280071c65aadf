//! Settings of the door.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::auth::{Credentials, Secret};
use crate::mount::MountRules;
use crate::quota::Limits;

/// The door's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl DoorSettings {
    /// Whether a peer is a trusted proxy.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}
