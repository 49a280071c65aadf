//! One source's stream as it arrives: sorts each page's segments, holds the beginning of a packet
//! that spans pages, and tracks page numbers, granule positions and the bit rate.

use crate::page::Page;
use crate::rate::ByteRate;
use crate::splice::{MAX_PACKET, SECOND};

/// What is known of the source that is being spliced.
#[derive(Debug, Default)]
pub(crate) struct SourceStream {
    /// Number of its next page; `None` before its first.
    sequence: Option<u32>,
    /// Granule position at which its next packet should begin, if that is known.
    granule: Option<u64>,
    /// The beginning of a packet whose end has not arrived yet.
    held: Vec<u8>,
    rate: ByteRate,
}

/// A page's segments by the packets that they belong to.
pub(crate) struct Segments<'a> {
    /// Of a packet that began on an earlier page.
    pub(crate) continued: &'a [u8],
    /// Whether that packet ends on this page.
    pub(crate) continued_ends: bool,
    /// The lacing values of the packets that begin and end on this page.
    pub(crate) lacing: &'a [u8],
    /// Those packets.
    pub(crate) whole: &'a [u8],
    /// Of a packet that continues on the next page.
    pub(crate) unfinished: &'a [u8],
}

impl<'a> Segments<'a> {
    fn of(page: &Page<'a>) -> Self {
        let (lacing, body) = (page.lacing(), page.body());
        let first_end = lacing.iter().position(|&length| length < 255);
        let begin = match first_end {
            _ if !page.is_continued() => 0,
            Some(at) => at.saturating_add(1),
            None => lacing.len(),
        };
        let end = lacing
            .iter()
            .rposition(|&length| length < 255)
            .map_or(begin, |at| at.saturating_add(1))
            .max(begin);
        let length =
            |lacing: &[u8]| lacing.iter().map(|&length| usize::from(length)).sum::<usize>();
        let (continued, rest) = body.split_at(length(&lacing[..begin]));
        let (whole, unfinished) = rest.split_at(length(&lacing[begin..end]));
        let continued_ends = begin > 0 && first_end.is_some();
        Self { continued, continued_ends, lacing: &lacing[begin..end], whole, unfinished }
    }

    /// The packets that begin and end on this page.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.whole;
        self.lacing.chunk_by(|&before, _| before == 255).map(move |packet| {
            let length = packet.iter().map(|&length| usize::from(length)).sum();
            let (packet, after) = rest.split_at(length);
            rest = after;
            packet
        })
    }
}

impl SourceStream {
    /// Another source follows. The bit rate of the previous one is used until its own is known.
    pub(crate) fn restart(&mut self) {
        self.held.clear();
        (self.sequence, self.granule) = (None, None);
    }

    /// Sorts a page's segments. Drops what is held if this page does not continue it.
    pub(crate) fn take<'a>(&mut self, page: &Page<'a>) -> Segments<'a> {
        let in_order = self.sequence.is_none_or(|expected| expected == page.sequence());
        self.sequence = Some(page.sequence().wrapping_add(1));
        if !(in_order && page.is_continued()) {
            self.held.clear();
        }
        Segments::of(page)
    }

    /// The beginning of a packet, as far as it has arrived.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    pub(crate) fn drop_held(&mut self) {
        self.held.clear();
    }

    /// Adds to what is held; false if nothing is, or if that packet becomes too long.
    pub(crate) fn continue_held(&mut self, part: &[u8]) -> bool {
        !self.held.is_empty() && self.hold(part)
    }

    /// Holds a part of a packet. A packet that becomes longer than [`MAX_PACKET`] is dropped.
    pub(crate) fn hold(&mut self, part: &[u8]) -> bool {
        if self.held.len().saturating_add(part.len()) > MAX_PACKET {
            self.held.clear();
            return false;
        }
        if self.held.capacity() == 0 {
            // Once, for all packets to come.
            self.held.reserve_exact(MAX_PACKET);
        }
        self.held.extend_from_slice(part);
        true
    }

    /// Bytes per second over the last seconds; 0 in the first.
    pub(crate) fn rate(&self) -> u64 {
        self.rate.get()
    }

    /// Counts a page of `samples` towards the bit rate.
    pub(crate) fn measure(&mut self, page: &Page<'_>, samples: u64) {
        self.rate.measure(page.body().len(), samples, SECOND);
    }

    /// Follows the granule positions over a page of `samples`. Returns how many samples are missing
    /// before it; 0 if the positions run backwards, or end early, as on the last page of a stream.
    pub(crate) fn advance(&mut self, page: &Page<'_>, samples: u64) -> u64 {
        let expected = self.granule;
        let end = page.granule().filter(|_| samples > 0);
        self.granule = end.or_else(|| expected.map(|expected| expected.saturating_add(samples)));
        match (expected, end) {
            (Some(expected), Some(end)) => end.saturating_sub(samples).saturating_sub(expected),
            _ => 0,
        }
    }
}
