//! One request head, as Icecast's clients write it.
//!
//! Accepted: bare line feeds, a missing `Host`, `ICE/1.0` as the version, and methods that HTTP does
//! not define. A head is parsed once; what is decided from it later reads the parsed head.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::{Reply, Version};

/// The most header fields that a head may have.
pub const MAX_FIELDS: usize = 64;
/// Memory that a parsed head takes beside its bytes, at most, in bytes.
pub const HEAD_INDEX_MEMORY: usize = MAX_FIELDS * size_of::<Field>();

/// A parsed request head with its bytes.
#[derive(Clone)]
pub struct RequestHead {
    bytes: Bytes,
    method: Span,
    target: Span,
    version: Version,
    fields: Vec<Field>,
}

/// Positions in the head's bytes. A head is at most 64 KiB long, and ends with an empty line.
#[derive(Clone, Copy)]
struct Span(u16, u16);

#[derive(Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

impl RequestHead {
    /// Takes a head off the front of `read`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// The reply to bytes that are not a request head, or to one with too many fields.
    pub fn take(read: &mut Vec<u8>) -> Result<Option<Self>, Reply> {
        // Clients may send blank lines between requests (RFC 9112, section 2.2).
        let blank = read.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        read.drain(..blank);
        normalize_ice_version(read);
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut room);
        let length = match request.parse(read) {
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
        let span = |part: &[u8]| Span::of(part, read);
        let fields = request.headers.iter().map(|field| Field {
            name: span(field.name.as_bytes()),
            value: span(field.value.trim_ascii()),
        });
        let (fields, method, target) = (
            fields.collect(),
            span(request.method.unwrap_or_default().as_bytes()),
            span(request.path.unwrap_or_default().as_bytes()),
        );
        // A copy takes no more memory than the head is long; `read` may have grown to twice that.
        let bytes = Bytes::copy_from_slice(read.get(..length).unwrap_or_default());
        read.drain(..length);
        Ok(Some(Self { bytes, method, target, version, fields }))
    }

    /// `GET`, `PUT`, `SOURCE`, …
    pub fn method(&self) -> &str {
        self.text(self.method).unwrap_or_default()
    }

    /// Path and query, as the client sent them.
    pub fn target(&self) -> &str {
        self.text(self.target).unwrap_or_default()
    }

    /// The bytes of [`Self::target`], shared with the head.
    pub(super) fn target_bytes(&self) -> Bytes {
        let range = self.target.range();
        if range.end <= self.bytes.len() { self.bytes.slice(range) } else { Bytes::new() }
    }

    /// The version of HTTP that the client speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The head's bytes, as they were parsed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The head's bytes without the positions of its parts.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The first value of a field that is UTF-8; `None` if there is none.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.text_values(name).next()
    }

    /// All values of a field, whatever their bytes are.
    pub fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
        let named =
            move |field: &&Field| self.part(field.name).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(named).map(|field| self.part(field.value))
    }

    /// All fields: name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.part(field.name), self.part(field.value)))
    }

    /// Whether the client wants to send another request on this connection (RFC 9112, section 9.3).
    pub fn keeps_connection(&self) -> bool {
        let has = |word: &str| {
            let options = self.text_values("connection").flat_map(|value| value.split(','));
            options.map(str::trim).any(|option| option.eq_ignore_ascii_case(word))
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
    /// Shows the method only: target and fields may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead").field("method", &self.method()).finish_non_exhaustive()
    }
}

impl Span {
    /// Where `part` is in `whole`, of which it is a slice.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        let position = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self(position(start), position(start.saturating_add(part.len())))
    }

    fn range(self) -> Range<usize> {
        usize::from(self.0)..usize::from(self.1)
    }
}

/// Replaces the version of old encoders (`ICE/1.0`) by one that a parser of HTTP accepts, once the
/// first line is complete.
fn normalize_ice_version(bytes: &mut Vec<u8>) {
    const OLD: &[u8] = b" ICE/1.0";
    let Some(line) = bytes.iter().position(|&b| b == b'\n') else { return };
    let line = &bytes[..line];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(before) = line.strip_suffix(OLD) {
        let (from, until) = (before.len(), line.len());
        bytes.splice(from..until, *b" HTTP/1.0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<(String, String, Version, usize)>, u16> {
        match RequestHead::take(&mut bytes.to_vec()) {
            Ok(head) => Ok(head.map(|head| {
                (head.method().into(), head.target().into(), head.version(), head.bytes().len())
            })),
            Err(reply) => Err(reply.status),
        }
    }

    #[test]
    fn heads_of_every_age_are_read() {
        let line = |m: &str, v, l| Ok(Some((m.to_owned(), "/m".to_owned(), v, l)));
        assert_eq!(
            read(b"PUT /m HTTP/1.1\r\nHost: a\r\n\r\nOggS"),
            line("PUT", Version::Http11, 28)
        );
        assert_eq!(read(b"SOURCE /m HTTP/1.0\nA: b\n\n"), line("SOURCE", Version::Http10, 25));
        assert_eq!(read(b"SOURCE /m ICE/1.0\r\n\r\n"), line("SOURCE", Version::Http10, 22));
        assert_eq!(read(b"GET /m HTTP/1.0\r\nHo"), Ok(None));
        assert_eq!(read(b"\r\n\r\nGET /m HTTP/1.1\r\n\r\n"), line("GET", Version::Http11, 19));
    }

    #[test]
    fn a_head_is_taken_off_and_the_rest_stays() {
        let mut read = b"PUT /m HTTP/1.1\r\nA:  b \r\nA: \xff\r\n\r\nOggS".to_vec();
        let head = RequestHead::take(&mut read).unwrap().unwrap();
        assert_eq!(read, b"OggS");
        assert_eq!(head.field("a"), Some("b"));
        assert_eq!(head.values("A").collect::<Vec<_>>(), [&b"b"[..], b"\xff"]);
        assert_eq!(head.fields().count(), 2);
        assert_eq!(head.field("b"), None);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert_eq!(read(b"\x16\x03\x01\x02\x00\x01"), Err(400));
        assert_eq!(read(b"GET /m HTTP/2.0\r\n\r\n"), Err(400));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(read(many.as_bytes()), Err(431));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let head = "GET /m?token=secret HTTP/1.1\r\nAuthorization: Bearer secret\r\n\r\n";
        let head = RequestHead::take(&mut head.as_bytes().to_vec()).unwrap().unwrap();
        assert!(!format!("{head:?}").contains("secret"));
    }

    #[test]
    fn connections_stay_as_their_version_says() {
        for (head, stays) in [
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: TE, close\r\n\r\n", false),
        ] {
            let head = RequestHead::take(&mut head.as_bytes().to_vec()).unwrap().unwrap();
            assert_eq!(head.keeps_connection(), stays);
        }
    }
}
