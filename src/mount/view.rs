//! A mount as one thread sees it.
//!
//! The home thread reads the mount's own pages. Any other thread that has listeners of the mount
//! keeps a replica and copies what is new into it, so the lock between them is held for a copy and
//! never while a socket is written to. With one thread nobody ever waits for it.

use std::cell::{Ref, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, RwLockReadGuard};

use super::home::HomeMount;
use super::page_log::PageLog;
use super::shared::SharedMount;

/// A thread's access to a mount.
#[derive(Debug)]
pub struct MountView {
    thread: usize,
    side: Side,
}

#[derive(Debug)]
enum Side {
    Home(Rc<HomeMount>),
    Replica {
        pages: RefCell<PageLog>,
        /// Dropped last: it stands for the replica's memory too.
        mount: Arc<SharedMount>,
    },
}

/// The pages, for as long as they are read.
pub enum PageLogRef<'v> {
    /// The mount's own.
    Home(RwLockReadGuard<'v, PageLog>),
    /// This thread's copy.
    Replica(Ref<'v, PageLog>),
}

impl MountView {
    /// The view from the mount's home thread.
    pub fn home_of(mount: Rc<HomeMount>, thread: usize) -> Self {
        Self { thread, side: Side::Home(mount) }
    }

    /// The view from another thread; its replica is allocated here.
    pub fn replica_of(mount: Arc<SharedMount>, thread: usize) -> Self {
        let pages = RefCell::new(PageLog::new(mount.ring));
        Self { thread, side: Side::Replica { pages, mount } }
    }

    /// The half of the mount that all threads may use.
    pub fn shared(&self) -> &Arc<SharedMount> {
        match &self.side {
            Side::Home(mount) => mount.shared(),
            Side::Replica { mount, .. } => mount,
        }
    }

    /// The home half, on the mount's home thread.
    pub fn home(&self) -> Option<&Rc<HomeMount>> {
        match &self.side {
            Side::Home(mount) => Some(mount),
            Side::Replica { .. } => None,
        }
    }

    /// The number of the thread whose view this is.
    pub fn thread(&self) -> usize {
        self.thread
    }

    /// Copies what is new into a replica.
    pub fn refresh(&self) {
        if let Side::Replica { pages, mount } = &self.side {
            pages.borrow_mut().follow(&mount.pages());
        }
    }

    /// The pages as of the last refresh.
    pub fn pages(&self) -> PageLogRef<'_> {
        match &self.side {
            Side::Home(mount) => PageLogRef::Home(mount.shared().pages()),
            Side::Replica { pages, .. } => PageLogRef::Replica(pages.borrow()),
        }
    }

    /// Waits until there is something new: pages, or an end. For one waiter on each thread.
    pub async fn changed(&self) {
        self.shared().changed(self.thread).await;
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
