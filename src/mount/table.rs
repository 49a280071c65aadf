//! Which mounts there are: the one thing that all threads share.
//!
//! It is touched when sources and listeners come and go and when status is read,
//! never per page. Per page there are only relaxed counters in a [`Slot`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::Mount;
use super::meter::{Counters, Meter, Totals};
use super::name::Name;
use super::roster::Roster;
use super::seats::Seats;
use super::settings::{Rules, Settings};
use ogg_splice::{Codec, Tags};

/// All mounts, by name.
#[derive(Debug, Default)]
pub struct Table {
    slots: Mutex<BTreeMap<Name, Weak<Slot>>>,
    shared: Arc<Shared>,
}

/// What all mounts have in common.
#[derive(Debug, Default)]
struct Shared {
    /// Rung when something changes that others may want to hear of.
    changed: Notify,
    totals: Totals,
}

/// A mount as the door and the control plane see it. It exists for as long as the mount's memory does.
#[derive(Debug)]
pub struct Slot {
    /// The mount's name.
    pub name: Name,
    /// The rules in force.
    settings: ArcSwap<Settings>,
    /// Its listeners.
    pub listeners: Arc<Seats>,
    /// And who they are.
    pub roster: Arc<Roster>,
    /// What went through it.
    pub counters: Counters,
    /// Where its stream is.
    pub meter: Meter,
    live: Mutex<Option<Arc<Live>>>,
    shared: Arc<Shared>,
    mount: Mutex<Weak<Mount>>,
    /// Sources that have a claim on it, or are on their way to one.
    wanted: AtomicUsize,
    /// Its place has been given to another mount, so its remaining listeners are disconnected.
    given_up: AtomicBool,
}

/// A source's interest in a mount, which keeps the mount's place in the table.
#[derive(Debug)]
pub struct Wanted(Arc<Slot>);

/// Whether a source is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Live,
    /// Nothing has come for a while.
    Gap,
}

/// What is on the air, from the end of the stream's headers until the stream ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// What the audio is.
    pub codec: Codec,
    /// What the stream says of itself.
    pub tags: Tags,
    /// Bytes of its tags that are not passed on to listeners.
    pub tags_left_out: u64,
    /// What the source says of it.
    pub description: Description,
    /// When its source connected, by the wall clock, which may be set at any time.
    pub since: SystemTime,
    /// The same by a clock that only goes on.
    pub began: Instant,
    /// What [`Counters::bytes_in`] said then.
    pub bytes_before: u64,
    /// Whether a source is heard.
    pub state: State,
    /// Since when.
    pub state_since: SystemTime,
    /// The same by a clock that only goes on.
    pub state_began: Instant,
}

/// What a source says of its mount in its request head: the `Ice-*` fields and what identifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `Ice-Name`.
    pub name: Option<String>,
    /// `Ice-Description`.
    pub description: Option<String>,
    /// `Ice-Genre`.
    pub genre: Option<String>,
    /// `Ice-Url`.
    pub url: Option<String>,
    /// `Ice-Bitrate`, in kbit/s.
    pub bitrate: Option<u32>,
    /// `Ice-Public`.
    pub public: bool,
    /// `Ice-Audio-Info`.
    pub audio_info: Option<String>,
    /// `User-Agent`.
    pub agent: Option<String>,
    /// Where the source is.
    pub address: Option<IpAddr>,
}

/// Why there is no place for another mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All mounts that the configuration allows exist already.
    Full,
    /// A place will be free in a moment: listeners of a stream that has ended are being sent away for it.
    Soon,
}

impl Table {
    /// The mount of this name: the one there is, or a new one if fewer than `limit` exist. A mount whose stream
    /// has ended, and that only exists because somebody has not yet heard the rest of it, makes way.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn reserve(
        &self,
        name: &Name,
        limit: usize,
        settings: impl FnOnce() -> Arc<Settings>,
    ) -> Result<Wanted, NoPlace> {
        let mut slots = lock(&self.slots);
        slots.retain(|_, slot| slot.strong_count() > 0);
        if let Some(slot) = slots.get(name).and_then(Weak::upgrade) {
            return if slot.is_given_up() { Err(NoPlace::Soon) } else { Ok(Wanted::of(&slot)) };
        }
        if slots.len() >= limit {
            let all: Vec<_> = slots.values().filter_map(Weak::upgrade).collect();
            let leftover = all.iter().filter(|slot| slot.is_leftover());
            // Each newcomer asks again and again: one place is on its way for all of them together.
            let mut leftover = leftover.max_by_key(|slot| slot.is_given_up()).into_iter();
            let found = leftover.next().inspect(|slot| slot.give_up()).is_some();
            return Err(if found { NoPlace::Soon } else { NoPlace::Full });
        }
        let mut slot = Slot::new(name.clone(), settings());
        slot.shared = Arc::clone(&self.shared);
        let slot = Arc::new(slot);
        slots.insert(name.clone(), Arc::downgrade(&slot));
        Ok(Wanted::of(&slot))
    }

    /// The mount of this name, if it can be heard.
    pub fn find(&self, name: &Name) -> Option<Arc<Slot>> {
        let slot = lock(&self.slots).get(name).and_then(Weak::upgrade);
        slot.filter(|slot| slot.live().is_some())
    }

    /// Puts other rules in force for all mounts that there are.
    pub fn follow(&self, rules: &Rules) {
        for slot in lock(&self.slots).values().filter_map(Weak::upgrade) {
            slot.settings.store(rules.of(&slot.name));
        }
        self.shared.changed.notify_one();
    }

    /// Those of them that everybody may know of.
    pub fn shown(&self) -> Vec<(Arc<Slot>, Arc<Live>)> {
        let mut live = self.live();
        live.retain(|(slot, _)| !slot.settings().hidden);
        live
    }

    /// What the server has done since it began.
    pub fn totals(&self) -> &Totals {
        &self.shared.totals
    }

    /// Waits until something has changed: what is on the air, or who listens. For one waiter.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// All mounts that can be heard, by name, with what is on the air.
    pub fn live(&self) -> Vec<(Arc<Slot>, Arc<Live>)> {
        let slots: Vec<_> = lock(&self.slots).values().filter_map(Weak::upgrade).collect();
        let live = slots.into_iter().map(|slot| (slot.live(), slot));
        live.filter_map(|(live, slot)| Some((slot, live?))).collect()
    }
}

impl Slot {
    /// A slot that no [`Table`] lists.
    pub fn new(name: Name, settings: Arc<Settings>) -> Self {
        Self {
            name,
            settings: ArcSwap::new(settings),
            listeners: Arc::default(),
            roster: Arc::default(),
            counters: Counters::default(),
            meter: Meter::default(),
            live: Mutex::default(),
            shared: Arc::default(),
            mount: Mutex::default(),
            wanted: AtomicUsize::new(0),
            given_up: AtomicBool::new(false),
        }
    }

    /// Whether nothing is on the air and no source is about to change that.
    fn is_leftover(&self) -> bool {
        self.wanted.load(SeqCst) == 0 && self.live().is_none()
    }

    /// Whether its place has been given to another mount.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(SeqCst)
    }

    fn give_up(&self) {
        self.given_up.store(true, SeqCst);
        if let Some(mount) = self.mount() {
            mount.ring_bells();
        }
    }

    /// The rules in force. Its ring's size, and how its stream fills gaps, are those of its beginning.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// The same, to be kept while something is waited for.
    pub fn settings_now(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// What is on the air, if anything is.
    pub fn live(&self) -> Option<Arc<Live>> {
        lock(&self.live).clone()
    }

    /// The mount itself, for the data plane, once it has been made.
    pub fn mount(&self) -> Option<Arc<Mount>> {
        lock(&self.mount).upgrade()
    }

    pub(super) fn set_mount(&self, mount: &Arc<Mount>) {
        *lock(&self.mount) = Arc::downgrade(mount);
    }

    pub(super) fn set_live(&self, live: Option<Live>) {
        *lock(&self.live) = live.map(Arc::new);
        self.shared.changed.notify_one();
    }

    /// Says that somebody left.
    pub fn somebody_left(&self) {
        self.shared.changed.notify_one();
    }

    /// Says that somebody came, who waited so long for the first bytes.
    pub fn somebody_came(&self, waited: Duration) {
        self.shared.totals.joins.observe(waited.as_secs_f64());
        self.shared.totals.listeners.add(1);
        self.shared.changed.notify_one();
    }
}

impl Wanted {
    /// One more source's.
    pub(super) fn of(slot: &Arc<Slot>) -> Self {
        slot.wanted.fetch_add(1, SeqCst);
        Self(Arc::clone(slot))
    }
}

impl Deref for Wanted {
    type Target = Arc<Slot>;

    fn deref(&self) -> &Arc<Slot> {
        &self.0
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, SeqCst);
    }
}

/// No code can panic while it holds one of these locks, so poisoning says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
