//! The sources of a mount: the one that is live, and the one that is about to take over.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::operator::Operator;

/// The sources that have a claim on a mount. There are at most two, because a newcomer replaces the
/// previous newcomer.
#[derive(Debug, Default)]
pub(super) struct SourceSlots {
    /// The source whose stream is live.
    holder: Option<Claimant>,
    /// A connected source whose headers are not complete yet.
    newcomer: Option<Claimant>,
    /// Number of the next claim.
    next_claim: u64,
}

#[derive(Debug)]
struct Claimant {
    claim: u64,
    /// A send tells the source that an administrator disconnected it; a drop, that another source
    /// took over.
    revoke: oneshot::Sender<Arc<Operator>>,
}

impl SourceSlots {
    /// Whether a source has a claim.
    pub(super) fn is_claimed(&self) -> bool {
        self.holder.is_some() || self.newcomer.is_some()
    }

    /// Whether a source is connected whose headers are not complete yet.
    pub(super) fn has_newcomer(&self) -> bool {
        self.newcomer.is_some()
    }

    /// Whether the source with this claim is the newcomer.
    pub(super) fn is_newcomer(&self, claim: u64) -> bool {
        self.newcomer.as_ref().is_some_and(|newcomer| newcomer.claim == claim)
    }

    /// Revokes the claim of the live source; returns false if no source is live.
    pub(super) fn evict(&mut self, by: Arc<Operator>) -> bool {
        // The send fails if the source has disconnected meanwhile; the slot is free either way.
        self.holder.take().map(|holder| holder.revoke.send(by)).is_some()
    }

    /// Adds a newcomer in place of the previous one; returns the number of its claim.
    pub(super) fn add(&mut self, revoke: oneshot::Sender<Arc<Operator>>) -> u64 {
        let claim = self.next_claim;
        self.next_claim += 1;
        self.newcomer = Some(Claimant { claim, revoke });
        claim
    }

    /// Makes the source with this claim the holder, if it is the newcomer. Returns whether it
    /// replaced another one.
    pub(super) fn promote(&mut self, claim: u64) -> bool {
        self.is_newcomer(claim)
            && std::mem::replace(&mut self.holder, self.newcomer.take()).is_some()
    }

    /// Whether the source with this claim is live.
    pub(super) fn is_held_by(&self, claim: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.claim == claim)
    }

    /// Removes a claim; returns whether its source was live.
    pub(super) fn remove(&mut self, claim: u64) -> bool {
        let was_live = self.is_held_by(claim);
        for slot in [&mut self.holder, &mut self.newcomer] {
            slot.take_if(|claimant| claimant.claim == claim);
        }
        was_live
    }
}
