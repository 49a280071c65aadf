//! `/api/v1`: what there is to hear, and who hears it, as plain JSON.
//!
//! `openapi.json` beside this file describes it, and a test holds the two together.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::render::{date, measured_bitrate, round, seconds, state};
use crate::mount::{MountEntry, StreamInfo, Table};
use ogg_splice::Codec;
use serde::Serialize;

/// The description of it all.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// A mount that can be heard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct MountStatus {
    name: String,
    title: Option<String>,
    artist: Option<String>,
    /// Bytes of tags, such as a cover picture, that listeners are not sent.
    tags_left_out_bytes: u64,
    station_name: Option<String>,
    description: Option<String>,
    genre: Option<String>,
    url: Option<String>,
    state: &'static str,
    state_since: String,
    stream_start: String,
    codec: &'static str,
    channels: u8,
    /// Of what a decoder puts out, in Hz.
    sample_rate: u32,
    /// Of what was encoded, where the stream says it.
    source_rate: Option<u32>,
    /// Measured, in bit/s.
    bitrate: u64,
    page_ms: Option<f64>,
    seconds_since_page: Option<f64>,
    ring_seconds: Option<f64>,
    access: &'static str,
    listeners: usize,
    listener_peak: usize,
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
    clock: Option<StreamClock>,
}

/// Which sample is the newest that can have been heard, and when that was true.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct StreamClock {
    /// Granule position in the stream that listeners get.
    pub(super) granule: u64,
    /// Milliseconds since 1970, by the server's clock.
    pub(super) unix_ms: u64,
}

/// Somebody who listens.
#[derive(Debug, Serialize)]
struct ListenerStatus<'a> {
    id: u64,
    mount: &'a str,
    address: String,
    agent: &'a str,
    seconds: u64,
}

/// All mounts.
#[derive(Debug, Serialize)]
pub(super) struct MountList {
    /// By name.
    pub(super) mounts: Vec<MountStatus>,
}

impl MountList {
    /// Those that are not hidden.
    pub(super) fn of(table: &Table) -> Self {
        let mounts = table.public_streams();
        Self {
            mounts: mounts.iter().map(|(entry, stream)| MountStatus::of(entry, stream)).collect(),
        }
    }
}

impl MountStatus {
    /// What there is to say of a mount now.
    pub(super) fn of(entry: &Arc<MountEntry>, stream: &StreamInfo) -> Self {
        let now = Instant::now();
        let (about, counters, gauges) =
            (&stream.source.description, &entry.counters, &entry.gauges);
        let settings = entry.settings();
        let bitrate = measured_bitrate(entry, stream);
        // How long so many bytes last, as far as the stream so far tells.
        let lasting =
            |bytes: u64| (bitrate > 0).then(|| round(bytes as f64 * 8.0 / bitrate as f64));
        let source_rate = match &stream.codec {
            Codec::Opus(head) => (head.input_rate > 0).then_some(head.input_rate),
            Codec::Flac { .. } | Codec::Vorbis { .. } => None,
        };
        Self {
            name: entry.name.to_string(),
            title: stream.tags.title.clone(),
            artist: stream.tags.artist.clone(),
            tags_left_out_bytes: stream.tags_left_out,
            station_name: about.name.clone(),
            description: about.description.clone(),
            genre: about.genre.clone(),
            url: about.url.clone(),
            state: state(stream.state),
            state_since: date(stream.state_since.wall),
            stream_start: date(stream.source.connected.wall),
            codec: stream.codec.name(),
            channels: stream.codec.channels(),
            sample_rate: stream.codec.granules_per_second(),
            source_rate,
            bitrate,
            page_ms: gauges.page_duration().map(|page| round(page.as_secs_f64() * 1000.0)),
            seconds_since_page: gauges
                .since_last_page(now)
                .map(|silent| round(silent.as_secs_f64())),
            ring_seconds: lasting(settings.ring as u64),
            access: settings.access.mode.name(),
            listeners: entry.listeners.taken(),
            listener_peak: entry.listeners.peak(),
            max_listeners: (settings.max_listeners > 0).then_some(settings.max_listeners),
            slowest_lag_seconds: lasting(gauges.lag()),
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
    /// Where a mount's stream is now; `None` before its first page.
    pub(super) fn of(entry: &MountEntry) -> Option<Self> {
        let (granule, ago) = entry.gauges.newest_granule(Instant::now())?;
        let then = SystemTime::now().checked_sub(ago)?;
        let unix = then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Some(Self { granule, unix_ms: unix.as_millis() as u64 })
    }
}

/// All listeners of all mounts, by mount and then the oldest first, piece by piece.
pub(super) fn listeners(table: &Table) -> impl Iterator<Item = String> + use<> {
    // Not the mounts themselves: a reader that takes its time must not keep one in its place.
    let directories: Vec<_> = table
        .streams()
        .into_iter()
        .map(|(entry, _)| (entry.name.to_string(), Arc::clone(&entry.directory)))
        .collect();
    let mut first = true;
    let few = directories
        .into_iter()
        .flat_map(|(mount, directory)| directory.listeners().map(move |few| (mount.clone(), few)));
    let listed = few.map(move |(mount, few)| {
        let mut text = String::new();
        for guest in few {
            let listener = ListenerStatus {
                id: guest.id,
                mount: &mount,
                address: guest.address.to_string(),
                agent: &guest.agent,
                seconds: guest.since.elapsed().as_secs(),
            };
            text.push_str(if std::mem::take(&mut first) { "" } else { "," });
            text.push_str(&serde_json::to_string(&listener).unwrap_or_default());
        }
        text
    });
    let around = |text: &str| std::iter::once(text.to_owned());
    around("{\"listeners\":[").chain(listed).chain(around("]}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::OPENAPI;
    use crate::routes::{Caller, Endpoint, ROUTES};

    #[test]
    fn the_description_and_the_table_of_routes_agree() {
        let openapi: Value = serde_json::from_str(OPENAPI).unwrap();
        let described: BTreeSet<_> = openapi["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().iter();
                let methods = methods.filter(|(method, _)| *method != "parameters");
                methods.map(move |(method, about)| {
                    let needs_login =
                        about["security"].as_array().is_some_and(|all| !all.is_empty());
                    (path.replace("{name}", "*"), method.to_uppercase(), needs_login)
                })
            })
            .collect();
        let served: BTreeSet<_> = ROUTES
            .iter()
            .filter(|route| route.path.starts_with("/api/"))
            .filter(|route| route.endpoint != Endpoint::UnknownApi)
            .map(|route| {
                let needs_login = route.caller != Caller::Anyone;
                (route.path.to_owned(), "GET".to_owned(), needs_login)
            })
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_route_has_a_reserved_name() {
        use crate::mount::{Name, NameError};
        for route in &ROUTES {
            let path = route.path.replace('*', "x");
            assert_eq!(Name::new(&path), Err(NameError::Reserved), "{path}");
        }
    }
}
