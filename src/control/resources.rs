//! `/api/v1/server`: what the server is, which limits are in force, and how much of each is used.
//!
//! Only the administrator may see it: how much room is left tells an attacker when to push, and the
//! number of mounts counts hidden ones.

use std::sync::Arc;

use serde::Serialize;

use super::memory_ceiling::MemoryCeiling;
use super::render::{rfc3339, round};
use super::settings::ControlSettings;
use crate::client::ConnectionQuotas;
use crate::clock::Timestamp;
use crate::mount::MountTable;
use crate::platform::resident;
use crate::quota::Quota;

/// Where the use of the server's limits is counted.
#[derive(Debug)]
pub(crate) struct Resources {
    /// All mounts.
    pub(crate) table: Arc<MountTable>,
    /// The listeners of all mounts together.
    pub(crate) listeners: Arc<Quota>,
    /// The connections of each client.
    pub(crate) connections: Arc<ConnectionQuotas>,
    /// The memory ceiling in force.
    pub(crate) ceiling: Arc<MemoryCeiling>,
}

/// The response of `/api/v1/server`; the schema `Server`.
#[derive(Debug, Serialize)]
pub(super) struct ServerStatus {
    software: Software,
    station: StationInfo,
    started: String,
    uptime_seconds: u64,
    /// How many mounts have a stream.
    mounts: usize,
    limits: LimitUse,
    memory: MemoryUse,
}

#[derive(Debug, Serialize)]
struct Software {
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct StationInfo {
    name: Option<String>,
    hostname: String,
    location: String,
    admin: String,
}

/// The limits by their keys in `[limits]`.
#[derive(Debug, Serialize)]
struct LimitUse {
    sources: CountedLimit,
    listeners: CountedLimit,
    connections_per_ip: CountedLimit,
    request_head_bytes: usize,
    head_timeout_seconds: f64,
    listener_send_buffer_bytes: usize,
}

#[derive(Debug, Serialize)]
struct CountedLimit {
    /// `None`: no limit.
    limit: Option<usize>,
    /// `None`: not counted, because there is no limit.
    used: Option<usize>,
}

#[derive(Debug, Serialize)]
struct MemoryUse {
    resident_bytes: u64,
    ceiling_bytes: u64,
    parts: Vec<MemoryPart>,
}

#[derive(Debug, Serialize)]
struct MemoryPart {
    place: &'static str,
    part: &'static str,
    count: u64,
    each_bytes: u64,
    bytes: u64,
}

impl Resources {
    /// The present state of the server, which was started at `since`.
    pub(super) fn status(&self, settings: &ControlSettings, since: Timestamp) -> ServerStatus {
        let of = |limit, used| CountedLimit { limit: Some(limit), used: Some(used) };
        let limits = &settings.limits;
        let connections_per_ip = match limits.connections_per_ip {
            0 => CountedLimit { limit: None, used: None },
            limit => of(limit, self.connections.most()),
        };
        let parts = self.ceiling.items().into_iter().map(|item| MemoryPart {
            place: item.owner.name(),
            part: item.what,
            count: item.count,
            each_bytes: item.each,
            bytes: item.bytes(),
        });
        ServerStatus {
            software: Software { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
            station: StationInfo {
                name: settings.name.clone(),
                hostname: settings.hostname.clone(),
                location: settings.location.clone(),
                admin: settings.admin.clone(),
            },
            started: rfc3339(since.wall),
            // By the monotonic clock: a Raspberry Pi sets the other one after its start.
            uptime_seconds: since.elapsed().as_secs(),
            mounts: self.table.streams().len(),
            limits: LimitUse {
                sources: of(limits.sources, self.table.existing()),
                listeners: of(limits.listeners, self.listeners.taken()),
                connections_per_ip,
                request_head_bytes: limits.request_head,
                head_timeout_seconds: round(limits.head_timeout.as_secs_f64()),
                listener_send_buffer_bytes: limits.listener_send_buffer,
            },
            memory: MemoryUse {
                resident_bytes: resident(),
                ceiling_bytes: self.ceiling.total(),
                parts: parts.collect(),
            },
        }
    }
}
