//! The figures and targets of a run, and the table of all targets at its end.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contender::Contender;
use crate::table::{Row, print};

/// What a run has found.
#[derive(Default)]
pub(crate) struct Report {
    scenario: String,
    /// By scenario, server and what is measured.
    pub(crate) figures: BTreeMap<String, Figure>,
    targets: Vec<[String; 4]>,
}

/// A figure: the median over the rounds.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The figure itself.
    pub(crate) value: f64,
    /// The median of its ratios to the floor's figure in the same round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times_floor: Option<f64>,
    /// Most figures are costs: less is better.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) more_is_better: bool,
}

/// What a figure must be to meet its target.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
}

use Limit::{AtLeast, AtMost, Below};

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtMost(limit) => write!(f, "≤ {limit}"),
            AtLeast(limit) => write!(f, "≥ {limit}"),
            Below(limit) => write!(f, "< {limit}"),
        }
    }
}

impl Limit {
    /// By how much a figure misses the target.
    fn missed_by(self, figure: f64) -> Option<f64> {
        match self {
            AtMost(limit) => (figure > limit).then_some(figure - limit),
            AtLeast(limit) => (figure < limit).then_some(limit - figure),
            Below(limit) => (figure >= limit).then_some(figure - limit),
        }
    }
}

impl Report {
    /// What follows is of this scenario.
    pub(crate) fn begin(&mut self, scenario: &str) {
        scenario.clone_into(&mut self.scenario);
    }

    /// Records a figure of all contenders, with its ratio to the floor's if the floor is the first.
    pub(crate) fn record<T>(&mut self, rows: &[Row<T>], what: &str, figure: impl Fn(&T) -> f64) {
        let floor = rows.first().filter(|row| row.contender == Contender::Floor);
        for row in rows {
            let floor = floor.filter(|_| row.contender != Contender::Floor);
            let times_floor = floor.map(|floor| row.ratio_to(floor, &figure).median);
            self.keep(row.contender.name(), what, row.median(&figure), times_floor, false);
        }
    }

    /// Records one figure.
    pub(crate) fn figure(&mut self, server: &str, what: &str, value: f64) {
        self.keep(server, what, value, None, false);
    }

    /// Records one figure and its ratio to the floor's. More of it is better.
    pub(crate) fn rate(&mut self, server: &str, what: &str, value: f64, times_floor: f64) {
        self.keep(server, what, value, Some(times_floor), true);
    }

    fn keep(
        &mut self,
        server: &str,
        what: &str,
        value: f64,
        times_floor: Option<f64>,
        more_is_better: bool,
    ) {
        if value.is_finite() {
            let times_floor = times_floor.filter(|ratio| ratio.is_finite());
            let name = format!("{}: {server}: {what}", self.scenario);
            self.figures.insert(name, Figure { value, times_floor, more_is_better });
        }
    }

    /// Prints whether a figure meets its target. `None`: it was not measured.
    pub(crate) fn target(&mut self, target: &str, figure: Option<f64>, limit: Limit, unit: &str) {
        let figure = figure.filter(|figure| !figure.is_nan());
        let verdict = match figure.map(|figure| limit.missed_by(figure)) {
            None => "not measured".to_owned(),
            Some(None) => "met".to_owned(),
            Some(Some(by)) => format!("missed by {by:.2}{unit}"),
        };
        let figure = figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.2}{unit}"));
        println!("  target: {target} {limit}{unit}: {figure}: {verdict}");
        let name = format!("{}: {target}", self.scenario);
        self.targets.push([name, figure, format!("{limit}{unit}"), verdict]);
    }

    /// Notes that the scenario has no figures.
    pub(crate) fn failed(&mut self) {
        let dash = || "–".to_owned();
        self.targets.push([self.scenario.clone(), dash(), dash(), "not measured".to_owned()]);
    }

    /// Prints all targets in one table.
    pub(crate) fn print_targets(&self) {
        if self.targets.is_empty() {
            return;
        }
        let met = self.targets.iter().filter(|target| target[3] == "met").count();
        println!("\ntargets: {met} of {} met", self.targets.len());
        print(["target", "figure", "limit", "verdict"], &self.targets);
    }
}
