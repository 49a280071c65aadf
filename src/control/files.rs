//! Responses for files that caches keep: validators, HEAD, and parts of a file (RFC 9110, sections 8.8, 13 and 14).

use std::ops::Range;
use std::time::SystemTime;

use http_range_header::parse_range_header;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};

use super::negotiation::is_known;
use super::response::{HttpResponse, ResponseBody, document, with_type};

/// What a cache learns of a file.
#[derive(Clone, Debug)]
pub(super) struct FileHead {
    pub(super) content_type: &'static str,
    /// `Cache-Control`.
    pub(super) cache: String,
    /// The entity tag, with its quotes.
    pub(super) tag: String,
    /// When the file got its content.
    pub(super) modified: SystemTime,
    /// Whether the file never changes.
    pub(super) is_final: bool,
    /// The length in bytes.
    pub(super) length: u64,
}

/// Responds to a request for a file. `body` makes the part of it that is sent.
pub(super) fn file(
    fields: &HeaderMap,
    head: &FileHead,
    body: impl FnOnce(Range<u64>) -> ResponseBody,
) -> HttpResponse {
    let (status, range) = if is_unchanged(fields, head) {
        (StatusCode::NOT_MODIFIED, None)
    } else {
        match requested_range(fields, head) {
            None => (StatusCode::OK, Some(0..head.length)),
            Some(Ok(range)) => (StatusCode::PARTIAL_CONTENT, Some(range)),
            Some(Err(Unsatisfiable)) => (StatusCode::RANGE_NOT_SATISFIABLE, None),
        }
    };
    let mut response = match &range {
        Some(range) => with_type(head.content_type, body(range.clone())),
        None => document(head.content_type, ""),
    };
    *response.status_mut() = status;
    let mut say = |name: HeaderName, value: String| {
        // Numbers, dates and names, so it never fails.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    };
    say(ETAG, head.tag.clone());
    say(LAST_MODIFIED, httpdate::fmt_http_date(head.modified));
    say(CACHE_CONTROL, head.cache.clone());
    say(ACCEPT_RANGES, "bytes".to_owned());
    let length = head.length;
    if let Some(range) = &range {
        say(CONTENT_LENGTH, (range.end - range.start).to_string());
    }
    match (status, range) {
        (StatusCode::PARTIAL_CONTENT, Some(range)) => {
            say(CONTENT_RANGE, format!("bytes {}-{}/{length}", range.start, range.end - 1));
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, _) => say(CONTENT_RANGE, format!("bytes */{length}")),
        _ => {}
    }
    response
}

/// The file has none of the bytes that were asked for.
struct Unsatisfiable;

/// Whether the client has the file already.
fn is_unchanged(fields: &HeaderMap, head: &FileHead) -> bool {
    if fields.contains_key(IF_NONE_MATCH) {
        return is_known(fields, &head.tag);
    }
    // A date has seconds, within which a playlist changes.
    let since = fields.get(IF_MODIFIED_SINCE).filter(|_| head.is_final);
    let since = since.and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    // Dates have no fraction of a second.
    let modified = httpdate::parse_http_date(&httpdate::fmt_http_date(head.modified));
    since.is_some_and(|since| modified.is_ok_and(|modified| modified <= since))
}

/// The only range that was asked for. `None` for the whole file: without `Range`, for one that is not
/// valid, for several ranges, and if the file is not the one that the client has a part of.
fn requested_range(
    fields: &HeaderMap,
    head: &FileHead,
) -> Option<Result<Range<u64>, Unsatisfiable>> {
    let text = fields.get(RANGE)?.to_str().ok()?;
    if fields.get(IF_RANGE).is_some_and(|tag| tag.as_bytes() != head.tag.as_bytes()) {
        return None;
    }
    let parsed = parse_range_header(text).ok()?;
    match parsed.validate(head.length) {
        Ok(ranges) => match &ranges[..] {
            [range] => Some(Ok(*range.start()..range.end().saturating_add(1))),
            _ => None,
        },
        Err(_) => Some(Err(Unsatisfiable)),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Either, Full};
    use hyper::body::Bytes;

    use super::*;

    fn answer(fields: &[(HeaderName, &str)]) -> (u16, Option<String>, Option<Range<u64>>) {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        let head = FileHead {
            content_type: "audio/mp4",
            cache: "public".into(),
            tag: "\"a\"".into(),
            modified: SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_000_500),
            is_final: true,
            length: 100,
        };
        let mut sent = None;
        let response = file(&fields.collect(), &head, |range| {
            sent = Some(range);
            Either::Left(Full::new(Bytes::new()))
        });
        let range = response.headers().get(CONTENT_RANGE).map(|it| it.to_str().unwrap().to_owned());
        (response.status().as_u16(), range, sent)
    }

    #[test]
    fn parts_of_a_file_are_sent_as_asked() {
        let part = |range: Range<u64>| {
            let text = format!("bytes {}-{}/100", range.start, range.end - 1);
            (206, Some(text), Some(range))
        };
        let whole = (200, None, Some(0..100));
        for (range, expected) in [
            ("bytes=0-", part(0..100)),
            ("bytes=0-0", part(0..1)),
            ("bytes=10-19", part(10..20)),
            ("bytes=-5", part(95..100)),
            ("bytes=90-1000", part(90..100)),
            ("bytes=100-", (416, Some("bytes */100".into()), None)),
            ("bytes=0-1,5-6", whole.clone()),
            ("bytes=5-2", whole.clone()),
            ("lines=1-2", whole.clone()),
            ("bytes=a-b", whole.clone()),
        ] {
            assert_eq!(answer(&[(RANGE, range)]), expected, "{range}");
        }
        assert_eq!(answer(&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"b\"")]), whole);
        assert_eq!(answer(&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"a\"")]), part(1..3));
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let (same, earlier) = ("Thu, 01 Jan 1970 00:16:40 GMT", "Thu, 01 Jan 1970 00:16:39 GMT");
        for (field, value, status) in [
            (IF_NONE_MATCH, "\"a\"", 304),
            (IF_NONE_MATCH, "W/\"a\"", 304),
            (IF_NONE_MATCH, "\"b\"", 200),
            (IF_MODIFIED_SINCE, same, 304),
            (IF_MODIFIED_SINCE, earlier, 200),
            (IF_MODIFIED_SINCE, "yesterday", 200),
        ] {
            assert_eq!(answer(&[(field.clone(), value)]).0, status, "{field}: {value}");
        }
        let both = [(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, same)];
        assert_eq!(answer(&both).0, 200, "the tag decides");
    }
}
