//! The mount's whole memory: the newest pages, back to back, in one arena that never grows.
//!
//! Positions count bytes ever published, so a range of them is one slice of the
//! arena, or two where it wraps. Publishing never waits: it overwrites the oldest.
//! Every reader holds a [`Cursor`], and finds out for itself that it was overtaken.

use std::time::Duration;

use crate::ogg::{MAX_PAGE, Stamped};

/// The least a ring may be given, in bytes: the longest page fits beside its index.
pub const MIN_RING: usize = 128 * 1024;

/// What the ring plans for: pages of 20 ms at 64 kb/s are about 180 bytes.
const PLANNED_PAGE: usize = 128;

/// Pages further apart than this do not belong to one run of audio.
const LONGEST_PAGE: u64 = 10;

/// A fixed memory of pages.
#[derive(Debug)]
pub struct Ring {
    arena: Box<[u8]>,
    index: Box<[Entry]>,
    /// Number of the oldest page held, and of the next one to come.
    oldest: u64,
    next: u64,
    /// Beginning of the oldest page and end of the newest.
    tail: u64,
    head: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Position of the first byte.
    start: u64,
    /// `None` where no packet ends on the page.
    granule: Option<u64>,
    /// A decoder may begin here: the page does not go on with an earlier page's packet.
    fresh: bool,
}

/// A reader's place: the next byte to take, and where its page ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    position: u64,
    page_end: u64,
}

/// What [`Ring::catch_up`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// The cursor's bytes are all here.
    None,
    /// The ring went past the cursor, which now stands at a newer page. `torn` bytes of the page
    /// it was in were never taken.
    Overtaken {
        /// Bytes missing of the page that was half taken; 0 if the cursor stood between pages.
        torn: usize,
    },
}

impl Ring {
    /// A ring that takes `memory` bytes, index included, all of them now.
    ///
    /// # Panics
    /// If `memory` is below [`MIN_RING`], which the configuration refuses.
    pub fn new(memory: usize) -> Self {
        assert!(memory >= MIN_RING, "a ring smaller than its longest page");
        let entries = memory / (PLANNED_PAGE + size_of::<Entry>());
        let arena = memory - entries * size_of::<Entry>();
        debug_assert!(arena >= MAX_PAGE);
        Self {
            arena: vec![0; arena].into_boxed_slice(),
            index: vec![Entry::default(); entries].into_boxed_slice(),
            oldest: 0,
            next: 0,
            tail: 0,
            head: 0,
        }
    }

    /// Adds a page, over the oldest ones if it must.
    pub fn publish(&mut self, page: &Stamped<'_>) {
        let entry =
            Entry { start: self.head, granule: page.granule(), fresh: !page.is_continued() };
        self.append(&page.pieces(), entry);
    }

    /// Takes in what another ring of the same memory has and this one has not, page by page; where
    /// the other has gone too far ahead, from its oldest page on. Positions stay the other's.
    pub fn follow(&mut self, other: &Self) {
        if self.next < other.oldest {
            (self.oldest, self.next) = (other.oldest, other.oldest);
            (self.tail, self.head) = (other.tail, other.tail);
        }
        for number in self.next..other.next {
            let entry = *other.entry(number);
            let last = number + 1 == other.next;
            let end = if last { other.head } else { other.entry(number + 1).start };
            self.append(&other.bytes(entry.start, end), entry);
        }
    }

    fn append(&mut self, pieces: &[&[u8]], entry: Entry) {
        let end = self.head + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        while self.oldest < self.next
            && (end - self.tail > self.arena.len() as u64
                || self.next - self.oldest == self.index.len() as u64)
        {
            self.oldest += 1;
            let rest = self.oldest < self.next;
            self.tail = if rest { self.entry(self.oldest).start } else { self.head };
        }
        for piece in pieces {
            let at = self.place(self.head);
            let first = piece.len().min(self.arena.len() - at);
            self.arena[at..at + first].copy_from_slice(&piece[..first]);
            self.arena[..piece.len() - first].copy_from_slice(&piece[first..]);
            self.head += piece.len() as u64;
        }
        *self.entry_mut(self.next) = entry;
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

    /// What is ready for a cursor, up to `until`, as one slice or two.
    pub fn ready(&self, cursor: &Cursor, until: u64) -> [&[u8]; 2] {
        self.bytes(cursor.position, until.min(self.head).max(cursor.position))
    }

    /// Says that `taken` of the bytes that were [ready](Self::ready) have been taken.
    pub fn advance(&self, cursor: &mut Cursor, taken: usize) {
        cursor.position += taken as u64;
        if cursor.position == self.head {
            cursor.page_end = self.head;
        } else if cursor.position > cursor.page_end {
            cursor.page_end = self.page_end(cursor.position);
        }
    }

    /// Moves a cursor that the ring has overtaken to the newest page that a decoder can begin with.
    pub fn catch_up(&self, cursor: &mut Cursor) -> Lag {
        if cursor.position >= self.tail() {
            return Lag::None;
        }
        let torn = (cursor.page_end - cursor.position) as usize;
        let newest = (self.oldest..self.next).rev().find(|&number| self.entry(number).fresh);
        *cursor = Cursor::at(newest.map_or(self.head, |number| self.entry(number).start));
        Lag::Overtaken { torn }
    }

    /// A cursor such that at least `time` of audio lies before the newest page's end, if the ring
    /// holds so much since position `since`; always on a page that a decoder can begin with.
    pub fn back_in_time(&self, time: Duration, granules_per_second: u32, since: u64) -> Cursor {
        let per_second = u64::from(granules_per_second);
        let wanted = time.as_nanos() * u128::from(per_second) / 1_000_000_000;
        let (mut audio, mut newer) = (0, None);
        self.back_until(since, |number, entry| {
            // The audio on a page is what lies between its granule position and the one before.
            newer = newer.or(entry.granule);
            let before = if number > self.oldest { self.entry(number - 1).granule } else { None };
            if let (Some(before), Some(end)) = (before, newer) {
                let span = u64::saturating_sub(end, before);
                audio += if span <= per_second * LONGEST_PAGE { span } else { 0 };
                newer = Some(before);
            }
            u128::from(audio) >= wanted
        })
    }

    /// A cursor such that at least `bytes` lie before the newest page's end, if the ring holds
    /// so many since position `since`; always on a page that a decoder can begin with.
    pub fn back_in_bytes(&self, bytes: u64, since: u64) -> Cursor {
        self.back_until(since, |_, entry| self.head - entry.start >= bytes)
    }

    /// A cursor after everything there is.
    pub fn end(&self) -> Cursor {
        Cursor::at(self.head)
    }

    /// A cursor at a page's beginning that was the ring's [head](Self::head) once.
    pub fn at(&self, position: u64) -> Cursor {
        Cursor::at(position)
    }

    fn bytes(&self, from: u64, until: u64) -> [&[u8]; 2] {
        let (at, length) = (self.place(from), (until - from) as usize);
        let first = length.min(self.arena.len() - at);
        [&self.arena[at..at + first], &self.arena[..length - first]]
    }

    /// Walks from the newest page to older ones, to the first for which `enough` says that it and
    /// what follows will do.
    fn back_until(&self, since: u64, mut enough: impl FnMut(u64, &Entry) -> bool) -> Cursor {
        let mut begin = self.head;
        for number in (self.oldest..self.next).rev() {
            let entry = self.entry(number);
            if entry.start < since {
                break;
            }
            let enough = enough(number, entry);
            if entry.fresh {
                begin = entry.start;
                if enough {
                    break;
                }
            }
        }
        Cursor::at(begin)
    }

    /// End of the page that `position` lies in.
    fn page_end(&self, position: u64) -> u64 {
        let (mut low, mut high) = (self.oldest, self.next);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle).start < position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == self.next { self.head } else { self.entry(low).start }
    }

    fn place(&self, position: u64) -> usize {
        (position % self.arena.len() as u64) as usize
    }

    fn entry(&self, number: u64) -> &Entry {
        &self.index[(number % self.index.len() as u64) as usize]
    }

    fn entry_mut(&mut self, number: u64) -> &mut Entry {
        &mut self.index[(number % self.index.len() as u64) as usize]
    }
}

impl Cursor {
    /// A cursor at a page's first byte.
    fn at(position: u64) -> Self {
        Self { position, page_end: position }
    }

    /// Position of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ogg::{Page, Probe, Stamp, write};
    use proptest::prelude::*;

    const MEMORY: usize = MIN_RING;

    fn page(sequence: u32, granule: u64, size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let body: Vec<u8> = (0..size).map(|at| (at as u32 ^ sequence) as u8).collect();
        write(&mut bytes, Stamp { granule, sequence, ..Stamp::default() }, &[&body]);
        bytes
    }

    fn publish(ring: &mut Ring, bytes: &[u8]) {
        let Probe::Page(page) = Page::probe(bytes) else { panic!("not a page") };
        ring.publish(&Stamped::of_stream(&page, page.serial()));
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

    proptest! {
        /// The model is a list of all pages ever published. Whatever a reader takes is, from where
        /// it stands to where it was overtaken, exactly their bytes; it always resumes on a page.
        #[test]
        fn a_reader_gets_every_byte_or_is_told(steps in steps()) {
            let mut ring = Ring::new(MEMORY);
            let mut all: Vec<u8> = Vec::new();
            let mut starts: Vec<u64> = vec![0];
            let mut cursor = ring.end();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Publish(size) => {
                        let bytes = page(number as u32, number as u64, size);
                        publish(&mut ring, &bytes);
                        all.extend(bytes);
                        starts.push(all.len() as u64);
                    }
                    Step::Read(most) => {
                        let before = cursor;
                        if let Lag::Overtaken { torn } = ring.catch_up(&mut cursor) {
                            let page_end = before.position() + torn as u64;
                            prop_assert!(starts.contains(&page_end));
                            prop_assert!(page_end - before.position() < MAX_PAGE as u64);
                            prop_assert!(starts.contains(&cursor.position()));
                            prop_assert!(cursor.position() > before.position());
                        }
                        let ready = ring.ready(&cursor, u64::MAX).concat();
                        let at = cursor.position() as usize;
                        prop_assert_eq!(&ready[..], &all[at..]);
                        ring.advance(&mut cursor, most.min(ready.len()));
                    }
                }
                prop_assert!(ring.head() - ring.tail() <= MEMORY as u64);
            }
        }
    }

    proptest! {
        /// Whenever it follows, it holds the same pages at the same positions.
        #[test]
        fn a_follower_becomes_the_same(steps in steps()) {
            let (mut ring, mut follower) = (Ring::new(MEMORY), Ring::new(MEMORY));
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Publish(size) => publish(&mut ring, &page(number as u32, number as u64, size)),
                    Step::Read(_) => {
                        follower.follow(&ring);
                        prop_assert_eq!((follower.tail(), follower.head()), (ring.tail(), ring.head()));
                        let all = |ring: &Ring| ring.bytes(ring.tail(), ring.head()).concat();
                        prop_assert_eq!(all(&follower), all(&ring));
                        let half = Duration::from_secs(1);
                        prop_assert_eq!(follower.back_in_time(half, 100, 0), ring.back_in_time(half, 100, 0));
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
        assert_eq!(back(60_000), 100, "no more than there is");
        assert_eq!(pages(ring.back_in_time(Duration::from_secs(9), 48_000, 90 * length)), 10);
        assert_eq!(pages(ring.back_in_bytes(5 * length - 1, 0)), 5);
    }

    #[test]
    fn an_empty_ring_has_nothing_and_says_so() {
        let ring = Ring::new(MEMORY);
        assert_eq!(ring.back_in_time(Duration::from_secs(1), 48_000, 0), ring.end());
        assert_eq!(ring.ready(&ring.end(), u64::MAX).concat(), b"");
    }

    #[test]
    fn many_small_pages_are_bounded_by_the_index() {
        let mut ring = Ring::new(MEMORY);
        let bytes = page(0, 0, 3);
        (0..10_000).for_each(|_| publish(&mut ring, &bytes));
        assert!(ring.next - ring.oldest <= ring.index.len() as u64);
        let held: usize = ring.arena.len() + size_of_val(&ring.index[..]);
        assert_eq!(held, MEMORY);
    }

    #[test]
    fn what_is_ready_ends_where_the_reader_must_end() {
        let ring = filled(3);
        let cursor = ring.back_in_bytes(u64::MAX, 0);
        assert_eq!(ring.ready(&cursor, 10).concat().len(), 10);
        assert_eq!(ring.ready(&ring.end(), 10).concat().len(), 0);
    }
}
