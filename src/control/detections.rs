//! `/api/v1/mounts/NAME/detections`: lists what detectors have heard, and takes what they post.
//!
//! A request is checked before its body is read: who sends it, for which mount, and how often. Either all of
//! it is taken or nothing, so a detector can send it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::CONTENT_TYPE;
use serde::Serialize;

use super::request::RequestContext;
use super::response::{HttpResponse, JSON, json, pieces};
use crate::client::{RateLimit, TooOften};
use crate::clip::{ClipSpan, held, time_of};
use crate::detections::{DetectionLog, KeptDetection, MAX_POSTED, Post, PostFormat, ReadOptions};
use crate::http::{Reply, encoded_path};
use crate::log::journal;
use crate::mount::{MountEntry, MountSettings, MountTable, Name};
use crate::quota::{Permit, Quota};
use crate::units;
use crate::utc::Utc;
use crate::worker::{Command, Workers};
use ogg_splice::Tags;

/// Maximum length of a body, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// Maximum number of bodies that are read at the same time.
pub(crate) const MAX_SUBMISSIONS: usize = 4;
/// Maximum memory of one of them, in bytes: as it was received, as it is read, and its detections.
pub(crate) const SUBMISSION_MEMORY: usize = 5 * MAX_BODY;
/// A mount takes [`MAX_POSTED`] detections at once, and then one in this time.
const INTERVAL: Duration = Duration::from_millis(250);
/// The longest time that can be added to the times of a request.
const MAX_SHIFT: Duration = Duration::from_hours(1);

/// Takes and lists detections.
#[derive(Debug)]
pub(crate) struct Detections {
    log: Arc<DetectionLog>,
    table: Arc<MountTable>,
    workers: Workers,
    rates: RateLimit<Name>,
    /// Bodies that are being read.
    submissions: Arc<Quota>,
}

/// A request whose body is to be read.
#[derive(Debug)]
pub(super) struct Submission {
    mount: Name,
    settings: Arc<MountSettings>,
    format: PostFormat,
    shift: i64,
    _permit: Permit,
}

/// A detection, as JSON; the schema `Detection`.
#[derive(Debug, Serialize)]
pub(super) struct DetectionStatus<'a> {
    name: &'a str,
    #[serde(flatten)]
    detection: &'a KeptDetection,
    /// Path and query of the clip, without the path prefix; `None` if the ring does not hold it.
    clip: Option<String>,
}

/// What became of a request; the schema `DetectionsTaken`.
#[derive(Debug, Serialize)]
struct Taken {
    accepted: usize,
    duplicates: usize,
    ignored: usize,
}

impl<'a> DetectionStatus<'a> {
    /// A detection of this mount. `held` is the time that its ring holds.
    fn of(name: &'a Name, detection: &'a KeptDetection, held: Option<(Utc, Utc)>) -> Self {
        let (start, end) = (detection.detection.start, detection.detection.end);
        let is_held = held.is_some_and(|(from, to)| from <= start && end <= to);
        let path = || format!("{}?{}", encoded_path(name.as_str()), ClipSpan::query(start, end));
        Self { name: name.as_str(), detection, clip: is_held.then(path) }
    }

    /// The same, for the time that the ring holds now.
    pub(super) fn now(name: &'a Name, detection: &'a KeptDetection, table: &MountTable) -> Self {
        Self::of(name, detection, held_by(table.find(name)))
    }
}

/// The time that the ring of a mount holds.
fn held_by(entry: Option<Arc<MountEntry>>) -> Option<(Utc, Utc)> {
    held(&entry?.mount()?.pages())
}

impl Detections {
    /// Keeps detections in `log`. `workers` set the titles of streams.
    pub(crate) fn new(log: Arc<DetectionLog>, table: Arc<MountTable>, workers: Workers) -> Self {
        let rates = RateLimit::new(MAX_POSTED as u32, INTERVAL);
        Self { log, table, workers, rates, submissions: Arc::default() }
    }

    /// The detections that are kept.
    pub(super) fn log(&self) -> &DetectionLog {
        &self.log
    }

    /// The detections of a mount, the latest first.
    ///
    /// # Errors
    /// The reply to send, with status 404, if there is no such mount.
    pub(super) fn list(&self, name: &Name) -> Result<HttpResponse, Reply> {
        let settings = self.settings(name)?;
        let mut numbers: Vec<_> = self.log.of(name).iter().map(|kept| kept.number).collect();
        numbers.truncate(settings.detections.kept);
        let held = held_by(self.table.find(name));
        let head = format!("{{\"name\":{},\"detections\":[", serde_json::json!(name.as_str()));
        let (name, log, mut comma) = (name.clone(), Arc::clone(&self.log), "");
        // By number, because a slow client must not keep those in memory that newer ones replace.
        let texts = numbers.into_iter().filter_map(move |number| {
            let detection = log.find(&name, number)?;
            let status = DetectionStatus::of(&name, &detection, held);
            let comma = std::mem::replace(&mut comma, ",");
            Some(format!("{comma}{}", serde_json::to_string(&status).unwrap_or_default()))
        });
        Ok(pieces(JSON, std::iter::once(head).chain(texts).chain(std::iter::once("]}".into()))))
    }

    /// Admits a request with detections of a mount, whose login has been checked.
    ///
    /// # Errors
    /// The reply to send if it is refused.
    pub(super) fn admit(
        &self,
        request: &RequestContext<'_>,
        mount: Name,
    ) -> Result<Submission, Reply> {
        let settings = self.settings(&mount)?;
        if settings.detections.kept == 0 {
            return Err(Reply::new(403, "This mount takes no detections."));
        }
        let (format, shift) = (format_of(request)?, shift_of(request)?);
        let permit = self.submissions.take(MAX_SUBMISSIONS).ok_or_else(|| {
            let sentence = "Too many detectors are sending at once; try again in a moment.";
            Reply::new(503, sentence).with("Retry-After", "1")
        })?;
        // Last, because a request that finds no place does not count.
        self.rates.take(&mount, Instant::now()).map_err(too_often)?;
        Ok(Submission { mount, settings, format, shift, _permit: permit })
    }

    /// Takes the body of a request. `most_mounts` is the number of mounts whose detections are kept.
    ///
    /// # Errors
    /// The reply to send if anything is wrong with it.
    pub(super) fn take(
        &self,
        submission: &Submission,
        body: &[u8],
        most_mounts: usize,
    ) -> Result<HttpResponse, Reply> {
        let Submission { mount, settings, format, shift, .. } = submission;
        let received = Utc::now();
        let options = ReadOptions { format: *format, shift: *shift, received };
        let Post { detections, ignored } = Post::read(body, &options)
            .map_err(|problems| Reply::new(400, format!("Nothing was taken: {problems}.")))?;
        // One was counted before the body was read.
        let more = detections.len().saturating_sub(1) as u32;
        self.rates.take_many(mount, more, Instant::now()).map_err(too_often)?;
        let most = (settings.detections.kept, most_mounts);
        let kept = self.log.keep(mount, detections, received, most);
        for KeptDetection { detection, .. } in kept.new_species.iter().map(Arc::as_ref) {
            journal!(
                info,
                SPECIES_DETECTED,
                mount = mount.as_str(),
                species = detection.title(),
                confidence = detection.confidence,
                start = %detection.start,
                model = detection.model.as_deref(),
                "species detected"
            );
        }
        if let Some(latest) = kept.latest.filter(|_| settings.detections.are_titles) {
            let tags = Tags { title: Some(latest.detection.title()), artist: None };
            self.workers.command(&Command::SetTitle(mount.clone(), tags));
        }
        Ok(json(&Taken { accepted: kept.accepted, duplicates: kept.duplicates, ignored }))
    }

    fn settings(&self, name: &Name) -> Result<Arc<MountSettings>, Reply> {
        self.table.settings(name).ok_or_else(|| {
            Reply::new(
                404,
                "There is no such mount: no source has sent to it, and no section names it.",
            )
        })
    }
}

/// What the body of a request is.
fn format_of(request: &RequestContext<'_>) -> Result<PostFormat, Reply> {
    let content_type = request.fields.get(CONTENT_TYPE).and_then(|field| field.to_str().ok());
    let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let is_table = ["text/csv", "text/tab-separated-values"]
        .iter()
        .any(|kind| content_type.trim().eq_ignore_ascii_case(kind));
    match time_of(request.target, "start")? {
        _ if !is_table => Ok(PostFormat::Json),
        Some(start) => Ok(PostFormat::Table(start)),
        None => {
            let sentence = "A table needs the parameter start: the time at which its audio begins, \
                            such as 2026-05-01T04:12:30Z.";
            Err(Reply::new(400, sentence))
        }
    }
}

/// What is added to the times of a request, in microseconds.
fn shift_of(request: &RequestContext<'_>) -> Result<i64, Reply> {
    let Some(text) = request.target.parameter("shift") else { return Ok(0) };
    let (sign, time) = text.strip_prefix('-').map_or((1, text), |time| (-1, time));
    match units::duration(time) {
        Ok(time) if time <= MAX_SHIFT => Ok(sign * time.as_micros() as i64),
        _ => {
            let sentence =
                "The parameter shift must be a duration up to 1h, such as 10s or -1500ms.";
            Err(Reply::new(400, sentence))
        }
    }
}

fn too_often(TooOften(wait): TooOften) -> Reply {
    let sentence = format!(
        "Too many detections for this mount, nothing was taken; allowed: {MAX_POSTED} at once, then \
         {} a second.",
        Duration::from_secs(1).as_millis() / INTERVAL.as_millis()
    );
    // The next request counts before its body is read.
    let seconds = wait.saturating_add(INTERVAL).as_secs().saturating_add(1);
    Reply::new(429, sentence).with("Retry-After", seconds.to_string())
}
