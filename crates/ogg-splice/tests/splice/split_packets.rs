//! Packets that span pages.

use ogg_splice::packet_samples;

use crate::simulation::{Encoder, FRAME, Stream};

#[test]
fn packets_across_pages_arrive_whole_or_not_at_all() {
    let mut stream = Stream::new();
    let mut source = Encoder::new(1, 0, 0);
    for page in source.split(0) {
        stream.push(&page);
    }
    assert_eq!(stream.packets().len(), 2);
    // The beginning of a packet, after which its source is gone.
    let [begun, _] = source.split(0);
    stream.push(&begun);
    stream.splice.join();
    let mut next = Encoder::new(2, 0, 100);
    let [_, rest] = next.split(0);
    // The end of a packet whose beginning was lost.
    stream.push(&rest);
    stream.push(&next.page(1, 50));
    let numbers: Vec<_> = stream.packets().iter().map(|packet| packet[1]).collect();
    assert_eq!(numbers, [0, 1, 2, 102]);
    assert!(stream.packets().iter().all(|packet| packet_samples(packet) == Some(FRAME)));
    assert!(stream.pages().iter().all(|page| !page.is_continued()));
}

#[test]
fn packets_after_a_split_one_have_a_page_of_their_own() {
    let (mut stream, mut source) = (Stream::new(), Encoder::new(1, 0, 0));
    for page in source.split(2) {
        stream.push(&page);
    }
    let granules: Vec<_> = stream.pages().iter().map(|page| page.granule().unwrap()).collect();
    assert_eq!(granules, [FRAME, 2 * FRAME, 4 * FRAME]);
    let numbers: Vec<_> = stream.packets().iter().map(|packet| packet[1]).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[test]
fn a_page_lost_between_a_packets_halves_loses_that_packet() {
    let mut stream = Stream::new();
    let mut source = Encoder::new(1, 0, 0);
    stream.push(&source.split(0)[0]);
    // Pages 4 and 5 are lost.
    source.split(0);
    stream.push(&source.split(0)[1]);
    assert_eq!(stream.packets().len(), 1);
}
