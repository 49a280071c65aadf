//! Audio time follows real time: decides what becomes of audio that comes late, early, or not at all.
//!
//! A listener who plays what it gets stays as far behind live as the stream makes it. So whatever
//! took no time to arrive must not lengthen the stream, and whatever was lost must not shorten
//! it: silence takes the place of what does not come, and what comes after all, is dropped.
//!
//! Time is the server's running time: while the server itself stood still, no time passed for its
//! listeners. What its sources sent meanwhile is ahead of that time, and is taken all the same.

use std::time::{Duration, Instant};

use crate::live_edge::{LiveEdge, duration_of, samples_in};
use crate::silence::FRAME;

/// How far ahead of live a source may get that lost time before: jitter, and no backlog.
const SLACK: Duration = Duration::from_millis(200);
/// How late audio may be, or half of it where that is less, before silence has taken its place.
const TOLERANCE: Duration = Duration::from_millis(100);
/// A source that has not caught up for so long is not going to: this is its live.
const SETTLED: Duration = Duration::from_millis(200);
/// Live is no further ahead of the stream's end than a gap takes to show, and this.
const AHEAD: Duration = Duration::from_secs(1);
/// How long after a standstill of the server what came meanwhile may still be read.
const BACKLOG: Duration = Duration::from_secs(10);

/// Where a piece of audio goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// To the end of the stream, after so many samples of silence.
    Append {
        /// A whole number of silent packets.
        silence: u64,
    },
    /// Nowhere: silence has taken its place, or it would push listeners away from live.
    Discard,
}

/// The stream's time, in samples.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// End of what has been published.
    position: u64,
    /// Where the source's next sample belongs; unknown when another source begins.
    due: Option<u64>,
    /// `None` until the first audio.
    edge: Option<LiveEdge>,
    /// The source has lost time once, and may not make up for it.
    bound: bool,
    late: Option<Late>,
    backlog: Option<Backlog>,
    /// What was published last is silence.
    silent: bool,
    /// Time that is lost is filled with silence.
    fills: bool,
    gap_after: Duration,
    /// What the source's pages last lately.
    page: u64,
    last_page: u64,
}

/// Audio that sources sent while the server stood still.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    /// What may still come of it, in samples.
    samples: u64,
    /// When it has been read, or was never sent.
    over: Instant,
}

/// Audio is coming for which it is too late.
#[derive(Clone, Copy, Debug)]
struct Late {
    least: i64,
    since: Instant,
}

impl Timeline {
    /// A stream without audio yet. If it does not fill gaps, time stands still in them.
    pub(crate) fn new(fills: bool, gap_after: Duration) -> Self {
        Self {
            position: 0,
            due: None,
            edge: None,
            bound: false,
            late: None,
            backlog: None,
            silent: false,
            fills,
            gap_after,
            page: 0,
            last_page: 0,
        }
    }

    /// End of what has been published, in samples.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// What the source's pages last, in samples; 0 before the first.
    pub(crate) fn page(&self) -> u64 {
        self.page
    }

    /// For how long nothing may come before it is a gap.
    pub(crate) fn gap_threshold(&self) -> Duration {
        self.gap_after.max(duration_of(self.page).saturating_mul(2))
    }

    /// Another source begins, or the same one anew: where its audio belongs will be seen.
    pub(crate) fn join(&mut self) {
        self.due = None;
        self.late = None;
        self.bound = self.edge.is_some();
    }

    /// The source, or time, came back after a gap.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.bound = true;
        if let Some(edge) = &mut self.edge {
            edge.forget(now);
            if !self.fills {
                self.due = None;
            }
        }
    }

    /// Finds the place of the next `samples` of the source, before which it left out `hole`.
    pub(crate) fn place(&mut self, samples: u64, hole: u64, now: Instant) -> Placement {
        // The end of a stream is often a short page, and the rest of a split one too.
        (self.page, self.last_page) = (samples.max(self.last_page), samples);
        self.settle(now);
        let position = self.position;
        // A decoder that goes from one sound straight to another colours the second with the first, and
        // louder than either. A moment of silence lets it forget.
        let joint = self.due.is_none() && self.edge.is_some();
        let pause = if joint && self.fills && !self.silent { FRAME } else { 0 };
        let after = position.saturating_add(samples);
        let mut edge = self.edge.unwrap_or_else(|| LiveEdge::new(now, after));
        if self.due.is_none() && !self.fills {
            edge = LiveEdge::new(now, after);
        }
        self.edge = Some(edge);
        let live = edge.position(now);
        let lost = live.saturating_sub(after);

        let start = match self.due {
            Some(due) => due.saturating_add(hole),
            None => position.saturating_add(lost),
        };
        let tolerance = samples_in(TOLERANCE).min(samples / 2);
        let too_late = start.saturating_add(tolerance) < position;
        let end = start.saturating_add(samples);
        let behind = live.cast_signed().saturating_sub(end.cast_signed());
        if too_late && !self.is_settled(behind, samples, now) {
            self.due = Some(end);
            return Placement::Discard;
        }
        let wanted = if too_late { lost } else { start.saturating_sub(position) };
        let whole = wanted.min(lost) / FRAME;
        let filled = if self.fills { whole.saturating_mul(FRAME) } else { 0 };
        let silence = filled.max(pause);
        let end = after.saturating_add(silence);
        let backlog = self.backlog(now);
        let most = [live, backlog, samples_in(SLACK).max(samples), pause];
        if self.bound && end > most.into_iter().fold(0, u64::saturating_add) {
            self.due = self.due.and(Some(position));
            return Placement::Discard;
        }
        self.late = None;
        Placement::Append { silence }
    }

    /// Whether a source that is late is as live as it gets: it no longer gains on real time.
    fn is_settled(&mut self, behind: i64, samples: u64, now: Instant) -> bool {
        match &mut self.late {
            Some(late) if behind < late.least.saturating_sub((samples / 4).cast_signed()) => {
                *late = Late { least: behind, since: now };
                false
            }
            Some(late) => now.saturating_duration_since(late.since) >= SETTLED,
            None => {
                self.late = Some(Late { least: behind, since: now });
                false
            }
        }
    }

    /// The source's audio has been published.
    pub(crate) fn published(&mut self, samples: u64, now: Instant) {
        self.position = self.position.saturating_add(samples);
        self.silent = false;
        self.due = Some(self.position);
        let ahead = self.edge.map_or(0, |edge| self.position.saturating_sub(edge.position(now)));
        let of_backlog = self.backlog(now).min(ahead);
        if let Some(backlog) = &mut self.backlog {
            backlog.samples = backlog.samples.saturating_sub(of_backlog);
        }
        if let Some(edge) = &mut self.edge {
            edge.advance(of_backlog);
            edge.follow(now, self.position, self.bound);
        }
    }

    /// Silence has been published.
    pub(crate) fn silent_for(&mut self, samples: u64) {
        self.position = self.position.saturating_add(samples);
        self.silent = true;
    }

    /// Whether `length` samples of silence are due in a gap, and else when they will be; `None` if
    /// silence never is.
    pub(crate) fn silence_due(&mut self, length: u64, now: Instant) -> Option<Result<(), Instant>> {
        self.settle(now);
        let edge = self.edge.as_ref().filter(|_| self.fills)?;
        let end = self.position.saturating_add(length);
        if edge.position(now) >= end { Some(Ok(())) } else { edge.reaches(end).map(Err) }
    }

    /// A source may lose time again and again, each time too little to be a gap, and never say so. Silence for
    /// all of it, once it does pause, would only put listeners behind: it is as live as what it sends.
    fn settle(&mut self, now: Instant) {
        let (backlog, most) =
            (self.backlog(now), self.position.saturating_add(samples_in(self.gap_threshold())));
        if let Some(edge) = &mut self.edge
            && self.fills
            // What was sent while the server stood still may yet come.
            && backlog == 0
            && edge.position(now) > most.saturating_add(samples_in(AHEAD))
        {
            *edge = LiveEdge::new(now, most);
            self.bound = true;
        }
    }

    /// The server was stopped for this long until now.
    pub(crate) fn stood_still(&mut self, time: Duration, now: Instant) {
        let samples = self.backlog(now).saturating_add(samples_in(time));
        // A sender that was kept waiting looks for room again after as long as it has waited.
        let over = now.checked_add(BACKLOG.saturating_add(time));
        self.backlog = over.map(|over| Backlog { samples, over });
    }

    /// How much audio may be ahead of time, as it came while the server stood still.
    fn backlog(&self, now: Instant) -> u64 {
        self.backlog.filter(|backlog| now < backlog.over).map_or(0, |backlog| backlog.samples)
    }
}
