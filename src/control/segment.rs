//! Cuts a segment of HLS, or a part of one, from the ring, and reads it while it is sent.
//!
//! The header of a fragment is written at once, and the audio is read in pieces. So a request takes no
//! memory for the audio, and a client so slow that the ring overtakes it loses its connection.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Weak;
use std::time::{Instant, SystemTime};

use hyper::body::Bytes;

use super::response::{ResponseBody, streamed};
use crate::hls::{StreamCut, StreamId, fragment_header};
use crate::http::Reply;
use crate::mount::{MountEntry, PageLog, SourceState, StreamRecord, samples};

/// How many bytes of audio are read from the ring at once.
const PIECE: u64 = 16 * 1024;
/// More than the parts of the longest segment.
const MOST_PARTS: u64 = 64;
/// More than the pauses in a part.
const MOST_FRAGMENTS: u64 = 16;

/// How long it may be kept that a file is not there. Otherwise each client of a cache would ask
/// again.
pub(super) const MISSING: &str = "public, max-age=1";

/// Bytes that were made, and positions in the ring.
#[derive(Debug)]
pub(super) enum FilePiece {
    Made(Bytes),
    Audio(Range<u64>),
}

/// A segment or a part of one, as the pieces of its file.
pub(super) struct SegmentFile {
    pub(super) pieces: VecDeque<FilePiece>,
    pub(super) length: u64,
    /// When it was complete.
    pub(super) modified: SystemTime,
}

/// Why a file is not there.
pub(super) enum Missing {
    /// This much audio must come before it is, in samples.
    NotYet(u64),
    /// The reply to send.
    Never(Reply),
}

/// Calls `with` with the pages of a mount and the stream of this name.
pub(super) fn of_stream<T>(
    mount: &MountEntry,
    id: StreamId,
    with: impl FnOnce(&PageLog, &StreamRecord) -> Result<T, Reply>,
) -> Result<T, Reply> {
    let shared = mount.mount().ok_or_else(no_stream)?;
    let pages = shared.pages();
    let stream = pages.history.streams().find(|stream| StreamId::of(stream) == id);
    let stream =
        stream.ok_or_else(|| missing_reply("This stream is not there, or not any more."))?;
    with(&pages, stream)
}

/// The pieces of a segment, or of this part of it.
pub(super) fn segment_file(
    mount: &MountEntry,
    id: StreamId,
    segment: u64,
    part: Option<u64>,
) -> Result<SegmentFile, Missing> {
    let found = of_stream(mount, id, |pages, stream| {
        let length = stream.segment;
        let cut = StreamCut::new(&pages.ring, stream);
        let is_part = |part: u64| part < length.div_ceil(cut.part(segment));
        if segment > u64::MAX / length - 1 || !part.is_none_or(is_part) {
            return Err(missing_reply("There is no such segment or part."));
        }
        let whole = segment * length..(segment + 1) * length;
        let times = part.map_or(whole, |part| cut.part_times(segment, part));
        // While no page can be published, which would end the pause.
        let index = cut.index(paused(mount));
        if segment < index.complete.start {
            return Err(missing_reply("This segment is not there any more."));
        }
        if segment >= index.complete.end && stream.end.is_some() {
            return Err(missing_reply("There is no such segment or part."));
        }
        if segment >= index.complete.end && times.end > index.edge {
            return Ok(Err(times.end - index.edge));
        }
        let fragments = cut.fragments(times.clone());
        if fragments.is_empty() {
            return Err(missing_reply("There is no audio in this segment or part."));
        }
        let order = segment.wrapping_mul(MOST_PARTS).wrapping_add(part.map_or(0, |part| part + 1));
        let order = order.wrapping_mul(MOST_FRAGMENTS);
        let mut file =
            SegmentFile { pieces: VecDeque::new(), length: 0, modified: heard(stream, times.end) };
        for (order, fragment) in (order..).zip(fragments) {
            let header = fragment_header(order as u32, fragment.time, &fragment.packets);
            file.length += header.len() as u64 + fragment.length();
            file.pieces.push_back(FilePiece::Made(header.into()));
            file.pieces.extend(fragment.pieces.into_iter().map(FilePiece::Audio));
        }
        Ok(Ok(file))
    });
    found.map_err(Missing::Never)?.map_err(Missing::NotYet)
}

/// A body with a range of these pieces, read from the ring while they are sent. It ends early if the
/// ring has overwritten them, which ends the connection.
pub(super) fn read_pieces(
    mut pieces: VecDeque<FilePiece>,
    range: Range<u64>,
    mount: Weak<MountEntry>,
) -> ResponseBody {
    let mut skipped = range.start;
    while let Some(first) = pieces.front_mut() {
        let length = first.length();
        if skipped < length {
            first.skip(skipped);
            break;
        }
        skipped -= length;
        pieces.pop_front();
    }
    let mut left = range.end - range.start;
    streamed(std::iter::from_fn(move || {
        let room = left.min(PIECE);
        let mount = mount.upgrade().filter(|_| room > 0)?.mount()?;
        let pages = mount.pages();
        let mut bytes = Vec::with_capacity(room as usize);
        while (bytes.len() as u64) < room {
            let first = pieces.front_mut()?;
            let taken = first.length().min(room - bytes.len() as u64);
            match first {
                FilePiece::Made(made) => bytes.extend_from_slice(&made[..taken as usize]),
                FilePiece::Audio(audio) => {
                    for slice in pages.ring.held(audio.start..audio.start + taken)? {
                        bytes.extend_from_slice(slice);
                    }
                }
            }
            first.skip(taken);
            if first.length() == 0 {
                pieces.pop_front();
            }
        }
        left -= room;
        Some(bytes.into())
    }))
}

impl FilePiece {
    fn length(&self) -> u64 {
        match self {
            Self::Made(bytes) => bytes.len() as u64,
            Self::Audio(range) => range.end - range.start,
        }
    }

    /// Removes the first bytes.
    fn skip(&mut self, count: u64) {
        match self {
            Self::Made(bytes) => *bytes = bytes.slice(count as usize..),
            Self::Audio(range) => range.start += count,
        }
    }
}

/// For how long the mount's stream has been standing still, if it does in a gap, in samples.
pub(super) fn paused(mount: &MountEntry) -> u64 {
    let is_gap = mount.stream().is_some_and(|stream| stream.state == SourceState::Gap);
    if is_gap { samples(mount.gauges.pause(Instant::now())) } else { 0 }
}

/// When this time of a stream was heard.
pub(super) fn heard(stream: &StreamRecord, time: u64) -> SystemTime {
    stream.utc_of(time).map_or(stream.began.wall, Into::into)
}

pub(super) fn missing_reply(sentence: &str) -> Reply {
    Reply::new(404, sentence).with("Cache-Control", MISSING)
}

pub(super) fn no_stream() -> Reply {
    missing_reply("No source is sending to a mount with this name.")
}
