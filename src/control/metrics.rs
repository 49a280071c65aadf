//! `/metrics` for Prometheus: read from the counters of the server and its mounts at each scrape.
//!
//! The only label with many values is the mount; there are at most `limits.sources` mounts.
//!
//! Names follow the conventions of Prometheus and OpenMetrics: base units (seconds, bytes) at the
//! end of the name, and `_total` after them at counters. A renamed metric keeps its old name beside
//! the new one for one release, marked as deprecated in its help.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env::consts::{ARCH, OS};
use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::memory_ceiling::MemoryCeiling;
use super::render::measured_bitrate;
use crate::detections::DetectionLog;
use crate::log::lines_dropped;
use crate::mount::{MountEntry, MountTable, Name, SourceState, StreamInfo};
use crate::peers::{PeerDirectory, PeerState, PeerStatus};
use crate::platform::resident;

/// The metrics of a server.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// The metrics of the server with these mounts, this memory ceiling and these other servers,
    /// started at `since`.
    pub(crate) fn new(
        table: Arc<MountTable>,
        ceiling: Arc<MemoryCeiling>,
        peers: PeerDirectory,
        detections: Arc<DetectionLog>,
        since: SystemTime,
    ) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector { since }));
        let server = registry.sub_registry_with_prefix("silvacast");
        server.register_collector(Box::new(ServerCollector { table, ceiling, peers, detections }));
        Self(registry)
    }

    /// All metrics in the text format.
    ///
    /// # Errors
    /// None in practice, as it writes to memory.
    pub(super) fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMount {
    mount: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPart {
    place: &'static str,
    part: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OfPeer {
    kind: &'static str,
    server: String,
    mount: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    arch: &'static str,
    os: &'static str,
}

/// A name with its unit but without `_total`, its help, and where the value comes from.
type Column<T, V> = (&'static str, &'static str, fn(&T) -> V);

/// A mount and its stream.
type Streaming = (Arc<MountEntry>, Arc<StreamInfo>);

const MOUNT_COUNTERS: [Column<MountEntry, u64>; 8] = [
    ("source_pages", "Pages that sources sent.", |entry| entry.counters.pages_in.get()),
    ("source_bytes", "Bytes that sources sent as pages.", |entry| entry.counters.bytes_in.get()),
    ("listener_bytes", "Bytes sent to listeners.", |entry| entry.counters.bytes_out.get()),
    ("gaps", "Gaps, times that the source stopped sending.", |entry| entry.counters.gaps.get()),
    (
        "splices",
        "Times that a source continued the stream after another one or after a gap.",
        |entry| entry.counters.splices.get(),
    ),
    ("lag_skips", "Times that a listener was overtaken by the ring.", |entry| {
        entry.counters.skips.get()
    }),
    ("webrtc_packets", "Packets sent by WebRTC.", |entry| entry.counters.rtp_packets.get()),
    (
        "webrtc_dropped_packets",
        "Packets not sent by WebRTC, because the network did not take them or they were too long.",
        |entry| entry.counters.rtp_dropped.get(),
    ),
];

/// Samples per second of the counters of audio.
const SAMPLE_RATE: f64 = 48_000.0;

const MOUNT_DURATIONS: [Column<MountEntry, f64>; 2] = [
    ("silence_seconds", "Silence inserted.", |entry| {
        entry.counters.silence.get() as f64 / SAMPLE_RATE
    }),
    ("late_seconds", "Audio discarded because it arrived too late.", |entry| {
        entry.counters.late.get() as f64 / SAMPLE_RATE
    }),
];

/// The old names of renamed metrics. They are removed in the release after the one that renamed
/// them.
const DEPRECATED_MOUNT_COUNTERS: [Column<MountEntry, u64>; 2] = [
    (
        "silence_milliseconds",
        "Deprecated, removed in the next release: use silvacast_silence_seconds_total.",
        |entry| entry.counters.silence.get() / 48,
    ),
    (
        "late_milliseconds",
        "Deprecated, removed in the next release: use silvacast_late_seconds_total.",
        |entry| entry.counters.late.get() / 48,
    ),
];

const MOUNT_GAUGES: [Column<Streaming, f64>; 6] = [
    ("listeners", "Current listeners.", |(entry, _)| entry.listeners.taken() as f64),
    ("hls_listeners", "Current listeners by HLS. They are among the listeners.", |(entry, _)| {
        entry.hls_listeners.taken() as f64
    }),
    (
        "webrtc_listeners",
        "Current listeners by WebRTC. They are among the listeners.",
        |(entry, _)| entry.webrtc_listeners.taken() as f64,
    ),
    ("live", "1 while a source is heard, 0 in a gap.", |(_, stream)| {
        f64::from(u8::from(stream.state == SourceState::Live))
    }),
    ("page_age_seconds", "Age of the source's newest page.", |(entry, _)| {
        let age = entry.gauges.since_last_page(Instant::now());
        age.map_or(f64::NAN, |age| age.as_secs_f64())
    }),
    ("slowest_lag_bytes", "How far the slowest listener is behind.", |(entry, _)| {
        entry.gauges.lag() as f64
    }),
];

/// Where all metrics are read.
#[derive(Debug)]
struct ServerCollector {
    table: Arc<MountTable>,
    ceiling: Arc<MemoryCeiling>,
    peers: PeerDirectory,
    detections: Arc<DetectionLog>,
}

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.mounts(&mut encoder)?;
        self.detections(&mut encoder)?;
        self.peers(&mut encoder)?;
        self.totals(&mut encoder)?;
        self.memory(&mut encoder)
    }
}

impl ServerCollector {
    fn mounts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mounts = self.table.public_streams();
        let label = |entry: &MountEntry| OfMount { mount: entry.name.to_string() };
        for (name, help, value) in MOUNT_COUNTERS.into_iter().chain(DEPRECATED_MOUNT_COUNTERS) {
            let values =
                mounts.iter().map(|(entry, _)| (label(entry), ConstCounter::new(value(entry))));
            family(encoder, name, help, values)?;
        }
        for (name, help, value) in MOUNT_DURATIONS {
            let values =
                mounts.iter().map(|(entry, _)| (label(entry), ConstCounter::new(value(entry))));
            family(encoder, name, help, values)?;
        }
        for (name, help, value) in MOUNT_GAUGES {
            let values = mounts
                .iter()
                .map(|streaming| (label(&streaming.0), ConstGauge::new(value(streaming))));
            family(encoder, name, help, values)?;
        }
        let off = self.table.public_off();
        let of = |name: &Name| OfMount { mount: name.to_string() };
        let up = mounts.iter().map(|(entry, _)| (of(&entry.name), ConstGauge::new(1_i64)));
        let down = off.iter().map(|mount| (of(&mount.name), ConstGauge::new(0)));
        let help = "1 while the mount has a stream, 0 while it is off.";
        family(encoder, "up", help, up.chain(down))?;
        let since = off.iter().map(|mount| {
            let seconds = mount.since.elapsed().as_secs_f64();
            (of(&mount.name), ConstGauge::new(seconds))
        });
        let help = "How long the mount has been off.";
        family(encoder, "off_seconds", help, since)?;
        let demands = self.table.public_demands().into_iter();
        let wanted = demands
            .map(|(name, demand)| (of(&name), ConstGauge::new(i64::from(demand.is_wanted()))));
        let help = "Of mounts on demand: 1 while somebody listens, waits, or may come back.";
        family(encoder, "wanted", help, wanted)?;
        let rings = mounts.iter().map(|(entry, stream)| {
            let rate = measured_bitrate(entry, stream).max(1) as f64 / 8.0;
            (label(entry), ConstGauge::new(entry.settings().ring as f64 / rate))
        });
        let help = "Audio in the ring of a mount, as a duration.";
        family(encoder, "ring_seconds", help, rings)
    }

    fn detections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut counts = self.detections.counts();
        counts.retain(|(name, _)| self.table.is_listed(name));
        let of = |name: &Name| OfMount { mount: name.to_string() };
        let totals = counts.iter().map(|(name, it)| (of(name), ConstCounter::new(it.total)));
        let help = "Detections taken, without those that were there already.";
        family(encoder, "detections", help, totals)?;
        let newest = counts
            .iter()
            .map(|(name, it)| (of(name), ConstGauge::new(it.newest.unix_ms() as f64 / 1000.0)));
        let help = "When the newest detection arrived, in seconds since 1970.";
        family(encoder, "last_detection_timestamp_seconds", help, newest)
    }

    fn peers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let is_hidden = |name: &Name| {
            let entry = self.table.find(name);
            entry.is_some_and(|entry| entry.settings().hidden)
        };
        let mut peers = self.peers.all();
        peers.retain(|peer| !peer.local.as_ref().is_some_and(is_hidden));
        let of = |peer: &PeerStatus| OfPeer {
            kind: peer.kind.name(),
            server: peer.server.clone(),
            mount: peer.local.as_ref().map(Name::to_string).unwrap_or_default(),
        };
        // Two sections may be about the same server and mount: it is connected if one of them is.
        let folded = |is_it: &dyn Fn(&PeerStatus) -> bool| {
            let mut folded = BTreeMap::new();
            for peer in &peers {
                let value: &mut bool = folded.entry(of(peer)).or_default();
                *value |= is_it(peer);
            }
            let gauge = |(labels, value)| (labels, ConstGauge::new(i64::from(value)));
            folded.into_iter().map(gauge).collect::<Vec<_>>()
        };
        let mut connected = folded(&|peer| peer.state == PeerState::Connected);
        connected.retain(|(labels, _)| !labels.mount.is_empty());
        let help = "1 while a mount is pulled from another server or pushed to it.";
        family(encoder, "peer_connected", help, connected.into_iter())?;
        let failed = folded(&|peer| peer.reason.is_some());
        let help = "1 while a mount cannot be pulled or pushed, or, without a mount, be listed.";
        family(encoder, "peer_failed", help, failed.into_iter())
    }

    fn totals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.table.stats();
        for (name, help, value) in [
            ("connections", "Connections accepted.", totals.connections.get()),
            ("requests", "Requests received.", totals.requests.get()),
            ("source_connections", "Sources admitted.", totals.sources.get()),
            ("listener_connections", "Listeners that joined.", totals.listeners.get()),
            (
                "journal_dropped_lines",
                "Log lines dropped because the output was too slow or failed.",
                lines_dropped(),
            ),
        ] {
            single(encoder, name, help, &ConstCounter::new(value))?;
        }
        let refused = totals.refused.each().map(|(status, count)| {
            let status = status.map_or("other".into(), |status| status.to_string().into());
            (OfStatus { status }, ConstCounter::new(count))
        });
        let help = "Requests refused, by status.";
        family(encoder, "refused_requests", help, refused)?;
        let help = "From a listener's request to its first bytes.";
        single(encoder, "join_seconds", help, &totals.joins)
    }

    fn memory(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let bytes = |value: u64| ConstGauge::new(value.cast_signed());
        let help = "Current memory use of the process.";
        single(encoder, "resident_memory_bytes", help, &bytes(resident()))?;
        let help = "Upper limit of memory use, including kernel memory.";
        single(encoder, "memory_ceiling_bytes", help, &bytes(self.ceiling.total()))?;
        let parts = self.ceiling.items().into_iter().map(|item| {
            (OfPart { place: item.owner.name(), part: item.what }, bytes(item.bytes()))
        });
        let help = "Upper limit of memory use by item: the maximum number times the maximum size.";
        family(encoder, "memory_ceiling_part_bytes", help, parts)
    }
}

/// What is not this server's own: the build, and the process.
#[derive(Debug)]
struct ProcessCollector {
    since: SystemTime,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let build = BuildLabels { version: env!("CARGO_PKG_VERSION"), arch: ARCH, os: OS };
        // The suffix `_info` is that of the type.
        single(&mut encoder, "silvacast_build", "The running build.", &Info::new(build))?;
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let help = "When the process started, in seconds since 1970.";
        let start = ConstGauge::new(since.as_secs_f64());
        single(&mut encoder, "process_start_time_seconds", help, &start)
    }
}

/// Separates the unit from a name that ends with one: the encoder writes it as metadata too.
fn split_unit(name: &str) -> (&str, Option<Unit>) {
    for (suffix, unit) in [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)] {
        if let Some(name) = name.strip_suffix(suffix) {
            return (name, Some(unit));
        }
    }
    (name, None)
}

fn single(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let (name, unit) = split_unit(name);
    let unit = unit.as_ref();
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

/// A metric with a value for each of these labels; none at all if there are no labels.
fn family<L: EncodeLabelSet, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, M)>,
) -> fmt::Result {
    let mut values = values.peekable();
    let Some((_, first)) = values.peek() else { return Ok(()) };
    let (name, unit) = split_unit(name);
    let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), first.metric_type())?;
    for (labels, value) in values {
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
