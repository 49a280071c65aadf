//! A page in the ring: its granule position and its packets, read where they are.
//!
//! The ring holds only pages that were checked when they were published, and that begin and end
//! with whole packets. A page may wrap, so it is two slices.

use ogg_splice::{PAGE_HEADER_LEN, packet_samples};

/// Offset of the granule position (RFC 3533, section 6).
const GRANULE_OFFSET: usize = 6;

/// A view of a page's bytes.
#[derive(Clone, Copy, Debug)]
pub struct RingPage<'r> {
    slices: [&'r [u8]; 2],
    /// Ring position of the first byte.
    start: u64,
}

/// An Opus packet of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPacket {
    /// Ring position of its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub length: u32,
    /// Its duration, in samples at 48 kHz; 0 if it is not a valid packet.
    pub samples: u32,
}

/// A packet, and the granule position at which it begins.
pub type PlacedPacket = (u64, RingPacket);

impl<'r> RingPage<'r> {
    /// A view of the page at this ring position.
    pub(super) fn new(slices: [&'r [u8]; 2], start: u64) -> Self {
        Self { slices, start }
    }

    /// The granule position: samples up to the end of the page's last packet.
    pub fn granule(&self) -> u64 {
        let mut raw = [0; 8];
        for (offset, byte) in raw.iter_mut().enumerate() {
            *byte = self.byte(GRANULE_OFFSET + offset);
        }
        u64::from_le_bytes(raw)
    }

    /// The packets of the page, in their order.
    pub fn packets(self) -> impl Iterator<Item = RingPacket> + use<'r> {
        let segments = usize::from(self.byte(PAGE_HEADER_LEN - 1));
        let (mut segment, mut at) = (0, PAGE_HEADER_LEN + segments);
        std::iter::from_fn(move || {
            if segment >= segments {
                return None;
            }
            let (start, mut length) = (at, 0);
            while segment < segments {
                let lacing = usize::from(self.byte(PAGE_HEADER_LEN + segment));
                segment += 1;
                length += lacing;
                if lacing < 255 {
                    break;
                }
            }
            at += length;
            // Two bytes tell the duration of a packet.
            let beginning = [self.byte(start), self.byte(start + 1)];
            let samples = packet_samples(&beginning[..length.min(2)]).unwrap_or(0);
            Some(RingPacket {
                start: self.start + start as u64,
                // A page is shorter than 64 KiB, and a packet than 120 ms.
                length: length as u32,
                samples: samples as u32,
            })
        })
    }

    /// The granule position at which the page begins.
    pub fn beginning(&self) -> u64 {
        let samples: u64 = self.packets().map(|packet| u64::from(packet.samples)).sum();
        self.granule().saturating_sub(samples)
    }

    /// The packets that have a duration, each with the granule position at which it begins.
    pub fn placed_packets(self) -> impl Iterator<Item = PlacedPacket> + use<'r> {
        let mut begins = self.beginning();
        self.packets().filter(|packet| packet.samples > 0).map(move |packet| {
            let at = begins;
            begins += u64::from(packet.samples);
            (at, packet)
        })
    }

    /// The byte at this offset; 0 beyond the page's end.
    fn byte(&self, offset: usize) -> u8 {
        let [first, second] = self.slices;
        let byte = first.get(offset).or_else(|| second.get(offset.checked_sub(first.len())?));
        byte.copied().unwrap_or(0)
    }
}
