//! Fills up quiet audio for the media elements of browsers.
//!
//! A media element plays data in blocks of 32 KiB (`listener/player.rs`). An encoder with a variable
//! bitrate sends digital silence with a fifth of its usual bytes, so a block takes 20 s instead of
//! 4, and the element stops until it is complete. It stays behind live by that time for as long as
//! it plays. So the server adds pages until a block is complete in time.
//!
//! The pages are a second logical stream beside the audio (RFC 3533, section 4), which demuxers skip.
//! The audio's own pages are sent as they are, and other listeners get nothing of it.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ogg_splice::{PageHeader, write_page};

use super::player::{Demuxer, MEDIA_ELEMENT_BYTES, MEDIA_ELEMENT_RATE};

/// The length of a filler page, in bytes.
const PAGE: usize = 512;
/// How many filler pages there are: a media element's whole burst.
const PAGES: usize = MEDIA_ELEMENT_BYTES as usize / PAGE;
/// The serial of the second stream. An encoder chooses its own at random.
const SERIAL: u32 = 0x5349_4c56;

/// The pages that begin the second stream: of an unknown codec, and of Skeleton 3.0 (Xiph's "Ogg
/// Skeleton 3.0").
static BEGIN: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let mut fishead = [0; 64];
    fishead[..10].copy_from_slice(b"fishead\0\x03\0");
    [b"filler\0silvacast", &fishead[..]].map(|packet| {
        let mut page = Vec::new();
        let header = PageHeader { first: true, serial: SERIAL, ..PageHeader::default() };
        write_page(&mut page, header, &[packet]);
        page
    })
});

/// The pages that follow, from which listeners are sent as many as they need.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut pages = Vec::with_capacity(PAGES * PAGE);
    for sequence in 1..=PAGES as u32 {
        let header = PageHeader { serial: SERIAL, sequence, ..PageHeader::default() };
        // 27 bytes of header and 2 lacing values.
        write_page(&mut pages, header, &[&[0; PAGE - 29]]);
    }
    pages
});

/// What one listener gets in addition to its audio.
#[derive(Debug)]
pub struct Filler {
    /// Bytes that are due since this moment.
    since: Instant,
    /// Bytes sent since then.
    sent: u64,
    /// The part of [`FILLER`] that is still to be sent.
    unsent: Range<usize>,
}

impl Filler {
    /// The page that begins the second stream. It must precede all pages but those that begin other
    /// streams.
    pub fn begin(demuxer: Demuxer) -> &'static [u8] {
        &BEGIN[usize::from(demuxer == Demuxer::Chromium)]
    }

    /// The filler of a listener that joins with `burst` bytes of audio.
    pub fn new(burst: u64, now: Instant) -> Self {
        let mut filler = Self { since: now, sent: 0, unsent: 0..0 };
        filler.add(MEDIA_ELEMENT_BYTES.saturating_sub(burst));
        filler
    }

    /// Adds what is missing to the fewest bytes per second. Call it when all else has been sent: the
    /// filler must not get into a page.
    pub fn top_up(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        let due = elapsed.as_millis() as u64 * MEDIA_ELEMENT_RATE / 1000;
        // Loud audio counts for what follows, but only for a block.
        self.sent = self.sent.min(due + MEDIA_ELEMENT_BYTES);
        // A listener that was blocked, or whose source was away, is not to get all of it later.
        if due > self.sent + MEDIA_ELEMENT_BYTES || elapsed > Duration::from_mins(1) {
            (self.since, self.sent) = (now, 0);
        } else {
            self.add(due.saturating_sub(self.sent));
        }
    }

    /// Counts bytes of audio that were sent.
    pub fn count(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// The bytes to send before the next page of audio.
    pub fn unsent(&self) -> &'static [u8] {
        &FILLER[self.unsent.clone()]
    }

    /// Counts bytes of [`Self::unsent`] that were sent.
    pub fn advance(&mut self, bytes: usize) {
        self.unsent.start += bytes;
    }

    /// Adds whole pages, at most `bytes`.
    fn add(&mut self, bytes: u64) {
        let pages = (bytes as usize / PAGE).min(PAGES);
        if self.unsent.is_empty() && pages > 0 {
            self.unsent = 0..pages * PAGE;
            self.sent += (pages * PAGE) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filler_is_whole_pages_of_one_stream() {
        let mut scanner = ogg_splice::Scanner::new();
        let mut pages = 0;
        let begin = Filler::begin(Demuxer::Chromium);
        for chunk in [begin, &FILLER].concat().chunks(1000) {
            scanner.room()[..chunk.len()].copy_from_slice(chunk);
            scanner.filled(chunk.len());
            while let Some(page) = scanner.next_page() {
                assert_eq!((page.serial(), page.sequence()), (SERIAL, pages));
                assert!(pages == 0 || page.bytes().len() == PAGE);
                pages += 1;
            }
        }
        assert_eq!((pages as usize, scanner.take_skipped()), (1 + PAGES, 0));
    }

    #[test]
    fn a_listener_gets_what_is_missing_to_the_rate_and_no_more() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut filler = Filler::new(MEDIA_ELEMENT_BYTES - 1024, start);
        assert_eq!(filler.unsent().len(), 1024);
        filler.advance(1024);
        let mut loud = Filler::new(MEDIA_ELEMENT_BYTES, start);
        let mut sent = 1024;
        for second in 1..=50 {
            filler.count(1500);
            filler.top_up(at(second));
            sent += 1500 + filler.unsent().len() as u64;
            filler.advance(filler.unsent().len());
            assert!((0..PAGE as u64).contains(&(second * MEDIA_ELEMENT_RATE - sent)), "{sent}");
            loud.count(2 * MEDIA_ELEMENT_RATE);
            loud.top_up(at(second));
            assert!(loud.unsent().is_empty());
        }
        // Once the audio is quiet, the filler begins when a block is over.
        let quiet = (51..60).find(|&second| {
            loud.count(1500);
            loud.top_up(at(second));
            !loud.unsent().is_empty()
        });
        assert_eq!(quiet, Some(54));
        // After a pause of its own, nothing is made up for.
        filler.top_up(at(60));
        assert!(filler.unsent().is_empty());
        filler.top_up(at(61));
        assert_eq!(filler.unsent().len() as u64, MEDIA_ELEMENT_RATE);
    }
}
