//! The newest lines of the log, for the operator's page: who looks at it may have no access to the
//! journal.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::Level;

use super::MAX_LINE;
use super::record::Record;

/// How many lines are kept.
const MAX_LINES: usize = 100;
/// How many of them may be of one kind: a client that is refused again and again must not displace what
/// happened before.
const MAX_LINES_OF_KIND: usize = 25;

/// Upper limit of the memory of all lines, in bytes. The fields of a line are kept apart.
pub const RECENT_MEMORY: usize = MAX_LINES * 2 * MAX_LINE;

/// The lines of this process, the newest last.
static RECENT: RecentLines = RecentLines(Mutex::new(VecDeque::new()));

/// A line of the log.
#[derive(Clone, Debug)]
pub(crate) struct RecentLine {
    /// When it was logged.
    pub(crate) at: SystemTime,
    /// How important it is.
    pub(crate) level: Level,
    /// The value of the field `event`.
    pub(crate) event: String,
    /// What has happened, without the fields.
    pub(crate) message: String,
    /// The other fields by name, in their order.
    pub(crate) fields: Vec<(&'static str, String)>,
}

struct RecentLines(Mutex<VecDeque<RecentLine>>);

/// The lines that are kept, the newest first.
pub(crate) fn recent() -> Vec<RecentLine> {
    RECENT.lock().iter().rev().cloned().collect()
}

/// Keeps a line.
pub(super) fn keep(record: &Record) {
    RECENT.add(RecentLine {
        at: record.at,
        level: record.level(),
        event: record.value("event").unwrap_or_default(),
        message: record.message().unwrap_or_default(),
        fields: record.fields(),
    });
}

impl RecentLines {
    fn add(&self, line: RecentLine) {
        let mut lines = self.lock();
        let same = |other: &RecentLine| other.event == line.event;
        if lines.iter().filter(|other| same(other)).count() >= MAX_LINES_OF_KIND {
            let oldest = lines.iter().position(same);
            oldest.map(|at| lines.remove(at));
        } else if lines.len() >= MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RecentLine>> {
        // Nothing panics while it holds this lock, so it cannot be poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &str, number: usize) -> RecentLine {
        let (at, level) = (SystemTime::now(), Level::INFO);
        RecentLine { at, level, event: event.into(), message: number.to_string(), fields: vec![] }
    }

    #[test]
    fn lines_of_one_kind_do_not_displace_the_others() {
        let recent = RecentLines(Mutex::default());
        recent.add(line("source-ended", 0));
        for number in 0..1_000 {
            recent.add(line("refused", number));
        }
        let lines = recent.lock();
        assert_eq!(lines.len(), 1 + MAX_LINES_OF_KIND);
        assert_eq!(lines.front().unwrap().event, "source-ended");
        assert_eq!(lines.back().unwrap().message, "999");
    }

    #[test]
    fn the_oldest_line_makes_room() {
        let recent = RecentLines(Mutex::default());
        for number in 0..1_000 {
            recent.add(line(&(number % 50).to_string(), number));
        }
        let lines = recent.lock();
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(lines.front().unwrap().message, "900");
    }
}
