//! The mount's whole memory: the newest pages, back to back, in one arena that never grows.
//!
//! Positions count bytes ever published, so a range of them is one slice of the
//! arena, or two where it wraps. Publishing never waits: it overwrites the oldest.
//! Every reader holds a [`Cursor`], and finds out for itself that it was overtaken.
//! Whatever a reader asks for is found in a time that is logarithmic in the number of pages.

use std::time::Duration;

use ogg_splice::{MAX_PAGE, OutputPage};

/// The least a ring may be given, in bytes: the longest page fits beside its index.
pub const MIN_RING: usize = 128 * 1024;

/// What the ring plans for: pages of 20 ms at 64 kb/s are about 180 bytes.
const PLANNED_PAGE: usize = 128;

/// Granule positions further apart than this, in seconds, do not belong to one run of audio.
const LONGEST_PAGE: u64 = 10;
/// What a second adds to the granule position until a stream says otherwise.
const USUAL_RATE: u32 = 48_000;

/// Where a page's header has the number of its segments, and where their lengths begin (RFC 3533, section 6).
const SEGMENTS_AT: u64 = 26;
const LACING_AT: u64 = 27;

/// A fixed memory of pages.
#[derive(Debug)]
pub struct Ring {
    arena: Box<[u8]>,
    index: Box<[IndexEntry]>,
    /// Number of the oldest page held, and of the next one to come.
    oldest: u64,
    next: u64,
    /// Beginning of the oldest page and end of the newest.
    tail: u64,
    head: u64,
    audio: Audio,
}

/// How much audio has been published, in granules.
#[derive(Clone, Copy, Debug)]
struct Audio {
    ever: u64,
    /// The newest granule position of the stream; `None` before its first.
    granule: Option<u64>,
    /// What two of them may lie apart.
    longest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct IndexEntry {
    /// Position of the first byte.
    start: u64,
    /// Audio published before this page, ever, in granules.
    audio: u64,
    /// One more than the number of the newest page, up to this one, that a decoder can begin with: one that
    /// does not go on with an earlier page's packet. 0 if there was none.
    fresh: u64,
}

/// A reader's place: the next byte to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    position: u64,
    /// Bytes without which a reader could not tell where the page ends that it has been given a part of.
    owed: u32,
    /// How much of that page it has, up to its fixed header.
    taken: u8,
}

/// What [`Ring::catch_up`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// The cursor's bytes are all here.
    None,
    /// The ring went past the cursor, which now stands at a newer page.
    Overtaken {
        /// Bytes after which the page that was half taken has the length that its header says, as far as its
        /// header was taken; 0 if the cursor stood between pages.
        torn: usize,
        /// How much of that page was taken, up to the 27 bytes of its fixed header.
        taken: usize,
    },
}

impl Ring {
    /// A ring that takes `memory` bytes, index included, all of them now.
    ///
    /// # Panics
    /// If `memory` is below [`MIN_RING`], which the configuration refuses.
    pub fn new(memory: usize) -> Self {
        assert!(memory >= MIN_RING, "a ring smaller than its longest page");
        let entries = memory / (PLANNED_PAGE + size_of::<IndexEntry>());
        let arena = memory - entries * size_of::<IndexEntry>();
        debug_assert!(arena >= MAX_PAGE);
        Self {
            arena: vec![0; arena].into_boxed_slice(),
            index: vec![IndexEntry::default(); entries].into_boxed_slice(),
            oldest: 0,
            next: 0,
            tail: 0,
            head: 0,
            audio: Audio::of_stream(0, USUAL_RATE),
        }
    }

    /// The pages that follow are of another stream, in which a second is so many granules.
    pub fn begin_stream(&mut self, granules_per_second: u32) {
        self.audio = Audio::of_stream(self.audio.ever, granules_per_second);
    }

    /// Adds a page, over the oldest ones if it must.
    pub fn publish(&mut self, page: &OutputPage<'_>) {
        let fresh = if page.is_continued() { self.newest_fresh() } else { self.next + 1 };
        let index_entry = IndexEntry { start: self.head, audio: self.audio.ever, fresh };
        self.append(&page.slices(), index_entry);
        self.audio.count(page.granule());
    }

    /// Takes in what another ring of the same memory has and this one has not, page by page; where
    /// the other has gone too far ahead, from its oldest page on. Positions stay the other's.
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
            let rest = self.oldest < self.next;
            self.tail = if rest { self.index_entry(self.oldest).start } else { self.head };
        }
        for piece in pieces {
            let at = self.place(self.head);
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

    /// What is ready for a cursor, up to `until`, as one slice or two.
    pub fn ready(&self, cursor: &Cursor, until: u64) -> [&[u8]; 2] {
        self.bytes(cursor.position, until.min(self.head).max(cursor.position))
    }

    /// Says that `taken` of the bytes that were [ready](Self::ready) have been taken.
    pub fn advance(&self, cursor: &mut Cursor, taken: usize) {
        cursor.position += taken as u64;
        (cursor.owed, cursor.taken) =
            if cursor.position == self.head { (0, 0) } else { self.owed(cursor.position) };
    }

    /// Moves a cursor that the ring has overtaken to the newest page that a decoder can begin with.
    pub fn catch_up(&self, cursor: &mut Cursor) -> Lag {
        if cursor.position >= self.tail() {
            return Lag::None;
        }
        let (torn, taken) = (cursor.owed as usize, usize::from(cursor.taken));
        let newest = self.newest_fresh().checked_sub(1).filter(|&number| number >= self.oldest);
        *cursor = Cursor::at(newest.map_or(self.head, |number| self.index_entry(number).start));
        Lag::Overtaken { torn, taken }
    }

    /// A cursor such that at least `time` of audio lies before the newest page's end, if the ring
    /// holds so much since position `since`; always on a page that a decoder can begin with.
    pub fn back_in_time(&self, time: Duration, granules_per_second: u32, since: u64) -> Cursor {
        let wanted = time.as_nanos() * u128::from(granules_per_second) / 1_000_000_000;
        let begins = u64::try_from(wanted).ok().and_then(|w| self.audio.ever.checked_sub(w));
        let enough = begins.and_then(|begins| self.last(|index_entry| index_entry.audio <= begins));
        self.begin_at(enough, since)
    }

    /// A cursor such that at least `bytes` lie before the newest page's end, if the ring holds
    /// so many since position `since`; always on a page that a decoder can begin with.
    pub fn back_in_bytes(&self, bytes: u64, since: u64) -> Cursor {
        let begins = self.head.checked_sub(bytes);
        let enough = begins.and_then(|begins| self.last(|index_entry| index_entry.start <= begins));
        self.begin_at(enough, since)
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

    /// A cursor at the newest page, not after `enough`, that a decoder can begin with; where that lies before
    /// `since`, at the first one after it.
    fn begin_at(&self, enough: Option<u64>, since: u64) -> Cursor {
        let first = self.first(|index_entry| index_entry.start >= since);
        let fresh = enough.and_then(|number| self.index_entry(number).fresh.checked_sub(1));
        let number = fresh
            .filter(|&number| number >= first)
            .unwrap_or_else(|| self.first(|index_entry| index_entry.fresh > first));
        Cursor::at(if number < self.next { self.index_entry(number).start } else { self.head })
    }

    /// Number of the first page of which something holds that holds of all after it; the next page's if of none.
    fn first(&self, holds: impl Fn(&IndexEntry) -> bool) -> u64 {
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

    /// Number of the last page of which something holds that holds of all before it.
    fn last(&self, holds: impl Fn(&IndexEntry) -> bool) -> Option<u64> {
        self.first(|index_entry| !holds(index_entry))
            .checked_sub(1)
            .filter(|&number| number >= self.oldest)
    }

    /// As [`IndexEntry::fresh`], of the newest page; 0 without one.
    fn newest_fresh(&self) -> u64 {
        if self.oldest < self.next { self.index_entry(self.next - 1).fresh } else { 0 }
    }

    /// How many bytes a reader needs that was given those up to `position`, should the ring overtake it
    /// there: enough for the page to have the length that follows from what the reader has of its header. Where
    /// it does not have the number of segments, that is 0; where it has a part of the segments' lengths, the
    /// others are. And how much of the page's fixed header it has.
    fn owed(&self, position: u64) -> (u32, u8) {
        let Some(number) = self.last(|index_entry| index_entry.start <= position) else {
            return (0, 0);
        };
        let start = self.index_entry(number).start;
        let taken = position - start;
        let owed = if taken == 0 {
            0
        } else if taken <= SEGMENTS_AT {
            LACING_AT - taken
        } else {
            let body_at = LACING_AT + u64::from(self.byte(start + SEGMENTS_AT));
            if taken >= body_at {
                self.end_of(number) - position
            } else {
                let lacing = (start + LACING_AT..position).map(|at| u64::from(self.byte(at)));
                body_at - taken + lacing.sum::<u64>()
            }
        };
        // A page is shorter than 64 KiB.
        (owed as u32, taken.min(LACING_AT) as u8)
    }

    /// Position after a page's last byte.
    fn end_of(&self, number: u64) -> u64 {
        if number + 1 < self.next { self.index_entry(number + 1).start } else { self.head }
    }

    fn byte(&self, position: u64) -> u8 {
        self.arena[self.place(position)]
    }

    fn place(&self, position: u64) -> usize {
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
    fn of_stream(ever: u64, granules_per_second: u32) -> Self {
        let longest = u64::from(granules_per_second).saturating_mul(LONGEST_PAGE);
        Self { ever, granule: None, longest }
    }

    /// The audio on a page is what lies between its granule position and the one before.
    fn count(&mut self, granule: Option<u64>) {
        let Some(granule) = granule else { return };
        let span = self.granule.map_or(0, |before| granule.saturating_sub(before));
        if span <= self.longest {
            self.ever = self.ever.saturating_add(span);
        }
        self.granule = Some(granule);
    }
}

impl Cursor {
    /// A cursor at a page's first byte.
    fn at(position: u64) -> Self {
        Self { position, owed: 0, taken: 0 }
    }

    /// Position of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
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

    /// What a listener is sent in place of the rest of a torn page.
    fn pad(heard: &mut Vec<u8>, taken: usize, torn: usize) {
        let page: Vec<u8> =
            b"OggS".iter().copied().chain(std::iter::repeat(0)).take(taken + torn).collect();
        heard.extend(&page[taken..]);
    }

    /// Cuts what a reader was given into pages, as its framing says; each must begin where the one before ends.
    fn frames(mut heard: &[u8]) -> usize {
        let mut count = 0;
        while !heard.is_empty() {
            assert!(heard.starts_with(b"OggS"), "what begins here is no page");
            let segments = usize::from(heard[26]);
            let lacing = &heard[27..27 + segments];
            heard = &heard[27 + segments + lacing.iter().map(|&l| usize::from(l)).sum::<usize>()..];
            count += 1;
        }
        count
    }

    #[test]
    fn wherever_a_page_is_torn_the_next_one_begins_where_its_reader_expects_it() {
        let torn_page = page(1, 960, 20_000);
        for taken in (0..200).chain((200..torn_page.len()).step_by(97)) {
            let mut ring = Ring::new(MEMORY);
            let mut cursor = ring.end();
            publish(&mut ring, &torn_page);
            ring.advance(&mut cursor, taken);
            let mut heard = torn_page[..taken].to_vec();
            for number in 2..10 {
                publish(&mut ring, &page(number, 0, 20_000));
            }
            let Lag::Overtaken { torn, taken: of_header } = ring.catch_up(&mut cursor) else {
                panic!("not overtaken")
            };
            assert_eq!(of_header, taken.min(27));
            pad(&mut heard, of_header, torn);
            assert!(heard.len() < MAX_PAGE);
            assert_eq!(frames(&heard), usize::from(taken > 0), "{taken} bytes taken");
        }
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
            let mut heard: Vec<u8> = Vec::new();
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
                        if let Lag::Overtaken { torn, taken } = ring.catch_up(&mut cursor) {
                            pad(&mut heard, taken, torn);
                            prop_assert!(torn > 0 || starts.contains(&before.position()));
                            prop_assert!(torn < MAX_PAGE);
                            prop_assert!(starts.contains(&cursor.position()));
                            prop_assert!(cursor.position() > before.position());
                        }
                        let ready = ring.ready(&cursor, u64::MAX).concat();
                        let at = cursor.position() as usize;
                        prop_assert_eq!(&ready[..], &all[at..]);
                        heard.extend(&ready[..most.min(ready.len())]);
                        ring.advance(&mut cursor, most.min(ready.len()));
                    }
                }
                prop_assert!(ring.head() - ring.tail() <= MEMORY as u64);
            }
            // What is left of the page that it is in, as if the ring went on for ever.
            pad(&mut heard, usize::from(cursor.taken), cursor.owed as usize);
            frames(&heard);
        }
    }

    proptest! {
        /// The search is as good as looking at every page, the newest first.
        #[test]
        fn what_is_searched_for_is_what_a_walk_would_find(
            pages in prop::collection::vec((0usize..400, any::<bool>(), 0u64..4_000), 0..1_500),
            wanted in 0u64..3_000_000,
            since in any::<prop::sample::Index>(),
        ) {
            let mut ring = Ring::new(MEMORY);
            let (mut all, mut granule, mut audio) = (Vec::new(), 0, 0);
            for (size, continued, span) in pages {
                granule += span;
                let mut bytes = page(0, granule, size);
                bytes[5] |= u8::from(continued);
                ogg_splice::testing::update_checksum(&mut bytes);
                let counts = if all.is_empty() { 0 } else { span };
                all.push((ring.head(), continued, audio));
                audio += counts;
                publish(&mut ring, &bytes);
            }
            let held = || all.iter().filter(|(start, ..)| *start >= ring.tail());
            let since = if all.is_empty() { 0 } else { all[since.index(all.len())].0 };
            let walk = |enough: &dyn Fn(u64, u64) -> bool| {
                let mut begin = ring.head();
                for (start, continued, audio) in held().rev().take_while(|page| page.0 >= since) {
                    if !continued {
                        begin = *start;
                    }
                    if enough(*start, *audio) {
                        if *continued {
                            // Further back, to one that a decoder can begin with.
                            let fresh = held().rev().skip_while(|page| page.0 > *start).find(|page| !page.1);
                            begin = fresh.filter(|page| page.0 >= since).map_or(begin, |page| page.0);
                        }
                        break;
                    }
                }
                begin
            };
            let time = Duration::from_nanos((wanted * 1_000_000_000).div_ceil(48_000));
            let by_time = walk(&|_, before| audio - before >= wanted);
            prop_assert_eq!(ring.back_in_time(time, 48_000, since).position(), by_time);
            let bytes = wanted / 8;
            let by_bytes = walk(&|start, _| ring.head() - start >= bytes);
            prop_assert_eq!(ring.back_in_bytes(bytes, since).position(), by_bytes);
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
