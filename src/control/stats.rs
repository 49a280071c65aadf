//! The XML documents of Icecast's administration, in the format of 2.4.4 (`admin.c`, `stats.c`).

use std::sync::Arc;

use super::render::{icecast_dates, measured_bitrate};
use super::status::{Station, listen_url};
use super::xml::Xml;
use crate::http::SERVER;
use crate::mount::{ListenerInfo, MountEntry, StreamInfo};
use crate::stats::ServerStats;

/// A mount and its stream.
type MountAndStream = (Arc<MountEntry>, Arc<StreamInfo>);

/// `/admin/stats`: statistics of the server and of all mounts, or of `only` one.
pub(super) fn stats(
    station: &Station,
    totals: &ServerStats,
    mounts: &[MountAndStream],
    only: Option<&str>,
) -> String {
    let listeners: usize = mounts.iter().map(|(entry, _)| entry.listeners.taken()).sum();
    let (server_start, server_start_iso8601) = icecast_dates(station.since);
    Xml::document("icestats", &[], |xml| {
        xml.value("admin", &station.settings.admin);
        xml.value("client_connections", totals.requests.get());
        xml.value("clients", listeners + mounts.len());
        xml.value("connections", totals.connections.get());
        xml.value("file_connections", 0);
        xml.value("host", &station.settings.hostname);
        xml.value("listener_connections", totals.listeners.get());
        xml.value("listeners", listeners);
        xml.value("location", &station.settings.location);
        xml.value("server_id", SERVER);
        xml.value("server_start", server_start);
        xml.value("server_start_iso8601", server_start_iso8601);
        xml.value("source_client_connections", totals.sources.get());
        xml.value("source_relay_connections", 0);
        xml.value("source_total_connections", totals.sources.get());
        xml.value("sources", mounts.len());
        xml.value("stats", 0);
        xml.value("stats_connections", 0);
        let is_requested = |entry: &MountEntry| only.is_none_or(|only| entry.name.as_str() == only);
        for (entry, stream) in mounts.iter().filter(|(entry, _)| is_requested(entry)) {
            xml.element("source", &[("mount", entry.name.as_str())], |xml| {
                source(xml, station, entry, stream);
            });
        }
    })
}

fn source(xml: &mut Xml, station: &Station, entry: &MountEntry, stream: &StreamInfo) {
    let description = entry.description(stream);
    let (stream_start, stream_start_iso8601) = icecast_dates(stream.source.connected.wall);
    let limit = entry.settings().max_listeners;
    let mut optional = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            xml.value(name, value);
        }
    };
    optional("artist", stream.tags.artist.as_deref());
    optional("audio_info", description.audio_info.as_deref());
    xml.value(
        "bitrate",
        description.bitrate.map_or_else(|| measured_bitrate(entry, stream) / 1000, u64::from),
    );
    xml.value("channels", stream.codec.channels());
    xml.value("genre", description.genre.as_deref().unwrap_or("various"));
    xml.value("listener_peak", entry.listeners.peak());
    xml.value("listeners", entry.listeners.taken());
    xml.value("listenurl", listen_url(station, entry.name.as_str()));
    xml.value("max_listeners", if limit == 0 { "unlimited".to_owned() } else { limit.to_string() });
    xml.value("public", u8::from(description.public));
    xml.value(
        "server_description",
        description.description.as_deref().unwrap_or("Unspecified description"),
    );
    xml.value("server_name", description.name.as_deref().unwrap_or("Unspecified name"));
    xml.value("server_type", "audio/ogg");
    if let Some(url) = &description.url {
        xml.value("server_url", url);
    }
    xml.value("slow_listeners", entry.counters.skips.get());
    if let Some(address) = description.address {
        xml.value("source_ip", address);
    }
    xml.value("stream_start", stream_start);
    xml.value("stream_start_iso8601", stream_start_iso8601);
    xml.value("subtype", stream.codec.name());
    if let Some(title) = &stream.tags.title {
        xml.value("title", title);
    }
    xml.value("total_bytes_read", entry.counters.bytes_in.get());
    xml.value("total_bytes_sent", entry.counters.bytes_out.get());
    if let Some(agent) = &description.agent {
        xml.value("user_agent", agent);
    }
}

/// `/admin/listmounts`: all mounts that have a stream.
pub(super) fn mounts(mounts: &[MountAndStream]) -> String {
    Xml::document("icestats", &[], |xml| {
        for (entry, stream) in mounts {
            xml.element("source", &[("mount", entry.name.as_str())], |xml| {
                xml.value("fallback", "");
                xml.value("listeners", entry.listeners.taken());
                xml.value("Connected", stream.source.connected.elapsed().as_secs());
                xml.value("content-type", "audio/ogg");
            });
        }
    })
}

/// `/admin/listclients`, generated in pieces: the listeners of one mount.
pub(super) fn clients(entry: &MountEntry) -> impl Iterator<Item = String> + use<> {
    let count = entry.directory.len();
    let (before, after) = Xml::split_document("icestats", |xml| {
        xml.element("source", &[("mount", entry.name.as_str())], |xml| {
            // Client programs read one or the other.
            xml.value("Listeners", count);
            xml.value("listeners", count);
            xml.placeholder();
        });
    });
    let batches = Arc::clone(&entry.directory).listeners();
    let entries = batches
        .map(|batch| Xml::fragment(|xml| batch.iter().for_each(|listener| client(xml, listener))));
    std::iter::once(before).chain(entries).chain(std::iter::once(after))
}

fn client(xml: &mut Xml, listener: &ListenerInfo) {
    xml.element("listener", &[("id", &listener.id.to_string())], |xml| {
        xml.value("IP", listener.client.address);
        xml.value("UserAgent", &listener.agent);
        xml.value("Connected", listener.since.elapsed().as_secs());
        xml.value("ID", listener.id);
    });
}

/// The result of a command.
pub(super) fn response(message: &str, succeeded: bool) -> String {
    Xml::document("iceresponse", &[], |xml| {
        xml.value("message", message);
        xml.value("return", u8::from(succeeded));
    })
}
