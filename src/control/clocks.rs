//! Decides which clock events have to be sent.
//!
//! A stream's granule positions advance with the server's clock, so a client that knows one
//! position and its time can compute all later ones. Another position has to be sent only when the
//! relation between the two has changed. Audio arrives irregularly, so the promptest page of the
//! last seconds counts: the one that was published earliest in relation to its position. Pure.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::api::StreamClock;

/// The promptest page of the present window and the one before counts.
const WINDOW: Duration = Duration::from_secs(10);
/// A smaller change of the relation is not sent, in milliseconds.
const TOLERANCE: u64 = 20;
/// A larger change is another stream and not another delay, in milliseconds.
const JUMP: u64 = 1000;
/// Maximum rate of events about changes that are smaller than [`JUMP`], in bytes per second for all
/// mounts together.
const CORRECTION_RATE: u64 = 50;

/// The clocks of all mounts, as they were sampled and sent.
#[derive(Debug)]
pub(super) struct MountClocks {
    of: BTreeMap<String, MountClock>,
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
    /// Granules per second.
    pub(super) rate: u32,
}

impl ClockSample<'_> {
    /// The time of granule 0 according to this sample, in milliseconds since 1970.
    fn origin(&self) -> i64 {
        let milliseconds = u128::from(self.clock.granule).saturating_mul(1000);
        let position = milliseconds.checked_div(u128::from(self.rate)).unwrap_or(0);
        let signed = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
        signed(u128::from(self.clock.unix_ms)).saturating_sub(signed(position))
    }
}

/// The clock of one mount.
#[derive(Debug)]
struct MountClock {
    /// The promptest positions of the present window and of the one before, with their origins.
    promptest: [Option<(i64, StreamClock)>; 2],
    /// When the present window began.
    since: Instant,
    /// The origin that clients know.
    sent: Option<i64>,
}

impl MountClock {
    fn new(now: Instant) -> Self {
        Self { promptest: [None; 2], since: now, sent: None }
    }

    fn take(&mut self, origin: i64, clock: StreamClock, now: Instant) {
        if self.best().is_some_and(|(best, _)| origin.abs_diff(best) > JUMP) {
            *self = Self { sent: self.sent, ..Self::new(now) };
        }
        let age = now.saturating_duration_since(self.since);
        if age >= WINDOW {
            // Nothing was sampled for a while if nobody was subscribed.
            self.promptest = [None, self.promptest[0].filter(|_| age < WINDOW.saturating_mul(2))];
            self.since = now;
        }
        let promptest = &mut self.promptest[0];
        if promptest.is_none_or(|(best, _)| origin <= best) {
            *promptest = Some((origin, clock));
        }
    }

    fn best(&self) -> Option<(i64, StreamClock)> {
        self.promptest.into_iter().flatten().min_by_key(|(origin, _)| *origin)
    }

    /// By how much the relation differs from what clients know, in milliseconds.
    fn change(&self) -> u64 {
        let Some((best, _)) = self.best() else { return 0 };
        self.sent.map_or(u64::MAX, |sent| sent.abs_diff(best))
    }

    /// The position to send. Records that clients know it.
    fn send(&mut self) -> Option<StreamClock> {
        let (origin, clock) = self.best()?;
        self.sent = Some(origin);
        Some(clock)
    }
}

impl MountClocks {
    /// No clocks; corrections may be sent at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { of: BTreeMap::new(), correction_due: now }
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
        self.of.retain(|name, _| names.contains(name.as_str()));
        let mut correction = None;
        for sample in samples {
            let name = sample.name.to_owned();
            let clock = self.of.entry(name).or_insert_with(|| MountClock::new(now));
            clock.take(sample.origin(), sample.clock, now);
            let change = clock.change();
            if change > JUMP {
                clock.send().map(|clock| publish(sample.name, clock));
            } else if change > TOLERANCE {
                correction = correction.max(Some((change, sample.name)));
            }
        }
        let due = correction.filter(|_| now >= self.correction_due);
        let due = due.and_then(|(_, name)| Some((name, self.of.get_mut(name)?.send()?)));
        if let Some((name, clock)) = due {
            let bytes = publish(name, clock) as u64;
            let pause = Duration::from_millis(bytes.saturating_mul(1000) / CORRECTION_RATE);
            self.correction_due = now.checked_add(pause).unwrap_or(now);
        }
    }

    /// The promptest clock of a mount in the place of its present one, unless that one has jumped.
    pub(super) fn promptest(&self, sample: &ClockSample<'_>) -> StreamClock {
        let best = self.of.get(sample.name).and_then(MountClock::best);
        let best = best.filter(|(best, _)| best.abs_diff(sample.origin()) <= JUMP);
        best.map_or(sample.clock, |(_, clock)| clock)
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
                    let clock = StreamClock { granule, unix_ms: self.unix_ms };
                    ClockSample { name, clock, rate: 48_000 }
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
        for late in [0, 300, 0, 19, 500, 0, 7] {
            assert_eq!(run.tick(&[100 + late, 50]), [], "{late} ms late");
        }
        assert_eq!(run.tick(&[100, 50, 7]), [of("/0002", 7)], "a new mount");
        run.tick(&[100]);
        assert_eq!(run.tick(&[100, 50]), [of("/0001", 50)], "a mount that was gone");
    }

    #[test]
    fn a_change_that_stays_is_sent_after_a_while_and_a_jump_at_once() {
        let mut run = Run::new();
        run.tick(&[100]);
        let ticks = (1..20).find(|_| run.tick(&[200]) == [of("/0000", 200)]).unwrap();
        assert!(WINDOW <= TICK * ticks && TICK * ticks <= 3 * WINDOW, "{ticks}");
        run.now += WINDOW;
        assert_eq!(run.tick(&[100]), [of("/0000", 100)], "a prompter page");
        assert_eq!(run.tick(&[5_000]), [of("/0000", 5_000)]);
        assert_eq!(run.tick(&[100]), [of("/0000", 100)]);
    }

    #[test]
    fn what_was_sampled_long_ago_does_not_count() {
        let mut run = Run::new();
        run.tick(&[100]);
        run.now += Duration::from_hours(1);
        assert_eq!(run.tick(&[400]), [of("/0000", 400)]);
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

    #[test]
    fn a_new_client_is_told_the_promptest_clock_of_the_same_stream() {
        let mut run = Run::new();
        run.tick(&[100]);
        let sample = |delay: u64| {
            let clock = StreamClock {
                granule: (run.unix_ms - 1_600_000_000_000 - delay) * 48,
                unix_ms: run.unix_ms,
            };
            ClockSample { name: "/0000", clock, rate: 48_000 }
        };
        let prompt = sample(100).clock;
        assert_eq!(run.clocks.promptest(&sample(400)), prompt);
        assert_eq!(run.clocks.promptest(&sample(9_000)), sample(9_000).clock, "another stream");
        let unknown = ClockSample { name: "/none", ..sample(400) };
        assert_eq!(run.clocks.promptest(&unknown), unknown.clock);
    }
}
