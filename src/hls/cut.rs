//! Finds the packets of a segment in the ring.
//!
//! A segment has the packets that begin within it. So it begins with the first packet that begins at
//! its boundary or later, and is as long as the packets in it are: durations add up exactly.

use std::ops::Range;

use super::units::{PART, part_for};
use crate::mount::{Ring, RingPacket, StreamRecord};

/// The pages of one stream that the ring holds.
#[derive(Clone, Copy, Debug)]
pub struct StreamCut<'p> {
    ring: &'p Ring,
    stream: &'p StreamRecord,
    /// Numbers of the pages.
    first: u64,
    end: u64,
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

/// A packet and the granule position at which it begins.
type Placed = (u64, RingPacket);

impl<'p> StreamCut<'p> {
    /// The pages of `stream` in `ring`.
    pub fn new(ring: &'p Ring, stream: &'p StreamRecord) -> Self {
        let end = stream.end.map_or(u64::MAX, |end| end.position);
        let pages = ring.pages_between(stream.start, end);
        Self { ring, stream, first: pages.start, end: pages.end }
    }

    /// The stream.
    pub fn stream(&self) -> &'p StreamRecord {
        self.stream
    }

    /// The segments that can be listed. `paused` is for how long nothing has come from the source, in
    /// samples.
    pub fn index(&self, paused: u64) -> SegmentIndex {
        if self.first >= self.end {
            return SegmentIndex { complete: 0..0, edge: 0 };
        }
        let segment = self.stream.segment;
        let mut edge = self.stream.time_of_end(self.newest_granule());
        let complete = if let Some(end) = self.stream.end {
            // The last segment of a stream that has ended may be shorter.
            end.time.div_ceil(segment)
        } else {
            edge += if self.stream.stands_still { paused } else { 0 };
            edge / segment
        };
        let oldest = self.stream.time_of(self.beginning(self.first));
        let oldest = oldest.max(self.stream.known_from());
        let first = oldest.div_ceil(segment);
        SegmentIndex { complete: first..complete.max(first), edge }
    }

    /// The granule position of the newest page; 0 without one.
    pub fn newest_granule(&self) -> u64 {
        let last = self.end.checked_sub(1).filter(|&last| last >= self.first);
        last.map_or(0, |last| self.ring.page(last).granule())
    }

    /// Duration of the parts of a segment, in samples.
    pub fn part(&self, segment: u64) -> u64 {
        let begin = segment.saturating_mul(self.stream.segment);
        let (_, packet) = self.first_packet_from(self.stream.granule_at(begin));
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
        let (_, packet) = self.first_packet_from(self.stream.granule_at(times.start));
        packet.is_none_or(|(begins, _)| self.stream.time_of(begins) >= times.end)
    }

    /// Where the segment or part really begins whose boundary is at `time`: at the end of the last
    /// packet that begins before.
    pub fn begins(&self, time: u64) -> u64 {
        let granule = self.stream.granule_at(time);
        let (page, packet) = self.first_packet_from(granule);
        let before = match packet {
            // The packet before it ends there, unless a pause is between them.
            Some((begins, _)) => self.stream.time_of_end(begins),
            None if page > self.first => {
                self.stream.time_of_end(self.ring.page(page - 1).granule())
            }
            None => time,
        };
        before.max(time)
    }

    /// The packets that begin between two times.
    pub fn fragments(&self, times: Range<u64>) -> Vec<Fragment> {
        let mut fragments: Vec<Fragment> = Vec::new();
        let (page, first) = self.first_packet_from(self.stream.granule_at(times.start));
        let Some((first, _)) = first else { return fragments };
        let mut next = None;
        for (begins, packet) in (page..self.end).flat_map(|page| self.packets(page)) {
            let time = self.stream.time_of(begins);
            if begins < first {
                continue;
            }
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

    /// The first packet that begins at this granule position or later, and the page that has it.
    /// Without one, the page after the last.
    fn first_packet_from(&self, granule: u64) -> (u64, Option<Placed>) {
        // The first page that ends after it.
        let (mut low, mut high) = (self.first, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.ring.page(middle).granule() > granule {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        for page in low..self.end {
            let found = self.packets(page).find(|&(begins, _)| begins >= granule);
            if found.is_some() {
                return (page, found);
            }
        }
        (self.end, None)
    }

    /// The packets of a page that have a duration.
    fn packets(&self, page: u64) -> impl Iterator<Item = Placed> + use<'p> {
        let mut begins = self.beginning(page);
        let packets = self.ring.page(page).packets().filter(|packet| packet.samples > 0);
        packets.map(move |packet| {
            let at = begins;
            begins += u64::from(packet.samples);
            (at, packet)
        })
    }

    /// The granule position at which a page begins.
    fn beginning(&self, page: u64) -> u64 {
        let page = self.ring.page(page);
        let samples: u64 = page.packets().map(|packet| u64::from(packet.samples)).sum();
        page.granule().saturating_sub(samples)
    }
}

impl Fragment {
    /// Length of the packets, in bytes.
    pub fn length(&self) -> u64 {
        self.packets.iter().map(|&(_, length)| u64::from(length)).sum()
    }
}
