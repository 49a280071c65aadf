//! One Ogg page (RFC 3533, section 6): a checked view of its bytes, and the writing of new ones.
//!
//! A [`Page`] exists only if its capture pattern, version, lengths and checksum are right, so no
//! function that takes a `Page` checks again.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "positions in one page, which is shorter than 64 KiB"
)]

use crc::{Algorithm, Crc, Table};

/// The four bytes that every page begins with.
pub const CAPTURE_PATTERN: &[u8; 4] = b"OggS";
/// Length of a page's header without its segment table, in bytes.
pub const PAGE_HEADER_LEN: usize = 27;
/// Length of the longest page, in bytes: a header, 255 lacing values and 255 full segments.
pub const MAX_PAGE: usize = PAGE_HEADER_LEN + 255 + 255 * 255;

/// Flags of a header's type field.
const CONTINUED: u8 = 0x01;
const FIRST: u8 = 0x02;
const LAST: u8 = 0x04;
/// Offset of the checksum.
const CRC_AT: usize = 22;

/// RFC 3533: generator 0x04c11db7, nothing reflected, initial value and final XOR zero.
const OGG_CRC: Algorithm<u32> = Algorithm {
    width: 32,
    poly: 0x04c1_1db7,
    init: 0,
    refin: false,
    refout: false,
    xorout: 0,
    check: 0x89a1_897f,
    residue: 0,
};
/// A table of 1 KiB. One of 16 KiB is several times as fast while it is in the cache. But between two
/// pages of a live source it leaves the cache, and loading it costs more (`docs/measurements.md`).
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&OGG_CRC);

/// A complete page with a right checksum: a view of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    bytes: &'a [u8],
}

/// What [`Page::probe`] found at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Probe<'a> {
    /// A valid page, which need not be all of the bytes.
    Page(Page<'a>),
    /// The beginning of what may be a page. At least this many bytes are needed to tell more.
    Incomplete(usize),
    /// No page begins here.
    NotAPage,
    /// A page of this many bytes with a wrong checksum.
    Corrupt(usize),
}

impl<'a> Page<'a> {
    /// Looks for a page at the very start of `bytes`.
    pub fn probe(bytes: &'a [u8]) -> Probe<'a> {
        let seen = bytes.len().min(CAPTURE_PATTERN.len());
        if bytes[..seen] != CAPTURE_PATTERN[..seen]
            || bytes.get(4).is_some_and(|&version| version != 0)
        {
            return Probe::NotAPage;
        }
        let Some(&segments) = bytes.get(PAGE_HEADER_LEN - 1) else {
            return Probe::Incomplete(PAGE_HEADER_LEN);
        };
        let header = PAGE_HEADER_LEN + usize::from(segments);
        let Some(lacing) = bytes.get(PAGE_HEADER_LEN..header) else {
            return Probe::Incomplete(header);
        };
        let length = header + lacing.iter().map(|&l| usize::from(l)).sum::<usize>();
        match bytes.get(..length) {
            None => Probe::Incomplete(length),
            Some(bytes) if checksum(bytes) == u32_at(bytes, CRC_AT) => Probe::Page(Page { bytes }),
            Some(_) => Probe::Corrupt(length),
        }
    }

    /// A view of bytes that [`Page::probe`] has found to be a page.
    pub(crate) fn from_checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The whole page, as it was received.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the first packet began on an earlier page.
    pub fn is_continued(&self) -> bool {
        self.bytes[5] & CONTINUED != 0
    }

    /// Whether this is the first page of its logical stream (BOS).
    pub fn is_first(&self) -> bool {
        self.bytes[5] & FIRST != 0
    }

    /// Whether this is the last page of its logical stream (EOS).
    pub fn is_last(&self) -> bool {
        self.bytes[5] & LAST != 0
    }

    /// The granule position: samples up to the end of the last packet that ends on this page.
    /// `None` if no packet does.
    pub fn granule(&self) -> Option<u64> {
        granule_of(self.bytes)
    }

    /// The number of the logical stream that the page belongs to.
    pub fn serial(&self) -> u32 {
        u32_at(self.bytes, 14)
    }

    /// The page's number within its logical stream.
    pub fn sequence(&self) -> u32 {
        u32_at(self.bytes, 18)
    }

    /// The segment table: the length of each segment, where a value below 255 ends a packet.
    pub fn lacing(&self) -> &'a [u8] {
        &self.bytes[PAGE_HEADER_LEN..][..usize::from(self.bytes[PAGE_HEADER_LEN - 1])]
    }

    /// All segments: the bytes after the segment table.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[PAGE_HEADER_LEN + self.lacing().len()..]
    }

    /// The packets on this page, or the pieces of them that are on it, each with whether it ends
    /// here.
    pub fn pieces(&self) -> impl Iterator<Item = (&'a [u8], bool)> + use<'a> {
        let (mut lacing, mut body) = (self.lacing(), self.body());
        std::iter::from_fn(move || {
            if lacing.is_empty() {
                return None;
            }
            let ends = lacing.iter().position(|&l| l < 255);
            let segments = ends.map_or(lacing.len(), |at| at + 1);
            let length = lacing[..segments].iter().map(|&l| usize::from(l)).sum();
            let (piece, rest) = body.split_at(length);
            (lacing, body) = (&lacing[segments..], rest);
            Some((piece, ends.is_some()))
        })
    }
}

/// The fields of a page's header that its writer chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageHeader {
    /// First page of its logical stream (BOS).
    pub first: bool,
    /// Last page of its logical stream (EOS).
    pub last: bool,
    /// Granule position: samples up to the end of the last packet; `u64::MAX` if no packet ends
    /// here.
    pub granule: u64,
    /// Number of the logical stream.
    pub serial: u32,
    /// Number of the page within the stream.
    pub sequence: u32,
}

impl PageHeader {
    /// Writes the fields into a page, and clears all flags but these and that of a continued
    /// packet.
    fn write_to(self, page: &mut [u8]) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        page[5] = page[5] & CONTINUED | flag(self.first, FIRST) | flag(self.last, LAST);
        page[6..14].copy_from_slice(&self.granule.to_le_bytes());
        page[14..18].copy_from_slice(&self.serial.to_le_bytes());
        page[18..22].copy_from_slice(&self.sequence.to_le_bytes());
    }

    /// The header of a page of whole packets with the given number of segments; its checksum is 0.
    ///
    /// # Panics
    /// If there are more than 255 segments.
    fn bytes(self, segments: usize) -> [u8; PAGE_HEADER_LEN] {
        let mut bytes = [0; PAGE_HEADER_LEN];
        bytes[..4].copy_from_slice(CAPTURE_PATTERN);
        self.write_to(&mut bytes);
        bytes[26] = u8::try_from(segments).expect("at most 255 segments fit a page");
        bytes
    }
}

/// Appends a page with these `packets` to `out`.
///
/// # Panics
/// If the packets need more than 255 segments, which is a caller's mistake.
pub fn write_page(out: &mut Vec<u8>, header: PageHeader, packets: &[&[u8]]) {
    let at = out.len();
    let segments = packets.iter().map(|packet| packet.len() / 255 + 1).sum();
    out.extend_from_slice(&header.bytes(segments));
    for packet in packets {
        out.extend(std::iter::repeat_n(255, packet.len() / 255));
        out.push((packet.len() % 255) as u8);
    }
    for packet in packets {
        out.extend_from_slice(packet);
    }
    update_checksum(&mut out[at..]);
}

/// Replaces a page's header fields and updates its checksum. The flag of a continued packet does
/// not change.
///
/// # Panics
/// If `page` is shorter than a page's header, which is a caller's mistake.
pub fn rewrite_header(page: &mut [u8], header: PageHeader) {
    header.write_to(page);
    update_checksum(page);
}

/// A page to be sent: a header of its own over borrowed segments, so that audio is not copied
/// before the caller copies or writes it.
#[derive(Clone, Copy, Debug)]
pub struct OutputPage<'a> {
    header: [u8; PAGE_HEADER_LEN],
    lacing: &'a [u8],
    body: &'a [u8],
}

impl<'a> OutputPage<'a> {
    /// A page of whole packets. `lacing` is its segment table, and `body` has the segments.
    ///
    /// # Panics
    /// If there are more than 255 segments, which is a caller's mistake.
    pub fn new(header: PageHeader, lacing: &'a [u8], body: &'a [u8]) -> Self {
        Self { header: header.bytes(lacing.len()), lacing, body }.with_checksum()
    }

    /// `page` as a page of another logical stream; nothing else changes.
    pub fn with_serial(page: &Page<'a>, serial: u32) -> Self {
        let mut header = [0; PAGE_HEADER_LEN];
        header.copy_from_slice(&page.bytes[..PAGE_HEADER_LEN]);
        let copy = Self { header, lacing: page.lacing(), body: page.body() };
        if page.serial() == serial {
            return copy;
        }
        header[14..18].copy_from_slice(&serial.to_le_bytes());
        header[CRC_AT..CRC_AT + 4].fill(0);
        Self { header, ..copy }.with_checksum()
    }

    /// The page's bytes: header, segment table and segments.
    pub fn slices(&self) -> [&[u8]; 3] {
        [&self.header, self.lacing, self.body]
    }

    /// As [`Page::granule`].
    pub fn granule(&self) -> Option<u64> {
        granule_of(&self.header)
    }

    /// As [`Page::is_continued`].
    pub fn is_continued(&self) -> bool {
        self.header[5] & CONTINUED != 0
    }

    /// Sets the checksum, which must be 0 before.
    fn with_checksum(mut self) -> Self {
        let crc = crc_of(&self.slices());
        self.header[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        self
    }
}

/// Sets a page's checksum to that of its bytes.
///
/// # Panics
/// If `page` is shorter than a page's header.
pub(crate) fn update_checksum(page: &mut [u8]) {
    let crc = checksum(page);
    page[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum of a page, computed with a checksum field of zero.
fn checksum(page: &[u8]) -> u32 {
    crc_of(&[&page[..CRC_AT], &[0; 4], &page[CRC_AT + 4..]])
}

fn crc_of(slices: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    for slice in slices {
        digest.update(slice);
    }
    digest.finalize()
}

/// A granule position of -1 says that no packet ends on the page.
fn granule_of(header: &[u8]) -> Option<u64> {
    let mut raw = [0; 8];
    raw.copy_from_slice(&header[6..14]);
    Some(u64::from_le_bytes(raw)).filter(|&granule| granule != u64::MAX)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        let header = PageHeader { first: true, last: false, granule: 960, serial: 7, sequence: 3 };
        write_page(&mut out, header, &[b"abc", &[9; 255], &[8; 300]]);
        out
    }

    #[test]
    fn a_written_page_reads_back() {
        let bytes = sample();
        let Probe::Page(page) = Page::probe(&bytes) else { panic!("not a page") };
        assert_eq!((page.granule(), page.serial(), page.sequence()), (Some(960), 7, 3));
        assert!(page.is_first() && !page.is_last() && !page.is_continued());
        let pieces: Vec<_> = page.pieces().map(|(p, ends)| (p.len(), ends)).collect();
        assert_eq!(pieces, [(3, true), (255, true), (300, true)]);
    }

    #[test]
    fn the_crc_is_the_one_other_readers_compute() {
        let bytes = sample();
        let mut reader = ogg::PacketReader::new(std::io::Cursor::new(bytes));
        assert_eq!(reader.read_packet().unwrap().unwrap().data, b"abc");
    }

    #[test]
    fn every_cut_asks_for_more_and_every_flip_is_bad() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert!(matches!(Page::probe(&bytes[..cut]), Probe::Incomplete(n) if n > cut), "{cut}");
        }
        for at in (0..bytes.len()).filter(|&at| !(26..31).contains(&at)) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(matches!(Page::probe(&bad), Probe::NotAPage | Probe::Corrupt(_)), "{at}");
        }
    }

    #[test]
    fn a_packet_that_goes_on_to_the_next_page_has_not_ended() {
        let mut bytes = sample();
        // Drop the last lacing value and its 45 bytes: the packet of 300 continues.
        bytes[26] -= 1;
        bytes.remove(PAGE_HEADER_LEN + 4);
        bytes.truncate(bytes.len() - 45);
        update_checksum(&mut bytes);
        let Probe::Page(page) = Page::probe(&bytes) else { panic!("not a page") };
        assert_eq!(page.pieces().last(), Some((&[8; 255][..], false)));
    }
}
