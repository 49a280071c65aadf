//! What is known of a mount's stream and its source, for status, events and response headers.

use std::net::IpAddr;

use ogg_splice::{Codec, Tags};

use crate::clock::Timestamp;

/// Whether the source of a stream sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It sends.
    Live,
    /// It has sent nothing for longer than the gap threshold, or is away.
    Gap,
}

/// The stream of a mount, from the end of its headers until it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    /// The format of the audio.
    pub codec: Codec,
    /// Title and artist, as the stream or an administrator gave them.
    pub tags: Tags,
    /// Bytes of its tags that are not passed on to listeners.
    pub tags_left_out: u64,
    /// Where it comes from.
    pub source: SourceInfo,
    /// Whether the source sends.
    pub state: SourceState,
    /// When that changed last.
    pub state_since: Timestamp,
}

/// A source of a mount.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceInfo {
    /// What its request said of the mount.
    pub description: Description,
    /// When it connected.
    pub connected: Timestamp,
    /// The value of `MountCounters::bytes_in` then.
    pub bytes_before: u64,
}

/// What a source says of its mount in its request head: the `Ice-*` fields and what identifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// `Ice-Name`.
    pub name: Option<String>,
    /// `Ice-Description`.
    pub description: Option<String>,
    /// `Ice-Genre`.
    pub genre: Option<String>,
    /// `Ice-Url`.
    pub url: Option<String>,
    /// `Ice-Bitrate`, in kbit/s.
    pub bitrate: Option<u32>,
    /// `Ice-Public`.
    pub public: bool,
    /// `Ice-Audio-Info`.
    pub audio_info: Option<String>,
    /// `User-Agent`.
    pub agent: Option<String>,
    /// Where the source is.
    pub address: Option<IpAddr>,
}
