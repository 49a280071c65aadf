//! Decides which clock events have to be sent.
//!
//! A stream's granule positions advance with the server's clock, so a client that knows one
//! position and its time can compute all later ones. Another position has to be sent only when the
//! relation between the two has changed. Pure.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::api::StreamClock;

/// A smaller change of the relation is not sent, in milliseconds.
const TOLERANCE: u64 = 20;
/// A larger change is another stream and not another delay, in milliseconds.
const JUMP: u64 = 1000;
/// Maximum rate of events about changes that are smaller than [`JUMP`], in bytes per second for all
/// mounts together.
const CORRECTION_RATE: u64 = 50;

/// The clocks of all mounts, as they were sent.
#[derive(Debug)]
pub(super) struct MountClocks {
    /// By mount, the time of granule 0 that clients know, in milliseconds since 1970.
    sent: BTreeMap<String, i64>,
    /// When the next correction may be sent.
    correction_due: Instant,
}

/// A mount's clock at the moment of sampling.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockSample<'a> {
    /// The mount's name.
    pub(super) name: &'a str,
    /// The position, and its time.
    pub(super) clock: StreamClock,
}

impl ClockSample<'_> {
    /// The time of granule 0 according to this sample, in milliseconds since 1970.
    fn origin(&self) -> i64 {
        let milliseconds = u128::from(self.clock.granule).saturating_mul(1000);
        let position =
            milliseconds.checked_div(u128::from(self.clock.granules_per_second)).unwrap_or(0);
        let signed = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
        signed(u128::from(self.clock.unix_ms)).saturating_sub(signed(position))
    }
}

impl MountClocks {
    /// No clocks; corrections may be sent at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { sent: BTreeMap::new(), correction_due: now }
    }

    /// Takes samples of all mounts. Publishes the clocks that clients do not know, those that have
    /// jumped, and at most one correction. `publish` returns the length of its event in bytes.
    pub(super) fn sample(
        &mut self,
        samples: &[ClockSample<'_>],
        now: Instant,
        mut publish: impl FnMut(&str, StreamClock) -> usize,
    ) {
        let names: BTreeSet<_> = samples.iter().map(|sample| sample.name).collect();
        self.sent.retain(|name, _| names.contains(name.as_str()));
        let mut correction = None;
        for (index, sample) in samples.iter().enumerate() {
            let origin = sample.origin();
            let change = self.sent.get(sample.name).map_or(u64::MAX, |sent| sent.abs_diff(origin));
            if change > JUMP {
                self.sent.insert(sample.name.to_owned(), origin);
                publish(sample.name, sample.clock);
            } else if change > TOLERANCE {
                correction = correction.max(Some((change, index)));
            }
        }
        let due = correction.filter(|_| now >= self.correction_due);
        if let Some(sample) = due.and_then(|(_, index)| samples.get(index)) {
            self.sent.insert(sample.name.to_owned(), sample.origin());
            let bytes = publish(sample.name, sample.clock) as u64;
            let pause = Duration::from_millis(bytes.saturating_mul(1000) / CORRECTION_RATE);
            self.correction_due = now.checked_add(pause).unwrap_or(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of an event in these tests.
    const EVENT: usize = 120;
    const TICK: Duration = Duration::from_secs(2);

    /// Mounts whose pages are published this many milliseconds late, in a simulated run.
    struct Run {
        clocks: MountClocks,
        now: Instant,
        unix_ms: u64,
    }

    impl Run {
        fn new() -> Self {
            let now = Instant::now();
            Self { clocks: MountClocks::new(now), now, unix_ms: 1_700_000_000_000 }
        }

        /// Lets a tick pass and returns what is published, with the delay that it shows.
        fn tick(&mut self, delays: &[u64]) -> Vec<(String, u64)> {
            self.now += TICK;
            self.unix_ms += TICK.as_millis() as u64;
            let names: Vec<_> = (0..delays.len()).map(|n| format!("/{n:04}")).collect();
            let samples: Vec<_> = names
                .iter()
                .zip(delays)
                .map(|(name, delay)| {
                    let granule = (self.unix_ms - 1_600_000_000_000 - delay) * 48;
                    let (unix_ms, granules_per_second) = (self.unix_ms, 48_000);
                    let clock = StreamClock { granule, unix_ms, granules_per_second };
                    ClockSample { name, clock }
                })
                .collect();
            let mut published = Vec::new();
            self.clocks.sample(&samples, self.now, |name, clock| {
                let delay = clock.unix_ms - 1_600_000_000_000 - clock.granule / 48;
                published.push((name.to_owned(), delay));
                EVENT
            });
            published
        }
    }

    fn of(name: &str, delay: u64) -> (String, u64) {
        (name.to_owned(), delay)
    }

    #[test]
    fn a_clock_is_sent_once_while_its_relation_stays() {
        let mut run = Run::new();
        assert_eq!(run.tick(&[100, 50]), [of("/0000", 100), of("/0001", 50)]);
        for change in [0, 20, 0, 19, 7] {
            assert_eq!(run.tick(&[100 + change, 50]), [], "{change} ms");
        }
        assert_eq!(run.tick(&[100, 50, 7]), [of("/0002", 7)], "a new mount");
        run.tick(&[100]);
        assert_eq!(run.tick(&[100, 50]), [of("/0001", 50)], "a mount that was gone");
    }

    #[test]
    fn a_change_is_sent_within_its_rate_and_a_jump_at_once() {
        let mut run = Run::new();
        run.tick(&[100]);
        assert_eq!(run.tick(&[200]), [of("/0000", 200)]);
        assert_eq!(run.tick(&[100]), [], "there was a correction two seconds ago");
        assert_eq!(run.tick(&[100]), [of("/0000", 100)]);
        assert_eq!(run.tick(&[5_000]), [of("/0000", 5_000)]);
        assert_eq!(run.tick(&[100]), [of("/0000", 100)]);
    }

    #[test]
    fn corrections_take_no_more_than_their_share_however_many_mounts_drift() {
        let mut run = Run::new();
        let mut delays = vec![1_000_000; 1000];
        assert_eq!(run.tick(&delays).len(), 1000);
        let (mut bytes, ticks) = (0, 500);
        for _ in 0..ticks {
            // 1 in 1,000: far more than a sound card is off.
            delays.iter_mut().enumerate().for_each(|(n, delay)| *delay -= 1 + n as u64 / 500);
            bytes += run.tick(&delays).len() * EVENT;
        }
        let seconds = (TICK * ticks).as_secs() as usize;
        assert!(bytes <= CORRECTION_RATE as usize * seconds + EVENT, "{bytes} in {seconds} s");
        assert!(bytes > 20 * seconds, "only {bytes}");
    }

    #[test]
    fn a_drifting_clock_is_followed_within_its_tolerance() {
        let mut run = Run::new();
        let mut known = run.tick(&[10_000])[0].1;
        for tick in 1..10_000_u64 {
            let delay = 10_000 - tick / 5;
            if let [(_, sent)] = run.tick(&[delay])[..] {
                known = sent;
            }
            assert!(known.abs_diff(delay) <= TOLERANCE + 1, "{known} {delay}");
        }
    }
}
