//! Moments as people write them: a day, an hour, yesterday. Used by searches and by jumps.

use jiff::{
    Timestamp, ToSpan as _, Zoned,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use protocol::time::WallTime;

/// A text that names no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no date: write 2026-11-20, 2026-11-20T14:30, 14:30, today or yesterday")]
pub struct NoMoment(String);

/// The beginning of what a text names: of a day, or of a minute. An hour alone is the last time the
/// clock showed it.
///
/// # Errors
///
/// If it names nothing.
pub fn parse(text: &str, now: WallTime, zone: &TimeZone) -> Result<WallTime, NoMoment> {
    read(text, now, zone).ok_or_else(|| NoMoment(text.to_owned()))
}

fn read(text: &str, now: WallTime, zone: &TimeZone) -> Option<WallTime> {
    let now = Timestamp::from_millisecond(i64::try_from(now.as_millis()).ok()?).ok()?;
    let now = now.to_zoned(zone.clone());
    let midnight = |date: Date| date.to_zoned(zone.clone()).ok();
    let found = match text.to_ascii_lowercase().as_str() {
        "today" => midnight(now.date()),
        "yesterday" => midnight(now.date().yesterday().ok()?),
        _ if text.contains(['T', 't']) => minute(text)?.to_zoned(zone.clone()).ok(),
        _ if text.contains(':') => last(time(text)?, &now),
        _ => midnight(text.parse().ok().filter(|_| text.len() == "2026-11-20".len())?),
    };
    u64::try_from(found?.timestamp().as_millisecond()).ok().map(WallTime::from_millis)
}

fn minute(text: &str) -> Option<DateTime> {
    let (date, rest) = text.split_once(['T', 't'])?;
    Some(date.parse::<Date>().ok()?.to_datetime(time(rest)?))
}

/// `14:30`. Jiff reads more than people mean to write here.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_plain =
            (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if is_plain { digits.parse::<i8>().ok() } else { None }
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn last(time: Time, now: &Zoned) -> Option<Zoned> {
    let on = |date: Date| date.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
    on(now.date())
        .filter(|today| today <= now)
        .or_else(|| on(now.date().checked_sub(1.day()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 21 November 2026, 14:00 UTC.
    const NOON: WallTime = WallTime::from_millis(1_795_269_600_000);

    fn parsed(text: &str, zone: &TimeZone) -> String {
        let millis = parse(text, NOON, zone).map(|time| i64::try_from(time.as_millis()).unwrap());
        millis.map_or_else(
            |error| error.to_string(),
            |millis| Timestamp::from_millisecond(millis).unwrap().to_string(),
        )
    }

    #[test]
    fn days_hours_and_words_are_moments() {
        let utc = |text| parsed(text, &TimeZone::UTC);
        assert_eq!(utc("2026-11-20"), "2026-11-20T00:00:00Z");
        assert_eq!(utc("2026-11-20T08:05"), "2026-11-20T08:05:00Z");
        assert_eq!(utc("today"), "2026-11-21T00:00:00Z");
        assert_eq!(utc("Yesterday"), "2026-11-20T00:00:00Z");
        assert_eq!(utc("13:59"), "2026-11-21T13:59:00Z");
        assert_eq!(utc("14:01"), "2026-11-20T14:01:00Z", "not yet today");
    }

    #[test]
    fn days_begin_where_the_person_is() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        assert_eq!(parsed("today", &zone), "2026-11-20T15:00:00Z");
    }

    #[test]
    fn what_is_no_moment_is_explained() {
        for wrong in ["", "x", "2026-13-01", "25:00", "1:2:3", "-1:30", "2026", "20261120", "T"] {
            let said = parsed(wrong, &TimeZone::UTC);
            assert!(said.contains("is no date: write 2026-11-20"), "{wrong}: {said}");
        }
    }
}
