//! Counters and gauges of one mount: written by its own thread, page by page, with relaxed stores
//! only, and read at any moment.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::{Duration, Instant};

use crate::stats::{Counter, Gauge};

/// The most data-plane threads that there may be.
pub const MAX_THREADS: usize = 64;

/// Running totals of one mount.
#[derive(Debug, Default)]
pub struct MountCounters {
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

/// Where a mount's stream is.
#[derive(Debug)]
pub struct StreamGauges {
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
    lags: [Gauge; MAX_THREADS],
}

impl Default for StreamGauges {
    fn default() -> Self {
        let [heard, out, granule, samples, rate] = [const { Gauge::new() }; 5];
        let lags = [const { Gauge::new() }; MAX_THREADS];
        Self { began: Instant::now(), heard, out, granule, samples, rate, lags }
    }
}

impl StreamGauges {
    /// A page of the source has come, with so many samples; a second of its audio has so many bytes.
    pub fn page_received(&self, now: Instant, samples: u64, rate: u64) {
        self.heard.set(self.since_began(now));
        self.samples.set(samples);
        self.rate.set(rate);
    }

    /// The bitrate of the source's last seconds, in bit/s; `None` where that is not known.
    pub fn bitrate(&self) -> Option<u64> {
        Some(self.rate.get().saturating_mul(8)).filter(|rate| *rate > 0)
    }

    /// How long so many bytes of the source's audio last; `None` where its bitrate is not known.
    pub fn duration_of(&self, bytes: u64) -> Option<Duration> {
        bytes.saturating_mul(1000).checked_div(self.rate.get()).map(Duration::from_millis)
    }

    /// A page has gone out that ends at this granule position.
    pub fn page_published(&self, now: Instant, granule: u64) {
        self.granule.set(granule);
        self.out.set(self.since_began(now));
    }

    /// How long ago the source's newest page came; `None` if none ever has.
    pub fn since_last_page(&self, now: Instant) -> Option<Duration> {
        self.ago(&self.heard, now)
    }

    /// The newest granule position of the stream, and how long ago it went out.
    pub fn newest_granule(&self, now: Instant) -> Option<(u64, Duration)> {
        Some((self.granule.get(), self.ago(&self.out, now)?))
    }

    /// How long the source's newest page lasts; `None` where that is not known.
    pub fn page_duration(&self) -> Option<Duration> {
        let samples = self.samples.get();
        (samples > 0).then(|| Duration::from_micros(samples.saturating_mul(1000) / 48))
    }

    /// How far the slowest listener of a thread is behind, in bytes.
    pub fn set_lag(&self, thread: usize, bytes: u64) {
        self.lags[thread % MAX_THREADS].set(bytes);
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
        let gauges = StreamGauges::default();
        let at = |milliseconds| gauges.began + Duration::from_millis(milliseconds);
        assert_eq!(
            (gauges.since_last_page(at(0)), gauges.newest_granule(at(0)), gauges.page_duration()),
            (None, None, None)
        );
        gauges.page_received(at(0), 960, 8000);
        assert_eq!(gauges.bitrate(), Some(64_000));
        gauges.page_published(at(20), 4711);
        assert_eq!(gauges.since_last_page(at(50)), Some(Duration::from_millis(50)));
        assert_eq!(gauges.newest_granule(at(50)), Some((4711, Duration::from_millis(30))));
        assert_eq!(gauges.page_duration(), Some(Duration::from_millis(20)));
    }
}
