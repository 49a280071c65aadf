//! Counters and gauges of one mount. The data plane writes them with relaxed atomic operations, at
//! most once per page; other threads read them at any time.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::{Duration, Instant};

use crate::stats::{Counter, Gauge};

/// The maximum number of data-plane threads.
pub const MAX_THREADS: usize = 64;

/// Totals of one mount since it was created.
#[derive(Debug, Default)]
pub struct MountCounters {
    /// Bytes that sources sent as valid pages.
    pub bytes_in: Counter,
    /// Valid pages that sources sent.
    pub pages_in: Counter,
    /// Bytes written to listeners' sockets.
    pub bytes_out: Counter,
    /// How often the ring overtook a listener.
    pub skips: Counter,
    /// Packets sent by WebRTC.
    pub rtp_packets: Counter,
    /// Packets that were not sent by WebRTC, because the network did not take them or because they
    /// were too long.
    pub rtp_dropped: Counter,
    /// Silence published in place of missing audio, in samples at 48 kHz.
    pub silence: Counter,
    /// Audio discarded because it came too late, in samples at 48 kHz.
    pub late: Counter,
    /// How often a gap began.
    pub gaps: Counter,
    /// How often the stream continued with new headers, from the same source or another one.
    pub splices: Counter,
}

/// The current state of a mount's stream.
#[derive(Debug)]
pub struct StreamGauges {
    /// The times below are in microseconds since this one, plus 1; 0 stands for "never".
    epoch: Instant,
    /// When the source's newest page was received.
    received_at: Gauge,
    /// When the newest page was published.
    published_at: Gauge,
    /// Duration of the source's recent pages, in microseconds; 0 if unknown.
    page_micros: Gauge,
    /// Bytes per second of the source's audio; 0 if unknown.
    byte_rate: Gauge,
    /// Bytes by which the slowest listener of each thread is behind the newest page.
    lags: [Gauge; MAX_THREADS],
}

impl Default for StreamGauges {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            received_at: Gauge::new(),
            published_at: Gauge::new(),
            page_micros: Gauge::new(),
            byte_rate: Gauge::new(),
            lags: [const { Gauge::new() }; MAX_THREADS],
        }
    }
}

impl StreamGauges {
    /// Records a page from the source: the duration of its recent pages, and the source's current
    /// rate in bytes per second. 0 stands for unknown.
    pub fn page_received(&self, now: Instant, page: Duration, byte_rate: u64) {
        self.received_at.set(self.timestamp(now));
        self.page_micros.set(page.as_micros() as u64);
        self.byte_rate.set(byte_rate);
    }

    /// The bitrate of the source's last seconds, in bit/s; `None` if unknown.
    pub fn bitrate(&self) -> Option<u64> {
        Some(self.byte_rate.get().saturating_mul(8)).filter(|rate| *rate > 0)
    }

    /// The duration of this many bytes at the source's bitrate; `None` if the bitrate is unknown.
    pub fn duration_of(&self, bytes: u64) -> Option<Duration> {
        bytes.saturating_mul(1000).checked_div(self.byte_rate.get()).map(Duration::from_millis)
    }

    /// Records a published page.
    pub fn page_published(&self, now: Instant) {
        self.published_at.set(self.timestamp(now));
    }

    /// Time since the source's newest page was received; `None` before the first.
    pub fn since_last_page(&self, now: Instant) -> Option<Duration> {
        self.elapsed(&self.received_at, now)
    }

    /// The time since the newest page was published that is not accounted for by the next one: that
    /// one is complete only when all of its audio was recorded.
    pub fn pause(&self, now: Instant) -> Duration {
        let age = self.elapsed(&self.published_at, now).unwrap_or_default();
        age.saturating_sub(self.page_duration().unwrap_or_default())
    }

    /// Duration of the source's recent pages; `None` if unknown.
    pub fn page_duration(&self) -> Option<Duration> {
        let micros = self.page_micros.get();
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Records by how many bytes the slowest listener of a thread is behind the newest page.
    pub fn set_lag(&self, thread: usize, bytes: u64) {
        self.lags[thread % MAX_THREADS].set(bytes);
    }

    /// By how many bytes the slowest listener was behind at the last measurement.
    pub fn lag(&self) -> u64 {
        self.lags.iter().map(Gauge::get).max().unwrap_or(0)
    }

    fn timestamp(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.epoch).as_micros() as u64).saturating_add(1)
    }

    fn elapsed(&self, timestamp: &Gauge, now: Instant) -> Option<Duration> {
        let micros = timestamp.get().checked_sub(1)?;
        let then = self.epoch.checked_add(Duration::from_micros(micros))?;
        Some(now.saturating_duration_since(then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_return_what_was_recorded() {
        let gauges = StreamGauges::default();
        let at = |milliseconds| gauges.epoch + Duration::from_millis(milliseconds);
        assert_eq!((gauges.since_last_page(at(0)), gauges.page_duration()), (None, None));
        gauges.page_received(at(0), Duration::from_millis(20), 8000);
        assert_eq!(gauges.bitrate(), Some(64_000));
        gauges.page_published(at(20));
        assert_eq!(gauges.since_last_page(at(50)), Some(Duration::from_millis(50)));
        assert_eq!(gauges.pause(at(50)), Duration::from_millis(10));
        assert_eq!(gauges.page_duration(), Some(Duration::from_millis(20)));
    }
}
