//! The newest pages of a mount, back to back in an arena of fixed size.
//!
//! Positions count all bytes that were ever published, so a range of positions is one slice of the
//! arena, or two where it wraps. Publishing never waits: it overwrites the oldest pages. Each
//! reader has a [`Cursor`], and [`Ring::catch_up`] tells it whether the ring has overtaken the
//! cursor. Lookups take time logarithmic in the number of pages.

use std::ops::Range;
use std::time::Duration;

use ogg_splice::{MAX_PAGE, OutputPage};

use super::ring_page::RingPage;

/// The minimum memory of a ring, in bytes: the longest page fits beside the index.
pub const MIN_RING: usize = 128 * 1024;

/// Bytes of audio per index entry. A page with 20 ms of Opus at 64 kbit/s has about 180 bytes, so
/// such pages fill the arena before they fill the index.
const BYTES_PER_ENTRY: usize = 128;

/// If two successive granule positions are further apart than this, in seconds, the difference is
/// not counted as audio.
const MAX_SPAN_SECONDS: u64 = 10;
/// Granules per second until the first stream begins.
const DEFAULT_GRANULE_RATE: u32 = 48_000;

/// Offsets in a page of the number of segments and of the segment table (RFC 3533, section 6).
const SEGMENT_COUNT_OFFSET: u64 = 26;
const SEGMENT_TABLE_OFFSET: u64 = 27;

/// Holds the newest pages of a mount.
#[derive(Debug)]
pub struct Ring {
    arena: Box<[u8]>,
    index: Box<[IndexEntry]>,
    /// Number of the oldest page held.
    oldest: u64,
    /// Number of the next page to be published.
    next: u64,
    /// Position of the first byte held.
    tail: u64,
    /// Position after the last byte held.
    head: u64,
    audio: Audio,
}

/// How much audio has been published, in granules.
#[derive(Clone, Copy, Debug)]
struct Audio {
    /// Sum over all streams.
    total: u64,
    /// The newest granule position of the stream; `None` before the first.
    granule: Option<u64>,
    /// The maximum difference between two granule positions that is counted as audio.
    max_span: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct IndexEntry {
    /// Position of the page's first byte.
    start: u64,
    /// Total audio published before this page, in granules.
    audio: u64,
    /// The number of the newest sync page up to this page, plus one; 0 if there is no sync page
    /// yet. A sync page is one at which a decoder can begin: it does not continue a packet of an
    /// earlier page.
    sync_page: u64,
}

/// A reader's position: the next byte to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    position: u64,
    /// Bytes that complete the page of which the reader has read a part: see
    /// [`Ring::partial_page`].
    missing: u32,
    /// Bytes of that page's fixed header that the reader has read.
    header_read: u8,
}

/// The result of [`Ring::catch_up`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// The ring still holds the bytes at the cursor.
    None,
    /// The ring had overwritten them, and the cursor was moved to a newer page.
    Overtaken {
        /// Bytes of padding that give the torn page the length that its header announces, as far as
        /// the reader has read the header; 0 if the cursor was between pages.
        padding: usize,
        /// Bytes of the torn page that were read, up to the 27 bytes of its fixed header.
        header_read: usize,
    },
}

impl Ring {
    /// Allocates a ring of `memory` bytes, including its index.
    ///
    /// # Panics
    /// If `memory` is less than [`MIN_RING`]; the configuration rejects such values.
    pub fn new(memory: usize) -> Self {
        assert!(memory >= MIN_RING, "a ring of {memory} bytes cannot hold the longest page");
        debug_assert!(Self::capacity(memory) >= MAX_PAGE);
        Self {
            arena: vec![0; Self::capacity(memory)].into_boxed_slice(),
            index: vec![IndexEntry::default(); Self::entries(memory)].into_boxed_slice(),
            oldest: 0,
            next: 0,
            tail: 0,
            head: 0,
            audio: Audio::for_stream(0, DEFAULT_GRANULE_RATE),
        }
    }

    /// Begins another stream, with this many granules per second.
    pub fn begin_stream(&mut self, granules_per_second: u32) {
        self.audio = Audio::for_stream(self.audio.total, granules_per_second);
    }

    /// Adds a page. Overwrites the oldest pages if it needs their memory or index entries.
    pub fn publish(&mut self, page: &OutputPage<'_>) {
        let sync_page = if page.is_continued() { self.newest_sync_page() } else { self.next + 1 };
        let index_entry = IndexEntry { start: self.head, audio: self.audio.total, sync_page };
        self.append(&page.slices(), index_entry);
        self.audio.count(page.granule());
    }

    /// Copies the pages of `other`, a ring of the same size, that are not in this one. If `other`
    /// has already dropped the next page, continues with its oldest. Positions are those of
    /// `other`.
    pub fn follow(&mut self, other: &Self) {
        if self.next < other.oldest {
            (self.oldest, self.next) = (other.oldest, other.oldest);
            (self.tail, self.head) = (other.tail, other.tail);
        }
        for number in self.next..other.next {
            let index_entry = *other.index_entry(number);
            self.append(&other.bytes(index_entry.start, other.end_of(number)), index_entry);
        }
        self.audio = other.audio;
    }

    fn append(&mut self, pieces: &[&[u8]], index_entry: IndexEntry) {
        let end = self.head + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        while self.oldest < self.next
            && (end - self.tail > self.arena.len() as u64
                || self.next - self.oldest == self.index.len() as u64)
        {
            self.oldest += 1;
            let is_empty = self.oldest == self.next;
            self.tail = if is_empty { self.head } else { self.index_entry(self.oldest).start };
        }
        for piece in pieces {
            let at = self.arena_index(self.head);
            let first = piece.len().min(self.arena.len() - at);
            self.arena[at..at + first].copy_from_slice(&piece[..first]);
            self.arena[..piece.len() - first].copy_from_slice(&piece[first..]);
            self.head += piece.len() as u64;
        }
        *self.entry_mut(self.next) = index_entry;
        self.next += 1;
    }

    /// Position of the oldest byte held.
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// Position after the newest byte.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The bytes from the cursor up to `until`, or up to the head if that comes first. The second
    /// slice is empty unless the range wraps.
    pub fn ready(&self, cursor: &Cursor, until: u64) -> [&[u8]; 2] {
        self.bytes(cursor.position, until.min(self.head).max(cursor.position))
    }

    /// Moves the cursor past the first `read` of the bytes that were [ready](Self::ready).
    pub fn advance(&self, cursor: &mut Cursor, read: usize) {
        cursor.position += read as u64;
        (cursor.missing, cursor.header_read) =
            if cursor.position == self.head { (0, 0) } else { self.partial_page(cursor.position) };
    }

    /// If the ring has overtaken the cursor, moves the cursor to the newest sync page.
    pub fn catch_up(&self, cursor: &mut Cursor) -> Lag {
        if cursor.position >= self.tail() {
            return Lag::None;
        }
        let (padding, header_read) = (cursor.missing as usize, usize::from(cursor.header_read));
        let newest = self.newest_sync_page().checked_sub(1).filter(|&number| number >= self.oldest);
        *cursor = Cursor::at(newest.map_or(self.head, |number| self.index_entry(number).start));
        Lag::Overtaken { padding, header_read }
    }

    /// A cursor at the newest sync page that is followed by at least `time` of audio, counted from
    /// the start of that page. If the ring holds less than `time` from position `start` on, a
    /// cursor at the first sync page from `start` on.
    pub fn back_in_time(&self, time: Duration, granules_per_second: u32, start: u64) -> Cursor {
        let wanted = time.as_nanos() * u128::from(granules_per_second) / 1_000_000_000;
        let wanted = u64::try_from(wanted).ok();
        let latest = wanted
            .and_then(|wanted| self.audio.total.checked_sub(wanted))
            .and_then(|audio| self.last_where(|entry| entry.audio <= audio));
        self.sync_cursor(latest, start)
    }

    /// The same for `bytes` instead of a time.
    pub fn back_in_bytes(&self, bytes: u64, start: u64) -> Cursor {
        let position = self.head.checked_sub(bytes);
        let latest = position.and_then(|position| self.last_where(|entry| entry.start <= position));
        self.sync_cursor(latest, start)
    }

    /// The numbers of the pages that begin at position `start` or later, and before `end`.
    pub fn pages_between(&self, start: u64, end: u64) -> Range<u64> {
        let first = self.first_where(|entry| entry.start >= start);
        first..self.first_where(|entry| entry.start >= end).max(first)
    }

    /// The page with this number, which must be one that the ring holds.
    pub fn page(&self, number: u64) -> RingPage<'_> {
        let start = self.index_entry(number).start;
        RingPage::new(self.bytes(start, self.end_of(number)), start)
    }

    /// The bytes of a range of positions; `None` if the ring does not hold all of it. The second slice
    /// is empty unless the range wraps.
    pub fn held(&self, range: Range<u64>) -> Option<[&[u8]; 2]> {
        let is_held =
            self.tail <= range.start && range.start <= range.end && range.end <= self.head;
        is_held.then(|| self.bytes(range.start, range.end))
    }

    /// How many bytes of pages a ring of `memory` bytes holds.
    pub const fn capacity(memory: usize) -> usize {
        memory - Self::entries(memory) * size_of::<IndexEntry>()
    }

    /// The memory of a ring that holds so many bytes in so many pages.
    pub const fn memory_for(bytes: u64, pages: u64) -> u64 {
        let entry = size_of::<IndexEntry>() as u64;
        let (by_bytes, by_pages) = (bytes.div_ceil(BYTES_PER_ENTRY as u64), pages);
        let entries = if by_bytes > by_pages { by_bytes } else { by_pages };
        entries.saturating_add(1).saturating_mul(BYTES_PER_ENTRY as u64 + entry)
    }

    /// The number of index entries of a ring of `memory` bytes.
    pub const fn entries(memory: usize) -> usize {
        memory / (BYTES_PER_ENTRY + size_of::<IndexEntry>())
    }

    /// A cursor after the newest page.
    pub fn end(&self) -> Cursor {
        Cursor::at(self.head)
    }

    /// A cursor at `position`, which must be the start of a page: a value that [`Self::head`] has
    /// had.
    pub fn at(&self, position: u64) -> Cursor {
        Cursor::at(position)
    }

    fn bytes(&self, from: u64, until: u64) -> [&[u8]; 2] {
        let (at, length) = (self.arena_index(from), (until - from) as usize);
        let first = length.min(self.arena.len() - at);
        [&self.arena[at..at + first], &self.arena[..length - first]]
    }

    /// A cursor at the newest sync page up to page number `latest`. If that page is before position
    /// `start`, or if `latest` is `None`, a cursor at the first sync page from `start` on.
    fn sync_cursor(&self, latest: Option<u64>, start: u64) -> Cursor {
        let first = self.first_where(|entry| entry.start >= start);
        let sync_page = latest.and_then(|number| self.index_entry(number).sync_page.checked_sub(1));
        let number = sync_page
            .filter(|&number| number >= first)
            .unwrap_or_else(|| self.first_where(|entry| entry.sync_page > first));
        Cursor::at(if number < self.next { self.index_entry(number).start } else { self.head })
    }

    /// Number of the first page for which `holds` is true; if no page matches, of the next page.
    /// `holds` must be true for all pages after the first.
    fn first_where(&self, holds: impl Fn(&IndexEntry) -> bool) -> u64 {
        let (mut low, mut high) = (self.oldest, self.next);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.index_entry(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// Number of the last page for which `holds` is true. `holds` must be true for all pages before
    /// the last.
    fn last_where(&self, holds: impl Fn(&IndexEntry) -> bool) -> Option<u64> {
        self.first_where(|entry| !holds(entry))
            .checked_sub(1)
            .filter(|&number| number >= self.oldest)
    }

    /// [`IndexEntry::sync_page`] of the newest page; 0 if the ring is empty.
    fn newest_sync_page(&self) -> u64 {
        if self.oldest < self.next { self.index_entry(self.next - 1).sync_page } else { 0 }
    }

    /// For a reader that has read up to `position`: the number of zero bytes that complete the page
    /// at `position`, and how many bytes of the page's fixed header were read.
    ///
    /// The length of a page follows from its header. Zeros in place of an unread part of the header
    /// mean: no segments, or segments without data.
    fn partial_page(&self, position: u64) -> (u32, u8) {
        let Some(number) = self.last_where(|entry| entry.start <= position) else {
            return (0, 0);
        };
        let start = self.index_entry(number).start;
        let read = position - start;
        let missing = if read == 0 {
            0
        } else if read <= SEGMENT_COUNT_OFFSET {
            SEGMENT_TABLE_OFFSET - read
        } else {
            let segments = u64::from(self.byte(start + SEGMENT_COUNT_OFFSET));
            let header = SEGMENT_TABLE_OFFSET + segments;
            if read >= header {
                self.end_of(number) - position
            } else {
                let table = start + SEGMENT_TABLE_OFFSET..position;
                header - read + table.map(|at| u64::from(self.byte(at))).sum::<u64>()
            }
        };
        // A page is shorter than 64 KiB.
        (missing as u32, read.min(SEGMENT_TABLE_OFFSET) as u8)
    }

    /// Position after a page's last byte.
    fn end_of(&self, number: u64) -> u64 {
        if number + 1 < self.next { self.index_entry(number + 1).start } else { self.head }
    }

    fn byte(&self, position: u64) -> u8 {
        self.arena[self.arena_index(position)]
    }

    fn arena_index(&self, position: u64) -> usize {
        (position % self.arena.len() as u64) as usize
    }

    fn index_entry(&self, number: u64) -> &IndexEntry {
        &self.index[(number % self.index.len() as u64) as usize]
    }

    fn entry_mut(&mut self, number: u64) -> &mut IndexEntry {
        &mut self.index[(number % self.index.len() as u64) as usize]
    }
}

impl Audio {
    fn for_stream(total: u64, granules_per_second: u32) -> Self {
        let max_span = u64::from(granules_per_second).saturating_mul(MAX_SPAN_SECONDS);
        Self { total, granule: None, max_span }
    }

    /// Counts a page's audio: the difference between its granule position and the previous one.
    fn count(&mut self, granule: Option<u64>) {
        let Some(granule) = granule else { return };
        let span = self.granule.map_or(0, |before| granule.saturating_sub(before));
        if span <= self.max_span {
            self.total = self.total.saturating_add(span);
        }
        self.granule = Some(granule);
    }
}

impl Cursor {
    /// A cursor at a page's first byte.
    fn at(position: u64) -> Self {
        Self { position, missing: 0, header_read: 0 }
    }

    /// Position of the next byte to read.
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests;
