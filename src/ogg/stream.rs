//! A source's pages in order: which of them are headers, which are audio.
//!
//! A listener that joins in mid-stream needs the headers first, so they are
//! kept whole. What is no single logical stream of a known codec is refused here,
//! with a sentence that says what arrived instead.

use std::sync::Arc;

use super::codec::{Codec, Unknown};
use super::page::{Page, Probe, Stamp, restamp};
use super::tags::Tags;

/// The most that the header pages of one stream may take, in bytes. Tags with a cover picture fit.
pub const MAX_HEADERS: usize = 128 * 1024;

/// The headers of one logical stream, complete.
#[derive(Clone, Debug)]
pub struct Headers {
    /// What the audio is.
    pub codec: Codec,
    /// What it says of itself.
    pub tags: Tags,
    /// The header pages as they came.
    pub pages: Arc<[u8]>,
    /// Logical stream number.
    pub serial: u32,
}

impl Headers {
    /// The same as the beginning of another logical stream, numbered from 0; and how many pages.
    pub fn in_stream(&self, serial: u32) -> (Self, u32) {
        let mut pages = self.pages.to_vec();
        let (mut at, mut sequence) = (0, 0);
        while let Probe::Page(page) = Page::probe(&pages[at..]) {
            let length = page.bytes().len();
            let granule = page.granule().unwrap_or(u64::MAX);
            let stamp = Stamp { first: sequence == 0, last: false, granule, serial, sequence };
            restamp(&mut pages[at..at + length], stamp);
            (at, sequence) = (at + length, sequence + 1);
        }
        (Self { pages: pages.into(), serial, ..self.clone() }, sequence)
    }
}

/// What a page turned out to be.
#[derive(Debug)]
pub enum Part {
    /// One of the header pages, and more are to come.
    Header,
    /// The last of the header pages: the stream can be joined from here.
    Headers(Headers),
    /// Audio of the stream.
    Audio,
    /// A page that belongs nowhere (before any beginning, after the end): ignored.
    Stray,
}

/// Why a source cannot be relayed; its text finishes the sentence "this is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The first page tells no codec.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// More than one logical stream at the same time.
    #[error("several logical streams at once")]
    Multiplexed,
    /// Headers without an end.
    #[error("an Ogg stream with more than {} KiB of headers", MAX_HEADERS / 1024)]
    Headers,
}

/// Follows the logical stream, and the next one where streams are chained.
#[derive(Default)]
pub struct Stream {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Before,
    Headers(Gathering),
    Audio {
        serial: u32,
    },
    After,
}

struct Gathering {
    codec: Codec,
    serial: u32,
    pages: Vec<u8>,
    packet: Vec<u8>,
    packets: usize,
    tags: Tags,
}

impl Stream {
    /// Takes the next page and says what it is.
    ///
    /// # Errors
    /// [`Refusal`] if the source is not one logical stream of a known codec.
    pub fn push(&mut self, page: &Page<'_>) -> Result<Part, Refusal> {
        if page.is_first() {
            // A second beginning while the first has no audio yet: streams side by side.
            if matches!(self.state, State::Headers(_)) {
                return Err(Refusal::Multiplexed);
            }
            self.state = State::Headers(Gathering::new(Codec::of(page)?, page.serial()));
        }
        match &mut self.state {
            State::Headers(gathering) if gathering.serial != page.serial() => {
                Err(Refusal::Multiplexed)
            }
            State::Headers(gathering) => {
                if !gathering.add(page)? {
                    return Ok(Part::Header);
                }
                let headers = gathering.finish();
                self.state = State::Audio { serial: headers.serial };
                Ok(Part::Headers(headers))
            }
            State::Audio { serial } if *serial == page.serial() => {
                if page.is_last() {
                    self.state = State::After;
                }
                Ok(Part::Audio)
            }
            State::Before | State::Audio { .. } | State::After => Ok(Part::Stray),
        }
    }
}

impl Gathering {
    fn new(codec: Codec, serial: u32) -> Self {
        Self {
            codec,
            serial,
            pages: Vec::new(),
            packet: Vec::new(),
            packets: 0,
            tags: Tags::default(),
        }
    }

    /// Adds a page; true once the headers are complete.
    fn add(&mut self, page: &Page<'_>) -> Result<bool, Refusal> {
        self.pages.extend_from_slice(page.bytes());
        if self.pages.len() > MAX_HEADERS {
            return Err(Refusal::Headers);
        }
        let mut complete = false;
        for (piece, ends) in page.pieces() {
            self.packet.extend_from_slice(piece);
            if ends {
                self.packets += 1;
                if self.packets == 2 {
                    self.tags = Tags::read(&self.packet);
                }
                complete |= self.is_last_header();
                self.packet.clear();
            }
        }
        Ok(complete)
    }

    /// Whether the packet just finished is the last of the headers.
    fn is_last_header(&self) -> bool {
        match self.codec {
            Codec::Opus(_) => self.packets == 2,
            Codec::Vorbis { .. } => self.packets == 3,
            // The FLAC block header's top bit marks the last block; in the first packet it
            // stands behind the mapping's own 13 bytes.
            Codec::Flac { more_headers: 0, .. } => {
                let at = if self.packets == 1 { 13 } else { 0 };
                self.packet.get(at).is_some_and(|block| block & 0x80 != 0)
            }
            Codec::Flac { more_headers, .. } => self.packets == 1 + usize::from(more_headers),
        }
    }

    fn finish(&mut self) -> Headers {
        Headers {
            codec: self.codec.clone(),
            tags: std::mem::take(&mut self.tags),
            pages: std::mem::take(&mut self.pages).into(),
            serial: self.serial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::{Probe, Stamp, write};
    use super::*;

    const HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00";

    fn page(first: bool, last: bool, serial: u32, packets: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, Stamp { first, last, serial, ..Stamp::default() }, packets);
        bytes
    }

    fn push(stream: &mut Stream, bytes: &[u8]) -> Result<Part, Refusal> {
        let Probe::Page(page) = Page::probe(bytes) else { panic!("not a page") };
        stream.push(&page)
    }

    #[test]
    fn headers_then_audio_then_a_chained_stream() {
        let mut stream = Stream::default();
        for serial in [1, 2] {
            let (head, tags) =
                (page(true, false, serial, &[HEAD]), page(false, false, serial, &[b"OpusTags"]));
            assert!(matches!(push(&mut stream, &head), Ok(Part::Header)));
            let Ok(Part::Headers(headers)) = push(&mut stream, &tags) else { panic!("no headers") };
            assert_eq!(headers.pages[..], [head, tags].concat());
            let audio = page(false, serial == 1, serial, &[b"x"]);
            assert!(matches!(push(&mut stream, &audio), Ok(Part::Audio)));
        }
        assert!(matches!(push(&mut stream, &page(false, false, 1, &[b"late"])), Ok(Part::Stray)));
    }

    #[test]
    fn streams_side_by_side_are_refused() {
        let mut stream = Stream::default();
        push(&mut stream, &page(true, false, 1, &[HEAD])).unwrap();
        let second = push(&mut stream, &page(true, false, 2, &[HEAD]));
        assert_eq!(second.unwrap_err(), Refusal::Multiplexed);
    }

    #[test]
    fn headers_without_end_are_refused() {
        let mut stream = Stream::default();
        push(&mut stream, &page(true, false, 1, &[HEAD])).unwrap();
        let mut endless = page(false, false, 1, &[&vec![0; 60_000]]);
        // Make it one unfinished packet: the last lacing value may not end it.
        let segments = usize::from(endless[26]);
        let last = endless[27 + segments - 1];
        endless.truncate(endless.len() - usize::from(last));
        endless.remove(27 + segments - 1);
        endless[26] -= 1;
        super::super::page::seal(&mut endless);
        let refused = (0..4).find_map(|_| push(&mut stream, &endless).err());
        assert_eq!(refused, Some(Refusal::Headers));
    }

    #[test]
    fn audio_before_any_beginning_is_stray() {
        let mut stream = Stream::default();
        assert!(matches!(push(&mut stream, &page(false, false, 1, &[b"x"])), Ok(Part::Stray)));
    }
}
