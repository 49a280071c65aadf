//! Media playlists (RFC 8216, section 4; for low latency draft-pantos-hls-rfc8216bis). Pure: from what is listed
//! to text.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use time::OffsetDateTime;
use time::macros::format_description;

use super::name::{HlsFile, PlaylistKind, StreamId};
use super::units::{PART, RATE};

/// How many parts beyond the end of a playlist a client may ask for: parts of three target durations.
const MOST_PARTS_AHEAD: u64 = 11;

/// What a playlist lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Playlist {
    /// Which playlist.
    pub kind: PlaylistKind,
    /// The end of the newest audio of the last stream, in samples.
    pub edge: u64,
    /// The streams, the oldest first. Each has at least one segment.
    pub streams: Vec<ListedStream>,
}

/// The listed segments of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedStream {
    /// The stream.
    pub id: StreamId,
    /// Length of a segment, in samples.
    pub segment: u64,
    /// The number of its first segment among all segments of the mount.
    pub first_segment: u64,
    /// The number of the stream among all streams of the mount.
    pub number: u64,
    /// Its segments. In a playlist for low latency, the last one may not be complete.
    pub segments: Vec<ListedSegment>,
}

/// A segment.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedSegment {
    /// Its number in the stream.
    pub number: u64,
    /// Its duration, in samples; `None` while it is not complete.
    pub duration: Option<u64>,
    /// When its first sample was heard, in milliseconds since 1970.
    pub date: i64,
    /// Whether it has no packets, because the stream was standing still.
    pub is_gap: bool,
    /// Duration of a part, in samples.
    pub part: u64,
    /// Its complete parts; empty if they are not listed.
    pub parts: Vec<ListedPart>,
}

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListedPart {
    /// Its duration, in samples.
    pub duration: u64,
    /// Whether it has no packets.
    pub is_gap: bool,
}

/// What a client waits for that requests a playlist with `_HLS_msn`, and with `_HLS_part`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// A segment, by its number among all segments of the mount.
    pub segment: u64,
    /// A part of it; `None` for the whole segment.
    pub part: Option<u64>,
}

/// A client waits for a segment that it cannot have been told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarAhead;

/// The longest duration of a segment, in whole seconds: `EXT-X-TARGETDURATION`. `segment` is in
/// samples.
pub fn target_duration(segment: u64) -> u64 {
    segment.div_ceil(RATE)
}

impl Playlist {
    /// The longest duration of its segments, in whole seconds.
    pub fn target_duration(&self) -> u64 {
        let longest = self.streams.iter().map(|stream| stream.segment).max();
        target_duration(longest.unwrap_or(RATE))
    }

    /// Writes the playlist. URIs begin with `base`, and end with `query`, which begins with a question
    /// mark if it is not empty.
    pub fn render(&self, base: &str, query: &str) -> String {
        let uri = |file: HlsFile| format!("{base}{file}{query}");
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut line = |arguments: std::fmt::Arguments<'_>| _ = writeln!(text, "{arguments}");
        let first = self.streams.first();
        let first_segment =
            first.and_then(|stream| Some((stream, stream.segments.first()?.number)));
        let media_sequence =
            first_segment.map_or(0, |(stream, number)| stream.first_segment + number);
        line(format_args!("#EXTM3U"));
        line(format_args!("#EXT-X-VERSION:6"));
        line(format_args!("#EXT-X-TARGETDURATION:{}", self.target_duration()));
        let hold_back = (3 * self.target_duration()) as f64;
        let part_target = self.part_target();
        let part_hold_back = 3.0 * seconds(part_target);
        let start = match self.kind {
            PlaylistKind::Plain => {
                line(format_args!("#EXT-X-SERVER-CONTROL:HOLD-BACK={hold_back:.3}"));
                hold_back
            }
            PlaylistKind::LowLatency => {
                line(format_args!(
                    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK={hold_back:.3},\
                     PART-HOLD-BACK={part_hold_back:.3}"
                ));
                line(format_args!("#EXT-X-PART-INF:PART-TARGET={:.3}", seconds(part_target)));
                part_hold_back
            }
        };
        line(format_args!("#EXT-X-START:TIME-OFFSET=-{start:.3}"));
        line(format_args!("#EXT-X-INDEPENDENT-SEGMENTS"));
        line(format_args!("#EXT-X-MEDIA-SEQUENCE:{media_sequence}"));
        let number = first.map_or(0, |stream| stream.number);
        line(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{number}"));
        for (index, stream) in self.streams.iter().enumerate() {
            if index > 0 {
                line(format_args!("#EXT-X-DISCONTINUITY"));
            }
            line(format_args!("#EXT-X-MAP:URI=\"{}\"", uri(HlsFile::Init(stream.id))));
            for segment in &stream.segments {
                line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", date(segment.date)));
                for (number, part) in segment.parts.iter().enumerate() {
                    let file = HlsFile::Part(stream.id, segment.number, number as u64);
                    let gap = if part.is_gap { ",GAP=YES" } else { "" };
                    line(format_args!(
                        "#EXT-X-PART:DURATION={:.6},URI=\"{}\",INDEPENDENT=YES{gap}",
                        seconds(part.duration),
                        uri(file)
                    ));
                }
                let Some(duration) = segment.duration else { continue };
                if segment.is_gap {
                    line(format_args!("#EXT-X-GAP"));
                }
                line(format_args!("#EXTINF:{:.6},", seconds(duration)));
                line(format_args!("{}", uri(HlsFile::Segment(stream.id, segment.number))));
            }
        }
        let next = self.next_part().filter(|_| self.kind == PlaylistKind::LowLatency);
        if let Some(file) = next {
            line(format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", uri(file)));
        }
        text
    }

    /// The longest duration of a part, in samples: a splice may put packets of two durations into one.
    /// A part of usual length has the 85 % of it that a part must have.
    fn part_target(&self) -> u64 {
        let segments = self.streams.iter().flat_map(|stream| &stream.segments);
        let longest = segments.filter(|it| !it.parts.is_empty()).map(|segment| segment.part).max();
        longest.unwrap_or(PART) * 7 / 6
    }

    /// How much more audio must come until the playlist has what is awaited, in samples; `None` if it
    /// has it.
    ///
    /// # Errors
    /// [`FarAhead`], if that is more than two segments after the last one, or more than eleven parts after
    /// the last one of its segment.
    pub fn missing(&self, awaited: Awaited) -> Result<Option<u64>, FarAhead> {
        let Some(stream) = self.streams.last() else { return Ok(Some(0)) };
        let Some(number) = awaited.segment.checked_sub(stream.first_segment) else {
            return Ok(None);
        };
        let complete = stream.segments.iter().rev().find(|segment| segment.duration.is_some());
        let complete = complete.map_or(0, |segment| segment.number + 1);
        if number > complete + 1 {
            return Err(FarAhead);
        }
        let listed = |number| stream.segments.iter().find(|segment| segment.number == number);
        let length = listed(number).map_or(PART, |segment| segment.part);
        let parts = stream.segment.div_ceil(length);
        let (number, part) = match awaited.part {
            Some(part) if part >= parts + MOST_PARTS_AHEAD => return Err(FarAhead),
            // As the draft requires (section 6.2.5.2).
            Some(part) if part >= parts => (number + 1, Some(0)),
            part => (number, part),
        };
        let has_part =
            |segment: &ListedSegment| part.is_some_and(|part| part < segment.parts.len() as u64);
        if number < complete || listed(number).is_some_and(has_part) {
            return Ok(None);
        }
        let begin = number * stream.segment;
        let end = begin + stream.segment;
        let until = part.map_or(end, |part| (begin + (part + 1) * length).min(end));
        Ok(Some(until.saturating_sub(self.edge)))
    }

    /// The part that follows those that are listed.
    fn next_part(&self) -> Option<HlsFile> {
        let stream = self.streams.last()?;
        let last = stream.segments.last()?;
        Some(match last.duration {
            None => HlsFile::Part(stream.id, last.number, last.parts.len() as u64),
            Some(_) => HlsFile::Part(stream.id, last.number + 1, 0),
        })
    }
}

/// A time in seconds.
fn seconds(samples: u64) -> f64 {
    samples as f64 / RATE as f64
}

/// A date as ISO 8601 requires it, with milliseconds.
fn date(unix_ms: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(unix_ms.max(0).unsigned_abs());
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(time).format(format).unwrap_or_default()
}
