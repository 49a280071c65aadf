//! How often a client may do something that costs more than most requests.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many clients are remembered. Those whose time is over are forgotten first.
const MAX_CLIENTS: usize = 1024;

/// Lets each client do something so often at once, and then once in an interval.
#[derive(Debug)]
pub(crate) struct RateLimit<C> {
    at_once: u32,
    interval: Duration,
    /// When each client could do it `at_once` times again.
    full: Mutex<BTreeMap<C, Instant>>,
}

/// The client must wait this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOften(pub(crate) Duration);

impl<C: Ord + Clone> RateLimit<C> {
    /// `at_once` times, and then once in each `interval`.
    pub(crate) const fn new(at_once: u32, interval: Duration) -> Self {
        Self { at_once, interval, full: Mutex::new(BTreeMap::new()) }
    }

    /// Counts one time of a client.
    ///
    /// # Errors
    /// [`TooOften`] if the client must wait.
    pub(crate) fn take(&self, client: &C, now: Instant) -> Result<(), TooOften> {
        self.take_many(client, 1, now)
    }

    /// Counts so many times of a client, or none of them.
    ///
    /// # Errors
    /// [`TooOften`] if the client must wait.
    pub(crate) fn take_many(&self, client: &C, times: u32, now: Instant) -> Result<(), TooOften> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if !full.contains_key(client) && full.len() >= MAX_CLIENTS {
            full.retain(|_, at| *at > now);
            // Somebody sends from very many addresses: all of them wait.
            if full.len() >= MAX_CLIENTS {
                return Err(TooOften(self.interval));
            }
        }
        let at = full.get(client).copied().unwrap_or(now).max(now);
        let Some(next) = at.checked_add(self.interval.saturating_mul(times)) else { return Ok(()) };
        let ahead = next.saturating_duration_since(now);
        let most = self.interval.saturating_mul(self.at_once);
        if ahead > most {
            return Err(TooOften(ahead.saturating_sub(most)));
        }
        full.insert(client.clone(), next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_client_has_its_own_rate() {
        let (limit, now) = (RateLimit::new(3, SECOND), Instant::now());
        for _ in 0..3 {
            assert_eq!(limit.take(&1, now), Ok(()));
        }
        assert_eq!(limit.take(&1, now), Err(TooOften(SECOND)));
        assert_eq!(limit.take(&2, now), Ok(()));
        let later = now + SECOND;
        assert_eq!((limit.take(&1, later), limit.take(&1, later)), (Ok(()), Err(TooOften(SECOND))));
    }

    #[test]
    fn many_times_are_counted_all_or_not_at_all() {
        let (limit, now) = (RateLimit::new(3, SECOND), Instant::now());
        assert_eq!(limit.take_many(&1, 2, now), Ok(()));
        assert_eq!(limit.take_many(&1, 2, now), Err(TooOften(SECOND)));
        assert_eq!(limit.take(&1, now), Ok(()));
    }

    #[test]
    fn clients_are_forgotten_and_their_number_is_limited() {
        let (limit, now) = (RateLimit::new(1, SECOND), Instant::now());
        for client in 0..MAX_CLIENTS {
            assert_eq!(limit.take(&client, now), Ok(()));
        }
        assert!(limit.take(&MAX_CLIENTS, now).is_err());
        assert_eq!(limit.take(&MAX_CLIENTS, now + 2 * SECOND), Ok(()));
    }
}
