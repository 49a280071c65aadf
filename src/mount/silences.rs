//! Where a stream has silence in place of audio that no source has sent.
//!
//! In the audio, silence that the server inserted looks like silence that a source sent. So the server
//! keeps the ranges that it inserted, and clips list them.

use std::collections::VecDeque;
use std::ops::Range;

/// How many are remembered.
const MAX_SILENCES: usize = 64;
/// Shorter ones do not count, in samples: a tenth of a second. There is a packet of silence wherever one
/// source takes over from another.
const SHORTEST: u64 = 4_800;
/// Maximum memory of those of one stream, in bytes.
pub(super) const SILENCES_MEMORY: usize = MAX_SILENCES * size_of::<Range<u64>>();

/// The newest silences of one stream, between granule positions, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Silences(VecDeque<Range<u64>>);

impl Silences {
    /// Notes that silence was published between these granule positions.
    pub(super) fn note(&mut self, silence: Range<u64>) {
        if silence.is_empty() {
            return;
        }
        if let Some(last) = self.0.back_mut().filter(|last| last.end == silence.start) {
            last.end = silence.end;
            return;
        }
        // It has ended.
        if self.0.back().is_some_and(is_short) {
            self.0.pop_back();
        }
        if self.0.len() >= MAX_SILENCES {
            self.0.pop_front();
        }
        self.0.push_back(silence);
    }

    /// The parts of them that are within this part of the stream.
    pub(super) fn within(&self, part: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.0
            .iter()
            .filter(|silence| !is_short(silence))
            .map(|silence| silence.start.max(part.start)..silence.end.min(part.end))
            .filter(|silence| !silence.is_empty())
    }
}

fn is_short(silence: &Range<u64>) -> bool {
    silence.end.saturating_sub(silence.start) < SHORTEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_that_follow_each_other_are_one_and_old_and_short_ones_are_forgotten() {
        const SECOND: u64 = 48_000;
        let mut silences = Silences::default();
        for silence in [100..200, 200..300, 300..300].map(|span| span.start * 960..span.end * 960) {
            silences.note(silence);
        }
        let within = |silences: &Silences, part| -> Vec<_> {
            silences.within(&part).map(|part| (part.start / SECOND, part.end / SECOND)).collect()
        };
        assert_eq!(within(&silences, 0..10 * SECOND), [(2, 6)]);
        assert_eq!(within(&silences, 3 * SECOND..5 * SECOND), [(3, 5)]);
        assert_eq!(within(&silences, 6 * SECOND..10 * SECOND), []);
        // A packet each time that another source takes over.
        for n in 10..200 {
            silences.note(n * SECOND..n * SECOND + 960);
        }
        assert_eq!(within(&silences, 0..300 * SECOND), [(2, 6)]);
        for n in 300..400 {
            silences.note(n * SECOND..n * SECOND + SHORTEST);
        }
        assert_eq!(silences.within(&(0..500 * SECOND)).count(), MAX_SILENCES);
    }
}
