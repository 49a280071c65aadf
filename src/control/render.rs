//! Formats values for documents: states, times, durations, bitrates and URL paths.

use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::mount::{MountEntry, SourceState, StreamInfo};
use crate::stats::Counter;
use crate::utc::Utc;

/// A Unix time in seconds. One that `SystemTime` cannot represent becomes 1970.
pub(super) fn from_unix(seconds: u64) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Converts a counter of samples at 48 kHz to seconds, with a resolution of 1 ms.
pub(super) fn seconds(samples: &Counter) -> f64 {
    (samples.get() / 48) as f64 / 1000.0
}

/// Bitrate of the source in bit/s: over the last seconds, or since it connected if that is not
/// known.
pub(super) fn measured_bitrate(entry: &MountEntry, stream: &StreamInfo) -> u64 {
    entry.gauges.bitrate().unwrap_or_else(|| {
        let milliseconds = stream.source.connected.elapsed().as_millis() as u64;
        let bytes = entry.counters.bytes_in.get() - stream.source.bytes_before;
        (bytes * 8000).checked_div(milliseconds).unwrap_or_default()
    })
}

/// Formats a request's query for use in another URL, with a leading question mark. Returns an empty
/// string for an empty query. Percent-encodes characters that would end the query or the URL
/// (RFC 3986).
pub(super) fn url_query(query: &str) -> String {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{mark}{}", utf8_percent_encode(query, ENCODED))
}

/// Formats a time in UTC as Icecast does: like an HTTP date, and like ISO 8601.
pub(super) fn icecast_dates(at: SystemTime) -> (String, String) {
    let http_like = httpdate::fmt_http_date(at).replace("GMT", "+0000");
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+0000");
    let iso8601 = OffsetDateTime::from(at).format(format).unwrap_or_default();
    (http_like, iso8601)
}

/// The name of a state in JSON and events.
pub(super) fn state_name(state: SourceState) -> &'static str {
    match state {
        SourceState::Live => "live",
        SourceState::Gap => "gap",
    }
}

/// Formats a time as RFC 3339, in UTC, with milliseconds.
pub(super) fn rfc3339(at: SystemTime) -> String {
    Utc::from(at).to_string()
}

/// Rounds to three decimals.
pub(super) fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_cannot_end_the_url_that_it_is_put_into() {
        assert_eq!(url_query(""), "");
        assert_eq!(url_query("token=a%2Bb&burst=0ms"), "?token=a%2Bb&burst=0ms");
        assert_eq!(url_query("a=\"b\"#\r\n<é>"), "?a=%22b%22%23%0D%0A%3C%C3%A9%3E");
    }
}
