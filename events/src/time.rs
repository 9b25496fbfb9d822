//! Calendar arithmetic on given instants. Nothing here asks for the time.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// An instant: microseconds since 1970-01-01T00:00:00Z. As JSON an RFC 3339 text in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// In microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(1_000))
    }

    /// Reads RFC 3339, with any offset.
    pub fn parse(text: &str) -> Option<Timestamp> {
        // Logs name a time in every row.
        read_usual(text.as_bytes()).or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| Timestamp(at.timestamp_micros())))
    }

    /// Reads RFC 2822, as mail and HTTP write a time.
    pub fn parse_rfc2822(text: &str) -> Option<Timestamp> {
        DateTime::parse_from_rfc2822(text).ok().map(|at| Timestamp(at.timestamp_micros()))
    }

    /// The instant of what has no known one: the epoch itself, at which no call was made.
    pub const UNKNOWN: Timestamp = Timestamp(0);

    /// Whether an instant is known.
    pub const fn is_known(self) -> bool {
        self.0 != Timestamp::UNKNOWN.0
    }

    /// The earlier of two instants. An unknown one gives way to a known one.
    #[must_use]
    pub fn earlier_known(self, other: Timestamp) -> Timestamp {
        match (self.is_known(), other.is_known()) {
            (true, false) => self,
            (false, true) => other,
            (true, true) | (false, false) => self.min(other),
        }
    }

    /// As a calendar instant in UTC. Instants outside chrono's years (±262,000) are the epoch.
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }

    /// The month in UTC that this instant lies in, as `2026-11`.
    pub fn month_name(self) -> String {
        self.utc().format("%Y-%m").to_string()
    }

    /// This instant, later by so many microseconds.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(micros))
    }
}

/// An instant as nearly all are written, `2026-11-22T08:30:00.123Z`, digit by digit. Every other way of writing one is left to chrono.
fn read_usual(text: &[u8]) -> Option<Timestamp> {
    let number =
        |digits: &[u8]| digits.iter().try_fold(0u32, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')));
    let ([y0, y1, y2, y3, b'-', o0, o1, b'-', d0, d1, b'T', h0, h1, b':', m0, m1, b':', s0, s1], rest) = text.split_first_chunk()? else {
        return None;
    };
    let micros = match rest.strip_suffix(b"Z")? {
        [] => 0,
        [b'.', digits @ ..] if (1..=6).contains(&digits.len()) => number(digits)? * 10u32.pow(6 - digits.len() as u32),
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(number(&[*y0, *y1, *y2, *y3])? as i32, number(&[*o0, *o1])?, number(&[*d0, *d1])?)?;
    let at = date.and_hms_opt(number(&[*h0, *h1])?, number(&[*m0, *m1])?, number(&[*s0, *s1])?)?;
    Some(Timestamp(at.and_utc().timestamp_micros() + i64::from(micros)))
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Timestamp {
        Timestamp(at.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.utc().format("%Y-%m-%dT%H:%M:%S%.6fZ"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Timestamp::parse(&text).ok_or_else(|| de::Error::custom(format!("not an RFC 3339 time: {text:?}")))
        } else {
            i64::deserialize(deserializer).map(Timestamp)
        }
    }
}

/// A calendar day in some zone. As JSON `2026-11-22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
#[serde(transparent)]
pub struct Day(NaiveDate);

impl Day {
    /// From a calendar date.
    pub const fn new(date: NaiveDate) -> Day {
        Day(date)
    }

    /// The calendar date.
    pub const fn date(self) -> NaiveDate {
        self.0
    }

    /// The first day of its month.
    #[must_use]
    pub fn month_begin(self) -> Day {
        Day(self.0.with_day(1).unwrap_or(self.0))
    }

    /// The day that lies `days` after (or before) this one.
    #[must_use]
    pub fn plus(self, days: i64) -> Day {
        Day(self.0.checked_add_signed(TimeDelta::days(days.clamp(-1_000_000, 1_000_000))).unwrap_or(self.0))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d"))
    }
}

impl FromStr for Day {
    type Err = String;
    fn from_str(text: &str) -> Result<Day, String> {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").map(Day).map_err(|_| format!("not a day: {text:?} (write it like 2026-11-22)"))
    }
}

/// Instants from `from` (included) to `until` (not included).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Span {
    /// The first instant inside.
    pub from: Timestamp,
    /// The first instant after.
    pub until: Timestamp,
}

impl Span {
    /// Every instant there is.
    pub const ALWAYS: Span = Span { from: Timestamp(i64::MIN), until: Timestamp(i64::MAX) };

    /// The part of it that lies in another; empty, or backwards, where they do not meet.
    #[must_use]
    pub(crate) fn within(self, other: Span) -> Span {
        Span { from: self.from.max(other.from), until: self.until.min(other.until) }
    }

    /// Whether the instant lies inside.
    pub const fn contains(self, at: Timestamp) -> bool {
        self.from.0 <= at.0 && at.0 < self.until.0
    }
}

/// How a budget's time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// A calendar month.
    Month,
}

/// A time zone by its IANA name, in which days begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(chrono_tz::Tz);

impl Default for Zone {
    fn default() -> Zone {
        Zone(chrono_tz::UTC)
    }
}

impl FromStr for Zone {
    type Err = String;
    fn from_str(name: &str) -> Result<Zone, String> {
        name.parse().map(Zone).map_err(|_| format!("no such time zone: {name:?} (write it like Europe/Berlin)"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Zone {
    /// The day that the instant lies in here.
    pub fn day(self, at: Timestamp) -> Day {
        Day(at.utc().with_timezone(&self.0).date_naive())
    }

    /// The hour (0 to 23) that a clock on the wall shows.
    pub fn hour(self, at: Timestamp) -> u32 {
        chrono::Timelike::hour(&at.utc().with_timezone(&self.0))
    }

    /// The first instant of a day. Where the clock jumps over midnight, the day begins at the first instant that exists.
    pub fn midnight(self, day: Day) -> Timestamp {
        let mut wall: NaiveDateTime = day.0.and_time(chrono::NaiveTime::MIN);
        // The longest gap known skipped a whole day (Samoa 2011), in which case the day is empty and begins where the next one does.
        for _ in 0..=96 {
            if let Some(at) = self.0.from_local_datetime(&wall).earliest() {
                return Timestamp(at.timestamp_micros());
            }
            wall += TimeDelta::minutes(15);
        }
        Timestamp(day.0.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros())
    }

    /// A whole day here: 23 to 25 hours long.
    pub fn day_span(self, day: Day) -> Span {
        Span { from: self.midnight(day), until: self.midnight(day.plus(1)) }
    }

    /// From the first instant of `first` to the last of `last`.
    pub fn days_span(self, first: Day, last: Day) -> Span {
        Span { from: self.midnight(first), until: self.midnight(last.plus(1)) }
    }

    /// The first day of the period that `day` lies in.
    pub fn period_start(self, period: Period, day: Day) -> Day {
        let date = day.0;
        Day(match period {
            Period::Day => date,
            Period::Week => date - Days::new(u64::from(date.weekday().num_days_from_monday())),
            Period::Month => date.with_day(1).unwrap_or(date),
        })
    }

    /// The first instant of the month that is so many months before the one that the instant lies in.
    pub fn months_before(self, at: Timestamp, months: u32) -> Timestamp {
        let first = self.period_start(Period::Month, self.day(at));
        self.midnight(Day(first.0.checked_sub_months(Months::new(months)).unwrap_or(NaiveDate::MIN)))
    }

    /// The period that the instant lies in.
    pub fn period_span(self, period: Period, at: Timestamp) -> Span {
        let first = self.period_start(period, self.day(at));
        let next = match period {
            Period::Day => first.plus(1),
            Period::Week => first.plus(7),
            Period::Month => Day(first.0.checked_add_months(Months::new(1)).unwrap_or(first.0)),
        };
        Span { from: self.midnight(first), until: self.midnight(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn an_instant_is_read_as_chrono_reads_it(
            text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,9})?(Z|z|\\+01:00|)",
        ) {
            let expected = DateTime::parse_from_rfc3339(&text).ok().map(|at| Timestamp(at.timestamp_micros()));
            proptest::prop_assert_eq!(Timestamp::parse(&text), expected);
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn zone(name: &str) -> Zone {
        name.parse().expect("a zone")
    }

    #[test]
    fn a_day_of_changing_clocks_has_23_or_25_hours() {
        let hours = |day: &str| {
            let span = zone("Europe/Berlin").day_span(day.parse().expect("a day"));
            (span.until.micros() - span.from.micros()) / 3_600_000_000
        };
        assert_eq!(hours("2026-03-29"), 23);
        assert_eq!(hours("2026-10-25"), 25);
        assert_eq!(hours("2026-11-22"), 24);
    }

    #[test]
    fn a_day_that_begins_at_one_o_clock_still_begins() {
        // Clocks in Beirut jump from 00:00 to 01:00.
        let zone = zone("Asia/Beirut");
        let day: Day = "2026-03-29".parse().expect("a day");
        assert_eq!(zone.day(zone.midnight(day)), day);
    }

    #[test]
    fn months_are_counted_back_to_the_first_of_one() {
        let zone = zone("America/New_York");
        let back = |months| zone.months_before(at("2026-03-01T03:00:00Z"), months).to_string();
        assert_eq!(back(0), "2026-02-01T05:00:00.000000Z");
        assert_eq!(back(3), "2025-11-01T04:00:00.000000Z");
        assert!(zone.months_before(at("2026-03-01T03:00:00Z"), u32::MAX) < at("0001-01-01T00:00:00Z"));
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let zone = zone("America/New_York");
        let sunday = at("2026-11-23T03:00:00Z");
        assert_eq!(zone.day(sunday).to_string(), "2026-11-22");
        assert_eq!(zone.period_start(Period::Week, zone.day(sunday)).to_string(), "2026-11-16");
        let month = zone.period_span(Period::Month, sunday);
        assert_eq!(month.from.to_string(), "2026-11-01T04:00:00.000000Z");
        assert_eq!(month.until.to_string(), "2026-12-01T05:00:00.000000Z");
        assert!(month.contains(month.from) && !month.contains(month.until));
    }
}
