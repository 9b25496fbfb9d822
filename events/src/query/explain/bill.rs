//! A call's cost line by line, before it is added up and rounded.

use super::{CostFactor, CostLine};
use crate::{
    Factor, Rate, Rates, Usage,
    prices::{Held, classes, fee_counts},
    tariff::Candidate,
};

/// What was consumed where nothing prices it.
pub(super) fn consumed(usage: &Usage) -> Vec<CostLine> {
    let line = |(class, units, scaled): (&str, u64, bool)| CostLine {
        class: class.to_owned(),
        units,
        rate: None,
        amount: None,
        inferred: false,
        scaled,
    };
    units(usage).map(line).collect()
}

/// Every class that occurs, its units, and whether factors of region and hour apply to it.
fn units(usage: &Usage) -> impl Iterator<Item = (&'static str, u64, bool)> {
    let names = Rates::default();
    let names: Vec<&'static str> = names.iter().map(|(class, _)| class).collect();
    let counts = classes(&usage.tokens).into_iter().map(|count| (count, true)).chain(fee_counts(&usage.fees).map(|count| (count, false)));
    let units = names.into_iter().zip(counts.collect::<Vec<_>>()).map(|(class, (count, scaled))| (class, count, scaled));
    units.filter(|(_, count, _)| *count > 0)
}

/// A call's cost, not yet added up.
pub(super) struct Bill {
    pub(super) lines: Vec<CostLine>,
    pub(super) factors: Vec<CostFactor>,
    tokens_atto: i128,
    fees_atto: i128,
    /// Of region and hour, for tokens only; then the user's, for all.
    scales: [Factor; 3],
}

impl Bill {
    pub(super) fn of(candidate: &Candidate<'_>, usage: &Usage) -> Bill {
        let Held { book, row, multiplier, .. } = &candidate.held;
        let prompt = usage.band_prompt();
        let band = row.bands.iter().rev().find(|band| prompt > band.above).map_or(&row.rates, |band| &band.rates);
        let (of_tokens, of_fees) = row.rates.in_band(band);
        let rates: Vec<Option<Rate>> = of_tokens.into_iter().chain(of_fees).collect();
        let listed = band.or(&row.rates);
        let mut bill = Bill { lines: Vec::new(), factors: Vec::new(), tokens_atto: 0, fees_atto: 0, scales: [Factor::ONE; 3] };
        for (class, units, scaled) in units(usage) {
            let named = listed.iter().zip(&rates).find(|((name, _), _)| *name == class);
            let rate = named.and_then(|(_, rate)| *rate);
            let is_listed = named.is_some_and(|((_, rate), _)| rate.is_some());
            let atto = rate.map(|rate| rate.cost_atto(units));
            *(if scaled { &mut bill.tokens_atto } else { &mut bill.fees_atto }) += atto.unwrap_or(0);
            let inferred = rate.is_some() && !is_listed || row.inferred.iter().any(|known| known == class);
            bill.lines.push(CostLine { class: class.to_owned(), units, rate, amount: atto.map(exact), inferred, scaled });
        }
        let geo = usage.geo.as_deref().and_then(|geo| Some((geo, *row.geo.get(geo)?)));
        let hours = book.map_or(Factor::ONE, |book| book.factor(row, usage.done_if_begun(usage.at)));
        let schedule = row.hours.as_ref().map(|hours| hours.schedule.as_str()).unwrap_or_default();
        bill.scales = [geo.map_or(Factor::ONE, |(_, factor)| factor), hours, *multiplier];
        let whys = [
            format!("processed in {}", geo.map(|(geo, _)| geo).unwrap_or_default()),
            format!("ended in the hours of {schedule}"),
            format!("list prices of {} are multiplied, as you set it", usage.provider),
        ];
        let factors = whys.into_iter().zip(bill.scales).filter(|(_, factor)| *factor != Factor::ONE);
        bill.factors = factors.map(|(why, factor)| CostFactor { why, factor }).collect();
        bill
    }

    /// All of it before it is rounded, where eighteen places hold that.
    pub(super) fn exact(&self) -> Option<String> {
        let unit = i128::from(Factor::UNIT);
        let [geo, hours, multiplier] = self.scales.map(Factor::thousandths);
        let tokens = self.tokens_atto.checked_mul(geo)?.checked_mul(hours)?;
        let all = tokens.checked_add(self.fees_atto.checked_mul(unit * unit)?)?.checked_mul(multiplier)?;
        (all % unit.pow(3) == 0).then(|| exact(all / unit.pow(3)))
    }
}

/// Atto-dollars as dollars, without zeros at the end.
fn exact(atto: i128) -> String {
    const ATTO_PER_DOLLAR: u128 = 1_000_000_000_000_000_000;
    let (sign, atto) = (if atto < 0 { "-" } else { "" }, atto.unsigned_abs());
    let text = format!("{sign}{}.{:018}", atto / ATTO_PER_DOLLAR, atto % ATTO_PER_DOLLAR);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
