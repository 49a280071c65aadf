//! The half of a mount that all threads may use.
//!
//! - [`MountEntry`] is what the table lists: name, settings, counters, and the stream's
//!   description.
//! - [`SharedMount`] holds the pages that listeners read, and wakes the threads that have
//!   listeners.
//!
//! The mount owns its entry, and the entry has a weak reference to the mount. So the entry exists
//! as long as the mount's memory does.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use ogg_splice::Codec;
use tokio::sync::{Notify, watch};

use super::bans::{BAN, Bans};
use super::demand::Offers;
use super::known::KnownMounts;
use super::listener_directory::{ListenerDirectory, ListenerInfo};
use super::name::Name;
use super::page_log::PageLog;
use super::settings::{MountSettings, WebRtcSwitch};
use super::stats::{MountCounters, StreamGauges};
use super::stream_info::{Description, SourceState, StreamInfo};
use super::takeovers::Takeovers;
use crate::quota::Quota;
use crate::stats::ServerStats;

/// What all mounts share.
#[derive(Debug, Default)]
pub(super) struct ServerWide {
    /// Changes with a stream, the listeners or the settings of any mount.
    pub(super) changed: watch::Sender<()>,
    pub(super) stats: ServerStats,
    /// Whether the server has WebRTC.
    pub(super) has_webrtc: AtomicBool,
    pub(super) known: Mutex<KnownMounts>,
    pub(super) offers: Offers,
    /// Not in the mount's entry: a ban outlives its mount.
    pub(super) bans: Mutex<Bans>,
}

/// A mount as the door and the control plane see it. Exists as long as the mount's memory does.
#[derive(Debug)]
pub struct MountEntry {
    /// The mount's name.
    pub name: Name,
    /// The settings in force.
    pub(super) settings: ArcSwap<MountSettings>,
    /// Counts the listeners against `max_listeners`.
    pub listeners: Arc<Quota>,
    /// Counts those of them that listen by HLS.
    pub hls_listeners: Arc<Quota>,
    /// Counts those of them that listen by WebRTC.
    pub webrtc_listeners: Arc<Quota>,
    /// Lists the listeners.
    pub directory: Arc<ListenerDirectory>,
    /// Its counters.
    pub counters: MountCounters,
    /// Its gauges.
    pub gauges: StreamGauges,
    stream: Mutex<Option<Arc<StreamInfo>>>,
    shared: Arc<ServerWide>,
    mount: Mutex<Weak<SharedMount>>,
    takeovers: Mutex<Takeovers>,
    /// When the last listener left.
    deserted: Mutex<Option<Instant>>,
    /// Number of [`Reservation`]s: sources that have a claim, or will soon have one.
    reservations: AtomicUsize,
    /// The mount makes room for another one: its remaining listeners are disconnected.
    retired: AtomicBool,
}

/// A source's interest in a mount. Keeps the mount's entry in the table.
#[derive(Debug)]
pub struct Reservation(Arc<MountEntry>);

/// What listeners of a mount read, on any thread.
#[derive(Debug)]
pub struct SharedMount {
    /// Size of the ring, in bytes, here and in each replica.
    pub(super) ring: usize,
    pages: RwLock<PageLog>,
    /// One for each thread that reads the pages.
    readers: Box<[Notify]>,
    /// Declared last, so dropped last: the mount counts against `limits.sources` until the memory
    /// of the fields above is freed.
    entry: Arc<MountEntry>,
}

impl SharedMount {
    /// Creates the mount of this table entry that `threads` threads read. Allocates its ring.
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

    /// The mount's entry in the table.
    pub fn entry(&self) -> &Arc<MountEntry> {
        &self.entry
    }

    /// Waits until the readers of a thread are woken. Supports one waiter per thread.
    pub async fn changed(&self, thread: usize) {
        self.readers[thread].notified().await;
    }

    /// Wakes the readers on all threads.
    pub(super) fn wake_readers(&self) {
        for thread in &self.readers {
            thread.notify_one();
        }
    }

    pub(super) fn wake_reader(&self, thread: usize) {
        self.readers[thread].notify_one();
    }

    pub(super) fn wake_readers_except(&self, thread: usize) {
        for (_, other) in self.readers.iter().enumerate().filter(|(number, _)| *number != thread) {
            other.notify_one();
        }
    }

    // Nothing panics while it holds this lock, so it cannot be poisoned.

    /// The pages, locked for reading. The home thread cannot publish meanwhile, so no thread but it
    /// may write to a socket, or do anything that takes longer than a copy.
    pub fn pages(&self) -> RwLockReadGuard<'_, PageLog> {
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
            hls_listeners: Arc::default(),
            webrtc_listeners: Arc::default(),
            directory: Arc::default(),
            counters: MountCounters::default(),
            gauges: StreamGauges::default(),
            stream: Mutex::default(),
            shared,
            mount: Mutex::default(),
            takeovers: Mutex::default(),
            deserted: Mutex::default(),
            reservations: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// Whether the mount has neither a stream nor a source.
    pub(super) fn is_unused(&self) -> bool {
        self.reservations.load(SeqCst) == 0 && self.stream().is_none()
    }

    /// Whether the mount has a stream that continues without a source.
    pub fn is_held(&self) -> bool {
        self.reservations.load(SeqCst) == 0 && self.stream().is_some()
    }

    /// Whether the mount's stream comes from another server.
    pub(super) fn is_relayed(&self) -> bool {
        self.stream().is_some_and(|stream| stream.source.description.relayed_from.is_some())
    }

    /// How long the mount's stream has been without audio; zero if it is not known to be.
    pub(super) fn silent_for(&self) -> Duration {
        let gap = self.stream().filter(|stream| stream.state == SourceState::Gap);
        gap.map_or(Duration::ZERO, |stream| stream.state_since.elapsed())
    }

    /// Records that a source replaced another one. Returns whether encoders take the mount from
    /// each other.
    pub(super) fn note_takeover(&self, now: Instant) -> bool {
        lock(&self.takeovers).record(now)
    }

    /// How long no source may take the mount over, because several have taken it from each other;
    /// `None` if one may, or if no source is connected.
    pub fn protection(&self) -> Option<Duration> {
        let has_source = self.reservations.load(SeqCst) > 0;
        lock(&self.takeovers).protection(Instant::now()).filter(|_| has_source)
    }

    /// Keeps clients with the address and the `User-Agent` of a listener away for a while.
    pub fn ban(&self, listener: &ListenerInfo) {
        let (client, agent) = (listener.client, Some(&*listener.agent));
        lock(&self.shared.bans).add(&self.name, client, agent, BAN, Instant::now());
    }

    /// Keeps all clients with the address of a listener away for this long. False if its address is not
    /// known, because it came through a proxy that does not tell.
    pub fn block(&self, listener: &ListenerInfo, time: Duration) -> bool {
        lock(&self.shared.bans).add(&self.name, listener.client, None, time, Instant::now())
    }

    /// Whether the mount makes room for another one.
    pub fn is_retired(&self) -> bool {
        self.retired.load(SeqCst)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, SeqCst);
        if let Some(mount) = self.mount() {
            mount.wake_readers();
        }
    }

    /// The settings in force. The size of the ring is fixed when the mount is created, and the gap
    /// settings when a stream begins. Do not hold the guard across an `await`: see
    /// [`Self::settings_arc`].
    pub fn settings(&self) -> Guard<Arc<MountSettings>> {
        self.settings.load()
    }

    /// Whether a stream with this codec can be heard by WebRTC.
    pub fn has_webrtc(&self, codec: &Codec) -> bool {
        let is_on =
            self.shared.has_webrtc.load(SeqCst) && self.settings().webrtc == WebRtcSwitch::On;
        is_on && codec.is_in_rtp()
    }

    /// The settings in force, as a pointer that may be held across an `await`.
    pub fn settings_arc(&self) -> Arc<MountSettings> {
        self.settings.load_full()
    }

    /// The mount's stream, if it has one.
    pub fn stream(&self) -> Option<Arc<StreamInfo>> {
        lock(&self.stream).clone()
    }

    /// The description to show of a stream of this mount.
    pub fn description(&self, stream: &StreamInfo) -> Description {
        self.settings().describe(&stream.source.description)
    }

    /// The mount itself, for the data plane; `None` before it was created.
    pub fn mount(&self) -> Option<Arc<SharedMount>> {
        lock(&self.mount).upgrade()
    }

    pub(super) fn set_mount(&self, mount: &Arc<SharedMount>) {
        *lock(&self.mount) = Arc::downgrade(mount);
    }

    pub(super) fn set_stream(&self, stream: Option<StreamInfo>) {
        let is_streaming = stream.is_some();
        let was_streaming =
            std::mem::replace(&mut *lock(&self.stream), stream.map(Arc::new)).is_some();
        if is_streaming != was_streaming {
            let mut known = lock(&self.shared.known);
            if is_streaming {
                known.began(&self.name, self.settings_arc());
            } else {
                known.ended(&self.name);
            }
        }
        self.shared.changed.send_replace(());
    }

    /// Wakes the control plane because a listener left.
    pub fn listener_left(&self) {
        if self.listeners.taken() == 0 {
            *lock(&self.deserted) = Some(Instant::now());
        }
        self.shared.changed.send_replace(());
    }

    /// When the last listener left; `None` before the first one has left.
    pub(super) fn deserted(&self) -> Option<Instant> {
        *lock(&self.deserted)
    }

    /// Counts a listener that joined `waited` after its request, and wakes the control plane.
    pub fn listener_joined(&self, waited: Duration) {
        self.shared.stats.joins.observe(waited.as_secs_f64());
        self.shared.stats.listeners.add(1);
        self.shared.changed.send_replace(());
    }
}

impl Reservation {
    /// Reserves the mount for one more source.
    pub(super) fn of(entry: &Arc<MountEntry>) -> Self {
        entry.reservations.fetch_add(1, SeqCst);
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
        self.0.reservations.fetch_sub(1, SeqCst);
    }
}

// Nothing panics while it holds one of these locks, so they cannot be poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
