//! The clients that listen by HLS. Such a client holds no connection: it is a listener as long as it
//! keeps requesting.
//!
//! It counts like any other listener: in the limits, in the directory, in events and in the log. A client
//! is an address and a `User-Agent`, or a signed link.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::mount::{Departure, MountEntry, Name, Operator, Registration};
use crate::quota::Permit;

/// How often it is checked who has stopped requesting.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What makes several requests those of one listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HlsClient {
    /// The signature of a link.
    Link(Name, String),
    /// The client's address, and its `User-Agent`.
    Agent(Name, IpAddr, String),
}

/// A client that listens by HLS.
#[derive(Debug)]
pub struct HlsListener {
    registration: Registration,
    permits: Vec<Permit>,
    mount: Weak<MountEntry>,
    name: Name,
    /// It has left when it has requested nothing for this long.
    patience: Duration,
    requested: Instant,
    bytes: u64,
}

/// All clients that listen by HLS.
#[derive(Debug, Default)]
pub struct HlsListeners {
    listeners: Mutex<HashMap<HlsClient, HlsListener>>,
    /// Notified when there is a first one.
    arrived: Notify,
}

impl HlsListener {
    /// A listener of this mount, whose segments have a target duration of so many seconds.
    pub fn new(
        mount: &Arc<MountEntry>,
        registration: Registration,
        permits: Vec<Permit>,
        target_duration: u64,
    ) -> Self {
        Self {
            registration,
            permits,
            mount: Arc::downgrade(mount),
            name: mount.name.clone(),
            patience: Duration::from_secs(2 * target_duration),
            requested: Instant::now(),
            bytes: 0,
        }
    }

    /// Logs that the listener has left, and frees its place.
    fn leave(self, reason: &str, by: Option<&Operator>) {
        let Self { registration, permits, mount, .. } = self;
        // Free the permits before the log and the control plane report that the listener left.
        drop(permits);
        let info = registration.listener();
        info.log_departure(&Departure {
            mount: self.name.as_str(),
            reason,
            by,
            bytes: self.bytes,
            skips: None,
        });
        drop(registration);
        if let Some(mount) = mount.upgrade() {
            mount.listener_left();
        }
    }
}

impl HlsListeners {
    /// Notes a request of a client for this mount. False if the client is not a listener of it yet.
    pub fn note_request(&self, client: &HlsClient, mount: &Arc<MountEntry>) -> bool {
        let mut listeners = self.lock();
        let Some(listener) = listeners.get_mut(client) else { return false };
        // Meanwhile the mount may have ended, and another of its name begun.
        if !std::ptr::eq(listener.mount.as_ptr(), Arc::as_ptr(mount)) {
            let former = listeners.remove(client);
            drop(listeners);
            if let Some(listener) = former {
                listener.leave("the mount has ended", None);
            }
            return false;
        }
        listener.requested = Instant::now();
        true
    }

    /// Adds a client that begins to listen.
    pub fn enter(&self, client: HlsClient, listener: HlsListener) {
        let mount = listener.mount.clone();
        let waited = listener.registration.listener().since.elapsed();
        let mut listeners = self.lock();
        if listeners.is_empty() {
            self.arrived.notify_one();
        }
        listeners.insert(client, listener);
        drop(listeners);
        if let Some(mount) = mount.upgrade() {
            mount.listener_joined(waited);
        }
    }

    /// Counts what a client was sent.
    pub fn note_sent(&self, client: &HlsClient, bytes: u64) {
        if let Some(listener) = self.lock().get_mut(client) {
            listener.bytes = listener.bytes.saturating_add(bytes);
        }
    }

    /// Removes a listener for an administrator.
    pub fn evict(&self, id: u64, by: &Operator) {
        for listener in self.remove(|listener| listener.registration.listener().id == id) {
            listener.leave("disconnected by an administrator", Some(by));
        }
    }

    /// Removes those who have stopped requesting. Never resolves. Without listeners, it wakes nobody.
    pub async fn expire(&self) {
        loop {
            if self.lock().is_empty() {
                self.arrived.notified().await;
            }
            sleep(CHECK_INTERVAL).await;
            let now = Instant::now();
            let is_gone = |listener: &HlsListener| {
                now.saturating_duration_since(listener.requested) >= listener.patience
            };
            for listener in self.remove(is_gone) {
                let seconds = listener.patience.as_secs();
                listener.leave(&format!("requested nothing for {seconds} s"), None);
            }
        }
    }

    fn remove(&self, is_removed: impl Fn(&HlsListener) -> bool) -> Vec<HlsListener> {
        let mut listeners = self.lock();
        listeners
            .extract_if(|_, listener| is_removed(listener))
            .map(|(_, listener)| listener)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HlsClient, HlsListener>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
