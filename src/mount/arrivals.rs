//! How a stream's time relates to the monotonic clock.
//!
//! What a page ends with was heard at the earliest when the page arrived, and mostly some milliseconds
//! before. The relation is measured with each page of the source: its origin is when the page arrived, minus its
//! position. Pages arrive irregularly, so the promptest one of the last seconds counts. The origin
//! follows it gradually ([`SLEW`]), because sound cards are faster or slower than the clock; what was
//! placed stays in its place. If pages are off by more than [`JUMP`], the stream has gained or lost
//! time, and a new relation begins there. Pure.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::VecDeque;

use crate::wall_clock::Steady;

/// The promptest page of the present window and of the one before counts, in microseconds.
const WINDOW: i64 = 10_000_000;
/// The origin changes by at most one part in so many of the time that passes.
const SLEW: i64 = 200;
/// A larger difference is another relation, in microseconds.
const JUMP: i64 = 1_000_000;
/// How many points are remembered. With one for each window, as in the beginning, they are enough for
/// ten minutes; then every second one is forgotten.
const MAX_POINTS: usize = 64;
/// Maximum memory of a stream's relation, in bytes.
pub(super) const ARRIVALS_MEMORY: usize = MAX_POINTS * size_of::<Point>();

/// The relation of one stream to the monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    /// Units of the stream's time in a second.
    rate: u32,
    /// Between two points, the origin changes evenly. Two with the same time are a jump. The
    /// oldest first.
    points: VecDeque<Point>,
    /// The least origins of the present window and of the one before.
    promptest: [Option<i64>; 2],
    /// When the present window began.
    since: i64,
    /// The newest relation has not been measured for a whole window: nothing better is known than
    /// its promptest page.
    is_new: bool,
    /// Time of the newest page, in units of the stream.
    newest: u64,
    late: Option<LateSince>,
}

/// Where the origin is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    /// In units of the stream's time.
    time: u64,
    /// When the stream's time 0 was, by the pages that arrived around this time.
    origin: i64,
}

/// All pages have been late since then, by more than [`JUMP`].
#[derive(Clone, Copy, Debug)]
struct LateSince {
    at: i64,
    /// Time of the page before the first of them.
    time: u64,
    /// The least origin since then.
    least: i64,
}

impl Arrivals {
    /// A stream without pages, whose time has this many units in a second.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate: rate.max(1),
            points: VecDeque::new(),
            promptest: [None; 2],
            since: 0,
            is_new: true,
            newest: 0,
            late: None,
        }
    }

    /// Records that a page arrived that ends at this time of the stream.
    pub(super) fn note(&mut self, time: u64, at: Steady) {
        let (at, origin) = (at.0, at.0.saturating_sub(self.micros(time)));
        let before = std::mem::replace(&mut self.newest, time);
        if self.points.is_empty() {
            return self.begin(0, origin, at);
        }
        let expected = self.origin_at(time);
        if origin < expected.saturating_sub(JUMP) {
            return self.begin(before, origin, at);
        }
        if origin > expected.saturating_add(JUMP) {
            let first = LateSince { at, time: before, least: origin };
            let late = self.late.get_or_insert(first);
            late.least = late.least.min(origin);
            let LateSince { at: since, time, least } = *late;
            if at.saturating_sub(since) >= WINDOW {
                self.begin(time, least, at);
            }
            return;
        }
        self.late = None;
        let age = at.saturating_sub(self.since);
        if age >= WINDOW {
            self.end_window(time, age, at);
        }
        let [present, _] = &mut self.promptest;
        *present = Some(present.map_or(origin, |least| least.min(origin)));
        if self.is_new
            && let (Some(target), Some(point)) = (self.target(), self.points.back_mut())
        {
            point.origin = target;
        }
    }

    /// When this time of the stream was, by the monotonic clock. `None` before the first page.
    pub(super) fn moment_of(&self, time: u64) -> Option<Steady> {
        self.points.front()?;
        Some(Steady(self.micros(time).saturating_add(self.origin_at(time))))
    }

    /// The time of the stream at this moment, but no later than `end`; 0 if the stream began later.
    pub(super) fn time_at(&self, moment: Steady, end: u64) -> u64 {
        let (mut low, mut high) = (0_u64, end);
        while low < high {
            let middle = low.midpoint(high);
            if self.moment_of(middle).is_none_or(|at| at >= moment) {
                high = middle;
            } else {
                low = middle.saturating_add(1);
            }
        }
        low
    }

    /// A new relation, from this time of the stream on.
    fn begin(&mut self, time: u64, origin: i64, at: i64) {
        if !self.points.is_empty() {
            let before = self.origin_at(time);
            self.points.retain(|point| point.time < time);
            self.push(Point { time, origin: before });
        }
        self.push(Point { time, origin });
        self.promptest = [Some(origin), None];
        (self.since, self.is_new, self.late) = (at, true, None);
    }

    /// Another window begins; the last one began `age` ago.
    fn end_window(&mut self, time: u64, age: i64, at: i64) {
        let origin = self.origin_at(time);
        self.push(Point { time, origin });
        let [present, _] = self.promptest;
        self.promptest = [None, present.filter(|_| age < WINDOW.saturating_mul(2))];
        (self.since, self.is_new) = (at, false);
    }

    fn push(&mut self, point: Point) {
        if self.points.len() >= MAX_POINTS {
            let mut is_kept = false;
            self.points.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        self.points.push_back(point);
    }

    /// The origin that is followed; `None` if nothing has arrived for long.
    fn target(&self) -> Option<i64> {
        self.promptest.into_iter().flatten().min()
    }

    fn origin_at(&self, time: u64) -> i64 {
        let next = self.points.partition_point(|point| point.time <= time);
        let Some(before) = next.checked_sub(1).and_then(|index| self.points.get(index)) else {
            return self.points.front().map_or(0, |first| first.origin);
        };
        let passed = self.micros(time.saturating_sub(before.time));
        if let Some(after) = self.points.get(next) {
            let length = self.micros(after.time.saturating_sub(before.time)).max(1);
            let change = i128::from(after.origin.saturating_sub(before.origin));
            let part = change.saturating_mul(i128::from(passed)).checked_div(i128::from(length));
            let part = part.and_then(|part| i64::try_from(part).ok());
            return before.origin.saturating_add(part.unwrap_or(0));
        }
        let most = if self.is_new { 0 } else { passed / SLEW };
        let change = self.target().map_or(0, |target| target.saturating_sub(before.origin));
        before.origin.saturating_add(change.clamp(most.saturating_neg(), most))
    }

    fn micros(&self, time: u64) -> i64 {
        let micros = u128::from(time).saturating_mul(1_000_000).checked_div(u128::from(self.rate));
        micros.and_then(|micros| i64::try_from(micros).ok()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;
    const SECOND: i64 = 1_000_000;
    /// Pages of 20 ms.
    const PAGE: u64 = 960;

    /// A source whose pages arrive `delay(seconds)` after their end, for so many seconds.
    fn run(arrivals: &mut Arrivals, seconds: std::ops::Range<u64>, delay: impl Fn(f64) -> i64) {
        for page in seconds.start * 50 + 1..=seconds.end * 50 {
            let ends = page as f64 / 50.0;
            arrivals.note(page * PAGE, Steady((ends * 1e6) as i64 + delay(ends)));
        }
    }

    fn delay_at(arrivals: &Arrivals, second: u64) -> i64 {
        let time = second * u64::from(RATE);
        arrivals.moment_of(time).unwrap().0 - second.cast_signed() * SECOND
    }

    #[test]
    fn the_promptest_page_counts() {
        let mut arrivals = Arrivals::new(RATE);
        assert_eq!(arrivals.moment_of(0), None);
        run(&mut arrivals, 0..60, |at| 30_000 + (at * 50.0).round() as i64 * 7919 % 400_000);
        for second in 0..60 {
            assert!((29_999..35_000).contains(&delay_at(&arrivals, second)), "{second}");
        }
        let time = arrivals.time_at(Steady(10 * SECOND + 30_500), 60 * u64::from(RATE));
        assert!(time.abs_diff(10 * u64::from(RATE)) < 240, "{time}");
        assert_eq!(arrivals.time_at(Steady(-SECOND), 99), 0);
        assert_eq!(arrivals.time_at(Steady(SECOND), 99), 99);
    }

    #[test]
    fn a_sound_card_that_is_fast_is_followed_and_the_past_stays() {
        let mut arrivals = Arrivals::new(RATE);
        // A hundred parts in a million, for an hour.
        let delay = |at: f64| SECOND - (at * 100.0) as i64;
        run(&mut arrivals, 0..3600, delay);
        for second in (600..3600).step_by(50) {
            let error = delay_at(&arrivals, second) - delay(second as f64);
            assert!(error.abs() < 4_000, "{second}: {error}");
        }
        let mut last = i64::MIN;
        for time in (0..3600 * u64::from(RATE)).step_by(480) {
            let at = arrivals.moment_of(time).unwrap().0;
            assert!(last == i64::MIN || (9_900..10_100).contains(&(at - last)), "{}", at - last);
            last = at;
        }
    }

    #[test]
    fn a_stream_that_lost_time_has_another_relation_from_there_on() {
        for lost in [20 * SECOND, -20 * SECOND] {
            let mut arrivals = Arrivals::new(RATE);
            run(&mut arrivals, 0..60, |_| 50_000);
            run(&mut arrivals, 60..120, |_| 50_000 + lost);
            for (second, delay) in [(59, 50_000), (61, 50_000 + lost), (119, 50_000 + lost)] {
                assert!(delay_at(&arrivals, second).abs_diff(delay) <= 1, "{second}");
            }
        }
    }

    #[test]
    fn late_pages_of_a_stalled_network_change_nothing() {
        let mut arrivals = Arrivals::new(RATE);
        // All pages of eight seconds arrive at the end of them.
        let stalled = |at: f64| if (30.0..38.0).contains(&at) { (38.0 - at) * 1e6 } else { 0.0 };
        run(&mut arrivals, 0..60, |at| 40_000 + stalled(at) as i64);
        for second in 0..60 {
            assert!(delay_at(&arrivals, second).abs_diff(40_000) <= 1, "{second}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_first_relation_is_still_known() {
        let mut arrivals = Arrivals::new(RATE);
        run(&mut arrivals, 0..7200, |at| if at < 100.0 { 0 } else { 500_000 });
        assert!(arrivals.points.len() <= MAX_POINTS);
        assert!(delay_at(&arrivals, 50) < 250_000);
        assert!(delay_at(&arrivals, 7199).abs_diff(500_000) <= 1);
    }
}
