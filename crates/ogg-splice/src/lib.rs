//! Live Ogg and Opus for servers that relay it: finds pages however the bytes are split, reads
//! stream headers, and makes one continuous Opus stream out of many sources.
//!
//! It is the core of a server that receives live audio and passes it on to players, as Icecast
//! does. Such a server must not trust what it receives, does not decode it, and keeps its listeners
//! playing when a source restarts. The crate has no sockets, threads or clocks: bytes and the time
//! are arguments, pages come out.
//!
//! # Terms
//!
//! | term | meaning |
//! |---|---|
//! | page | the unit of Ogg (RFC 3533, section 6): a header with a checksum, and up to 255 segments |
//! | packet | what a codec makes in one step, for Opus 2.5 to 120 ms; it may span pages |
//! | serial | the number of a logical stream, on each of its pages |
//! | granule position | samples up to the end of the last packet that ends on a page; for Opus at 48 kHz (RFC 7845, section 4) |
//! | header pages | the pages before the audio, which a decoder needs first (for Opus `OpusHead` and `OpusTags`) |
//! | source | one stream as an encoder sends it, over one connection |
//! | splice | to continue a stream with another source's packets, without a jump |
//! | live edge | the position that a stream's audio would have reached by now, if none had been lost |
//! | gap | a time in which a source sends nothing for longer than a threshold |
//! | silence | pages of silent Opus packets that fill a gap |
//!
//! # From bytes to one stream
//!
//! ```text
//!  bytes ──▶ Scanner ──▶ Page ──▶ StreamReader ──▶ Headers
//!                         │
//!                         └─────▶ Splice ─────────▶ OutputPage ──▶ players
//! ```
//!
//! [`Scanner`] finds valid pages, however reads split the bytes, and skips invalid bytes:
//!
//! ```
//! use ogg_splice::{PageHeader, Scanner, write_page};
//!
//! let mut bytes = b"noise".to_vec();
//! let header = PageHeader { serial: 7, ..PageHeader::default() };
//! write_page(&mut bytes, PageHeader { first: true, ..header }, &[b"one"]);
//! let second = PageHeader { sequence: 1, granule: 1920, ..header };
//! write_page(&mut bytes, second, &[b"two", b"three"]);
//!
//! let mut scanner = Scanner::new();
//! let mut packets = Vec::new();
//! for read in bytes.chunks(10) {
//!     // A server would read from its socket into this room.
//!     scanner.room()[..read.len()].copy_from_slice(read);
//!     scanner.filled(read.len());
//!     while let Some(page) = scanner.next_page() {
//!         assert_eq!(page.serial(), 7);
//!         packets.extend(page.pieces().map(|(packet, _ends_here)| packet.to_vec()));
//!     }
//! }
//! assert_eq!(packets, [&b"one"[..], b"two", b"three"]);
//! assert_eq!(scanner.take_skipped(), 5);
//! ```
//!
//! [`StreamReader`] tells header pages from audio. It collects the [`Headers`], with the [`Codec`]
//! and the [`Tags`], for listeners that join later:
//!
//! ```
//! use ogg_splice::{
//!     Codec, Page, PageHeader, PageRole, Probe, StreamError, StreamReader, write_page,
//! };
//!
//! let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
//! let tags = b"OpusTags\x04\0\0\0test\x01\0\0\0\x0a\0\0\0TITLE=Dusk";
//! let mut bytes = Vec::new();
//! let header = PageHeader { serial: 7, ..PageHeader::default() };
//! write_page(&mut bytes, PageHeader { first: true, ..header }, &[head]);
//! write_page(&mut bytes, PageHeader { sequence: 1, ..header }, &[tags]);
//! write_page(&mut bytes, PageHeader { sequence: 2, granule: 960, ..header }, &[b"\xf8\xff\xfe"]);
//!
//! let mut reader = StreamReader::default();
//! let mut rest = &bytes[..];
//! let mut audio_pages = 0;
//! while let Probe::Page(page) = Page::probe(rest) {
//!     rest = &rest[page.bytes().len()..];
//!     match reader.push(&page)? {
//!         PageRole::Headers(headers) => {
//!             assert_eq!(headers.tags.title.as_deref(), Some("Dusk"));
//!             let Codec::Opus(opus) = &headers.codec else { panic!("not Opus") };
//!             assert_eq!((opus.channels, opus.pre_skip), (2, 312));
//!         }
//!         PageRole::Audio => audio_pages += 1,
//!         PageRole::Header | PageRole::Stray => {}
//!     }
//! }
//! assert_eq!(audio_pages, 1);
//! # Ok::<(), StreamError>(())
//! ```
//!
//! [`Splice`] continues one stream with the audio of several sources. It keeps the stream in step
//! with real time: what was lost is filled with silence, and what comes too late is discarded. The
//! clock of this example is simulated; the second source comes three seconds after the first:
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use ogg_splice::{OpusHead, OutputPage, Page, PageHeader, Probe, Splice, write_page};
//!
//! const PAGE: Duration = Duration::from_millis(20);
//!
//! /// What an encoder sends: a page with one packet of 20 ms, which are 960 samples.
//! fn encode(serial: u32, number: u32) -> Vec<u8> {
//!     let granule = u64::from(number + 1) * 960;
//!     let header = PageHeader { serial, sequence: number + 2, granule, ..PageHeader::default() };
//!     let mut bytes = Vec::new();
//!     write_page(&mut bytes, header, &[&[0xf8, 1, 2, 3, 4]]);
//!     bytes
//! }
//!
//! let mut stream = Vec::new();
//! let mut send = |page: &OutputPage<'_>| stream.extend(page.slices().concat());
//!
//! let head = OpusHead {
//!     channels: 1,
//!     pre_skip: 312,
//!     input_rate: 48_000,
//!     gain: 0,
//!     family: 0,
//!     mapping: Vec::new(),
//! };
//! let gap_after = Duration::from_secs(1);
//! // Serial 77; the header pages of the stream were 0 and 1, so its audio begins with page 2.
//! let mut splice = Splice::new(&head, 77, 2, true, gap_after);
//! let mut now = Instant::now();
//! for serial in [1, 2] {
//!     splice.join();
//!     for number in 0..50 {
//!         now += PAGE;
//!         let bytes = encode(serial, number);
//!         let Probe::Page(page) = Page::probe(&bytes) else { panic!("not a page") };
//!         splice.push(&page, now, &mut send);
//!     }
//!     // The source is gone. A gap shows after a second; then silence is due as time passes.
//!     let back = now + Duration::from_secs(3);
//!     let mut next = now + splice.gap_threshold();
//!     while next <= back {
//!         now = next;
//!         next = splice.fill(now, &mut send).expect("this stream fills gaps");
//!     }
//!     now = back;
//!     splice.resume(now);
//! }
//! splice.end(&mut send);
//!
//! // One stream: one serial, pages in sequence, granule positions without a jump.
//! let (mut rest, mut sequence, mut position) = (&stream[..], 2, 0);
//! while let Probe::Page(page) = Page::probe(rest) {
//!     rest = &rest[page.bytes().len()..];
//!     position += ogg_splice::page_samples(&page);
//!     assert_eq!((page.serial(), page.sequence()), (77, sequence));
//!     assert_eq!(page.granule(), Some(position));
//!     sequence += 1;
//! }
//! // Twice one second of audio and three of silence, and 20 ms at the end.
//! assert_eq!(position, 2 * 4 * 48_000 + 960);
//! assert_eq!(splice.take_stats().silence, 2 * 3 * 48_000);
//! ```
//!
//! # Guarantees
//!
//! - **No input panics.** Bytes from outside may be anything. The few functions that can panic say
//!   so under "Panics", and only for a caller's mistake.
//! - **Memory is bounded.** A [`Scanner`] has one buffer of [`Scanner::MEMORY`] bytes (80 KiB). A
//!   [`StreamReader`] collects at most [`MAX_HEADERS`] (128 KiB) of header pages and holds nothing
//!   after them. A [`Splice`] holds at most one packet ([`MAX_PACKET`], 64 KiB) and one page of
//!   silence, for which it reserves up to two [`MAX_PAGE`] (128 KiB).
//! - **No allocation per page after the headers.** A splice allocates once for the first packet
//!   that spans pages, and while its page of silence grows to its size.
//! - **Checked once.** A [`Page`] exists only with a right checksum. An [`OutputPage`] borrows the
//!   packets and has a header of its own, so that audio is copied once: to where the caller sends
//!   it from.
//! - **Deterministic.** The same bytes at the same times give the same pages.
//!
//! # Limits
//!
//! - One stream of audio at a time: others beside it, such as Ogg Skeleton or video, are ignored, and
//!   a second one of audio is refused. Chained streams are read one after the other.
//! - Only Opus is spliced. [`PassThrough`] passes on the pages of FLAC and Vorbis as they are.
//! - It reads forwards: no files, no seeking, no decoding.
//!
//! The feature `testing` adds a module that makes small streams by hand.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod codec;
mod headers;
mod live_edge;
mod opus;
mod page;
mod page_length;
mod pass_through;
mod rate;
mod scan;
mod silence;
mod source;
mod splice;
mod stream;
mod tags;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timeline;

pub use codec::{Codec, CodecError, OpusHead};
pub use headers::{Headers, MAX_HEADERS, MAX_KEPT_HEADERS};
pub use opus::{packet_samples, page_samples};
pub use page::{
    CAPTURE_PATTERN, MAX_PAGE, OutputPage, PAGE_HEADER_LEN, Page, PageHeader, Probe,
    rewrite_header, write_page,
};
pub use pass_through::PassThrough;
pub use scan::Scanner;
pub use splice::{MAX_PACKET, Splice, SpliceStats};
pub use stream::{PageRole, StreamError, StreamReader};
pub use tags::{Tags, opus_tags};
