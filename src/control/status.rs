//! `status-json.xsl` as Icecast 2.4 shapes it.
//!
//! Same keys, same types, with its two slips left out: text stays text whatever it looks
//! like, and what cannot be JSON never gets in. Readers take the mount from `listenurl`. Beyond
//! Icecast's keys there are those that say whether a source is heard and what was done about it.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::render::{dates, measured_bitrate, seconds, state, url_path};
use super::settings::ControlSettings;
use crate::http::SERVER;
use crate::mount::{MountEntry, StreamInfo};

/// The server, as it describes itself.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    /// In its configuration's words.
    pub about: Arc<ControlSettings>,
    /// Where it is reached, for this request: scheme, host, port and prefix.
    pub base: String,
    /// Since when it runs.
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

/// One is an object, more are an array.
#[derive(Serialize)]
#[serde(untagged)]
enum SourceList<'a> {
    One(Box<SourceStats<'a>>),
    More(Vec<SourceStats<'a>>),
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

/// Renders the document for the mounts that can be heard, in their order.
///
/// # Panics
/// Never: no value in it can fail to become JSON.
pub(crate) fn render(station: &Station, mounts: &[(Arc<MountEntry>, Arc<StreamInfo>)]) -> String {
    let mut sources: Vec<_> =
        mounts.iter().map(|(entry, stream)| SourceStats::of(station, entry, stream)).collect();
    let source = match sources.len() {
        0 => None,
        1 => sources.pop().map(|source| SourceList::One(Box::new(source))),
        _ => Some(SourceList::More(sources)),
    };
    let (server_start, server_start_iso8601) = dates(station.since);
    let document = Document {
        icestats: Icestats {
            admin: &station.about.admin,
            host: &station.about.hostname,
            location: &station.about.location,
            server_id: SERVER,
            server_start,
            server_start_iso8601,
            source,
            dummy: (),
        },
    };
    serde_json::to_string(&document).expect("plain strings and numbers")
}

impl<'a> SourceStats<'a> {
    fn of(station: &Station, entry: &MountEntry, stream: &'a StreamInfo) -> Self {
        let about = &stream.source.description;
        let (stream_start, stream_start_iso8601) = dates(stream.source.connected.wall);
        // What Icecast writes where a source says nothing.
        let or = |text: &'a Option<String>, default| text.as_deref().unwrap_or(default);
        Self {
            artist: stream.tags.artist.as_deref(),
            audio_info: about.audio_info.as_deref(),
            bitrate: about
                .bitrate
                .map_or_else(|| measured_bitrate(entry, stream) / 1000, u64::from),
            channels: stream.codec.channels(),
            genre: or(&about.genre, "various"),
            listener_peak: entry.listeners.peak(),
            listeners: entry.listeners.taken(),
            late_dropped_seconds: seconds(&entry.counters.late),
            listenurl: listen_url(station, entry.name.as_str()),
            server_description: or(&about.description, "Unspecified description"),
            server_name: or(&about.name, "Unspecified name"),
            server_type: "audio/ogg",
            server_url: about.url.as_deref(),
            silence_inserted_seconds: seconds(&entry.counters.silence),
            state: state(stream.state),
            state_since_iso8601: dates(stream.state_since.wall).1,
            stream_start,
            stream_start_iso8601,
            subtype: stream.codec.name(),
            title: stream.tags.title.as_deref(),
            dummy: (),
        }
    }
}

/// Where a mount is heard.
pub(crate) fn listen_url(station: &Station, mount: &str) -> String {
    format!("{}{}", station.base, url_path(mount))
}
