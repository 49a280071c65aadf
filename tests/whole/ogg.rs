//! Ogg streams that a test writes itself, because it must know every byte.

use silvacast::ogg::{Page, Probe, Stamp, write};

/// A mono Opus head with a pre-skip of 312.
pub(crate) const HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
pub(crate) const TAGS: &[u8] = b"OpusTags\x04\0\0\0test\x01\0\0\0\x0a\0\0\0TITLE=Dusk";

/// The header pages of a stream.
pub(crate) fn headers(serial: u32) -> Vec<u8> {
    headers_with(serial, HEAD, TAGS)
}

/// The header pages of a stream with these packets.
pub(crate) fn headers_with(serial: u32, head: &[u8], tags: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let stamp = Stamp { serial, ..Stamp::default() };
    write(&mut out, Stamp { first: true, ..stamp }, &[head]);
    write(&mut out, Stamp { sequence: 1, ..stamp }, &[tags]);
    out
}

/// A page of 20 ms with one packet of `size` bytes that carries its number, counted from 0.
pub(crate) fn audio(serial: u32, number: u32, size: usize) -> Vec<u8> {
    let mut packet = vec![0xf8];
    packet.extend(number.to_le_bytes());
    packet.resize(size.max(5), 0x55);
    let granule = (u64::from(number) + 1) * 960;
    let mut out = Vec::new();
    write(
        &mut out,
        Stamp { first: false, last: false, granule, serial, sequence: number + 2 },
        &[&packet],
    );
    out
}

/// Takes the next page from the bytes, if a whole valid page is there.
pub(crate) fn next_page<'a>(bytes: &mut &'a [u8]) -> Option<Page<'a>> {
    let Probe::Page(page) = Page::probe(bytes) else { return None };
    *bytes = &bytes[page.bytes().len()..];
    Some(page)
}

/// Whether all packets of a page are silence.
pub(crate) fn is_silence(page: &Page<'_>) -> bool {
    page.pieces()
        .all(|(packet, _)| packet == [0xf8, 0xff, 0xfe] || packet.starts_with(&[0xfb, 0x41]))
}

/// The number that a page made by [`audio`] carries.
pub(crate) fn number(page: &Page<'_>) -> u32 {
    let (packet, _) = page.pieces().next().unwrap();
    u32::from_le_bytes(packet[1..5].try_into().unwrap())
}
