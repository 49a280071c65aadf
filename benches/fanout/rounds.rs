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

    /// Whether this is the effort of `--quick`.
    pub(crate) fn is_quick(self) -> bool {
        self.rounds <= Self::QUICK.rounds
    }

    /// The same with at most this many rounds.
    pub(crate) fn at_most(self, rounds: usize) -> Self {
        Self { rounds: self.rounds.min(rounds), ..self }
    }
}

/// Measures all contenders once per round. Each round begins with another contender, so that none
/// always follows the same one. Icecast has no row if it fails, such as with more listeners than it
/// can serve; the failure of another contender is an error.
pub(crate) fn interleaved<T>(
    contenders: &[Contender],
    effort: Effort,
    mut measure: impl FnMut(Contender) -> Outcome<T>,
) -> Outcome<Vec<Row<T>>> {
    let contenders = Contender::installed(contenders).into_iter();
    let mut rows: Vec<_> =
        contenders.map(|contender| Row { contender, rounds: Vec::new() }).collect();
    for round in 0..effort.rounds {
        let count = rows.len();
        let mut failed = None;
        for turn in 0..count {
            let row = &mut rows[(round + turn) % count];
            match measure(row.contender) {
                Ok(figures) => row.rounds.push(figures),
                Err(error) if row.contender == Contender::Icecast => failed = Some(error),
                Err(error) => return Err(format!("{}: {error}", row.contender.name()).into()),
            }
        }
        if let Some(error) = failed {
            println!("\nicecast: no figures: {error}");
            rows.retain(|row| row.contender != Contender::Icecast);
        }
    }
    Ok(rows)
}
