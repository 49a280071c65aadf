//! One request head, as clients of this kind really write it.
//!
//! Bare line feeds, a missing Host, `ICE/1.0` for a version and a method that HTTP does
//! not know are all fine. What is not: a head that is too large or not a head at all.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use crate::http::{Reply, Version};

/// The most header fields that are read.
pub const MAX_FIELDS: usize = 64;

/// A parsed head; it borrows the bytes it was read from.
#[derive(Debug)]
pub struct Head<'h, 'b> {
    /// `GET`, `PUT`, `SOURCE`, …
    pub method: &'b str,
    /// As it was sent: path and query.
    pub target: &'b str,
    /// What the client speaks.
    pub version: Version,
    /// Where the body begins.
    pub length: usize,
    fields: &'h [httparse::Header<'b>],
}

/// The room that a parsed head's fields take.
pub type Fields<'b> = [httparse::Header<'b>; MAX_FIELDS];

/// Makes old encoders' first line one that a parser of HTTP understands.
///
/// Call it with what has come so far; it does its work once the first line is there.
pub fn normalize_ice_version(bytes: &mut Vec<u8>) {
    const OLD: &[u8] = b" ICE/1.0";
    let Some(line) = bytes.iter().position(|&b| b == b'\n') else { return };
    let line = &bytes[..line];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(before) = line.strip_suffix(OLD) {
        let (from, until) = (before.len(), line.len());
        bytes.splice(from..until, *b" HTTP/1.0");
    }
}

impl<'h, 'b> Head<'h, 'b> {
    /// Reads a head; `None` if more bytes are needed.
    ///
    /// # Errors
    /// The reply to give where it is no head, or one with too many fields.
    pub fn read(bytes: &'b [u8], fields: &'h mut Fields<'b>) -> Result<Option<Self>, Reply> {
        let mut request = httparse::Request::new(fields);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Reply::new(
                    431,
                    format!("A request has at most {MAX_FIELDS} header fields."),
                ));
            }
            Err(error) => {
                return Err(Reply::new(400, format!("This is not an HTTP request ({error}).")));
            }
        };
        let version = if request.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let (method, target) =
            (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        Ok(Some(Self { method, target, version, length, fields: request.headers }))
    }

    /// A field's value, as text; `None` if it is absent or not text.
    pub fn field(&self, name: &str) -> Option<&'b str> {
        self.fields_named(name).next()
    }

    /// All values of a field that are text.
    pub fn fields_named(&self, name: &str) -> impl DoubleEndedIterator<Item = &'b str> {
        self.values(name).filter_map(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    /// All values of a field, whatever they are.
    pub fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        let named = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value.trim_ascii())
    }

    /// Whether the client wants the connection to stay.
    pub fn keeps_connection(&self) -> bool {
        let said = |word: &str| {
            let options = self.fields_named("connection").flat_map(|value| value.split(','));
            options.map(str::trim).any(|option| option.eq_ignore_ascii_case(word))
        };
        match self.version {
            Version::Http10 => said("keep-alive"),
            Version::Http11 => !said("close"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<(String, String, Version, usize)>, u16> {
        let mut bytes = bytes.to_vec();
        normalize_ice_version(&mut bytes);
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        match Head::read(&bytes, &mut fields) {
            Ok(head) => Ok(head.map(|h| (h.method.into(), h.target.into(), h.version, h.length))),
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
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert_eq!(read(b"\x16\x03\x01\x02\x00\x01"), Err(400));
        assert_eq!(read(b"GET /m HTTP/2.0\r\n\r\n"), Err(400));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(read(many.as_bytes()), Err(431));
    }

    #[test]
    fn connections_stay_as_their_version_says() {
        for (head, stays) in [
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nConnection: TE, close\r\n\r\n", false),
        ] {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let head = Head::read(head.as_bytes(), &mut fields).unwrap().unwrap();
            assert_eq!(head.keeps_connection(), stays);
        }
    }
}
