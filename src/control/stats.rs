//! What Icecast's administration says, in its own shapes (2.4.4: `admin.c`, `stats.c`).

use std::sync::Arc;

use super::render::{dates, measured_bitrate};
use super::status::{Station, listen_url};
use super::xml::Xml;
use crate::http::SERVER;
use crate::mount::{ListenerInfo, MountEntry, StreamInfo};
use crate::stats::ServerStats;

/// A mount and what is on the air.
type Heard = (Arc<MountEntry>, Arc<StreamInfo>);

/// `/admin/stats`: the whole server, and all mounts or `only` one.
pub(super) fn stats(
    station: &Station,
    totals: &ServerStats,
    mounts: &[Heard],
    only: Option<&str>,
) -> String {
    let listeners: usize = mounts.iter().map(|(entry, _)| entry.listeners.taken()).sum();
    let (server_start, server_start_iso8601) = dates(station.since);
    Xml::document("icestats", |xml| {
        xml.value("admin", &station.about.admin);
        xml.value("client_connections", totals.requests.get());
        xml.value("clients", listeners + mounts.len());
        xml.value("connections", totals.connections.get());
        xml.value("file_connections", 0);
        xml.value("host", &station.about.hostname);
        xml.value("listener_connections", totals.listeners.get());
        xml.value("listeners", listeners);
        xml.value("location", &station.about.location);
        xml.value("server_id", SERVER);
        xml.value("server_start", server_start);
        xml.value("server_start_iso8601", server_start_iso8601);
        xml.value("source_client_connections", totals.sources.get());
        xml.value("source_relay_connections", 0);
        xml.value("source_total_connections", totals.sources.get());
        xml.value("sources", mounts.len());
        xml.value("stats", 0);
        xml.value("stats_connections", 0);
        let asked = |entry: &MountEntry| only.is_none_or(|only| entry.name.as_str() == only);
        for (entry, stream) in mounts.iter().filter(|(entry, _)| asked(entry)) {
            xml.element("source", &[("mount", entry.name.as_str())], |xml| {
                source(xml, station, entry, stream);
            });
        }
    })
}

fn source(xml: &mut Xml, station: &Station, entry: &MountEntry, stream: &StreamInfo) {
    let about = &stream.source.description;
    let (stream_start, stream_start_iso8601) = dates(stream.source.connected.wall);
    let most = entry.settings().max_listeners;
    let mut maybe = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            xml.value(name, value);
        }
    };
    maybe("artist", stream.tags.artist.as_deref());
    maybe("audio_info", about.audio_info.as_deref());
    xml.value(
        "bitrate",
        about.bitrate.map_or_else(|| measured_bitrate(entry, stream) / 1000, u64::from),
    );
    xml.value("channels", stream.codec.channels());
    xml.value("genre", about.genre.as_deref().unwrap_or("various"));
    xml.value("listener_peak", entry.listeners.peak());
    xml.value("listeners", entry.listeners.taken());
    xml.value("listenurl", listen_url(station, entry.name.as_str()));
    xml.value("max_listeners", if most == 0 { "unlimited".to_owned() } else { most.to_string() });
    xml.value("public", u8::from(about.public));
    xml.value(
        "server_description",
        about.description.as_deref().unwrap_or("Unspecified description"),
    );
    xml.value("server_name", about.name.as_deref().unwrap_or("Unspecified name"));
    xml.value("server_type", "audio/ogg");
    if let Some(url) = &about.url {
        xml.value("server_url", url);
    }
    xml.value("slow_listeners", entry.counters.skips.get());
    if let Some(address) = about.address {
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
    if let Some(agent) = &about.agent {
        xml.value("user_agent", agent);
    }
}

/// `/admin/listmounts`.
pub(super) fn mounts(mounts: &[Heard]) -> String {
    Xml::document("icestats", |xml| {
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

/// `/admin/listclients`, piece by piece.
pub(super) fn clients(entry: &MountEntry) -> impl Iterator<Item = String> + use<> {
    let count = entry.directory.len();
    let (before, after) = Xml::around("icestats", |xml| {
        xml.element("source", &[("mount", entry.name.as_str())], |xml| {
            // One widely used reader wants the one, another the other.
            xml.value("Listeners", count);
            xml.value("listeners", count);
            xml.hole();
        });
    });
    let guests = Arc::clone(&entry.directory).listeners();
    let listed = guests.map(|few| Xml::part(|xml| few.iter().for_each(|guest| client(xml, guest))));
    std::iter::once(before).chain(listed).chain(std::iter::once(after))
}

fn client(xml: &mut Xml, guest: &ListenerInfo) {
    xml.element("listener", &[("id", &guest.id.to_string())], |xml| {
        xml.value("IP", guest.address);
        xml.value("UserAgent", &guest.agent);
        xml.value("Connected", guest.since.elapsed().as_secs());
        xml.value("ID", guest.id);
    });
}

/// What came of a command.
pub(super) fn response(message: &str, done: bool) -> String {
    Xml::document("iceresponse", |xml| {
        xml.value("message", message);
        xml.value("return", u8::from(done));
    })
}
