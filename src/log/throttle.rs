//! The limit on log lines of each kind: a burst, then a fixed rate. Lines above it are counted.
//!
//! Clients can cause nearly every kind of line as often as they like, and a disk that is full of
//! log lines cannot hold a recording. So every kind is limited.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::journal::{ALL, JournalEvent, SOURCE_DAMAGE};

/// Lines of one kind that are written at once.
const BURST: f64 = 200.0;
/// Lines of one kind per second after the burst.
const PER_SECOND: f64 = 10.0;
/// Burst and rate of lines about damaged input, which say little each.
const DAMAGE_BURST: f64 = 5.0;

/// A token bucket for each kind of line.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<Vec<EventBudget>>);

/// Whether a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineVerdict {
    /// The line is written.
    Write,
    /// The line is left out. It is the first one since [`Throttle::take_left_out`], so a report is
    /// due.
    LeaveOutAndReport,
    /// The line is left out. A report is due already.
    LeaveOut,
}

#[derive(Clone, Debug)]
struct EventBudget {
    event: JournalEvent,
    /// Lines that may be written now.
    allowance: f64,
    /// When the allowance was last updated.
    updated: Option<Instant>,
    /// Lines left out since [`Throttle::take_left_out`].
    left_out: u64,
}

impl Throttle {
    pub(super) fn new() -> Self {
        let kind =
            |&event| EventBudget { event, allowance: burst(event), updated: None, left_out: 0 };
        Self(Mutex::new(ALL.iter().map(kind).collect()))
    }

    /// Decides whether a line of this kind is written. A line of an unknown kind always is.
    pub(super) fn judge(&self, event: &str, now: Instant) -> LineVerdict {
        let mut kinds = self.lock();
        let none_left_out = kinds.iter().all(|kind| kind.left_out == 0);
        let Some(kind) = kinds.iter_mut().find(|kind| kind.event.name == event) else {
            return LineVerdict::Write;
        };
        let burst = burst(kind.event);
        if let Some(updated) = kind.updated.replace(now) {
            let seconds = now.saturating_duration_since(updated).as_secs_f64();
            kind.allowance = (kind.allowance + seconds * PER_SECOND.min(burst)).min(burst);
        }
        if kind.allowance >= 1.0 {
            kind.allowance -= 1.0;
            return LineVerdict::Write;
        }
        kind.left_out = kind.left_out.saturating_add(1);
        if none_left_out { LineVerdict::LeaveOutAndReport } else { LineVerdict::LeaveOut }
    }

    /// The number of lines that were left out since the last call, for each kind that has some.
    pub(super) fn take_left_out(&self) -> Vec<(&'static str, u64)> {
        let mut kinds = self.lock();
        let left_out = kinds.iter_mut().filter(|kind| kind.left_out > 0);
        left_out.map(|kind| (kind.event.name, std::mem::take(&mut kind.left_out))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<EventBudget>> {
        // No code can panic while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn burst(event: JournalEvent) -> f64 {
    if event == SOURCE_DAMAGE { DAMAGE_BURST } else { BURST }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::log::journal::{LISTENER_LEFT, REFUSED};

    #[test]
    fn lines_above_the_limit_are_counted_and_not_written() {
        let (throttle, began) = (Throttle::new(), Instant::now());
        let judge = |kind: &str, now| throttle.judge(kind, now);
        // 2,000 lines per second for ten seconds.
        let at = |n: u64| began + Duration::from_micros(n * 500);
        let written =
            (0..20_000).filter(|&n| judge(LISTENER_LEFT.name, at(n)) == LineVerdict::Write).count();
        assert!((290..=300).contains(&written), "{written}");
        assert_eq!(judge(REFUSED.name, began), LineVerdict::Write, "another kind");
        assert_eq!(judge("unknown", began), LineVerdict::Write);
        assert_eq!(judge(LISTENER_LEFT.name, at(20_000)), LineVerdict::LeaveOut);
        let left_out = throttle.take_left_out();
        assert_eq!(left_out, [(LISTENER_LEFT.name, 20_001 - written as u64)]);
        assert!(throttle.take_left_out().is_empty());
        assert_eq!(judge(LISTENER_LEFT.name, at(20_000)), LineVerdict::LeaveOutAndReport);
        assert_eq!(judge(LISTENER_LEFT.name, at(22_000)), LineVerdict::Write);
    }
}
