//! `/metrics` for Prometheus: read from the counters of the server and its mounts at each scrape.
//!
//! The only label with many values is the mount; there are at most `limits.sources` mounts.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::memory_ceiling::MemoryCeiling;
use super::render::measured_bitrate;
use crate::log::lines_dropped;
use crate::mount::{MountEntry, MountTable, Name, SourceState, StreamInfo};
use crate::platform::resident;

/// The metrics of a server.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// The metrics of the server with these mounts and this memory ceiling.
    pub(crate) fn new(table: Arc<MountTable>, ceiling: Arc<MemoryCeiling>) -> Self {
        let mut registry = Registry::with_prefix("silvacast");
        registry.register_collector(Box::new(ServerCollector { table, ceiling }));
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
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPart {
    place: &'static str,
    part: &'static str,
}

/// A name, its help, and where the value comes from.
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
    ("silence_milliseconds", "Silence inserted.", |entry| entry.counters.silence.get() / 48),
    ("late_milliseconds", "Audio discarded because it arrived too late.", |entry| {
        entry.counters.late.get() / 48
    }),
];

const MOUNT_GAUGES: [Column<Streaming, f64>; 4] = [
    ("listeners", "Current listeners.", |(entry, _)| entry.listeners.taken() as f64),
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
}

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.mounts(&mut encoder)?;
        self.totals(&mut encoder)?;
        self.memory(&mut encoder)
    }
}

impl ServerCollector {
    fn mounts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mounts = self.table.public_streams();
        let label = |entry: &MountEntry| OfMount { mount: entry.name.to_string() };
        for (name, help, value) in MOUNT_COUNTERS {
            let values =
                mounts.iter().map(|(entry, _)| (label(entry), ConstCounter::new(value(entry))));
            family(encoder, name, help, None, values)?;
        }
        for (name, help, value) in MOUNT_GAUGES {
            let values = mounts
                .iter()
                .map(|streaming| (label(&streaming.0), ConstGauge::new(value(streaming))));
            family(encoder, name, help, None, values)?;
        }
        let off = self.table.public_off();
        let of = |name: &Name| OfMount { mount: name.to_string() };
        let up = mounts.iter().map(|(entry, _)| (of(&entry.name), ConstGauge::new(1_i64)));
        let down = off.iter().map(|mount| (of(&mount.name), ConstGauge::new(0)));
        let help = "1 while the mount has a stream, 0 while it is off.";
        family(encoder, "up", help, None, up.chain(down))?;
        let since = off.iter().map(|mount| {
            let seconds = mount.since.elapsed().as_secs_f64();
            (of(&mount.name), ConstGauge::new(seconds))
        });
        let help = "How long the mount has been off.";
        family(encoder, "off", help, Some(&Unit::Seconds), since)?;
        let rings = mounts.iter().map(|(entry, stream)| {
            let rate = measured_bitrate(entry, stream).max(1) as f64 / 8.0;
            (label(entry), ConstGauge::new(entry.settings().ring as f64 / rate))
        });
        let help = "Audio in the ring of a mount, as a duration.";
        family(encoder, "ring", help, Some(&Unit::Seconds), rings)
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
            single(encoder, name, help, None, &ConstCounter::new(value))?;
        }
        let refused = totals
            .refused
            .each()
            .map(|(status, count)| (OfStatus { status }, ConstCounter::new(count)));
        let help = "Requests refused, by status; 0 is any other.";
        family(encoder, "refused_requests", help, None, refused)?;
        let help = "From a listener's request to its first bytes.";
        single(encoder, "join", help, Some(&Unit::Seconds), &totals.joins)
    }

    fn memory(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let bytes = |value: u64| ConstGauge::new(value.cast_signed());
        let unit = Some(&Unit::Bytes);
        let help = "Current memory use of the process.";
        single(encoder, "resident_memory", help, unit, &bytes(resident()))?;
        let help = "Upper limit of memory use, including kernel memory.";
        single(encoder, "memory_ceiling", help, unit, &bytes(self.ceiling.total()))?;
        let parts = self.ceiling.items().into_iter().map(|item| {
            (OfPart { place: item.owner.name(), part: item.what }, bytes(item.bytes()))
        });
        let help = "Upper limit of memory use by item: the maximum number times the maximum size.";
        family(encoder, "memory_ceiling_part", help, unit, parts)
    }
}

fn single(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

/// A metric with a value for each of these labels; none at all if there are no labels.
fn family<L: EncodeLabelSet, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: impl Iterator<Item = (L, M)>,
) -> fmt::Result {
    let mut values = values.peekable();
    let Some((_, first)) = values.peek() else { return Ok(()) };
    let mut metric = encoder.encode_descriptor(name, help, unit, first.metric_type())?;
    for (labels, value) in values {
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
