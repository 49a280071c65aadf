//! Who listens to a mount, for whoever asks. Touched when a listener comes or goes, never per page.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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

    /// All that are there, the oldest first.
    pub fn guests(&self) -> Vec<Arc<Guest>> {
        self.lock().values().cloned().collect()
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
