//! A mount: where one source's pages go in and any number of listeners take them out.
//!
//! A [`Mount`] has a home among the data-plane threads, where its source is. A source has a
//! [`Claim`] on it, the only way to publish. It holds the mount from the moment it begins a stream,
//! over whoever held it before: a source that turns out to send no stream takes nothing from
//! anybody. Dropping the claim retires the mount. Readers on any thread have a [`View`] of it.

mod air;
mod name;
mod ring;
mod seats;
mod settings;
mod table;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use tokio::sync::{Notify, oneshot};

pub use air::{Air, Look, OnAir, View};
pub use name::{MAX_NAME, Name, NameError, Pattern};
pub use ring::{Cursor, Lag, MIN_RING, Ring};
pub use seats::{Seat, Seats};
pub use settings::{Burst, Rules, Settings};
pub use table::{Counter, Counters, Description, Full, Live, Slot, Table};

use air::Newest;

use crate::ogg::{Headers, Page, Probe, Stamp, write};

/// One mount.
#[derive(Debug)]
pub struct Mount {
    slot: Arc<Slot>,
    home: usize,
    air: RwLock<Air>,
    claimants: Mutex<Claimants>,
    claims: AtomicU64,
    /// One for each thread that may have listeners.
    bells: Box<[Notify]>,
}

/// Who has a claim. There are two at the most: each newcomer takes the place of the one before it.
#[derive(Debug, Default)]
struct Claimants {
    /// On the air.
    holder: Option<Claimant>,
    /// Connected, and yet to show what it sends.
    newcomer: Option<Claimant>,
}

#[derive(Debug)]
struct Claimant {
    claim: u64,
    /// Dropped to tell the source that its claim is void.
    _lost: oneshot::Sender<()>,
}

/// Resolves when another source has taken the place of this one.
#[derive(Debug)]
pub struct Lost(oneshot::Receiver<()>);

/// The right to publish on a mount, until it is dropped or somebody else claims the mount.
#[derive(Debug)]
pub struct Claim {
    mount: Arc<Mount>,
    number: u64,
    description: Description,
}

impl Mount {
    /// A mount without a source, on thread `home` of `threads`; its ring is allocated here.
    pub fn new(slot: Arc<Slot>, home: usize, threads: usize) -> Arc<Self> {
        let mount = Arc::new(Self {
            home,
            air: RwLock::new(Air::new(slot.settings.ring)),
            claimants: Mutex::default(),
            claims: AtomicU64::new(0),
            bells: (0..threads).map(|_| Notify::new()).collect(),
            slot,
        });
        mount.slot.set_mount(&mount);
        mount
    }

    /// A claim for a new source, over the one that has not yet shown what it sends.
    pub fn claim(self: &Arc<Self>, description: Description) -> (Claim, Lost) {
        let (lost, told) = oneshot::channel();
        let number = self.claims.fetch_add(1, Relaxed);
        self.claimants().newcomer = Some(Claimant { claim: number, _lost: lost });
        (Claim { mount: Arc::clone(self), number, description }, Lost(told))
    }

    /// Whether a source has a claim on it.
    pub fn is_claimed(&self) -> bool {
        let claimants = self.claimants();
        claimants.holder.is_some() || claimants.newcomer.is_some()
    }

    /// What the control plane sees of it.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Ends the stream for its listeners, with EOS, and takes the mount off the air.
    fn end_stream(&self) {
        let mut air = self.air_mut();
        let Some(stream) = air.stream.take() else { return };
        let newest = air.newest.take().unwrap_or(Newest { sequence: 1, granule: 0, last: false });
        if !newest.last {
            let (serial, granule) = (stream.headers.serial, newest.granule);
            let sequence = newest.sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            write(&mut bytes, Stamp { first: false, last: true, granule, serial, sequence }, &[]);
            if let Probe::Page(page) = Page::probe(&bytes) {
                air.ring.publish(&page);
            }
        }
        air.last_end = air.ring.head();
        air.era += 1;
        drop(air);
        self.slot.set_live(None);
        self.ring_bells();
    }

    fn ring_bells(&self) {
        for bell in &self.bells {
            bell.notify_one();
        }
    }

    // No code can panic while it holds one of these locks, so poisoning says nothing.

    fn air(&self) -> RwLockReadGuard<'_, Air> {
        self.air.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn air_mut(&self) -> RwLockWriteGuard<'_, Air> {
        self.air.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn claimants(&self) -> MutexGuard<'_, Claimants> {
        self.claimants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Puts a stream on the air, over the one that is there. A void claim does nothing.
    pub fn begin(&self, headers: Headers) {
        {
            let mut claimants = self.mount.claimants();
            if claimants.newcomer.as_ref().is_some_and(|newcomer| newcomer.claim == self.number) {
                claimants.holder = claimants.newcomer.take();
            }
        }
        if !self.is_held() {
            return;
        }
        self.mount.end_stream();
        let slot = &self.mount.slot;
        let live = Live {
            codec: headers.codec.clone(),
            tags: headers.tags.clone(),
            description: self.description.clone(),
            since: SystemTime::now(),
            bytes_before: slot.counters.bytes_in.get(),
        };
        let mut air = self.mount.air_mut();
        air.stream = Some(Arc::new(OnAir { headers, since: air.ring.head() }));
        drop(air);
        slot.set_live(Some(live));
    }

    /// Publishes a page of audio. Readers hear of it at [`Self::announce`].
    pub fn publish(&self, page: &Page<'_>) {
        if !self.is_held() {
            return;
        }
        self.mount.air_mut().publish(page);
        self.mount.slot.counters.pages_in.add(1);
        self.mount.slot.counters.bytes_in.add(page.bytes().len() as u64);
    }

    /// Wakes the readers.
    pub fn announce(&self) {
        self.mount.ring_bells();
    }

    /// What the control plane sees of the mount.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.mount.slot
    }

    fn is_held(&self) -> bool {
        self.mount.claimants().holder.as_ref().is_some_and(|holder| holder.claim == self.number)
    }
}

impl Lost {
    /// Waits for it.
    pub async fn told(self) {
        // The sender is never used, only dropped.
        let _ = self.0.await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_held() {
            self.mount.end_stream();
            self.mount.claimants().holder = None;
        }
        let newcomer = &mut self.mount.claimants().newcomer;
        if newcomer.as_ref().is_some_and(|newcomer| newcomer.claim == self.number) {
            *newcomer = None;
        }
        // Also where there was no stream: whoever waits must see that the claim is gone.
        self.mount.ring_bells();
    }
}
