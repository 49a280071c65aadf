//! The keys of `[webrtc]`.

use super::keys::{Key, Reload, Row, Table};
use super::kinds::{Hosts, Number, OptionalAddress};
use super::reader::{Reader, Section};
use crate::webrtc::WebRtcSettings;

pub(super) const ROWS: &[&dyn Row] = &[&LISTEN, &ADDRESSES, &SESSIONS];

static LISTEN: Key<OptionalAddress> = Key {
    table: Table::WebRtc,
    name: "listen",
    kind: OptionalAddress,
    default: || None,
    reload: Reload::Restart(|old, new| old.webrtc.listen != new.webrtc.listen),
    doc: "The address and port for WebRTC, which is UDP. Without it, WebRTC is off. A socket from systemd replaces it, but does not switch WebRTC on.",
};

static ADDRESSES: Key<Hosts> = Key {
    table: Table::WebRtc,
    name: "addresses",
    kind: Hosts,
    default: Vec::new,
    reload: Reload::Restart(|old, new| old.webrtc.addresses != new.webrtc.addresses),
    doc: "Addresses by which clients reach the UDP port, besides the one that they have used for HTTP: those of a router with a forwarded port, of a host with containers, or of this machine if a proxy is in front. Names are resolved at start.",
};

static SESSIONS: Key<Number> = Key {
    table: Table::WebRtc,
    name: "sessions",
    kind: Number { least: 1, most: 10_000 },
    default: || 50,
    reload: Reload::Restart(|old, new| old.webrtc.sessions != new.webrtc.sessions),
    doc: "Listeners by WebRTC at the same time. They count as listeners too.",
};

pub(super) fn read(reader: &mut Reader<'_>, section: Section<'_>) -> WebRtcSettings {
    WebRtcSettings {
        listen: reader.get(section, &LISTEN),
        addresses: reader.get(section, &ADDRESSES),
        sessions: reader.get(section, &SESSIONS),
    }
}
