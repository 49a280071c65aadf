//! `status-json.xsl` in the format of Icecast 2.4.
//!
//! Keys and types are Icecast's, without two of its defects: a text that looks like a number stays
//! a string, and the document is always valid JSON. Client programs take the name of a mount from
//! `listenurl`. In addition to Icecast's keys, `state`, `state_since_iso8601`,
//! `silence_inserted_seconds` and `late_dropped_seconds` describe gaps.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::render::{icecast_dates, measured_bitrate, seconds, state_name};
use super::settings::ControlSettings;
use crate::http::SERVER;
use crate::http::encoded_path;
use crate::mount::{Description, MountEntry, StreamInfo};

/// The description of the server in Icecast's documents.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    /// The configured description.
    pub settings: Arc<ControlSettings>,
    /// Base of listen URLs for this request: scheme, host, port and prefix.
    pub base_url: String,
    /// When the server started.
    pub since: SystemTime,
}

#[derive(Serialize)]
struct Document<'a> {
    icestats: Icestats<'a>,
}

#[derive(Serialize)]
struct Icestats<'a> {
    admin: &'a str,
    host: &'a str,
    location: &'a str,
    server_id: &'static str,
    server_start: String,
    server_start_iso8601: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceList<'a>>,
    dummy: (),
}

/// As in Icecast, a single source is an object, and several are an array.
#[derive(Serialize)]
#[serde(untagged)]
enum SourceList<'a> {
    One(Box<SourceStats<'a>>),
    Several(Vec<SourceStats<'a>>),
}

#[derive(Serialize)]
struct SourceStats<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    artist: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_info: Option<&'a str>,
    bitrate: u64,
    channels: u8,
    genre: &'a str,
    listener_peak: usize,
    listeners: usize,
    late_dropped_seconds: f64,
    listenurl: String,
    server_description: &'a str,
    server_name: &'a str,
    server_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_url: Option<&'a str>,
    silence_inserted_seconds: f64,
    state: &'static str,
    state_since_iso8601: String,
    stream_start: String,
    stream_start_iso8601: String,
    subtype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    dummy: (),
}

/// Renders the document for these mounts, in their order.
///
/// # Panics
/// If serialization fails, which does not happen for structs of strings and numbers.
pub(crate) fn render(station: &Station, mounts: &[(Arc<MountEntry>, Arc<StreamInfo>)]) -> String {
    let described: Vec<_> =
        mounts.iter().map(|(entry, stream)| entry.description(stream)).collect();
    let mut sources: Vec<_> = std::iter::zip(mounts, &described)
        .map(|((entry, stream), described)| SourceStats::of(station, entry, stream, described))
        .collect();
    let source = match sources.len() {
        0 => None,
        1 => sources.pop().map(|source| SourceList::One(Box::new(source))),
        _ => Some(SourceList::Several(sources)),
    };
    let (server_start, server_start_iso8601) = icecast_dates(station.since);
    let document = Document {
        icestats: Icestats {
            admin: &station.settings.admin,
            host: &station.settings.hostname,
            location: &station.settings.location,
            server_id: SERVER,
            server_start,
            server_start_iso8601,
            source,
            dummy: (),
        },
    };
    serde_json::to_string(&document).expect("structs of strings and numbers serialize")
}

impl<'a> SourceStats<'a> {
    fn of(
        station: &Station,
        entry: &MountEntry,
        stream: &'a StreamInfo,
        source: &'a Description,
    ) -> Self {
        let (stream_start, stream_start_iso8601) = icecast_dates(stream.source.connected.wall);
        // The defaults are Icecast's.
        let or = |text: &'a Option<String>, default| text.as_deref().unwrap_or(default);
        Self {
            artist: stream.tags.artist.as_deref(),
            audio_info: source.audio_info.as_deref(),
            bitrate: source
                .bitrate
                .map_or_else(|| measured_bitrate(entry, stream) / 1000, u64::from),
            channels: stream.codec.channels(),
            genre: or(&source.genre, "various"),
            listener_peak: entry.listeners.peak(),
            listeners: entry.listeners.taken(),
            late_dropped_seconds: seconds(&entry.counters.late),
            listenurl: listen_url(station, entry.name.as_str()),
            server_description: or(&source.description, "Unspecified description"),
            server_name: or(&source.name, "Unspecified name"),
            server_type: "audio/ogg",
            server_url: source.url.as_deref(),
            silence_inserted_seconds: seconds(&entry.counters.silence),
            state: state_name(stream.state),
            state_since_iso8601: icecast_dates(stream.state_since.wall).1,
            stream_start,
            stream_start_iso8601,
            subtype: stream.codec.name(),
            title: stream.tags.title.as_deref(),
            dummy: (),
        }
    }
}

/// The URL at which a mount's stream is served.
pub(crate) fn listen_url(station: &Station, mount: &str) -> String {
    format!("{}{}", station.base_url, encoded_path(mount))
}
