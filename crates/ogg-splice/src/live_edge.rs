//! The live edge: the position that a stream's audio would have reached by now, if none had been
//! lost.
//!
//! A sound card's clock differs from the computer's: 100 ppm are nine seconds a day. So the edge
//! follows its source slowly, and only what changes faster than clocks drift counts as late or
//! early.

use std::time::{Duration, Instant};

/// Samples per second: positions are counted by Opus's clock.
const RATE: u64 = 48_000;
/// How long a source must lag before the lag becomes its new baseline.
const WINDOW: Duration = Duration::from_secs(10);
/// The edge follows a source that runs ahead by at most one part in this many.
const MAX_DRIFT: u64 = 1000;

/// An instant and the position of the edge at it, and how far its source was behind lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveEdge {
    at: Instant,
    position: u64,
    /// When the edge last followed a source that ran ahead.
    moved: Instant,
    /// When the current window began.
    window: Instant,
    /// The least that the source was behind in it, in samples.
    least_behind: u64,
}

impl LiveEdge {
    /// An edge that is at `position` now.
    pub(crate) fn new(now: Instant, position: u64) -> Self {
        Self { at: now, position, moved: now, window: now, least_behind: u64::MAX }
    }

    /// Its position, in samples.
    pub(crate) fn position(&self, now: Instant) -> u64 {
        self.position.saturating_add(samples_in(now.saturating_duration_since(self.at)))
    }

    /// When it reaches a position; `None` if no `Instant` can express that.
    pub(crate) fn reached_at(&self, position: u64) -> Option<Instant> {
        self.at.checked_add(duration_of(position.saturating_sub(self.position)))
    }

    /// A source has delivered audio up to `end`. One that is `bound` to real time moves the edge no
    /// faster than clocks differ. For any other one, the edge is where its audio ends.
    pub(crate) fn follow(&mut self, now: Instant, end: u64, bound: bool) {
        let here = self.position(now);
        if end >= here {
            let ahead = end.saturating_sub(here);
            let most = samples_in(now.saturating_duration_since(self.moved)) / MAX_DRIFT;
            if !bound {
                *self = Self::new(now, end);
            } else if most > 0 {
                self.position = self.position.saturating_add(ahead.min(most));
                self.moved = now;
            }
        }
        self.least_behind = self.least_behind.min(here.saturating_sub(end));
        if now.saturating_duration_since(self.window) >= WINDOW {
            *self = Self {
                moved: self.moved,
                ..Self::new(now, here.saturating_sub(self.least_behind))
            };
        }
    }

    /// Moves the edge: the source is ahead by `samples`, for a known reason.
    pub(crate) fn advance(&mut self, samples: u64) {
        self.position = self.position.saturating_add(samples);
    }

    /// Forgets how the source was behind, because it was away.
    pub(crate) fn forget(&mut self, now: Instant) {
        (self.window, self.moved, self.least_behind) = (now, now, u64::MAX);
    }
}

/// Samples in a duration, rounded down.
pub(crate) fn samples_in(time: Duration) -> u64 {
    // Exact: 48,000 samples are 10⁹ ns, reduced by 8,000. Less than a second cannot overflow.
    let rest = u64::from(time.subsec_nanos()).saturating_mul(RATE / 8_000) / 125_000;
    time.as_secs().saturating_mul(RATE).saturating_add(rest)
}

/// Duration of a number of samples, rounded up to a nanosecond.
pub(crate) fn duration_of(samples: u64) -> Duration {
    // Nanoseconds of less than a second: cannot overflow.
    let nanoseconds = (samples % RATE).saturating_mul(1_000_000_000).div_ceil(RATE);
    Duration::from_secs(samples / RATE).saturating_add(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of 20 ms for `seconds`, by a clock that is `ppm` fast.
    fn run(edge: &mut LiveEdge, begin: Instant, seconds: u32, ppm: i64, bound: bool) -> i64 {
        let mut apart = 0;
        for page in 1..=u64::from(seconds) * 50 {
            let end = page * 960;
            let real = duration_of(end).as_nanos() as i64;
            let now = begin + Duration::from_nanos((real - real / 1_000_000 * ppm) as u64);
            edge.follow(now, end, bound);
            apart = edge.position(now).cast_signed() - end.cast_signed();
        }
        apart
    }

    #[test]
    fn a_clock_that_drifts_is_followed_either_way() {
        for (ppm, bound) in [(200, true), (-200, true), (200, false), (-200, false)] {
            let begin = Instant::now();
            let apart = run(&mut LiveEdge::new(begin, 0), begin, 3_600, ppm, bound);
            // 200 ppm of an hour are 34,560 samples, of a window 96.
            assert!(apart.abs() <= 200, "{ppm} ppm, bound {bound}: {apart} samples apart");
        }
    }

    #[test]
    fn a_bound_source_cannot_push_it() {
        let begin = Instant::now();
        let mut edge = LiveEdge::new(begin, 0);
        edge.follow(begin + Duration::from_secs(1), 10 * RATE, true);
        assert_eq!(edge.position(begin + Duration::from_secs(1)), RATE + RATE / MAX_DRIFT);
        edge.follow(begin + Duration::from_secs(1), 10 * RATE, false);
        assert_eq!(edge.position(begin + Duration::from_secs(2)), 11 * RATE);
    }

    #[test]
    fn times_and_samples_agree() {
        for samples in [0, 1, 119, 960, 48_000, 48_001, 48_000 * 86_400 * 365 * 20 + 7] {
            assert_eq!(samples_in(duration_of(samples)), samples);
        }
        assert_eq!(samples_in(Duration::MAX), u64::MAX);
        assert!(duration_of(u64::MAX) > Duration::from_hours(24 * 365 * 1_000_000));
    }
}
