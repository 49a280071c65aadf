//! Parses durations and sizes with units: `200ms`, `10s`, `256KiB`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::Duration;

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// It does not begin with a digit.
    #[error("it must begin with a whole number; {0}")]
    NoNumber(&'static str),
    /// Only whole numbers are read.
    #[error("it must be a whole number of a smaller unit, such as {example}; {units}")]
    Fraction {
        /// A text that is read.
        example: &'static str,
        /// The units that are known.
        units: &'static str,
    },
    /// A number alone.
    #[error("the unit is missing; {0}")]
    NoUnit(&'static str),
    /// The number is followed by something else.
    #[error("unknown unit `{unit}`; {units}")]
    UnknownUnit {
        /// What follows the number.
        unit: String,
        /// The units that are known.
        units: &'static str,
    },
    /// Larger than any number here.
    #[error("the number is too large")]
    TooLarge,
}

/// Units with the names under which they are read.
struct Units {
    known: &'static [(&'static [&'static str], u64)],
    /// The same in words.
    words: &'static str,
    /// A value for which the fraction of a unit would be tempting.
    example: &'static str,
}

/// The units of durations.
pub(crate) const DURATION_UNITS: &str = "units: ms, s or sec, m or min (minutes), h, d";
/// The units of sizes.
pub(crate) const SIZE_UNITS: &str =
    "units: B, KiB, MiB, GiB (steps of 1024), KB, MB, GB (steps of 1000)";

const DURATIONS: Units = Units {
    known: &[
        (&["ms"], 1),
        (&["s", "sec"], 1_000),
        (&["m", "min"], 60_000),
        (&["h"], 3_600_000),
        (&["d"], 86_400_000),
    ],
    words: DURATION_UNITS,
    example: "1500ms",
};

/// `K` and `M` alone are not known, because they mean 1000 to some programs and 1024 to others.
const SIZES: Units = Units {
    known: &[
        (&["B"], 1),
        (&["KiB"], 1 << 10),
        (&["MiB"], 1 << 20),
        (&["GiB"], 1 << 30),
        (&["KB", "kB"], 1_000),
        (&["MB"], 1_000_000),
        (&["GB"], 1_000_000_000),
    ],
    words: SIZE_UNITS,
    example: "512KiB",
};

impl Units {
    /// The number in the smallest unit.
    fn parse(&self, text: &str) -> Result<u64, UnitError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, rest) = text.split_at(digits);
        if number.is_empty() {
            return Err(UnitError::NoNumber(self.words));
        }
        let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
        if rest.starts_with(['.', ',']) {
            return Err(UnitError::Fraction { example: self.example, units: self.words });
        }
        let unit = rest.trim();
        let known = self.known.iter().find(|(names, _)| names.contains(&unit));
        match known {
            Some((_, size)) => number.checked_mul(*size).ok_or(UnitError::TooLarge),
            None if unit.is_empty() => Err(UnitError::NoUnit(self.words)),
            None => Err(UnitError::UnknownUnit { unit: unit.to_owned(), units: self.words }),
        }
    }

    /// The units as alternatives of a regular expression.
    fn pattern(&self) -> String {
        let names: Vec<_> = self.known.iter().flat_map(|(names, _)| *names).copied().collect();
        format!("[0-9]+ *({})", names.join("|"))
    }
}

/// Parses a duration: a whole number and a unit. `0` needs no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    match DURATIONS.parse(text) {
        Err(UnitError::NoUnit(_)) if text.bytes().all(|byte| byte == b'0') => Ok(Duration::ZERO),
        milliseconds => milliseconds.map(Duration::from_millis),
    }
}

/// Parses a size and returns bytes: a whole number and a unit.
pub(crate) fn size(text: &str) -> Result<usize, UnitError> {
    SIZES.parse(text)?.try_into().map_err(|_| UnitError::TooLarge)
}

/// A regular expression for the durations that [`duration`] reads.
pub(crate) fn duration_pattern() -> String {
    format!("^(0+|{})$", DURATIONS.pattern())
}

/// A regular expression for the sizes that [`size`] reads.
pub(crate) fn size_pattern() -> String {
    format!("^{}$", SIZES.pattern())
}

/// A duration in the largest unit that has it as a whole number; what [`duration`] reads.
pub(crate) fn duration_text(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    // Zero would be whole in hours.
    if milliseconds == 0 { "0s".to_owned() } else { in_largest_unit(milliseconds, &units) }
}

/// A size in the largest unit that has it as a whole number; what [`size`] reads.
pub(crate) fn size_text(bytes: usize) -> String {
    in_largest_unit(bytes as u128, &[(1024 * 1024, "MiB"), (1024, "KiB"), (1, "B")])
}

fn in_largest_unit(number: u128, units: &[(u128, &str)]) -> String {
    let whole = units.iter().find_map(|(size, unit)| {
        let count = number.checked_div(*size).filter(|_| number.checked_rem(*size) == Some(0))?;
        Some(format!("{count}{unit}"))
    });
    whole.unwrap_or_else(|| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_written_as_they_are_read() {
        for text in ["0s", "1ms", "1500ms", "30s", "5m", "61m", "24h"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        for text in ["1023B", "8KiB", "1025KiB", "256MiB"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
    }

    #[test]
    fn durations_and_sizes_are_read_with_every_unit() {
        for (text, milliseconds) in [
            ("200ms", 200),
            ("20 s", 20_000),
            ("10 sec", 10_000),
            ("2 m", 120_000),
            ("2min", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for (text, bytes) in [
            ("0B", 0),
            ("256KiB", 262_144),
            ("512 KB", 512_000),
            ("512kB", 512_000),
            ("1MiB", 1_048_576),
            ("1MB", 1_000_000),
            ("1GiB", 1 << 30),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_with_the_unit() {
        let durations = "units: ms, s or sec, m or min (minutes), h, d";
        let sizes = "units: B, KiB, MiB, GiB (steps of 1024), KB, MB, GB (steps of 1000)";
        for (text, start) in [
            ("", "it must begin with a whole number"),
            ("s", "it must begin with a whole number"),
            ("-1s", "it must begin with a whole number"),
            ("10", "the unit is missing"),
            ("1.5s", "it must be a whole number of a smaller unit, such as 1500ms"),
            ("10 fortnights", "unknown unit `fortnights`"),
            ("1KB", "unknown unit `KB`"),
        ] {
            assert_eq!(duration(text).unwrap_err().to_string(), format!("{start}; {durations}"));
        }
        for (text, start) in [
            ("", "it must begin with a whole number"),
            ("KiB", "it must begin with a whole number"),
            ("10", "the unit is missing"),
            ("0", "the unit is missing"),
            ("0.5MiB", "it must be a whole number of a smaller unit, such as 512KiB"),
            ("512K", "unknown unit `K`"),
            ("512kb", "unknown unit `kb`"),
            ("1TiB", "unknown unit `TiB`"),
        ] {
            assert_eq!(size(text).unwrap_err().to_string(), format!("{start}; {sizes}"));
        }
        assert_eq!(duration("99999999999999999h"), Err(UnitError::TooLarge));
        assert_eq!(size("99999999999999999999B"), Err(UnitError::TooLarge));
    }
}
