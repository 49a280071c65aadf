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
