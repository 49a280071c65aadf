//! How the connections to other servers are doing, for the administrator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::log::journal;
use crate::mount::Name;

/// The direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerKind {
    /// It is pulled from the other server.
    Relay,
    /// It is pushed to the other server.
    Forward,
}

/// What is being done for a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Nobody wants it.
    Idle,
    /// A connection is being made.
    Connecting,
    /// Audio is passing.
    Connected,
    /// The last attempt failed. Another one follows.
    Failed,
}

/// How it is going with one mount and one server.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The direction.
    pub kind: PeerKind,
    /// The name of the mount at the other server; `None` for the list of its mounts.
    pub remote: Option<Name>,
    /// Its name here.
    pub local: Option<Name>,
    /// The URL of the other server.
    pub server: String,
    /// What is being done.
    pub state: PeerState,
    /// Why the last attempt failed; `None` if none has since the last success.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// How often a connection was made.
    pub connections: u64,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct PeerDirectory(Arc<Mutex<BTreeMap<u64, PeerStatus>>>);

/// An entry of the directory. Dropping it removes the entry.
#[derive(Debug)]
pub(super) struct PeerEntry {
    directory: PeerDirectory,
    id: u64,
}

impl PeerKind {
    /// Its name in JSON and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Forward => "forward",
        }
    }
}

impl PeerState {
    /// Its name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Failed => "failed",
        }
    }
}

impl PeerDirectory {
    /// All, in the order in which they were added.
    pub fn all(&self) -> Vec<PeerStatus> {
        self.lock().values().cloned().collect()
    }

    /// Adds a mount, by its names there and here, or the list of the mounts of a server.
    pub(super) fn enter(
        &self,
        kind: PeerKind,
        names: Option<(&Name, &Name)>,
        server: String,
    ) -> PeerEntry {
        let mut entries = self.lock();
        let id = entries.last_key_value().map_or(0, |(id, _)| id + 1);
        let (remote, local) = names.map(|(remote, local)| (remote.clone(), local.clone())).unzip();
        let (state, since) = (PeerState::Idle, Timestamp::now());
        let status =
            PeerStatus { kind, remote, local, server, state, reason: None, since, connections: 0 };
        entries.insert(id, status);
        PeerEntry { directory: self.clone(), id }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, PeerStatus>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerEntry {
    /// Whether audio is passing.
    pub(super) fn is_connected(&self) -> bool {
        let entries = self.directory.lock();
        entries.get(&self.id).is_some_and(|entry| entry.state == PeerState::Connected)
    }

    /// Sets the state.
    pub(super) fn set(&self, state: PeerState) {
        let mut entries = self.directory.lock();
        let Some(entry) = entries.get_mut(&self.id) else { return };
        if entry.state != state {
            (entry.state, entry.since) = (state, Timestamp::now());
            if state == PeerState::Connected {
                entry.connections += 1;
                entry.reason = None;
            }
        }
    }

    /// Records that audio of the mount is passing, and logs it.
    pub(super) fn connected(&self) {
        self.set(PeerState::Connected);
        let entries = self.directory.lock();
        let Some(PeerStatus { kind, local, server, .. }) = entries.get(&self.id) else { return };
        let mount = local.as_ref().map(Name::as_str);
        match kind {
            PeerKind::Relay => {
                journal!(
                    info,
                    PEER_CONNECTED,
                    mount,
                    server,
                    "pulling a mount from another server"
                );
            }
            PeerKind::Forward => {
                journal!(info, PEER_CONNECTED, mount, server, "pushing a mount to another server");
            }
        }
    }

    /// Records why an attempt failed, and that another one follows after `delay`. Logs it when the reason
    /// changes, so that a server that is away for long does not fill the journal.
    pub(super) fn fail(&self, reason: &str, delay: Duration) {
        self.set(PeerState::Failed);
        let mut entries = self.directory.lock();
        let Some(entry) = entries.get_mut(&self.id) else { return };
        if entry.reason.as_deref() == Some(reason) {
            return;
        }
        entry.reason = Some(reason.to_owned());
        let what = match (entry.kind, &entry.local) {
            (PeerKind::Relay, None) => "list the mounts of",
            (PeerKind::Relay, Some(_)) => "pull a mount from",
            (PeerKind::Forward, _) => "push a mount to",
        };
        let (mount, server) = (entry.local.as_ref().map(Name::as_str), &entry.server);
        let seconds = delay.as_secs_f32();
        journal!(
            warn,
            PEER_FAILED,
            mount,
            server,
            reason,
            seconds,
            "cannot {what} another server; trying again"
        );
    }
}

impl Drop for PeerEntry {
    fn drop(&mut self) {
        self.directory.lock().remove(&self.id);
    }
}
