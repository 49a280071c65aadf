//! HLS: answers requests for playlists, beginnings of streams, segments and parts.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use hyper::body::Bytes;
use ogg_splice::Codec;

use super::files::{FileHead, file};
use super::negotiation::tag;
use super::render::url_query;
use super::request::RequestContext;
use super::response::{HttpResponse, whole};
use super::segment::{
    Missing, SegmentFile, heard, missing_reply, no_stream, of_stream, paused, read_pieces,
    segment_file,
};
use super::waiter::Waiter;
use crate::hls::{
    Awaited, HlsClient, HlsFile, HlsListeners, HlsPath, PART, Playlist, PlaylistKind, SegmentDates,
    StreamId, StreamState, initialization, list, target_duration,
};
use crate::http::{Reply, RequestTarget};
use crate::mount::{MountEntry, MountTable, duration, samples};

/// The least time between two looks at whether the audio is there that a request waits for.
const LEAST_WAIT: Duration = Duration::from_millis(20);
/// How long a file may be kept that never changes, in seconds.
const FINAL_AGE: u64 = 3600;
/// For how long a request for the next part waits. A page of a usual encoder has at most two seconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// Content type of playlists (RFC 8216, section 4).
const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const MP4: &str = "audio/mp4";

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

impl HlsFiles {
    pub(super) fn new(table: Arc<MountTable>, listeners: Arc<HlsListeners>) -> Self {
        Self { table, listeners, dates: RefCell::default() }
    }

    /// Responds to a request. Waits if the client asks for audio that is about to come.
    ///
    /// # Errors
    /// The reply to send if there is no such file.
    pub(super) async fn respond(
        &self,
        request: &RequestContext<'_>,
        hls: &HlsRequest,
        waiter: &mut Waiter<'_>,
    ) -> Result<HttpResponse, Reply> {
        match hls.path.file {
            HlsFile::Playlist(kind) => {
                let awaited = match kind {
                    PlaylistKind::Plain => None,
                    PlaylistKind::LowLatency => awaited(request.target)?,
                };
                let (playlist, modified) = self.playlist(hls, (kind, awaited), waiter).await?;
                let text = Bytes::from(playlist.render(&hls.path.base, &url_query(&hls.pass)));
                let age = match kind {
                    // Each request of a client that waits has another URL.
                    PlaylistKind::LowLatency if awaited.is_none() => {
                        if hls.is_public { "no-cache" } else { "private, no-cache" }.to_owned()
                    }
                    _ => {
                        let target = playlist.target_duration();
                        // A cache may send it while it requests the next one (RFC 5861).
                        let stale = format!(", stale-while-revalidate={target}");
                        hls.cache(target.div_ceil(2), &stale)
                    }
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
    ) -> Result<(Playlist, SystemTime), Reply> {
        let began = Instant::now();
        loop {
            let mount = hls.mount()?;
            let (playlist, modified) = self.list(&mount, kind)?;
            let missing = match awaited {
                _ if playlist.streams.is_empty() => Some(PART),
                Some(awaited) => playlist.missing(awaited).map_err(|_| far_ahead())?,
                None => None,
            };
            let Some(missing) = missing else { return Ok((playlist, modified)) };
            let target = target_duration(samples(mount.settings().hls.segment));
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
    ) -> Result<(Playlist, SystemTime), Reply> {
        let shared = mount.mount().ok_or_else(no_stream)?;
        let pages = shared.pages();
        let state = StreamState {
            window: samples(mount.settings().hls.window),
            // While no page can be published, which would end the pause.
            paused: paused(mount),
        };
        let stream = pages.history.streams().next_back().ok_or_else(no_stream)?;
        if !matches!(stream.codec, Codec::Opus(_)) {
            return Err(not_opus(&stream.codec));
        }
        let exists = |name: &_| self.table.find(name).is_some();
        let mut dates = self.dates.borrow_mut();
        let playlist = list(kind, &mount.name, &pages, state, &mut dates, exists);
        let modified = heard(stream, playlist.edge);
        Ok((playlist, modified))
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
    waiter.wait(time, std::future::pending::<()>()).await
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

/// A range of some bytes.
fn part(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    bytes.slice(range.start as usize..range.end as usize)
}

fn not_opus(codec: &Codec) -> Reply {
    let name = codec.name();
    missing_reply(&format!("HLS is for Opus only, and this stream is {name}."))
}

fn far_ahead() -> Reply {
    let sentence = "_HLS_msn is more than two segments after the last one of the playlist, or \
                    _HLS_part far beyond the last part of its segment.";
    Reply::new(400, sentence)
}
