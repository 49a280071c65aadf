//! The bit rate of a source over its last seconds.

/// Measures bytes per second of audio time, whatever the codec.
#[derive(Debug, Default)]
pub(crate) struct ByteRate {
    /// Bytes per second.
    rate: u64,
    /// What `rate` is computed from. Halved when it exceeds four seconds, so that old pages count
    /// less.
    bytes: u64,
    samples: u64,
}

impl ByteRate {
    /// Bytes per second over the last seconds; 0 in the first.
    pub(crate) fn get(&self) -> u64 {
        self.rate
    }

    /// Counts a page of `bytes` bytes and `samples` samples, of which one second has `per_second`.
    pub(crate) fn measure(&mut self, bytes: usize, samples: u64, per_second: u64) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.samples = self.samples.saturating_add(samples);
        if self.samples >= per_second {
            let rate = self.bytes.saturating_mul(per_second).checked_div(self.samples);
            self.rate = rate.unwrap_or(0);
        }
        if self.samples >= per_second.saturating_mul(4) {
            (self.bytes, self.samples) = (self.bytes / 2, self.samples / 2);
        }
    }
}
