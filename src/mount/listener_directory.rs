//! The list of a mount's listeners, for `listclients`, `killclient` and the API. Locked when a
//! listener joins or leaves and when the list is read, never per page.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::operator::Operator;
use crate::client_addr::ClientAddr;
use crate::log::journal;

/// How many listeners are listed under one lock.
const BATCH: usize = 16;

/// What the directory knows about a listener.
#[derive(Debug)]
pub struct ListenerInfo {
    /// Unique for the life of the process.
    pub id: u64,
    /// The client, also behind a trusted proxy.
    pub client: ClientAddr,
    /// `User-Agent`.
    pub agent: Box<str>,
    /// When its request was admitted.
    pub since: Instant,
    /// How it listens.
    pub protocol: ListenerProtocol,
    /// 0 without a link.
    link: u64,
    /// Bytes of the ring that it has not been sent yet.
    behind: AtomicU32,
    skips: AtomicU32,
    killed_by: OnceLock<Arc<Operator>>,
}

/// How somebody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// By the stream itself.
    Stream,
    /// By HLS.
    Hls,
    /// By WebRTC.
    WebRtc,
    /// By a part of what is in memory.
    Clip,
}

/// How far the listener of a stream is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the ring that it has not been sent yet.
    pub behind: u64,
    /// How often the ring has overtaken it.
    pub skips: u64,
}

/// How a listener has left, for the log.
#[derive(Debug)]
pub struct Departure<'a> {
    /// The name of the mount.
    pub mount: &'a str,
    /// Why it has left.
    pub reason: &'a str,
    /// Who has disconnected it; `None` if nobody has.
    pub by: Option<&'a Operator>,
    /// Bytes that it was sent.
    pub bytes: u64,
    /// How often the ring overtook it; `None` if that is not counted.
    pub skips: Option<u64>,
}

/// All listeners of one mount, by id.
#[derive(Debug, Default)]
pub struct ListenerDirectory(Mutex<BTreeMap<u64, Arc<ListenerInfo>>>);

/// A listener's entry in the directory. Dropping it removes the entry.
#[derive(Debug)]
pub struct Registration {
    directory: Arc<ListenerDirectory>,
    listener: Arc<ListenerInfo>,
}

impl ListenerInfo {
    /// A listener whose request is admitted now.
    pub fn new(client: ClientAddr, agent: &str, protocol: ListenerProtocol) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Relaxed),
            client,
            agent: agent.into(),
            since: Instant::now(),
            protocol,
            link: 0,
            behind: AtomicU32::new(0),
            skips: AtomicU32::new(0),
            killed_by: OnceLock::new(),
        }
    }

    /// The same, which came by a link that expires at this Unix time, in seconds.
    #[must_use]
    pub fn by_link(self, expires: u64) -> Self {
        Self { link: expires, ..self }
    }

    /// When the link that it came by expires, in seconds since 1970 (Unix time); `None` without a link.
    pub fn link(&self) -> Option<u64> {
        (self.link > 0).then_some(self.link)
    }

    /// How far it is behind, as of less than a second ago; `None` unless it listens to the stream itself.
    pub fn progress(&self) -> Option<Progress> {
        (self.protocol == ListenerProtocol::Stream).then(|| Progress {
            behind: self.behind.load(Relaxed).into(),
            skips: self.skips.load(Relaxed).into(),
        })
    }

    /// Notes how far it is behind.
    pub fn set_progress(&self, progress: Progress) {
        let Progress { behind, skips } = progress;
        self.behind.store(behind.try_into().unwrap_or(u32::MAX), Relaxed);
        self.skips.store(skips.try_into().unwrap_or(u32::MAX), Relaxed);
    }

    /// Says that an administrator disconnects it. The connection of a clip, which no list has, looks at
    /// this before each page.
    pub fn kill(&self, by: Arc<Operator>) {
        // Only the first call has an effect: the log names that operator.
        let _ = self.killed_by.set(by);
    }

    /// Logs that it has left. Free its permits first: who reads the line may take its place at once.
    pub fn log_departure(&self, departure: &Departure<'_>) {
        let Departure { mount, reason, by, bytes, skips } = departure;
        journal!(
            info,
            LISTENER_LEFT,
            mount,
            peer = %self.client.address,
            agent = &*self.agent,
            reason,
            by_user = by.map(|by| &*by.user),
            by_client = by.map(|by| tracing::field::display(by.address)),
            seconds = self.since.elapsed().as_secs(),
            bytes,
            skips,
            protocol = self.protocol.beside_the_stream(),
            "listener left"
        );
    }

    /// Who has disconnected it; `None` if nobody has.
    pub fn killed_by(&self) -> Option<&Arc<Operator>> {
        self.killed_by.get()
    }
}

impl ListenerProtocol {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        self.beside_the_stream().unwrap_or("stream")
    }

    /// The name in the log; `None` for the stream itself.
    fn beside_the_stream(self) -> Option<&'static str> {
        match self {
            Self::Stream => None,
            Self::Hls => Some("HLS"),
            Self::WebRtc => Some("WebRTC"),
            Self::Clip => Some("clip"),
        }
    }
}

impl ListenerDirectory {
    /// Adds a listener.
    pub fn enter(self: &Arc<Self>, listener: ListenerInfo) -> Registration {
        let listener = Arc::new(listener);
        self.lock().insert(listener.id, Arc::clone(&listener));
        Registration { directory: Arc::clone(self), listener }
    }

    /// Number of listeners.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no listener.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The listener with this id, if it is connected.
    pub fn find(&self, id: u64) -> Option<Arc<ListenerInfo>> {
        self.lock().get(&id).cloned()
    }

    /// All listeners in batches, oldest first. A listener that joins or leaves during the iteration
    /// may or may not be included.
    pub fn listeners(self: Arc<Self>) -> impl Iterator<Item = Vec<Arc<ListenerInfo>>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let batch: Vec<_> = self
                .lock()
                .range(next..)
                .take(BATCH)
                .map(|(_, listener)| Arc::clone(listener))
                .collect();
            next = batch.last()?.id.saturating_add(1);
            Some(batch)
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ListenerInfo>>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// The listener that this entry describes.
    pub fn listener(&self) -> &ListenerInfo {
        &self.listener
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.directory.lock().remove(&self.listener.id);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn listeners_are_listed_in_batches_and_once_each() {
        let directory = Arc::<ListenerDirectory>::default();
        let client = IpAddr::from([192, 0, 2, 1]).into();
        let enter =
            |_| directory.enter(ListenerInfo::new(client, "test", ListenerProtocol::Stream));
        let mut registrations: Vec<_> = (0..100).map(enter).collect();
        let ids = || Arc::clone(&directory).listeners().flatten().map(|listener| listener.id);
        assert!(ids().eq(registrations.iter().map(|registration| registration.listener().id)));
        assert!(Arc::clone(&directory).listeners().all(|batch| batch.len() <= BATCH));
        let mut batches = Arc::clone(&directory).listeners();
        assert_eq!(batches.next().map(|batch| batch.len()), Some(BATCH));
        registrations.truncate(20);
        assert_eq!(batches.flatten().count(), 4, "listeners that left meanwhile are not listed");
        assert!(directory.find(registrations[0].listener().id).is_some() && !directory.is_empty());
    }
}
