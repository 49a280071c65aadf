//! Which mounts there are: the one thing that all threads share.
//!
//! It is touched when sources and listeners come and go and when status is read,
//! never per page. Per page there are only relaxed counters in a [`MountEntry`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::name::Name;
use super::settings::{MountRules, MountSettings};
use super::shared::{MountEntry, Reservation, ServerWide};
use super::stream_info::StreamInfo;
use crate::stats::ServerStats;

/// All mounts, by name.
#[derive(Debug, Default)]
pub struct Table {
    entries: Mutex<BTreeMap<Name, Weak<MountEntry>>>,
    shared: Arc<ServerWide>,
}

/// Why there is no place for another mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
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
    /// [`NoRoom`].
    pub fn reserve(
        &self,
        name: &Name,
        limit: usize,
        settings: impl FnOnce() -> Arc<MountSettings>,
    ) -> Result<Reservation, NoRoom> {
        let mut entries = lock(&self.entries);
        entries.retain(|_, entry| entry.strong_count() > 0);
        if let Some(entry) = entries.get(name).and_then(Weak::upgrade) {
            return if entry.is_place_given() {
                Err(NoRoom::Soon)
            } else {
                Ok(Reservation::of(&entry))
            };
        }
        if entries.len() >= limit {
            let all: Vec<_> = entries.values().filter_map(Weak::upgrade).collect();
            let leftover = all.iter().filter(|entry| entry.is_leftover());
            // Each newcomer asks again and again: one place is on its way for all of them together.
            let mut leftover = leftover.max_by_key(|entry| entry.is_place_given()).into_iter();
            let found = leftover.next().inspect(|entry| entry.release_place()).is_some();
            return Err(if found { NoRoom::Soon } else { NoRoom::Full });
        }
        let entry = MountEntry::new(name.clone(), settings(), Arc::clone(&self.shared));
        let entry = Arc::new(entry);
        entries.insert(name.clone(), Arc::downgrade(&entry));
        Ok(Reservation::of(&entry))
    }

    /// The mount of this name, if it can be heard.
    pub fn find(&self, name: &Name) -> Option<Arc<MountEntry>> {
        let entry = lock(&self.entries).get(name).and_then(Weak::upgrade);
        entry.filter(|entry| entry.stream().is_some())
    }

    /// Puts other rules in force for all mounts that there are.
    pub fn follow(&self, rules: &MountRules) {
        for entry in lock(&self.entries).values().filter_map(Weak::upgrade) {
            entry.settings.store(rules.of(&entry.name));
        }
        self.shared.changed.notify_one();
    }

    /// Those of them that everybody may know of.
    pub fn public_streams(&self) -> Vec<(Arc<MountEntry>, Arc<StreamInfo>)> {
        let mut streams = self.streams();
        streams.retain(|(entry, _)| !entry.settings().hidden);
        streams
    }

    /// What the server has done since it began.
    pub fn stats(&self) -> &ServerStats {
        &self.shared.stats
    }

    /// Waits until something has changed: what is on the log, or who listens. For one waiter.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// All mounts that can be heard, by name, with what is on the log.
    pub fn streams(&self) -> Vec<(Arc<MountEntry>, Arc<StreamInfo>)> {
        let entries: Vec<_> = lock(&self.entries).values().filter_map(Weak::upgrade).collect();
        let stream = entries.into_iter().map(|entry| (entry.stream(), entry));
        stream.filter_map(|(stream, entry)| Some((entry, stream?))).collect()
    }
}

/// No code can panic while it holds one of these locks, so poisoning says nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
