//! The streams whose pages a mount's ring may hold, each on a time line that is divided into
//! segments for HLS (RFC 8216).
//!
//! The time of a stream counts granules from its beginning: samples at 48 kHz for Opus. It is the
//! granule position, plus the pauses in which granule positions stood still (`gap = "pause"`).
//! Segment *n* of a stream has the packets that begin between *n* and *n* + 1 segment lengths.
//!
//! When the audio at a time of the stream was heard, in UTC, follows from [`Arrivals`] and from the
//! wall clock. This is the only place where that is decided.
//!
//! Segments are numbered without a gap over streams that follow each other at once, and otherwise by
//! the wall clock. So the numbers rise even if the server was restarted in between.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use ogg_splice::{Codec, Headers};

use super::arrivals::Arrivals;
use super::settings::{Gap, MountSettings};
use super::silences::Silences;
use crate::clock::Timestamp;
use crate::utc::Utc;
use crate::wall_clock::Steady;

/// How many streams are remembered. A source that begins a new one each second would fill the
/// memory otherwise.
pub const MAX_STREAMS: usize = 4;
/// How many pauses of a stream are remembered.
const MAX_PAUSES: usize = 64;
/// The first stream of a mount has a number below this. Another one each time, as far as possible, so
/// that a player sees after a restart of the server that the stream is another one. Small, because
/// hls.js makes an array of this length.
const FIRST_NUMBERS: u64 = 4096;
/// How the `User-Agent` of FFmpeg begins. Its Ogg muxer keeps each page until the next one is
/// complete (`libavformat/oggenc.c`, `ogg_write_pages`).
const LIBAVFORMAT: &str = "Lavf/";
/// Maximum memory of a mount's history, in bytes.
pub const STREAM_HISTORY_MEMORY: usize = MAX_STREAMS
    * (size_of::<StreamRecord>()
        + MAX_PAUSES * size_of::<Pause>()
        + super::silences::SILENCES_MEMORY
        + super::arrivals::ARRIVALS_MEMORY);
/// Samples in a second.
const RATE: u64 = 48_000;

/// The newest streams of a mount, the current one last.
#[derive(Debug, Default)]
pub struct StreamHistory {
    streams: VecDeque<StreamRecord>,
}

/// One stream of a mount.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    /// The codec and its parameters.
    pub codec: Codec,
    /// Number of the logical stream. It may be used again, but not at the same time.
    pub serial: u32,
    /// When it began.
    pub began: Timestamp,
    /// Ring position of its first page.
    pub start: u64,
    /// Where it ended; `None` while it continues.
    pub end: Option<StreamEnd>,
    /// Length of a segment, in samples.
    pub segment: u64,
    /// Whether granule positions stand still in a gap.
    pub stands_still: bool,
    /// The number that its first segment has among the segments of the mount
    /// (`EXT-X-MEDIA-SEQUENCE`).
    pub first_segment: u64,
    /// The number of the stream among those of the mount (`EXT-X-DISCONTINUITY-SEQUENCE`).
    pub number: u64,
    /// The oldest first.
    pauses: VecDeque<Pause>,
    silences: Silences,
    arrivals: Arrivals,
    /// Whether the source sends each page only when the next one is complete.
    holds_back: bool,
    /// Granule position at which the newest page ends; `None` before the first.
    newest: Option<u64>,
}

/// The end of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamEnd {
    /// Ring position after its last page.
    pub position: u64,
    /// Its duration, in units of the stream's time.
    pub time: u64,
    /// When it ended.
    pub at: Timestamp,
}

/// A time in which granule positions stood still.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// The granule position.
    granule: u64,
    /// All pauses up to the end of this one, in units of the stream's time.
    total: u64,
}

impl StreamHistory {
    /// Records that a stream begins at this ring position.
    pub(super) fn begin(&mut self, headers: &Headers, start: u64, settings: &MountSettings) {
        let began = Timestamp::now();
        let unix_time = began.wall.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let (codec, serial) = (headers.codec.clone(), headers.serial);
        let rate = codec.granules_per_second();
        let segment = samples(settings.hls.segment).max(1);
        let by_clock = samples(unix_time).checked_div(segment).unwrap_or(0);
        let last = self.streams.back();
        let (first_segment, number) = match last.map(|last| (last.next_segment(), last)) {
            Some((next, last)) if last.is_followed_at_once(&codec, began) => {
                (next, last.number.saturating_add(1))
            }
            Some((next, last)) => {
                let number = last.number.saturating_add(1);
                self.streams.clear();
                (by_clock.max(next), number)
            }
            None => (by_clock, unix_time.as_secs() % FIRST_NUMBERS),
        };
        if self.streams.len() >= MAX_STREAMS {
            self.streams.pop_front();
        }
        self.streams.push_back(StreamRecord {
            codec,
            serial,
            began,
            start,
            end: None,
            segment,
            stands_still: settings.gap != Gap::Silence,
            first_segment,
            number,
            pauses: VecDeque::new(),
            silences: Silences::default(),
            arrivals: Arrivals::new(rate),
            holds_back: false,
            newest: None,
        });
    }

    /// Records that the current stream ended before this ring position, at this granule position.
    pub fn end(&mut self, position: u64, granule: u64) {
        if let Some(stream) = self.streams.back_mut() {
            let time = stream.time_of_end(granule);
            stream.end = Some(StreamEnd { position, time, at: Timestamp::now() });
        }
    }

    /// Records that this program, by its `User-Agent`, is now the source of the current stream.
    pub fn source_is(&mut self, agent: Option<&str>) {
        if let Some(stream) = self.streams.back_mut() {
            stream.holds_back = agent.is_some_and(|agent| agent.starts_with(LIBAVFORMAT));
        }
    }

    /// Records that silence was published in place of a source's audio.
    pub fn silent(&mut self, silence: Range<u64>) {
        if let Some(stream) = self.streams.back_mut() {
            stream.silences.note(silence);
        }
    }

    /// Records that pages of silence were published, up to this granule position.
    pub fn filled(&mut self, granule: u64) {
        if let Some(stream) = self.streams.back_mut() {
            stream.newest = Some(granule);
        }
    }

    /// Records that a page of the source was published, up to this granule position. `page` is the
    /// duration of its pages.
    pub fn published(&mut self, granule: u64, arrived: Steady, page: Duration) {
        self.filled(granule);
        let Some(stream) = self.streams.back_mut() else { return };
        let held_back = if stream.holds_back { page } else { Duration::ZERO };
        let time = stream.time_of_end(granule);
        stream.arrivals.note(time, arrived.before(held_back));
    }

    /// Records that the current stream stood still for `time` at this granule position.
    pub fn pause(&mut self, granule: u64, time: Duration) {
        let Some(stream) = self.streams.back_mut() else { return };
        let before = stream.pauses.back().map_or(0, |pause| pause.total);
        if stream.pauses.len() >= MAX_PAUSES {
            stream.pauses.pop_front();
        }
        let total = before.saturating_add(stream.in_granules(time));
        stream.pauses.push_back(Pause { granule, total });
    }

    /// The streams that the ring may hold pages of, the current one last.
    pub fn streams(&self) -> impl DoubleEndedIterator<Item = &StreamRecord> {
        self.streams.iter()
    }
}

impl StreamRecord {
    /// The time at which a packet is heard that begins at this granule position.
    pub fn time_of(&self, granule: u64) -> u64 {
        let pause = self.pauses.iter().rev().find(|pause| pause.granule <= granule);
        granule.saturating_add(pause.map_or(0, |pause| pause.total))
    }

    /// The time at which the packet before this granule position ends.
    pub fn time_of_end(&self, granule: u64) -> u64 {
        let pause = self.pauses.iter().rev().find(|pause| pause.granule < granule);
        granule.saturating_add(pause.map_or(0, |pause| pause.total))
    }

    /// The granule position from which on packets are heard at this time or later.
    pub fn granule_at(&self, time: u64) -> u64 {
        let mut before = 0;
        for pause in &self.pauses {
            if time < pause.granule.saturating_add(pause.total) {
                return time.saturating_sub(before).min(pause.granule);
            }
            before = pause.total;
        }
        time.saturating_sub(before)
    }

    /// The granule position at which the newest page ends; `None` before the first page.
    pub fn newest_granule(&self) -> Option<u64> {
        self.newest
    }

    /// Where there is silence that no source has sent, within these granule positions.
    pub fn silences(&self, part: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.silences.within(part)
    }

    /// When the audio at this time of the stream was heard. `None` before the first page.
    pub fn utc_of(&self, time: u64) -> Option<Utc> {
        self.arrivals.moment_of(time).map(Steady::utc)
    }

    /// The time of the stream that was heard at `utc`: at most `end`, and 0 if the stream began later.
    pub fn time_at(&self, utc: Utc, end: u64) -> u64 {
        self.arrivals.time_at(Steady::at(utc), end)
    }

    /// A duration in units of the stream's time.
    pub fn in_granules(&self, time: Duration) -> u64 {
        let rate = u128::from(self.codec.granules_per_second());
        u64::try_from(time.as_nanos().saturating_mul(rate) / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// The time before which it is not known where packets belong: more pauses followed than are
    /// remembered.
    pub fn known_from(&self) -> u64 {
        let is_complete = self.pauses.len() < MAX_PAUSES;
        let oldest = self.pauses.front().filter(|_| !is_complete);
        oldest.map_or(0, |pause| pause.granule.saturating_add(pause.total))
    }

    /// The number of the segment after the last one, once the stream has ended.
    fn next_segment(&self) -> u64 {
        let segments = self.end.map_or(0, |end| end.time.div_ceil(self.segment.max(1)));
        self.first_segment.saturating_add(segments)
    }

    /// Whether a stream with this codec that begins now continues the numbering of segments.
    fn is_followed_at_once(&self, codec: &Codec, now: Timestamp) -> bool {
        let are_opus = matches!((&self.codec, codec), (Codec::Opus(_), Codec::Opus(_)));
        let pause = |end: StreamEnd| now.steady.saturating_duration_since(end.at.steady);
        are_opus && self.end.is_some_and(|end| samples(pause(end)) <= self.segment)
    }
}

/// A duration in samples.
pub fn samples(time: Duration) -> u64 {
    let samples = time.as_nanos().saturating_mul(u128::from(RATE)) / 1_000_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// The duration of so many samples.
pub fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(1000) / 48)
}

#[cfg(test)]
mod tests {
    use ogg_splice::{OpusHead, Tags};

    use super::*;
    use crate::config::{Config, Environment};

    fn opus(channels: u8) -> Codec {
        let (pre_skip, input_rate, gain, family) = (0, 0, 0, 0);
        Codec::Opus(OpusHead { channels, pre_skip, input_rate, gain, family, mapping: Vec::new() })
    }

    impl StreamHistory {
        /// Begins a stream with segments of 2 s, the default.
        fn begin_test(&mut self, codec: Codec, serial: u32, start: u64) {
            let text = "[auth]\nsource_password = \"x\"\nadmin_password = \"y\"";
            let config = Config::parse(text, &Environment::default()).unwrap();
            let (tags, pages, tags_left_out) = (Tags::default(), [].into(), 0);
            let headers = Headers { codec, tags, pages, tags_left_out, serial };
            self.begin(&headers, start, &config.door.rules.defaults);
        }
    }

    #[test]
    fn streams_that_follow_at_once_are_numbered_without_a_gap() {
        let mut history = StreamHistory::default();
        history.begin_test(opus(1), 7, 0);
        history.end(100, 5 * RATE);
        history.begin_test(opus(2), 8, 100);
        let numbers: Vec<_> =
            history.streams().map(|stream| (stream.first_segment, stream.number)).collect();
        assert_eq!(numbers[1], (numbers[0].0 + 3, numbers[0].1 + 1), "5 s are 3 segments");
        for serial in 9..20 {
            history.end(100, RATE);
            history.begin_test(opus(1), serial, 100);
        }
        assert_eq!(history.streams().count(), MAX_STREAMS);
    }

    #[test]
    fn a_stream_that_begins_later_is_numbered_by_the_clock() {
        let flac = Codec::Flac { rate: 48_000, channels: 1, more_headers: 0 };
        let mut history = StreamHistory::default();
        history.begin_test(opus(1), 7, 0);
        let first = history.streams[0].clone();
        assert!(first.first_segment > 800_000_000 && first.number < FIRST_NUMBERS);
        // An hour of audio in no time: the numbers must not go back to the clock's.
        history.end(100, 3_600 * RATE);
        history.begin_test(flac, 7, 100);
        history.begin_test(opus(1), 7, 100);
        let last = history.streams.back().unwrap();
        assert_eq!(history.streams.len(), 1);
        assert!(last.first_segment >= first.first_segment && last.number > first.number);
    }

    #[test]
    fn pauses_count_as_time() {
        let mut history = StreamHistory::default();
        history.begin_test(opus(1), 7, 0);
        history.pause(10 * RATE, Duration::from_secs(5));
        history.pause(12 * RATE, Duration::from_secs(1));
        let stream = &history.streams[0];
        for (granule, begins, ends) in
            [(9, 9, 9), (10, 15, 10), (11, 16, 16), (12, 18, 17), (13, 19, 19)]
        {
            assert_eq!(stream.time_of(granule * RATE), begins * RATE, "{granule}");
            assert_eq!(stream.time_of_end(granule * RATE), ends * RATE, "{granule}");
        }
        for (time, granule) in
            [(9, 9), (10, 10), (12, 10), (15, 10), (16, 11), (17, 12), (18, 12), (20, 14)]
        {
            assert_eq!(stream.granule_at(time * RATE), granule * RATE, "{time}");
        }
        assert_eq!(stream.known_from(), 0);
        for _ in 0..MAX_PAUSES {
            history.pause(20 * RATE, Duration::from_secs(1));
        }
        assert!(history.streams[0].known_from() > 20 * RATE);
    }
}
