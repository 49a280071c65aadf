//! The logical stream (RFC 3533) that a mount sends to its listeners.
//!
//! Opus sources are spliced into one stream, with silence in the gaps between them. FLAC and Vorbis
//! pages pass through with the serial replaced, so each source begins a stream of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::settings::{Gap, MountSettings};
use crate::clock::Moment;
use ogg_splice::{Codec, Headers, OutputPage, Page, PassThrough, Splice, SpliceStats};

/// How long a source may take for a page before the duration of its pages is known. FFmpeg and
/// libogg put one to two seconds of audio into a page before they send it.
const FIRST_PAGE_TIME: Duration = Duration::from_secs(3);

/// The current stream of a mount.
#[derive(Debug)]
pub(super) struct LogicalStream {
    settings: Arc<MountSettings>,
    codec: Codec,
    serial: u32,
    kind: StreamKind,
    /// When audio was last published, or when the stream began.
    last_audio: Instant,
    /// When the newest source's next page is due at the latest; `None` once the duration of its
    /// pages is known.
    page_due: Option<Instant>,
    in_gap: bool,
    /// Whether silence has been published since the last audio, or would have been if the stream
    /// were one that fills gaps.
    fills_time: bool,
    /// The value of `Moment::stood_still` that has been accounted for.
    stood_still: Duration,
    /// No gap begins before this moment: audio that was sent while the server was suspended may
    /// still be on its way.
    grace_until: Option<Instant>,
}

#[derive(Debug)]
enum StreamKind {
    Spliced(Box<Splice>),
    PassThrough(PassThrough),
}

/// When [`LogicalStream::idle`] has to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleOutcome {
    /// At this moment, unless audio comes first.
    Until(Instant),
    /// Only after a source has sent something.
    Forever,
    /// Never: the hold time is over, and the stream must end.
    Over,
}

impl LogicalStream {
    /// Begins a stream with these headers, after the stream `before`. Also returns the headers as
    /// listeners get them.
    pub(super) fn new(
        headers: &Headers,
        before: Option<&Self>,
        settings: &Arc<MountSettings>,
        now: Moment,
    ) -> (Self, Headers) {
        // A chained stream must have another serial than its predecessor.
        let same = before.is_some_and(|before| before.serial == headers.serial);
        let serial = headers.serial.wrapping_add(u32::from(same));
        let (headers, count) = headers.renumbered(serial);
        let kind = match &headers.codec {
            Codec::Opus(head) => {
                let fills = settings.gap == Gap::Silence;
                StreamKind::Spliced(Box::new(Splice::new(
                    head,
                    serial,
                    count,
                    fills,
                    settings.gap_after,
                )))
            }
            codec @ (Codec::Flac { .. } | Codec::Vorbis { .. }) => StreamKind::PassThrough(
                PassThrough::new(codec.granules_per_second(), serial, count),
            ),
        };
        let codec = headers.codec.clone();
        let settings = Arc::clone(settings);
        let (last_audio, stood_still) = (now.at, now.stood_still);
        (
            Self {
                settings,
                codec,
                serial,
                kind,
                last_audio,
                page_due: now.at.checked_add(FIRST_PAGE_TIME),
                in_gap: false,
                fills_time: false,
                stood_still,
                grace_until: None,
            },
            headers,
        )
    }

    /// Continues this stream with a new source and returns the new headers as listeners get them;
    /// `None` if the source's stream cannot be spliced to this one.
    pub(super) fn join(&mut self, headers: &Headers, now: Moment) -> Option<Headers> {
        match &mut self.kind {
            StreamKind::Spliced(splice) if self.codec.can_continue_with(&headers.codec) => {
                splice.join();
                self.page_due = now.at.checked_add(FIRST_PAGE_TIME);
                Some(headers.renumbered(self.serial).0)
            }
            _ => None,
        }
    }

    /// Publishes a page from the source; returns whether any of its audio was published.
    pub(super) fn push(
        &mut self,
        page: &Page<'_>,
        now: Moment,
        out: impl FnMut(&OutputPage<'_>),
    ) -> bool {
        let now = self.account_for_standstill(now);
        let published = match &mut self.kind {
            StreamKind::Spliced(splice) => {
                if self.fills_time {
                    splice.resume(now);
                }
                splice.push(page, now, out)
            }
            StreamKind::PassThrough(stream) => {
                stream.push(page, out);
                true
            }
        };
        if published {
            let is_known = !self.page_duration().is_zero();
            self.page_due = if is_known { None } else { now.checked_add(FIRST_PAGE_TIME) };
            self.last_audio = now;
            (self.in_gap, self.fills_time) = (false, false);
        }
        published
    }

    /// Publishes the silence that is due, and decides whether the hold time is over.
    pub(super) fn idle(&mut self, now: Moment, out: impl FnMut(&OutputPage<'_>)) -> IdleOutcome {
        let now = self.account_for_standstill(now);
        let threshold = match &self.kind {
            StreamKind::Spliced(splice) => splice.gap_threshold(),
            StreamKind::PassThrough(stream) => stream.gap_threshold(self.settings.gap_after),
        };
        let silence_start = self.last_audio + threshold;
        let silence_start =
            self.grace_until.map_or(silence_start, |grace_end| silence_start.max(grace_end));
        // A source whose pages are long sends nothing before its first one is full. Listeners
        // get silence meanwhile, but it is no gap.
        let gap_start = self.page_due.map_or(silence_start, |due| silence_start.max(due));
        // Never end the stream before `gap_after` has passed, even if `hold` is shorter.
        let hold_end = gap_start.max(self.last_audio + self.settings.hold);
        let hold_end = (self.settings.gap != Gap::End).then_some(hold_end);
        if hold_end.is_some_and(|end| now >= end) {
            return IdleOutcome::Over;
        }
        let next_silence = if now < silence_start {
            Some(silence_start)
        } else {
            self.fills_time = true;
            match &mut self.kind {
                StreamKind::Spliced(splice) => splice.fill(now, out),
                StreamKind::PassThrough(_) => None,
            }
        };
        self.in_gap |= now >= gap_start;
        let gap_start = (!self.in_gap).then_some(gap_start);
        let deadlines = next_silence.into_iter().chain(gap_start).chain(hold_end);
        deadlines.min().map_or(IdleOutcome::Forever, IdleOutcome::Until)
    }

    /// Accounts for a time in which the server was suspended since the last call. Returns the
    /// current running time.
    fn account_for_standstill(&mut self, now: Moment) -> Instant {
        let stood_still = now.stood_still.saturating_sub(self.stood_still);
        self.stood_still = now.stood_still;
        if !stood_still.is_zero() {
            self.grace_until = now.at.checked_add(stood_still);
            if let StreamKind::Spliced(splice) = &mut self.kind {
                splice.stood_still(stood_still, now.at);
            }
        }
        now.at
    }

    /// Publishes an EOS page, unless the source has sent one.
    pub(super) fn end(&mut self, out: impl FnMut(&OutputPage<'_>)) {
        match &mut self.kind {
            StreamKind::Spliced(splice) => splice.end(out),
            StreamKind::PassThrough(stream) => stream.end(out),
        }
    }

    /// The newest source has left: no first audio is due any more.
    pub(super) fn source_left(&mut self) {
        self.page_due = None;
    }

    /// Whether the stream ends when its source leaves (`gap = "end"`).
    pub(super) fn ends_with_its_source(&self) -> bool {
        self.settings.gap == Gap::End
    }

    /// Whether granule positions stand still in a gap, instead of counting silence.
    pub(super) fn pauses_in_gaps(&self) -> bool {
        self.settings.gap != Gap::Silence
    }

    /// Granule position of the newest page.
    pub(super) fn granule(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.position(),
            StreamKind::PassThrough(stream) => stream.position(),
        }
    }

    /// Bytes per second of the source's audio, averaged over the last seconds; 0 if unknown.
    pub(super) fn byte_rate(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.rate(),
            StreamKind::PassThrough(stream) => stream.rate(),
        }
    }

    /// Duration of the source's recent pages; zero if unknown.
    pub(super) fn page_duration(&self) -> Duration {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.page_duration(),
            StreamKind::PassThrough(stream) => stream.page_duration(),
        }
    }

    /// Whether nothing has come from a source for longer than the gap threshold.
    pub(super) fn is_in_gap(&self) -> bool {
        self.in_gap
    }

    /// Returns the statistics since the last call, and resets them.
    pub(super) fn take_stats(&mut self) -> SpliceStats {
        match &mut self.kind {
            StreamKind::Spliced(splice) => splice.take_stats(),
            StreamKind::PassThrough(_) => SpliceStats::default(),
        }
    }
}
