//! The names of HLS files: below a mount's own path. No source may send to a mount with such a name.
//!
//! ```text
//! /mic.opus/index.m3u8                            the playlist; also /mic.opus.m3u8
//! /mic.opus/low-latency.m3u8                      the playlist for low latency
//! /mic.opus/5f3c9a10-19ac0b2e7d1-init.mp4         the beginning of a stream
//! /mic.opus/5f3c9a10-19ac0b2e7d1-42.m4s           a segment
//! /mic.opus/5f3c9a10-19ac0b2e7d1-42.3.m4s         a part of it
//! ```
//!
//! A stream is named by its serial and by when it began, because an encoder may use a serial again.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::http::encoded_path;
use crate::mount::{Name, StreamRecord};

const INDEX: &str = "index.m3u8";
const LOW_LATENCY: &str = "low-latency.m3u8";
const INIT: &str = "init.mp4";
const SEGMENT_SUFFIX: &str = ".m4s";

/// Which of a mount's playlists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistKind {
    /// Whole segments, for caches.
    Plain,
    /// Parts of segments too, for clients that connect directly.
    LowLatency,
}

/// What a stream is called in the names of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    serial: u32,
    /// When it began, in milliseconds since 1970.
    began: u64,
}

/// A file of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HlsFile {
    /// A playlist.
    Playlist(PlaylistKind),
    /// The media initialization section of a stream.
    Init(StreamId),
    /// A segment of a stream, by its number in the stream.
    Segment(StreamId, u64),
    /// A partial segment, by its number in the segment.
    Part(StreamId, u64, u64),
}

/// The path of an HLS file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HlsPath {
    /// The mount.
    pub mount: Name,
    /// The file.
    pub file: HlsFile,
    /// What the URIs in a playlist of this path begin with: they are relative to it.
    pub base: String,
}

impl HlsPath {
    /// Reads a path; `None` if it is not one of an HLS file.
    pub fn parse(path: &str) -> Option<Self> {
        let (mount, file, base) = match path.strip_suffix(".m3u8") {
            Some(mount)
                if !path.ends_with("/index.m3u8") && !path.ends_with("/low-latency.m3u8") =>
            {
                let last = mount.rsplit('/').next().unwrap_or_default();
                (mount, HlsFile::Playlist(PlaylistKind::Plain), format!("{}/", encoded_path(last)))
            }
            _ => {
                let (mount, file) = path.rsplit_once('/')?;
                (mount, HlsFile::parse(file)?, String::new())
            }
        };
        Some(Self { mount: Name::new(mount).ok()?, file, base })
    }
}

impl HlsFile {
    fn parse(name: &str) -> Option<Self> {
        match name {
            INDEX => return Some(Self::Playlist(PlaylistKind::Plain)),
            LOW_LATENCY => return Some(Self::Playlist(PlaylistKind::LowLatency)),
            _ => {}
        }
        let (serial, rest) = name.split_once('-')?;
        let (began, rest) = rest.split_once('-')?;
        let stream = StreamId {
            serial: u32::from_str_radix(serial, 16).ok()?,
            began: u64::from_str_radix(began, 16).ok()?,
        };
        let file = if rest == INIT {
            Self::Init(stream)
        } else {
            let numbers = rest.strip_suffix(SEGMENT_SUFFIX)?;
            match numbers.split_once('.') {
                Some((segment, part)) => {
                    Self::Part(stream, segment.parse().ok()?, part.parse().ok()?)
                }
                None => Self::Segment(stream, numbers.parse().ok()?),
            }
        };
        // One name for each file: no leading zeros, capitals or signs.
        (file.to_string() == name).then_some(file)
    }

    /// The stream that the file belongs to; `None` for a playlist.
    pub fn stream(self) -> Option<StreamId> {
        match self {
            Self::Playlist(_) => None,
            Self::Init(stream) | Self::Segment(stream, _) | Self::Part(stream, ..) => Some(stream),
        }
    }
}

impl StreamId {
    /// What this stream is called.
    pub fn of(stream: &StreamRecord) -> Self {
        let began = stream.began.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { serial: stream.serial, began: began.as_millis() as u64 }
    }

    /// When the stream began.
    pub fn began(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(std::time::Duration::from_millis(self.began))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.serial, self.began)
    }
}

impl fmt::Display for HlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playlist(PlaylistKind::Plain) => f.write_str(INDEX),
            Self::Playlist(PlaylistKind::LowLatency) => f.write_str(LOW_LATENCY),
            Self::Init(stream) => write!(f, "{stream}-{INIT}"),
            Self::Segment(stream, segment) => write!(f, "{stream}-{segment}{SEGMENT_SUFFIX}"),
            Self::Part(stream, segment, part) => {
                write!(f, "{stream}-{segment}.{part}{SEGMENT_SUFFIX}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let stream = StreamId { serial: 0x2a, began: 0x19a_c0b2_e7d1 };
        for file in [
            HlsFile::Playlist(PlaylistKind::Plain),
            HlsFile::Playlist(PlaylistKind::LowLatency),
            HlsFile::Init(stream),
            HlsFile::Segment(stream, 0),
            HlsFile::Part(stream, u64::MAX, 7),
        ] {
            let path = HlsPath::parse(&format!("/a/mic.opus/{file}")).unwrap();
            assert_eq!((path.mount.as_str(), path.file, &*path.base), ("/a/mic.opus", file, ""));
        }
        let beside = HlsPath::parse("/a/mic.opus.m3u8").unwrap();
        let plain = HlsFile::Playlist(PlaylistKind::Plain);
        assert_eq!(
            (beside.mount.as_str(), beside.file, &*beside.base),
            ("/a/mic.opus", plain, "mic.opus/")
        );
    }

    #[test]
    fn other_names_are_not_files() {
        for path in [
            "/mic.opus",
            "/mic.opus.m3u",
            "/index.m3u8",
            "/.m3u8/index.m3u8x",
            "/mic/../index.m3u8",
            "/mic/2a-1-init.mp4",
            "/mic/0000002a-1-init.mp5",
            "/mic/0000002a-1-.m4s",
            "/mic/0000002a-1-01.m4s",
            "/mic/0000002A-1-1.m4s",
            "/mic/0000002a-01-1.m4s",
            "/mic/0000002a-1-+1.m4s",
            "/mic/0000002a-1-1.2.3.m4s",
            "/mic/0000002a-1-18446744073709551616.m4s",
            "/admin/index.m3u8",
            "mic/index.m3u8",
        ] {
            assert_eq!(HlsPath::parse(path), None, "{path}");
        }
    }
}
