//! How much is measured, and in which order.

use std::time::Duration;

use crate::Outcome;
use crate::contender::Contender;
use crate::table::Row;

/// The length of a measurement window, and the number of rounds.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// The length of a window.
    pub(crate) window: Duration,
    /// Each contender is measured once per round.
    pub(crate) rounds: usize,
}

impl Effort {
    /// Without options.
    pub(crate) const FULL: Self = Self { window: Duration::from_secs(3), rounds: 7 };
    /// With `--quick`.
    pub(crate) const QUICK: Self = Self { window: Duration::from_secs(2), rounds: 1 };

    /// The same with at most this many rounds.
    pub(crate) fn at_most(self, rounds: usize) -> Self {
        Self { rounds: self.rounds.min(rounds), ..self }
    }
}

/// Measures all contenders once per round. Each round begins with another contender, so that none
/// always follows the same one.
pub(crate) fn interleaved<T>(
    contenders: &[Contender],
    effort: Effort,
    mut measure: impl FnMut(Contender) -> Outcome<T>,
) -> Outcome<Vec<Row<T>>> {
    let contenders = Contender::installed(contenders).into_iter();
    let mut rows: Vec<_> =
        contenders.map(|contender| Row { contender, rounds: Vec::new() }).collect();
    let count = rows.len();
    for round in 0..effort.rounds {
        for turn in 0..count {
            let row = &mut rows[(round + turn) % count];
            let name = row.contender.name();
            row.rounds.push(measure(row.contender).map_err(|error| format!("{name}: {error}"))?);
        }
    }
    Ok(rows)
}
