//! Tells the service manager what goes on (`sd_notify(3)`), on its own thread: the socket blocks while nobody reads
//! it, and the thread that handles signals must not wait for that.
//!
//! A message that has not been taken yet is replaced by a newer one of its kind: a status by the next status, a reload
//! by the next reload. So the latest of each is never lost, and nothing piles up.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::log::journal;

/// How long the end waits for messages to be taken.
const NOTIFY_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells the service manager; clones tell the same one.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    unsaid: Mutex<Unsaid>,
    changed: Condvar,
}

/// What has not been taken yet.
#[derive(Debug, Default)]
struct Unsaid {
    /// At most the last reload's two, and the end.
    states: VecDeque<ServiceState>,
    status: Option<String>,
    watchdog: bool,
    /// A message is being taken.
    saying: bool,
}

/// Where the service is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServiceState {
    /// For the first time, with what goes on.
    Started(String),
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
    /// What the system says where it gives no thread.
    pub(super) fn start() -> io::Result<Self> {
        let notifier = Self(Arc::default());
        let shared = Arc::clone(&notifier.0);
        thread::Builder::new().name("notify".into()).spawn(move || shared.say_all())?;
        Ok(notifier)
    }

    /// That the server accepts, and what goes on in it.
    pub(super) fn started(&self, status: String) {
        self.change(|unsaid| unsaid.push(ServiceState::Started(status)));
    }

    /// That it has been decided about the configuration that was read again.
    pub(super) fn ready(&self) {
        self.change(|unsaid| unsaid.push(ServiceState::Ready));
    }

    /// That the configuration is being read again.
    pub(super) fn reloading(&self) {
        self.change(|unsaid| unsaid.push(ServiceState::Reloading));
    }

    /// That the server is about to end.
    pub(super) fn stopping(&self) {
        self.change(|unsaid| unsaid.push(ServiceState::Stopping));
    }

    /// That all is well.
    pub(super) fn watchdog(&self) {
        self.change(|unsaid| unsaid.watchdog = true);
    }

    /// What goes on.
    pub(super) fn status(&self, status: String) {
        self.change(|unsaid| unsaid.status = Some(status));
    }

    /// Waits for what has been said to be taken, for a moment.
    pub fn flush(&self) {
        let end = Instant::now().checked_add(NOTIFY_FLUSH_TIMEOUT);
        let mut unsaid = self.0.lock();
        while !unsaid.is_empty() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.unwrap_or_default();
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(unsaid, left);
            unsaid = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Unsaid)) {
        change(&mut self.0.lock());
        self.0.changed.notify_all();
    }
}

impl Unsaid {
    fn push(&mut self, state: ServiceState) {
        if state == ServiceState::Reloading {
            // What came of the reload before is no news any more.
            self.states.clear();
        }
        self.states.push_back(state);
    }

    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.status.is_none() && !self.watchdog && !self.saying
    }

    /// The next message: first where the service is, then what goes on.
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
    fn say_all(&self) {
        let mut unsaid = self.lock();
        loop {
            let Some(message) = unsaid.take() else {
                unsaid = self.changed.wait(unsaid).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            unsaid.saying = true;
            drop(unsaid);
            if let Err(error) = message.send() {
                journal!(warn, NOTIFY_FAILED, %error, "cannot tell the service manager");
            }
            unsaid = self.lock();
            unsaid.saying = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unsaid> {
        // No code can panic while it holds this lock.
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn what_nobody_takes_is_replaced_by_what_is_newer() {
        let mut unsaid = Unsaid::default();
        for number in 0..1_000 {
            unsaid.push(ServiceState::Reloading);
            unsaid.push(ServiceState::Ready);
            unsaid.status = Some(number.to_string());
            unsaid.watchdog = true;
        }
        unsaid.push(ServiceState::Stopping);
        let mut said = Vec::new();
        while let Some(message) = unsaid.take() {
            said.push(match message {
                Notification::State(state) => format!("{state:?}"),
                Notification::Status(status) => status,
                Notification::Watchdog => "watchdog".into(),
            });
        }
        assert_eq!(said, ["Reloading", "Ready", "Stopping", "999", "watchdog"]);
        assert!(unsaid.is_empty());
    }
}
