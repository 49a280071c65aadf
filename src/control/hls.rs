//! HLS: answers requests for playlists, beginnings of streams, segments and parts.
//!
//! A segment is read from the ring while it is sent, in pieces. So a request takes no memory for the
//! audio, and a client that reads so slowly that the ring overtakes it loses its connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use hyper::body::Bytes;
use ogg_splice::Codec;

use super::api::StreamClock;
use super::files::{FileHead, file};
use super::negotiation::tag;
use super::render::url_query;
use super::request::RequestContext;
use super::response::{HttpResponse, ResponseBody, streamed, whole};
use super::waiter::Waiter;
use crate::client::Full;
use crate::hls::{
    Awaited, HlsClient, HlsFile, HlsListeners, HlsPath, PART, Playlist, PlaylistKind, SegmentDates,
    StreamCut, StreamId, StreamState, fragment_header, initialization, list, target_duration,
};
use crate::http::{Reply, RequestTarget};
use crate::mount::{MountEntry, MountTable, PageLog, SourceState, StreamRecord, samples};

/// How many bytes of audio are read from the ring at once.
const PIECE: u64 = 16 * 1024;
/// The least time between two looks at whether the audio is there that a request waits for.
const LEAST_WAIT: Duration = Duration::from_millis(20);
/// How long a file may be kept that never changes, in seconds.
const FINAL_AGE: u64 = 3600;
/// For how long a request for the next part waits. A page of a usual encoder has at most two seconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than the parts of the longest segment.
const MOST_PARTS: u64 = 64;
/// More than the pauses in a part.
const MOST_FRAGMENTS: u64 = 16;

/// Content type of playlists (RFC 8216, section 4).
const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MP4: &str = "audio/mp4";

/// How long it may be kept that a file is not there. Otherwise each client of a cache would ask
/// again.
pub(super) const MISSING: &str = "public, max-age=1";

/// A request for an HLS file that the door has admitted.
#[derive(Debug)]
pub(crate) struct HlsRequest {
    /// Which file.
    pub(crate) path: HlsPath,
    /// The mount. Weak, because a slow client must not keep a mount in memory, where it would count
    /// against `limits.sources`.
    pub(crate) mount: Weak<MountEntry>,
    /// The listener that requests it; `None` for HEAD.
    pub(crate) client: Option<HlsClient>,
    /// The site whose pages may read the file.
    pub(crate) allow_origin: String,
    /// Whether anybody may have the file, so that a cache may keep it for others.
    pub(crate) is_public: bool,
    /// What opened the mount and must be in the URIs of a playlist: the query with a token or a
    /// link.
    pub(crate) pass: String,
}

/// Answers requests for HLS files.
#[derive(Debug)]
pub(super) struct HlsFiles {
    table: Arc<MountTable>,
    listeners: Arc<HlsListeners>,
    dates: RefCell<SegmentDates>,
}

/// Bytes that were made, and positions in the ring.
#[derive(Debug)]
enum FilePiece {
    Made(Bytes),
    Audio(Range<u64>),
}

/// A segment or a part of one, as the pieces of its file.
struct SegmentFile {
    pieces: VecDeque<FilePiece>,
    length: u64,
    /// When it was complete.
    modified: SystemTime,
}

/// Why a file is not there.
enum Missing {
    /// This much audio must come before it is, in samples.
    NotYet(u64),
    /// The reply to send.
    Never(Reply),
}

impl HlsFiles {
    pub(super) fn new(table: Arc<MountTable>, listeners: Arc<HlsListeners>) -> Self {
        Self { table, listeners, dates: RefCell::default() }
    }

    /// Responds to a request. Waits if the client asks for audio that is about to come. `clock_of`
    /// is the clock of a mount that subscribers to events know.
    ///
    /// # Errors
    /// The reply to send if there is no such file.
    pub(super) async fn respond(
        &self,
        request: &RequestContext<'_>,
        hls: &HlsRequest,
        waiter: &mut Waiter<'_>,
        clock_of: impl Fn(&Arc<MountEntry>) -> Option<StreamClock>,
    ) -> Result<HttpResponse, Reply> {
        match hls.path.file {
            HlsFile::Playlist(kind) => {
                let awaited = match kind {
                    PlaylistKind::Plain => None,
                    PlaylistKind::LowLatency => awaited(request.target)?,
                };
                let (playlist, modified) =
                    self.playlist(hls, (kind, awaited), waiter, clock_of).await?;
                let text = Bytes::from(playlist.render(&hls.path.base, &url_query(&hls.pass)));
                let age = match kind {
                    // Each request of a client that waits has another URL.
                    PlaylistKind::LowLatency if awaited.is_none() => "no-cache".to_owned(),
                    _ => hls.cache(playlist.target_duration().div_ceil(2), ""),
                };
                let head = FileHead {
                    content_type: PLAYLIST,
                    cache: age,
                    tag: tag(&text, false),
                    modified,
                    is_final: false,
                    length: text.len() as u64,
                };
                Ok(file(&request.fields, &head, |range| whole(part(&text, &range))))
            }
            HlsFile::Init(id) => {
                let mount = hls.mount()?;
                let (bytes, began) = of_stream(&mount, id, |_, stream| match &stream.codec {
                    Codec::Opus(head) => Ok((Bytes::from(initialization(head)), stream.began.wall)),
                    codec => Err(not_opus(codec)),
                })?;
                let head = hls.final_head(began, bytes.len() as u64);
                Ok(file(&request.fields, &head, |range| whole(part(&bytes, &range))))
            }
            HlsFile::Segment(id, segment) => {
                let found = segment_file(&*hls.mount()?, id, segment, None);
                let found = found.map_err(|missing| match missing {
                    Missing::NotYet(_) => missing_reply("This segment is not there yet."),
                    Missing::Never(reply) => reply,
                });
                Ok(self.send(request, hls, found?))
            }
            HlsFile::Part(id, segment, part) => {
                let found = wait_for_part(hls, (id, segment, part), waiter).await?;
                Ok(self.send(request, hls, found))
            }
        }
    }

    /// The playlist, when it has what is awaited and at least one segment; and when it was last
    /// changed.
    async fn playlist(
        &self,
        hls: &HlsRequest,
        (kind, awaited): (PlaylistKind, Option<Awaited>),
        waiter: &mut Waiter<'_>,
        clock_of: impl Fn(&Arc<MountEntry>) -> Option<StreamClock>,
    ) -> Result<(Playlist, SystemTime), Reply> {
        let began = Instant::now();
        loop {
            let mount = hls.mount()?;
            let (playlist, modified) = self.list(&mount, kind, clock_of(&mount))?;
            let missing = match awaited {
                _ if playlist.streams.is_empty() => Some(PART),
                Some(awaited) => playlist.missing(awaited).map_err(|_| far_ahead())?,
                None => None,
            };
            let Some(missing) = missing else { return Ok((playlist, modified)) };
            let target = target_duration(samples(mount.settings().hls_segment));
            // Not held while waiting: it would count against `limits.sources`.
            drop(mount);
            if began.elapsed() >= Duration::from_secs(3 * target) {
                return Err(Reply::new(503, "The audio has not come.").with("Retry-After", "1"));
            }
            wait(waiter, missing).await?;
        }
    }

    /// The present playlist, and when its newest audio was heard.
    fn list(
        &self,
        mount: &Arc<MountEntry>,
        kind: PlaylistKind,
        clock: Option<StreamClock>,
    ) -> Result<(Playlist, SystemTime), Reply> {
        let paused = paused(mount);
        let state = StreamState {
            window: samples(mount.settings().hls_window),
            paused,
            clock: clock.map(|clock| (clock.granule, clock.unix_ms)),
        };
        let shared = mount.mount().ok_or_else(no_stream)?;
        let pages = shared.pages();
        let stream = pages.history.streams().next_back().ok_or_else(no_stream)?;
        if !matches!(stream.codec, Codec::Opus(_)) {
            return Err(not_opus(&stream.codec));
        }
        let exists = |name: &_| self.table.find(name).is_some();
        let mut dates = self.dates.borrow_mut();
        let playlist = list(kind, &mount.name, &pages, state, &mut dates, exists);
        Ok((playlist.clone(), heard(stream, playlist.edge)))
    }

    /// Sends a segment or a part, and counts it.
    fn send(
        &self,
        request: &RequestContext<'_>,
        hls: &HlsRequest,
        segment: SegmentFile,
    ) -> HttpResponse {
        let head = hls.final_head(segment.modified, segment.length);
        file(&request.fields, &head, |range| {
            if let (Some(client), Some(mount)) = (&hls.client, hls.mount.upgrade()) {
                let bytes = range.end - range.start;
                mount.counters.bytes_out.add(bytes);
                self.listeners.note_sent(client, bytes);
            }
            read_pieces(segment.pieces, range, hls.mount.clone())
        })
    }
}

impl HlsRequest {
    fn mount(&self) -> Result<Arc<MountEntry>, Reply> {
        self.mount.upgrade().filter(|mount| mount.stream().is_some()).ok_or_else(no_stream)
    }

    /// The value of `Cache-Control` for so many seconds.
    fn cache(&self, seconds: u64, more: &str) -> String {
        let who = if self.is_public { "public" } else { "private" };
        format!("{who}, max-age={seconds}{more}")
    }

    /// The head of a file that never changes.
    fn final_head(&self, modified: SystemTime, length: u64) -> FileHead {
        FileHead {
            content_type: MP4,
            cache: self.cache(FINAL_AGE, ", immutable"),
            tag: format!("\"{}\"", self.path.file),
            modified,
            is_final: true,
            length,
        }
    }
}

/// Waits until a part is there that is about to come: a client may request it as soon as the playlist
/// has a hint of it.
async fn wait_for_part(
    hls: &HlsRequest,
    (id, segment, part): (StreamId, u64, u64),
    waiter: &mut Waiter<'_>,
) -> Result<SegmentFile, Reply> {
    let began = Instant::now();
    loop {
        let missing = match segment_file(&*hls.mount()?, id, segment, Some(part)) {
            Ok(file) => return Ok(file),
            Err(Missing::Never(reply)) => return Err(reply),
            Err(Missing::NotYet(missing)) => missing,
        };
        let is_next = missing <= PART;
        if !is_next || began.elapsed() >= PATIENCE {
            return Err(missing_reply("This part of a segment is not there yet."));
        }
        wait(waiter, missing).await?;
    }
}

/// Waits until so many samples may have come.
async fn wait(waiter: &mut Waiter<'_>, missing: u64) -> Result<(), Reply> {
    let time = duration(missing).clamp(LEAST_WAIT, Duration::from_secs(1));
    waiter.sleep(time).await.map_err(|Full| {
        let sentence = "Too many requests are waiting for audio; try again in a moment.";
        Reply::new(503, sentence).with("Retry-After", "1")
    })
}

/// Calls `with` with the pages of a mount and the stream of this name.
fn of_stream<T>(
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
fn segment_file(
    mount: &MountEntry,
    id: StreamId,
    segment: u64,
    part: Option<u64>,
) -> Result<SegmentFile, Missing> {
    let paused = paused(mount);
    let found = of_stream(mount, id, |pages, stream| {
        let length = stream.segment;
        let cut = StreamCut::new(&pages.ring, stream);
        let is_part = |part: u64| part < length.div_ceil(cut.part(segment));
        if segment > u64::MAX / length - 1 || !part.is_none_or(is_part) {
            return Err(missing_reply("There is no such segment or part."));
        }
        let whole = segment * length..(segment + 1) * length;
        let times = part.map_or(whole, |part| cut.part_times(segment, part));
        let index = cut.index(paused);
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
fn read_pieces(
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

/// What a client waits for: `_HLS_msn`, and `_HLS_part`.
fn awaited(target: &RequestTarget) -> Result<Option<Awaited>, Reply> {
    let number = |name| match target.parameter(name).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => {
            let sentence = "The parameters _HLS_msn and _HLS_part must be whole numbers.";
            Err(Reply::new(400, sentence))
        }
    };
    match (number("_HLS_msn")?, number("_HLS_part")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Reply::new(400, "The parameter _HLS_part requires _HLS_msn.")),
        (Some(segment), part) => Ok(Some(Awaited { segment, part })),
    }
}

/// For how long the mount's stream has been standing still, if it does in a gap, in samples.
fn paused(mount: &MountEntry) -> u64 {
    let is_gap = mount.stream().is_some_and(|stream| stream.state == SourceState::Gap);
    if is_gap { samples(mount.gauges.pause(Instant::now())) } else { 0 }
}

/// When this time of a stream was heard, if the source has kept pace with it.
fn heard(stream: &StreamRecord, time: u64) -> SystemTime {
    stream.began.wall.checked_add(duration(time)).unwrap_or(stream.began.wall)
}

fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(1000) / 48)
}

/// A range of some bytes.
fn part(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    bytes.slice(range.start as usize..range.end as usize)
}

fn missing_reply(sentence: &str) -> Reply {
    Reply::new(404, sentence).with("Cache-Control", MISSING)
}

fn no_stream() -> Reply {
    missing_reply("No source is sending to a mount with this name.")
}

fn not_opus(codec: &Codec) -> Reply {
    let name = codec.name();
    missing_reply(&format!("HLS is for Opus only, and this stream is {name}."))
}

fn far_ahead() -> Reply {
    Reply::new(400, "_HLS_msn is more than two segments after the last one of the playlist.")
}
