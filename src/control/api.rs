//! `/api/v1`: mounts and listeners as JSON.
//!
//! `openapi.json` describes it. Tests compare that description with the route table and with the
//! responses of a running server.

use std::sync::Arc;
use std::time::Instant;

use super::render::{from_unix, measured_bitrate, rfc3339, round, seconds, state_name};
use crate::clip::held;
use crate::mount::{Demand, MountEntry, MountTable, Name, OffMount, StreamInfo};
use crate::peers::{PeerDirectory, PeerStatus};
use crate::utc::Utc;
use ogg_splice::Codec;
use serde::Serialize;

/// The `OpenAPI` document.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// A mount that has a stream; the schema `Mount`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct MountStatus {
    name: String,
    title: Option<String>,
    artist: Option<String>,
    /// Size of the tags that were removed from the headers, such as a cover picture.
    tags_left_out_bytes: u64,
    station_name: Option<String>,
    description: Option<String>,
    genre: Option<String>,
    url: Option<String>,
    state: &'static str,
    state_since: String,
    stream_start: String,
    relayed_from: Option<String>,
    codec: &'static str,
    channels: u8,
    /// Sample rate of the decoder's output, in Hz.
    sample_rate: u32,
    /// Sample rate of the encoder's input in Hz, if the Opus header states it.
    source_rate: Option<u32>,
    /// Measured bitrate of the source, in bit/s.
    bitrate: u64,
    page_ms: Option<f64>,
    seconds_since_page: Option<f64>,
    ring_seconds: Option<f64>,
    access: &'static str,
    /// Path of the HLS playlist, without the path prefix; `None` if the mount has none.
    hls: Option<String>,
    /// Path of the WHEP endpoint, without the path prefix; `None` if the mount has none.
    webrtc: Option<String>,
    listeners: usize,
    listener_peak: usize,
    hls_listeners: usize,
    webrtc_listeners: usize,
    max_listeners: Option<usize>,
    slowest_lag_seconds: Option<f64>,
    gaps: u64,
    splices: u64,
    skips: u64,
    silence_inserted_seconds: f64,
    late_dropped_seconds: f64,
    pages_in: u64,
    bytes_in: u64,
    bytes_out: u64,
    pub(super) clock: Option<StreamClock>,
}

/// Position of a stream at a point in time; the schema `Clock`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct StreamClock {
    /// End of the newest page, as a granule position of the stream that listeners receive.
    pub(super) granule: u64,
    /// When its end was heard: Unix time in milliseconds, by the server's clock.
    pub(super) unix_ms: u64,
    /// By how much granule positions advance in a second.
    pub(super) granules_per_second: u32,
}

/// How the granule positions of a mount relate to UTC; the schema `MountClock`.
#[derive(Debug, Serialize)]
pub(super) struct MountClockStatus<'a> {
    name: &'a str,
    #[serde(flatten)]
    clock: StreamClock,
    /// The same time as `unix_ms`.
    utc: Utc,
    /// Number of the logical stream that the granule position is of.
    serial: u32,
    /// From when until when there can be clips.
    held: Option<HeldStatus>,
}

/// A span of audio in memory.
#[derive(Debug, Serialize)]
struct HeldStatus {
    from: Utc,
    to: Utc,
}

impl<'a> MountClockStatus<'a> {
    /// The clock of a mount; `None` before its first page.
    pub(super) fn of(entry: &'a MountEntry) -> Option<Self> {
        let clock = StreamClock::of(entry)?;
        let mount = entry.mount()?;
        let pages = mount.pages();
        let stream = pages.history.streams().next_back()?;
        let utc = stream.utc_of(stream.time_of_end(clock.granule))?;
        let held = held(&pages).map(|(from, to)| HeldStatus { from, to });
        Some(Self { name: entry.name.as_str(), clock, utc, serial: stream.serial, held })
    }
}

/// A listener; the schema `Listener`.
#[derive(Debug, Serialize)]
struct ListenerStatus<'a> {
    id: u64,
    mount: &'a str,
    address: String,
    agent: &'a str,
    seconds: u64,
    /// How it listens.
    protocol: &'static str,
    /// `None` unless it listens to the stream itself, or if the bitrate is not known.
    seconds_behind: Option<f64>,
    /// `None` unless it listens to the stream itself.
    skips: Option<u64>,
    /// When the link that it came by expires.
    link_expires: Option<String>,
}

/// The response of `/api/v1/mounts`.
#[derive(Debug, Serialize)]
pub(super) struct MountList {
    /// What the station is called.
    pub(super) station: Option<String>,
    /// Sorted by name.
    pub(super) mounts: Vec<MountStatus>,
    /// Mounts without a stream that are named in the configuration or were live before.
    pub(super) off: Vec<OffStatus>,
}

/// A mount without a stream; the schema `OffMount`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct OffStatus {
    name: String,
    station_name: Option<String>,
    description: Option<String>,
    state: &'static str,
    state_since: String,
    expected: bool,
}

/// Whether a mount is wanted; the schema `Demand`.
#[derive(Debug, Serialize)]
pub(super) struct DemandStatus<'a> {
    name: &'a str,
    wanted: bool,
    listeners: usize,
}

impl<'a> DemandStatus<'a> {
    /// The demand for a mount.
    pub(super) fn of(name: &'a Name, demand: Demand) -> Self {
        Self { name: name.as_str(), wanted: demand.is_wanted(), listeners: demand.listeners }
    }
}

/// The response of `/api/v1/peers`.
#[derive(Debug, Serialize)]
pub(super) struct PeerList {
    peers: Vec<PeerEntryStatus>,
}

/// A mount that is pulled or pushed; the schema `Peer`.
#[derive(Debug, Serialize)]
struct PeerEntryStatus {
    kind: &'static str,
    server: String,
    remote: Option<String>,
    mount: Option<String>,
    state: &'static str,
    reason: Option<String>,
    since: String,
    connections: u64,
}

impl PeerList {
    /// All mounts that are pulled or pushed.
    pub(super) fn of(directory: &PeerDirectory) -> Self {
        let entry = |peer: PeerStatus| PeerEntryStatus {
            kind: peer.kind.name(),
            server: peer.server,
            remote: peer.remote.map(|name| name.to_string()),
            mount: peer.local.map(|name| name.to_string()),
            state: peer.state.name(),
            reason: peer.reason,
            since: rfc3339(peer.since.wall),
            connections: peer.connections,
        };
        Self { peers: directory.all().into_iter().map(entry).collect() }
    }
}

impl MountList {
    /// All mounts; without those that are hidden unless `has_hidden`.
    pub(super) fn of(station: Option<&str>, table: &MountTable, has_hidden: bool) -> Self {
        let (mounts, off) = if has_hidden {
            (table.streams(), table.off())
        } else {
            (table.public_streams(), table.public_off())
        };
        Self {
            station: station.map(ToOwned::to_owned),
            mounts: mounts.iter().map(|(entry, stream)| MountStatus::of(entry, stream)).collect(),
            off: off.iter().map(OffStatus::of).collect(),
        }
    }
}

impl OffStatus {
    /// What is known of a mount without a stream.
    pub(super) fn of(mount: &OffMount) -> Self {
        Self {
            name: mount.name.to_string(),
            station_name: mount.settings.title.clone(),
            description: mount.settings.description.clone(),
            state: if mount.is_idle { "idle" } else { "off" },
            state_since: rfc3339(mount.since.wall),
            expected: mount.settings.expected,
        }
    }
}

impl MountStatus {
    /// The present state of a mount.
    pub(super) fn of(entry: &Arc<MountEntry>, stream: &StreamInfo) -> Self {
        let now = Instant::now();
        let (source, counters, gauges) =
            (entry.description(stream), &entry.counters, &entry.gauges);
        let settings = entry.settings();
        let bitrate = measured_bitrate(entry, stream);
        let has_hls = settings.hls.is_on && matches!(stream.codec, Codec::Opus(_));
        let source_rate = match &stream.codec {
            Codec::Opus(head) => (head.input_rate > 0).then_some(head.input_rate),
            Codec::Flac { .. } | Codec::Vorbis { .. } => None,
        };
        Self {
            name: entry.name.to_string(),
            title: stream.tags.title.clone(),
            artist: stream.tags.artist.clone(),
            tags_left_out_bytes: stream.tags_left_out,
            station_name: source.name,
            description: source.description,
            genre: source.genre,
            url: source.url,
            state: state_name(stream.state),
            state_since: rfc3339(stream.state_since.wall),
            stream_start: rfc3339(stream.source.connected.wall),
            relayed_from: source.relayed_from,
            codec: stream.codec.name(),
            channels: stream.codec.channels(),
            sample_rate: stream.codec.granules_per_second(),
            source_rate,
            bitrate,
            page_ms: gauges.page_duration().map(|page| round(page.as_secs_f64() * 1000.0)),
            seconds_since_page: gauges.since_last_page(now).map(|time| round(time.as_secs_f64())),
            ring_seconds: seconds_of(settings.ring as u64, bitrate),
            access: settings.access.mode.name(),
            hls: has_hls.then(|| format!("{}/index.m3u8", entry.name)),
            webrtc: entry.has_webrtc(&stream.codec).then(|| format!("{}/whep", entry.name)),
            listeners: entry.listeners.taken(),
            listener_peak: entry.listeners.peak(),
            hls_listeners: entry.hls_listeners.taken(),
            webrtc_listeners: entry.webrtc_listeners.taken(),
            max_listeners: (settings.max_listeners > 0).then_some(settings.max_listeners),
            slowest_lag_seconds: seconds_of(gauges.lag(), bitrate),
            gaps: counters.gaps.get(),
            splices: counters.splices.get(),
            skips: counters.skips.get(),
            silence_inserted_seconds: seconds(&counters.silence),
            late_dropped_seconds: seconds(&counters.late),
            pages_in: counters.pages_in.get(),
            bytes_in: counters.bytes_in.get(),
            bytes_out: counters.bytes_out.get(),
            clock: StreamClock::of(entry),
        }
    }
}

impl StreamClock {
    /// The newest position of a mount's stream; `None` before its first page.
    pub(super) fn of(entry: &MountEntry) -> Option<Self> {
        let mount = entry.mount()?;
        let pages = mount.pages();
        let stream = pages.history.streams().next_back().filter(|stream| stream.end.is_none())?;
        let granule = stream.newest_granule()?;
        let heard = stream.utc_of(stream.time_of_end(granule))?;
        let granules_per_second = stream.codec.granules_per_second();
        Some(Self { granule, unix_ms: heard.unix_ms(), granules_per_second })
    }
}

/// Converts bytes to seconds of audio at this bitrate; `None` if the bitrate is 0.
fn seconds_of(bytes: u64, bitrate: u64) -> Option<f64> {
    (bitrate > 0).then(|| round(bytes as f64 * 8.0 / bitrate as f64))
}

/// The response of `/api/v1/listeners`, generated in pieces: all listeners by mount, oldest first.
pub(super) fn listeners(table: &MountTable) -> impl Iterator<Item = String> + use<> {
    // Holds only the directories: a slow client must not keep a mount in memory, where it would
    // count against `limits.sources`.
    let directories: Vec<_> = table
        .streams()
        .into_iter()
        .map(|(entry, stream)| {
            let bitrate = measured_bitrate(&entry, &stream);
            let of_mount = (bitrate, entry.settings().ring as u64);
            (entry.name.to_string(), of_mount, Arc::clone(&entry.directory))
        })
        .collect();
    let mut first = true;
    let batches = directories.into_iter().flat_map(|(mount, of_mount, directory)| {
        directory.listeners().map(move |batch| (mount.clone(), of_mount, batch))
    });
    let entries = batches.map(move |(mount, (bitrate, ring), batch)| {
        let mut text = String::new();
        for listener in batch {
            let progress = listener.progress();
            let status = ListenerStatus {
                id: listener.id,
                mount: &mount,
                address: listener.client.address.to_string(),
                agent: &listener.agent,
                seconds: listener.since.elapsed().as_secs(),
                protocol: listener.protocol.name(),
                seconds_behind: progress.and_then(|it| seconds_of(it.behind.min(ring), bitrate)),
                skips: progress.map(|progress| progress.skips),
                link_expires: listener.link().map(|at| rfc3339(from_unix(at))),
            };
            text.push_str(if std::mem::take(&mut first) { "" } else { "," });
            text.push_str(&serde_json::to_string(&status).unwrap_or_default());
        }
        text
    });
    let literal = |text: &str| std::iter::once(text.to_owned());
    literal("{\"listeners\":[").chain(entries).chain(literal("]}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::OPENAPI;
    use crate::routes::{Caller, Endpoint, Methods, ROUTES};
    use crate::webrtc::WhepPath;

    #[test]
    fn openapi_and_the_route_table_agree() {
        let openapi: Value = serde_json::from_str(OPENAPI).unwrap();
        let (of_api, of_mounts): (Vec<_>, Vec<_>) = openapi["paths"]
            .as_object()
            .unwrap()
            .iter()
            .partition(|(path, _)| path.starts_with("/api/"));
        let described: BTreeSet<_> = of_api
            .into_iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().iter();
                let methods = methods.filter(|(method, _)| *method != "parameters");
                methods.map(move |(method, operation)| {
                    let needs_login =
                        operation["security"].as_array().is_some_and(|all| !all.is_empty());
                    (path.replace("{name}", "*"), method.to_uppercase(), needs_login)
                })
            })
            .collect();
        let served: BTreeSet<_> = ROUTES
            .iter()
            .filter(|route| route.path.starts_with("/api/"))
            .filter(|route| route.endpoint != Endpoint::UnknownApi)
            .flat_map(|route| {
                let needs_login = route.caller != Caller::Anyone;
                let row = |method: &str, login| (route.path.to_owned(), method.to_owned(), login);
                let post = (route.methods == Methods::Submit).then(|| row("POST", true));
                post.into_iter().chain([row("GET", needs_login)])
            })
            .collect();
        assert_eq!(described, served);
        for (path, methods) in of_mounts {
            let path = path.replace("{name}", "mic").replace("{session}", &"0".repeat(32));
            let served = WhepPath::parse(&path).unwrap().resource.methods();
            let methods: Vec<_> =
                methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
            assert!(methods.iter().all(|method| served.contains(method)), "{path}: {methods:?}");
        }
    }

    #[test]
    fn no_mount_can_have_the_path_of_a_route() {
        use crate::mount::{Name, NameError};
        for route in &ROUTES {
            let path = route.path.replace('*', "x");
            assert_eq!(Name::new(&path), Err(NameError::Reserved), "{path}");
        }
    }
}
