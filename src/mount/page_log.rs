//! The pages of a mount and the point where listeners join.
//!
//! Each stream has an era, a number that counts the streams of a mount. A reader that joined in an
//! earlier era ends where that stream ended.

use std::sync::Arc;

use ogg_splice::Headers;

use super::logical_stream::LogicalStream;
use super::ring::Ring;

/// The pages, the stream that can be joined, and where the one before it ended.
#[derive(Debug)]
pub struct PageLog {
    /// The newest pages.
    pub ring: Ring,
    /// Where listeners join; `None` without a stream.
    pub stream: Option<Arc<JoinPoint>>,
    /// Counts the streams of this mount.
    pub era: u64,
    /// Position in the ring where the stream before this one ended.
    last_end: u64,
}

/// What a listener needs to join a stream.
#[derive(Debug)]
pub struct JoinPoint {
    /// The stream's headers.
    pub headers: Headers,
    /// Position of its first audio page in the ring.
    pub since: u64,
}

impl PageLog {
    /// An empty log with a ring of this many bytes.
    pub(super) fn new(ring: usize) -> Self {
        Self { ring: Ring::new(ring), stream: None, era: 0, last_end: 0 }
    }

    /// Position at which a reader that joined in `era` must end; `None` while that stream continues.
    pub fn end_of(&self, era: u64) -> Option<u64> {
        match self.era - era {
            0 => None,
            1 => Some(self.last_end),
            // A whole stream came and went since: nothing is left that this reader could play.
            _ => Some(0),
        }
    }

    /// Publishes the last page of the stream; its readers end there.
    pub(super) fn end(&mut self, stream: &mut LogicalStream) {
        stream.end(|page| self.ring.publish(page));
        self.stream = None;
        self.last_end = self.ring.head();
        self.era += 1;
    }

    /// Copies what is new in `other`.
    pub(super) fn follow(&mut self, other: &Self) {
        self.ring.follow(&other.ring);
        self.stream.clone_from(&other.stream);
        (self.era, self.last_end) = (other.era, other.last_end);
    }
}
