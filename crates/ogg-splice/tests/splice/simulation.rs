//! A stream and its sources, with a clock that the test sets.

use std::time::{Duration, Instant};

use ogg_splice::testing::{HEAD, headers, next_page, opus_head, packet, page};
use ogg_splice::{OutputPage, Page, PageHeader, Splice, SpliceStats, write_page};

pub(crate) const SERIAL: u32 = 77;
/// Samples of a packet of 20 ms.
pub(crate) const FRAME: u64 = 960;
/// Duration of the pages that sources send in real time.
pub(crate) const PAGE: Duration = Duration::from_millis(20);
const GAP_AFTER: Duration = Duration::from_secs(1);

/// The stream that listeners get.
pub(crate) struct Stream {
    pub(crate) splice: Splice,
    began: Instant,
    pub(crate) now: Instant,
    /// When audio last went out.
    pub(crate) heard: Instant,
    in_gap: bool,
    /// All pages, with the header pages.
    pub(crate) out: Vec<u8>,
    pub(crate) stats: SpliceStats,
}

impl Stream {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            splice: Splice::new(&opus_head(HEAD), SERIAL, 2, true, GAP_AFTER),
            began: now,
            now,
            heard: now,
            in_gap: false,
            out: headers(SERIAL),
            stats: SpliceStats::default(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.in_gap {
            self.splice.resume(self.now);
        }
        let out = &mut self.out;
        if self.splice.push(&page(bytes), self.now, |page| append(out, page)) {
            (self.heard, self.in_gap) = (self.now, false);
        }
        self.count();
    }

    /// Advances the clock, and takes the silence that is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        let mut next = self.heard + self.splice.gap_threshold();
        while next <= until {
            self.now = self.now.max(next);
            self.in_gap = true;
            let out = &mut self.out;
            let Some(later) = self.splice.fill(self.now, |page| append(out, page)) else { break };
            next = later;
        }
        self.now = until;
        self.count();
    }

    fn count(&mut self) {
        let stats = self.splice.take_stats();
        self.stats.silence += stats.silence;
        self.stats.late += stats.late;
    }

    /// The pages of audio and silence, all of which are valid.
    pub(crate) fn pages(&self) -> Vec<Page<'_>> {
        let mut rest = &self.out[..];
        let pages = std::iter::from_fn(|| next_page(&mut rest)).skip(2).collect();
        assert!(rest.is_empty(), "not a valid page");
        pages
    }

    /// The packets that are not silence, in order.
    pub(crate) fn packets(&self) -> Vec<Vec<u8>> {
        let pages = self.pages();
        let packets =
            pages.iter().flat_map(|page| page.pieces().map(|(packet, _)| packet.to_vec()));
        packets.filter(|packet| packet.len() > 3 && packet[0] == 0xf8).collect()
    }

    /// How far the stream's end is behind real time, in milliseconds. The stream began with a page.
    pub(crate) fn behind(&self) -> i64 {
        let real = ((self.now - self.began).as_nanos() * 48_000 / 1_000_000_000) as i64;
        let position = self.pages().last().and_then(Page::granule).unwrap_or(0);
        (real - position.cast_signed()) / 48
    }

    /// A source sends for a while in real time.
    pub(crate) fn play(&mut self, source: &mut Encoder, pages: u32) {
        for _ in 0..pages {
            self.wait(PAGE);
            self.push(&source.page(1, 50));
        }
    }

    /// A source sends pages of 20 ms faster than real time.
    pub(crate) fn push_at_once(&mut self, source: &mut Encoder, pages: u32) {
        (0..pages).for_each(|_| self.push(&source.page(1, 50)));
    }
}

/// A stream whose source has sent 100 pages in real time, and the source.
pub(crate) fn playing() -> (Stream, Encoder) {
    let (mut stream, mut source) = (Stream::new(), Encoder::new(1, 0, 0));
    stream.play(&mut source, 100);
    (stream, source)
}

pub(crate) fn append(out: &mut Vec<u8>, page: &OutputPage<'_>) {
    page.slices().iter().for_each(|slice| out.extend_from_slice(slice));
}

/// Makes pages as encoders do: packets of 20 ms, each with a unique number.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    pub(crate) serial: u32,
    pub(crate) sequence: u32,
    pub(crate) granule: u64,
    /// Number of the next packet.
    pub(crate) packet: u32,
}

impl Encoder {
    pub(crate) fn new(serial: u32, granule: u64, packet: u32) -> Self {
        Self { serial, sequence: 2, granule, packet }
    }

    /// A page with so many packets of so many bytes.
    pub(crate) fn page(&mut self, packets: u32, size: usize) -> Vec<u8> {
        self.page_with(packets, size, |_| {})
    }

    /// The same, with a change to its header.
    pub(crate) fn page_with(
        &mut self,
        packets: u32,
        size: usize,
        change: impl FnOnce(&mut PageHeader),
    ) -> Vec<u8> {
        let packets: Vec<_> = (self.packet..).take(packets as usize).collect();
        self.packet += packets.len() as u32;
        self.granule += packets.len() as u64 * FRAME;
        let mut header = PageHeader {
            granule: self.granule,
            serial: self.serial,
            sequence: self.sequence,
            ..PageHeader::default()
        };
        change(&mut header);
        self.sequence = self.sequence.wrapping_add(1);
        let packets: Vec<_> = packets.into_iter().map(|number| packet(number, size)).collect();
        let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        write_page(&mut out, header, &packets);
        out
    }

    /// Two pages, with a packet that begins on the first and ends on the second, where `more`
    /// follow.
    pub(crate) fn split(&mut self, more: u32) -> [Vec<u8>; 2] {
        let whole = self.page(2 + more, 600);
        self.sequence += 1;
        // Each packet has the lacing values 255, 255, 90. The first of those of the second packet
        // stays on the first page.
        let segments = usize::from(whole[26]);
        let (lacing, body) = whole[27..].split_at(segments);
        let cut = 600 + 255;
        let granule = self.granule - FRAME * u64::from(1 + more);
        let page = |flags: u8, granule: u64, sequence: u32, lacing: &[u8], body: &[u8]| {
            let mut page = whole[..27].to_vec();
            page[5] = flags;
            page[6..14].copy_from_slice(&granule.to_le_bytes());
            page[18..22].copy_from_slice(&sequence.to_le_bytes());
            page[26] = lacing.len() as u8;
            page.extend_from_slice(lacing);
            page.extend_from_slice(body);
            set_checksum(&mut page);
            page
        };
        [
            page(0, granule, self.sequence - 2, &lacing[..4], &body[..cut]),
            page(1, self.granule, self.sequence - 1, &lacing[4..], &body[cut..]),
        ]
    }
}

/// Sets a page's checksum, with another implementation than the code under test.
fn set_checksum(page: &mut [u8]) {
    page[22..26].fill(0);
    let crc = page.iter().fold(0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            if crc & 0x8000_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x04c1_1db7 }
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
}
