//! Parses durations and sizes with units: `200ms`, `10s`, `256KiB`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::time::Duration;

/// Parses a duration: a whole number and `ms`, `s`, `m` or `h`. `0` needs no unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if number == 0 => 0,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// Parses a size and returns bytes: a whole number and `B`, `KiB` or `MiB`.
pub(crate) fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(bytes)?.try_into().ok()
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

/// Splits the text into a number and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
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
    fn durations_and_sizes_need_their_units() {
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("2 m"), Some(Duration::from_mins(2)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(size("256KiB"), Some(262_144));
        assert_eq!(size("0B"), Some(0));
        for wrong in ["", "s", "10", "-1s", "1.5s", "10 sec", "99999999999999999h", "1KB"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for wrong in ["", "KiB", "10", "1kb", "1GiB", "99999999999999999999B"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
