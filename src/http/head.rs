//! Parses HTTP/1 request heads, with the deviations of Icecast clients.
//!
//! Accepted in addition to HTTP: bare line feeds, a missing `Host`, the version `ICE/1.0`, and
//! methods that HTTP does not define. Each head is parsed once; the rest of the server reads the
//! result.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::{Reply, Version};

/// Maximum number of header fields in a request head.
pub const MAX_FIELDS: usize = 64;
/// Maximum memory of a parsed head in addition to its bytes, in bytes.
pub const HEAD_INDEX_MEMORY: usize = MAX_FIELDS * size_of::<Field>();

/// A parsed request head. It owns its bytes.
#[derive(Clone)]
pub struct RequestHead {
    bytes: Bytes,
    method: Span,
    target: Span,
    version: Version,
    fields: Vec<Field>,
}

/// Start and end of a part of the head. `u16` is enough: a head has at most 64 KiB, and all parts
/// end before its final blank line.
#[derive(Clone, Copy)]
struct Span(u16, u16);

#[derive(Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

impl RequestHead {
    /// Parses a head at the front of `buffer` and removes it. `None` means that the head is
    /// incomplete.
    ///
    /// # Errors
    /// The reply to send: 400 if the bytes are not a request head, 431 if there are too many
    /// fields.
    pub fn take(buffer: &mut Vec<u8>) -> Result<Option<Self>, Reply> {
        // Clients may send blank lines between requests (RFC 9112, section 2.2).
        let blank = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        buffer.drain(..blank);
        normalize_ice_version(buffer);
        let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                let sentence = format!("A request has at most {MAX_FIELDS} header fields.");
                return Err(Reply::new(431, sentence));
            }
            Err(error) => {
                return Err(Reply::new(400, format!("This is not an HTTP request ({error}).")));
            }
        };
        let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let span = |part: &[u8]| Span::of(part, buffer);
        let fields = request.headers.iter().map(|field| Field {
            name: span(field.name.as_bytes()),
            value: span(field.value.trim_ascii()),
        });
        let (fields, method, target) = (
            fields.collect(),
            span(request.method.unwrap_or_default().as_bytes()),
            span(request.path.unwrap_or_default().as_bytes()),
        );
        // Copied, because the capacity of `buffer` may be twice the length of the head.
        let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        buffer.drain(..length);
        Ok(Some(Self { bytes, method, target, version, fields }))
    }

    /// The method, such as `GET`, `PUT` or `SOURCE`.
    pub fn method(&self) -> &str {
        self.text(self.method).unwrap_or_default()
    }

    /// The request target (RFC 9112, section 3.2), as the client sent it.
    pub fn target(&self) -> &str {
        self.text(self.target).unwrap_or_default()
    }

    /// The bytes of [`Self::target`], which share the head's memory.
    pub(super) fn target_bytes(&self) -> Bytes {
        let range = self.target.range();
        if range.end <= self.bytes.len() { self.bytes.slice(range) } else { Bytes::new() }
    }

    /// The HTTP version of the request.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The head's bytes, with `ICE/1.0` replaced by `HTTP/1.0`.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Discards the index of the head's parts and returns its bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The first value of the field `name` that is valid UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.text_values(name).next()
    }

    /// All values of the field `name`, including those that are not UTF-8.
    pub fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        let named =
            move |field: &&Field| self.part(field.name).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(named).map(|field| self.part(field.value))
    }

    /// Name and value of each field, in the order in which they were sent.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.part(field.name), self.part(field.value)))
    }

    /// Whether the client asks for a persistent connection (RFC 9112, section 9.3).
    pub fn keeps_connection(&self) -> bool {
        let has = |wanted: &str| {
            let options = self.text_values("connection").flat_map(|value| value.split(','));
            options.map(str::trim).any(|option| option.eq_ignore_ascii_case(wanted))
        };
        match self.version {
            Version::Http10 => has("keep-alive"),
            Version::Http11 => !has("close"),
        }
    }

    fn text_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).filter_map(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    fn text(&self, span: Span) -> Option<&str> {
        std::str::from_utf8(self.part(span)).ok()
    }

    fn part(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }
}

impl fmt::Debug for RequestHead {
    /// Prints only the method, because the target and the fields may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").field("method", &self.method()).finish_non_exhaustive()
    }
}

impl Span {
    /// The position of `part`, which must be a slice of `whole`.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        let position = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self(position(start), position(start.saturating_add(part.len())))
    }

    fn range(self) -> Range<usize> {
        usize::from(self.0)..usize::from(self.1)
    }
}

/// Replaces the version `ICE/1.0` of old encoders by `HTTP/1.0`, because httparse rejects the
/// former. Does nothing until the request line is complete.
fn normalize_ice_version(bytes: &mut Vec<u8>) {
    const ICE_VERSION: &[u8] = b" ICE/1.0";
    let Some(line) = bytes.iter().position(|&b| b == b'\n') else { return };
    let line = &bytes[..line];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(before) = line.strip_suffix(ICE_VERSION) {
        let (start, end) = (before.len(), line.len());
        bytes.splice(start..end, *b" HTTP/1.0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<(String, String, Version, usize)>, u16> {
        match RequestHead::take(&mut bytes.to_vec()) {
            Ok(head) => Ok(head.map(|head| {
                (head.method().into(), head.target().into(), head.version(), head.bytes().len())
            })),
            Err(reply) => Err(reply.status),
        }
    }

    #[test]
    fn http_and_icecast_request_lines_are_parsed() {
        let line = |m: &str, v, l| Ok(Some((m.to_owned(), "/m".to_owned(), v, l)));
        assert_eq!(
            parse(b"PUT /m HTTP/1.1\r\nHost: a\r\n\r\nOggS"),
            line("PUT", Version::Http11, 28)
        );
        assert_eq!(parse(b"SOURCE /m HTTP/1.0\nA: b\n\n"), line("SOURCE", Version::Http10, 25));
        assert_eq!(parse(b"SOURCE /m ICE/1.0\r\n\r\n"), line("SOURCE", Version::Http10, 22));
        assert_eq!(parse(b"GET /m HTTP/1.0\r\nHo"), Ok(None));
        assert_eq!(parse(b"\r\n\r\nGET /m HTTP/1.1\r\n\r\n"), line("GET", Version::Http11, 19));
    }

    #[test]
    fn take_leaves_the_bytes_after_the_head() {
        let mut buffer = b"PUT /m HTTP/1.1\r\nA:  b \r\nA: \xff\r\n\r\nOggS".to_vec();
        let head = RequestHead::take(&mut buffer).unwrap().unwrap();
        assert_eq!(buffer, b"OggS");
        assert_eq!(head.field("a"), Some("b"));
        assert_eq!(head.values("A").collect::<Vec<_>>(), [&b"b"[..], b"\xff"]);
        assert_eq!(head.fields().count(), 2);
        assert_eq!(head.field("b"), None);
    }

    #[test]
    fn malformed_heads_and_too_many_fields_are_rejected() {
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01"), Err(400));
        assert_eq!(parse(b"GET /m HTTP/2.0\r\n\r\n"), Err(400));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parse(many.as_bytes()), Err(431));
    }

    #[test]
    fn debug_output_contains_no_secrets() {
        let head = "GET /m?token=secret HTTP/1.1\r\nAuthorization: Bearer secret\r\n\r\n";
        let head = RequestHead::take(&mut head.as_bytes().to_vec()).unwrap().unwrap();
        assert!(!format!("{head:?}").contains("secret"));
    }

    #[test]
    fn persistence_follows_the_version_and_the_connection_field() {
        for (head, persistent) in [
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: TE, close\r\n\r\n", false),
        ] {
            let head = RequestHead::take(&mut head.as_bytes().to_vec()).unwrap().unwrap();
            assert_eq!(head.keeps_connection(), persistent);
        }
    }
}
