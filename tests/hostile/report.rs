//! What was promised, and what was seen.

use std::fmt::Display;

#[derive(Default)]
pub(crate) struct Report {
    attack: &'static str,
    rows: Vec<Row>,
}

struct Row {
    attack: &'static str,
    what: String,
    promised: String,
    seen: String,
    holds: bool,
}

#[allow(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
impl Report {
    pub(crate) fn of(attack: &'static str) -> Self {
        Self { attack, rows: Vec::new() }
    }

    /// A value that must be `most` at the most.
    pub(crate) fn at_most<T: PartialOrd + Display>(&mut self, what: &str, most: T, seen: T) {
        let holds = seen <= most;
        self.row(what, format!("at most {most}"), seen.to_string(), holds);
    }

    /// A value that must be `least` at least.
    pub(crate) fn at_least<T: PartialOrd + Display>(&mut self, what: &str, least: T, seen: T) {
        let holds = seen >= least;
        self.row(what, format!("at least {least}"), seen.to_string(), holds);
    }

    /// A value that must be exactly `promised`.
    pub(crate) fn equal<T: PartialEq + Display>(&mut self, what: &str, promised: T, seen: T) {
        let holds = seen == promised;
        self.row(what, promised.to_string(), seen.to_string(), holds);
    }

    /// A value without a promise.
    pub(crate) fn measured(&mut self, what: &str, seen: impl Display) {
        self.row(what, "measured".into(), seen.to_string(), true);
    }

    /// A promise that is broken without a value, such as that the attack ends.
    pub(crate) fn broken(&mut self, what: &str) {
        self.row(what, "yes".into(), "no".into(), false);
    }

    fn row(&mut self, what: &str, promised: String, seen: String, holds: bool) {
        self.rows.push(Row { attack: self.attack, what: what.into(), promised, seen, holds });
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    pub(crate) fn holds(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.holds)
    }

    /// A table in Markdown.
    pub(crate) fn print(&self) {
        println!("| attack | what | promised | seen | |\n|---|---|---|---|---|");
        for row in &self.rows {
            let verdict = if row.holds { "" } else { "**broken**" };
            println!(
                "| {} | {} | {} | {} | {verdict} |",
                row.attack, row.what, row.promised, row.seen
            );
        }
    }
}
