//! A source's pages in order: which of them are headers, which are audio.
//!
//! A listener that joins in mid-stream needs the headers first, so they are
//! kept whole. What is no single logical stream of a known codec is refused here,
//! with a sentence that says what arrived instead.

use std::sync::Arc;

use crate::codec::{Codec, CodecError};
use crate::page::{MAX_PAGE, Page, PageHeader, Probe, rewrite_header, write_page};
use crate::tags::{MAX_TAGS, Tags, trimmed};

/// The most that the header pages of one stream may take, in bytes. Tags with a cover picture fit.
pub const MAX_HEADERS: usize = 128 * 1024;
/// The most packets that they may consist of. FLAC has one for each metadata block.
const MAX_HEADER_PACKETS: usize = 256;
/// The most that is kept of them, and sent to each listener: two pages.
pub const MAX_KEPT_HEADERS: usize = 2 * MAX_PAGE;

/// The headers of one logical stream, complete.
#[derive(Clone, Debug)]
pub struct Headers {
    /// What the audio is.
    pub codec: Codec,
    /// What it says of itself.
    pub tags: Tags,
    /// The header pages, without what is too much to be sent to each listener.
    pub pages: Arc<[u8]>,
    /// How many bytes of tags, and of what else a listener does not need, are left out.
    pub tags_left_out: u64,
    /// Logical stream number.
    pub serial: u32,
}

impl Headers {
    /// The same as the beginning of another logical stream, numbered from 0; and how many pages.
    pub fn renumbered(&self, serial: u32) -> (Self, u32) {
        let mut pages = self.pages.to_vec();
        let (mut at, mut sequence) = (0, 0);
        while let Probe::Page(page) = Page::probe(&pages[at..]) {
            let length = page.bytes().len();
            let granule = page.granule().unwrap_or(u64::MAX);
            let header =
                PageHeader { first: sequence == 0, last: false, granule, serial, sequence };
            rewrite_header(&mut pages[at..][..length], header);
            (at, sequence) = (at.saturating_add(length), sequence.saturating_add(1));
        }
        (Self { pages: pages.into(), serial, ..self.clone() }, sequence)
    }
}

/// What a page turned out to be.
#[derive(Debug)]
pub enum PageRole {
    /// One of the header pages, and more are to come.
    Header,
    /// The last of the header pages: the stream can be joined from here.
    Headers(Headers),
    /// Audio of the stream.
    Audio,
    /// A page that belongs nowhere (before any beginning, after the end): ignored.
    Stray,
}

/// Why a source cannot be relayed; its text finishes the sentence "this is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The first page tells no codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// More than one logical stream at the same time.
    #[error("several logical streams at once")]
    Multiplexed,
    /// More than [`MAX_HEADERS`] bytes of header pages, or more packets than any stream needs.
    #[error("an Ogg stream with more than {} KiB of headers", MAX_HEADERS / 1024)]
    HeadersTooLong,
    /// The headers that a listener needs do not fit two pages.
    #[error("an Ogg stream with more than 63 KiB of headers that its listeners need")]
    KeptHeadersTooLong,
}

/// Follows the logical stream, and the next one where streams are chained.
#[derive(Default)]
pub struct StreamReader {
    state: ReaderState,
}

#[derive(Default)]
enum ReaderState {
    #[default]
    Before,
    Headers(HeaderCollector),
    Audio {
        serial: u32,
    },
    After,
}

struct HeaderCollector {
    codec: Codec,
    serial: u32,
    /// Bytes of all pages so far.
    bytes: usize,
    /// Whole packets, and the one that is not whole yet.
    packets: Vec<Vec<u8>>,
    packet: Vec<u8>,
    tags: Tags,
}

impl StreamReader {
    /// Takes the next page and says what it is.
    ///
    /// # Errors
    /// [`StreamError`] if the source is not one logical stream of a known codec.
    pub fn push(&mut self, page: &Page<'_>) -> Result<PageRole, StreamError> {
        if page.is_first() {
            // A second beginning while the first has no audio yet: streams side by side.
            if matches!(self.state, ReaderState::Headers(_)) {
                return Err(StreamError::Multiplexed);
            }
            self.state =
                ReaderState::Headers(HeaderCollector::new(Codec::of(page)?, page.serial()));
        }
        match &mut self.state {
            ReaderState::Headers(gathering) if gathering.serial != page.serial() => {
                Err(StreamError::Multiplexed)
            }
            ReaderState::Headers(gathering) => {
                if !gathering.add(page)? {
                    return Ok(PageRole::Header);
                }
                let headers = gathering.finish()?;
                self.state = ReaderState::Audio { serial: headers.serial };
                Ok(PageRole::Headers(headers))
            }
            ReaderState::Audio { serial } if *serial == page.serial() => {
                if page.is_last() {
                    self.state = ReaderState::After;
                }
                Ok(PageRole::Audio)
            }
            ReaderState::Before | ReaderState::Audio { .. } | ReaderState::After => {
                Ok(PageRole::Stray)
            }
        }
    }
}

impl HeaderCollector {
    fn new(codec: Codec, serial: u32) -> Self {
        Self {
            codec,
            serial,
            bytes: 0,
            packets: Vec::new(),
            packet: Vec::new(),
            tags: Tags::default(),
        }
    }

    /// Adds a page; true once the headers are complete.
    fn add(&mut self, page: &Page<'_>) -> Result<bool, StreamError> {
        self.bytes = self.bytes.saturating_add(page.bytes().len());
        if self.bytes > MAX_HEADERS {
            return Err(StreamError::HeadersTooLong);
        }
        let mut complete = false;
        for (piece, ends) in page.pieces() {
            // A packet is up to three pages: growing by doubling would only cost memory.
            self.packet.reserve_exact(piece.len());
            self.packet.extend_from_slice(piece);
            if ends {
                if self.packets.len() == 1 {
                    self.tags = Tags::read(&self.packet);
                }
                if self.packets.len() >= MAX_HEADER_PACKETS {
                    return Err(StreamError::HeadersTooLong);
                }
                self.packets.push(std::mem::take(&mut self.packet));
                complete |= self.is_last_header();
            }
        }
        Ok(complete)
    }

    /// Whether the packet just finished is the last of the headers.
    fn is_last_header(&self) -> bool {
        let (count, last) = (self.packets.len(), self.packets.last());
        match self.codec {
            Codec::Opus(_) => count == 2,
            Codec::Vorbis { .. } => count == 3,
            // The FLAC block header's top bit marks the last block; in the first packet it
            // stands behind the mapping's own 13 bytes.
            Codec::Flac { more_headers: 0, .. } => {
                let at = if count == 1 { FLAC_BLOCK_AT } else { 0 };
                last.and_then(|packet| packet.get(at)).is_some_and(|block| block & FLAC_LAST != 0)
            }
            Codec::Flac { more_headers, .. } => count == 1 + usize::from(more_headers),
        }
    }

    fn finish(&mut self) -> Result<Headers, StreamError> {
        let tags_left_out = self.trim();
        let pages = self.pages().ok_or(StreamError::KeptHeadersTooLong)?;
        debug_assert!(pages.len() <= MAX_KEPT_HEADERS);
        Ok(Headers {
            codec: self.codec.clone(),
            tags: std::mem::take(&mut self.tags),
            pages: pages.into(),
            tags_left_out,
            serial: self.serial,
        })
    }

    /// Takes out of the packets after the first what no listener needs; says how many bytes that were.
    fn trim(&mut self) -> u64 {
        let is_flac = matches!(self.codec, Codec::Flac { .. });
        let mut left_out = 0;
        let mut packets = std::mem::take(&mut self.packets).into_iter();
        self.packets.extend(packets.next());
        for packet in packets {
            if is_flac && packet.first().is_some_and(|&block| is_unneeded(block, packet.len())) {
                left_out = u64::saturating_add(left_out, packet.len() as u64);
            } else if let Some((shorter, bytes)) = trimmed(&packet) {
                left_out = left_out.saturating_add(bytes);
                self.packets.push(shorter);
            } else {
                self.packets.push(packet);
            }
        }
        if is_flac && left_out > 0 {
            self.count_flac_blocks();
        }
        left_out
    }

    /// Has the first packet of FLAC say how many follow, and the last one that it is the last.
    fn count_flac_blocks(&mut self) {
        let more = self.packets.len().saturating_sub(1);
        let last = more;
        for (number, packet) in self.packets.iter_mut().enumerate() {
            let at = if number == 0 { FLAC_BLOCK_AT } else { 0 };
            if let Some(block) = packet.get_mut(at) {
                *block = *block & !FLAC_LAST | if number == last { FLAC_LAST } else { 0 };
            }
        }
        let count = self.packets.first_mut().and_then(|first| first.get_mut(FLAC_COUNT_AT));
        if let (Some(count), Codec::Flac { more_headers: 1.., .. }) = (count, &self.codec) {
            count.copy_from_slice(&u16::try_from(more).unwrap_or(0).to_be_bytes());
        }
    }

    /// The packets on two pages, as every codec here allows; `None` if they do not fit.
    fn pages(&self) -> Option<Vec<u8>> {
        let packets: Vec<&[u8]> = self.packets.iter().map(Vec::as_slice).collect();
        let (first, others) = packets.split_first()?;
        let segments = others.iter().map(|packet| packet.len() / 255).sum::<usize>();
        if segments.saturating_add(others.len()) > 255 {
            return None;
        }
        let mut pages = Vec::new();
        let header = PageHeader { serial: self.serial, ..PageHeader::default() };
        write_page(&mut pages, PageHeader { first: true, ..header }, &[first]);
        if !others.is_empty() {
            write_page(&mut pages, PageHeader { sequence: 1, ..header }, others);
        }
        Some(pages)
    }
}

/// Where the first packet of FLAC in Ogg has the number of header packets that follow, and its own block header
/// (the FLAC project's "Ogg FLAC Mapping").
const FLAC_COUNT_AT: std::ops::Range<usize> = 7..9;
const FLAC_BLOCK_AT: usize = 13;
/// The bit of a block header that marks the last one, and the types of blocks that no listener needs.
const FLAC_LAST: u8 = 0x80;
const FLAC_PADDING: u8 = 1;
const FLAC_APPLICATION: u8 = 2;
const FLAC_SEEK_TABLE: u8 = 3;
const FLAC_CUE_SHEET: u8 = 5;
const FLAC_PICTURE: u8 = 6;

/// Whether a block of FLAC's is of no use to somebody who joins a stream, or too long for what it is worth.
fn is_unneeded(block: u8, length: usize) -> bool {
    match block & !FLAC_LAST {
        FLAC_PADDING | FLAC_PICTURE => true,
        FLAC_APPLICATION | FLAC_SEEK_TABLE | FLAC_CUE_SHEET => length > MAX_TAGS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{PageHeader, Probe, write_page};

    const HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00";

    fn page(first: bool, last: bool, serial: u32, packets: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let sequence = u32::from(!first);
        write_page(
            &mut bytes,
            PageHeader { first, last, serial, sequence, ..PageHeader::default() },
            packets,
        );
        bytes
    }

    fn push(stream: &mut StreamReader, bytes: &[u8]) -> Result<PageRole, StreamError> {
        let Probe::Page(page) = Page::probe(bytes) else { panic!("not a page") };
        stream.push(&page)
    }

    #[test]
    fn headers_then_audio_then_a_chained_stream() {
        let mut stream = StreamReader::default();
        for serial in [1, 2] {
            let (head, tags) =
                (page(true, false, serial, &[HEAD]), page(false, false, serial, &[b"OpusTags"]));
            assert!(matches!(push(&mut stream, &head), Ok(PageRole::Header)));
            let Ok(PageRole::Headers(headers)) = push(&mut stream, &tags) else {
                panic!("no headers")
            };
            assert_eq!(headers.pages[..], [head, tags].concat());
            let audio = page(false, serial == 1, serial, &[b"x"]);
            assert!(matches!(push(&mut stream, &audio), Ok(PageRole::Audio)));
        }
        assert!(matches!(
            push(&mut stream, &page(false, false, 1, &[b"late"])),
            Ok(PageRole::Stray)
        ));
    }

    #[test]
    fn a_cover_picture_is_not_passed_on() {
        let picture = [&b"METADATA_BLOCK_PICTURE="[..], &vec![b'A'; 50_000]].concat();
        let mut packet = b"OpusTags\x04\0\0\0test\x02\0\0\0\x0a\0\0\0TITLE=Dusk".to_vec();
        packet.extend((picture.len() as u32).to_le_bytes());
        packet.extend(&picture);
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 7, &[HEAD])).unwrap();
        let Ok(PageRole::Headers(headers)) = push(&mut stream, &page(false, false, 7, &[&packet]))
        else {
            panic!("no headers")
        };
        let short = b"OpusTags\x04\0\0\0test\x01\0\0\0\x0a\0\0\0TITLE=Dusk";
        let mut wanted = page(true, false, 7, &[HEAD]);
        write_page(
            &mut wanted,
            PageHeader { sequence: 1, serial: 7, ..PageHeader::default() },
            &[short],
        );
        assert_eq!(headers.pages[..], wanted);
        assert_eq!(headers.tags_left_out, picture.len() as u64 + 4);
        assert_eq!(headers.tags.title.as_deref(), Some("Dusk"));
    }

    #[test]
    fn flac_says_how_many_blocks_are_left() {
        let mut head = b"\x7fFLAC\x01\x00\x00\x03fLaC\x00\x00\x00\x22".to_vec();
        head.extend([0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x00, 0xf0]);
        head.resize(17 + 34, 0);
        let comments: &[u8] = b"\x04\0\0\x08\0\0\0\0\0\0\0\0";
        let picture = [&b"\x06\0\x27\x10"[..], &[7; 10_000]].concat();
        let padding: &[u8] = b"\x81\0\0\x04\0\0\0\0";
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 7, &[&head])).unwrap();
        let blocks: [&[u8]; 3] = [comments, &picture, padding];
        let Ok(PageRole::Headers(headers)) = push(&mut stream, &page(false, false, 7, &blocks))
        else {
            panic!("no headers")
        };
        let Probe::Page(first) = Page::probe(&headers.pages) else { panic!("no page") };
        let Probe::Page(second) = Page::probe(&headers.pages[first.bytes().len()..]) else {
            panic!("no page")
        };
        assert_eq!(first.body()[7..9], [0, 1], "one more header packet");
        assert_eq!(second.body(), b"\x84\0\0\x08\0\0\0\0\0\0\0\0", "and it is the last");
        assert_eq!(headers.tags_left_out, (picture.len() + padding.len()) as u64);
    }

    #[test]
    fn streams_side_by_side_are_refused() {
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 1, &[HEAD])).unwrap();
        let second = push(&mut stream, &page(true, false, 2, &[HEAD]));
        assert_eq!(second.unwrap_err(), StreamError::Multiplexed);
    }

    #[test]
    fn headers_without_end_are_refused() {
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 1, &[HEAD])).unwrap();
        let mut endless = page(false, false, 1, &[&vec![0; 60_000]]);
        // Make it one unfinished packet: the last lacing value may not end it.
        let segments = usize::from(endless[26]);
        let last = endless[27 + segments - 1];
        endless.truncate(endless.len() - usize::from(last));
        endless.remove(27 + segments - 1);
        endless[26] -= 1;
        crate::page::update_checksum(&mut endless);
        let refused = (0..4).find_map(|_| push(&mut stream, &endless).err());
        assert_eq!(refused, Some(StreamError::HeadersTooLong));
    }

    #[test]
    fn audio_before_any_beginning_is_stray() {
        let mut stream = StreamReader::default();
        assert!(matches!(push(&mut stream, &page(false, false, 1, &[b"x"])), Ok(PageRole::Stray)));
    }
}
