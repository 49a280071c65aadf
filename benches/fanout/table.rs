//! Statistics and output: medians, percentiles and tables.

use std::fmt;
use std::time::Duration;

use crate::contender::Contender;

/// The smallest value of the sorted `times` that the fraction `part` of them does not exceed.
pub(crate) fn percentile(times: &[Duration], part: f64) -> Duration {
    let at = (times.len() as f64 * part).ceil() as usize;
    times.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// The median; of an even number of values, the upper one of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median and the range of a figure over several rounds.
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.min, self.max)
    }
}

/// A contender's results, one per round.
pub(crate) struct Row<T> {
    /// The server.
    pub(crate) contender: Contender,
    /// The results, in the order of the rounds.
    pub(crate) rounds: Vec<T>,
}

impl<T> Row<T> {
    /// The median of a figure.
    pub(crate) fn median(&self, figure: impl Fn(&T) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    /// The sum of one figure over all rounds, divided by the sum of another.
    pub(crate) fn quotient(&self, of: impl Fn(&T) -> f64, by: impl Fn(&T) -> f64) -> f64 {
        self.rounds.iter().map(of).sum::<f64>() / self.rounds.iter().map(by).sum::<f64>()
    }

    /// The ratio of a figure to the other contender's figure of the same round.
    pub(crate) fn ratio_to(&self, other: &Self, figure: impl Fn(&T) -> f64) -> Spread {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios: Vec<_> = pairs.map(|(this, other)| figure(this) / figure(other)).collect();
        Spread {
            median: median(ratios.iter().copied()),
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The row of a contender, if it was measured.
pub(crate) fn row<T>(rows: &[Row<T>], contender: Contender) -> Option<&Row<T>> {
    rows.iter().find(|row| row.contender == contender)
}

/// A time in milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A time in microseconds.
pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Prints a table: the first column aligned to the left, the others to the right.
pub(crate) fn print<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let head = head.map(str::to_owned);
    let lines = || std::iter::once(&head).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    for line in lines() {
        print!("  {:<1$}", line[0], widths[0]);
        for (cell, width) in line.iter().zip(widths).skip(1) {
            print!("  {cell:>width$}");
        }
        println!();
    }
}
