//! The table of all mounts, which all threads share.
//!
//! It is locked when sources and listeners connect and when status is read, never per page. Pages
//! only update relaxed counters in a [`MountEntry`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bans::Ban;
use super::demand::{Demand, Offer};
use super::known::OffMount;
use super::name::Name;
use super::settings::{MountRules, MountSettings};
use super::shared::{MountEntry, Reservation, ServerWide};
use super::stream_info::StreamInfo;
use crate::client_addr::ClientAddr;
use crate::stats::ServerStats;

/// All mounts, by name.
#[derive(Debug, Default)]
pub struct MountTable {
    entries: Mutex<BTreeMap<Name, Weak<MountEntry>>>,
    shared: Arc<ServerWide>,
}

/// Why there is no room for another mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The limit is reached, and every mount has a source.
    Full,
    /// The limit is reached, but a mount without a source is being removed. Try again in a moment.
    Soon,
}

impl MountTable {
    /// Reserves the mount of this name, and creates its entry if fewer than `limit` exist. If the
    /// limit is reached, a mount without a source is removed, and its listeners are disconnected:
    /// first one whose stream has ended, then the one that has been silent for longest. If there is
    /// none, one that is pulled from another server makes room, the one with the fewest listeners.
    ///
    /// # Errors
    /// [`NoRoom`] if the limit is reached.
    pub fn reserve(
        &self,
        name: &Name,
        limit: usize,
        settings: impl FnOnce() -> Arc<MountSettings>,
    ) -> Result<Reservation, NoRoom> {
        self.reserve_with(name, limit, settings, true)
    }

    /// The same for a mount that is pulled from another server: it takes only a place that is free.
    ///
    /// # Errors
    /// [`NoRoom`] if the limit is reached.
    pub fn reserve_free(
        &self,
        name: &Name,
        limit: usize,
        settings: impl FnOnce() -> Arc<MountSettings>,
    ) -> Result<Reservation, NoRoom> {
        self.reserve_with(name, limit, settings, false)
    }

    fn reserve_with(
        &self,
        name: &Name,
        limit: usize,
        settings: impl FnOnce() -> Arc<MountSettings>,
        makes_room: bool,
    ) -> Result<Reservation, NoRoom> {
        let mut entries = lock(&self.entries);
        entries.retain(|_, entry| entry.strong_count() > 0);
        if let Some(entry) = entries.get(name).and_then(Weak::upgrade) {
            return if entry.is_retired() {
                Err(NoRoom::Soon)
            } else {
                Ok(Reservation::of(&entry))
            };
        }
        if entries.len() >= limit {
            if !makes_room {
                return Err(NoRoom::Full);
            }
            let all: Vec<_> = entries.values().filter_map(Weak::upgrade).collect();
            // Encoders retry. One that makes room already is enough, so that retries do not remove one
            // mount each.
            let is_on_its_way = all.iter().any(|entry| entry.is_retired());
            let unused = || all.iter().find(|entry| entry.is_unused());
            let held = || {
                let held = all.iter().filter(|entry| entry.is_held());
                held.max_by_key(|entry| entry.silent_for())
            };
            let relayed = || {
                let relayed = all.iter().filter(|entry| entry.is_relayed());
                relayed.min_by_key(|entry| entry.listeners.taken())
            };
            let candidate = || unused().or_else(held).or_else(relayed);
            let found = is_on_its_way || candidate().inspect(|entry| entry.retire()).is_some();
            if found {
                // The task that pulls it waits for this change.
                self.shared.changed.send_replace(());
            }
            return Err(if found { NoRoom::Soon } else { NoRoom::Full });
        }
        let entry = MountEntry::new(name.clone(), settings(), Arc::clone(&self.shared));
        let entry = Arc::new(entry);
        entries.insert(name.clone(), Arc::downgrade(&entry));
        Ok(Reservation::of(&entry))
    }

    /// Number of mounts that exist: those that count against the limit.
    pub fn existing(&self) -> usize {
        lock(&self.entries).values().filter(|entry| entry.strong_count() > 0).count()
    }

    /// The mount of this name, if it has a stream.
    pub fn find(&self, name: &Name) -> Option<Arc<MountEntry>> {
        let entry = lock(&self.entries).get(name).and_then(Weak::upgrade);
        entry.filter(|entry| entry.stream().is_some())
    }

    /// Whether the mount of this name makes room for another one.
    pub fn is_retired(&self, name: &Name) -> bool {
        let entry = lock(&self.entries).get(name).and_then(Weak::upgrade);
        entry.is_some_and(|entry| entry.is_retired())
    }

    /// The settings of a mount that has a stream, or is one of those that are [off](Self::off).
    pub fn settings(&self, name: &Name) -> Option<Arc<MountSettings>> {
        let streaming = self.find(name).map(|entry| entry.settings_arc());
        let off = || self.off().into_iter().find(|mount| mount.name == *name);
        streaming.or_else(|| off().map(|mount| mount.settings))
    }

    /// Whether a mount has [settings](Self::settings) and is not hidden.
    pub fn is_listed(&self, name: &Name) -> bool {
        self.settings(name).is_some_and(|settings| !settings.hidden)
    }

    /// The mount of this name, if it has a stream or a source that may begin one.
    pub fn find_in_use(&self, name: &Name) -> Option<Arc<MountEntry>> {
        let entry = lock(&self.entries).get(name).and_then(Weak::upgrade);
        entry.filter(|entry| !entry.is_unused())
    }

    /// Records that the server has WebRTC.
    pub fn has_webrtc(&self) {
        self.shared.has_webrtc.store(true, SeqCst);
    }

    /// Replaces the settings of all existing mounts, according to these rules, and remembers the
    /// mounts that they name.
    pub fn follow(&self, rules: &MountRules) {
        lock(&self.shared.known).follow(rules);
        for entry in lock(&self.entries).values().filter_map(Weak::upgrade) {
            entry.settings.store(rules.of(&entry.name));
        }
        for offer in self.shared.offers.all() {
            offer.set_settings(rules.of(&offer.name));
        }
        self.shared.changed.send_replace(());
    }

    /// The [streams](Self::streams) of mounts that are not hidden.
    pub fn public_streams(&self) -> Vec<(Arc<MountEntry>, Arc<StreamInfo>)> {
        let mut streams = self.streams();
        streams.retain(|(entry, _)| !entry.settings().hidden);
        streams
    }

    /// The mounts that have no stream, but are named in the configuration, were live since the server
    /// started, or are offered, ordered by name.
    pub fn off(&self) -> Vec<OffMount> {
        let mut off = lock(&self.shared.known).off();
        for offer in self.shared.offers.all() {
            let known = off.binary_search_by(|mount| mount.name.cmp(&offer.name));
            match known {
                Ok(at) => off[at].is_idle = true,
                Err(at) if self.find(&offer.name).is_none() => off.insert(
                    at,
                    OffMount {
                        name: offer.name.clone(),
                        since: offer.since,
                        settings: offer.settings(),
                        is_idle: true,
                    },
                ),
                Err(_) => {}
            }
        }
        off
    }

    /// An encoder waits until this mount is wanted: it is remembered like one that was live, if the
    /// rules let it be on demand.
    pub fn announce(&self, name: &Name, rules: &MountRules) {
        let settings = rules.of(name);
        if settings.on_demand && self.find(name).is_none() && self.offered(name).is_none() {
            lock(&self.shared.known).announce(name, settings);
            self.shared.changed.send_replace(());
        }
    }

    /// Offers the audio of a mount, for as long as the offer exists.
    pub fn offer(&self, name: &Name, settings: Arc<MountSettings>) -> Arc<Offer> {
        let offer = self.shared.offers.enter(name, settings, &self.shared.changed);
        self.shared.changed.send_replace(());
        offer
    }

    /// The offer of a mount that has no stream; `None` if nobody offers its audio.
    pub fn offered(&self, name: &Name) -> Option<Arc<Offer>> {
        self.shared.offers.find(name).or_else(|| {
            let off = lock(&self.shared.known).off();
            let mount = off.into_iter().find(|mount| mount.is_idle && mount.name == *name)?;
            Some(self.shared.offers.enter(name, mount.settings, &self.shared.changed))
        })
    }

    /// Whether the mount's audio comes when somebody wants it.
    pub fn is_on_demand(&self, entry: &MountEntry) -> bool {
        entry.settings().on_demand || self.shared.offers.find(&entry.name).is_some()
    }

    /// Whether somebody wants a mount's audio. When its last listener has left, it is wanted for
    /// `linger` more.
    pub fn demand(&self, name: &Name, linger: Duration) -> Demand {
        let waiting = self.shared.offers.find(name).map_or(0, |offer| offer.waiting());
        let entry = self.find(name);
        let listening = entry.as_ref().map_or(0, |entry| entry.listeners.taken());
        let deserted = entry.and_then(|entry| entry.deserted());
        let lingers = deserted.map_or(Duration::ZERO, |at| linger.saturating_sub(at.elapsed()));
        Demand { listeners: waiting.saturating_add(listening), lingers }
    }

    /// The demand for each mount on demand that is not hidden.
    pub fn public_demands(&self) -> Vec<(Name, Demand)> {
        let streams = self.public_streams().into_iter();
        let streaming = streams.filter(|(entry, _)| self.is_on_demand(entry));
        let streaming = streaming.map(|(entry, _)| (entry.name.clone(), entry.settings().linger));
        let idle = self.public_off().into_iter().filter(|mount| mount.is_idle);
        let idle = idle.map(|mount| (mount.name, mount.settings.linger));
        let demand = |(name, linger)| {
            let demand = self.demand(&name, linger);
            (name, demand)
        };
        streaming.chain(idle).map(demand).collect()
    }

    /// How long a client with this `User-Agent` is still banned from a mount; `None` if it is not.
    pub fn banned_for(&self, name: &Name, client: ClientAddr, agent: &str) -> Option<Duration> {
        lock(&self.shared.bans).wait(name, client, agent, Instant::now())
    }

    /// All clients that may not listen to a mount for a while.
    pub(crate) fn bans(&self) -> Vec<Ban> {
        lock(&self.shared.bans).all(Instant::now())
    }

    /// Lets the clients of an address listen to a mount again. False if they were not kept away from it.
    pub(crate) fn lift_bans(&self, name: &Name, address: IpAddr) -> bool {
        lock(&self.shared.bans).lift(name, address)
    }

    /// Those of the mounts [without a stream](Self::off) that are not hidden.
    pub fn public_off(&self) -> Vec<OffMount> {
        let mut off = self.off();
        off.retain(|mount| !mount.settings.hidden);
        off
    }

    /// Statistics of the whole server.
    pub fn stats(&self) -> &ServerStats {
        &self.shared.stats
    }

    /// Changes with a stream, the listeners or the settings of any mount.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// Waits until `condition` is true. It may depend on what [`Self::changes`] tells of.
    pub async fn until(&self, condition: impl Fn() -> bool) {
        let mut changes = self.changes();
        while !condition() {
            // Fails only without the table, which this borrows.
            let _ = changes.changed().await;
        }
    }

    /// All mounts that have a stream, ordered by name, with their streams.
    pub fn streams(&self) -> Vec<(Arc<MountEntry>, Arc<StreamInfo>)> {
        let entries: Vec<_> = lock(&self.entries).values().filter_map(Weak::upgrade).collect();
        let streams = entries.into_iter().map(|entry| (entry.stream(), entry));
        streams.filter_map(|(stream, entry)| Some((entry, stream?))).collect()
    }
}

// Nothing panics while it holds this lock, so it cannot be poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
