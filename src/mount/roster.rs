//! Who listens to a mount, for whoever asks. Touched when a listener comes or goes, never per page.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many guests are looked at at once.
const FEW: usize = 16;

/// A listener, as it is seen by others.
#[derive(Debug)]
pub struct Guest {
    /// Its number, never used again.
    pub id: u64,
    /// The client's address, behind proxies too.
    pub address: IpAddr,
    /// `User-Agent`.
    pub agent: Box<str>,
    /// When it asked.
    pub since: Instant,
}

/// All of a mount.
#[derive(Debug, Default)]
pub struct Roster(Mutex<BTreeMap<u64, Arc<Guest>>>);

/// A guest's entry, taken out when dropped.
#[derive(Debug)]
pub struct Entry {
    roster: Arc<Roster>,
    guest: Arc<Guest>,
}

impl Guest {
    /// A new one.
    pub fn new(address: IpAddr, agent: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        Self { id, address, agent: agent.into(), since: Instant::now() }
    }
}

impl Roster {
    /// Enters a guest.
    pub fn enter(self: &Arc<Self>, guest: Guest) -> Entry {
        let guest = Arc::new(guest);
        self.lock().insert(guest.id, Arc::clone(&guest));
        Entry { roster: Arc::clone(self), guest }
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the guest of this number is there.
    pub fn has(&self, id: u64) -> bool {
        self.lock().contains_key(&id)
    }

    /// All that are there, the oldest first, a few at a time. Guests that come or go meanwhile may be missing or
    /// listed.
    pub fn guests(self: Arc<Self>) -> impl Iterator<Item = Vec<Arc<Guest>>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let few: Vec<_> =
                self.lock().range(next..).take(FEW).map(|(_, g)| Arc::clone(g)).collect();
            next = few.last()?.id.saturating_add(1);
            Some(few)
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Guest>>> {
        // No code can panic while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whose it is.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.guest.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_listed_a_few_at_a_time_and_once_each() {
        let roster = Arc::<Roster>::default();
        let enter = |_| roster.enter(Guest::new([192, 0, 2, 1].into(), "test"));
        let mut entries: Vec<_> = (0..100).map(enter).collect();
        let all = || Arc::clone(&roster).guests().flatten().map(|guest| guest.id);
        assert!(all().eq(entries.iter().map(|entry| entry.guest().id)));
        assert!(Arc::clone(&roster).guests().all(|few| few.len() <= FEW));
        let mut slow = Arc::clone(&roster).guests();
        assert_eq!(slow.next().map(|few| few.len()), Some(FEW));
        entries.truncate(20);
        assert_eq!(slow.flatten().count(), 4, "who left meanwhile is not listed");
        assert!(roster.has(entries[0].guest().id) && !roster.is_empty());
    }
}
