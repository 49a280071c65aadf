//! Audio time follows real time: decides what becomes of audio that comes late, early, or not at all.
//!
//! A listener who plays what it gets stays as far behind live as the stream makes it. So whatever
//! took no time to arrive must not lengthen the stream, and whatever was lost must not shorten
//! it: silence takes the place of what does not come, and what comes after all, is dropped.

use std::time::{Duration, Instant};

use super::edge::{Edge, duration_of, samples_in};
use super::silence::FRAME;

/// How far ahead of live a source may get that lost time before: jitter, and no backlog.
const SLACK: Duration = Duration::from_millis(200);
/// A source that has not caught up for so long is not going to: this is its live.
const SETTLED: Duration = Duration::from_millis(200);
/// Silence that was due for so long shows that the server itself stood still.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// Where a piece of audio goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To the end of the stream, after so many samples of silence.
    Next {
        /// A whole number of silent packets.
        silence: u64,
    },
    /// Nowhere: silence has taken its place, or it would push listeners away from live.
    Nowhere,
}

/// The stream's time, in samples.
#[derive(Debug)]
pub(super) struct Timeline {
    /// End of what has been published.
    position: u64,
    /// Where the source's next sample belongs; unknown when another source begins.
    due: Option<u64>,
    /// `None` until the first audio.
    edge: Option<Edge>,
    /// The source has lost time once, and may not make up for it.
    bound: bool,
    late: Option<Late>,
    /// What was published last is silence.
    silent: bool,
    /// Time that is lost is filled with silence.
    fills: bool,
    gap_after: Duration,
    /// What the source's pages last lately.
    page: u64,
    last_page: u64,
}

/// Audio is coming for which it is too late.
#[derive(Clone, Copy, Debug)]
struct Late {
    least: i64,
    since: Instant,
}

impl Timeline {
    /// A stream without audio yet. If it does not fill gaps, time stands still in them.
    pub(super) fn new(fills: bool, gap_after: Duration) -> Self {
        Self {
            position: 0,
            due: None,
            edge: None,
            bound: false,
            late: None,
            silent: false,
            fills,
            gap_after,
            page: 0,
            last_page: 0,
        }
    }

    /// End of what has been published, in samples.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What the source's pages last, in samples; 0 before the first.
    pub(super) fn page(&self) -> u64 {
        self.page
    }

    /// For how long nothing may come before it is a gap.
    pub(super) fn patience(&self) -> Duration {
        self.gap_after.max(2 * duration_of(self.page))
    }

    /// Another source begins, or the same one anew: where its audio belongs will be seen.
    pub(super) fn join(&mut self) {
        self.due = None;
        self.late = None;
        self.bound = self.edge.is_some();
    }

    /// The source, or time, came back after a gap.
    pub(super) fn resume(&mut self, now: Instant) {
        self.bound = true;
        if let Some(edge) = &mut self.edge {
            edge.forget(now);
            if !self.fills {
                self.due = None;
            }
        }
    }

    /// Finds the place of the next `samples` of the source, before which it left out `hole`.
    pub(super) fn place(&mut self, samples: u64, hole: u64, now: Instant) -> Place {
        // The end of a stream is often a short page, and the rest of a split one too.
        (self.page, self.last_page) = (samples.max(self.last_page), samples);
        self.forgive_own_delay(now);
        let position = self.position;
        // A decoder that goes from one sound straight to another colours the second with the first, and
        // louder than either. A moment of silence lets it forget.
        let joint = self.due.is_none() && self.edge.is_some();
        let pause = if joint && self.fills && !self.silent { FRAME } else { 0 };
        let mut edge = self.edge.unwrap_or_else(|| Edge::new(now, position + samples));
        if self.due.is_none() && !self.fills {
            edge = Edge::new(now, position + samples);
        }
        self.edge = Some(edge);
        let live = edge.position(now);
        let lost = live.saturating_sub(position + samples);

        let start = match self.due {
            Some(due) => due.saturating_add(hole),
            None => position.saturating_add(lost),
        };
        let tolerance = samples_in(SLACK / 2).min(samples / 2);
        let too_late = start.saturating_add(tolerance) < position;
        if too_late
            && !self.is_settled(live.cast_signed() - (start + samples).cast_signed(), samples, now)
        {
            self.due = Some(start + samples);
            return Place::Nowhere;
        }
        let wanted = if too_late { lost } else { start.saturating_sub(position) };
        let filled = if self.fills { wanted.min(lost) / FRAME * FRAME } else { 0 };
        let silence = filled.max(pause);
        let end = position + silence + samples;
        if self.bound && end > live + samples_in(SLACK).max(samples) + pause {
            self.due = self.due.and(Some(position));
            return Place::Nowhere;
        }
        self.late = None;
        Place::Next { silence }
    }

    /// Whether a source that is late is as live as it gets: it no longer gains on real time.
    fn is_settled(&mut self, behind: i64, samples: u64, now: Instant) -> bool {
        match &mut self.late {
            Some(late) if behind < late.least - (samples / 4).cast_signed() => {
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
    pub(super) fn published(&mut self, samples: u64, now: Instant) {
        self.position += samples;
        self.silent = false;
        self.due = Some(self.position);
        if let Some(edge) = &mut self.edge {
            edge.follow(now, self.position, self.bound);
        }
    }

    /// Silence has been published.
    pub(super) fn silent_for(&mut self, samples: u64) {
        self.position += samples;
        self.silent = true;
    }

    /// Whether `length` samples of silence are due in a gap, and else when they will be; `None` if
    /// silence never is.
    pub(super) fn silence_due(&mut self, length: u64, now: Instant) -> Option<Result<(), Instant>> {
        self.forgive_own_delay(now);
        let edge = self.edge.as_ref().filter(|_| self.fills)?;
        let end = self.position + length;
        Some(if edge.position(now) >= end { Ok(()) } else { Err(edge.reaches(end)) })
    }

    /// While the server itself stood still (stopped, or the machine asleep), listeners got nothing
    /// and played nothing. Silence for that time would only put them behind.
    fn forgive_own_delay(&mut self, now: Instant) {
        let most = self.position + samples_in(self.patience());
        if let Some(edge) = &mut self.edge
            && self.fills
            && edge.position(now) > most + samples_in(OVERSLEPT)
        {
            *edge = Edge::new(now, most);
            self.bound = true;
        }
    }
}
