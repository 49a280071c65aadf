//! What a player of HLS requests, and when: as hls.js does. Pure: from a playlist to the files that
//! the player fetches next, and to the time of its next look at the playlist.
//!
//! `tests/whole/hls_clients.rs` tests it, and `tests/whole/scale.rs` uses it too.

use std::time::{Duration, Instant};

/// How many segments before the newest a player begins. hls.js calls it `liveSyncDurationCount`.
const SEGMENTS_BEHIND: usize = 3;

/// The parts of a media playlist that a player needs.
#[derive(Debug, Default)]
pub(crate) struct MediaPlaylist {
    target: Duration,
    /// Number of the first segment.
    first: u64,
    segments: Vec<MediaSegment>,
}

#[derive(Debug, Default)]
struct MediaSegment {
    map: String,
    /// `None` while the segment is not complete.
    file: Option<MediaFile>,
    parts: Vec<MediaFile>,
}

/// A file that a player fetches.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MediaFile {
    /// Relative to the playlist.
    pub(crate) uri: String,
    /// Zero for a media initialization section.
    pub(crate) duration: Duration,
    /// There is nothing to fetch.
    is_gap: bool,
}

/// A player of one mount.
#[derive(Debug, Default)]
pub(crate) struct HlsPlayer {
    is_low_latency: bool,
    /// The next segment, and the next part of it.
    next: Option<(u64, usize)>,
    map: String,
    /// Segments or parts that had left the playlist before the player saw them.
    pub(crate) lost: u64,
}

/// What a player does after it has read a playlist.
#[derive(Debug, PartialEq)]
pub(crate) struct NextStep {
    /// Fetches these.
    pub(crate) files: Vec<MediaFile>,
    /// Requests the playlist again, so long after it requested this one.
    pub(crate) reload_after: Duration,
}

/// When audio has to be there, for a player that began with its first file.
#[derive(Debug, Default)]
pub(crate) struct Playback {
    /// When the audio ends that has arrived.
    runs_out: Option<Instant>,
    /// How often it had ended before more arrived.
    pub(crate) late: u64,
}

impl MediaPlaylist {
    /// Reads a playlist.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some("#EXTM3U") {
            return Err(format!("not a playlist: {text}"));
        }
        let (mut playlist, mut map) = (Self::default(), String::new());
        let (mut parts, mut file) = (Vec::new(), MediaFile::default());
        for line in lines {
            let wrong = || format!("a line of a playlist: {line}");
            if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
                playlist.target = Duration::from_secs(value.parse().map_err(|_| wrong())?);
            } else if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                playlist.first = value.parse().map_err(|_| wrong())?;
            } else if let Some(list) = line.strip_prefix("#EXT-X-MAP:") {
                attribute(list, "URI").ok_or_else(wrong)?.clone_into(&mut map);
            } else if let Some(list) = line.strip_prefix("#EXT-X-PART:") {
                let duration = attribute(list, "DURATION").and_then(seconds);
                parts.push(MediaFile {
                    uri: attribute(list, "URI").ok_or_else(wrong)?.to_owned(),
                    duration: duration.ok_or_else(wrong)?,
                    is_gap: attribute(list, "GAP") == Some("YES"),
                });
            } else if let Some(value) = line.strip_prefix("#EXTINF:") {
                let value = value.split(',').next().unwrap_or_default();
                file.duration = seconds(value).ok_or_else(wrong)?;
            } else if line == "#EXT-X-GAP" {
                file.is_gap = true;
            } else if !line.starts_with('#') && !line.is_empty() {
                line.clone_into(&mut file.uri);
                let file = Some(std::mem::take(&mut file));
                let parts = std::mem::take(&mut parts);
                playlist.segments.push(MediaSegment { map: map.clone(), file, parts });
            }
        }
        if !parts.is_empty() {
            playlist.segments.push(MediaSegment { map, file: None, parts });
        }
        if playlist.segments.is_empty() || playlist.target.is_zero() {
            return Err(format!("nothing to play in {text}"));
        }
        Ok(playlist)
    }
}

/// The value of an attribute, without quotes.
fn attribute<'l>(list: &'l str, name: &str) -> Option<&'l str> {
    // None of the values has a comma in it.
    let found = list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.map(|value| value.trim_matches('"'))
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

impl HlsPlayer {
    /// A player of whole segments, or of parts.
    pub(crate) fn new(is_low_latency: bool) -> Self {
        Self { is_low_latency, ..Self::default() }
    }

    /// The playlist that the player requests next, relative to the mount.
    pub(crate) fn playlist(&self) -> String {
        match self.next {
            _ if !self.is_low_latency => "index.m3u8".to_owned(),
            None => "low-latency.m3u8".to_owned(),
            Some((segment, part)) => {
                format!("low-latency.m3u8?_HLS_msn={segment}&_HLS_part={part}")
            }
        }
    }

    /// The segment that the player fetches next.
    pub(crate) fn next_segment(&self) -> u64 {
        self.next.map_or(0, |(segment, _)| segment)
    }

    /// Takes what is new in a playlist.
    pub(crate) fn read(&mut self, playlist: &MediaPlaylist) -> NextStep {
        let end = playlist.first + playlist.segments.len() as u64;
        let behind = if self.is_low_latency { 1 } else { SEGMENTS_BEHIND };
        let (mut next, mut part) =
            self.next.unwrap_or((end.saturating_sub(behind as u64).max(playlist.first), 0));
        if next < playlist.first {
            self.lost += playlist.first - next;
            (next, part) = (playlist.first, 0);
        }
        let mut files = Vec::new();
        for segment in playlist.segments.iter().skip((next - playlist.first) as usize) {
            let map = MediaFile { uri: segment.map.clone(), ..MediaFile::default() };
            let had = files.len();
            if self.is_low_latency && !segment.parts.is_empty() {
                files.extend(segment.parts.iter().skip(part).cloned());
                part = part.max(segment.parts.len());
            } else if part > 0 {
                // The rest of a segment whose parts are not listed any more.
                self.lost += 1;
            } else {
                files.extend(segment.file.clone());
            }
            files.retain(|file| !file.is_gap);
            if files.len() > had && self.map != segment.map {
                files.insert(had, map);
                self.map.clone_from(&segment.map);
            }
            if segment.file.is_some() {
                (next, part) = (next + 1, 0);
            }
        }
        let is_new = self.next != Some((next, part));
        self.next = Some((next, part));
        let reload_after = match (self.is_low_latency, is_new) {
            // The server answers when there is more.
            (true, _) => Duration::ZERO,
            (false, true) => playlist.target,
            // RFC 8216, section 6.3.4.
            (false, false) => playlist.target / 2,
        };
        NextStep { files, reload_after }
    }
}

impl Playback {
    /// Audio of this duration has arrived.
    pub(crate) fn add(&mut self, duration: Duration, now: Instant) {
        let had = self.runs_out.unwrap_or(now);
        self.late += u64::from(had < now);
        self.runs_out = Some(had.max(now) + duration);
    }
}
