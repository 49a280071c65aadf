//! No allocation per page after the headers.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use ogg_splice::testing::{HEAD, TAGS, audio, headers_with, opus_head};
use ogg_splice::{PageRole, Scanner, Splice, StreamReader};

thread_local! {
    /// What this thread has allocated, in calls.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written otherwise; this one only counts")]
// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes through scanner, reader and splice; how many pages of audio there were.
fn relay(
    bytes: &[u8],
    scanner: &mut Scanner,
    reader: &mut StreamReader,
    splice: &mut Splice,
    now: &mut Instant,
) -> u64 {
    let (mut pages, mut sent) = (0, 0);
    for read in bytes.chunks(1_000) {
        scanner.room()[..read.len()].copy_from_slice(read);
        scanner.filled(read.len());
        while let Some(page) = scanner.next_page() {
            if matches!(reader.push(&page), Ok(PageRole::Audio)) {
                *now += Duration::from_millis(20);
                splice.push(&page, *now, |page| {
                    sent += page.slices().iter().map(|slice| slice.len() as u64).sum::<u64>();
                });
                pages += 1;
            }
        }
    }
    assert!(sent >= pages * 100, "{sent} bytes were sent");
    pages
}

#[test]
fn relaying_and_silence_allocate_nothing_per_page() {
    let mut splice = Splice::new(&opus_head(HEAD), 1, 2, true, Duration::from_secs(1));
    let (mut scanner, mut reader) = (Scanner::new(), StreamReader::default());
    let mut now = Instant::now();
    let mut bytes = headers_with(1, HEAD, TAGS);
    // The first round is for everything to find its size.
    for round in 0..2 {
        bytes.extend((0..1_000).flat_map(|number| audio(1, round * 1_000 + number, 160)));
        let before = ALLOCATIONS.get();
        let pages = relay(&bytes, &mut scanner, &mut reader, &mut splice, &mut now);
        let mut silent = 0;
        for _ in 0..1_000 {
            now += Duration::from_millis(20);
            splice.fill(now, |_| silent += 1);
        }
        splice.join();
        let allocations = ALLOCATIONS.get() - before;
        assert_eq!((pages, silent), (1_000, 1_000));
        assert!(round == 0 || allocations == 0, "{allocations} allocations");
        assert!(round > 0 || allocations > 0, "allocations are not counted");
        bytes.clear();
    }
}
