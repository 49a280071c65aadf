//! `/api/v1/blocks`: who is kept away for a while, and for how long, for the administrator.

use std::time::Instant;

use serde::Serialize;

use super::response::{HttpResponse, json};
use crate::client::LoginGuard;
use crate::mount::MountTable;

/// The response; the schema `Blocks`.
#[derive(Debug, Serialize)]
struct Blocks<'a> {
    lockouts: Vec<LockoutStatus<'a>>,
    listeners: Vec<BlockedListener>,
}

/// A client, or a network, that has presented too many wrong credentials.
#[derive(Debug, Serialize)]
struct LockoutStatus<'a> {
    kind: &'a str,
    address: String,
    is_network: bool,
    seconds_left: u64,
}

/// Clients that may not listen to a mount.
#[derive(Debug, Serialize)]
struct BlockedListener {
    mount: String,
    address: String,
    /// `None`: all clients of the address.
    agent: Option<String>,
    seconds_left: u64,
}

/// Everybody that is kept away.
pub(super) fn respond(guards: &[LoginGuard], table: &MountTable) -> HttpResponse {
    let lockouts = guards.iter().flat_map(|guard| {
        guard.locked_out().into_iter().map(|locked_out| LockoutStatus {
            kind: guard.kind(),
            address: locked_out.address.to_string(),
            is_network: locked_out.is_network,
            seconds_left: locked_out.left.as_secs().saturating_add(1),
        })
    });
    let now = Instant::now();
    let listeners = table.bans().into_iter().map(|ban| BlockedListener {
        mount: ban.mount.to_string(),
        address: ban.address.to_string(),
        agent: ban.agent.map(String::from),
        seconds_left: ban.until.saturating_duration_since(now).as_secs().saturating_add(1),
    });
    json(&Blocks { lockouts: lockouts.collect(), listeners: listeners.collect() })
}
