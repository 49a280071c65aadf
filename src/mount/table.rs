//! Which mounts there are: the one thing that all threads share.
//!
//! It is touched when sources and listeners come and go and when status is read,
//! never per page. Per page there are only relaxed counters in a [`Slot`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

use super::Mount;
use super::name::Name;
use super::seats::Seats;
use super::settings::{Rules, Settings};
use crate::ogg::{Codec, Tags};

/// All mounts, by name.
#[derive(Debug, Default)]
pub struct Table {
    slots: Mutex<BTreeMap<Name, Weak<Slot>>>,
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
    /// What went through it.
    pub counters: Counters,
    live: Mutex<Option<Arc<Live>>>,
    mount: Mutex<Weak<Mount>>,
}

/// Running totals of one mount.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes that sources sent as valid pages.
    pub bytes_in: Counter,
    /// Valid pages that sources sent.
    pub pages_in: Counter,
    /// Bytes that listeners' kernels took.
    pub bytes_out: Counter,
    /// How often a listener was overtaken by the ring.
    pub skips: Counter,
    /// Silence put in where nothing came from the source, in samples at 48 kHz.
    pub silence: Counter,
    /// Audio left out because its time was over, in samples at 48 kHz.
    pub late: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// Whether a source is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Live,
    /// Nothing has come for a while.
    Gap,
}

/// What is on the air, from the end of the stream's headers until the stream ends.
#[derive(Clone, Debug)]
pub struct Live {
    /// What the audio is.
    pub codec: Codec,
    /// What the stream says of itself.
    pub tags: Tags,
    /// What the source says of it.
    pub description: Description,
    /// When its source connected.
    pub since: SystemTime,
    /// What [`Counters::bytes_in`] said then.
    pub bytes_before: u64,
    /// Whether a source is heard.
    pub state: State,
    /// Since when.
    pub state_since: SystemTime,
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

/// All mounts that the configuration allows exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Table {
    /// The slot of this name: the one there is, or a new one if fewer than `limit` exist.
    ///
    /// # Errors
    /// [`Full`].
    pub fn reserve(
        &self,
        name: &Name,
        limit: usize,
        settings: impl FnOnce() -> Arc<Settings>,
    ) -> Result<Arc<Slot>, Full> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(name).and_then(Weak::upgrade) {
            return Ok(slot);
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        if slots.len() >= limit {
            return Err(Full);
        }
        let slot = Arc::new(Slot::new(name.clone(), settings()));
        slots.insert(name.clone(), Arc::downgrade(&slot));
        Ok(slot)
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
            counters: Counters::default(),
            live: Mutex::default(),
            mount: Mutex::default(),
        }
    }

    /// The rules in force. Its ring's size, and how its stream fills gaps, are those of its beginning.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
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
    }
}

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// No code can panic while it holds one of these locks, so poisoning says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
