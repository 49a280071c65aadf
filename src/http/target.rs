//! Parses request targets into prefix, path and query, and redacts them for the log.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::RequestHead;
use crate::text::decode;

/// A parsed request target (RFC 9112, section 3.2). It shares the memory of its request head.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestTarget {
    /// The path as the client sent it, with the prefix.
    raw_path: Bytes,
    query: Bytes,
    /// The path without the prefix, percent-decoded.
    pub path: Box<str>,
    /// The configured `path_prefix` if the path starts with it, otherwise empty.
    pub prefix: Box<str>,
}

impl RequestTarget {
    /// Parses the target of a request. Proxies may send it as an absolute URL.
    pub fn of(head: &RequestHead, prefix: &str) -> Self {
        Self::parse(&head.target_bytes(), prefix)
    }

    fn parse(target: &Bytes, prefix: &str) -> Self {
        let text = text(target);
        let url = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let local = url.map_or(text, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
        let (raw_path, query) = local.split_once('?').unwrap_or((local, ""));
        let bytes = percent_decoded(raw_path);
        let decoded = decode(&bytes);
        let without_prefix =
            decoded.strip_prefix(prefix).filter(|rest| rest.starts_with('/') || rest.is_empty());
        let (prefix, path) = match without_prefix {
            Some("") if !prefix.is_empty() => (prefix, "/"),
            Some(rest) => (prefix, rest),
            None => ("", &*decoded),
        };
        let part = |part: &str| shared(target, part);
        Self {
            raw_path: part(raw_path),
            query: part(query),
            path: path.into(),
            prefix: prefix.into(),
        }
    }

    /// The path as the client sent it, with the prefix.
    pub fn raw_path(&self) -> &str {
        text(&self.raw_path)
    }

    /// The query without its question mark, as the client sent it.
    pub fn query(&self) -> &str {
        text(&self.query)
    }

    /// The value of a query parameter, not decoded.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(self.query(), name)
    }

    /// The value of a query parameter, decoded as an HTML form encodes it: `+` stands for a space.
    pub fn decoded_parameter(&self, name: &str) -> Option<String> {
        self.parameter_bytes(name).map(|bytes| decode(&bytes).into_owned())
    }

    /// The bytes of a query parameter, decoded as an HTML form encodes them: `+` stands for a space.
    pub fn parameter_bytes(&self, name: &str) -> Option<Vec<u8>> {
        Some(percent_decoded(&self.parameter(name)?.replace('+', " ")).into_owned())
    }

    /// The value of a query parameter, percent-decoded.
    pub fn percent_decoded_parameter(&self, name: &str) -> Option<String> {
        self.parameter(name).map(|value| decode(&percent_decoded(value)).into_owned())
    }
}

impl fmt::Debug for RequestTarget {
    /// Prints only the redacted path, because the query and parts of the path may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&redacted_path(&self.path)).finish()
    }
}

fn percent_decoded(text: &str) -> Cow<'_, [u8]> {
    percent_decode_str(text).into()
}

/// Converts bytes that were checked to be UTF-8 when they were parsed.
fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Converts a slice of `target` to [`Bytes`] that share its memory.
fn shared(target: &Bytes, part: &str) -> Bytes {
    let start = part.as_ptr().addr().checked_sub(target.as_ptr().addr());
    let end = start.and_then(|start| start.checked_add(part.len()));
    match (start, end) {
        (Some(start), Some(end)) if end <= target.len() => target.slice(start..end),
        // `part` is not a slice of `target` if it is the "/" that stands for a URL without a path.
        _ => Bytes::copy_from_slice(part.as_bytes()),
    }
}

/// Percent-encodes the name of a mount for the path of a URL (RFC 3986, section 3.3).
pub fn encoded_path(mount: &str) -> impl fmt::Display {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(mount, ENCODED)
}

/// The value of the first query parameter with this name, not decoded.
pub fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// Redacts a decoded path for the log: only the name of a mount or page is left. The rest may be a
/// token or a password in the wrong place.
pub fn redacted_path(path: &str) -> &str {
    let end = path.find(['?', '&', ';', '=', '%', '#', '@']).unwrap_or(path.len());
    // A password may precede an `@`. Text without a leading slash is not a path.
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains('@');
    if is_path { path.get(..end).unwrap_or_default() } else { "" }
}

/// Redacts a request target for the log. The result is empty if `target` is not a valid target.
pub fn redacted_target(target: &str, prefix: &str) -> String {
    let target = RequestTarget::parse(&Bytes::copy_from_slice(target.as_bytes()), prefix);
    redacted_path(&target.path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> RequestTarget {
        RequestTarget::parse(&Bytes::copy_from_slice(target.as_bytes()), "/stream")
    }

    #[test]
    fn redacted_targets_contain_no_secrets() {
        for (target, redacted) in [
            ("/stream/mic-a.opus?token=secret", "/mic-a.opus"),
            ("/mic%20a:1.opus", "/mic a:1.opus"),
            ("/mic.opus%3Ftoken=secret", "/mic.opus"),
            ("/mic.opus%253Ftoken=secret", "/mic.opus"),
            ("/mic.opus&token=secret", "/mic.opus"),
            ("/mic.opus;token=secret", "/mic.opus"),
            ("/token=secret", "/token"),
            ("http://admin:secret@host/admin/stats", "/admin/stats"),
            ("http:/admin:secret@host/admin/stats", ""),
            ("//admin:secret@host/admin/stats", ""),
            ("/admin:secret@host", ""),
            ("admin:secret@host", ""),
            ("secret", ""),
            ("*", ""),
        ] {
            assert_eq!(redacted_target(target, "/stream"), redacted, "{target}");
            let target = parse(target);
            assert!(!format!("{target:?}").contains("secret"), "{target:?}");
        }
    }

    #[test]
    fn the_prefix_is_stripped_once() {
        let parts = |target| {
            let target = parse(target);
            (target.prefix.to_string(), target.path.to_string(), target.query().to_owned())
        };
        let all =
            |prefix: &str, path: &str, query: &str| (prefix.into(), path.into(), query.into());
        assert_eq!(parts("/stream/a%20b?x=1"), all("/stream", "/a b", "x=1"));
        assert_eq!(parts("/stream"), all("/stream", "/", ""));
        assert_eq!(parts("/streams"), all("", "/streams", ""));
        assert_eq!(parts("/stream/stream/a"), all("/stream", "/stream/a", ""));
        assert_eq!(parts("http://host:1/stream/a"), all("/stream", "/a", ""));
        assert_eq!(parts("http://host?x=1"), all("", "/", ""));
        assert_eq!(parts(""), all("", "", ""));
    }

    #[test]
    fn the_first_parameter_of_a_name_is_decoded() {
        let song = |target| parse(target).decoded_parameter("song");
        assert_eq!(
            song("/x?a=1&song=Eurasian+wren%20%26+co&song=2"),
            Some("Eurasian wren & co".into())
        );
        assert_eq!(song("/x?songs=1"), None);
        assert_eq!(song("/x?song=Caf%E9"), Some("Café".into()), "Latin-1");
    }
}
