//! Finds the audio of a clip in the ring.

use std::ops::Range;
use std::time::Duration;

use ogg_splice::{Codec, OpusHead};

use super::span::ClipSpan;
use crate::mount::{PageLog, StreamPackets, StreamRecord, samples};
use crate::utc::Utc;

/// How much a decoder must have decoded before its output is right (RFC 7845, section 4.6), in
/// samples.
const PRE_ROLL: u64 = 3840;
/// The longest packet, in samples: 120 ms.
const MAX_PACKET: u64 = 5760;
/// Samples in a second.
const RATE: u64 = 48_000;

/// The audio of a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipCut {
    /// One part for each stream that it has audio of.
    pub parts: Vec<ClipPart>,
    /// When the first sample was heard.
    pub from: Utc,
    /// When the last one had been heard.
    pub to: Utc,
}

/// The audio of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipPart {
    /// The stream's header, with the samples to discard at the beginning of this part.
    pub head: OpusHead,
    /// Ring position of the stream's first page, by which the stream is found again.
    pub stream: u64,
    /// When the first sample was heard.
    pub from: Utc,
    /// Granule position at which the first packet begins.
    pub first: u64,
    /// Granule positions of the first sample and of the one after the last.
    pub samples: Range<u64>,
    /// Granule positions between which there is silence that no source has sent.
    pub silences: Vec<Range<u64>>,
}

/// Why there is no such clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotHeld {
    /// The ring holds another time.
    Holds {
        /// From when.
        from: Utc,
        /// Until when.
        to: Utc,
    },
    /// The ring holds no audio of Opus.
    Nothing,
}

/// The audio of a stream that can be in a clip.
struct Held<'p> {
    stream: &'p StreamRecord,
    packets: StreamPackets<'p>,
    head: &'p OpusHead,
    /// Granule positions.
    first: u64,
    end: u64,
    /// When that was.
    from: Utc,
    to: Utc,
}

/// From when until when these pages hold audio that can be in a clip; `None` without any.
pub fn held(pages: &PageLog) -> Option<(Utc, Utc)> {
    let streams = held_streams(pages);
    Some((streams.first()?.from, streams.last()?.to))
}

/// How much audio of the present stream there has been since a time, for a listener who joins then.
///
/// # Errors
/// [`NotHeld`] if the pages do not hold the stream from that time on.
pub fn audio_since(pages: &PageLog, at: Utc) -> Result<Duration, NotHeld> {
    let streams = held_streams(pages);
    let newest = streams.last().filter(|newest| newest.stream.end.is_none());
    let newest = newest.ok_or(NotHeld::Nothing)?;
    if at < newest.from || at > newest.to {
        return Err(NotHeld::Holds { from: newest.from, to: newest.to });
    }
    let samples = newest.end.saturating_sub(newest.granule_at(at));
    Ok(Duration::from_micros(samples.saturating_mul(1_000_000) / RATE))
}

impl ClipPart {
    /// When the part ends.
    pub fn to(&self) -> Utc {
        self.at(self.samples.end)
    }

    /// From when until when there is silence that no source has sent.
    pub fn gaps(&self) -> impl Iterator<Item = (Utc, Utc)> {
        self.silences.iter().map(|silence| (self.at(silence.start), self.at(silence.end)))
    }

    /// When a granule position of the part was heard.
    fn at(&self, granule: u64) -> Utc {
        let samples = granule.saturating_sub(self.samples.start);
        self.from.after(Duration::from_micros(samples.saturating_mul(1_000_000) / RATE))
    }
}

impl ClipCut {
    /// The clip of a time.
    ///
    /// # Errors
    /// [`NotHeld`] if the pages do not hold all of that time. The last so much is at most as
    /// much as there is.
    pub fn of(pages: &PageLog, span: ClipSpan) -> Result<Self, NotHeld> {
        let streams = held_streams(pages);
        let (Some(oldest), Some(newest)) = (streams.first(), streams.last()) else {
            return Err(NotHeld::Nothing);
        };
        let (from, to) = match span {
            ClipSpan::Last(time) => (newest.to.before(time).max(oldest.from), newest.to),
            ClipSpan::Between(from, to) if oldest.from <= from && to <= newest.to => (from, to),
            ClipSpan::Between(..) => {
                return Err(NotHeld::Holds { from: oldest.from, to: newest.to });
            }
        };
        let parts: Vec<_> =
            streams.iter().filter_map(|stream| stream.part(from, to, span)).collect();
        if parts.is_empty() {
            // Between two streams there was nothing to hear.
            return Err(NotHeld::Holds { from: oldest.from, to: newest.to });
        }
        Ok(Self { from: parts.first().map_or(from, |part| part.from), parts, to })
    }
}

impl<'p> Held<'p> {
    /// `None` without audio of Opus.
    fn of(pages: &'p PageLog, stream: &'p StreamRecord) -> Option<Self> {
        let Codec::Opus(head) = &stream.codec else { return None };
        let packets = StreamPackets::new(&pages.ring, stream);
        let beginning = packets.beginning()?;
        let has_beginning = pages.ring.tail() <= stream.start;
        let not_heard = if has_beginning { u64::from(head.pre_skip) } else { PRE_ROLL };
        let known = stream.granule_at(stream.known_from());
        let first = beginning.saturating_add(not_heard).max(known);
        let end = packets.newest_granule();
        let from = stream.utc_of(stream.time_of(first))?;
        let to = stream.utc_of(stream.time_of_end(end))?;
        (first < end).then_some(Self { stream, packets, head, first, end, from, to })
    }

    /// The granule position that was heard at a time.
    fn granule_at(&self, utc: Utc) -> u64 {
        let time = self.stream.time_at(utc, self.stream.time_of_end(self.end));
        self.stream.granule_at(time).clamp(self.first, self.end)
    }

    /// The part of the clip that is from this stream.
    fn part(&self, from: Utc, to: Utc, span: ClipSpan) -> Option<ClipPart> {
        let last = if to >= self.to { self.end } else { self.granule_at(to) };
        let mut start = if from <= self.from { self.first } else { self.granule_at(from) };
        // The times are measured and the samples are counted, which differs a little.
        let wanted = match span {
            ClipSpan::Last(time) => samples(time),
            ClipSpan::Between(from, to) => samples(to.since(from)),
        };
        let counted = last.saturating_sub(start);
        let is_whole = from >= self.from && counted.abs_diff(wanted) <= wanted / 100;
        let mut end = last;
        if is_whole && matches!(span, ClipSpan::Last(_)) {
            start = last.saturating_sub(wanted).max(self.first);
        } else if is_whole {
            end = start.saturating_add(wanted).min(self.end);
        }
        // What comes before is decoded, too, and not heard.
        let decoded = start.saturating_sub(PRE_ROLL);
        let decoded = decoded.max(self.packets.beginning()?);
        let packets = self.packets.from(decoded.saturating_sub(MAX_PACKET));
        let (first, _) = packets.take_while(|(begins, _)| *begins <= decoded).last()?;
        let pre_skip = u16::try_from(start.checked_sub(first)?).ok()?;
        let head = OpusHead { pre_skip, ..self.head.clone() };
        let heard = self.stream.utc_of(self.stream.time_of(start))?;
        (start < end).then_some(ClipPart {
            head,
            stream: self.stream.start,
            from: heard,
            first,
            samples: start..end,
            silences: self.stream.silences(&(start..end)).collect(),
        })
    }
}

/// The streams of Opus of which there is audio, the oldest first.
fn held_streams(pages: &PageLog) -> Vec<Held<'_>> {
    pages.history.streams().filter_map(|stream| Held::of(pages, stream)).collect()
}
