//! A source's pages in order: which of them are headers and which are audio.
//!
//! A source may have other streams beside its audio, such as Ogg Skeleton: they are ignored. A
//! source without audio of a known codec, or with more than one stream of it, is refused here, with
//! an error that says what arrived instead.

use crate::codec::{Codec, CodecError};
use crate::headers::{HeaderCollector, Headers, MAX_HEADERS};
use crate::page::Page;

/// What [`StreamReader::push`] found a page to be.
#[derive(Debug)]
pub enum PageRole {
    /// A header page; more of them follow.
    Header,
    /// The last header page. From here on, the stream can be joined with these headers.
    Headers(Headers),
    /// Audio of the stream.
    Audio,
    /// A page that is not of the audio stream: of another stream beside it, after its end, or of
    /// one that never began. It is to be ignored.
    Stray,
}

/// Why a source cannot be relayed. The text completes the sentence "this is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The first page has no identification header of a known codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Several streams of audio at the same time.
    #[error("several logical streams of audio at once")]
    Multiplexed,
    /// More than [`MAX_HEADERS`] bytes of header pages, or more than 256 header packets.
    #[error("an Ogg stream with more than {} KiB of headers", MAX_HEADERS / 1024)]
    HeadersTooLong,
    /// The headers that a listener needs do not fit two pages.
    #[error("an Ogg stream with more than 63 KiB of headers that its listeners need")]
    KeptHeadersTooLong,
}

/// Tells the headers of a logical stream from its audio. After its end, another one may follow
/// (chaining, RFC 3533, section 4).
#[derive(Default)]
pub struct StreamReader {
    state: ReaderState,
}

#[derive(Default)]
enum ReaderState {
    /// No logical stream has begun.
    #[default]
    Before,
    /// Streams have begun, none of which is audio of a known codec. All streams that are
    /// multiplexed begin before any of them continues (RFC 3533, section 4).
    NoAudio,
    Headers(HeaderCollector),
    Audio {
        serial: u32,
    },
    /// The logical stream has ended.
    After,
}

impl StreamReader {
    /// Takes the next page and says what it is.
    ///
    /// # Errors
    /// [`StreamError`] if the source is not one logical stream of a known codec, apart from streams
    /// beside it that are not audio, such as Ogg Skeleton. Nothing that follows on the same
    /// connection can be relayed.
    pub fn push(&mut self, page: &Page<'_>) -> Result<PageRole, StreamError> {
        if page.is_first() {
            let in_headers = matches!(self.state, ReaderState::Headers(_));
            match Codec::of(page) {
                // Another beginning before the first stream has audio: they are multiplexed.
                Ok(_) if in_headers => return Err(StreamError::Multiplexed),
                Ok(codec) => {
                    let collector = HeaderCollector::new(codec, page.serial());
                    self.state = ReaderState::Headers(collector);
                }
                Err(CodecError::Unknown) => {
                    if !in_headers {
                        self.state = ReaderState::NoAudio;
                    }
                    return Ok(PageRole::Stray);
                }
                Err(error) => return Err(error.into()),
            }
        }
        match &mut self.state {
            ReaderState::NoAudio => Err(CodecError::Unknown.into()),
            ReaderState::Headers(collector) if collector.serial != page.serial() => {
                Ok(PageRole::Stray)
            }
            ReaderState::Headers(collector) => {
                if !collector.add(page)? {
                    return Ok(PageRole::Header);
                }
                let headers = collector.finish()?;
                self.state = ReaderState::Audio { serial: headers.serial };
                Ok(PageRole::Headers(headers))
            }
            ReaderState::Audio { serial } if *serial == page.serial() => {
                if page.is_last() {
                    self.state = ReaderState::After;
                }
                Ok(PageRole::Audio)
            }
            ReaderState::Before | ReaderState::Audio { .. } | ReaderState::After => {
                Ok(PageRole::Stray)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{PageHeader, Probe, write_page};
    use crate::testing::HEAD;

    fn page(first: bool, last: bool, serial: u32, packets: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let sequence = u32::from(!first);
        write_page(
            &mut bytes,
            PageHeader { first, last, serial, sequence, ..PageHeader::default() },
            packets,
        );
        bytes
    }

    fn push(stream: &mut StreamReader, bytes: &[u8]) -> Result<PageRole, StreamError> {
        let Probe::Page(page) = Page::probe(bytes) else { panic!("not a page") };
        stream.push(&page)
    }

    #[test]
    fn headers_then_audio_then_a_chained_stream() {
        let mut stream = StreamReader::default();
        for serial in [1, 2] {
            let (head, tags) =
                (page(true, false, serial, &[HEAD]), page(false, false, serial, &[b"OpusTags"]));
            assert!(matches!(push(&mut stream, &head), Ok(PageRole::Header)));
            let Ok(PageRole::Headers(headers)) = push(&mut stream, &tags) else {
                panic!("no headers")
            };
            assert_eq!(headers.pages[..], [head, tags].concat());
            let audio = page(false, serial == 1, serial, &[b"x"]);
            assert!(matches!(push(&mut stream, &audio), Ok(PageRole::Audio)));
        }
        assert!(matches!(
            push(&mut stream, &page(false, false, 1, &[b"late"])),
            Ok(PageRole::Stray)
        ));
    }

    #[test]
    fn a_cover_picture_is_not_passed_on() {
        let picture = [&b"METADATA_BLOCK_PICTURE="[..], &vec![b'A'; 50_000]].concat();
        let mut packet = b"OpusTags\x04\0\0\0test\x02\0\0\0\x0a\0\0\0TITLE=Dusk".to_vec();
        packet.extend((picture.len() as u32).to_le_bytes());
        packet.extend(&picture);
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 7, &[HEAD])).unwrap();
        let Ok(PageRole::Headers(headers)) = push(&mut stream, &page(false, false, 7, &[&packet]))
        else {
            panic!("no headers")
        };
        let short = b"OpusTags\x04\0\0\0test\x01\0\0\0\x0a\0\0\0TITLE=Dusk";
        let mut wanted = page(true, false, 7, &[HEAD]);
        write_page(
            &mut wanted,
            PageHeader { sequence: 1, serial: 7, ..PageHeader::default() },
            &[short],
        );
        assert_eq!(headers.pages[..], wanted);
        assert_eq!(headers.tags_left_out, picture.len() as u64 + 4);
        assert_eq!(headers.tags.title.as_deref(), Some("Dusk"));
    }

    #[test]
    fn flac_says_how_many_blocks_are_left() {
        let mut head = b"\x7fFLAC\x01\x00\x00\x03fLaC\x00\x00\x00\x22".to_vec();
        head.extend([0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x00, 0xf0]);
        head.resize(17 + 34, 0);
        let comments: &[u8] = b"\x04\0\0\x08\0\0\0\0\0\0\0\0";
        let picture = [&b"\x06\0\x27\x10"[..], &[7; 10_000]].concat();
        let padding: &[u8] = b"\x81\0\0\x04\0\0\0\0";
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 7, &[&head])).unwrap();
        let blocks: [&[u8]; 3] = [comments, &picture, padding];
        let Ok(PageRole::Headers(headers)) = push(&mut stream, &page(false, false, 7, &blocks))
        else {
            panic!("no headers")
        };
        let Probe::Page(first) = Page::probe(&headers.pages) else { panic!("no page") };
        let Probe::Page(second) = Page::probe(&headers.pages[first.bytes().len()..]) else {
            panic!("no page")
        };
        assert_eq!(first.body()[7..9], [0, 1], "one more header packet");
        assert_eq!(second.body(), b"\x84\0\0\x08\0\0\0\0\0\0\0\0", "and it is the last");
        assert_eq!(headers.tags_left_out, (picture.len() + padding.len()) as u64);
    }

    #[test]
    fn streams_of_audio_side_by_side_are_refused() {
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 1, &[HEAD])).unwrap();
        let second = push(&mut stream, &page(true, false, 2, &[HEAD]));
        assert_eq!(second.unwrap_err(), StreamError::Multiplexed);
    }

    #[test]
    fn streams_beside_the_audio_are_ignored() {
        let skeleton: &[u8] = b"fishead\0\x03\0\0\0";
        for audio_first in [true, false] {
            let (audio, other) = (page(true, false, 1, &[HEAD]), page(true, false, 2, &[skeleton]));
            let first = if audio_first { [&audio, &other] } else { [&other, &audio] };
            let mut stream = StreamReader::default();
            for bytes in first {
                let role = push(&mut stream, bytes).unwrap();
                assert_eq!(matches!(role, PageRole::Header), *bytes == audio, "{role:?}");
            }
            let fisbone = page(false, false, 2, &[b"fisbone\0"]);
            assert!(matches!(push(&mut stream, &fisbone), Ok(PageRole::Stray)));
            let tags = push(&mut stream, &page(false, false, 1, &[b"OpusTags"]));
            assert!(matches!(tags, Ok(PageRole::Headers(_))));
            let end = page(false, true, 2, &[b""]);
            assert!(matches!(push(&mut stream, &end), Ok(PageRole::Stray)));
            let sound = push(&mut stream, &page(false, false, 1, &[b"x"]));
            assert!(matches!(sound, Ok(PageRole::Audio)));
        }
    }

    #[test]
    fn streams_without_audio_are_refused_once_all_of_them_have_begun() {
        let mut stream = StreamReader::default();
        for serial in [1, 2] {
            let other = page(true, false, serial, &[b"Speex   "]);
            assert!(matches!(push(&mut stream, &other), Ok(PageRole::Stray)));
        }
        let next = push(&mut stream, &page(false, false, 1, &[b"x"]));
        assert_eq!(next.unwrap_err(), StreamError::Codec(CodecError::Unknown));
    }

    #[test]
    fn headers_without_end_are_refused() {
        let mut stream = StreamReader::default();
        push(&mut stream, &page(true, false, 1, &[HEAD])).unwrap();
        let mut endless = page(false, false, 1, &[&vec![0; 60_000]]);
        // One unfinished packet: without its last lacing value, it does not end.
        let segments = usize::from(endless[26]);
        let last = endless[27 + segments - 1];
        endless.truncate(endless.len() - usize::from(last));
        endless.remove(27 + segments - 1);
        endless[26] -= 1;
        crate::testing::update_checksum(&mut endless);
        let refused = (0..4).find_map(|_| push(&mut stream, &endless).err());
        assert_eq!(refused, Some(StreamError::HeadersTooLong));
    }

    #[test]
    fn audio_before_any_beginning_is_stray() {
        let mut stream = StreamReader::default();
        assert!(matches!(push(&mut stream, &page(false, false, 1, &[b"x"])), Ok(PageRole::Stray)));
    }
}
