//! A mount: where one source's pages go in and any number of listeners take them out.
//!
//! A [`Mount`] lives on one data-plane thread. A source holds a [`Claim`] on it, the
//! only way to publish; whoever claims next takes it over, and dropping the claim
//! retires the mount. Readers wait for [`Mount::changed`] and read the ring.

mod name;
mod ring;
mod seats;
mod settings;
mod table;

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Notify, oneshot};

pub use name::{MAX_NAME, Name, NameError, Pattern};
pub use ring::{Cursor, Lag, MIN_RING, Ring};
pub use seats::{Seat, Seats};
pub use settings::{Burst, Rules, Settings};
pub use table::{Counter, Counters, Description, Full, Live, Slot, Table};

use crate::ogg::{Headers, Page, Probe, Stamp, write};

/// One mount on its data-plane thread.
#[derive(Debug)]
pub struct Mount {
    slot: Arc<Slot>,
    ring: RefCell<Ring>,
    stream: RefCell<Option<OnAir>>,
    /// Counts the streams; readers of an earlier one end where it ended.
    era: Cell<u64>,
    /// Where the stream before this one ended.
    last_end: Cell<u64>,
    holder: RefCell<Option<Holder>>,
    claims: Cell<u64>,
    bell: Notify,
}

/// The stream that listeners can join.
#[derive(Clone, Debug)]
pub struct OnAir {
    /// Its headers.
    pub headers: Headers,
    /// Position of its first audio page in the ring.
    pub since: u64,
    /// Number and granule position of its newest page; EOS already said.
    newest: (u32, u64, bool),
}

#[derive(Debug)]
struct Holder {
    claim: u64,
    /// Dropped to tell the source that it lost the mount.
    _lost: oneshot::Sender<()>,
}

/// The right to publish on a mount, until it is dropped or somebody else claims the mount.
#[derive(Debug)]
pub struct Claim {
    mount: Rc<Mount>,
    number: u64,
    description: Description,
    lost: oneshot::Receiver<()>,
}

impl Mount {
    /// A mount without a source; its ring is allocated here.
    pub fn new(slot: Arc<Slot>) -> Self {
        Self {
            ring: RefCell::new(Ring::new(slot.settings.ring)),
            slot,
            stream: RefCell::default(),
            era: Cell::new(0),
            last_end: Cell::new(0),
            holder: RefCell::default(),
            claims: Cell::new(0),
            bell: Notify::new(),
        }
    }

    /// Gives the mount to a new source, over the one that may hold it.
    pub fn claim(self: &Rc<Self>, description: Description) -> Claim {
        self.end_stream();
        let (lost, told) = oneshot::channel();
        let number = self.claims.get() + 1;
        self.claims.set(number);
        self.holder.replace(Some(Holder { claim: number, _lost: lost }));
        Claim { mount: Rc::clone(self), number, description, lost: told }
    }

    /// Whether a source holds it.
    pub fn is_claimed(&self) -> bool {
        self.holder.borrow().is_some()
    }

    /// What other threads see of it.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Its pages.
    pub fn ring(&self) -> Ref<'_, Ring> {
        self.ring.borrow()
    }

    /// The stream to join, and its era.
    pub fn on_air(&self) -> Option<(Ref<'_, OnAir>, u64)> {
        let stream = Ref::filter_map(self.stream.borrow(), Option::as_ref).ok()?;
        Some((stream, self.era.get()))
    }

    /// Position at which a reader that joined in `era` must end; `None` while that stream lives.
    pub fn end_of(&self, era: u64) -> Option<u64> {
        match self.era.get() - era {
            0 => None,
            1 => Some(self.last_end.get()),
            // A reader that slept through a whole stream has nothing left that it could play.
            _ => Some(0),
        }
    }

    /// Waits until there is something new: pages, or an end. For one waiter.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }

    /// Ends the stream for its listeners, with EOS, and takes the mount off the air.
    fn end_stream(&self) {
        let Some(stream) = self.stream.take() else { return };
        let (sequence, granule, ended) = stream.newest;
        if !ended {
            let serial = stream.headers.serial;
            let sequence = sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            write(&mut bytes, Stamp { first: false, last: true, granule, serial, sequence }, &[]);
            if let Probe::Page(page) = Page::probe(&bytes) {
                self.ring.borrow_mut().publish(&page);
            }
        }
        self.slot.set_live(None);
        self.last_end.set(self.ring.borrow().head());
        self.era.set(self.era.get() + 1);
        self.bell.notify_one();
    }
}

impl Claim {
    /// Puts a stream on the air, once its headers are known.
    pub fn begin(&self, headers: Headers) {
        if !self.is_held() {
            return;
        }
        self.mount.end_stream();
        let live = Live {
            codec: headers.codec.clone(),
            tags: headers.tags.clone(),
            description: self.description.clone(),
            since: SystemTime::now(),
            bytes_before: self.mount.slot.counters.bytes_in.get(),
        };
        let since = self.mount.ring.borrow().head();
        self.mount.stream.replace(Some(OnAir { headers, since, newest: (1, 0, false) }));
        self.mount.slot.set_live(Some(live));
    }

    /// Publishes a page of audio. Readers hear of it at [`Self::announce`].
    pub fn publish(&self, page: &Page<'_>) {
        if !self.is_held() {
            return;
        }
        if let Some(stream) = self.mount.stream.borrow_mut().as_mut() {
            let granule = page.granule().unwrap_or(stream.newest.1);
            stream.newest = (page.sequence(), granule, page.is_last());
            self.mount.ring.borrow_mut().publish(page);
            self.mount.slot.counters.pages_in.add(1);
            self.mount.slot.counters.bytes_in.add(page.bytes().len() as u64);
        }
    }

    /// Wakes the readers.
    pub fn announce(&self) {
        self.mount.bell.notify_one();
    }

    /// What other threads see of the mount.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.mount.slot
    }

    /// Resolves when another source has taken the mount over.
    pub async fn lost(&mut self) {
        // The sender is never used, only dropped.
        let _ = (&mut self.lost).await;
    }

    fn is_held(&self) -> bool {
        self.mount.holder.borrow().as_ref().is_some_and(|holder| holder.claim == self.number)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_held() {
            self.mount.end_stream();
            self.mount.holder.take();
            // Also where there was no stream: whoever waits must see that the claim is gone.
            self.mount.bell.notify_one();
        }
    }
}
