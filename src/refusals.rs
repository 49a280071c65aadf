//! What is said of requests that are refused: a line each, but only so many in a second.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::events::journal;
use crate::http::Reply;
use crate::text::tame;

/// The refusals of one server.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Throttle>);

impl Refusals {
    /// Says one: the other end of the connection, the client behind it, and the path that was asked for.
    pub fn say(&self, peer: impl Display, client: IpAddr, target: &str, reply: &Reply) {
        // No code can panic while it holds this lock.
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now());
        let Some(unsaid) = noted else { return };
        if unsaid > 0 {
            journal!(info, MORE_REFUSED, count = unsaid, "more requests were refused");
        }
        // Credentials may be in a query.
        let path = tame(target.split('?').next().unwrap_or_default());
        let (status, reason) = (reply.status, tame(&reply.sentence));
        journal!(info, REFUSED, %peer, %client, path, status, reason, "request refused");
    }
}

/// Lets so many lines through in a second, and counts the others.
#[derive(Debug, Default)]
struct Throttle {
    second: Option<Instant>,
    lines: u32,
    unsaid: u64,
}

impl Throttle {
    const LINES: u32 = 20;

    /// Whether to say this one, and how many were not said before it.
    fn note(&mut self, now: Instant) -> Option<u64> {
        if self.second.is_none_or(|began| now - began >= Duration::from_secs(1)) {
            (self.second, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        if self.lines > Self::LINES {
            self.unsaid += 1;
            return None;
        }
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_said() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!((0..100).filter(|_| throttle.note(now).is_some()).count(), 20);
        assert_eq!(throttle.note(now + Duration::from_secs(1)), Some(80));
        assert_eq!(throttle.note(now + Duration::from_secs(1)), Some(0));
    }
}
