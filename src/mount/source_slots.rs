//! Which source of a mount is live, and which one is about to be.

use tokio::sync::oneshot;

/// The sources that have a claim on a mount: two at most, as each newcomer replaces the one before.
#[derive(Debug, Default)]
pub(super) struct SourceSlots {
    /// Its stream is live.
    holder: Option<Claimant>,
    /// Connected; its headers are not complete yet.
    newcomer: Option<Claimant>,
    claims: u64,
}

#[derive(Debug)]
struct Claimant {
    claim: u64,
    /// Sends the reason where the administrator ends the source; dropped on a takeover.
    revoke: oneshot::Sender<()>,
}

impl SourceSlots {
    /// Whether a source has a claim.
    pub(super) fn is_claimed(&self) -> bool {
        self.holder.is_some() || self.newcomer.is_some()
    }

    /// Revokes the claim of the source that is live; false if there is none.
    pub(super) fn evict(&mut self) -> bool {
        // Whether the source is still there to be told does not matter.
        self.holder.take().map(|holder| holder.revoke.send(())).is_some()
    }

    /// Adds a newcomer, in place of the one before; its claim's number.
    pub(super) fn add(&mut self, revoke: oneshot::Sender<()>) -> u64 {
        let claim = self.claims;
        self.claims += 1;
        self.newcomer = Some(Claimant { claim, revoke });
        claim
    }

    /// Makes a newcomer the holder, if it still is the newcomer.
    pub(super) fn promote(&mut self, claim: u64) {
        if self.newcomer.as_ref().is_some_and(|newcomer| newcomer.claim == claim) {
            self.holder = self.newcomer.take();
        }
    }

    /// Whether the source with this claim is live.
    pub(super) fn is_held_by(&self, claim: u64) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.claim == claim)
    }

    /// Takes a claim out; true if its source was live.
    pub(super) fn remove(&mut self, claim: u64) -> bool {
        let was_live = self.is_held_by(claim);
        for slot in [&mut self.holder, &mut self.newcomer] {
            slot.take_if(|claimant| claimant.claim == claim);
        }
        was_live
    }
}
