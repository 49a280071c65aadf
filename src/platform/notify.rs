//! Sends messages to the service manager (`sd_notify(3)`) from the thread `notify`. A send blocks
//! while the service manager does not read its socket, and the thread that handles signals must not
//! block.
//!
//! A message that is still pending is replaced by a newer one of its kind: a status by the next
//! status, a reload by the next reload. So the newest message of each kind is never lost, and the
//! queue is bounded.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::log::journal;

/// How long [`Notifier::flush`] waits for pending messages to be sent.
const NOTIFY_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Queues messages for the service manager. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

/// The messages that have not been sent yet.
#[derive(Debug, Default)]
struct Pending {
    /// At most three: the two of the last reload, and `Stopping`.
    states: VecDeque<ServiceState>,
    status: Option<String>,
    watchdog: bool,
    /// A message has been taken from the queue and is being sent.
    sending: bool,
}

/// A change in the life cycle of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServiceState {
    /// Ready for the first time, with the status.
    Started(String),
    /// Ready again after a reload.
    Ready,
    Reloading,
    Stopping,
}

enum Notification {
    State(ServiceState),
    Status(String),
    Watchdog,
}

impl Notifier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's error if the thread cannot be created.
    pub(super) fn start() -> io::Result<Self> {
        let notifier = Self(Arc::default());
        let shared = Arc::clone(&notifier.0);
        thread::Builder::new().name("notify".into()).spawn(move || shared.send_all())?;
        Ok(notifier)
    }

    /// Reports that the server accepts connections, with its status.
    pub(super) fn started(&self, status: String) {
        self.change(|pending| pending.push(ServiceState::Started(status)));
    }

    /// Reports that a reload has ended, with or without success.
    pub(super) fn ready(&self) {
        self.change(|pending| pending.push(ServiceState::Ready));
    }

    /// Reports that a reload has begun.
    pub(super) fn reloading(&self) {
        self.change(|pending| pending.push(ServiceState::Reloading));
    }

    /// Reports that the server is stopping.
    pub(super) fn stopping(&self) {
        self.change(|pending| pending.push(ServiceState::Stopping));
    }

    /// Pings the watchdog.
    pub(super) fn watchdog(&self) {
        self.change(|pending| pending.watchdog = true);
    }

    /// Reports the status, in one line.
    pub(super) fn status(&self, status: String) {
        self.change(|pending| pending.status = Some(status));
    }

    /// Waits until all messages have been sent, but not longer than a second.
    pub fn flush(&self) {
        let end = Instant::now().checked_add(NOTIFY_FLUSH_TIMEOUT);
        let mut pending = self.0.lock();
        while !pending.is_empty() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.unwrap_or_default();
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(pending, left);
            pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.0.lock());
        self.0.changed.notify_all();
    }
}

impl Pending {
    fn push(&mut self, state: ServiceState) {
        if state == ServiceState::Reloading {
            // A new reload makes the states of the previous one obsolete.
            self.states.clear();
        }
        self.states.push_back(state);
    }

    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.status.is_none() && !self.watchdog && !self.sending
    }

    /// Takes the next message. States come first, then the status, then the ping.
    fn take(&mut self) -> Option<Notification> {
        if let Some(state) = self.states.pop_front() {
            return Some(Notification::State(state));
        }
        if let Some(status) = self.status.take() {
            return Some(Notification::Status(status));
        }
        std::mem::take(&mut self.watchdog).then_some(Notification::Watchdog)
    }
}

impl Shared {
    fn send_all(&self) {
        let mut pending = self.lock();
        loop {
            let Some(message) = pending.take() else {
                pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            pending.sending = true;
            drop(pending);
            if let Err(error) = message.send() {
                journal!(
                    warn,
                    NOTIFY_FAILED,
                    %error,
                    "cannot send a message to the service manager"
                );
            }
            pending = self.lock();
            pending.sending = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No code can panic while it holds this lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notification {
    fn send(&self) -> io::Result<()> {
        match self {
            Self::State(ServiceState::Started(status)) => {
                sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
            }
            Self::State(ServiceState::Ready) => sd_notify::notify(&[NotifyState::Ready]),
            Self::State(ServiceState::Reloading) => {
                sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
            }
            Self::State(ServiceState::Stopping) => sd_notify::notify(&[NotifyState::Stopping]),
            Self::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
            Self::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_message_is_replaced_by_a_newer_one_of_its_kind() {
        let mut pending = Pending::default();
        for number in 0..1_000 {
            pending.push(ServiceState::Reloading);
            pending.push(ServiceState::Ready);
            pending.status = Some(number.to_string());
            pending.watchdog = true;
        }
        pending.push(ServiceState::Stopping);
        let mut sent = Vec::new();
        while let Some(message) = pending.take() {
            sent.push(match message {
                Notification::State(state) => format!("{state:?}"),
                Notification::Status(status) => status,
                Notification::Watchdog => "watchdog".into(),
            });
        }
        assert_eq!(sent, ["Reloading", "Ready", "Stopping", "999", "watchdog"]);
        assert!(pending.is_empty());
    }
}
