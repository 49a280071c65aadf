//! Mounts that are there although no source sends: their audio comes when somebody wants it.
//!
//! A mount is offered by the configuration (`on_demand`), or by a relay that would begin to pull it. It is
//! wanted as long as a listener waits for its source, and while it has listeners.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::name::Name;
use super::settings::MountSettings;
use crate::clock::Timestamp;
use crate::quota::{Permit, Quota};

/// The mounts that are offered, besides those of the configuration.
#[derive(Debug, Default)]
pub(super) struct Offers(Mutex<BTreeMap<Name, Weak<Offer>>>);

/// A mount that is there when somebody wants it.
#[derive(Debug)]
pub struct Offer {
    /// The mount's name.
    pub name: Name,
    /// The settings in force.
    settings: ArcSwap<MountSettings>,
    /// Since when it is offered.
    pub since: Timestamp,
    /// Counts the listeners that wait for the source.
    waiting: Arc<Quota>,
    changed: watch::Sender<()>,
}

/// Whether somebody wants a mount's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// How many listeners it has, those included that wait for its source.
    pub listeners: usize,
    /// How much longer it is wanted without listeners; zero if it is not.
    pub lingers: Duration,
}

/// A listener that waits for the source. The mount is wanted while this exists.
#[derive(Debug)]
pub struct WaitingListener {
    /// `None` only while it is dropped.
    permit: Option<Permit>,
    /// Keeps the offer, which counts it.
    offer: Arc<Offer>,
}

impl Offers {
    /// The offer of this mount. Makes one if the mount has none.
    pub(super) fn enter(
        &self,
        name: &Name,
        settings: Arc<MountSettings>,
        changed: &watch::Sender<()>,
    ) -> Arc<Offer> {
        let mut offers = self.lock();
        if let Some(offer) = offers.get(name).and_then(Weak::upgrade) {
            return offer;
        }
        offers.retain(|_, offer| offer.strong_count() > 0);
        let offer = Arc::new(Offer {
            name: name.clone(),
            settings: ArcSwap::new(settings),
            since: Timestamp::now(),
            waiting: Arc::default(),
            changed: changed.clone(),
        });
        offers.insert(name.clone(), Arc::downgrade(&offer));
        offer
    }

    pub(super) fn find(&self, name: &Name) -> Option<Arc<Offer>> {
        self.lock().get(name).and_then(Weak::upgrade)
    }

    /// All offers, ordered by name.
    pub(super) fn all(&self) -> Vec<Arc<Offer>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Weak<Offer>>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offer {
    /// The settings in force.
    pub fn settings(&self) -> Arc<MountSettings> {
        self.settings.load_full()
    }

    pub(super) fn set_settings(&self, settings: Arc<MountSettings>) {
        self.settings.store(settings);
    }

    /// Counts a listener that waits for the source. `None` if `limit` wait already.
    pub fn wait(self: &Arc<Self>, limit: usize) -> Option<WaitingListener> {
        let permit = self.waiting.take(limit)?;
        self.changed.send_replace(());
        Some(WaitingListener { permit: Some(permit), offer: Arc::clone(self) })
    }

    /// How many listeners wait for the source.
    pub fn waiting(&self) -> usize {
        self.waiting.taken()
    }
}

impl Demand {
    /// Whether the mount is wanted.
    pub fn is_wanted(self) -> bool {
        self.listeners > 0 || !self.lingers.is_zero()
    }
}

impl Drop for WaitingListener {
    fn drop(&mut self) {
        self.permit = None;
        self.offer.changed.send_replace(());
    }
}
