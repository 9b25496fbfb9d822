//! What does today cost?

use super::{Fault, Filter, Query, Spend, SpendRow, View, spend_by};
use crate::{Day, Period, Span, Timestamp};
use serde::{Deserialize, Serialize};

const HOUR_MICROS: i64 = 3_600_000_000;

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

impl Query for Today {
    const NAME: &'static str = "today";
    const IS_QUICK: bool = true;
    type Answer = TodayAnswer;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<TodayAnswer, Fault> {
        let zone = view.zone;
        let day = zone.day(now);
        let span = zone.day_span(day);
        let spend = &view.projections.spend;
        let everything = Filter::default();
        let total = |span: Span| spend.total(span, view.scope(&everything));
        let mut hours: Vec<HourSpend> =
            hours(span).map(|from| HourSpend { from, hour: zone.hour(from), ahead: from > now, spend: Spend::default() }).collect();
        spend.each(span, view.scope(&everything), |at, _, spend| {
            let nth = (at.micros() - span.from.micros()) / HOUR_MICROS;
            if let Some(hour) = usize::try_from(nth).ok().and_then(|nth| hours.get_mut(nth)) {
                hour.spend.add(spend);
            }
        });
        Ok(TodayAnswer {
            day,
            zone: zone.to_string(),
            now,
            today: total(span),
            yesterday: total(zone.day_span(day.plus(-1))),
            week: total(zone.period_span(Period::Week, now)),
            month: total(zone.period_span(Period::Month, now)),
            hours,
            models: spend_by::rows(view, span, &[spend_by::Dimension::Model], &Filter::default()),
            projects: spend_by::rows(view, span, &[spend_by::Dimension::Project], &Filter::default()),
        })
    }
}

/// When the hours of a day begin.
fn hours(day: Span) -> impl Iterator<Item = Timestamp> {
    let starts = std::iter::successors(Some(day.from), |from| Some(from.plus_micros(HOUR_MICROS)));
    starts.take_while(move |from| *from < day.until)
}
