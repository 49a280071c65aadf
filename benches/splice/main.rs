//! Measures the time per page from the splice into the ring, for audio and for silence.
//!
//!     cargo bench --bench splice

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::time::{Duration, Instant};

use ogg_splice::{
    OpusHead, OutputPage, Page, PageHeader, Probe, Splice, rewrite_header, write_page,
};
use silvacast::mount::Ring;

const PAGES: u32 = 200_000;
const ROUNDS: usize = 7;
const PAGE: Duration = Duration::from_millis(20);

fn splice() -> Splice {
    let head = OpusHead {
        channels: 1,
        pre_skip: 312,
        input_rate: 48_000,
        gain: 0,
        family: 0,
        mapping: Vec::new(),
    };
    Splice::new(&head, 1, 2, true, Duration::from_secs(1))
}

/// A page of 20 ms at 64 kb/s, as FFmpeg sends it.
fn page() -> Vec<u8> {
    let packet = [&[0xf8][..], &[0x55; 159]].concat();
    let mut bytes = Vec::new();
    write_page(
        &mut bytes,
        PageHeader { granule: 960, serial: 7, ..PageHeader::default() },
        &[&packet],
    );
    bytes
}

/// Prints the nanoseconds per page: the median of several rounds, and the range.
fn measure(what: &str, mut round: impl FnMut()) {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            round();
            begin.elapsed().as_secs_f64() * 1e9 / f64::from(PAGES)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (min, median, max) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
    println!("{what:<44} {median:>6.0} ns a page ({min:.0} to {max:.0})");
}

fn main() {
    let mut ring = Ring::new(256 * 1024);
    let mut bytes = page();
    measure("copied into the ring unchanged (the floor)", || {
        for _ in 0..PAGES {
            let Probe::Page(page) = Page::probe(&bytes) else { return };
            ring.publish(&OutputPage::with_serial(&page, 7));
        }
    });

    let (mut splicer, mut now, mut sequence) = (splice(), Instant::now(), 0);
    let mut next = |bytes: &mut Vec<u8>| {
        let granule = (u64::from(sequence) + 1) * 960;
        rewrite_header(bytes, PageHeader { granule, serial: 7, sequence, ..PageHeader::default() });
        sequence = sequence.wrapping_add(1);
    };
    measure("making the page, without the splice", || {
        for _ in 0..PAGES {
            next(&mut bytes);
        }
    });
    measure("made, checked, restamped, into the ring", || {
        for _ in 0..PAGES {
            next(&mut bytes);
            now += PAGE;
            let Probe::Page(page) = Page::probe(&bytes) else { return };
            splicer.push(&page, now, |page| ring.publish(page));
        }
    });
    measure("silence, into the ring", || {
        for _ in 0..PAGES {
            now += PAGE;
            splicer.fill(now, |page| ring.publish(page));
        }
    });
    assert!(ring.head() > u64::from(PAGES) * 100, "nothing was published");
}
