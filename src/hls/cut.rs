//! Finds the packets of a segment among those of its stream.
//!
//! A segment has the packets that begin within it. So it begins with the first packet that begins at
//! its boundary or later, and is as long as the packets in it are: durations add up exactly.

use std::ops::Range;

use super::units::{PART, part_for};
use crate::mount::{Ring, StreamPackets, StreamRecord};

/// The segments of one stream that the ring holds.
#[derive(Clone, Copy, Debug)]
pub struct StreamCut<'p> {
    packets: StreamPackets<'p>,
    stream: &'p StreamRecord,
}

/// Packets that follow each other without a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// When the first one is heard, in the time of the stream.
    pub time: u64,
    /// Duration and length of each.
    pub packets: Vec<(u32, u32)>,
    /// Where they are in the ring.
    pub pieces: Vec<Range<u64>>,
}

/// Which segments of a stream can be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex {
    /// Those that are complete.
    pub complete: Range<u64>,
    /// The end of the newest audio.
    pub edge: u64,
}

impl<'p> StreamCut<'p> {
    /// The pages of `stream` in `ring`.
    pub fn new(ring: &'p Ring, stream: &'p StreamRecord) -> Self {
        Self { packets: StreamPackets::new(ring, stream), stream }
    }

    /// The stream.
    pub fn stream(&self) -> &'p StreamRecord {
        self.stream
    }

    /// The segments that can be listed. `paused` is for how long nothing has come from the source, in
    /// samples.
    pub fn index(&self, paused: u64) -> SegmentIndex {
        let Some(beginning) = self.packets.beginning() else {
            return SegmentIndex { complete: 0..0, edge: 0 };
        };
        let segment = self.stream.segment;
        let mut edge = self.stream.time_of_end(self.packets.newest_granule());
        let complete = if let Some(end) = self.stream.end {
            // The last segment of a stream that has ended may be shorter.
            end.time.div_ceil(segment)
        } else {
            edge += if self.stream.stands_still { paused } else { 0 };
            edge / segment
        };
        let oldest = self.stream.time_of(beginning);
        let oldest = oldest.max(self.stream.known_from());
        let first = oldest.div_ceil(segment);
        SegmentIndex { complete: first..complete.max(first), edge }
    }

    /// Duration of the parts of a segment, in samples.
    pub fn part(&self, segment: u64) -> u64 {
        let begin = segment.saturating_mul(self.stream.segment);
        let packet = self.packets.from(self.stream.granule_at(begin)).next();
        packet.map_or(PART, |(_, packet)| part_for(packet.samples))
    }

    /// The times between which the packets of a part begin.
    pub fn part_times(&self, segment: u64, part: u64) -> Range<u64> {
        let begin = segment.saturating_mul(self.stream.segment);
        let end = begin.saturating_add(self.stream.segment);
        let length = self.part(segment);
        let at = |part: u64| begin.saturating_add(part.saturating_mul(length)).min(end);
        at(part)..at(part.saturating_add(1))
    }

    /// Whether no packet begins between two times, because the stream was standing still.
    pub fn is_silent(&self, times: Range<u64>) -> bool {
        let packet = self.packets.from(self.stream.granule_at(times.start)).next();
        packet.is_none_or(|(begins, _)| self.stream.time_of(begins) >= times.end)
    }

    /// Where the segment or part really begins whose boundary is at `time`: at the end of the last
    /// packet that begins before.
    pub fn begins(&self, time: u64) -> u64 {
        let first = self.packets.from(self.stream.granule_at(time)).next();
        // The packet before it ends there, unless a pause is between them.
        let before = first.map_or_else(|| self.packets.newest_granule(), |(begins, _)| begins);
        self.stream.time_of_end(before).max(time)
    }

    /// The packets that begin between two times.
    pub fn fragments(&self, times: Range<u64>) -> Vec<Fragment> {
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut next = None;
        for (begins, packet) in self.packets.from(self.stream.granule_at(times.start)) {
            let time = self.stream.time_of(begins);
            if time >= times.end {
                break;
            }
            let range = packet.start..packet.start + u64::from(packet.length);
            if next != Some(time) {
                fragments.push(Fragment { time, packets: Vec::new(), pieces: Vec::new() });
            }
            next = Some(time + u64::from(packet.samples));
            // There is one: the first packet has pushed it.
            let Some(fragment) = fragments.last_mut() else { continue };
            fragment.packets.push((packet.samples, packet.length));
            match fragment.pieces.last_mut() {
                Some(piece) if piece.end == range.start => piece.end = range.end,
                _ => fragment.pieces.push(range),
            }
        }
        fragments
    }
}

impl Fragment {
    /// Length of the packets, in bytes.
    pub fn length(&self) -> u64 {
        self.packets.iter().map(|&(_, length)| u64::from(length)).sum()
    }
}
