//! What status, events and response heads show of a mount's stream and its source.

use std::net::IpAddr;

use ogg_splice::{Codec, Tags};

use crate::clock::Timestamp;

/// Whether the source of a stream is sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// The source is sending.
    Live,
    /// Nothing has come from a source for longer than the gap threshold.
    Gap,
}

/// The stream of a mount, from the end of its headers until it ends.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    /// The codec and its parameters.
    pub codec: Codec,
    /// Title and artist, from the stream's headers or set by an administrator.
    pub tags: Tags,
    /// Bytes of the stream's tags that are not passed on to listeners.
    pub tags_left_out: u64,
    /// The source that began or continued the stream last.
    pub source: SourceInfo,
    /// Whether the source is sending.
    pub state: SourceState,
    /// When `state` last changed.
    pub state_since: Timestamp,
}

/// A source of a mount.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceInfo {
    /// What its request head said about the mount.
    pub description: Description,
    /// When it connected.
    pub connected: Timestamp,
    /// The value of `MountCounters::bytes_in` when it connected.
    pub bytes_before: u64,
}

/// What a source's request head says about the mount, and the source's own identity.
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
    /// Address of the encoder, also behind a trusted proxy.
    pub address: Option<IpAddr>,
    /// The URL of the stream at the server from which it is pulled; `None` for one that was sent here.
    pub relayed_from: Option<String>,
    /// The servers that it has come through, by their names in `Via`.
    pub via: Vec<String>,
}
