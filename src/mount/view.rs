//! One thread's read access to a mount.
//!
//! The home thread reads the mount's page log directly. Every other thread that has listeners of
//! the mount copies new pages into a replica, so it holds the lock during the copy and never while
//! it writes to a socket. With one thread, the lock is never contended.

use std::cell::{Ref, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, RwLockReadGuard};

use super::home::HomeMount;
use super::page_log::PageLog;
use super::shared::SharedMount;

/// One thread's read access to a mount.
#[derive(Debug)]
pub struct MountView {
    thread: usize,
    kind: ViewKind,
}

#[derive(Debug)]
enum ViewKind {
    Home(Rc<HomeMount>),
    Replica {
        pages: RefCell<PageLog>,
        /// Declared last, so dropped last: the mount counts against `limits.sources` until the
        /// replica's memory is freed.
        mount: Arc<SharedMount>,
    },
}

/// A borrowed page log.
pub enum PageLogRef<'v> {
    /// The mount's page log, locked for reading.
    Home(RwLockReadGuard<'v, PageLog>),
    /// This thread's replica.
    Replica(Ref<'v, PageLog>),
}

impl MountView {
    /// A view for the mount's home thread.
    pub fn home_of(mount: Rc<HomeMount>, thread: usize) -> Self {
        Self { thread, kind: ViewKind::Home(mount) }
    }

    /// A view for another thread. Allocates the replica.
    pub fn replica_of(mount: Arc<SharedMount>, thread: usize) -> Self {
        let pages = RefCell::new(PageLog::new(mount.ring));
        Self { thread, kind: ViewKind::Replica { pages, mount } }
    }

    /// The half of the mount that all threads may use.
    pub fn shared(&self) -> &Arc<SharedMount> {
        match &self.kind {
            ViewKind::Home(mount) => mount.shared(),
            ViewKind::Replica { mount, .. } => mount,
        }
    }

    /// The home half; `None` on any thread but the mount's home thread.
    pub fn home(&self) -> Option<&Rc<HomeMount>> {
        match &self.kind {
            ViewKind::Home(mount) => Some(mount),
            ViewKind::Replica { .. } => None,
        }
    }

    /// Number of the thread that this view belongs to.
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// Copies new pages into the replica; does nothing on the home thread.
    pub fn refresh(&self) {
        if let ViewKind::Replica { pages, mount } = &self.kind {
            pages.borrow_mut().follow(&mount.pages());
        }
    }

    /// The page log; on other threads than the home thread, as of the last [`Self::refresh`].
    pub fn pages(&self) -> PageLogRef<'_> {
        match &self.kind {
            ViewKind::Home(mount) => PageLogRef::Home(mount.shared().pages()),
            ViewKind::Replica { pages, .. } => PageLogRef::Replica(pages.borrow()),
        }
    }

    /// Waits until this thread is woken: because new pages or the end of the stream were published,
    /// or by [`Self::wake`]. Supports one waiter per thread.
    pub async fn changed(&self) {
        self.shared().changed(self.thread).await;
    }

    /// Wakes this thread's waiter.
    pub fn wake(&self) {
        self.shared().wake_reader(self.thread);
    }

    /// Wakes the waiters of all other threads.
    pub fn wake_other_threads(&self) {
        self.shared().wake_readers_except(self.thread);
    }
}

impl Deref for PageLogRef<'_> {
    type Target = PageLog;

    fn deref(&self) -> &PageLog {
        match self {
            Self::Home(pages) => pages,
            Self::Replica(pages) => pages,
        }
    }
}
