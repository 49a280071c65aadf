//! Points in time as people and other programs write them: UTC, in RFC 3339.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A point in time, in microseconds since 1970. Displayed as RFC 3339 with milliseconds, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc(i64);

/// A text is not a time in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time in RFC 3339, such as 2026-05-01T04:12:30.250Z")]
pub struct UtcError;

impl Utc {
    /// So many microseconds after the beginning of 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// What the system clock says.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Microseconds since the beginning of 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the beginning of 1970; 0 for an earlier time.
    pub fn unix_ms(self) -> u64 {
        u64::try_from(self.0 / 1000).unwrap_or(0)
    }

    /// Reads a time in RFC 3339, with any offset from UTC and any number of decimals.
    ///
    /// # Errors
    /// [`UtcError`] if the text is anything else.
    pub fn parse(text: &str) -> Result<Self, UtcError> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| UtcError)?;
        let micros = at.unix_timestamp_nanos() / 1000;
        i64::try_from(micros).map(Self).map_err(|_| UtcError)
    }

    /// This long after it.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This long before it.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time since an earlier one; zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As a part of a file name: the basic format of ISO 8601, in whole seconds.
    pub fn in_file_name(self) -> String {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        self.date().format(format).unwrap_or_default()
    }

    fn date(self) -> OffsetDateTime {
        let nanos = i128::from(self.0).saturating_mul(1000);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Utc {
    fn from(at: SystemTime) -> Self {
        match at.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(0).after(since),
            Err(error) => Self(0).before(error.duration()),
        }
    }
}

impl From<Utc> for SystemTime {
    fn from(at: Utc) -> Self {
        at.date().into()
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        f.write_str(&self.date().format(format).map_err(|_| fmt::Error)?)
    }
}

impl serde::Serialize for Utc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset_and_shown_in_utc() {
        for (text, shown) in [
            ("2026-05-01T04:12:30.25Z", "2026-05-01T04:12:30.250Z"),
            ("2026-05-01T06:12:30+02:00", "2026-05-01T04:12:30.000Z"),
            ("2026-05-01t04:12:30.1239999z", "2026-05-01T04:12:30.123Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
        ] {
            assert_eq!(Utc::parse(text).map(|at| at.to_string()), Ok(shown.to_owned()), "{text}");
        }
        let wrong = ["", "soon", "2026-05-01", "2026-05-01T04:12:30", "2026-13-01T00:00:00Z"];
        for text in wrong {
            assert_eq!(Utc::parse(text), Err(UtcError), "{text}");
        }
    }

    #[test]
    fn times_have_a_distance() {
        let at = Utc::parse("2026-05-01T04:12:30.250Z").unwrap();
        let later = at.after(Duration::from_secs(90));
        assert_eq!(later.since(at), Duration::from_secs(90));
        assert_eq!(at.since(later), Duration::ZERO);
        assert_eq!(later.before(Duration::from_secs(90)), at);
        assert_eq!(later.in_file_name(), "20260501T041400Z");
        assert_eq!(Utc::from(SystemTime::from(at.date())), at);
        assert_eq!(at.unix_ms(), 1_777_608_750_250);
    }
}
