//! Times that detectors give as a date and a time of day, without saying of which zone.
//!
//! A detection arrives soon after the call, and the offset of every zone from UTC is a multiple of 15
//! minutes. So the offset follows from the time at which it arrives: it is the one with which the
//! call was less than 14 minutes ago. The data of time zones are not needed, and neither is a setting.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time};

use crate::utc::Utc;

/// Offsets from UTC are multiples of this, in microseconds.
const OFFSET_STEP: i64 = 15 * MINUTE;
const MINUTE: i64 = 60_000_000;
/// By how much the detector's clock may be ahead of this one.
const MAX_AHEAD: i64 = MINUTE;
/// The offsets that exist.
const OFFSETS: std::ops::RangeInclusive<i64> = -12 * 60 * MINUTE..=14 * 60 * MINUTE;

/// Why a date and a time of day are not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LocalTimeError {
    #[error("date is not a date, such as 2026-05-01")]
    Date,
    #[error("time is not a time of day, such as 04:12:30")]
    Time,
    #[error(
        "date and time are not those of any place now; allowed for a detection that is older than \
         14 minutes: start, with its offset from UTC"
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
    let behind = received.micros().saturating_sub(local);
    let age = behind.saturating_add(MAX_AHEAD).rem_euclid(OFFSET_STEP).saturating_sub(MAX_AHEAD);
    let offset = age.saturating_sub(behind);
    if !OFFSETS.contains(&offset) {
        return Err(LocalTimeError::NotNow);
    }
    Ok(Utc::from_micros(local.saturating_sub(offset)))
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
        ] {
            assert_eq!(utc_of(date, time, received), Err(error), "{date} {time}");
        }
    }
}
