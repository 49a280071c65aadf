//! The delays between attempts to reach another server. They double from attempt to attempt, and a part of each is
//! random, so that many servers do not come back at the same moment.

use std::time::Duration;

/// The delay after the first failure.
const LEAST: Duration = Duration::from_secs(1);
/// The longest delay.
const MOST: Duration = Duration::from_mins(1);
/// A connection that lasted this long was a success.
const SUCCESS: Duration = Duration::from_secs(10);

/// The delay before the next attempt.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    /// Before the first attempt.
    fn default() -> Self {
        Self(LEAST)
    }
}

impl Backoff {
    /// The delay after a connection that lasted this long. Zero for one that was never made.
    pub fn next(&mut self, lasted: Duration) -> Duration {
        if lasted >= SUCCESS {
            self.0 = LEAST;
        }
        let delay = self.0;
        self.0 = MOST.min(delay * 2);
        // Between a half and the whole of it.
        let random = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
        delay.mul_f64(0.5 + random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_begin_again_after_a_success() {
        let mut backoff = Backoff::default();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let (delay, most) = (backoff.next(Duration::ZERO), Duration::from_secs(seconds));
            assert!(most / 2 <= delay && delay <= most, "{seconds}: {delay:?}");
        }
        assert!(backoff.next(SUCCESS) <= LEAST);
        assert!(backoff.next(SUCCESS) <= LEAST);
    }
}
