//! `/metrics`, as Prometheus and its kin read it: made anew for each reader, from counters that are there anyway.
//!
//! The only label that can have many values is the mount, of which there are as many as `limits.sources`.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::memory_ceiling::MemoryCeiling;
use super::render::measured_bitrate;
use crate::log::lines_dropped;
use crate::mount::{MountEntry, SourceState, StreamInfo, Table};
use crate::platform::resident;

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

/// A name, what it means, and where its value comes from.
type Column<T, V> = (&'static str, &'static str, fn(&T) -> V);

type Ratio = Gauge<f64, AtomicU64>;

/// The whole text.
///
/// # Errors
/// None in practice: it is written to memory.
pub(super) fn render(table: &Table, ceiling: &MemoryCeiling) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("silvacast");
    let mounts = table.public_streams();
    of_mounts(&mut registry, &mounts);

    let totals = table.stats();
    let count = |registry: &mut Registry, name: &str, help: &str, value: u64| {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    };
    count(&mut registry, "connections", "Connections accepted", totals.connections.get());
    count(&mut registry, "requests", "Requests decided", totals.requests.get());
    count(&mut registry, "source_connections", "Sources let in", totals.sources.get());
    count(&mut registry, "listener_connections", "Listeners that joined", totals.listeners.get());
    count(
        &mut registry,
        "journal_dropped_lines",
        "Log lines that nobody took in time",
        lines_dropped(),
    );
    let refused = Family::<OfStatus, Counter>::default();
    for (status, many) in totals.refused.each() {
        refused.get_or_create(&OfStatus { status }).inc_by(many);
    }
    registry.register("refused_requests", "Requests refused, by status; 0 is any other", refused);
    let help = "From a listener's request to its first bytes";
    registry.register_with_unit("join", help, Unit::Seconds, totals.joins.clone());

    let gauge = |registry: &mut Registry, name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value.cast_signed());
        registry.register_with_unit(name, help, Unit::Bytes, gauge);
    };
    gauge(&mut registry, "resident_memory", "What the process takes now", resident());
    gauge(
        &mut registry,
        "memory_ceiling",
        "The most that it can take, the kernel's share included",
        ceiling.total(),
    );
    let parts = Family::<OfPart, Gauge>::default();
    for item in ceiling.items() {
        let label = OfPart { place: item.owner.name(), part: item.what };
        parts.get_or_create(&label).set(item.bytes().cast_signed());
    }
    let help = "What that is made of: the most of each item there can be, times the most that one can take";
    registry.register_with_unit("memory_ceiling_part", help, Unit::Bytes, parts);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

type Heard = (std::sync::Arc<MountEntry>, std::sync::Arc<StreamInfo>);

fn of_mounts(registry: &mut Registry, mounts: &[Heard]) {
    let label = |entry: &MountEntry| OfMount { mount: entry.name.to_string() };
    let counters: [Column<MountEntry, u64>; 8] = [
        ("source_pages", "Pages that sources sent", |entry| entry.counters.pages_in.get()),
        ("source_bytes", "Bytes that sources sent as pages", |entry| entry.counters.bytes_in.get()),
        ("listener_bytes", "Bytes that listeners took", |entry| entry.counters.bytes_out.get()),
        ("gaps", "Times that nothing came from the source", |entry| entry.counters.gaps.get()),
        ("splices", "Times that the stream went on with a new beginning", |entry| {
            entry.counters.splices.get()
        }),
        ("lag_skips", "Times that a listener was overtaken by the ring", |entry| {
            entry.counters.skips.get()
        }),
        ("silence_milliseconds", "Silence put in", |entry| entry.counters.silence.get() / 48),
        ("late_milliseconds", "Audio left out because it came too late", |entry| {
            entry.counters.late.get() / 48
        }),
    ];
    for (name, help, value) in counters {
        let family = Family::<OfMount, Counter>::default();
        for (entry, _) in mounts {
            family.get_or_create(&label(entry)).inc_by(value(entry));
        }
        registry.register(name, help, family);
    }
    let gauges: [Column<Heard, f64>; 4] = [
        ("listeners", "Listeners now", |(entry, _)| entry.listeners.taken() as f64),
        ("live", "1 while a source is heard, 0 in a gap", |(_, stream)| {
            f64::from(u8::from(stream.state == SourceState::Live))
        }),
        ("page_age_seconds", "Since the source's newest page", |(entry, _)| {
            entry
                .gauges
                .since_last_page(std::time::Instant::now())
                .map_or(f64::NAN, |age| age.as_secs_f64())
        }),
        ("slowest_lag_bytes", "How far the slowest listener is behind", |(entry, _)| {
            entry.gauges.lag() as f64
        }),
    ];
    for (name, help, value) in gauges {
        let family = Family::<OfMount, Ratio>::default();
        for heard in mounts {
            family.get_or_create(&label(&heard.0)).set(value(heard));
        }
        registry.register(name, help, family);
    }
    let ring = Family::<OfMount, Ratio>::default();
    for (entry, stream) in mounts {
        let rate = measured_bitrate(entry, stream).max(1) as f64 / 8.0;
        ring.get_or_create(&label(entry)).set(entry.settings().ring as f64 / rate);
    }
    registry.register_with_unit("ring", "How much of the past a mount holds", Unit::Seconds, ring);
}
