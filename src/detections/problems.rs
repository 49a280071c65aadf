//! Everything that is wrong with a request, in one text.

use std::fmt;

/// The most problems that are told.
const MAX_PROBLEMS: usize = 20;

/// Everything that is wrong with what was posted, in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    told: Vec<String>,
    count: usize,
    /// The number of the detection that is checked, if there are several.
    pub(super) number: Option<usize>,
}

impl Problems {
    /// One problem.
    pub(super) fn of(problem: &str) -> Self {
        let mut problems = Self::default();
        problems.add(problem);
        problems
    }

    /// Adds a problem of the detection that is checked.
    pub(super) fn add(&mut self, problem: &str) {
        self.count = self.count.saturating_add(1);
        if self.told.len() < MAX_PROBLEMS {
            let number = self.number.map(|number| format!("detection {number}: "));
            self.told.push(number.unwrap_or_default() + problem);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("; "))?;
        match self.count.saturating_sub(self.told.len()) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
