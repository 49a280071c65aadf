//! Figures of a run in a file, and a run beside the figures of an earlier one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::report::Figure;
use crate::table::print;
use crate::{Outcome, contender, machine};

/// From this ratio on, a figure counts as worse.
const WORSE: f64 = 1.10;

/// The figures of a run, and where they come from.
#[derive(Serialize, Deserialize)]
pub(crate) struct Saved {
    machine: String,
    kernel: String,
    /// When the run ended, in UTC.
    date: String,
    /// The revision of the sources, with `-dirty` if they were changed.
    revision: String,
    /// The binary of silvacast.
    binary: PathBuf,
    rounds: usize,
    figures: BTreeMap<String, Figure>,
}

impl Saved {
    /// Reads a file that [`Self::write`] wrote under this name.
    pub(crate) fn read(name: &str) -> Outcome<Self> {
        let path = path_of(name)?;
        let text = fs::read_to_string(&path).map_err(|error| {
            format!("{} cannot be read: {error}; --save {name} writes it", path.display())
        })?;
        let saved = serde_json::from_str(&text);
        Ok(saved.map_err(|error| format!("{} is not a saved run: {error}", path.display()))?)
    }

    /// The figures of this run.
    pub(crate) fn of_this_run(rounds: usize, figures: BTreeMap<String, Figure>) -> Outcome<Self> {
        let git = Command::new("git")
            .args(["describe", "--always", "--dirty", "--exclude=*"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output();
        let revision = git.map_or_else(
            |_| "unknown".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        );
        Ok(Self {
            machine: machine::processor(),
            kernel: machine::kernel(),
            date: OffsetDateTime::now_utc().replace_nanosecond(0)?.format(&Rfc3339)?,
            revision,
            binary: contender::binary().to_owned(),
            rounds,
            figures,
        })
    }

    /// Writes the figures under this name.
    pub(crate) fn write(&self, name: &str) -> Outcome<()> {
        let path = path_of(name)?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&path, serde_json::to_string_pretty(self)?)?;
        println!("\nsaved: {}", path.display());
        Ok(())
    }

    /// Prints the figures of this run beside these.
    pub(crate) fn print_beside(&self, name: &str, now: &Self) {
        println!(
            "\nagainst {name}: {}, revision {}, {} rounds, {}",
            self.date,
            self.revision,
            self.rounds,
            self.binary.display()
        );
        if (&self.machine, &self.kernel) != (&now.machine, &now.kernel) {
            println!(
                "  {name} is of another machine or kernel ({}, Linux {}): only ratios to the floor \
                 can be compared",
                self.machine, self.kernel
            );
        }
        let lines: Vec<_> = now
            .figures
            .iter()
            .map(|(figure, now)| {
                self.figures
                    .get(figure)
                    .map_or_else(|| new(figure, now), |saved| compare(figure, saved, now))
            })
            .collect();
        let worse = lines.iter().filter(|line| line[5] == "worse").count();
        print(["figure", "saved", "now", "now / saved", "ratio of", ""], &lines);
        println!(
            "  {worse} of silvacast's figures are worse by more than {:.0} %",
            (WORSE - 1.0) * 100.0
        );
    }
}

/// The line of a figure that was not saved.
fn new(name: &str, now: &Figure) -> [String; 6] {
    let dash = || "–".to_owned();
    [name.to_owned(), dash(), format!("{:.3}", now.value), dash(), String::new(), String::new()]
}

fn compare(name: &str, saved: &Figure, now: &Figure) -> [String; 6] {
    let (before, after, of) = match (saved.times_floor, now.times_floor) {
        (Some(before), Some(after)) => (before, after, "× floor"),
        _ => (saved.value, now.value, "the figure"),
    };
    // A figure that stays 0, such as lost packets, has not changed.
    let ratio = if before == 0.0 && after == 0.0 { 1.0 } else { after / before };
    let is_worse = if now.more_is_better { ratio < 1.0 / WORSE } else { ratio > WORSE };
    // The others are what silvacast is compared with.
    let is_ours = name.split(": ").nth(1).is_some_and(|server| server.starts_with("silvacast"));
    [
        name.to_owned(),
        format!("{:.3}", saved.value),
        format!("{:.3}", now.value),
        format!("{ratio:.2}"),
        of.to_owned(),
        if is_worse && is_ours { "worse" } else { "" }.to_owned(),
    ]
}

/// The file of a saved run: `target/bench/NAME.json`.
pub(crate) fn path_of(name: &str) -> Outcome<PathBuf> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(
            format!("{name} cannot be the name of a saved run; it takes A-Z a-z 0-9 - _").into()
        );
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target directory")?;
    Ok(target.join("bench").join(name).with_extension("json"))
}
