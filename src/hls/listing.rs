//! Decides what a playlist lists: the newest segments of the streams that the ring holds.

use std::ops::Range;

use ogg_splice::Codec;

use super::cut::StreamCut;
use super::dates::SegmentDates;
use super::name::{PlaylistKind, StreamId};
use super::playlist::{ListedPart, ListedSegment, ListedStream, Playlist, target_duration};
use super::units::RATE;
use crate::mount::{Name, PageLog, StreamRecord};

/// A playlist lists at least so many target durations, if the ring holds them (RFC 8216, section 6.2.2).
const FEWEST_TARGETS: u64 = 3;
/// Parts are listed for this many target durations before the end of a playlist.
const TARGETS_WITH_PARTS: u64 = 3;

/// What is known of a mount's stream beside its pages.
#[derive(Clone, Copy, Debug)]
pub struct StreamState {
    /// How much audio is listed, in samples.
    pub window: u64,
    /// For how long nothing has come from the source, in samples; 0 if there is no gap.
    pub paused: u64,
}

/// A stream, and which of its segments are listed.
struct Selection<'p> {
    cut: StreamCut<'p>,
    /// The last one may not be complete.
    segments: Range<u64>,
    complete: u64,
    /// The end of the newest audio.
    edge: u64,
    /// When the stream's time 0 was, in milliseconds since 1970.
    origin: i64,
}

/// Lists the newest segments of the streams of Opus in these pages. `exists` tells which mounts are
/// still there.
pub fn list(
    kind: PlaylistKind,
    mount: &Name,
    pages: &PageLog,
    state: StreamState,
    dates: &mut SegmentDates,
    exists: impl Fn(&Name) -> bool,
) -> Playlist {
    let selected = select(kind, pages, state);
    let to_date = selected.iter().map(|selection| {
        let id = StreamId::of(selection.cut.stream());
        (id, selection.segments.clone(), selection.origin)
    });
    let dates = dates.date(mount, &to_date.collect::<Vec<_>>(), exists);
    let edge = selected.last().map_or(0, |selection| selection.edge);
    let streams = selected.iter().zip(dates).map(|(selection, dates)| {
        let stream = selection.cut.stream();
        // Clients are told of parts at the end of a playlist only.
        let has_parts = kind == PlaylistKind::LowLatency && stream.end.is_none();
        let with_parts = TARGETS_WITH_PARTS * target_duration(stream.segment) * RATE;
        let parts_from = if has_parts { edge.saturating_sub(with_parts) } else { u64::MAX };
        let listed = |number| {
            let parts = number * stream.segment >= parts_from;
            selection.segment(number, parts, |time| dates.of(number, time))
        };
        ListedStream {
            id: StreamId::of(stream),
            segment: stream.segment,
            first_segment: stream.first_segment,
            number: stream.number,
            segments: selection.segments.clone().map(listed).collect(),
        }
    });
    let streams = streams.collect();
    Playlist { kind, edge, streams }
}

/// Selects the segments to list, from the newest to the oldest.
fn select(kind: PlaylistKind, pages: &PageLog, state: StreamState) -> Vec<Selection<'_>> {
    let mut selected = Vec::new();
    let mut room = None;
    for stream in pages.history.streams().rev() {
        if !matches!(stream.codec, Codec::Opus(_)) {
            break;
        }
        let fewest =
            (FEWEST_TARGETS * target_duration(stream.segment) * RATE).div_ceil(stream.segment);
        let room = room.get_or_insert((state.window / stream.segment).max(fewest));
        let cut = StreamCut::new(&pages.ring, stream);
        let index = cut.index(state.paused);
        // The ring overwrites the first one next, before a client can have requested it.
        let is_cut = pages.ring.tail() > stream.start;
        let first = index.complete.start + u64::from(is_cut);
        let complete = index.complete.end;
        let first = first.max(complete.saturating_sub(*room)).min(complete);
        *room -= complete - first;
        let is_open = kind == PlaylistKind::LowLatency
            && stream.end.is_none()
            && index.edge >= cut.part_times(complete, 0).end;
        let segments = first..complete + u64::from(is_open);
        if !segments.is_empty() {
            let origin = origin(stream, index.edge);
            selected.push(Selection { cut, segments, complete, edge: index.edge, origin });
        }
        if *room == 0 {
            break;
        }
    }
    selected.reverse();
    selected
}

/// When a stream's time 0 would have been by its newest audio, in milliseconds since 1970.
fn origin(stream: &StreamRecord, edge: u64) -> i64 {
    let heard = stream.utc_of(edge).map_or(0, |at| at.micros() / 1000);
    heard - (edge / (RATE / 1000)).cast_signed()
}

impl Selection<'_> {
    fn segment(&self, number: u64, has_parts: bool, date: impl Fn(u64) -> i64) -> ListedSegment {
        let length = self.cut.stream().segment;
        let (from, until) = (number * length, (number + 1) * length);
        let begins = self.cut.begins(from);
        let is_complete = number < self.complete;
        let ends = if is_complete { self.end_of(until) } else { self.edge };
        let part_length = self.cut.part(number);
        let parts = (0..length.div_ceil(part_length)).map_while(|part| {
            let times = self.cut.part_times(number, part);
            let is_there = is_complete || times.end <= self.edge;
            let duration =
                self.end_of(times.end).min(ends).checked_sub(self.cut.begins(times.start))?;
            let is_gap = self.cut.is_silent(times);
            (is_there && duration > 0).then_some(ListedPart { duration, is_gap })
        });
        ListedSegment {
            number,
            duration: is_complete.then(|| ends.saturating_sub(begins)),
            date: date(begins),
            is_gap: self.cut.is_silent(from..until),
            part: part_length,
            parts: if has_parts { parts.collect() } else { Vec::new() },
        }
    }

    /// Where the segment or part really ends whose boundary is at `time`.
    fn end_of(&self, time: u64) -> u64 {
        let end = self.cut.stream().end.map_or(u64::MAX, |end| end.time);
        self.cut.begins(time).min(end)
    }
}
