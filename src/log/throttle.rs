//! How many lines of each kind the log takes: a burst, then so many a second. The others are counted.
//!
//! Nearly every line tells of something that a client can do again and again, and a disk that is full of them
//! takes no recording. So this holds for all kinds alike.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::journal::{ALL, JournalEvent, SOURCE_DAMAGE};

/// Lines of one kind that may come at once.
const BURST: f64 = 200.0;
/// Lines of one kind in a second, when there are always more.
const PER_SECOND: f64 = 10.0;
/// The same of damaged input, of which each line says little.
const DAMAGE: f64 = 5.0;

/// What has been let through of each kind.
#[derive(Debug)]
pub(super) struct Throttle(Mutex<Vec<EventBudget>>);

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineVerdict {
    /// It is written.
    Write,
    /// It is left out, the first one since that was last said.
    LeaveOutAndSay,
    /// It is left out, as others were before.
    LeaveOut,
}

#[derive(Clone, Debug)]
struct EventBudget {
    event: JournalEvent,
    /// Lines that may come now.
    allowance: f64,
    counted: Option<Instant>,
    /// Lines left out since that was last asked.
    left_out: u64,
}

impl Throttle {
    pub(super) fn new() -> Self {
        let kind =
            |&event| EventBudget { event, allowance: burst(event), counted: None, left_out: 0 };
        Self(Mutex::new(ALL.iter().map(kind).collect()))
    }

    /// What becomes of a line of this kind; one of no known kind is written.
    pub(super) fn judge(&self, event: &str, now: Instant) -> LineVerdict {
        let mut kinds = self.lock();
        let said = kinds.iter().all(|kind| kind.left_out == 0);
        let Some(kind) = kinds.iter_mut().find(|kind| kind.event.name == event) else {
            return LineVerdict::Write;
        };
        let burst = burst(kind.event);
        if let Some(counted) = kind.counted.replace(now) {
            let seconds = now.saturating_duration_since(counted).as_secs_f64();
            kind.allowance = (kind.allowance + seconds * PER_SECOND.min(burst)).min(burst);
        }
        if kind.allowance >= 1.0 {
            kind.allowance -= 1.0;
            return LineVerdict::Write;
        }
        kind.left_out = kind.left_out.saturating_add(1);
        if said { LineVerdict::LeaveOutAndSay } else { LineVerdict::LeaveOut }
    }

    /// How many lines of which kinds were left out since this was last asked.
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
    if event == SOURCE_DAMAGE { DAMAGE } else { BURST }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::log::journal::{LISTENER_LEFT, REFUSED};

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let (throttle, began) = (Throttle::new(), Instant::now());
        let judge = |kind: &str, now| throttle.judge(kind, now);
        // Two thousand a second, for ten seconds.
        let at = |n: u64| began + Duration::from_micros(n * 500);
        let written =
            (0..20_000).filter(|&n| judge(LISTENER_LEFT.name, at(n)) == LineVerdict::Write).count();
        assert!((290..=300).contains(&written), "{written}");
        assert_eq!(judge(REFUSED.name, began), LineVerdict::Write, "another kind");
        assert_eq!(judge("of no kind", began), LineVerdict::Write);
        assert_eq!(judge(LISTENER_LEFT.name, at(20_000)), LineVerdict::LeaveOut);
        let left_out = throttle.take_left_out();
        assert_eq!(left_out, [(LISTENER_LEFT.name, 20_001 - written as u64)]);
        assert!(throttle.take_left_out().is_empty());
        assert_eq!(judge(LISTENER_LEFT.name, at(20_000)), LineVerdict::LeaveOutAndSay);
        assert_eq!(judge(LISTENER_LEFT.name, at(22_000)), LineVerdict::Write);
    }
}
