//! How much audio a source puts into a page, which is the rhythm in which it sends.

/// The duration of the source's pages, in samples; 0 before the first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageLength {
    newest: u64,
    /// The longer of the newest two: the last page of a stream is often short, and so is the rest
    /// of a page that was split.
    recent: u64,
}

impl PageLength {
    /// Takes the duration of the newest page.
    pub(crate) fn take(&mut self, samples: u64) {
        *self = Self { newest: samples, recent: samples.max(self.newest) };
    }

    /// Duration of the recent pages, in samples; 0 before the first.
    pub(crate) fn recent(self) -> u64 {
        self.recent
    }
}
