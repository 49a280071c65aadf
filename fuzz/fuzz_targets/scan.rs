//! A source's bytes: cut somewhere, they give the same pages, and what comes out is valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ogg_splice::{Page, Probe, Scanner, StreamReader};

fn pages(input: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let (mut scanner, mut stream, mut found) =
        (Scanner::new(), StreamReader::default(), Vec::new());
    for mut piece in input.chunks(cut) {
        while !piece.is_empty() {
            let room = scanner.room();
            let n = piece.len().min(room.len());
            room[..n].copy_from_slice(&piece[..n]);
            scanner.filled(n);
            piece = &piece[n..];
            while let Some(page) = scanner.next_page() {
                assert!(matches!(Page::probe(page.bytes()), Probe::Page(_)));
                let _ = stream.push(&page);
                let _ = ogg_splice::page_samples(&page);
                found.push(page.bytes().to_vec());
            }
        }
    }
    found
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, input)) = bytes.split_first() else { return };
    assert_eq!(pages(input, usize::from(cut) + 1), pages(input, usize::MAX));
});
