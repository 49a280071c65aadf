//! What a mount has on the log: one logical stream, whoever feeds it and whether anybody does.
//!
//! Opus is spliced: sources follow each other within one stream, and silence stands in for them.
//! FLAC and Vorbis pass through as they are, so another source is another stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::settings::{Gap, MountSettings};
use crate::clock::Moment;
use ogg_splice::{Codec, Headers, OutputPage, Page, PageHeader, Splice, SpliceStats};

/// A stream in the making.
#[derive(Debug)]
pub(super) struct LogicalStream {
    settings: Arc<MountSettings>,
    codec: Codec,
    serial: u32,
    kind: StreamKind,
    /// When audio last went in, or the stream began.
    heard: Instant,
    in_gap: bool,
    /// How long the server had stood still when that was last asked.
    stood_still: Duration,
    /// Until when what was sent while it stood still may be on its way.
    grace: Option<Instant>,
}

#[derive(Debug)]
enum StreamKind {
    Spliced(Box<Splice>),
    PassThrough(PassThrough),
}

/// The newest page of a stream that passes through: what its end has to follow.
#[derive(Clone, Copy, Debug, Default)]
struct PassThrough {
    sequence: u32,
    granule: u64,
    /// It was the stream's last already.
    last: bool,
}

/// What there is to do next while no source does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleOutcome {
    /// Nothing before then.
    Until(Instant),
    /// Nothing.
    Forever,
    /// The source has been away for too long.
    Over,
}

impl LogicalStream {
    /// A stream that begins with these headers, on a mount that had `before` on the log; the
    /// headers as listeners get them.
    pub(super) fn begin(
        headers: &Headers,
        before: Option<&Self>,
        settings: &Arc<MountSettings>,
        now: Moment,
    ) -> (Self, Headers) {
        // Two streams in a row must not look like one.
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
        let (heard, stood_still) = (now.at, now.stood_still);
        (
            Self { settings, codec, serial, kind, heard, in_gap: false, stood_still, grace: None },
            headers,
        )
    }

    /// Lets another source stream go on with this one, if it can; its headers as listeners get them.
    pub(super) fn join(&mut self, headers: &Headers) -> Option<Headers> {
        match &mut self.kind {
            StreamKind::Spliced(splice) if self.codec.can_continue_with(&headers.codec) => {
                splice.join();
                Some(headers.renumbered(self.serial).0)
            }
            _ => None,
        }
    }

    /// Takes a page of the source; true if listeners get something of it.
    pub(super) fn push(
        &mut self,
        page: &Page<'_>,
        now: Moment,
        mut out: impl FnMut(&OutputPage<'_>),
    ) -> bool {
        let now = self.follow(now);
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
            (self.heard, self.in_gap) = (now, false);
        }
        published
    }

    /// Does what is due while nothing comes: silence, and in the end the end.
    pub(super) fn idle(&mut self, now: Moment, out: impl FnMut(&OutputPage<'_>)) -> IdleOutcome {
        let now = self.follow(now);
        let patience = match &self.kind {
            StreamKind::Spliced(splice) => splice.gap_threshold(),
            StreamKind::PassThrough(_) => self.settings.gap_after,
        };
        let gap = self.heard + patience;
        let gap = self.grace.map_or(gap, |grace| gap.max(grace));
        // Never end the stream before `gap_after` has passed, even if `hold` is shorter.
        let held = gap.max(self.heard + self.settings.hold);
        let over = (self.settings.gap != Gap::End).then_some(held);
        if over.is_some_and(|over| now >= over) {
            return IdleOutcome::Over;
        }
        let more = if now < gap {
            Some(gap)
        } else {
            self.in_gap = true;
            match &mut self.kind {
                StreamKind::Spliced(splice) => splice.fill(now, out),
                StreamKind::PassThrough(_) => None,
            }
        };
        more.into_iter().chain(over).min().map_or(IdleOutcome::Forever, IdleOutcome::Until)
    }

    /// Takes note of how long the server stood still since this was last asked.
    fn follow(&mut self, now: Moment) -> Instant {
        let stood_still = now.stood_still.saturating_sub(self.stood_still);
        self.stood_still = now.stood_still;
        if !stood_still.is_zero() {
            self.grace = now.at.checked_add(stood_still);
            if let StreamKind::Spliced(splice) = &mut self.kind {
                splice.stood_still(stood_still, now.at);
            }
        }
        now.at
    }

    /// Ends the stream, unless its source has.
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

    /// Whether nobody may wait for another source.
    pub(super) fn ends_with_its_source(&self) -> bool {
        self.settings.gap == Gap::End
    }

    /// Where the stream ends now.
    pub(super) fn granule(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.position(),
            StreamKind::PassThrough(newest) => newest.granule,
        }
    }

    /// Bytes in a second of the source's audio, of its last seconds; 0 where that is not known.
    pub(super) fn rate(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.rate(),
            StreamKind::PassThrough(_) => 0,
        }
    }

    /// Samples at 48 kHz in the source's newest page of Opus; 0 for other codecs.
    pub(super) fn page_samples(&self) -> u64 {
        match &self.kind {
            StreamKind::Spliced(splice) => splice.page_samples(),
            StreamKind::PassThrough(_) => 0,
        }
    }

    /// Whether nothing has come for too long.
    pub(super) fn is_in_gap(&self) -> bool {
        self.in_gap
    }

    /// What came of audio and time since this was last asked.
    pub(super) fn take_stats(&mut self) -> SpliceStats {
        match &mut self.kind {
            StreamKind::Spliced(splice) => splice.take_stats(),
            StreamKind::PassThrough(_) => SpliceStats::default(),
        }
    }
}
