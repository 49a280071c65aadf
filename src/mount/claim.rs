//! The right to feed a mount: who has it, who is about to, and what happens as it changes hands.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::oneshot;

use super::Mount;
use super::feed::Feed;
use super::table::{Description, Slot, Wanted};
use crate::clock::Moment;
use ogg_splice::{Headers, Page};

/// Where sources sign in, and what the one of them that is heard feeds. There are two at the most:
/// each newcomer takes the place of the one before it.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// On the air.
    holder: Option<Claimant>,
    /// Connected, and yet to show what it sends.
    newcomer: Option<Claimant>,
    /// The stream on the air; it outlives its source for a while.
    pub(super) feed: Option<Feed>,
    claims: u64,
}

#[derive(Debug)]
struct Claimant {
    claim: u64,
    /// Dropped to tell the source that another one took its place; used to tell that it has to go.
    lost: oneshot::Sender<()>,
}

/// How a claim was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Another source has it.
    TakenOver,
    /// The administrator wanted it to end.
    Evicted,
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
    since: SystemTime,
    began: Instant,
    bytes_before: u64,
    headers: Option<Headers>,
    /// The mount's place is not for others while this lasts.
    _wanted: Wanted,
}

/// What a source that begins says of its stream, for all to see.
pub(super) struct Introduction<'a> {
    pub(super) headers: &'a Headers,
    pub(super) description: &'a Description,
    pub(super) since: SystemTime,
    pub(super) began: Instant,
    pub(super) bytes_before: u64,
}

impl Desk {
    /// Whether a source has a claim.
    pub(super) fn is_claimed(&self) -> bool {
        self.holder.is_some() || self.newcomer.is_some()
    }

    /// Tells the source that is heard to go; false if there is none.
    pub(super) fn evict(&mut self) -> bool {
        // Whether it is still there to be told does not matter.
        self.holder.take().map(|holder| holder.lost.send(())).is_some()
    }

    fn is_held_by(&self, claim: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.claim == claim)
    }
}

impl Claim {
    /// A claim for a new source, over the one that has not yet shown what it sends.
    pub fn new(mount: &Arc<Mount>, description: Description) -> (Self, Lost) {
        let (lost, told) = oneshot::channel();
        let mut desk = mount.desk();
        let number = desk.claims;
        desk.claims += 1;
        desk.newcomer = Some(Claimant { claim: number, lost });
        drop(desk);
        let claim = Self {
            mount: Arc::clone(mount),
            number,
            description,
            since: SystemTime::now(),
            began: Instant::now(),
            bytes_before: mount.slot().counters.bytes_in.get(),
            headers: None,
            _wanted: Wanted::of(mount.slot()),
        };
        (claim, Lost(told))
    }

    /// Puts a stream on the air, over the one that is there: as its continuation if that can be. A
    /// void claim does nothing.
    pub fn begin(&mut self, headers: Headers, now: Moment) {
        let mut desk = self.mount.desk();
        if desk.newcomer.as_ref().is_some_and(|newcomer| newcomer.claim == self.number) {
            desk.holder = desk.newcomer.take();
        }
        self.headers = Some(headers);
        if desk.is_held_by(self.number)
            && let Some(introduction) = self.introduction()
        {
            self.mount.begin(&mut desk, &introduction, now);
        }
    }

    /// Publishes a page of audio. Readers hear of it at [`Self::announce`].
    pub fn publish(&self, page: &Page<'_>, now: Moment) {
        let mut desk = self.mount.desk();
        if !desk.is_held_by(self.number) {
            return;
        }
        if desk.feed.is_none()
            && let Some(introduction) = self.introduction()
        {
            // It was silent for so long that its stream was ended.
            self.mount.begin(&mut desk, &introduction, now);
        }
        let counters = &self.mount.slot().counters;
        counters.pages_in.add(1);
        counters.bytes_in.add(page.bytes().len() as u64);
        self.mount.publish(&mut desk, page, now);
    }

    /// Wakes the readers.
    pub fn announce(&self) {
        self.mount.ring_bells();
    }

    /// What the control plane sees of the mount.
    pub fn slot(&self) -> &Arc<Slot> {
        self.mount.slot()
    }

    fn introduction(&self) -> Option<Introduction<'_>> {
        let (since, began, bytes_before) = (self.since, self.began, self.bytes_before);
        let headers = self.headers.as_ref()?;
        Some(Introduction { headers, description: &self.description, since, began, bytes_before })
    }
}

impl Lost {
    /// Waits for it.
    pub async fn told(self) -> Loss {
        self.0.await.map_or(Loss::TakenOver, |()| Loss::Evicted)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut desk = self.mount.desk();
        if desk.is_held_by(self.number) {
            desk.holder = None;
            self.mount.source_left(&mut desk);
        }
        if desk.newcomer.as_ref().is_some_and(|newcomer| newcomer.claim == self.number) {
            desk.newcomer = None;
        }
        drop(desk);
        // Also where there was no stream: whoever waits must see that the claim is gone.
        self.mount.ring_bells();
    }
}
