//! Times that detectors give as a date and a time of day, without saying of which zone.
//!
//! A detection arrives soon after the call. So the offset of the zone from UTC follows from the time at
//! which it arrives: of the offsets that exist, it is the one with which the call was less than 14
//! minutes ago. This needs no database of time zones and no setting. A detection that is older by
//! whole hours cannot be told from a new one.

use std::time::Duration;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time};

use crate::utc::Utc;

/// The offsets from UTC in the east, in minutes, that are not whole hours (IANA time zone database, 2026).
const BROKEN_OFFSETS: [i64; 13] =
    [-570, -210, -150, 210, 270, 330, 345, 390, 525, 570, 630, 765, 825];
/// The whole hours that are offsets.
const HOURS: std::ops::RangeInclusive<i64> = -12..=14;
/// A minute, in microseconds.
const MINUTE: i64 = 60_000_000;
/// By how much the detector's clock may be ahead of this one.
pub(super) const MAX_AHEAD: Duration = Duration::from_mins(1);
/// How long ago the call may be.
const MAX_AGE: Duration = Duration::from_mins(14);

/// Why a date and a time of day are not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LocalTimeError {
    #[error("date is not a date, such as 2026-05-01")]
    Date,
    #[error("time is not a time of day, such as 04:12:30")]
    Time,
    #[error(
        "date and time fit no time zone for a detection less than 14 minutes old; send start, with \
         its offset from UTC"
    )]
    NotNow,
}

/// The point in time that a date and a time of day mean, in what was received at `received`.
pub(super) fn utc_of(date: &str, time: &str, received: Utc) -> Result<Utc, LocalTimeError> {
    const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
    const TIMES: [&[BorrowedFormatItem<'_>]; 4] = [
        format_description!("[hour]:[minute]:[second]"),
        format_description!("[hour]:[minute]:[second].[subsecond]"),
        format_description!("[hour repr:12 padding:none]:[minute]:[second] [period]"),
        format_description!("[hour repr:12]:[minute]:[second] [period]"),
    ];
    let date = Date::parse(date, DATE).map_err(|_| LocalTimeError::Date)?;
    let time = TIMES.iter().find_map(|format| Time::parse(time, format).ok());
    let local = PrimitiveDateTime::new(date, time.ok_or(LocalTimeError::Time)?).assume_utc();
    let local = i64::try_from(local.unix_timestamp_nanos() / 1000);
    let local = local.map_err(|_| LocalTimeError::Date)?;
    let hours = HOURS.map(|hours| hours.saturating_mul(60));
    let offsets = hours.chain(BROKEN_OFFSETS).map(|minutes| minutes.saturating_mul(MINUTE));
    let times = offsets.map(|offset| Utc::from_micros(local.saturating_sub(offset)));
    let (earliest, latest) = (received.before(MAX_AGE), received.after(MAX_AHEAD));
    // Two offsets may fit; the call was not long ago.
    let fitting = times.filter(|time| (earliest..=latest).contains(time));
    fitting.max().ok_or(LocalTimeError::NotNow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_follows_from_the_time_of_arrival() {
        let received = Utc::parse("2026-05-04T03:12:59Z").unwrap();
        for (date, time, utc) in [
            ("2026-05-04", "05:12:33", "2026-05-04T03:12:33.000Z"),
            ("2026-05-04", "5:12:33 AM", "2026-05-04T03:12:33.000Z"),
            ("2026-05-04", "05:12:33 AM", "2026-05-04T03:12:33.000Z"),
            ("2026-05-04", "05:12:33.25", "2026-05-04T03:12:33.250Z"),
            ("2026-05-04", "03:12:33", "2026-05-04T03:12:33.000Z"),
            ("2026-05-04", "08:57:33", "2026-05-04T03:12:33.000Z"),
            ("2026-05-03", "8:12:33 PM", "2026-05-04T03:12:33.000Z"),
            ("2026-05-04", "17:12:33", "2026-05-04T03:12:33.000Z"),
            ("2026-05-04", "05:00:00", "2026-05-04T03:00:00.000Z"),
            ("2026-05-03", "17:43:00", "2026-05-04T03:13:00.000Z"),
            ("2026-05-04", "16:58:00", "2026-05-04T03:13:00.000Z"),
            ("2026-05-04", "05:13:30", "2026-05-04T03:13:30.000Z"),
        ] {
            let found = utc_of(date, time, received).map(|at| at.to_string());
            assert_eq!(found, Ok(utc.to_owned()), "{date} {time}");
        }
    }

    #[test]
    fn what_is_no_time_of_now_is_refused() {
        let received = Utc::parse("2026-05-04T03:12:59Z").unwrap();
        for (date, time, error) in [
            ("4.5.2026", "05:12:33", LocalTimeError::Date),
            ("2026-05-04", "05:12", LocalTimeError::Time),
            ("2026-05-04", "25:12:33", LocalTimeError::Time),
            ("2026-05-02", "05:12:33", LocalTimeError::NotNow),
            ("2026-05-05", "05:12:33", LocalTimeError::NotNow),
            ("2026-05-04", "04:52:33", LocalTimeError::NotNow),
            ("2026-05-04", "05:14:30", LocalTimeError::NotNow),
        ] {
            assert_eq!(utc_of(date, time, received), Err(error), "{date} {time}");
        }
    }
}
