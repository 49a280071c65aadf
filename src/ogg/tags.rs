//! The comment header that Opus, Vorbis and FLAC share: `NAME=value` pairs.

use crate::text::tame;

/// What a stream says of itself and status shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// `TITLE`, if there is one.
    pub title: Option<String>,
    /// `ARTIST`, if there is one.
    pub artist: Option<String>,
}

impl Tags {
    /// Reads a comment packet, with or without its codec's magic before it.
    ///
    /// Broken or absent comments are no reason to refuse audio: what can be read is read.
    pub fn read(packet: &[u8]) -> Self {
        let mut tags = Self::default();
        let magic = [&b"OpusTags"[..], b"\x03vorbis"];
        let comments = magic.iter().find_map(|m| packet.strip_prefix(*m));
        // A FLAC metadata block of type 4 has a header of four bytes.
        let comments = comments.or_else(|| packet.get(4..).filter(|_| packet[0] & 0x7f == 4));
        let Some((_vendor, mut rest)) = comments.and_then(text) else {
            return tags;
        };
        rest = rest.get(4..).unwrap_or_default();
        while let Some((comment, after)) = text(rest) {
            rest = after;
            let Ok(comment) = std::str::from_utf8(comment) else { continue };
            let Some((name, value)) = comment.split_once('=') else { continue };
            let slot = match name.to_ascii_uppercase().as_str() {
                "TITLE" => &mut tags.title,
                "ARTIST" => &mut tags.artist,
                _ => continue,
            };
            slot.get_or_insert_with(|| tame(value));
        }
        tags
    }
}

/// A text with its length before it, and what follows.
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
    }

    #[test]
    fn a_cut_or_lying_packet_gives_what_it_has() {
        for cut in 0..PACKET.len() {
            Tags::read(&PACKET[..cut]);
        }
        assert_eq!(Tags::read(b"OpusTags\xff\xff\xff\xff"), Tags::default());
    }
}
