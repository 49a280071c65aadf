//! Pages in any order, of any making, at any time: what comes out is one stream of whole packets.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use ogg_splice::{
    OpusHead, OutputPage, Page, PageHeader, Probe, Splice, page_samples, rewrite_header,
};

const SERIAL: u32 = 7;

/// Checks what comes out as a listener would see it.
struct Heard {
    sequence: u32,
    granule: u64,
}

impl Heard {
    fn take(&mut self, page: &OutputPage<'_>) {
        let bytes = page.slices().concat();
        let Probe::Page(page) = Page::probe(&bytes) else { panic!("not a page") };
        assert_eq!(page.bytes().len(), bytes.len());
        assert_eq!((page.serial(), page.sequence()), (SERIAL, self.sequence));
        assert!(!page.is_first() && !page.is_continued());
        assert!(page.pieces().all(|(_, ends)| ends), "a packet without its end");
        self.granule += page_samples(&page);
        self.sequence += 1;
        assert_eq!(page.granule(), Some(self.granule));
    }
}

/// The next so many bytes.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

/// A page with whatever lacing and body the input has.
fn page(input: &mut &[u8], sequence: u32, flags: u8) -> Vec<u8> {
    let granule = take(input, 8).iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let segments = take(input, 1).first().map_or(0, |&segments| usize::from(segments));
    let lacing = take(input, segments);
    let length = lacing.iter().map(|&length| usize::from(length)).sum();
    let mut body = take(input, length).to_vec();
    body.resize(length, 0xf8);
    let granule = if flags & 2 == 0 { granule >> 32 } else { granule };
    let stamp = PageHeader { first: false, last: flags & 4 != 0, granule, serial: 1, sequence };
    let mut bytes = OutputPage::new(stamp, lacing, &body).slices().concat();
    bytes[5] = flags & 1;
    rewrite_header(&mut bytes, stamp);
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let (head, mut input) = (
        OpusHead {
            channels: 1,
            pre_skip: 312,
            input_rate: 0,
            gain: 0,
            family: 0,
            mapping: Vec::new(),
        },
        bytes,
    );
    let mut splice = Splice::new(&head, SERIAL, 2, true, Duration::from_secs(1));
    let (mut now, mut sequence) = (Instant::now(), 0u32);
    let mut heard = Heard { sequence: 2, granule: 0 };
    while let [step, rest @ ..] = input {
        input = rest;
        match step >> 5 {
            0 => splice.join(),
            1 if step & 16 == 0 => splice.resume(now),
            1 => splice.stood_still(Duration::from_secs(u64::MAX >> (4 * (step & 15))), now),
            2 => now += Duration::from_millis(u64::from(step & 31) * 100),
            3 => {
                splice.fill(now, |page| heard.take(page));
            }
            _ => {
                // Mostly in order.
                sequence = sequence.wrapping_add(u32::from(step & 31 != 0));
                let page = page(&mut input, sequence, *step);
                let Probe::Page(page) = Page::probe(&page) else { panic!("not a page") };
                splice.push(&page, now, |page| heard.take(page));
            }
        }
    }
    // Every sample of silence and of audio is accounted for by its page.
    splice.take_stats();
});
