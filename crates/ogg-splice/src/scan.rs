//! A push parser: takes bytes in pieces of any size and returns valid pages.
//!
//! It owns one buffer of fixed size, into which the caller reads directly, so that a page is copied
//! only once: from here to where it is sent from. Bytes that belong to no valid page are skipped up
//! to the next one, and counted.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "positions in one buffer of fixed length, and counts of bytes that have arrived"
)]

use crate::page::{CAPTURE_PATTERN, MAX_PAGE, Page, Probe};

/// The most bytes that one read adds.
const READ: usize = 16 * 1024;

/// Finds the pages in a byte stream, however reads split it, and skips all other bytes.
pub struct Scanner {
    buffer: Box<[u8]>,
    /// The bytes that are not yet part of a page: `start..end` of the buffer.
    start: usize,
    end: usize,
    skipped: u64,
    skipped_since_page: u64,
    wasted_checksum_bytes: u64,
}

impl Scanner {
    /// Memory of one scanner, in bytes: the longest page and one read.
    pub const MEMORY: usize = MAX_PAGE + READ;

    /// A scanner at the beginning of a byte stream.
    pub fn new() -> Self {
        Self {
            buffer: vec![0; Self::MEMORY].into_boxed_slice(),
            start: 0,
            end: 0,
            skipped: 0,
            skipped_since_page: 0,
            wasted_checksum_bytes: 0,
        }
    }

    /// The space for the next bytes, at most 16 KiB. It is never empty after [`Self::next_page`]
    /// has returned `None`.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < READ {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let until = self.buffer.len().min(self.end + READ);
        &mut self.buffer[self.end..until]
    }

    /// Adds the first `n` bytes of [`Self::room`], which the caller has written.
    ///
    /// # Panics
    /// If that is more than there was room for.
    pub fn filled(&mut self, n: usize) {
        assert!(n <= self.buffer.len() - self.end, "filled past the room given");
        self.end += n;
    }

    /// The next valid page; `None` if more bytes are needed.
    pub fn next_page(&mut self) -> Option<Page<'_>> {
        // Two steps, because the borrow of a returned page would hold `self` through the loop.
        let length = loop {
            match Page::probe(&self.buffer[self.start..self.end]) {
                Probe::Page(page) => break page.bytes().len(),
                Probe::Incomplete(_) => return None,
                Probe::NotAPage => self.skip_to_candidate(),
                Probe::Corrupt(length) => {
                    self.wasted_checksum_bytes += length as u64;
                    self.skip_to_candidate();
                }
            }
        };
        let at = self.start;
        self.start += length;
        self.skipped_since_page = 0;
        Some(Page::from_checked(&self.buffer[at..at + length]))
    }

    /// How many bytes were skipped since this was last called.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// How many bytes were skipped since the last valid page, or since the beginning.
    pub fn skipped_since_page(&self) -> u64 {
        self.skipped_since_page
    }

    /// How many bytes were checksummed that turned out not to be a page, since the beginning. One
    /// byte may count many times, so a high number shows a source that wastes the scanner's time.
    pub fn wasted_checksum_bytes(&self) -> u64 {
        self.wasted_checksum_bytes
    }

    /// The bytes that have arrived and are not yet part of a page.
    pub fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Skips one byte, and then up to what may be a capture pattern.
    fn skip_to_candidate(&mut self) {
        let rest = &self.buffer[self.start + 1..self.end];
        let jump = (0..rest.len())
            .find(|&at| {
                let seen = (rest.len() - at).min(CAPTURE_PATTERN.len());
                rest[at..at + seen] == CAPTURE_PATTERN[..seen]
            })
            .unwrap_or(rest.len());
        self.start += 1 + jump;
        self.skipped += 1 + jump as u64;
        self.skipped_since_page += 1 + jump as u64;
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{PageHeader, write_page};
    use proptest::prelude::*;

    fn pages(sizes: &[usize]) -> Vec<Vec<u8>> {
        let mut sequence = 0;
        sizes
            .iter()
            .map(|&size| {
                let mut out = Vec::new();
                // Bodies full of capture patterns, which are the hardest to resynchronise in.
                let body: Vec<u8> = CAPTURE_PATTERN.iter().copied().cycle().take(size).collect();
                write_page(&mut out, PageHeader { sequence, ..PageHeader::default() }, &[&body]);
                sequence += 1;
                out
            })
            .collect()
    }

    fn scan(scanner: &mut Scanner, mut input: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut cuts = cuts.iter().cycle();
        while !input.is_empty() {
            let room = scanner.room();
            let n = input.len().min(room.len()).min(*cuts.next().unwrap());
            room[..n].copy_from_slice(&input[..n]);
            scanner.filled(n);
            input = &input[n..];
            while let Some(page) = scanner.next_page() {
                found.push(page.bytes().to_vec());
            }
        }
        found
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_pages(
            sizes in prop::collection::vec(0usize..64_000, 1..8),
            cuts in prop::collection::vec(1usize..20_000, 1..20),
        ) {
            let wanted = pages(&sizes);
            let mut scanner = Scanner::new();
            prop_assert_eq!(scan(&mut scanner, &wanted.concat(), &cuts), wanted);
            prop_assert_eq!(scanner.take_skipped(), 0);
        }

        #[test]
        fn damage_costs_only_the_pages_it_touches(
            sizes in prop::collection::vec(1usize..3_000, 3..12),
            cuts in prop::collection::vec(1usize..5_000, 1..20),
            hit in any::<prop::sample::Index>(),
            insert in prop::collection::vec(any::<u8>(), 0..400),
            remove in 0usize..400,
        ) {
            let wanted = pages(&sizes);
            let mut bytes = wanted.concat();
            let at = hit.index(bytes.len());
            let until = (at + remove).min(bytes.len());
            bytes.splice(at..until, insert);
            // A tail of valid pages, because a wrong length may take in as much as one page.
            let tail = pages(&[60_000, 60_000, 10]);
            bytes.extend(tail.concat());
            let mut scanner = Scanner::new();
            let found = scan(&mut scanner, &bytes, &cuts);
            let mut untouched = Vec::new();
            let mut position = 0;
            for page in &wanted {
                if position + page.len() <= at || position >= until.max(at + 1) {
                    untouched.push(page.clone());
                }
                position += page.len();
            }
            untouched.extend(tail);
            let mut found = found.iter();
            for page in &untouched {
                prop_assert!(found.any(|f| f == page), "lost an intact page");
            }
        }
    }

    #[test]
    fn checksums_of_what_is_not_a_page_are_counted() {
        let mut scanner = Scanner::new();
        // The header of a page of some 56,000 bytes, again and again: each claims the next ones.
        let fake = [b"OggS\0".as_slice(), &[0xff; 22]].concat().repeat(4_000);
        assert!(scan(&mut scanner, &fake, &[1_400]).is_empty());
        assert!(scanner.wasted_checksum_bytes() > 50 * fake.len() as u64);
    }

    #[test]
    fn skipped_bytes_are_counted() {
        let mut scanner = Scanner::new();
        let page = pages(&[40]).concat();
        let found = scan(&mut scanner, &[b"OggX rubbish Og", &page[..]].concat(), &[1]);
        assert_eq!(found, [page]);
        assert_eq!(scanner.take_skipped(), 15);
        assert_eq!(scanner.skipped_since_page(), 0);
    }
}
