//! The comment header of Opus (RFC 7845, section 5.2), Vorbis and FLAC: `NAME=value` pairs.
//!
//! Each listener gets it on joining, and a cover picture may be a hundred times as long as the other
//! headers. So pictures are removed, and the length of the rest is limited.

use std::borrow::Cow;

/// Length of the longest title or artist that is kept, in bytes.
const MAX_VALUE: usize = 1024;
/// Length of the longest comment header that is passed on, in bytes.
pub(crate) const MAX_TAGS: usize = 4 * 1024;
/// Length of the longest vendor string that is passed on, in bytes.
const MAX_VENDOR: usize = 256;

/// Title and artist of a stream, from its comment header.
///
/// The source chooses the values, so they may contain control characters. Each is cut to 1 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// The first `TITLE`, if there is one.
    pub title: Option<String>,
    /// The first `ARTIST`, if there is one.
    pub artist: Option<String>,
}

impl Tags {
    /// Reads the comment header of any of the three codecs.
    ///
    /// Audio is not refused for a missing or damaged comment header, so there is no error: values
    /// that cannot be read are omitted.
    ///
    /// ```
    /// use ogg_splice::Tags;
    ///
    /// let packet = b"OpusTags\x04\0\0\0test\x01\0\0\0\x0a\0\0\0TITLE=Dusk";
    /// assert_eq!(Tags::read(packet).title.as_deref(), Some("Dusk"));
    /// assert_eq!(Tags::read(b"not a comment header"), Tags::default());
    /// ```
    pub fn read(packet: &[u8]) -> Self {
        let mut tags = Self::default();
        let comments = comments_of(packet).and_then(|(_, comments, _)| text(comments));
        let Some((_vendor, mut rest)) = comments else {
            return tags;
        };
        rest = rest.get(4..).unwrap_or_default();
        while let Some((comment, after)) = text(rest) {
            rest = after;
            let comment = decode(comment);
            let Some((name, value)) = comment.split_once('=') else { continue };
            let slot = match name.to_ascii_uppercase().as_str() {
                "TITLE" => &mut tags.title,
                "ARTIST" => &mut tags.artist,
                _ => continue,
            };
            slot.get_or_insert_with(|| cut(value).to_owned());
        }
        tags
    }
}

/// A comment header without pictures and of at most [`MAX_TAGS`] bytes, with the first comments
/// that fit. Also returns how many bytes were removed. `None` if the packet can be passed on as it
/// is, or is not a comment header.
pub(crate) fn trimmed(packet: &[u8]) -> Option<(Vec<u8>, u64)> {
    let (magic, comments, is_vorbis) = comments_of(packet)?;
    // A damaged comment header is passed on if it is short, and emptied if it is long.
    let (vendor, rest) = match text(comments) {
        Some(read) => read,
        None if packet.len() > MAX_TAGS => (&[][..], &[][..]),
        None => return None,
    };
    let mut rest = rest.get(4..).unwrap_or_default();
    let (mut kept, mut count, mut all_kept) = (Vec::new(), 0_u32, packet.len() <= MAX_TAGS);
    let vendor = vendor.get(..MAX_VENDOR).unwrap_or(vendor);
    while let Some((comment, after)) = text(rest) {
        rest = after;
        let parts = [magic.len(), 8, vendor.len(), kept.len(), 4, comment.len(), 1];
        let size = parts.into_iter().fold(0, usize::saturating_add);
        if is_picture(comment) || size > MAX_TAGS {
            all_kept = false;
            continue;
        }
        kept.extend_from_slice(&length(comment));
        kept.extend_from_slice(comment);
        count = count.saturating_add(1);
    }
    if all_kept {
        return None;
    }
    let out = comment_header(magic, vendor, &kept, count, is_vorbis);
    let left_out = packet.len().saturating_sub(out.len());
    Some((out, left_out as u64))
}

/// A comment header with another title and artist, and the other comments as they were; `None` if
/// the packet is no comment header.
pub(crate) fn retitled(packet: &[u8], tags: &Tags) -> Option<Vec<u8>> {
    let (magic, comments, is_vorbis) = comments_of(packet)?;
    let (vendor, rest) = text(comments)?;
    let mut rest = rest.get(4..).unwrap_or_default();
    let (mut kept, mut count) = (Vec::new(), 0_u32);
    let mut keep = |comment: &[u8]| {
        kept.extend_from_slice(&length(comment));
        kept.extend_from_slice(comment);
        count = count.saturating_add(1);
    };
    for (name, value) in [("TITLE", &tags.title), ("ARTIST", &tags.artist)] {
        if let Some(value) = value {
            keep(format!("{name}={}", cut(value)).as_bytes());
        }
    }
    while let Some((comment, after)) = text(rest) {
        rest = after;
        if !begins(comment, "TITLE=") && !begins(comment, "ARTIST=") {
            keep(comment);
        }
    }
    Some(comment_header(magic, vendor, &kept, count, is_vorbis))
}

/// The comment header of a stream of Opus (RFC 7845, section 5.2), with these comments in the form
/// `NAME=value`.
///
/// ```
/// use ogg_splice::{Tags, opus_tags};
///
/// let packet = opus_tags("an encoder", &["TITLE=Dusk".to_owned(), "DATE=2026-05-01".to_owned()]);
/// assert_eq!(Tags::read(&packet).title.as_deref(), Some("Dusk"));
/// ```
pub fn opus_tags(vendor: &str, comments: &[String]) -> Vec<u8> {
    let list = comments.iter().flat_map(|it| [&length(it.as_bytes())[..], it.as_bytes()].concat());
    let count = u32::try_from(comments.len()).unwrap_or(0);
    comment_header(b"OpusTags", vendor.as_bytes(), &list.collect::<Vec<_>>(), count, false)
}

/// A comment header of `count` comments, which `comments` holds with their lengths.
fn comment_header(
    magic: &[u8],
    vendor: &[u8],
    comments: &[u8],
    count: u32,
    is_vorbis: bool,
) -> Vec<u8> {
    let end: &[u8] = if is_vorbis { &[1] } else { &[] };
    let mut out = [magic, &length(vendor), vendor, &count.to_le_bytes(), comments, end].concat();
    if magic.len() == 4 {
        // A FLAC block header: the type, and the block's length in three bytes.
        let length = u32::try_from(out.len().saturating_sub(4)).unwrap_or(0).to_be_bytes();
        out[1..4].copy_from_slice(&length[1..]);
    }
    out
}

/// A packet's codec-specific beginning, its comments, and whether they end with Vorbis's framing
/// bit.
fn comments_of(packet: &[u8]) -> Option<(&[u8], &[u8], bool)> {
    for (magic, is_vorbis) in [(&b"OpusTags"[..], false), (b"\x03vorbis", true)] {
        if packet.starts_with(magic) {
            let (magic, comments) = packet.split_at(magic.len());
            return Some((magic, comments, is_vorbis));
        }
    }
    // FLAC: a metadata block of type 4, with a header of four bytes.
    let (header, comments) = packet.split_at_checked(4)?;
    (header[0] & 0x7f == 4).then_some((header, comments, false))
}

/// Whether a comment holds a picture or describes one: `METADATA_BLOCK_PICTURE`, `COVERART`,
/// `COVERARTMIME`.
fn is_picture(comment: &[u8]) -> bool {
    begins(comment, "METADATA_BLOCK_PICTURE") || begins(comment, "COVERART")
}

/// Whether a comment begins with this name, in any case.
fn begins(comment: &[u8], name: &str) -> bool {
    comment.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
}

/// A title or artist of at most [`MAX_VALUE`] bytes.
fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_VALUE)]
}

fn length(text: &[u8]) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(0).to_le_bytes()
}

/// Comments are UTF-8 (RFC 7845, section 5.2). Some encoders write Latin-1, which is hardly ever
/// valid UTF-8.
fn decode(comment: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(comment).map_or_else(
        |_| comment.iter().map(|&byte| char::from(byte)).collect::<String>().into(),
        Cow::Borrowed,
    )
}

/// A text that follows its length, and the bytes after it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: &[u8] =
        b"OpusTags\x03\0\0\0abc\x03\0\0\0\x0a\0\0\0title=Dusk\x08\0\0\0ARTIST=A\x07\0\0\0TITLE=B";

    #[test]
    fn first_title_and_artist_are_read() {
        let tags = Tags::read(PACKET);
        assert_eq!(tags.title.as_deref(), Some("Dusk"));
        assert_eq!(tags.artist.as_deref(), Some("A"));
        let latin1 = packet(b"OpusTags", &[b"TITLE=Caf\xe9"]);
        assert_eq!(Tags::read(&latin1).title.as_deref(), Some("Café"));
    }

    /// A packet with these comments.
    fn packet(magic: &[u8], comments: &[&[u8]]) -> Vec<u8> {
        let mut packet = [magic, b"\x03\0\0\0abc", &(comments.len() as u32).to_le_bytes()].concat();
        for comment in comments {
            packet.extend(length(comment));
            packet.extend(*comment);
        }
        packet
    }

    #[test]
    fn pictures_and_long_comments_are_left_out_and_the_rest_stays() {
        let long = [&b"COMMENT="[..], &[b'x'; 5_000]].concat();
        let many: Vec<Vec<u8>> = (0..1_000).map(|n| format!("N={n:04}").into_bytes()).collect();
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        let picture = [&b"metadata_block_picture="[..], &vec![b'A'; 120_000]].concat();
        for magic in [&b"OpusTags"[..], b"\x03vorbis", b"\x04\0\0\0"] {
            let texts: [&[u8]; 2] = [b"TITLE=Dusk", b"ARTIST=A"];
            assert_eq!(trimmed(&packet(magic, &texts)), None);
            for odd in [&picture[..], &long, b"COVERARTMIME=image/png"] {
                let whole = packet(magic, &[texts[0], odd, texts[1]]);
                let (out, left_out) = trimmed(&whole).unwrap();
                assert!(out.len() <= MAX_TAGS && left_out >= odd.len() as u64);
                assert!(out.starts_with(&magic[..1]));
                let without = packet(&out[..magic.len()], &texts);
                assert!(out.starts_with(&without) && out.len() - without.len() <= 1);
                assert_eq!(Tags::read(&out), Tags::read(&whole));
            }
            let (out, _) = trimmed(&packet(magic, &many)).unwrap();
            assert!((MAX_TAGS - 20..=MAX_TAGS).contains(&out.len()), "{}", out.len());
        }
        assert_eq!(trimmed(&[b'x'; 9_000]), None);
        let broken = [&b"OpusTags\xff\xff\xff\xff"[..], &[b'x'; 9_000]].concat();
        assert_eq!(trimmed(&broken), Some((b"OpusTags\0\0\0\0\0\0\0\0".to_vec(), 8_996)));
    }

    #[test]
    fn another_title_replaces_the_old_one_and_leaves_the_rest() {
        let tags = Tags { title: Some("Dämmerung".into()), artist: None };
        for magic in [&b"OpusTags"[..], b"\x03vorbis", b"\x84\0\0\0"] {
            let old = packet(magic, &[b"title=Dusk", b"ENCODER=x", b"Artist=A", b"TITLE=B"]);
            let new = retitled(&old, &tags).unwrap();
            let wanted = packet(&new[..magic.len()], &["TITLE=Dämmerung".as_bytes(), b"ENCODER=x"]);
            assert!(new.starts_with(&wanted) && new.len() - wanted.len() <= 1, "{magic:?}");
            assert_eq!((new[0], Tags::read(&new)), (magic[0], tags.clone()));
        }
        assert_eq!(retitled(b"\x05vorbis", &tags), None);
    }

    #[test]
    fn a_cut_or_lying_packet_gives_what_it_has() {
        for cut in 0..PACKET.len() {
            Tags::read(&PACKET[..cut]);
            trimmed(&PACKET[..cut]);
            retitled(&PACKET[..cut], &Tags::default());
        }
        assert_eq!(Tags::read(b"OpusTags\xff\xff\xff\xff"), Tags::default());
    }
}
