//! The keys of `[limits]`.

use std::time::Duration;

use super::keys::{Key, Reload, Row, Table};
use super::kinds::{AutoOr, Number, Size, Time};
use super::reader::{Reader, Section};
use crate::quota::Limits;

pub(super) const ROWS: &[&dyn Row] = &[
    &SOURCES,
    &LISTENERS,
    &CONNECTIONS_PER_IP,
    &REQUEST_HEAD,
    &HEAD_TIMEOUT,
    &LISTENER_SEND_BUFFER,
];

pub(super) static SOURCES: Key<Number> = Key {
    table: Table::Limits,
    name: "sources",
    kind: Number { least: 1, most: 1000 },
    default: || 10,
    reload: Reload::AtOnce,
    doc: "Mounts that may exist at the same time.",
};

pub(super) static LISTENERS: Key<Number> = Key {
    table: Table::Limits,
    name: "listeners",
    kind: Number { least: 1, most: 100_000 },
    default: || 100,
    reload: Reload::AtOnce,
    doc: "Listeners of all mounts together.",
};

static CONNECTIONS_PER_IP: Key<AutoOr<Number>> = Key {
    table: Table::Limits,
    name: "connections_per_ip",
    kind: AutoOr(Number { least: 0, most: 100_000 }),
    default: || None,
    reload: Reload::AtOnce,
    doc: "Connections that one client may have, and as many listeners by HLS; an IPv6 /64 is one client. `auto`: three quarters of `listeners`, at least 8. 0: no limit.",
};

static REQUEST_HEAD: Key<Size> = Key {
    table: Table::Limits,
    name: "request_head",
    kind: Size { least: 1 << 10, most: 64 << 10 },
    default: || 8 << 10,
    reload: Reload::AtOnce,
    doc: "The longest request head.",
};

pub(super) static HEAD_TIMEOUT: Key<Time> = Key {
    table: Table::Limits,
    name: "head_timeout",
    kind: Time { least: Duration::from_millis(100), most: Duration::from_mins(5) },
    default: || Duration::from_secs(10),
    reload: Reload::AtOnce,
    doc: "The time in which a request head must arrive.",
};

static LISTENER_SEND_BUFFER: Key<Size> = Key {
    table: Table::Limits,
    name: "listener_send_buffer",
    kind: Size { least: 8 << 10, most: 16 << 20 },
    default: || 64 << 10,
    reload: Reload::AtOnce,
    doc: "Kernel memory for what one listener has not acknowledged yet.",
};

pub(super) fn read(reader: &mut Reader<'_>, section: Section<'_>) -> Limits {
    let listeners = reader.get(section, &LISTENERS);
    let connections_per_ip = reader.get(section, &CONNECTIONS_PER_IP);
    Limits {
        sources: reader.get(section, &SOURCES),
        listeners,
        connections_per_ip: connections_per_ip.unwrap_or_else(|| fair_share(listeners)),
        request_head: reader.get(section, &REQUEST_HEAD),
        head_timeout: reader.get(section, &HEAD_TIMEOUT),
        listener_send_buffer: reader.get(section, &LISTENER_SEND_BUFFER),
    }
}

/// The connections of one client under `"auto"`: enough for a household or an untrusted proxy behind
/// one address, and still too few to keep all others out.
fn fair_share(listeners: usize) -> usize {
    const LEAST: usize = 8;
    (listeners - listeners / 4).max(LEAST)
}
