//! Prices that depend on the hour of the day (DeepSeek).

use super::row::Factor;
use crate::{Day, Timestamp};
use chrono::Datelike;
use serde::{Deserialize, Deserializer, Serialize};

const MICROS_PER_MINUTE: i64 = 60_000_000;
const MINUTES_PER_DAY: i64 = 24 * 60;
const UNIX_EPOCH_FROM_CE_DAYS: i64 = 719_163;

/// That a row's tokens cost `factor` times as much during the hours of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Hours {
    /// The name of a schedule of the same book.
    pub schedule: String,
    /// By how much.
    pub factor: Factor,
}

/// Hours of the day, on working days or every day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What rows call it.
    pub name: String,
    /// From (included) to (not included), in UTC, as `01:00`. A pair may go past midnight.
    pub hours_utc: Vec<(Minute, Minute)>,
    /// Whether only Monday to Friday count.
    #[serde(default)]
    pub weekdays_only: bool,
    /// By how many hours the calendar of `weekdays_only` and `holidays` is ahead of UTC.
    #[serde(default)]
    pub calendar_utc_offset_hours: i8,
    /// Days that do not count, ascending.
    #[serde(default)]
    pub holidays: Vec<Day>,
    /// Where it is published.
    pub source: String,
}

impl Schedule {
    /// Whether the instant lies in its hours.
    pub fn contains(&self, at: Timestamp) -> bool {
        let minutes = at.micros().div_euclid(MICROS_PER_MINUTE);
        let minute = minutes.rem_euclid(MINUTES_PER_DAY);
        let in_hours = self.hours_utc.iter().any(|&(Minute(from), Minute(to))| {
            let (from, to) = (i64::from(from), i64::from(to));
            if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
        });
        in_hours && self.counts(minutes.saturating_add(i64::from(self.calendar_utc_offset_hours) * 60).div_euclid(MINUTES_PER_DAY))
    }

    /// Whether a day counts, given in days since 1970-01-01 (a Thursday).
    fn counts(&self, day: i64) -> bool {
        let weekend = (day + 3).rem_euclid(7) >= 5;
        let number = |holiday: &Day| i64::from(holiday.date().num_days_from_ce()) - UNIX_EPOCH_FROM_CE_DAYS;
        !(self.weekdays_only && weekend) && self.holidays.binary_search_by_key(&day, number).is_err()
    }
}

/// A minute of the day. As JSON `16:30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute(pub u16);

impl Serialize for Minute {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

impl<'de> Deserialize<'de> for Minute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Minute, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
            (hour < 24 && minute < 60).then(|| Minute(hour * 60 + minute))
        };
        read(&text).ok_or_else(|| serde::de::Error::custom(format!("not a time of day: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_of_day_is_refused() {
        let read = |text: &str| serde_json::from_value::<Minute>(text.into()).ok();
        assert_eq!([read("00:00"), read("23:59")], [Some(Minute(0)), Some(Minute(1439))]);
        for text in ["24:00", "12:60", "20266:30", "65535:65535", "-1:00", "12", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
