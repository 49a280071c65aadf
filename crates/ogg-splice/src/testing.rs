//! Streams made by hand, for tests that must know every byte: this crate's own, and those of
//! programs that use it. Only with the feature `testing`.
//!
//! Everything here panics if its input is not what it expects.

#![allow(clippy::arithmetic_side_effects, reason = "numbers that a test chooses")]

use crate::{Codec, OpusHead, Page, PageHeader, Probe, write_page};

/// An identification header of Opus: mono, with a pre-skip of 312 samples.
pub const HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
/// A comment header of Opus with the title "Dusk".
pub const TAGS: &[u8] = b"OpusTags\x04\0\0\0test\x01\0\0\0\x0a\0\0\0TITLE=Dusk";

/// What packets of audio are filled with.
const FILL: u8 = 0x55;

/// What an identification header such as [`HEAD`] says.
pub fn opus_head(packet: &[u8]) -> OpusHead {
    let mut bytes = Vec::new();
    write_page(&mut bytes, PageHeader { first: true, ..PageHeader::default() }, &[packet]);
    match Codec::of(&page(&bytes)) {
        Ok(Codec::Opus(head)) => head,
        other => panic!("not an identification header of Opus: {other:?}"),
    }
}

/// The header pages of a stream.
pub fn headers(serial: u32) -> Vec<u8> {
    headers_with(serial, HEAD, TAGS)
}

/// The header pages of a stream with these packets.
pub fn headers_with(serial: u32, head: &[u8], tags: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = PageHeader { serial, ..PageHeader::default() };
    write_page(&mut out, PageHeader { first: true, ..header }, &[head]);
    write_page(&mut out, PageHeader { sequence: 1, ..header }, &[tags]);
    out
}

/// A page of 20 ms with one packet of `size` bytes, 5 at least, that carries `number`. Numbers
/// count from 0; the page's sequence number and granule position follow from it.
pub fn audio(serial: u32, number: u32, size: usize) -> Vec<u8> {
    let granule = (u64::from(number) + 1) * 960;
    let header = PageHeader { granule, serial, sequence: number + 2, ..PageHeader::default() };
    let mut out = Vec::new();
    write_page(&mut out, header, &[&packet(number, size)]);
    out
}

/// A packet of 20 ms with `size` bytes, 5 at least, that carries `number`.
pub fn packet(number: u32, size: usize) -> Vec<u8> {
    let mut packet = vec![FILL; size.max(5)];
    packet[0] = 0xf8;
    packet[1..5].copy_from_slice(&number.to_le_bytes());
    packet
}

/// Whether a packet is one that [`packet`] makes, unchanged.
pub fn is_intact(packet: &[u8]) -> bool {
    packet.len() >= 5 && packet[0] == 0xf8 && packet[5..] == vec![FILL; packet.len() - 5]
}

/// The number that a page made by [`audio`] carries.
pub fn number(page: &Page<'_>) -> u32 {
    let (packet, _) = page.pieces().next().expect("a page with a packet");
    u32::from_le_bytes([packet[1], packet[2], packet[3], packet[4]])
}

/// Whether a page holds nothing but silence.
pub fn is_silence(page: &Page<'_>) -> bool {
    page.pieces()
        .all(|(packet, _)| packet == [0xf8, 0xff, 0xfe] || packet.starts_with(&[0xfb, 0x41]))
}

/// The page that `bytes` begin with.
pub fn page(mut bytes: &[u8]) -> Page<'_> {
    next_page(&mut bytes).expect("a valid page")
}

/// Takes a page off the front of `bytes`; `None` if they do not begin with a whole one.
pub fn next_page<'a>(bytes: &mut &'a [u8]) -> Option<Page<'a>> {
    let Probe::Page(page) = Page::probe(bytes) else { return None };
    *bytes = &bytes[page.bytes().len()..];
    Some(page)
}

/// Sets a page's checksum to that of its bytes.
pub fn update_checksum(page: &mut [u8]) {
    crate::page::update_checksum(page);
}
