//! The data of server-sent events, and how they are written (HTML Living Standard, section 9.2).

use hyper::body::Bytes;
use serde::Serialize;

use super::api::StreamClock;
use crate::wall_clock::Steady;

/// Data of `gone`, `wanted` and `unwanted`.
#[derive(Serialize)]
pub(super) struct NameEvent<'a> {
    pub(super) name: &'a str,
}

/// Data of `live` and `gap`.
#[derive(Serialize)]
pub(super) struct StateEvent<'a> {
    pub(super) name: &'a str,
    pub(super) state: &'static str,
    pub(super) state_since: String,
}

/// Data of `listeners`.
#[derive(Serialize)]
pub(super) struct ListenersEvent<'a> {
    pub(super) name: &'a str,
    pub(super) listeners: usize,
}

/// Data of `title`.
#[derive(Serialize)]
pub(super) struct TitleEvent<'a> {
    pub(super) name: &'a str,
    pub(super) title: Option<&'a str>,
    pub(super) artist: Option<&'a str>,
}

/// Data of `time`.
#[derive(Serialize)]
struct TimeEvent {
    unix_ms: u64,
}

/// Data of `clock`.
#[derive(Serialize)]
pub(super) struct ClockEvent<'a> {
    pub(super) name: &'a str,
    #[serde(flatten)]
    pub(super) clock: StreamClock,
}

/// The event `time`, to which clients relate the times of clocks.
pub(super) fn time_event() -> Bytes {
    encode(None, "time", &TimeEvent { unix_ms: Steady::now().utc().unix_ms() })
}

/// Encodes an event. JSON contains no line breaks, so `data` fits into one `data:` line.
pub(super) fn encode(id: Option<(u64, u64)>, kind: &str, data: &impl Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |(epoch, number)| format!("id: {epoch}-{number}\n"));
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {kind}\ndata: {data}\n\n").into()
}
