//! When the segments of a mount were heard, by the wall clock (`EXT-X-PROGRAM-DATE-TIME`).
//!
//! The relation between a stream's time and the wall clock is measured again and again, and each
//! measurement differs a little. But a segment keeps the date that was first told of it, and dates
//! follow from durations as long as the relation has not really changed. Pure.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::BTreeMap;
use std::ops::Range;

use super::name::StreamId;
use crate::mount::{MAX_STREAMS, Name};

/// A smaller change of the relation is not one, in milliseconds.
const TOLERANCE: u64 = 20;

/// The dates that were told, by mount.
#[derive(Debug, Default)]
pub struct SegmentDates(BTreeMap<Name, Vec<StreamDates>>);

/// The dates of one stream.
#[derive(Clone, Debug)]
pub struct StreamDates {
    stream: StreamId,
    /// Number of the first segment that has no date yet.
    next: u64,
    /// The wall-clock times of the stream's time 0, in milliseconds since 1970, each with the first
    /// segment that it applies to. The oldest first; never empty.
    origins: Vec<(u64, i64)>,
}

impl SegmentDates {
    /// Dates the segments of the streams of a mount that a playlist lists. For each stream: which segments are listed, and the present measurement of its origin. `exists` tells
    /// which mounts are still there.
    pub fn date(
        &mut self,
        mount: &Name,
        streams: &[(StreamId, Range<u64>, i64)],
        exists: impl Fn(&Name) -> bool,
    ) -> &[StreamDates] {
        if !self.0.contains_key(mount) {
            self.0.retain(|mount, _| exists(mount));
        }
        let known = self.0.entry(mount.clone()).or_default();
        // Streams that are not listed may be in another playlist of the mount.
        let (listed, mut others): (Vec<_>, Vec<_>) = std::mem::take(known)
            .into_iter()
            .partition(|dates| streams.iter().any(|(stream, ..)| *stream == dates.stream));
        let kept = MAX_STREAMS.saturating_sub(streams.len());
        others.drain(..others.len().saturating_sub(kept));
        let count = others.len();
        *known = others;
        known.extend(streams.iter().map(|(stream, segments, origin)| {
            let dates = listed.iter().find(|dates| dates.stream == *stream);
            // What nobody has asked for meanwhile is dated as if it had never been.
            let dates = dates.filter(|dates| dates.next >= segments.start);
            let new = || StreamDates { stream: *stream, next: 0, origins: Vec::new() };
            let mut dates = dates.cloned().unwrap_or_else(new);
            dates.extend(segments, *origin);
            dates
        }));
        &known[count..]
    }
}

impl StreamDates {
    fn extend(&mut self, segments: &Range<u64>, origin: i64) {
        let has_changed =
            self.origins.last().is_none_or(|(_, last)| last.abs_diff(origin) > TOLERANCE);
        if has_changed && segments.end > self.next {
            self.origins.push((self.next.max(segments.start), origin));
        }
        self.next = self.next.max(segments.end);
        // Keeps those that apply to a listed segment.
        let is_over =
            |pair: &[(u64, i64)]| pair.get(1).is_some_and(|(from, _)| *from <= segments.start);
        let over = self.origins.windows(2).take_while(|pair| is_over(pair)).count();
        self.origins.drain(..over);
    }

    /// The date of the audio at this time of the stream, in milliseconds since 1970, for a segment
    /// that was dated.
    pub fn of(&self, segment: u64, time: u64) -> i64 {
        let origin = self.origins.iter().rev().find(|(from, _)| *from <= segment);
        let origin = origin.or(self.origins.first()).map_or(0, |(_, origin)| *origin);
        origin.saturating_add_unsigned(time / 48)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::HlsPath;

    fn stream(began: u64) -> StreamId {
        let path = HlsPath::parse(&format!("/m/0000002a-{began:x}-init.mp4")).unwrap();
        path.file.stream().unwrap()
    }

    #[test]
    fn a_segment_keeps_its_date() {
        let (mut dates, mount) = (SegmentDates::default(), Name::new("/m").unwrap());
        let mut date = |segments: Range<u64>, origin: i64| -> Vec<i64> {
            let listed = [(stream(1), segments.clone(), origin)];
            let dates = dates.date(&mount, &listed, |_| true);
            segments.map(|segment| dates[0].of(segment, segment * 96_000)).collect()
        };
        assert_eq!(date(0..3, 10_000), [10_000, 12_000, 14_000]);
        assert_eq!(date(1..4, 10_015), [12_000, 14_000, 16_000], "jitter");
        assert_eq!(date(2..5, 10_500), [14_000, 16_000, 18_500], "a change");
        assert_eq!(date(2..5, 12_000), [14_000, 16_000, 18_500], "asked again");
        assert_eq!(date(4..7, 10_501), [18_500, 20_500, 22_500]);
        assert_eq!(date(20..22, 11_000), [51_000, 53_000], "after a long time");
    }

    #[test]
    fn a_playlist_without_a_stream_does_not_change_its_dates() {
        let (mut dates, mount) = (SegmentDates::default(), Name::new("/m").unwrap());
        dates.date(&mount, &[(stream(1), 0..1, 0)], |_| true);
        dates.date(&mount, &[], |_| true);
        assert_eq!(dates.date(&mount, &[(stream(1), 0..1, 15)], |_| true)[0].of(0, 0), 0);
        for began in 2..20 {
            dates.date(&mount, &[(stream(began), 0..1, 0)], |_| true);
        }
        assert_eq!(dates.0[&mount].len(), MAX_STREAMS);
    }

    #[test]
    fn mounts_that_are_gone_are_forgotten() {
        let mut dates = SegmentDates::default();
        for number in 0..10 {
            let mount = Name::new(&format!("/{number}")).unwrap();
            let both = [(stream(1), 0..2, 0), (stream(2), 0..1, 5_000)];
            let listed = dates.date(&mount, &both, |mount| mount.as_str() == "/0");
            assert_eq!((listed.len(), listed[1].of(0, 0)), (2, 5_000));
        }
        assert_eq!(dates.0.len(), 2, "{dates:?}");
    }
}
