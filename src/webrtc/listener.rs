//! A client that listens by WebRTC, as the limits, the directory, the events and the log see it.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::end::SessionEnd;
use super::session::Totals;
use crate::mount::{Departure, MountEntry, Name, Registration};
use crate::quota::Permit;

/// A client that was admitted to a mount.
#[derive(Debug)]
pub struct WebRtcListener {
    registration: Registration,
    permits: Vec<Permit>,
    /// When it must leave; `None` for no limit.
    until: Option<Instant>,
    name: Name,
    /// Weak, because the mount must not outlast its stream.
    mount: Weak<MountEntry>,
}

impl WebRtcListener {
    /// A listener of this mount.
    pub fn new(
        mount: &Arc<MountEntry>,
        registration: Registration,
        permits: Vec<Permit>,
        until: Option<Instant>,
    ) -> Self {
        let (name, mount) = (mount.name.clone(), Arc::downgrade(mount));
        Self { registration, permits, until, name, mount }
    }

    /// The mount, while it exists.
    pub fn mount(&self) -> Option<Arc<MountEntry>> {
        self.mount.upgrade()
    }

    /// Why it must leave, if it must.
    pub(super) fn must_leave(&self) -> Option<SessionEnd> {
        if let Some(by) = self.registration.listener().killed_by() {
            return Some(SessionEnd::Killed(Arc::clone(by)));
        }
        self.until.is_some_and(|until| Instant::now() >= until).then_some(SessionEnd::Expired)
    }

    /// Counts it among those who have joined.
    pub(super) fn joined(&self) {
        if let Some(mount) = self.mount() {
            mount.listener_joined(self.registration.listener().since.elapsed());
        }
    }

    /// Logs that it has left.
    pub(super) fn leave(mut self, reason: &SessionEnd, totals: Totals) {
        // Free the permits before the log and the control plane report that the listener left.
        self.permits.clear();
        let info = self.registration.listener();
        let by = if let SessionEnd::Killed(by) = reason { Some(&**by) } else { None };
        info.log_departure(&Departure {
            mount: self.name.as_str(),
            reason: &reason.to_string(),
            by,
            bytes: totals.bytes,
            skips: None,
        });
    }
}

impl Drop for WebRtcListener {
    fn drop(&mut self) {
        self.permits.clear();
        if let Some(mount) = self.mount() {
            mount.listener_left();
        }
    }
}
