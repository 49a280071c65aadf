//! Keeps a stream's audio time in step with real time: decides for each piece of a source's audio
//! whether it is appended, after how much silence, or discarded.
//!
//! A player that plays all that it receives stays as far behind live as the stream makes it. So
//! audio that arrives faster than real time must not lengthen the stream, and lost audio must not
//! shorten it: silence replaces audio that does not arrive, and audio that arrives after its
//! silence is discarded.
//!
//! Times are the caller's running time, in which a suspension of the process does not count. What
//! sources sent during a suspension is ahead of that time, and is accepted as a [`Backlog`].
//!
//! [`Phase`] is the state, and these are its transitions:
//!
//! ```text
//!          place                 join; resume, if gaps are not filled
//!  Unset ─────────▶ Following ─────────────────────────────────────────▶ Joining
//!                       ▲                                                   │
//!                       └───────────────────────────────────────────────────┘
//!                                    place, if audio is appended
//! ```

use std::time::{Duration, Instant};

use crate::live_edge::{LiveEdge, duration_of, samples_in};
use crate::page_length::PageLength;
use crate::silence::FRAME;

#[cfg(test)]
mod tests;

/// How far ahead of live a source that is held to real time may be: jitter, but no backlog.
const MAX_LEAD: Duration = Duration::from_millis(200);
/// How late audio may be before it is discarded; half of its own duration, if that is less.
const TOLERANCE: Duration = Duration::from_millis(100);
/// How long a source must be late before its delay is accepted as the new live.
const SETTLE_TIME: Duration = Duration::from_millis(200);
/// The live edge is at most this and a gap's threshold ahead of the stream's end.
const MAX_LOST: Duration = Duration::from_secs(1);
/// How long after a suspension what was sent during it may still arrive.
const BACKLOG_TIME: Duration = Duration::from_secs(10);

/// Where a piece of audio goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// To the end of the stream, after `silence` samples of silence: a whole number of silent
    /// packets.
    Append {
        /// In samples.
        silence: u64,
    },
    /// Discarded: silence has replaced it, or it would increase the listeners' delay.
    Discard,
}

/// When a page of silence is due in a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SilenceDue {
    /// Real time has passed the end of that page.
    Now,
    /// Not before then.
    At(Instant),
    /// The stream has no audio yet, or does not fill gaps.
    Never,
}

/// The end of one stream in samples, and how it relates to real time.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Lost time is filled with silence.
    fills: bool,
    gap_after: Duration,
    /// End of what has been published, in samples.
    position: u64,
    /// The stream's newest packet is silence.
    ends_in_silence: bool,
    page: PageLength,
    backlog: Option<Backlog>,
    clock: Phase,
}

/// What is known of real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There was no audio yet: the first audio is live when it arrives.
    Unset(Pace),
    /// A source began, and where its audio belongs is decided by when it arrives. It is held to
    /// real time, because the stream has been live before.
    Joining(LiveEdge),
    /// The source's audio is continuous: its next sample has a place.
    Following(Following),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Following {
    edge: LiveEdge,
    /// Position at which the source's next sample belongs.
    due: u64,
    /// Set while audio arrives after silence has replaced it.
    late: Option<Late>,
    pace: Pace,
}

/// Whether a source may deliver faster than real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// It may, because the stream has not lost time yet: an uploaded file is relayed as it comes.
    Free,
    /// It may not: what it delivers beyond [`MAX_LEAD`] is an old backlog.
    RealTime,
}

/// Audio is arriving too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Late {
    /// The least that the source was behind live, in samples, while it was catching up.
    least_behind: i64,
    /// When it last caught up.
    since: Instant,
}

/// Audio that sources sent while the process was suspended.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    /// How much of it may still arrive, in samples.
    samples: u64,
    /// When all of it has arrived or was never sent.
    until: Instant,
}

impl Timeline {
    /// A stream without audio. If it does not fill gaps, time stands still in them. `gap_after` is
    /// as in [`Self::gap_threshold`].
    pub(crate) fn new(fills: bool, gap_after: Duration) -> Self {
        Self {
            fills,
            gap_after,
            position: 0,
            ends_in_silence: false,
            page: PageLength::default(),
            backlog: None,
            clock: Phase::Unset(Pace::Free),
        }
    }

    /// End of what has been published, in samples.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Duration of the source's recent pages, in samples; 0 before the first.
    pub(crate) fn page(&self) -> u64 {
        self.page.recent()
    }

    /// Time without audio after which a gap begins: `gap_after`, and at least two pages.
    pub(crate) fn gap_threshold(&self) -> Duration {
        self.gap_after.max(duration_of(self.page.recent()).saturating_mul(2))
    }

    /// Another source begins, or the same one again.
    pub(crate) fn join(&mut self) {
        self.clock = match self.clock {
            Phase::Unset(_) => Phase::Unset(Pace::Free),
            Phase::Joining(edge) | Phase::Following(Following { edge, .. }) => Phase::Joining(edge),
        };
    }

    /// The source is heard again after a gap.
    pub(crate) fn resume(&mut self, now: Instant) {
        match &mut self.clock {
            Phase::Unset(pace) => *pace = Pace::RealTime,
            Phase::Joining(edge) => edge.forget(now),
            Phase::Following(source) => {
                source.edge.forget(now);
                source.pace = Pace::RealTime;
                if !self.fills {
                    self.clock = Phase::Joining(source.edge);
                }
            }
        }
    }

    /// Finds the place of the source's next `samples`, before which `hole` samples are missing.
    ///
    /// Audio to append must be [published](Self::published) next.
    pub(crate) fn place(&mut self, samples: u64, hole: u64, now: Instant) -> Placement {
        self.page.take(samples);
        self.forgive_lost_time(now);
        match self.clock {
            Phase::Unset(pace) => self.begin(samples, pace, now),
            // In a gap that is not filled, time stood still.
            Phase::Joining(_) if !self.fills => self.begin(samples, Pace::RealTime, now),
            Phase::Joining(edge) => self.place_joining(samples, edge, now),
            Phase::Following(source) => self.place_following(samples, hole, source, now),
        }
    }

    /// The audio is live now.
    fn begin(&mut self, samples: u64, pace: Pace, now: Instant) -> Placement {
        let edge = LiveEdge::new(now, self.position.saturating_add(samples));
        self.follow(edge, pace);
        Placement::Append { silence: 0 }
    }

    /// A source's first audio in a running stream goes where real time is.
    fn place_joining(&mut self, samples: u64, edge: LiveEdge, now: Instant) -> Placement {
        // A decoder predicts each frame from the one before. Without silence in between, the
        // beginning of the new source would take on the spectrum of the old one, and be louder than
        // either.
        let pause = if self.ends_in_silence { 0 } else { FRAME };
        let live = edge.position(now);
        let end = self.position.saturating_add(samples);
        let silence = whole_frames(live.saturating_sub(end)).max(pause);
        let limit = self.limit(live, samples, now).saturating_add(pause);
        if end.saturating_add(silence) > limit {
            return Placement::Discard;
        }
        self.follow(edge, Pace::RealTime);
        Placement::Append { silence }
    }

    /// The source's audio continues where its packets and granule positions say, as far as real
    /// time agrees.
    fn place_following(
        &mut self,
        samples: u64,
        hole: u64,
        mut source: Following,
        now: Instant,
    ) -> Placement {
        let position = self.position;
        let start = source.due.saturating_add(hole);
        let live = source.edge.position(now);
        let tolerance = samples_in(TOLERANCE).min(samples / 2);
        let too_late = start.saturating_add(tolerance) < position;
        if too_late {
            let end = start.saturating_add(samples);
            let behind = live.cast_signed().saturating_sub(end.cast_signed());
            if !source.has_settled(behind, samples, now) {
                self.clock = Phase::Following(Following { due: end, ..source });
                return Placement::Discard;
            }
        }
        let end = position.saturating_add(samples);
        let lost = live.saturating_sub(end);
        let left_out = start.saturating_sub(position);
        let silence = match (self.fills, too_late) {
            (false, _) => 0,
            // The source does not say that it lost time, but it did.
            (true, true) => whole_frames(lost),
            (true, false) => whole_frames(left_out.min(lost)),
        };
        let limit = self.limit(live, samples, now);
        if source.pace == Pace::RealTime && end.saturating_add(silence) > limit {
            self.clock = Phase::Following(Following { due: position, ..source });
            return Placement::Discard;
        }
        self.follow(source.edge, source.pace);
        Placement::Append { silence }
    }

    /// Follows the source from the stream's end on, which [`Self::published`] moves.
    fn follow(&mut self, edge: LiveEdge, pace: Pace) {
        self.clock = Phase::Following(Following { edge, due: self.position, late: None, pace });
    }

    /// The furthest end of the stream that a source held to real time may reach.
    fn limit(&self, live: u64, samples: u64, now: Instant) -> u64 {
        let lead = samples_in(MAX_LEAD).max(samples);
        live.saturating_add(self.backlog(now)).saturating_add(lead)
    }

    /// The audio that was placed last has been published.
    pub(crate) fn published(&mut self, samples: u64, now: Instant) {
        self.position = self.position.saturating_add(samples);
        self.ends_in_silence = false;
        let backlog = self.backlog(now);
        let Phase::Following(source) = &mut self.clock else { return };
        source.due = self.position;
        let ahead = self.position.saturating_sub(source.edge.position(now));
        let of_backlog = backlog.min(ahead);
        if let Some(backlog) = &mut self.backlog {
            backlog.samples = backlog.samples.saturating_sub(of_backlog);
        }
        source.edge.advance(of_backlog);
        source.edge.follow(now, self.position, source.pace == Pace::RealTime);
    }

    /// Silence has been published.
    pub(crate) fn silent_for(&mut self, samples: u64) {
        self.position = self.position.saturating_add(samples);
        self.ends_in_silence = true;
    }

    /// When a page of `length` samples of silence is due in a gap.
    pub(crate) fn silence_due(&mut self, length: u64, now: Instant) -> SilenceDue {
        self.forgive_lost_time(now);
        let edge = match &self.clock {
            Phase::Joining(edge) | Phase::Following(Following { edge, .. }) if self.fills => edge,
            _ => return SilenceDue::Never,
        };
        let end = self.position.saturating_add(length);
        if edge.position(now) >= end {
            return SilenceDue::Now;
        }
        edge.reached_at(end).map_or(SilenceDue::Never, SilenceDue::At)
    }

    /// Limits how far the live edge gets ahead of the stream's end.
    ///
    /// A source may lose time again and again, each time less than a gap, and never say so. Filling
    /// all of that with silence once the source does pause would only put listeners behind.
    fn forgive_lost_time(&mut self, now: Instant) {
        // What was sent during a suspension may still arrive.
        if !self.fills || self.backlog(now) > 0 {
            return;
        }
        let target = self.position.saturating_add(samples_in(self.gap_threshold()));
        let most = target.saturating_add(samples_in(MAX_LOST));
        match &mut self.clock {
            Phase::Joining(edge) if edge.position(now) > most => {
                *edge = LiveEdge::new(now, target);
            }
            Phase::Following(source) if source.edge.position(now) > most => {
                source.edge = LiveEdge::new(now, target);
                source.pace = Pace::RealTime;
            }
            _ => {}
        }
    }

    /// The process was suspended for `time` until now.
    pub(crate) fn stood_still(&mut self, time: Duration, now: Instant) {
        let samples = self.backlog(now).saturating_add(samples_in(time));
        // A sender that was kept waiting looks for room again after as long as it has waited.
        let until = now.checked_add(BACKLOG_TIME.saturating_add(time));
        self.backlog = until.map(|until| Backlog { samples, until });
    }

    /// How much audio may be ahead of time because it was sent during a suspension, in samples.
    fn backlog(&self, now: Instant) -> u64 {
        self.backlog.filter(|backlog| now < backlog.until).map_or(0, |backlog| backlog.samples)
    }
}

impl Following {
    /// Whether a source that is late no longer gains on real time, and so is as live as it gets.
    fn has_settled(&mut self, behind: i64, samples: u64, now: Instant) -> bool {
        let gains =
            |late: Late| behind < late.least_behind.saturating_sub((samples / 4).cast_signed());
        match self.late {
            Some(late) if !gains(late) => now.saturating_duration_since(late.since) >= SETTLE_TIME,
            _ => {
                self.late = Some(Late { least_behind: behind, since: now });
                false
            }
        }
    }
}

/// As much of `samples` as whole packets of silence fill.
fn whole_frames(samples: u64) -> u64 {
    (samples / FRAME).saturating_mul(FRAME)
}
