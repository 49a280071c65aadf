//! Stops two encoders from taking one mount from each other.
//!
//! Encoders reconnect by themselves, FFmpeg at once. Two of them on one mount would replace each
//! other dozens of times a second, and listeners would hear neither.

use std::time::{Duration, Instant};

/// This many takeovers within [`WINDOW`] are a conflict.
const MAX_TAKEOVERS: usize = 3;
const WINDOW: Duration = Duration::from_secs(10);
/// How long the live source is protected from takeovers after a conflict.
const PROTECTION: Duration = Duration::from_mins(1);

/// The latest takeovers of one mount.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    /// The newest last.
    at: [Option<Instant>; MAX_TAKEOVERS],
    protected_until: Option<Instant>,
}

impl Takeovers {
    /// Records that a source replaced another one that was still connected. Returns whether that
    /// makes a conflict.
    pub(super) fn record(&mut self, now: Instant) -> bool {
        self.at.rotate_left(1);
        self.at[MAX_TAKEOVERS - 1] = Some(now);
        let is_conflict =
            self.at[0].is_some_and(|first| now.saturating_duration_since(first) <= WINDOW);
        if is_conflict {
            *self =
                Self { at: [None; MAX_TAKEOVERS], protected_until: now.checked_add(PROTECTION) };
        }
        is_conflict
    }

    /// How long the live source is still protected; `None` if it is not.
    pub(super) fn protection(&self, now: Instant) -> Option<Duration> {
        self.protected_until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_takeover_in_ten_seconds_protects_the_source_for_a_minute() {
        let (mut takeovers, start) = (Takeovers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let conflicts = [0, 6, 11, 15].map(|second| takeovers.record(at(second)));
        assert_eq!(conflicts, [false, false, false, true]);
        assert_eq!(takeovers.protection(at(15)), Some(PROTECTION));
        assert_eq!(takeovers.protection(at(75)), None);
        assert!(!takeovers.record(at(76)), "counting begins again");
    }
}
