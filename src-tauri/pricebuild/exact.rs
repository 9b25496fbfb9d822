//! Decimal numbers of JSON as rates, without a float between: the text of the number is what is read.

use events::Rate;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

/// Dollars per million units, read from the text of a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerMillion(pub(super) Rate);

impl<'de> Deserialize<'de> for PerMillion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PerMillion, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Rate::per_million(raw.get()).map(PerMillion).ok_or_else(|| de::Error::custom(format!("not a price: {}", raw.get())))
    }
}

/// Dollars per unit, read from the text of a JSON number (`2e-06`). Told beyond twelve places it is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerUnit(pub(super) Rate);

impl<'de> Deserialize<'de> for PerUnit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PerUnit, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let (mantissa, exponent) = raw.get().split_once(['e', 'E']).unwrap_or((raw.get(), "0"));
        let rate = exponent.parse::<i32>().ok().and_then(|exponent| Rate::per_million(&format!("{mantissa}e{}", exponent + 6)));
        rate.map(PerUnit).ok_or_else(|| de::Error::custom(format!("not a price: {}", raw.get())))
    }
}

/// `rate` times `numerator` by `denominator`, where that is a whole number of atto-dollars.
pub(super) fn scaled(rate: Rate, numerator: i128, denominator: i128) -> Option<Rate> {
    let product = rate.atto().checked_mul(numerator)?;
    (denominator != 0 && product % denominator == 0).then(|| Rate::from_atto(product / denominator))
}
