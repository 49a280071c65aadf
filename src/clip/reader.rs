//! Makes the pages of a clip, one after the other.

use std::iter::Peekable;

use ogg_splice::{OpusHead, PAGE_HEADER_LEN, PageHeader, opus_tags, write_page};

use super::cut::{ClipCut, ClipPart};
use crate::mount::{PageLog, PlacedPacket, StreamPackets};

/// The most audio in a page, in samples: a second, as RFC 7845, section 5, recommends.
const PAGE_TIME: u64 = 48_000;
/// The most segments in a page (RFC 3533, section 6).
const PAGE_SEGMENTS: usize = 255;
/// How many pages are measured while no other can be published.
const MEASURED_PAGES: usize = 16;
/// Header pages of a stream of Opus.
const HEADERS: u32 = 2;

/// The pages of a clip.
#[derive(Clone, Debug)]
pub struct ClipReader {
    /// Those that are left, the present one last.
    parts: Vec<PartReader>,
}

/// The length of a clip's file, while it is being measured.
#[derive(Clone, Debug)]
pub struct ClipSize {
    reader: ClipReader,
    bytes: u64,
}

/// The ring has overwritten what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ring has overwritten the audio")]
pub struct Overwritten;

#[derive(Clone, Debug)]
struct PartReader {
    part: ClipPart,
    serial: u32,
    /// The header pages; `None` when they were read.
    headers: Option<Vec<u8>>,
    /// Granule position at which the next packet begins, in the mount's stream.
    next: u64,
    /// Number of the next page.
    sequence: u32,
}

/// Groups packets into pages.
struct Pages<I: Iterator<Item = PlacedPacket>> {
    packets: Peekable<I>,
    end: u64,
}

/// The packets of a page.
struct PagePackets {
    packets: Vec<PlacedPacket>,
    segments: usize,
    /// Granule position at which the last one ends.
    end: u64,
}

impl ClipReader {
    /// The pages of `clip`. Its streams have the comments that `comments` returns for the parts, and
    /// serial numbers from `serial` on.
    pub fn new(clip: &ClipCut, serial: u32, comments: impl Fn(&ClipPart) -> Vec<String>) -> Self {
        let reader = |(number, part): (usize, &ClipPart)| {
            let serial = serial.wrapping_add(number as u32);
            PartReader {
                part: part.clone(),
                serial,
                headers: Some(headers(&part.head, serial, &comments(part))),
                next: part.first,
                sequence: HEADERS,
            }
        };
        let mut parts: Vec<_> = clip.parts.iter().enumerate().map(reader).collect();
        parts.reverse();
        Self { parts }
    }

    /// What identifies the file: its headers, which tell of all that is in it.
    pub fn headers(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter_map(|part| part.headers.as_deref())
    }

    /// The next page, or a stream's header pages. `None` at the end.
    ///
    /// # Errors
    /// [`Overwritten`] if it is too late.
    pub fn next_page(&mut self, pages: &PageLog) -> Result<Option<Vec<u8>>, Overwritten> {
        let Some(part) = self.parts.last_mut() else { return Ok(None) };
        if let Some(headers) = part.headers.take() {
            return Ok(Some(headers));
        }
        let packets = part.next_packets(pages)?;
        let mut body = Vec::new();
        let mut ends = Vec::new();
        for (_, packet) in &packets.packets {
            let range = packet.start..packet.start + u64::from(packet.length);
            for slice in pages.ring.held(range).ok_or(Overwritten)? {
                body.extend_from_slice(slice);
            }
            ends.push(body.len());
        }
        let begins = [0].into_iter().chain(ends.iter().copied());
        let slices: Vec<_> = begins.zip(&ends).map(|(from, &to)| &body[from..to]).collect();
        let samples = &part.part.samples;
        let header = PageHeader {
            first: false,
            last: packets.end >= samples.end,
            // A decoder discards what comes after the last page's position.
            granule: packets.end.min(samples.end) - part.part.first,
            serial: part.serial,
            sequence: part.sequence,
        };
        let mut page = Vec::with_capacity(packets.length() as usize);
        write_page(&mut page, header, &slices);
        self.advance(&packets);
        Ok(Some(page))
    }

    /// Goes on after a page with these packets, which is of the present part.
    fn advance(&mut self, packets: &PagePackets) {
        let Some(part) = self.parts.last_mut() else { return };
        part.next = packets.end;
        part.sequence += 1;
        if packets.end >= part.part.samples.end {
            self.parts.pop();
        }
    }
}

impl ClipSize {
    /// Begins to measure.
    pub fn new(reader: ClipReader) -> Self {
        Self { reader, bytes: 0 }
    }

    /// Measures a part of the clip. Returns the length of the file in bytes when all was measured.
    ///
    /// # Errors
    /// [`Overwritten`] if it is too late.
    pub fn measure(&mut self, pages: &PageLog) -> Result<Option<u64>, Overwritten> {
        for _ in 0..MEASURED_PAGES {
            let Some(part) = self.reader.parts.last_mut() else { return Ok(Some(self.bytes)) };
            if let Some(headers) = part.headers.take() {
                self.bytes += headers.len() as u64;
            }
            let packets = part.next_packets(pages)?;
            self.bytes += packets.length();
            self.reader.advance(&packets);
        }
        Ok(None)
    }
}

impl PartReader {
    /// The packets of the next page.
    fn next_packets(&self, pages: &PageLog) -> Result<PagePackets, Overwritten> {
        let mut streams = pages.history.streams();
        let stream = streams.find(|stream| stream.start == self.part.stream).ok_or(Overwritten)?;
        let packets = StreamPackets::new(&pages.ring, stream).from(self.next);
        let mut pages = Pages { packets: packets.peekable(), end: self.part.samples.end };
        let found = pages.next().ok_or(Overwritten)?;
        let is_next = found.packets.first().is_some_and(|(begins, _)| *begins == self.next);
        is_next.then_some(found).ok_or(Overwritten)
    }
}

impl<I: Iterator<Item = PlacedPacket>> Iterator for Pages<I> {
    type Item = PagePackets;

    fn next(&mut self) -> Option<PagePackets> {
        let mut page = PagePackets { packets: Vec::new(), segments: 0, end: 0 };
        let mut samples = 0;
        while let Some((begins, packet)) = self.packets.next_if(|(begins, packet)| {
            let segments = page.segments + segments_of(packet.length);
            let is_continuous = page.packets.is_empty() || *begins == page.end;
            *begins < self.end
                && is_continuous
                && segments <= PAGE_SEGMENTS
                && samples + u64::from(packet.samples) <= PAGE_TIME
        }) {
            page.segments += segments_of(packet.length);
            samples += u64::from(packet.samples);
            page.end = begins + u64::from(packet.samples);
            page.packets.push((begins, packet));
        }
        (!page.packets.is_empty()).then_some(page)
    }
}

impl PagePackets {
    /// Length of the page, in bytes.
    fn length(&self) -> u64 {
        let bytes: u64 = self.packets.iter().map(|(_, packet)| u64::from(packet.length)).sum();
        (PAGE_HEADER_LEN + self.segments) as u64 + bytes
    }
}

/// How many segments a packet takes.
fn segments_of(length: u32) -> usize {
    length as usize / 255 + 1
}

/// The two header pages of a stream (RFC 7845, section 3).
fn headers(head: &OpusHead, serial: u32, comments: &[String]) -> Vec<u8> {
    let vendor = concat!("silvacast ", env!("CARGO_PKG_VERSION"));
    let mut pages = Vec::new();
    let first = PageHeader { first: true, serial, ..PageHeader::default() };
    write_page(&mut pages, first, &[&head.packet()]);
    let second = PageHeader { serial, sequence: 1, ..PageHeader::default() };
    write_page(&mut pages, second, &[&opus_tags(vendor, comments)]);
    pages
}
