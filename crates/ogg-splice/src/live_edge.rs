//! Where live is: the position that a stream's audio has reached at a moment, if none of it was lost.
//!
//! A sound card's clock is not the computer's: 100 ppm are nine seconds a day. So the edge follows
//! its source, slowly, and only what happens faster than clocks drift counts as late or early.

use std::time::{Duration, Instant};

/// Positions are counted in samples of Opus's clock.
const RATE: u64 = 48_000;
/// For so long a source must have been behind before that is how it is.
const WINDOW: Duration = Duration::from_secs(10);
/// The most that the edge gives way to a source that runs ahead: one part in a thousand.
const YIELDING: u64 = 1000;

/// A moment and a position, and how the source stands to them lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveEdge {
    at: Instant,
    position: u64,
    yielded: Instant,
    window: Instant,
    /// The least that the source was behind in this window.
    least_behind: u64,
}

impl LiveEdge {
    /// The edge is here now.
    pub(crate) fn new(now: Instant, position: u64) -> Self {
        Self { at: now, position, yielded: now, window: now, least_behind: u64::MAX }
    }

    /// Where it is.
    pub(crate) fn position(&self, now: Instant) -> u64 {
        self.position.saturating_add(samples_in(now.saturating_duration_since(self.at)))
    }

    /// When it gets there; `None` where that is beyond all that a clock can say.
    pub(crate) fn reaches(&self, position: u64) -> Option<Instant> {
        self.at.checked_add(duration_of(position.saturating_sub(self.position)))
    }

    /// Takes note of audio that a source delivered, up to `end`. One that is `bound` to real time
    /// moves the edge no faster than clocks differ; any other one shows where the edge is.
    pub(crate) fn follow(&mut self, now: Instant, end: u64, bound: bool) {
        let here = self.position(now);
        if end >= here {
            let ahead = end.saturating_sub(here);
            let most = samples_in(now.saturating_duration_since(self.yielded)) / YIELDING;
            if !bound {
                *self = Self::new(now, end);
            } else if most > 0 {
                self.position = self.position.saturating_add(ahead.min(most));
                self.yielded = now;
            }
        }
        self.least_behind = self.least_behind.min(here.saturating_sub(end));
        if now.saturating_duration_since(self.window) >= WINDOW {
            *self = Self {
                yielded: self.yielded,
                ..Self::new(now, here.saturating_sub(self.least_behind))
            };
        }
    }

    /// The source is ahead by so much for a good reason.
    pub(crate) fn advance(&mut self, samples: u64) {
        self.position = self.position.saturating_add(samples);
    }

    /// Forgets what it knew of the source: it was away.
    pub(crate) fn forget(&mut self, now: Instant) {
        (self.window, self.yielded, self.least_behind) = (now, now, u64::MAX);
    }
}

/// How many samples last so long.
pub(crate) fn samples_in(time: Duration) -> u64 {
    // Exact: 48,000 samples are 10⁹ ns, reduced by 8,000.
    let samples = time.as_nanos().saturating_mul(u128::from(RATE / 8_000)) / 125_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// How long so many samples last.
pub(crate) fn duration_of(samples: u64) -> Duration {
    // Less than a second's worth, in nanoseconds, is far from overflowing.
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
        assert_eq!(edge.position(begin + Duration::from_secs(1)), RATE + RATE / YIELDING);
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
