//! What does today cost?

use super::{Fault, Filter, Query, Spend, SpendRow, View, spend_by};
use crate::{Day, Period, Span, Timestamp};
use serde::{Deserialize, Serialize};

/// What does today cost, and the week and the month that it lies in?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Today {}

/// The answer to [`Today`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TodayAnswer {
    /// The day, in `zone`.
    pub day: Day,
    /// The IANA name of the zone in which the day began.
    pub zone: String,
    /// When this was asked.
    pub now: Timestamp,
    /// Since midnight.
    pub today: Spend,
    /// The whole day before.
    pub yesterday: Spend,
    /// Since Monday.
    pub week: Spend,
    /// Since the first of the month.
    pub month: Spend,
    /// Each hour of the day, in order; 23 to 25 of them.
    pub hours: Vec<HourSpend>,
    /// Today by model, dearest first.
    pub models: Vec<SpendRow>,
    /// Today by project, dearest first.
    pub projects: Vec<SpendRow>,
}

/// One hour of a day.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct HourSpend {
    /// When it began.
    pub from: Timestamp,
    /// What a clock on the wall showed then.
    pub hour: u32,
    /// Whether it lies in the future still.
    pub ahead: bool,
    /// What was spent in it.
    pub spend: Spend,
}
