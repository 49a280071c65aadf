//! The right to publish on a mount.

use std::rc::Rc;
use std::sync::Arc;

use ogg_splice::{Headers, Page};
use tokio::sync::oneshot;

use super::home::HomeMount;
use super::operator::Operator;
use super::shared::{MountEntry, Reservation};
use super::stream_info::{Description, SourceInfo};
use crate::clock::{Moment, Timestamp};
use crate::log::journal;

/// Why a claim was revoked.
#[derive(Debug, PartialEq, Eq)]
pub enum RevokeReason {
    /// Another source took the mount over.
    TakenOver,
    /// An administrator disconnected the source.
    Evicted(Arc<Operator>),
}

/// Resolves when a claim is revoked.
#[derive(Debug)]
pub struct Revocation(oneshot::Receiver<Arc<Operator>>);

/// The right to publish on a mount, until it is dropped or revoked.
#[derive(Debug)]
pub struct Claim {
    mount: Rc<HomeMount>,
    number: u64,
    source: SourceInfo,
    /// The newest headers of the source's stream.
    headers: Option<Headers>,
    /// Keeps the mount's entry in the table.
    _reservation: Reservation,
}

impl Claim {
    /// A claim for a new source. Revokes the claim of the previous newcomer, if there is one.
    pub fn new(mount: &Rc<HomeMount>, description: Description) -> (Self, Revocation) {
        let (revoke, revoked) = oneshot::channel();
        mount.forget_early_tags();
        let entry = mount.shared().entry();
        let claim = Self {
            number: mount.slots().add(revoke),
            source: SourceInfo {
                description,
                connected: Timestamp::now(),
                bytes_before: entry.counters.bytes_in.get(),
            },
            headers: None,
            _reservation: Reservation::of(entry),
            mount: Rc::clone(mount),
        };
        (claim, Revocation(revoked))
    }

    /// Makes the source's stream live: it continues the current stream or replaces it. Does nothing
    /// if the claim was revoked.
    pub fn begin(&mut self, headers: Headers, now: Moment) {
        let is_newcomer = self.mount.slots().is_newcomer(self.number);
        let headers = if is_newcomer { self.mount.with_early_tags(headers) } else { headers };
        if self.mount.slots().promote(self.number) && self.entry().note_takeover(now.real()) {
            let mount = self.entry().name.as_str();
            journal!(
                warn,
                SOURCE_CONFLICT,
                mount,
                "two encoders take the mount from each other; the newest one keeps it"
            );
        }
        let headers = self.headers.insert(headers);
        if self.mount.slots().is_held_by(self.number) {
            self.mount.begin(headers, &self.source, now);
        }
    }

    /// Publishes a page of audio; discards it if the claim was revoked. Does not wake readers.
    pub fn publish(&self, page: &Page<'_>, now: Moment) {
        if !self.mount.slots().is_held_by(self.number) {
            return;
        }
        if !self.mount.has_stream()
            && let Some(headers) = &self.headers
        {
            // The stream ended after the hold time, and now the source is sending again.
            self.mount.begin(headers, &self.source, now);
        }
        let counters = &self.entry().counters;
        counters.pages_in.add(1);
        counters.bytes_in.add(page.bytes().len() as u64);
        self.mount.publish(page, now);
    }

    /// Size of the mount's ring, in bytes.
    pub fn ring(&self) -> usize {
        self.mount.shared().ring
    }

    /// The mount's entry in the table.
    pub fn entry(&self) -> &Arc<MountEntry> {
        self.mount.shared().entry()
    }
}

impl Revocation {
    /// Waits until the claim is revoked.
    pub async fn revoked(self) -> RevokeReason {
        self.0.await.map_or(RevokeReason::TakenOver, RevokeReason::Evicted)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let was_live = self.mount.slots().remove(self.number);
        if was_live {
            self.mount.source_left();
        }
        // Even without a stream: the audience has to notice that the claim is gone.
        self.mount.shared().wake_readers();
    }
}
