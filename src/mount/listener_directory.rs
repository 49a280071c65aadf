//! Who listens to a mount, for whoever asks. Touched when a listener comes or goes, never per page.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many listeners are looked at at once.
const FEW: usize = 16;

/// A listener, as it is seen by others.
#[derive(Debug)]
pub struct ListenerInfo {
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
pub struct ListenerDirectory(Mutex<BTreeMap<u64, Arc<ListenerInfo>>>);

/// A listener's entry, taken out when dropped.
#[derive(Debug)]
pub struct Registration {
    directory: Arc<ListenerDirectory>,
    listener: Arc<ListenerInfo>,
}

impl ListenerInfo {
    /// A new one.
    pub fn new(address: IpAddr, agent: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        Self { id, address, agent: agent.into(), since: Instant::now() }
    }
}

impl ListenerDirectory {
    /// Enters a listener.
    pub fn enter(self: &Arc<Self>, listener: ListenerInfo) -> Registration {
        let listener = Arc::new(listener);
        self.lock().insert(listener.id, Arc::clone(&listener));
        Registration { directory: Arc::clone(self), listener }
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the listener of this number is there.
    pub fn has(&self, id: u64) -> bool {
        self.lock().contains_key(&id)
    }

    /// All that are there, the oldest first, a few at a time. Guests that come or go meanwhile may be missing or
    /// listed.
    pub fn listeners(self: Arc<Self>) -> impl Iterator<Item = Vec<Arc<ListenerInfo>>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let few: Vec<_> =
                self.lock().range(next..).take(FEW).map(|(_, g)| Arc::clone(g)).collect();
            next = few.last()?.id.saturating_add(1);
            Some(few)
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ListenerInfo>>> {
        // No code can panic while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// Whose it is.
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
    use super::*;

    #[test]
    fn guests_are_listed_a_few_at_a_time_and_once_each() {
        let directory = Arc::<ListenerDirectory>::default();
        let enter = |_| directory.enter(ListenerInfo::new([192, 0, 2, 1].into(), "test"));
        let mut entries: Vec<_> = (0..100).map(enter).collect();
        let all = || Arc::clone(&directory).listeners().flatten().map(|listener| listener.id);
        assert!(all().eq(entries.iter().map(|entry| entry.listener().id)));
        assert!(Arc::clone(&directory).listeners().all(|few| few.len() <= FEW));
        let mut slow = Arc::clone(&directory).listeners();
        assert_eq!(slow.next().map(|few| few.len()), Some(FEW));
        entries.truncate(20);
        assert_eq!(slow.flatten().count(), 4, "who left meanwhile is not listed");
        assert!(directory.has(entries[0].listener().id) && !directory.is_empty());
    }
}
