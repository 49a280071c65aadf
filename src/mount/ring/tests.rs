//! Tests of the ring: every byte in order, or a reader that is told what it lost.

use super::*;
use ogg_splice::{Page, PageHeader, Probe, write_page};
use proptest::prelude::*;

const MEMORY: usize = MIN_RING;

fn page(sequence: u32, granule: u64, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let body: Vec<u8> = (0..size).map(|at| (at as u32 ^ sequence) as u8).collect();
    write_page(&mut bytes, PageHeader { granule, sequence, ..PageHeader::default() }, &[&body]);
    bytes
}

fn publish(ring: &mut Ring, bytes: &[u8]) {
    let Probe::Page(page) = Page::probe(bytes) else { panic!("not a page") };
    ring.publish(&OutputPage::with_serial(&page, page.serial()));
}

fn filled(pages: u32) -> Ring {
    let mut ring = Ring::new(MEMORY);
    (1..=pages).for_each(|n| publish(&mut ring, &page(n, u64::from(n) * 960, 150)));
    ring
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..400).prop_map(Step::Publish),
        1 => (400usize..64_000).prop_map(Step::Publish),
        3 => (0usize..30_000).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..300)
}

/// Appends what a listener is sent in place of the rest of a torn page.
fn pad(received: &mut Vec<u8>, header_read: usize, padding: usize) {
    let zeros = std::iter::repeat(0);
    let page: Vec<u8> = b"OggS".iter().copied().chain(zeros).take(header_read + padding).collect();
    received.extend(&page[header_read..]);
}

/// Counts the pages in `received`. Each must begin where its predecessor's header says it ends.
fn count_pages(mut received: &[u8]) -> usize {
    let mut count = 0;
    while !received.is_empty() {
        assert!(received.starts_with(b"OggS"), "expected a page");
        let segments = usize::from(received[26]);
        let table = &received[27..27 + segments];
        let body: usize = table.iter().map(|&length| usize::from(length)).sum();
        received = &received[27 + segments + body..];
        count += 1;
    }
    count
}

#[test]
fn padding_completes_a_page_that_is_torn_at_any_byte() {
    let torn_page = page(1, 960, 20_000);
    for read in (0..200).chain((200..torn_page.len()).step_by(97)) {
        let mut ring = Ring::new(MEMORY);
        let mut cursor = ring.end();
        publish(&mut ring, &torn_page);
        ring.advance(&mut cursor, read);
        let mut received = torn_page[..read].to_vec();
        for number in 2..10 {
            publish(&mut ring, &page(number, 0, 20_000));
        }
        let Lag::Overtaken { padding, header_read } = ring.catch_up(&mut cursor) else {
            panic!("not overtaken")
        };
        assert_eq!(header_read, read.min(27));
        pad(&mut received, header_read, padding);
        assert!(received.len() < MAX_PAGE);
        assert_eq!(count_pages(&received), usize::from(read > 0), "{read} bytes read");
    }
}

proptest! {
    /// The model is the list of all bytes ever published. A reader gets exactly these bytes
    /// from its position until it is overtaken, and it always resumes at the start of a page.
    #[test]
    fn a_reader_gets_every_byte_unless_it_is_overtaken(steps in steps()) {
        let mut ring = Ring::new(MEMORY);
        let mut published: Vec<u8> = Vec::new();
        let mut starts: Vec<u64> = vec![0];
        let mut cursor = ring.end();
        let mut received: Vec<u8> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish(size) => {
                    let bytes = page(number as u32, number as u64, size);
                    publish(&mut ring, &bytes);
                    published.extend(bytes);
                    starts.push(published.len() as u64);
                }
                Step::Read(limit) => {
                    let before = cursor;
                    let lag = ring.catch_up(&mut cursor);
                    if let Lag::Overtaken { padding, header_read } = lag {
                        pad(&mut received, header_read, padding);
                        prop_assert!(padding > 0 || starts.contains(&before.position()));
                        prop_assert!(padding < MAX_PAGE);
                        prop_assert!(starts.contains(&cursor.position()));
                        prop_assert!(cursor.position() > before.position());
                    }
                    let ready = ring.ready(&cursor, u64::MAX).concat();
                    let at = cursor.position() as usize;
                    prop_assert_eq!(&ready[..], &published[at..]);
                    received.extend(&ready[..limit.min(ready.len())]);
                    ring.advance(&mut cursor, limit.min(ready.len()));
                }
            }
            prop_assert!(ring.head() - ring.tail() <= MEMORY as u64);
        }
        // Complete the page at the cursor, as if the reader were overtaken now.
        pad(&mut received, usize::from(cursor.header_read), cursor.missing as usize);
        count_pages(&received);
    }
}

proptest! {
    /// The binary search finds the same page as a walk over all pages, newest first.
    #[test]
    fn binary_search_finds_the_same_page_as_a_linear_search(
        pages in prop::collection::vec((0usize..400, any::<bool>(), 0u64..4_000), 0..1_500),
        wanted in 0u64..3_000_000,
        stream_start in any::<prop::sample::Index>(),
    ) {
        let mut ring = Ring::new(MEMORY);
        let (mut published, mut granule, mut audio) = (Vec::new(), 0, 0);
        for (size, continued, span) in pages {
            granule += span;
            let mut bytes = page(0, granule, size);
            bytes[5] |= u8::from(continued);
            ogg_splice::testing::update_checksum(&mut bytes);
            // The first granule position is only a reference for the next one.
            let counted = if published.is_empty() { 0 } else { span };
            published.push((ring.head(), continued, audio));
            audio += counted;
            publish(&mut ring, &bytes);
        }
        let held = || published.iter().filter(|(start, ..)| *start >= ring.tail());
        let stream_start = match published.len() {
            0 => 0,
            count => published[stream_start.index(count)].0,
        };
        let walk = |is_enough: &dyn Fn(u64, u64) -> bool| {
            let mut found = ring.head();
            let in_stream = |page: &&(u64, bool, u64)| page.0 >= stream_start;
            for (start, continued, audio) in held().rev().take_while(in_stream) {
                if !continued {
                    found = *start;
                }
                if is_enough(*start, *audio) {
                    if *continued {
                        // Go back further, to a page at which a decoder can begin.
                        let earlier = held().rev().skip_while(|page| page.0 > *start);
                        let sync_page = earlier.clone().find(|page| !page.1);
                        found = sync_page.filter(in_stream).map_or(found, |page| page.0);
                    }
                    break;
                }
            }
            found
        };
        let time = Duration::from_nanos((wanted * 1_000_000_000).div_ceil(48_000));
        let by_time = walk(&|_, before| audio - before >= wanted);
        prop_assert_eq!(ring.back_in_time(time, 48_000, stream_start).position(), by_time);
        let bytes = wanted / 8;
        let by_bytes = walk(&|start, _| ring.head() - start >= bytes);
        prop_assert_eq!(ring.back_in_bytes(bytes, stream_start).position(), by_bytes);
    }
}

proptest! {
    /// After each `follow`, a replica holds the same pages at the same positions.
    #[test]
    fn a_replica_equals_its_original_after_each_follow(steps in steps()) {
        let (mut ring, mut replica) = (Ring::new(MEMORY), Ring::new(MEMORY));
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish(size) => {
                    publish(&mut ring, &page(number as u32, number as u64, size));
                }
                Step::Read(_) => {
                    replica.follow(&ring);
                    let bounds = |ring: &Ring| (ring.tail(), ring.head());
                    prop_assert_eq!(bounds(&replica), bounds(&ring));
                    let content = |ring: &Ring| ring.bytes(ring.tail(), ring.head()).concat();
                    prop_assert_eq!(content(&replica), content(&ring));
                    let second = Duration::from_secs(1);
                    let cursor = |ring: &Ring| ring.back_in_time(second, 100, 0);
                    prop_assert_eq!(cursor(&replica), cursor(&ring));
                }
            }
        }
    }
}

#[test]
fn a_burst_is_counted_in_audio() {
    let ring = filled(100);
    let length = page(1, 0, 150).len() as u64;
    let pages = |cursor: Cursor| (ring.head() - cursor.position()) / length;
    let back = |ms| pages(ring.back_in_time(Duration::from_millis(ms), 48_000, 0));
    assert_eq!((back(0), back(20), back(21), back(200), back(1999)), (1, 1, 2, 10, 100));
    assert_eq!(back(60_000), 100, "all pages, if the ring holds less");
    assert_eq!(pages(ring.back_in_time(Duration::from_secs(9), 48_000, 90 * length)), 10);
    assert_eq!(pages(ring.back_in_bytes(5 * length - 1, 0)), 5);
}

#[test]
fn an_empty_ring_has_nothing_ready() {
    let ring = Ring::new(MEMORY);
    assert_eq!(ring.back_in_time(Duration::from_secs(1), 48_000, 0), ring.end());
    assert_eq!(ring.ready(&ring.end(), u64::MAX).concat(), b"");
}

#[test]
fn the_index_limits_the_number_of_small_pages() {
    let mut ring = Ring::new(MEMORY);
    let bytes = page(0, 0, 3);
    (0..10_000).for_each(|_| publish(&mut ring, &bytes));
    assert!(ring.next - ring.oldest <= ring.index.len() as u64);
    let held: usize = ring.arena.len() + size_of_val(&ring.index[..]);
    assert_eq!(held, MEMORY);
}

#[test]
fn ready_bytes_stop_at_the_given_end() {
    let ring = filled(3);
    let cursor = ring.back_in_bytes(u64::MAX, 0);
    assert_eq!(ring.ready(&cursor, 10).concat().len(), 10);
    assert_eq!(ring.ready(&ring.end(), 10).concat().len(), 0);
}
