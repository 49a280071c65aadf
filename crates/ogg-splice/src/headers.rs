//! The headers of a logical stream: collected from its first pages, and reduced to what a listener
//! needs that joins later.

use std::sync::Arc;

use crate::codec::Codec;
use crate::page::{MAX_PAGE, Page, PageHeader, Probe, rewrite_header, write_page};
use crate::stream::StreamError;
use crate::tags::{MAX_TAGS, Tags, retitled, trimmed};

/// The most bytes of header pages that are collected of one stream. Tags with a cover picture fit.
pub const MAX_HEADERS: usize = 128 * 1024;
/// The most bytes of header pages that are kept, and sent to each listener: two pages.
pub const MAX_KEPT_HEADERS: usize = 2 * MAX_PAGE;
/// The most header packets. FLAC has one for each metadata block.
const MAX_HEADER_PACKETS: usize = 256;

/// The first packet of FLAC in Ogg (the FLAC project's "Ogg FLAC Mapping"): the number of header
/// packets that follow, and the position of its own metadata block.
const FLAC_COUNT_AT: std::ops::Range<usize> = 7..9;
const FLAC_BLOCK_AT: usize = 13;
/// The first byte of a metadata block: a flag for the last block, and the block's type.
const FLAC_LAST: u8 = 0x80;
const FLAC_PADDING: u8 = 1;
const FLAC_APPLICATION: u8 = 2;
const FLAC_SEEK_TABLE: u8 = 3;
const FLAC_CUE_SHEET: u8 = 5;
const FLAC_PICTURE: u8 = 6;

/// The complete headers of one logical stream.
#[derive(Clone, Debug)]
pub struct Headers {
    /// What the audio is coded with.
    pub codec: Codec,
    /// Title and artist.
    pub tags: Tags,
    /// The header pages, at most [`MAX_KEPT_HEADERS`] bytes. Pictures and long comments are
    /// removed.
    pub pages: Arc<[u8]>,
    /// How many bytes of the source's headers were removed.
    pub tags_left_out: u64,
    /// Number of the logical stream.
    pub serial: u32,
}

impl Headers {
    /// The same headers for a logical stream with another serial, whose pages are numbered from 0.
    /// Also returns how many pages they are.
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

    /// The same headers with another title and artist, for listeners that join from now on: a
    /// decoder takes the comments of the stream that it joins. `None` if they do not fit.
    #[must_use]
    pub fn retitled(&self, tags: &Tags) -> Option<Self> {
        let mut packets = Vec::new();
        let mut at = 0;
        while let Probe::Page(page) = Page::probe(&self.pages[at..]) {
            // Each header packet is on one page: `write_pages` put it there.
            packets.extend(page.pieces().map(|(packet, _)| packet.to_vec()));
            at = at.saturating_add(page.bytes().len());
        }
        let comments = packets.iter_mut().skip(1).find_map(|packet| {
            let replaced = retitled(packet, tags)?;
            Some((packet, replaced))
        });
        let (packet, replaced) = comments?;
        *packet = replaced;
        let pages = write_pages(&packets, self.serial)?;
        Some(Self { pages: pages.into(), tags: tags.clone(), ..self.clone() })
    }
}

/// Header packets on two pages, which all three codecs allow; `None` if they do not fit.
fn write_pages(packets: &[Vec<u8>], serial: u32) -> Option<Vec<u8>> {
    let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    let (first, others) = packets.split_first()?;
    let segments = others.iter().map(|packet| packet.len() / 255).sum::<usize>();
    if segments.saturating_add(others.len()) > 255 {
        return None;
    }
    let mut pages = Vec::new();
    let header = PageHeader { serial, ..PageHeader::default() };
    write_page(&mut pages, PageHeader { first: true, ..header }, &[first]);
    if !others.is_empty() {
        write_page(&mut pages, PageHeader { sequence: 1, ..header }, others);
    }
    Some(pages)
}

/// Collects the headers of one logical stream from its pages.
pub(crate) struct HeaderCollector {
    codec: Codec,
    pub(crate) serial: u32,
    /// Bytes of all pages so far.
    bytes: usize,
    /// Complete packets.
    packets: Vec<Vec<u8>>,
    /// The beginning of the next one.
    packet: Vec<u8>,
    tags: Tags,
}

impl HeaderCollector {
    pub(crate) fn new(codec: Codec, serial: u32) -> Self {
        Self {
            codec,
            serial,
            bytes: 0,
            packets: Vec::new(),
            packet: Vec::new(),
            tags: Tags::default(),
        }
    }

    /// Adds a page. True once the headers are complete.
    pub(crate) fn add(&mut self, page: &Page<'_>) -> Result<bool, StreamError> {
        self.bytes = self.bytes.saturating_add(page.bytes().len());
        if self.bytes > MAX_HEADERS {
            return Err(StreamError::HeadersTooLong);
        }
        let mut complete = false;
        for (piece, ends) in page.pieces() {
            // Reserves exactly what is needed: doubling would exceed the memory budget, and a
            // packet has few pieces.
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
            // An encoder that does not know the number of its headers marks the last block. In the
            // first packet, the block follows 13 bytes of the Ogg mapping.
            Codec::Flac { more_headers: 0, .. } => {
                let at = if count == 1 { FLAC_BLOCK_AT } else { 0 };
                last.and_then(|packet| packet.get(at)).is_some_and(|block| block & FLAC_LAST != 0)
            }
            Codec::Flac { more_headers, .. } => count == 1 + usize::from(more_headers),
        }
    }

    /// The headers, which must be complete.
    pub(crate) fn finish(&mut self) -> Result<Headers, StreamError> {
        let tags_left_out = self.trim();
        let pages =
            write_pages(&self.packets, self.serial).ok_or(StreamError::KeptHeadersTooLong)?;
        debug_assert!(pages.len() <= MAX_KEPT_HEADERS);
        Ok(Headers {
            codec: self.codec.clone(),
            tags: std::mem::take(&mut self.tags),
            pages: pages.into(),
            tags_left_out,
            serial: self.serial,
        })
    }

    /// Removes what no listener needs from the packets after the first; returns how many bytes.
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

    /// Sets the number of header packets in FLAC's first packet, and marks the last block.
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
}

/// Whether a FLAC metadata block is of no use to a listener, or too long for its use.
fn is_unneeded(block: u8, length: usize) -> bool {
    match block & !FLAC_LAST {
        FLAC_PADDING | FLAC_PICTURE => true,
        FLAC_APPLICATION | FLAC_SEEK_TABLE | FLAC_CUE_SHEET => length > MAX_TAGS,
        _ => false,
    }
}
