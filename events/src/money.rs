//! Money without floats: amounts in pico-dollars, rates in atto-dollars per token.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, iter::Sum, ops, str::FromStr};

const PICO_PER_DOLLAR: i128 = 1_000_000_000_000;
const PICO_DIGITS: usize = 12;
/// One dollar per million tokens, in [`Rate`] units.
const ATTO_PER_DOLLAR_PER_MILLION: i128 = 1_000_000_000_000;
const ATTO_PER_PICO: i128 = 1_000_000;

/// An amount of US dollars, exact to 1e-12.
///
/// As JSON a decimal string with twelve places (`"0.004213500000"`), in MessagePack an integer of pico-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Usd(i128);

impl Usd {
    /// Nothing.
    pub const ZERO: Usd = Usd(0);

    /// From pico-dollars (1e-12 USD).
    pub const fn from_pico(pico: i128) -> Usd {
        Usd(pico)
    }

    /// In pico-dollars (1e-12 USD).
    pub const fn pico(self) -> i128 {
        self.0
    }

    /// Whether it is nothing.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// From atto-dollars (1e-18 USD), rounded half to even: the one place where money is rounded.
    pub const fn from_atto(atto: i128) -> Usd {
        // Nearly every call costs less than eighteen dollars, and a division of 128 bits takes longer than all the rest of pricing it.
        if 0 <= atto && atto <= u64::MAX as i128 {
            let (atto, unit) = (atto as u64, ATTO_PER_PICO as u64);
            let (floor, rest) = (atto / unit, atto % unit);
            let up = rest > unit / 2 || (rest == unit / 2 && floor % 2 == 1);
            return Usd(floor as i128 + up as i128);
        }
        let floor = atto.div_euclid(ATTO_PER_PICO);
        let rest = atto.rem_euclid(ATTO_PER_PICO);
        let half = ATTO_PER_PICO / 2;
        let up = rest > half || (rest == half && floor.rem_euclid(2) == 1);
        Usd(if up { floor + 1 } else { floor })
    }

    /// How many whole percent of `limit` this amount is; `None` where the limit is not positive.
    pub const fn percent_of(self, limit: Usd) -> Option<i128> {
        if limit.0 <= 0 { None } else { Some(self.0 * 100 / limit.0) }
    }
}

/// Why a text is no amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an amount in dollars: {0:?} (write it like 12.50)")]
pub struct MoneyError(String);

impl FromStr for Usd {
    type Err = MoneyError;

    /// Reads a plain decimal (`12`, `-0.5`, `$3.20`), or one with an exponent (`2.4e-6`, as JSON numbers may be written).
    /// More places than twelve are rounded half to even.
    fn from_str(text: &str) -> Result<Usd, MoneyError> {
        let plain = text.trim();
        let plain = plain.strip_prefix('$').unwrap_or(plain);
        decimal_to_scaled(plain, 18).map(Usd::from_atto).ok_or_else(|| MoneyError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Usd {
    /// The exact amount with twelve places; screens round it themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let dollars = magnitude / PICO_PER_DOLLAR.unsigned_abs();
        let rest = magnitude % PICO_PER_DOLLAR.unsigned_abs();
        write!(f, "{sign}{dollars}.{rest:0width$}", width = PICO_DIGITS)
    }
}

impl ops::Add for Usd {
    type Output = Usd;
    fn add(self, other: Usd) -> Usd {
        Usd(self.0.saturating_add(other.0))
    }
}
impl ops::Sub for Usd {
    type Output = Usd;
    fn sub(self, other: Usd) -> Usd {
        Usd(self.0.saturating_sub(other.0))
    }
}
impl ops::AddAssign for Usd {
    fn add_assign(&mut self, other: Usd) {
        *self = *self + other;
    }
}
impl ops::SubAssign for Usd {
    fn sub_assign(&mut self, other: Usd) {
        *self = *self - other;
    }
}
impl Sum for Usd {
    fn sum<I: Iterator<Item = Usd>>(amounts: I) -> Usd {
        amounts.fold(Usd::ZERO, ops::Add::add)
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // MessagePack has no 128-bit integer, so the bytes stand for it.
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.to_be_bytes().serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Usd, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            Ok(Usd(i128::from_be_bytes(<[u8; 16]>::deserialize(deserializer)?)))
        }
    }
}

/// A price per token (or per request), exact: atto-dollars (1e-18 USD) per unit.
///
/// As JSON the decimal string in dollars per million units, the unit in which price pages are written (`"3"`, `"0.003625"`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Rate(i128);

impl Rate {
    /// From atto-dollars (1e-18 USD) per unit.
    pub const fn from_atto(atto: i128) -> Rate {
        Rate(atto)
    }

    /// In atto-dollars (1e-18 USD) per unit.
    pub const fn atto(self) -> i128 {
        self.0
    }

    /// Reads dollars per million units, as price pages write them; `None` for what is no decimal number of at most twelve places.
    pub fn per_million(text: &str) -> Option<Rate> {
        decimal_to_scaled(text.trim(), 12).map(Rate)
    }

    /// What `units` cost at this rate, in atto-dollars, not yet rounded.
    pub const fn cost_atto(self, units: u64) -> i128 {
        self.0.saturating_mul(units as i128)
    }
}

impl fmt::Display for Rate {
    /// Dollars per million units, without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let unit = ATTO_PER_DOLLAR_PER_MILLION.unsigned_abs();
        let rest = format!("{:012}", magnitude % unit);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{sign}{}{point}{rest}", magnitude / unit)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let text = String::deserialize(deserializer)?;
        Rate::per_million(&text).ok_or_else(|| de::Error::custom(format!("not a rate: {text:?}")))
    }
}

/// A decimal text times 10^`places`, exact up to `places` and rounded half to even beyond; `None` if it is no number or too large.
fn decimal_to_scaled(text: &str, places: i32) -> Option<i128> {
    const DIGITS_MAX: usize = 60;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|e| e.abs() <= 40)?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let mut value: i128 = 0;
    let mut dropped_digit = None;
    let mut dropped_rest = false;
    let mut point = i32::try_from(whole.len()).ok()? + exponent + places;
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = i128::from(digit.to_digit(10)?);
        if point > 0 {
            value = value.checked_mul(10)?.checked_add(digit)?;
            point -= 1;
        } else if point == 0 && dropped_digit.is_none() {
            dropped_digit = Some(digit);
        } else {
            dropped_rest |= digit != 0;
            if point < 0 && dropped_digit.is_none() {
                dropped_digit = Some(0);
            }
        }
    }
    while point > 0 {
        value = value.checked_mul(10)?;
        point -= 1;
    }
    let up = match dropped_digit {
        Some(digit) if digit > 5 => true,
        Some(5) => dropped_rest || value % 2 == 1,
        Some(_) | None => false,
    };
    let value = if up { value + 1 } else { value };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_written_with_twelve_places() {
        assert_eq!(Usd::from_pico(4_213_500_000).to_string(), "0.004213500000");
        assert_eq!(Usd::from_pico(-1).to_string(), "-0.000000000001");
    }

    #[test]
    fn amounts_are_read_as_people_and_providers_write_them() {
        let read = |text: &str| text.parse::<Usd>().map(Usd::pico);
        assert_eq!(read("12"), Ok(12 * PICO_PER_DOLLAR));
        assert_eq!(read("$3.20"), Ok(3_200_000_000_000));
        assert_eq!(read("2.4e-6"), Ok(2_400_000));
        assert_eq!(read("1E2"), Ok(100 * PICO_PER_DOLLAR));
        assert_eq!(read("0.0000000000005"), Ok(0), "half to even, down");
        assert_eq!(read("0.0000000000015"), Ok(2), "half to even, up");
        assert_eq!(read("0.00000000000004"), Ok(0));
        for wrong in ["", ".", "1.2.3", "abc", "1e99", "--1", "0x10", "NaN", "1_000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rate_is_exact_to_the_smallest_published_price() {
        let rate = Rate::per_million("0.003625").expect("a rate");
        assert_eq!(Usd::from_atto(rate.cost_atto(1)).pico(), 3_625);
        assert_eq!(rate.to_string(), "0.003625");
        assert_eq!(Rate::per_million("15").expect("a rate").to_string(), "15");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(pico in any::<i64>()) {
            let amount = Usd::from_pico(i128::from(pico));
            prop_assert_eq!(amount.to_string().parse::<Usd>(), Ok(amount));
            let json = serde_json::to_string(&amount).expect("serialises");
            prop_assert_eq!(serde_json::from_str::<Usd>(&json).expect("reads"), amount);
            let packed = rmp_serde::to_vec(&amount).expect("serialises");
            prop_assert_eq!(rmp_serde::from_slice::<Usd>(&packed).expect("reads"), amount);
        }

        #[test]
        fn small_amounts_are_rounded_as_large_ones(atto in any::<u64>(), pico in 0..1_000i128, half in prop::bool::ANY) {
            for atto in [i128::from(atto), pico * ATTO_PER_PICO + if half { ATTO_PER_PICO / 2 } else { 0 }] {
                // A multiple of two pico-dollars that lifts the amount over what 64 bits hold.
                let lift = 2 * ATTO_PER_PICO * 10_000_000_000_000;
                prop_assert_eq!(Usd::from_atto(atto), Usd::from_atto(atto + lift) - Usd::from_atto(lift));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = text.parse::<Usd>();
            let _ = Rate::per_million(&text);
        }
    }
}
