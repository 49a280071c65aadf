//! Writes to one listener after the other, and decides what follows from the outcome.
//!
//! A listener that has received the end of its stream may go on with the next one; one whose headers
//! were replaced gets the new ones; quiet audio is filled up. Everything else that keeps a listener
//! from its pages is a reason to leave.

use std::io;
use std::sync::Arc;

use super::writer::{Listener, NewestPages, WriteOutcome};
use crate::clock::Clock;
use crate::mount::{MountCounters, Operator, PageLog};

/// Sums up one walk through an audience, so that the shared counters are written once per walk.
#[derive(Default)]
pub(crate) struct WriteTotals {
    bytes: u64,
    skips: u64,
}

impl WriteTotals {
    /// Writes to a listener the pages that it and most others need; returns a reason if it must
    /// leave.
    pub(crate) fn write_newest(
        &mut self,
        newest: &NewestPages<'_>,
        pages: &PageLog,
        listener: &mut Listener,
    ) -> Option<LeaveReason> {
        let sent = listener.sent;
        let outcome = listener.write_newest(newest, &pages.ring);
        self.bytes += listener.sent - sent;
        Self::end(listener, outcome)
    }

    /// Writes to one listener; returns a reason if the listener must leave.
    pub(crate) fn write(
        &mut self,
        pages: &PageLog,
        listener: &mut Listener,
        clock: &Clock,
    ) -> Option<LeaveReason> {
        if listener.finishing {
            return None;
        }
        let (sent, skips) = (listener.sent, listener.skips);
        let mut outcome = listener.write(&pages.ring, pages.end_of(listener.era));
        let can_continue = match outcome {
            WriteOutcome::Ended => {
                listener.session.takes_chains && listener.join_next_stream(pages)
            }
            WriteOutcome::HeadersReplaced => listener.replace_headers(pages),
            _ => false,
        };
        if can_continue {
            outcome = listener.write(&pages.ring, pages.end_of(listener.era));
        }
        if listener.takes_filler
            && matches!(outcome, WriteOutcome::CaughtUp)
            && listener.top_up(clock.now())
        {
            outcome = listener.write(&pages.ring, pages.end_of(listener.era));
        }
        self.bytes += listener.sent - sent;
        self.skips += listener.skips - skips;
        Self::end(listener, outcome)
    }

    /// Notes whether a listener is blocked; returns a reason if it must leave.
    fn end(listener: &mut Listener, outcome: WriteOutcome) -> Option<LeaveReason> {
        match outcome {
            WriteOutcome::CaughtUp => listener.blocked = false,
            WriteOutcome::Blocked => listener.blocked = true,
            WriteOutcome::Ended => return Some(LeaveReason::Ended),
            WriteOutcome::HeadersReplaced => return Some(LeaveReason::HeadersReplaced),
            WriteOutcome::Failed(error) => return Some(LeaveReason::of(&error)),
        }
        None
    }

    /// Adds the sums to the mount's counters.
    pub(crate) fn add_to(&self, counters: &MountCounters) {
        counters.bytes_out.add(self.bytes);
        counters.skips.add(self.skips);
    }
}

/// Why a listener leaves.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaveReason {
    /// The stream ended, and the listener got all of it.
    #[error("the stream ended")]
    Ended,
    /// The listener closed its connection, or the connection failed.
    #[error("the listener disconnected")]
    Closed,
    /// The listener acknowledged nothing for `listener_timeout`.
    #[error("the listener acknowledged nothing for too long")]
    Stalled,
    /// By an administrator.
    #[error("an administrator disconnected the listener")]
    Evicted(Arc<Operator>),
    /// Its link is valid no longer.
    #[error("the listener's link has expired")]
    Expired,
    /// It cannot be given the old headers, nor the new ones.
    #[error("the stream's headers were replaced before the listener had received them")]
    HeadersReplaced,
    /// Another mount needed the room.
    #[error("the stream had ended, and the mount was removed to make room for another one")]
    Retired,
}

impl LeaveReason {
    /// The reason after an error of the socket.
    pub(crate) fn of(error: &io::Error) -> Self {
        // The kernel's keep-alive probes may find first that the peer has vanished.
        if error.kind() == io::ErrorKind::TimedOut { Self::Stalled } else { Self::Closed }
    }
}
