//! What a browser takes and what it has already: content codings and entity tags (RFC 9110, sections 12.5.3 and 13.1.2).

use crc::{CRC_32_ISO_HDLC, Crc};
use hyper::header::{ACCEPT_ENCODING, HeaderMap, IF_NONE_MATCH};

/// Whether the client takes gzip.
pub(super) fn accepts_gzip(fields: &HeaderMap) -> bool {
    let mut codings = fields
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let never =
            weight.replace(' ', "").trim_start_matches("q=0").chars().all(|c| c == '0' || c == '.');
        name.trim().eq_ignore_ascii_case("gzip") && (weight.is_empty() || !never)
    })
}

/// The entity tag of a body.
pub(super) fn tag(body: &[u8], compressed: bool) -> String {
    let sum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(body);
    format!("\"{sum:08x}{}\"", if compressed { "-gzip" } else { "" })
}

/// Whether the client has the body with this tag already (`If-None-Match`).
pub(super) fn is_known(fields: &HeaderMap, tag: &str) -> bool {
    let mut known = fields
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    known.any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*")
}
