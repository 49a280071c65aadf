//! One Ogg page (RFC 3533, section 6): a checked view of its bytes, and the
//! writing of new ones.
//!
//! A [`Page`] exists only if its capture pattern, version, lengths and CRC are
//! right, so whatever takes a `Page` need not check again.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "positions in one page, which is shorter than 64 KiB"
)]

use crc::{Algorithm, Crc, Table};

/// The bytes every page begins with.
pub const CAPTURE: &[u8; 4] = b"OggS";
/// Length of a page header without its segment table, in bytes.
pub const PAGE_HEADER: usize = 27;
const FIXED_HEADER: usize = PAGE_HEADER;
/// The longest page there can be, in bytes: header, 255 lacing values and 255 full segments.
pub const MAX_PAGE: usize = FIXED_HEADER + 255 + 255 * 255;

const CONTINUED: u8 = 0x01;
const FIRST: u8 = 0x02;
const LAST: u8 = 0x04;
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
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&OGG_CRC);

/// A whole page whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    bytes: &'a [u8],
}

/// What a look at the front of some bytes found.
#[derive(Debug, PartialEq, Eq)]
pub enum Probe<'a> {
    /// A valid page, and only its bytes.
    Page(Page<'a>),
    /// It may become a page once there are at least this many bytes.
    Need(usize),
    /// No page begins here.
    Bad,
    /// Something of this many bytes looks like a page, and its checksum is wrong.
    Corrupt(usize),
}

impl<'a> Page<'a> {
    /// Looks for a page at the very start of `bytes`.
    pub fn probe(bytes: &'a [u8]) -> Probe<'a> {
        let seen = bytes.len().min(CAPTURE.len());
        if bytes[..seen] != CAPTURE[..seen] || bytes.get(4).is_some_and(|&version| version != 0) {
            return Probe::Bad;
        }
        let Some(&segments) = bytes.get(FIXED_HEADER - 1) else {
            return Probe::Need(FIXED_HEADER);
        };
        let header = FIXED_HEADER + usize::from(segments);
        let Some(lacing) = bytes.get(FIXED_HEADER..header) else {
            return Probe::Need(header);
        };
        let length = header + lacing.iter().map(|&l| usize::from(l)).sum::<usize>();
        match bytes.get(..length) {
            None => Probe::Need(length),
            Some(bytes) if checksum(bytes) == u32_at(bytes, CRC_AT) => Probe::Page(Page { bytes }),
            Some(_) => Probe::Corrupt(length),
        }
    }

    /// A view of bytes that [`Page::probe`] has found to be a page before.
    pub(crate) fn already_checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The page as it stands on the wire.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first packet began on an earlier page.
    pub fn is_continued(&self) -> bool {
        self.bytes[5] & CONTINUED != 0
    }

    /// First page of its logical stream (BOS).
    pub fn is_first(&self) -> bool {
        self.bytes[5] & FIRST != 0
    }

    /// Last page of its logical stream (EOS).
    pub fn is_last(&self) -> bool {
        self.bytes[5] & LAST != 0
    }

    /// Samples up to the end of the last packet that ends on this page; `None` if none ends here.
    pub fn granule(&self) -> Option<u64> {
        granule_of(self.bytes)
    }

    /// Which logical stream the page belongs to.
    pub fn serial(&self) -> u32 {
        u32_at(self.bytes, 14)
    }

    /// Running number within the logical stream.
    pub fn sequence(&self) -> u32 {
        u32_at(self.bytes, 18)
    }

    /// Segment lengths; a value below 255 ends a packet.
    pub fn lacing(&self) -> &'a [u8] {
        &self.bytes[FIXED_HEADER..FIXED_HEADER + usize::from(self.bytes[FIXED_HEADER - 1])]
    }

    /// Everything after the segment table.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[FIXED_HEADER + self.lacing().len()..]
    }

    /// The pieces of packets on this page, each with whether it ends here.
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

/// Where a new page stands in its stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp {
    /// First page of the stream.
    pub first: bool,
    /// Last page of the stream.
    pub last: bool,
    /// End of the last packet, in samples.
    pub granule: u64,
    /// Logical stream.
    pub serial: u32,
    /// Number of the page.
    pub sequence: u32,
}

impl Stamp {
    fn flags(self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.first, FIRST) | flag(self.last, LAST)
    }
}

/// Writes a page that holds `packets`, each of them whole, to the end of `out`.
///
/// # Panics
/// If the packets need more than 255 segments: a caller's mistake, not an input's.
pub fn write(out: &mut Vec<u8>, stamp: Stamp, packets: &[&[u8]]) {
    let at = out.len();
    let segments: usize = packets.iter().map(|p| p.len() / 255 + 1).sum();
    let segments = u8::try_from(segments).expect("at most 255 segments fit a page");
    out.extend_from_slice(CAPTURE);
    out.push(0);
    out.push(stamp.flags());
    out.extend_from_slice(&stamp.granule.to_le_bytes());
    out.extend_from_slice(&stamp.serial.to_le_bytes());
    out.extend_from_slice(&stamp.sequence.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.push(segments);
    for packet in packets {
        out.extend(std::iter::repeat_n(255, packet.len() / 255));
        out.push((packet.len() % 255) as u8);
    }
    for packet in packets {
        out.extend_from_slice(packet);
    }
    seal(&mut out[at..]);
}

/// Gives a valid page another place in another stream; flags but EOS and BOS stay as they are.
///
/// # Panics
/// If `page` is shorter than a page's header: a caller's mistake, not an input's.
pub fn restamp(page: &mut [u8], stamp: Stamp) {
    page[5] &= CONTINUED;
    page[5] |= stamp.flags();
    page[6..14].copy_from_slice(&stamp.granule.to_le_bytes());
    page[14..18].copy_from_slice(&stamp.serial.to_le_bytes());
    page[18..22].copy_from_slice(&stamp.sequence.to_le_bytes());
    seal(page);
}

/// A page with a header of its own over segments that stay where they are: what goes into a ring.
/// Nothing is copied before that.
#[derive(Clone, Copy, Debug)]
pub struct Stamped<'a> {
    header: [u8; FIXED_HEADER],
    lacing: &'a [u8],
    body: &'a [u8],
}

impl<'a> Stamped<'a> {
    /// A page of whole packets: `body` is what `lacing` says.
    ///
    /// # Panics
    /// If there are more than 255 segments: a caller's mistake, not an input's.
    pub fn new(stamp: Stamp, lacing: &'a [u8], body: &'a [u8]) -> Self {
        let mut header = [0; FIXED_HEADER];
        header[..4].copy_from_slice(CAPTURE);
        header[5] = stamp.flags();
        header[6..14].copy_from_slice(&stamp.granule.to_le_bytes());
        header[14..18].copy_from_slice(&stamp.serial.to_le_bytes());
        header[18..22].copy_from_slice(&stamp.sequence.to_le_bytes());
        header[26] = u8::try_from(lacing.len()).expect("at most 255 segments fit a page");
        Self { header, lacing, body }.sealed()
    }

    /// A page as it is, but of another logical stream.
    pub fn of_stream(page: &Page<'a>, serial: u32) -> Self {
        let mut header = [0; FIXED_HEADER];
        header.copy_from_slice(&page.bytes[..FIXED_HEADER]);
        let copy = Self { header, lacing: page.lacing(), body: page.body() };
        if page.serial() == serial {
            return copy;
        }
        header[14..18].copy_from_slice(&serial.to_le_bytes());
        header[CRC_AT..CRC_AT + 4].fill(0);
        Self { header, ..copy }.sealed()
    }

    /// The page's bytes, in three pieces.
    pub fn pieces(&self) -> [&[u8]; 3] {
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

    fn sealed(mut self) -> Self {
        let crc = crc_of(&self.pieces());
        self.header[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        self
    }
}

/// Puts the right CRC into a page.
pub fn seal(page: &mut [u8]) {
    let crc = checksum(page);
    page[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The CRC of a page, taken as if its own CRC field were zero.
fn checksum(page: &[u8]) -> u32 {
    crc_of(&[&page[..CRC_AT], &[0; 4], &page[CRC_AT + 4..]])
}

fn crc_of(pieces: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize()
}

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
        let stamp = Stamp { first: true, last: false, granule: 960, serial: 7, sequence: 3 };
        write(&mut out, stamp, &[b"abc", &[9; 255], &[8; 300]]);
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
            assert!(matches!(Page::probe(&bytes[..cut]), Probe::Need(n) if n > cut), "{cut}");
        }
        for at in (0..bytes.len()).filter(|&at| !(26..31).contains(&at)) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(matches!(Page::probe(&bad), Probe::Bad | Probe::Corrupt(_)), "{at}");
        }
    }

    #[test]
    fn a_packet_that_goes_on_to_the_next_page_has_not_ended() {
        let mut bytes = sample();
        // Drop the last lacing value and its 45 bytes: the packet of 300 goes on.
        bytes[26] -= 1;
        bytes.remove(FIXED_HEADER + 4);
        bytes.truncate(bytes.len() - 45);
        seal(&mut bytes);
        let Probe::Page(page) = Page::probe(&bytes) else { panic!("not a page") };
        assert_eq!(page.pieces().last(), Some((&[8; 255][..], false)));
    }
}
