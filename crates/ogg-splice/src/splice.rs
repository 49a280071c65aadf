//! One Opus stream out of many sources: one serial, page numbers that count by one, and granule
//! positions without a jump, however often sources restart or change.
//!
//! Packets are never changed, but they may move to another page: a packet that spans pages is held
//! back until it is complete, so that one which its source never finishes does not reach a decoder.

use std::time::{Duration, Instant};

use crate::codec::OpusHead;
use crate::live_edge::duration_of;
use crate::opus::packet_samples;
use crate::page::{OutputPage, Page, PageHeader};
use crate::silence::{FRAME, Silence};
use crate::source::SourceStream;
use crate::timeline::{Placement, SilenceDue, Timeline};

/// Length of the longest packet that one page can hold, in bytes. Opus needs a fifth of it.
pub const MAX_PACKET: usize = 254 * 255 + 254;
/// Samples of Opus's clock.
pub(crate) const SECOND: u64 = 48_000;

/// Makes one Opus stream out of the pages of its sources.
///
/// The caller reports each event and its time. No method waits or reads a clock:
///
/// | when | call |
/// |---|---|
/// | a source's header pages are complete, also the first one's | [`join`](Self::join) |
/// | a page of audio arrives | [`push`](Self::push) |
/// | nothing has arrived for [`gap_threshold`](Self::gap_threshold) | [`fill`](Self::fill), and again at the time that it returns |
/// | a page arrives after such a gap | [`resume`](Self::resume), then `push` |
/// | the process itself was suspended | [`stood_still`](Self::stood_still) |
/// | the stream is over | [`end`](Self::end), and nothing after it |
///
/// All instants must come from one clock, in which suspensions of the process do not count.
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

/// How much silence was inserted and how much audio was discarded, in samples at 48 kHz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpliceStats {
    /// Silence that was inserted.
    pub silence: u64,
    /// Audio that was discarded, because it came too late or too far ahead of real time.
    pub late: u64,
}

impl Splice {
    /// A stream with this head and serial. Its first page of audio has the number `sequence`, which
    /// follows those of the header pages.
    ///
    /// With `fills`, time without audio becomes silence, once nothing has arrived for `gap_after`.
    /// Without it, the stream pauses in gaps.
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

    /// Another source begins. Its codec must be one that the stream
    /// [can continue with](crate::Codec::can_continue_with).
    pub fn join(&mut self) {
        self.source.restart();
        self.timeline.join();
    }

    /// The source is heard again after a gap.
    pub fn resume(&mut self, now: Instant) {
        self.timeline.resume(now);
    }

    /// The process was suspended for `time` until now. Audio that sources sent meanwhile has not
    /// arrived yet, and is not late.
    pub fn stood_still(&mut self, time: Duration, now: Instant) {
        self.timeline.stood_still(time, now);
    }

    /// Takes a page of the source's audio, and passes the pages that follow from it to `out`: the
    /// silence before it, a packet that it completes, and its own packets. False if its audio was
    /// discarded or it completes no packet.
    pub fn push(
        &mut self,
        page: &Page<'_>,
        now: Instant,
        mut out: impl FnMut(&OutputPage<'_>),
    ) -> bool {
        let segments = self.source.take(page);
        // The end of a packet whose beginning is missing or too long is dropped.
        let continues = self.source.continue_held(segments.continued);
        let completes = continues && segments.continued_ends;
        let held = if completes { packet_samples(self.source.held()).unwrap_or(0) } else { 0 };
        let whole = segments.packets().filter_map(packet_samples).sum::<u64>();
        let both = held.saturating_add(whole);
        let hole = self.source.advance(page, both);
        self.source.measure(page, both);

        let mut published = false;
        if both > 0 {
            match self.timeline.place(both, hole, now) {
                Placement::Append { silence } => {
                    self.push_silence(silence, &mut out);
                    let position = self.timeline.position();
                    if held > 0 {
                        let header = self.next_header(position.saturating_add(held));
                        let packet = self.source.held();
                        let (full, last) = (packet.len() / 255, packet.len() % 255);
                        let mut lacing = [255; 255];
                        lacing[full] = last as u8;
                        out(&OutputPage::new(header, &lacing[..=full], packet));
                    }
                    if whole > 0 {
                        let header = self.next_header(position.saturating_add(both));
                        out(&OutputPage::new(header, segments.lacing, segments.whole));
                    }
                    self.timeline.published(both, now);
                    published = true;
                }
                Placement::Discard => self.stats.late = self.stats.late.saturating_add(both),
            }
        }
        if segments.continued_ends || !continues {
            self.source.drop_held();
        }
        if !segments.unfinished.is_empty() {
            self.source.hold(segments.unfinished);
        }
        published
    }

    /// The stream's end: the granule position of its newest page.
    pub fn position(&self) -> u64 {
        self.timeline.position()
    }

    /// The source's bit rate over its last seconds, in bytes per second; 0 in its first second.
    pub fn rate(&self) -> u64 {
        self.source.rate()
    }

    /// Duration of the source's recent pages; zero before the first.
    pub fn page_duration(&self) -> Duration {
        duration_of(self.timeline.page())
    }

    /// Time without audio after which a gap begins: `gap_after`, and at least two of the source's
    /// pages.
    pub fn gap_threshold(&self) -> Duration {
        self.timeline.gap_threshold()
    }

    /// In a gap, passes the silence that is due to `out`, and returns when more is due. `None` if
    /// there is never any: the stream has no audio yet, or does not fill gaps.
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

    /// Ends the stream with a page of 20 ms of silence. Strict readers want a packet on the last
    /// page.
    pub fn end(&mut self, mut out: impl FnMut(&OutputPage<'_>)) {
        self.timeline.silent_for(FRAME);
        let header = PageHeader { last: true, ..self.next_header(self.timeline.position()) };
        let (lacing, body) = self.silence.page(FRAME, 0);
        out(&OutputPage::new(header, lacing, body));
    }

    /// What was inserted and discarded since this was last called.
    pub fn take_stats(&mut self) -> SpliceStats {
        std::mem::take(&mut self.stats)
    }

    /// Publishes the given number of samples of silence, in pages like the source's.
    fn push_silence(&mut self, samples: u64, out: &mut impl FnMut(&OutputPage<'_>)) {
        let mut left = samples;
        while left > 0 {
            let length = self.silence.length(self.timeline.page()).min(left);
            self.timeline.silent_for(length);
            let header = self.next_header(self.timeline.position());
            let bytes = self.source.rate().saturating_mul(length) / SECOND;
            let (lacing, body) = self.silence.page(length, bytes as usize);
            out(&OutputPage::new(header, lacing, body));
            left = left.saturating_sub(length);
        }
        self.stats.silence = self.stats.silence.saturating_add(samples);
    }

    /// The header of the next page, which ends at `granule`.
    fn next_header(&mut self, granule: u64) -> PageHeader {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        PageHeader { first: false, last: false, granule, serial: self.serial, sequence }
    }
}
