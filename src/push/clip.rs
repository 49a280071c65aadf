//! A file as a live encoder would send it: header pages, then pages of audio, each with its time.
//!
//! A looped clip is one logical stream: page numbers and granule positions continue where the clip
//! ended, so listeners do not notice the loop.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::Duration;

use ogg_splice::{
    Codec, Headers, Page, PageHeader, PageRole, Scanner, StreamError, StreamReader, page_samples,
    rewrite_header,
};

/// A clip's input: readable, and seekable for the loop.
pub(crate) trait ClipInput: Read + Seek {}
impl<T: Read + Seek> ClipInput for T {}

/// A clip that is being played.
pub(crate) struct Clip {
    input: Box<dyn ClipInput>,
    scanner: Scanner,
    stream: StreamReader,
    headers: Headers,
    looped: bool,
    /// The sequence number of the next page.
    sequence: u32,
    /// The granule position of the last page.
    granule: u64,
    /// Added to the file's granule positions, for codecs whose packets have no known duration here.
    offset: u64,
    page: Vec<u8>,
}

/// Why a clip cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClipError {
    /// The input cannot be read.
    #[error("cannot read: {0}")]
    Unreadable(#[from] io::Error),
    /// The input is not an Ogg stream that a server would accept.
    #[error("not a clip that can be pushed: {0}")]
    Refused(#[from] StreamError),
    /// The input has no audio.
    #[error("not a clip that can be pushed: no Ogg stream with Opus, FLAC or Vorbis")]
    Empty,
}

impl Clip {
    /// Opens a file.
    ///
    /// # Errors
    /// [`ClipError`].
    pub(crate) fn open(path: &Path, looped: bool) -> Result<Self, ClipError> {
        Self::new(Box::new(File::open(path)?), looped)
    }

    /// Reads the header pages of an input.
    ///
    /// # Errors
    /// [`ClipError`].
    pub(crate) fn new(mut input: Box<dyn ClipInput>, looped: bool) -> Result<Self, ClipError> {
        let (mut scanner, mut stream) = (Scanner::new(), StreamReader::default());
        loop {
            while let Some(page) = scanner.next_page() {
                if let PageRole::Headers(headers) = stream.push(&page)? {
                    return Ok(Self {
                        input,
                        scanner,
                        stream,
                        sequence: count_pages(&headers.pages),
                        headers,
                        looped,
                        granule: 0,
                        offset: 0,
                        page: Vec::new(),
                    });
                }
            }
            if !fill(&mut scanner, &mut *input)? {
                return Err(ClipError::Empty);
            }
        }
    }

    /// The header pages, with which every connection begins.
    pub(crate) fn headers(&self) -> &[u8] {
        &self.headers.pages
    }

    /// The next page, and the time from the beginning of the clip to the end of the page's audio.
    /// `None` at the end of a clip that is not looped.
    ///
    /// # Errors
    /// [`ClipError`].
    pub(crate) fn next_page(&mut self) -> Result<Option<(Duration, &[u8])>, ClipError> {
        let mut rewound = false;
        loop {
            while let Some(page) = self.scanner.next_page() {
                if !matches!(self.stream.push(&page)?, PageRole::Audio) {
                    continue;
                }
                let granule = match self.headers.codec {
                    Codec::Opus(_) => self.granule + page_samples(&page),
                    _ => page.granule().map_or(self.granule, |granule| granule + self.offset),
                };
                self.page.clear();
                self.page.extend_from_slice(page.bytes());
                return Ok(Some(self.stamp(granule)));
            }
            if fill(&mut self.scanner, &mut *self.input)? {
                continue;
            }
            if !self.looped {
                return Ok(None);
            }
            if rewound {
                return Err(ClipError::Empty);
            }
            rewound = true;
            self.input.rewind()?;
            (self.scanner, self.stream) = (Scanner::new(), StreamReader::default());
            self.offset = self.granule;
        }
    }

    fn stamp(&mut self, granule: u64) -> (Duration, &[u8]) {
        self.granule = granule;
        let (serial, sequence) = (self.headers.serial, self.sequence);
        rewrite_header(
            &mut self.page,
            PageHeader { first: false, last: false, granule, serial, sequence },
        );
        self.sequence = self.sequence.wrapping_add(1);
        let nanoseconds = u128::from(granule) * 1_000_000_000
            / u128::from(self.headers.codec.granules_per_second());
        (Duration::from_nanos(nanoseconds as u64), &self.page)
    }
}

/// Reads once from the input; false at its end.
fn fill(scanner: &mut Scanner, input: &mut dyn ClipInput) -> io::Result<bool> {
    let n = input.read(scanner.room())?;
    scanner.filled(n);
    Ok(n > 0)
}

fn count_pages(mut bytes: &[u8]) -> u32 {
    let mut count = 0;
    while let ogg_splice::Probe::Page(page) = Page::probe(bytes) {
        bytes = &bytes[page.bytes().len()..];
        count += 1;
    }
    count
}
