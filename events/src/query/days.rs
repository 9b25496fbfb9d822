//! The calendar day of an instant, for millions of instants.

use super::Dimension;
use crate::{Day, Timestamp, Zone, projections::quarter};
use rustc_hash::FxHashMap;

/// Days in a zone, remembered by quarter of an hour: a day of any zone begins with one.
pub(super) struct Days {
    /// None where nobody asks for days.
    zone: Option<Zone>,
    known: FxHashMap<i64, Day>,
}

impl Days {
    /// For rows that are cut by these dimensions.
    pub(super) fn of(by: &[Dimension], zone: Zone) -> Days {
        Days { zone: by.contains(&Dimension::Day).then_some(zone), known: FxHashMap::default() }
    }

    /// The day that an instant lies in; `None` where nobody asks.
    pub(super) fn day(&mut self, at: Timestamp) -> Option<Day> {
        let zone = self.zone?;
        Some(*self.known.entry(quarter(at)).or_insert_with(|| zone.day(at)))
    }
}
