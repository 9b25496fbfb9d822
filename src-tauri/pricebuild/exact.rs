//! Decimal numbers of JSON as rates, without a float between: the text of the number is what is read. And maps that say a thing once.

use events::Rate;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// $1,000,000 per million: no price, and small enough to be multiplied without care.
const READABLE_MAX: Rate = Rate::from_atto(1_000_000 * 1_000_000_000_000);

/// Dollars per million units, read from the text of a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerMillion(pub(super) Rate);

impl<'de> Deserialize<'de> for PerMillion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PerMillion, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        readable(Rate::per_million(raw.get())).map(PerMillion).ok_or_else(|| no_price(raw.get()))
    }
}

/// Dollars per unit, read from the text of a JSON number (`2e-06`). Told beyond twelve places it is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerUnit(pub(super) Rate);

impl<'de> Deserialize<'de> for PerUnit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PerUnit, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let (mantissa, exponent) = raw.get().split_once(['e', 'E']).unwrap_or((raw.get(), "0"));
        let exponent = exponent.parse::<i32>().ok().and_then(|exponent| exponent.checked_add(6));
        let rate = exponent.and_then(|exponent| Rate::per_million(&format!("{mantissa}e{exponent}")));
        readable(rate).map(PerUnit).ok_or_else(|| no_price(raw.get()))
    }
}

fn readable(rate: Option<Rate>) -> Option<Rate> {
    rate.filter(|rate| (Rate::from_atto(-READABLE_MAX.atto())..=READABLE_MAX).contains(rate))
}

fn no_price<E: de::Error>(text: &str) -> E {
    let start: String = text.chars().take(40).collect();
    E::custom(format!("not a price: {start}"))
}

/// `rate` times `numerator` by `denominator`, where that is a whole number of atto-dollars.
pub(super) fn scaled(rate: Rate, numerator: i128, denominator: i128) -> Option<Rate> {
    let product = rate.atto().checked_mul(numerator)?;
    (denominator != 0 && product % denominator == 0).then(|| Rate::from_atto(product / denominator))
}

/// A map that names nothing twice: of two prices for one model, no one can say which was meant.
#[derive(Clone, Debug)]
pub(super) struct Once<V>(pub(super) BTreeMap<String, V>);

impl<V> Default for Once<V> {
    fn default() -> Once<V> {
        Once(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Once<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once<V>, D::Error> {
        struct Names<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Names<V> {
            type Value = Once<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Once<V>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((name, value)) = entries.next_entry::<String, V>()? {
                    if map.contains_key(&name) {
                        let start: String = name.chars().take(80).collect();
                        return Err(de::Error::custom(format!("{start:?} stands there twice")));
                    }
                    map.insert(name, value);
                }
                Ok(Once(map))
            }
        }
        deserializer.deserialize_map(Names(PhantomData))
    }
}
