//! What the listeners of a mount read: its pages, and the point where they join the stream.
//!
//! The streams of a mount are numbered; the number is the stream's era. A reader that joined in an
//! earlier era stops where the stream of that era ended.

use std::sync::Arc;

use ogg_splice::Headers;

use super::logical_stream::LogicalStream;
use super::ring::Ring;
use super::settings::MountSettings;
use super::stream_history::StreamHistory;

/// The pages, the join point of the current stream, and the end of the previous stream.
#[derive(Debug)]
pub struct PageLog {
    /// The newest pages.
    pub ring: Ring,
    /// Where listeners join; `None` if the mount has no stream.
    pub stream: Option<Arc<JoinPoint>>,
    /// Number of streams of this mount that have ended.
    pub era: u64,
    /// The streams of the pages in the ring. Empty in a replica.
    pub history: StreamHistory,
    /// Ring position where the previous stream ended.
    previous_end: u64,
}

/// What a listener needs to join a stream.
#[derive(Debug)]
pub struct JoinPoint {
    /// The stream's headers.
    pub headers: Headers,
    /// Ring position of the stream's first audio page.
    pub start: u64,
}

impl PageLog {
    /// An empty log whose ring takes `ring` bytes of memory.
    pub fn new(ring: usize) -> Self {
        let history = StreamHistory::default();
        Self { ring: Ring::new(ring), stream: None, era: 0, history, previous_end: 0 }
    }

    /// Ring position at which a reader that joined in `era` must stop; `None` while the stream of
    /// that era continues.
    pub fn end_of(&self, era: u64) -> Option<u64> {
        match self.era - era {
            0 => None,
            1 => Some(self.previous_end),
            // Another stream began and ended since then, and the end of the reader's own stream is
            // no longer known: stop at once.
            _ => Some(0),
        }
    }

    /// Begins a stream with these headers, whose pages follow. Returns the ring position of the first
    /// page.
    pub fn begin(&mut self, headers: &Headers, settings: &MountSettings) -> u64 {
        let start = self.ring.head();
        self.ring.begin_stream(headers.codec.granules_per_second());
        self.history.begin(headers, start, settings);
        start
    }

    /// Ends the stream with an EOS page. Its readers stop after that page.
    pub(super) fn end(&mut self, stream: &mut LogicalStream) {
        stream.end(|page| self.ring.publish(page));
        self.stream = None;
        self.previous_end = self.ring.head();
        self.history.end(self.previous_end, stream.granule());
        self.era += 1;
    }

    /// Makes this replica equal to `other` by copying what is new there.
    pub(super) fn follow(&mut self, other: &Self) {
        self.ring.follow(&other.ring);
        self.stream.clone_from(&other.stream);
        (self.era, self.previous_end) = (other.era, other.previous_end);
    }
}
