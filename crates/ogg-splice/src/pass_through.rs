//! One source's stream of a codec that is not spliced: its pages as they are, with another serial.
//!
//! Only the granule positions tell how long a page is. For FLAC and Vorbis they count samples at
//! the stream's own rate, up to the end of the last packet that ends on a page (the FLAC project's
//! "Ogg FLAC Mapping"; the Vorbis I specification, section A.2).

use std::time::Duration;

use crate::page::{OutputPage, Page, PageHeader};
use crate::page_length::PageLength;
use crate::rate::ByteRate;

/// A page that claims to be longer than this many seconds tells nothing about the rhythm of its
/// source: its granule position jumps.
const LONGEST_PAGE: u64 = 30;

/// Passes on the pages of one source, until it ends or another stream replaces it.
#[derive(Debug)]
pub struct PassThrough {
    serial: u32,
    /// Samples per second.
    rate: u64,
    /// Number of the newest page.
    sequence: u32,
    /// Granule position of the newest page that has one. A stream begins at 0.
    granule: u64,
    /// Whether the newest page had the EOS flag.
    last: bool,
    page: PageLength,
    bytes: ByteRate,
    /// Bytes of pages on which no packet ends, which count with the next page.
    uncounted: usize,
}

impl PassThrough {
    /// A stream with this serial, whose granule positions advance by `rate` in a second. It has
    /// `headers` header pages.
    pub fn new(rate: u32, serial: u32, headers: u32) -> Self {
        Self {
            serial,
            rate: u64::from(rate),
            sequence: headers.saturating_sub(1),
            granule: 0,
            last: false,
            page: PageLength::default(),
            bytes: ByteRate::default(),
            uncounted: 0,
        }
    }

    /// Passes a page of the source's audio to `out`.
    pub fn push(&mut self, page: &Page<'_>, mut out: impl FnMut(&OutputPage<'_>)) {
        out(&OutputPage::with_serial(page, self.serial));
        (self.sequence, self.last) = (page.sequence(), page.is_last());
        self.uncounted = self.uncounted.saturating_add(page.body().len());
        let Some(granule) = page.granule() else { return };
        let samples = granule.saturating_sub(self.granule);
        if (1..=self.rate.saturating_mul(LONGEST_PAGE)).contains(&samples) {
            self.page.take(samples);
            self.bytes.measure(self.uncounted, samples, self.rate);
        }
        (self.granule, self.uncounted) = (granule, 0);
    }

    /// Ends the stream with an empty page, unless the source has ended it.
    pub fn end(&mut self, mut out: impl FnMut(&OutputPage<'_>)) {
        if std::mem::replace(&mut self.last, true) {
            return;
        }
        self.sequence = self.sequence.wrapping_add(1);
        let header = PageHeader {
            first: false,
            last: true,
            granule: self.position(),
            serial: self.serial,
            sequence: self.sequence,
        };
        out(&OutputPage::new(header, &[], &[]));
    }

    /// The stream's end: the granule position of its newest page.
    pub fn position(&self) -> u64 {
        self.granule
    }

    /// The source's bit rate over its last seconds, in bytes per second; 0 in its first second.
    pub fn rate(&self) -> u64 {
        self.bytes.get()
    }

    /// Duration of the source's recent pages; zero before the first one is known.
    pub fn page_duration(&self) -> Duration {
        let micros = self.page.recent().saturating_mul(1_000_000).checked_div(self.rate);
        Duration::from_micros(micros.unwrap_or(0))
    }

    /// Time without audio after which a gap begins: `gap_after`, and at least two of the source's
    /// pages.
    pub fn gap_threshold(&self, gap_after: Duration) -> Duration {
        gap_after.max(self.page_duration().saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{Probe, write_page};

    /// Pushes a page that ends at `granule`.
    fn push(stream: &mut PassThrough, granule: u64, bytes: usize) {
        let mut page = Vec::new();
        write_page(&mut page, PageHeader { granule, ..PageHeader::default() }, &[&vec![0; bytes]]);
        let Probe::Page(page) = Page::probe(&page) else { panic!("not a page") };
        stream.push(&page, |out| assert_eq!(out.slices().concat()[14..18], 7_u32.to_le_bytes()));
    }

    #[test]
    fn granule_positions_give_the_duration_of_pages_and_the_rate() {
        let mut stream = PassThrough::new(8_000, 7, 2);
        push(&mut stream, 1_000_000, 100);
        let short = Duration::from_millis(100);
        assert_eq!((stream.page_duration(), stream.gap_threshold(short)), (Duration::ZERO, short));
        for page in 1..=4 {
            push(&mut stream, 1_000_000 + page * 4_000, 500);
        }
        assert_eq!(stream.page_duration(), Duration::from_millis(500));
        assert_eq!(stream.gap_threshold(short), Duration::from_secs(1));
        assert_eq!((stream.rate(), stream.position()), (1_000, 1_016_000));
    }

    #[test]
    fn a_page_on_which_no_packet_ends_counts_with_the_next_one() {
        let mut stream = PassThrough::new(1_000, 7, 2);
        push(&mut stream, 1_000, 100);
        push(&mut stream, u64::MAX, 300);
        push(&mut stream, 2_000, 100);
        assert_eq!((stream.page_duration(), stream.rate()), (Duration::from_secs(1), 250));
    }

    #[test]
    fn positions_that_jump_leave_the_rhythm_as_it_was() {
        let mut stream = PassThrough::new(1_000, 7, 2);
        for granule in [1_000, 2_000, 3_000, 900_000_000, 5, 1_005] {
            push(&mut stream, granule, 10);
        }
        assert_eq!(stream.page_duration(), Duration::from_secs(1));
    }
}
