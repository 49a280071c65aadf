//! The command line.

use crate::contender;
use crate::rounds::Effort;
use crate::{Outcome, saved, steady};

/// What to measure, and what to do with the figures.
pub(crate) struct Options {
    /// How much is measured.
    pub(crate) effort: Effort,
    /// The scenarios, in the order in which they are measured.
    pub(crate) scenarios: Vec<&'static str>,
    /// The name under which the figures are saved.
    pub(crate) save: Option<String>,
    /// The name of the saved figures with which these are compared.
    pub(crate) against: Option<String>,
}

/// The scenarios that are not steady.
const OTHERS: [&str; 12] = [
    "join",
    "stalled",
    "source",
    "workers",
    "syscalls",
    "memory",
    "idle",
    "hls-cache",
    "hls-direct",
    "tree",
    "webrtc",
    "webrtc-storm",
];

impl Options {
    /// Reads the arguments.
    pub(crate) fn read(arguments: &[String]) -> Outcome<Self> {
        let known = || steady::ALL.iter().map(|steady| steady.name).chain(OTHERS);
        let (mut effort, mut scenarios) = (Effort::FULL, Vec::new());
        let (mut save, mut against) = (None, None);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().cloned().ok_or_else(|| format!("{argument} takes a value"));
            match argument.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--quick" => effort = Effort::QUICK,
                "--binary" => contender::set_binary(&value()?)?,
                "--save" => {
                    let name = value()?;
                    // Better an error now than after all measurements.
                    saved::path_of(&name)?;
                    save = Some(name);
                }
                "--against" => against = Some(value()?),
                name => scenarios.push(known().find(|known| *known == name).ok_or_else(|| {
                    format!(
                        "unknown scenario or option {name}; it takes {}, and the options --quick, \
                         --binary PATH, --save NAME and --against NAME",
                        known().collect::<Vec<_>>().join(", ")
                    )
                })?),
            }
        }
        if scenarios.is_empty() {
            scenarios = known().collect();
        }
        Ok(Self { effort, scenarios, save, against })
    }
}
