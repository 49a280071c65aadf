//! Figures for people: medians, columns, and how a target was met.

use std::fmt;
use std::time::Duration;

use crate::server::Contender;

/// A value that so large a part of the sorted `times` does not exceed.
pub(crate) fn percentile(times: &[Duration], part: f64) -> Duration {
    let at = (times.len() as f64 * part).ceil() as usize;
    times.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// The one in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A figure over several rounds.
pub(crate) struct Spread {
    /// The one that counts.
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

/// A contender's results, one per round.
pub(crate) struct Row<T> {
    /// Whose.
    pub(crate) contender: Contender,
    /// In the order of the rounds.
    pub(crate) rounds: Vec<T>,
}

impl<T> Row<T> {
    /// Median of a figure.
    pub(crate) fn median(&self, figure: impl Fn(&T) -> f64) -> f64 {
        median(self.rounds.iter().map(figure))
    }

    /// What a figure is beside the other's of the same round.
    pub(crate) fn beside(&self, other: &Self, figure: impl Fn(&T) -> f64) -> Spread {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios: Vec<_> = pairs.map(|(own, other)| figure(own) / figure(other)).collect();
        Spread {
            median: median(ratios.iter().copied()),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// The row of a contender, if it took part.
pub(crate) fn row<T>(rows: &[Row<T>], contender: Contender) -> Option<&Row<T>> {
    rows.iter().find(|row| row.contender == contender)
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Microseconds.
pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Prints rows under their heads: the first column to the left, numbers to the right.
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

/// Prints a target and how it was met: a figure that is to be at most `limit`.
pub(crate) fn judge(target: &str, figure: f64, limit: f64, unit: &str) {
    let verdict = if figure <= limit {
        "met".to_owned()
    } else {
        format!("missed by {:.2}{unit}", figure - limit)
    };
    println!("  target: {target}: {figure:.2}{unit}: {verdict}");
}
