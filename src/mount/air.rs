//! What is on the air on a mount, and how each thread gets to see it.
//!
//! The mount's own thread reads the mount itself. Any other thread that has listeners of it keeps
//! a replica, and copies into it what is new: so the lock in between is held for a copy, never
//! while a socket is written to, and with one thread nobody ever waits for it.

use std::cell::{Ref, RefCell};
use std::ops::Deref;
use std::sync::{Arc, RwLockReadGuard};

use super::Mount;
use super::feed::Feed;
use super::ring::Ring;
use ogg_splice::Headers;

/// The pages, the stream to join, and where the one before it ended.
#[derive(Debug)]
pub struct Air {
    /// The pages.
    pub ring: Ring,
    /// What can be joined.
    pub stream: Option<Arc<OnAir>>,
    /// Counts the streams; readers of an earlier one end where it ended.
    pub era: u64,
    /// Where the stream before this one ended.
    last_end: u64,
}

/// The stream that listeners can join.
#[derive(Debug)]
pub struct OnAir {
    /// Its headers.
    pub headers: Headers,
    /// Position of its first audio page in the ring.
    pub since: u64,
}

impl Air {
    pub(super) fn new(ring: usize) -> Self {
        Self { ring: Ring::new(ring), stream: None, era: 0, last_end: 0 }
    }

    /// Position at which a reader that joined in `era` must end; `None` while that stream lives.
    pub fn end_of(&self, era: u64) -> Option<u64> {
        match self.era - era {
            0 => None,
            1 => Some(self.last_end),
            // A reader that slept through a whole stream has nothing left that it could play.
            _ => Some(0),
        }
    }

    /// Ends the stream: its last page goes out, and whoever hears it ends there.
    pub(super) fn end(&mut self, feed: &mut Feed) {
        feed.end(|page| self.ring.publish(page));
        self.stream = None;
        self.last_end = self.ring.head();
        self.era += 1;
    }

    fn follow(&mut self, other: &Self) {
        self.ring.follow(&other.ring);
        self.stream.clone_from(&other.stream);
        (self.era, self.last_end) = (other.era, other.last_end);
    }
}

/// A mount as one thread sees it.
#[derive(Debug)]
pub struct View {
    thread: usize,
    replica: Option<RefCell<Air>>,
    /// Dropped last: it stands for the replica's memory too.
    mount: Arc<Mount>,
}

/// The air, for as long as it is looked at.
pub enum Look<'v> {
    /// The mount's own.
    Home(RwLockReadGuard<'v, Air>),
    /// This thread's copy.
    Replica(Ref<'v, Air>),
}

impl View {
    /// The view from a data-plane thread; a replica is allocated here if it needs one.
    pub fn new(mount: Arc<Mount>, thread: usize) -> Self {
        let away = thread != mount.home;
        let replica = away.then(|| RefCell::new(Air::new(mount.ring)));
        Self { thread, replica, mount }
    }

    /// The mount.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The thread that sees it so.
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// Whether this is the mount's own thread.
    pub fn is_home(&self) -> bool {
        self.replica.is_none()
    }

    /// Takes in what is new.
    pub fn refresh(&self) {
        if let Some(replica) = &self.replica {
            replica.borrow_mut().follow(&self.mount.air());
        }
    }

    /// What this thread sees since it was last refreshed.
    pub fn look(&self) -> Look<'_> {
        match &self.replica {
            None => Look::Home(self.mount.air()),
            Some(replica) => Look::Replica(replica.borrow()),
        }
    }

    /// Waits until there is something new: pages, or an end. For one waiter on each thread.
    pub async fn changed(&self) {
        self.mount.bells[self.thread].notified().await;
    }
}

impl Deref for Look<'_> {
    type Target = Air;

    fn deref(&self) -> &Air {
        match self {
            Self::Home(air) => air,
            Self::Replica(air) => air,
        }
    }
}
