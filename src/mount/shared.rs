//! The half of a mount that all threads may use.
//!
//! - [`MountEntry`] is what the table lists: name, settings, counters, and the stream's description.
//! - [`SharedMount`] holds the pages that listeners read, and wakes the threads that have listeners.
//!
//! The entry exists for as long as the mount's memory does, and leads back to it.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::listener_directory::ListenerDirectory;
use super::name::Name;
use super::page_log::PageLog;
use super::settings::MountSettings;
use super::stats::{MountCounters, StreamGauges};
use super::stream_info::StreamInfo;
use crate::quota::Quota;
use crate::stats::ServerStats;

/// What all mounts have in common.
#[derive(Debug, Default)]
pub(super) struct ServerWide {
    /// Notified when something changes that others may want to hear of.
    pub(super) changed: Notify,
    pub(super) stats: ServerStats,
}

/// A mount as the door and the control plane see it. It exists for as long as the mount's memory does.
#[derive(Debug)]
pub struct MountEntry {
    /// The mount's name.
    pub name: Name,
    /// The rules in force.
    pub(super) settings: ArcSwap<MountSettings>,
    /// Its listeners.
    pub listeners: Arc<Quota>,
    /// Who they are.
    pub directory: Arc<ListenerDirectory>,
    /// Its counters.
    pub counters: MountCounters,
    /// Its gauges.
    pub gauges: StreamGauges,
    stream: Mutex<Option<Arc<StreamInfo>>>,
    shared: Arc<ServerWide>,
    mount: Mutex<Weak<SharedMount>>,
    /// Sources that have a claim on it, or are on their way to one.
    wanted: AtomicUsize,
    /// Its place has been given to another mount, so its remaining listeners are disconnected.
    place_given: AtomicBool,
}

/// A source's interest in a mount, which keeps the mount's place in the table.
#[derive(Debug)]
pub struct Reservation(Arc<MountEntry>);

/// What listeners of a mount read, on any thread.
#[derive(Debug)]
pub struct SharedMount {
    /// Memory for audio, in bytes, here and in each replica.
    pub(super) ring: usize,
    pages: RwLock<PageLog>,
    /// One for each thread that may have listeners.
    readers: Box<[Notify]>,
    /// Dropped last: it stands for the memory of all the above.
    entry: Arc<MountEntry>,
}

impl SharedMount {
    /// The mount of this table entry, for `threads` data-plane threads. Its ring is allocated here.
    pub fn new(entry: Arc<MountEntry>, threads: usize) -> Arc<Self> {
        let ring = entry.settings().ring;
        let mount = Arc::new(Self {
            ring,
            pages: RwLock::new(PageLog::new(ring)),
            readers: (0..threads).map(|_| Notify::new()).collect(),
            entry,
        });
        mount.entry.set_mount(&mount);
        mount
    }

    /// What the control plane sees of it.
    pub fn entry(&self) -> &Arc<MountEntry> {
        &self.entry
    }

    /// Waits until there is something new for the readers of a thread. For one waiter per thread.
    pub(super) async fn changed(&self, thread: usize) {
        self.readers[thread].notified().await;
    }

    /// Wakes the readers on all threads.
    pub(super) fn wake_readers(&self) {
        for thread in &self.readers {
            thread.notify_one();
        }
    }

    // No code can panic while it holds this lock, so poisoning says nothing.

    pub(super) fn pages(&self) -> RwLockReadGuard<'_, PageLog> {
        self.pages.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pages_mut(&self) -> RwLockWriteGuard<'_, PageLog> {
        self.pages.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MountEntry {
    pub(super) fn new(name: Name, settings: Arc<MountSettings>, shared: Arc<ServerWide>) -> Self {
        Self {
            name,
            settings: ArcSwap::new(settings),
            listeners: Arc::default(),
            directory: Arc::default(),
            counters: MountCounters::default(),
            gauges: StreamGauges::default(),
            stream: Mutex::default(),
            shared,
            mount: Mutex::default(),
            wanted: AtomicUsize::new(0),
            place_given: AtomicBool::new(false),
        }
    }

    /// Whether nothing is on the log and no source is about to change that.
    pub(super) fn is_leftover(&self) -> bool {
        self.wanted.load(SeqCst) == 0 && self.stream().is_none()
    }

    /// Whether its place has been given to another mount.
    pub fn is_place_given(&self) -> bool {
        self.place_given.load(SeqCst)
    }

    pub(super) fn release_place(&self) {
        self.place_given.store(true, SeqCst);
        if let Some(mount) = self.mount() {
            mount.wake_readers();
        }
    }

    /// The rules in force. Its ring's size, and how its stream fills gaps, are those of its beginning.
    pub fn settings(&self) -> Guard<Arc<MountSettings>> {
        self.settings.load()
    }

    /// The same, to be kept while something is waited for.
    pub fn settings_now(&self) -> Arc<MountSettings> {
        self.settings.load_full()
    }

    /// What is on the log, if anything is.
    pub fn stream(&self) -> Option<Arc<StreamInfo>> {
        lock(&self.stream).clone()
    }

    /// The mount itself, for the data plane, once it has been made.
    pub fn mount(&self) -> Option<Arc<SharedMount>> {
        lock(&self.mount).upgrade()
    }

    pub(super) fn set_mount(&self, mount: &Arc<SharedMount>) {
        *lock(&self.mount) = Arc::downgrade(mount);
    }

    pub(super) fn set_stream(&self, stream: Option<StreamInfo>) {
        *lock(&self.stream) = stream.map(Arc::new);
        self.shared.changed.notify_one();
    }

    /// Says that somebody left.
    pub fn somebody_left(&self) {
        self.shared.changed.notify_one();
    }

    /// Says that somebody came, who waited so long for the first bytes.
    pub fn somebody_came(&self, waited: Duration) {
        self.shared.stats.joins.observe(waited.as_secs_f64());
        self.shared.stats.listeners.add(1);
        self.shared.changed.notify_one();
    }
}

impl Reservation {
    /// One more source's.
    pub(super) fn of(entry: &Arc<MountEntry>) -> Self {
        entry.wanted.fetch_add(1, SeqCst);
        Self(Arc::clone(entry))
    }
}

impl Deref for Reservation {
    type Target = Arc<MountEntry>;

    fn deref(&self) -> &Arc<MountEntry> {
        &self.0
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, SeqCst);
    }
}

// No code can panic while it holds one of these locks, so poisoning says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
