//! Sends a clip: a part of what a mount's ring holds, as a file.

use std::sync::{Arc, Weak};

use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LOCATION, HeaderMap, HeaderValue, IF_RANGE, RANGE,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::files::{FileHead, file};
use super::negotiation::tag;
use super::request::RequestContext;
use super::response::{HttpResponse, streamed, whole};
use super::settings::ControlSettings;
use crate::clip::{ClipCut, ClipPart, ClipReader, ClipSize, ClipSpan, NotHeld};
use crate::detections::DetectionLog;
use crate::http::Reply;
use crate::mount::{Departure, MountEntry, Registration};
use crate::quota::Permit;
use crate::text::sanitize;
use crate::utc::Utc;

/// How much of a clip is read from the ring before anything is sent, in bytes. It is this
/// much ahead of the ring, which would overwrite the oldest audio otherwise before a client has
/// taken it.
const HEAD_START: usize = 64 * 1024;
/// Maximum memory of a clip, in bytes: what is read ahead, a page in the making and the headers.
pub(crate) const CLIP_MEMORY: usize = HEAD_START + 128 * 1024;
/// The most detections that the comments of a clip list, the earliest first.
const MAX_DETECTIONS: usize = 32;
/// Content type of Ogg files (RFC 5334).
const OGG: &str = "audio/ogg";

/// A request for a clip that the door has admitted.
#[derive(Debug)]
pub(crate) struct ClipRequest {
    /// The mount. Weak, because a slow client must not keep a mount in memory, where it would count
    /// against `limits.sources`.
    pub(crate) mount: Weak<MountEntry>,
    /// The audio.
    pub(crate) span: ClipSpan,
    /// Who gets it; `None` for HEAD.
    pub(crate) listener: Option<ClipListener>,
    /// The site whose pages may read it.
    pub(crate) allow_origin: String,
}

/// A client that downloads a clip. It counts as a listener meanwhile.
#[derive(Debug)]
pub(crate) struct ClipListener {
    registration: Registration,
    permits: Vec<Permit>,
    mount: Arc<str>,
    entry: Weak<MountEntry>,
    /// The length of its response, in bytes, and how much of it was sent.
    length: u64,
    sent: u64,
    /// Whether the ring has overwritten the rest.
    is_overwritten: bool,
}

impl ClipListener {
    /// A listener of this mount.
    pub(crate) fn new(
        entry: &Arc<MountEntry>,
        registration: Registration,
        permits: Vec<Permit>,
    ) -> Self {
        let (mount, entry) = (entry.name.as_str().into(), Arc::downgrade(entry));
        Self { registration, permits, mount, entry, length: 0, sent: 0, is_overwritten: false }
    }

    /// The pieces of a response of this length, as this client takes them.
    fn receive(
        mut self,
        mut pieces: impl Iterator<Item = Bytes>,
        length: u64,
    ) -> impl Iterator<Item = Bytes> {
        self.length = length;
        std::iter::from_fn(move || {
            if self.registration.listener().killed_by().is_some() {
                return None;
            }
            let piece = pieces.next();
            let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
            self.sent += bytes;
            self.is_overwritten = piece.is_none() && self.sent < length;
            if let Some(entry) = self.entry.upgrade() {
                entry.counters.bytes_out.add(bytes);
            }
            piece
        })
    }

    fn reason(&self) -> &'static str {
        if self.registration.listener().killed_by().is_some() {
            "an administrator disconnected the listener"
        } else if self.sent >= self.length {
            "the clip was sent"
        } else if self.is_overwritten {
            "the listener was too slow: the rest of the clip was overwritten"
        } else {
            "the listener disconnected"
        }
    }
}

impl Drop for ClipListener {
    fn drop(&mut self) {
        // Free the permits before the log and the control plane report that the listener left.
        self.permits.clear();
        let info = self.registration.listener();
        let by = info.killed_by().map(Arc::as_ref);
        info.log_departure(&Departure {
            mount: &self.mount,
            reason: self.reason(),
            by,
            bytes: self.sent,
            skips: None,
        });
        if let Some(entry) = self.entry.upgrade() {
            entry.listener_left();
        }
    }
}

/// What the comments of a clip say besides its mount and time.
pub(super) struct ClipTags<'a> {
    pub(super) settings: &'a ControlSettings,
    pub(super) detections: &'a DetectionLog,
}

/// Responds to a request for a clip.
///
/// # Errors
/// The reply to send, with status 404, if the ring does not hold it.
pub(super) fn respond(
    request: &RequestContext<'_>,
    clip: &mut ClipRequest,
    station: &ClipTags<'_>,
) -> Result<HttpResponse, Reply> {
    let entry = clip.mount.upgrade().ok_or_else(|| not_held(&NotHeld::Nothing))?;
    let mount = entry.mount().ok_or_else(|| not_held(&NotHeld::Nothing))?;
    let found = ClipCut::of(&mount.pages(), clip.span).map_err(|error| not_held(&error))?;
    let comments = |part: &ClipPart| station.comments(&entry, part);
    // The same clip has the same number, and its tag is the same until detections are added to it, or
    // gaps of it are forgotten: so the rest of one can be asked for.
    let serial = found.parts.iter().fold(found.from.micros() as u32, |serial, part| {
        serial.wrapping_mul(31).wrapping_add(part.samples.start as u32)
    });
    let reader = ClipReader::new(&found, serial, comments);
    let mut size = ClipSize::new(reader.clone());
    let length = loop {
        match size.measure(&mount.pages()) {
            Ok(Some(length)) => break length,
            Ok(None) => {}
            Err(_) => return Err(not_held(&NotHeld::Nothing)),
        }
    };
    drop(size);
    let mut identity: Vec<u8> = reader.headers().flatten().copied().collect();
    identity.extend(length.to_le_bytes());
    let head = FileHead {
        content_type: OGG,
        cache: "private, no-cache".into(),
        tag: tag(&identity, false),
        modified: found.to.into(),
        is_final: false,
        length,
    };
    // What is the last minute now is another one for the next request.
    let is_fixed = matches!(clip.span, ClipSpan::Between(..));
    let mut fields = request.fields.clone();
    let is_rest = fields.get(RANGE).is_some_and(|range| !range.as_bytes().starts_with(b"bytes=0-"));
    // Only with If-Range it is sure that the beginning is still that of the same file.
    if !is_fixed || is_rest && !fields.contains_key(IF_RANGE) {
        fields.remove(RANGE);
    }
    let listener = clip.listener.take();
    let mut response = file(&fields, &head, |range| {
        // hyper sends the fields only.
        let Some(listener) = listener else { return whole(Bytes::new()) };
        let (pages, length) = (read(reader, Arc::downgrade(&entry)), range.end - range.start);
        streamed(listener.receive(cut(pages, range.start as usize, length), length))
    });
    let fields = response.headers_mut();
    say_name(fields, entry.name.as_str(), found.from);
    let query = ClipSpan::query(found.from, found.to);
    let content = format!("{}?{query}", request.target.raw_path());
    if let Ok(content) = HeaderValue::try_from(content) {
        fields.insert(CONTENT_LOCATION, content);
    }
    if !is_fixed {
        fields.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    }
    Ok(response)
}

/// The pages of a clip, as they are sent: at first [`HEAD_START`] of them. The body ends early if the ring has
/// overwritten the rest, which ends the connection.
fn read(mut reader: ClipReader, entry: Weak<MountEntry>) -> impl Iterator<Item = Vec<u8>> {
    let mut next = move |most: usize| {
        let mount = entry.upgrade()?.mount()?;
        let mut bytes = Vec::new();
        while bytes.len() < most {
            match reader.next_page(&mount.pages()) {
                Ok(Some(page)) => bytes.extend_from_slice(&page),
                Ok(None) | Err(_) => break,
            }
        }
        Some(bytes).filter(|bytes| !bytes.is_empty())
    };
    let first = next(HEAD_START);
    first.into_iter().chain(std::iter::from_fn(move || next(1)))
}

/// `length` bytes of these pieces, from `skipped` on.
fn cut(
    pieces: impl Iterator<Item = Vec<u8>>,
    mut skipped: usize,
    length: u64,
) -> impl Iterator<Item = Bytes> {
    let mut left = length as usize;
    pieces
        .map_while(move |piece| {
            let from = skipped.min(piece.len());
            skipped -= from;
            let to = piece.len().min(from.saturating_add(left));
            let is_needed = left > 0;
            left -= to - from;
            is_needed.then(|| Bytes::from(piece).slice(from..to))
        })
        .filter(|piece| !piece.is_empty())
}

impl ClipTags<'_> {
    /// The comments of a part of a clip.
    fn comments(&self, entry: &MountEntry, part: &ClipPart) -> Vec<String> {
        let Self { settings, detections } = self;
        let stream = entry.stream();
        let title = stream.and_then(|stream| entry.description(&stream).name);
        let name = entry.name.to_string();
        let heard = detections.between(&entry.name, part.from, part.to());
        let heard = heard.iter().take(MAX_DETECTIONS).map(|kept| kept.detection.comment());
        let comments = [
            ("TITLE", Some(title.unwrap_or_else(|| name.clone()))),
            ("MOUNT", Some(name)),
            ("STATION", settings.name.clone()),
            ("LOCATION", Some(settings.location.clone()).filter(|text| !text.is_empty())),
            ("DATE", Some(part.from.to_string())),
        ];
        let heard = heard.map(|text| ("DETECTION", Some(text)));
        let gaps = part.gaps().map(|(from, to)| ("GAP", Some(format!("{from}/{to}"))));
        let comment =
            |(name, value): (&str, Option<String>)| Some(format!("{name}={}", sanitize(&value?)));
        comments.into_iter().chain(gaps).chain(heard).filter_map(comment).collect()
    }
}

/// Names the file after its mount and its time (RFC 6266).
fn say_name(fields: &mut HeaderMap, mount: &str, from: Utc) {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
    let mount = mount.strip_suffix(".opus").or_else(|| mount.strip_suffix(".ogg")).unwrap_or(mount);
    let mount = mount.trim_start_matches('/').replace('/', "-");
    let name = format!("{mount}-{}.opus", from.in_file_name());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(&name, ENCODED);
    let more = if plain == name { String::new() } else { format!("; filename*=UTF-8''{encoded}") };
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{plain}\"{more}")) {
        fields.insert(CONTENT_DISPOSITION, value);
    }
}

/// The reply if the ring does not hold a time.
pub(crate) fn not_held(error: &NotHeld) -> Reply {
    let sentence = match error {
        NotHeld::Holds { from, to } => {
            format!("The audio of that time is not in memory; there is that from {from} to {to}.")
        }
        NotHeld::Nothing => "The memory of this microphone holds no Opus audio.".into(),
    };
    Reply::new(404, sentence)
}
