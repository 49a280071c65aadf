//! The logical stream (RFC 3533) that a mount sends to its listeners.
//!
//! Opus sources are spliced into one stream, with silence in the gaps between them. FLAC and Vorbis
//! pages pass through with the serial replaced, so each source begins a stream of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::settings::{Gap, MountSettings};
use crate::clock::Moment;
use ogg_splice::{Codec, Headers, OutputPage, Page, PageHeader, Splice, SpliceStats};

/// The current stream of a mount.
#[derive(Debug)]
pub(super) struct LogicalStream {
    settings: Arc<MountSettings>,
    codec: Codec,
    serial: u32,
    kind: StreamKind,
    /// When audio was last published, or when the stream began.
    last_audio: Instant,
    in_gap: bool,
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

/// The newest page of a pass-through stream, which the EOS page has to follow.
#[derive(Clone, Copy, Debug, Default)]
struct PassThrough {
    sequence: u32,
    granule: u64,
    /// Whether the page had the EOS flag.
    last: bool,
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
            Codec::Flac { .. } | Codec::Vorbis { .. } => StreamKind::PassThrough(PassThrough {
                sequence: count - 1,
                ..PassThrough::default()
            }),
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
                in_gap: false,
                stood_still,
                grace_until: None,
            },
            headers,
        )
    }

    /// Continues this stream with a new source and returns the new headers as listeners get them;
    /// `None` if the source's stream cannot be spliced to this one.
    pub(super) fn join(&mut self, headers: &Headers) -> Option<Headers> {
        match &mut self.kind {
            StreamKind::Spliced(splice) if self.codec.can_continue_with(&headers.codec) => {
                splice.join();
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
        mut out: impl FnMut(&OutputPage<'_>),
    ) -> bool {
        let now = self.account_for_standstill(now);
        let published = match &mut self.kind {
            StreamKind::Spliced(splice) => {
                if self.in_gap {
                    splice.resume(now);
                }
                splice.push(page, now, out)
            }
            StreamKind::PassThrough(newest) => {
                out(&OutputPage::with_serial(page, self.serial));
                let granule = page.granule().unwrap_or(newest.granule);
                *newest = PassThrough { sequence: page.sequence(), granule, last: page.is_last() };
                true
            }
        };
        if published {
            (self.last_audio, self.in_gap) = (now, false);
        }
        published
    }

    /// Publishes the silence that is due, and decides whether the hold time is over.
    pub(super) fn idle(&mut self, now: Moment, out: impl FnMut(&OutputPage<'_>)) -> IdleOutcome {
        let now = self.account_for_standstill(now);
        let threshold = match &self.kind {
            StreamKind::Spliced(splice) => splice.gap_threshold(),
            StreamKind::PassThrough(_) => self.settings.gap_after,
        };
        let gap_start = self.last_audio + threshold;
        let gap_start = self.grace_until.map_or(gap_start, |grace_end| gap_start.max(grace_end));
        // Never end the stream before `gap_after` has passed, even if `hold` is shorter.
        let hold_end = gap_start.max(self.last_audio + self.settings.hold);
        let hold_end = (self.settings.gap != Gap::End).then_some(hold_end);
        if hold_end.is_some_and(|end| now >= end) {
            return IdleOutcome::Over;
        }
        let next = if now < gap_start {
            Some(gap_start)
        } else {
            self.in_gap = true;
            match &mut self.kind {
                StreamKind::Spliced(splice) => splice.fill(now, out),
                StreamKind::PassThrough(_) => None,
            }
        };
        next.into_iter().chain(hold_end).min().map_or(IdleOutcome::Forever, IdleOutcome::Until)
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
    pub(super) fn end(&mut self, mut out: impl FnMut(&OutputPage<'_>)) {
        match &mut self.kind {
            StreamKind::Spliced(splice) => splice.end(out),
            StreamKind::PassThrough(PassThrough { last: true, .. }) => {}
            StreamKind::PassThrough(PassThrough { sequence, granule, .. }) => {
                let (serial, sequence, granule) = (self.serial, sequence.wrapping_add(1), *granule);
                let stamp = PageHeader { first: false, last: true, granule, serial, sequence };
                out(&OutputPage::new(stamp, &[], &[]));
            }
        }
    }

    /// Whether the stream ends when its source leaves (`gap = "end"`).
    pub(super) fn ends_with_its_source(&self) -> bool {
        self.settings.gap == Gap::End
    }

    /// Granule position of the newest page.
    pub(super) fn granule(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.position(),
            StreamKind::PassThrough(newest) => newest.granule,
        }
    }

    /// Bytes per second of the source's audio, averaged over the last seconds; 0 if unknown.
    pub(super) fn byte_rate(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.rate(),
            StreamKind::PassThrough(_) => 0,
        }
    }

    /// Duration of the source's newest Opus page, in samples at 48 kHz; 0 for other codecs.
    pub(super) fn page_samples(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.page_samples(),
            StreamKind::PassThrough(_) => 0,
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
