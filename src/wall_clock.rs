//! The wall clock as a continuous function of the monotonic clock.
//!
//! Audio is placed on the monotonic clock, which nobody sets. When it was heard, in UTC, follows from
//! how far the wall clock is ahead of that. The lead changes when the wall clock is set:
//!
//! - By less than a second, as a time service does (NTP, chrony): the times of audio follow at the rate
//!   of 0.5 %, so that they neither repeat nor leave anything out.
//! - By more: the clock was wrong before, as on a Raspberry Pi without a real-time clock until the
//!   network is up. All times of audio in memory move with it at once, since it was heard when the
//!   corrected clock says, and the journal says by how much.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::log::journal;
use crate::utc::Utc;

/// A larger change of the lead is not followed gradually.
const STEP: i64 = 1_000_000;
/// The lead follows a smaller change by one part in so many.
const SLEW: i64 = 200;

/// A smaller change is that of the time between reading the two clocks.
const LEAST_CHANGE: i64 = 500;
/// How often the lead follows, in microseconds: so rarely that no change is lost in rounding.
const LEAST_INTERVAL: i64 = 10_000;

/// A moment of the monotonic clock, in microseconds since one that this process has chosen. Negative
/// for a moment before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Steady(pub i64);

/// By how much the wall clock is ahead, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lead {
    /// When this was computed.
    at: i64,
    micros: i64,
}

impl Steady {
    /// The present moment.
    pub fn now() -> Self {
        Instant::now().into()
    }

    /// This long before it.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment in UTC, by the wall clock as it is set now.
    pub fn utc(self) -> Utc {
        Utc::from_micros(self.0.saturating_add(lead()))
    }

    /// The moment that has this time in UTC, by the wall clock as it is set now.
    pub fn at(utc: Utc) -> Self {
        Self(utc.micros().saturating_sub(lead()))
    }
}

impl From<Instant> for Steady {
    fn from(at: Instant) -> Self {
        static EPOCH: OnceLock<Instant> = OnceLock::new();
        let epoch = *EPOCH.get_or_init(Instant::now);
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let before = micros(epoch.saturating_duration_since(at));
        Self(micros(at.saturating_duration_since(epoch)).saturating_sub(before))
    }
}

impl Lead {
    /// Follows the clocks. Returns by how much the wall clock was set if that is a step, in
    /// microseconds.
    fn follow(&mut self, steady: i64, wall: i64) -> Option<i64> {
        let change = wall.saturating_sub(steady).saturating_sub(self.micros);
        if change.saturating_abs() > STEP {
            self.micros = self.micros.saturating_add(change);
            return Some(change);
        }
        let passed = steady.saturating_sub(self.at);
        if passed < LEAST_INTERVAL {
            return None;
        }
        self.at = steady;
        if change.saturating_abs() < LEAST_CHANGE {
            return None;
        }
        let most = passed / SLEW;
        self.micros = self.micros.saturating_add(change.clamp(most.saturating_neg(), most));
        None
    }
}

/// By how much the wall clock is ahead of the monotonic one, in microseconds. Logs a step.
fn lead() -> i64 {
    static LEAD: Mutex<Option<Lead>> = Mutex::new(None);
    let (steady, wall) = (Steady::now().0, Utc::from(SystemTime::now()).micros());
    // Nothing panics while it holds this lock, so it cannot be poisoned.
    let mut lead = LEAD.lock().unwrap_or_else(PoisonError::into_inner);
    let lead = lead.get_or_insert(Lead { at: steady, micros: wall.saturating_sub(steady) });
    if let Some(step) = lead.follow(steady, wall) {
        let (seconds, now) = (step as f64 / 1e6, Utc::from_micros(wall));
        journal!(
            warn,
            CLOCK_SET,
            seconds,
            %now,
            "the clock was set; the times of all audio in memory were corrected with it"
        );
    }
    lead.micros
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_small_correction_is_followed_without_a_jump() {
        let mut lead = Lead { at: 0, micros: 500 * SECOND };
        let (mut before, mut at) = (0, 0);
        // Half a second back, and forward again.
        for target in [500 * SECOND, 500 * SECOND - SECOND / 2, 500 * SECOND] {
            for _ in 0..1000 {
                at += SECOND / 5;
                assert_eq!(lead.follow(at, at + target), None);
                let now = at + lead.micros;
                let advanced = now - before;
                assert!(
                    before == 0 || (advanced - SECOND / 5).abs() <= SECOND / 5 / SLEW,
                    "{advanced}"
                );
                before = now;
            }
            assert!((lead.micros - target).abs() < LEAST_CHANGE);
        }
    }

    #[test]
    fn a_clock_that_was_wrong_is_corrected_at_once() {
        let mut lead = Lead { at: 0, micros: 0 };
        let year = 31_536_000 * SECOND;
        assert_eq!(lead.follow(SECOND, SECOND + year), Some(year));
        assert_eq!(lead.micros, year);
        assert_eq!(lead.follow(2 * SECOND, 2 * SECOND), Some(-year));
        assert_eq!(lead.follow(3 * SECOND, 3 * SECOND), None);
    }

    #[test]
    fn moments_and_times_belong_to_each_other() {
        let now = Steady::now();
        let difference = Utc::from(SystemTime::now()).micros() - now.utc().micros();
        assert!(difference.abs() < SECOND, "{difference}");
        assert!((Steady::at(now.utc()).0 - now.0).abs() < SECOND / 100);
        let earlier = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        assert!(Steady::from(earlier) < now);
    }
}
