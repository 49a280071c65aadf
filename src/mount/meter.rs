//! What can be read off a mount at any moment: written by its own thread, page by page, with
//! relaxed stores only.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;

/// The most data-plane threads that there may be.
pub const MOST_THREADS: usize = 64;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// Running totals of one mount.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes that sources sent as valid pages.
    pub bytes_in: Counter,
    /// Valid pages that sources sent.
    pub pages_in: Counter,
    /// Bytes that listeners' kernels took.
    pub bytes_out: Counter,
    /// How often a listener was overtaken by the ring.
    pub skips: Counter,
    /// Silence put in where nothing came from the source, in samples at 48 kHz.
    pub silence: Counter,
    /// Audio left out because its time was over, in samples at 48 kHz.
    pub late: Counter,
    /// How often nothing came from the source for too long.
    pub gaps: Counter,
    /// How often the stream went on with a new beginning.
    pub splices: Counter,
}

/// What the server has done since it began.
#[derive(Debug)]
pub struct Totals {
    /// Connections accepted.
    pub connections: Counter,
    /// Requests decided.
    pub requests: Counter,
    /// Sources let in.
    pub sources: Counter,
    /// Listeners that have joined.
    pub listeners: Counter,
    /// Requests for status and administration.
    pub control: Counter,
    /// Requests refused, by status.
    pub refused: Refusals,
    /// How long listeners waited for their first bytes, in seconds.
    pub joins: Histogram,
}

/// Counts by HTTP status.
#[derive(Debug, Default)]
pub struct Refusals([Counter; STATUSES.len()]);

/// The statuses that requests are refused with; the last stands for all others.
const STATUSES: [u16; 11] = [400, 401, 403, 404, 405, 408, 415, 429, 431, 503, 0];

/// Where all others are counted.
const OTHER: usize = STATUSES.len() - 1;

impl Refusals {
    /// Counts one.
    pub fn note(&self, status: u16) {
        let at = STATUSES.iter().position(|&s| s == status).unwrap_or(OTHER);
        self.0[at].add(1);
    }

    /// All statuses, and how many of each; 0 stands for others.
    pub fn each(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.into_iter().zip(self.0.iter().map(Counter::get))
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            requests: Counter::default(),
            sources: Counter::default(),
            listeners: Counter::default(),
            control: Counter::default(),
            refused: Refusals::default(),
            joins: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]),
        }
    }
}

/// Where a mount's stream is.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    /// When the source's newest page came, in microseconds since `began`; 0 for never.
    heard: Gauge,
    /// When the newest page went out, and where it ends.
    out: Gauge,
    granule: Gauge,
    /// Samples at 48 kHz in the source's newest page, of Opus.
    samples: Gauge,
    /// Bytes in a second of its audio.
    rate: Gauge,
    /// How far the slowest listener of each thread is behind, in bytes.
    lags: [Gauge; MOST_THREADS],
}

impl Counter {
    /// Adds to it.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Meter {
    fn default() -> Self {
        let [heard, out, granule, samples, rate] = [const { Gauge(AtomicU64::new(0)) }; 5];
        let lags = [const { Gauge(AtomicU64::new(0)) }; MOST_THREADS];
        Self { began: Instant::now(), heard, out, granule, samples, rate, lags }
    }
}

impl Meter {
    /// A page of the source has come, with so many samples; a second of its audio has so many bytes.
    pub fn came(&self, now: Instant, samples: u64, rate: u64) {
        self.heard.set(self.since_began(now));
        self.samples.set(samples);
        self.rate.set(rate);
    }

    /// The bitrate of the source's last seconds, in bit/s; `None` where that is not known.
    pub fn bitrate(&self) -> Option<u64> {
        Some(self.rate.get().saturating_mul(8)).filter(|rate| *rate > 0)
    }

    /// How long so many bytes of the source's audio last; `None` where its bitrate is not known.
    pub fn lasting(&self, bytes: u64) -> Option<Duration> {
        bytes.saturating_mul(1000).checked_div(self.rate.get()).map(Duration::from_millis)
    }

    /// A page has gone out that ends at this granule position.
    pub fn went(&self, now: Instant, granule: u64) {
        self.granule.set(granule);
        self.out.set(self.since_began(now));
    }

    /// How long ago the source's newest page came; `None` if none ever has.
    pub fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.ago(&self.heard, now)
    }

    /// The newest granule position of the stream, and how long ago it went out.
    pub fn newest(&self, now: Instant) -> Option<(u64, Duration)> {
        Some((self.granule.get(), self.ago(&self.out, now)?))
    }

    /// How long the source's newest page lasts; `None` where that is not known.
    pub fn page(&self) -> Option<Duration> {
        let samples = self.samples.get();
        (samples > 0).then(|| Duration::from_micros(samples.saturating_mul(1000) / 48))
    }

    /// How far the slowest listener of a thread is behind, in bytes.
    pub fn set_lag(&self, thread: usize, bytes: u64) {
        self.lags[thread % MOST_THREADS].set(bytes);
    }

    /// How far the slowest listener was behind when they were last looked at, in bytes.
    pub fn lag(&self) -> u64 {
        self.lags.iter().map(Gauge::get).max().unwrap_or(0)
    }

    fn since_began(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.began).as_micros() as u64).saturating_add(1)
    }

    fn ago(&self, then: &Gauge, now: Instant) -> Option<Duration> {
        let then = then.get().checked_sub(1)?;
        let then = self.began.checked_add(Duration::from_micros(then))?;
        Some(now.saturating_duration_since(then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_can_be_read_off() {
        let meter = Meter::default();
        let at = |milliseconds| meter.began + Duration::from_millis(milliseconds);
        assert_eq!(
            (meter.silent_for(at(0)), meter.newest(at(0)), meter.page()),
            (None, None, None)
        );
        meter.came(at(0), 960, 8000);
        assert_eq!(meter.bitrate(), Some(64_000));
        meter.went(at(20), 4711);
        assert_eq!(meter.silent_for(at(50)), Some(Duration::from_millis(50)));
        assert_eq!(meter.newest(at(50)), Some((4711, Duration::from_millis(30))));
        assert_eq!(meter.page(), Some(Duration::from_millis(20)));
    }
}
