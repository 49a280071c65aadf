//! Values as documents show them: states, times, seconds, bitrates, paths.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::mount::{MountEntry, SourceState, StreamInfo};
use crate::stats::Counter;

/// A counter of samples at 48 kHz, in seconds to the millisecond.
pub(super) fn seconds(samples: &Counter) -> f64 {
    (samples.get() / 48) as f64 / 1000.0
}

/// What the source sends, in bit/s: of its last seconds, or where that is not known, since it began.
pub(super) fn measured_bitrate(entry: &MountEntry, stream: &StreamInfo) -> u64 {
    entry.gauges.bitrate().unwrap_or_else(|| {
        let milliseconds = stream.source.connected.elapsed().as_millis() as u64;
        let bytes = entry.counters.bytes_in.get() - stream.source.bytes_before;
        (bytes * 8000).checked_div(milliseconds).unwrap_or_default()
    })
}

/// A mount's name as it stands in a URL.
pub(crate) fn url_path(mount: &str) -> impl std::fmt::Display {
    const MAX_STORED_EVENTS: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(mount, MAX_STORED_EVENTS)
}

/// A time as Icecast writes it, for people and for programs, both in UTC.
pub(super) fn dates(at: SystemTime) -> (String, String) {
    let people = httpdate::fmt_http_date(at).replace("GMT", "+0000");
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+0000");
    let programs = OffsetDateTime::from(at).format(format).unwrap_or_default();
    (people, programs)
}

/// Whether a source is heard, in a word.
pub(super) fn state(state: SourceState) -> &'static str {
    match state {
        SourceState::Live => "live",
        SourceState::Gap => "gap",
    }
}

/// A time as RFC 3339 has it, to the millisecond, in UTC.
pub(super) fn date(at: SystemTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(at).format(format).unwrap_or_default()
}

/// To the thousandth.
pub(super) fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
