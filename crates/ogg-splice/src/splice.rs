//! One stream out of many: what enters a mount's ring is, for its listeners, one logical Ogg stream
//! of Opus, however often its source restarts, changes or loses its way.
//!
//! One serial, page numbers that count by one, granule positions without a jump. Packets are never
//! touched, but they may move: a packet that goes on to another page is kept back until it is
//! whole, so that one which its source never finished does not reach a decoder.

use std::time::{Duration, Instant};

use crate::codec::OpusHead;
use crate::opus::packet_samples;
use crate::page::{OutputPage, Page, PageHeader};
use crate::silence::{FRAME, Silence};
use crate::timeline::{Placement, SilenceDue, Timeline};

/// The longest packet that a page can hold whole, in bytes. Opus needs a fifth of it.
pub const MAX_PACKET: usize = 254 * 255 + 254;
/// Samples.
const SECOND: u64 = 48_000;

/// Makes one stream.
#[derive(Debug)]
pub struct Splice {
    serial: u32,
    /// Number of the next page.
    sequence: u32,
    timeline: Timeline,
    silence: Silence,
    stats: SpliceStats,
    source: SourceStream,
}

/// What came of audio and time, in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpliceStats {
    /// Silence put in.
    pub silence: u64,
    /// Audio left out, as its time was over.
    pub late: u64,
}

/// The source stream as it comes.
#[derive(Debug, Default)]
struct SourceStream {
    /// Number of its next page.
    sequence: Option<u32>,
    /// Granule position at which its next packet should begin.
    granule: Option<u64>,
    /// The beginning of a packet whose end is still to come.
    held: Vec<u8>,
    /// Bytes in a second of it.
    rate: u64,
    /// What that is counted from: bytes and samples, halved now and then.
    counted: (u64, u64),
}

/// A page's segments, sorted.
struct Segments<'a> {
    /// Of a packet that began on an earlier page, and whether it ends here.
    continued: (&'a [u8], bool),
    /// Of packets that begin and end here.
    whole: (&'a [u8], &'a [u8]),
    /// Of a packet that goes on to the next page.
    unfinished: &'a [u8],
}

impl Splice {
    /// A stream with this head and serial, whose first page of audio gets the number `sequence`.
    /// With `fills`, time without audio becomes silence, once nothing has come for `gap_after`.
    pub fn new(
        head: &OpusHead,
        serial: u32,
        sequence: u32,
        fills: bool,
        gap_after: Duration,
    ) -> Self {
        Self {
            serial,
            sequence,
            timeline: Timeline::new(fills, gap_after),
            silence: Silence::new(head),
            stats: SpliceStats::default(),
            source: SourceStream::default(),
        }
    }

    /// Another source stream begins.
    pub fn join(&mut self) {
        self.source.held.clear();
        (self.source.sequence, self.source.granule) = (None, None);
        self.timeline.join();
    }

    /// The source is back after a gap.
    pub fn resume(&mut self, now: Instant) {
        self.timeline.resume(now);
    }

    /// The server was stopped for this long until now. Data that sources sent meanwhile is still to be read.
    pub fn stood_still(&mut self, time: Duration, now: Instant) {
        self.timeline.stood_still(time, now);
    }

    /// Takes a page of the source and gives out what becomes of it; false if that is nothing.
    pub fn push(
        &mut self,
        page: &Page<'_>,
        now: Instant,
        mut out: impl FnMut(&OutputPage<'_>),
    ) -> bool {
        let segments = self.source.take(page);
        let (continued, ends) = segments.continued;
        // A packet whose beginning is missing, lost or too long, is none.
        let goes_on = !self.source.held.is_empty() && self.source.hold(continued);
        let held = if goes_on && ends { packet_samples(&self.source.held).unwrap_or(0) } else { 0 };
        let whole = packets(segments.whole).filter_map(packet_samples).sum::<u64>();
        let both = held.saturating_add(whole);
        let hole = self.source.advance(page, both);
        self.source.weigh(page, both);

        let mut published = false;
        if both > 0 {
            match self.timeline.place(both, hole, now) {
                Placement::Append { silence } => {
                    self.push_silence(silence, &mut out);
                    let position = self.timeline.position();
                    if held > 0 {
                        let (full, last) =
                            (self.source.held.len() / 255, self.source.held.len() % 255);
                        let mut lacing = [255; 255];
                        lacing[full] = last as u8;
                        let header = self.next_header(position.saturating_add(held));
                        out(&OutputPage::new(header, &lacing[..=full], &self.source.held));
                    }
                    if whole > 0 {
                        let header = self.next_header(position.saturating_add(both));
                        out(&OutputPage::new(header, segments.whole.0, segments.whole.1));
                    }
                    self.timeline.published(both, now);
                    published = true;
                }
                Placement::Discard => self.stats.late = self.stats.late.saturating_add(both),
            }
        }
        if ends || !goes_on {
            self.source.held.clear();
        }
        if !segments.unfinished.is_empty() {
            self.source.hold(segments.unfinished);
        }
        published
    }

    /// Where the stream ends now, as a granule position.
    pub fn position(&self) -> u64 {
        self.timeline.position()
    }

    /// Bytes in a second of the source's audio, of its last seconds; 0 before the first.
    pub fn rate(&self) -> u64 {
        self.source.rate
    }

    /// Samples in the source's newest page.
    pub fn page_samples(&self) -> u64 {
        self.timeline.page()
    }

    /// For how long nothing may come before it is a gap.
    pub fn gap_threshold(&self) -> Duration {
        self.timeline.gap_threshold()
    }

    /// Gives out the silence that is due in a gap; says when there will be more, if ever.
    pub fn fill(&mut self, now: Instant, mut out: impl FnMut(&OutputPage<'_>)) -> Option<Instant> {
        let length = self.silence.length(self.timeline.page());
        loop {
            match self.timeline.silence_due(length, now) {
                SilenceDue::Now => self.push_silence(length, &mut out),
                SilenceDue::At(later) => return Some(later),
                SilenceDue::Never => return None,
            }
        }
    }

    /// Ends the stream, with a moment of silence: strict readers want a packet on the last page.
    pub fn end(&mut self, mut out: impl FnMut(&OutputPage<'_>)) {
        self.timeline.silent_for(FRAME);
        let header = PageHeader { last: true, ..self.next_header(self.timeline.position()) };
        let (lacing, body) = self.silence.page(FRAME, 0);
        out(&OutputPage::new(header, lacing, body));
    }

    /// What came of audio and time since this was last asked.
    pub fn take_stats(&mut self) -> SpliceStats {
        std::mem::take(&mut self.stats)
    }

    fn push_silence(&mut self, samples: u64, out: &mut impl FnMut(&OutputPage<'_>)) {
        let mut left = samples;
        while left > 0 {
            let length = self.silence.length(self.timeline.page()).min(left);
            self.timeline.silent_for(length);
            let header = self.next_header(self.timeline.position());
            let bytes = self.source.rate.saturating_mul(length) / SECOND;
            let (lacing, body) = self.silence.page(length, bytes as usize);
            out(&OutputPage::new(header, lacing, body));
            left = left.saturating_sub(length);
        }
        self.stats.silence = self.stats.silence.saturating_add(samples);
    }

    fn next_header(&mut self, granule: u64) -> PageHeader {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        PageHeader { first: false, last: false, granule, serial: self.serial, sequence }
    }
}

impl SourceStream {
    /// Sorts a page's segments. What was held is dropped if this page does not go on with it.
    fn take<'a>(&mut self, page: &Page<'a>) -> Segments<'a> {
        let in_order = self.sequence.is_none_or(|expected| expected == page.sequence());
        self.sequence = Some(page.sequence().wrapping_add(1));
        if !(in_order && page.is_continued()) {
            self.held.clear();
        }
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
        Segments {
            continued: (continued, begin > 0 && first_end.is_some()),
            whole: (&lacing[begin..end], whole),
            unfinished,
        }
    }

    /// Keeps a part of a packet; what grows too long is no packet any more.
    fn hold(&mut self, part: &[u8]) -> bool {
        if self.held.len().saturating_add(part.len()) > MAX_PACKET {
            self.held.clear();
            return false;
        }
        if self.held.capacity() == 0 {
            // Once for all packets to come.
            self.held.reserve_exact(MAX_PACKET);
        }
        self.held.extend_from_slice(part);
        true
    }

    /// Takes note of how much audio is in how many bytes, of the last seconds above all.
    fn weigh(&mut self, page: &Page<'_>, samples: u64) {
        let (bytes, counted) = self.counted;
        self.counted =
            (bytes.saturating_add(page.body().len() as u64), counted.saturating_add(samples));
        if self.counted.1 >= SECOND {
            let bytes = self.counted.0.saturating_mul(SECOND);
            self.rate = bytes.checked_div(self.counted.1).unwrap_or(0);
        }
        if self.counted.1 >= 4 * SECOND {
            self.counted = (self.counted.0 / 2, self.counted.1 / 2);
        }
    }

    /// Takes note of the page's time; says how much its granule position leaves out before it. One
    /// that runs backwards, or ends early as the last page of a stream may, leaves out nothing.
    fn advance(&mut self, page: &Page<'_>, samples: u64) -> u64 {
        let expected = self.granule;
        let end = page.granule().filter(|_| samples > 0);
        self.granule = end.or_else(|| expected.map(|expected| expected.saturating_add(samples)));
        match (expected, end) {
            (Some(expected), Some(end)) => end.saturating_sub(samples).saturating_sub(expected),
            _ => 0,
        }
    }
}

/// The packets of whole segments.
fn packets<'a>((lacing, body): (&'a [u8], &'a [u8])) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = body;
    lacing.chunk_by(|&before, _| before == 255).map(move |packet| {
        let length = packet.iter().map(|&length| usize::from(length)).sum();
        let (packet, after) = rest.split_at(length);
        rest = after;
        packet
    })
}
