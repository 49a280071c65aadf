//! Where a stream has silence in place of audio that no source has sent.
//!
//! Recordings of a silent night and of an unplugged microphone sound the same. Whoever gets a part of
//! the stream later, as a clip or a picture, is told which of it is which.

use std::collections::VecDeque;
use std::ops::Range;

/// How many are remembered.
const MAX_SILENCES: usize = 64;
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
        if self.0.len() >= MAX_SILENCES {
            self.0.pop_front();
        }
        self.0.push_back(silence);
    }

    /// The parts of them that are within this part of the stream.
    pub(super) fn within(&self, part: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.0
            .iter()
            .map(|silence| silence.start.max(part.start)..silence.end.min(part.end))
            .filter(|silence| !silence.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_that_follow_each_other_are_one_and_old_ones_are_forgotten() {
        let mut silences = Silences::default();
        for silence in [100..200, 200..300, 300..300, 500..600] {
            silences.note(silence);
        }
        let within = |part| silences.within(&part).collect::<Vec<_>>();
        assert_eq!(within(0..1000), [100..300, 500..600]);
        assert_eq!(within(150..550), [150..300, 500..550]);
        assert_eq!(within(300..500), []);
        for n in 0..100 {
            silences.note(1000 + 10 * n..1005 + 10 * n);
        }
        assert_eq!(silences.within(&(0..10_000)).count(), MAX_SILENCES);
    }
}
