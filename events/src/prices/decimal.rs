//! Cost against a model of it that is slow and plain: decimal digits, multiplied and added as on paper, rounded once.

use super::{AsOf, Cost, Factor, PriceBook, Row};
use crate::{Certainty, Fees, Rate, Timestamp, Tokens, Usage, Usd};
use proptest::prelude::*;

/// Decimal digits, the least first, and how many of them stand behind the point.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Decimal {
    digits: Vec<u8>,
    places: usize,
}

impl Decimal {
    fn of(text: &str) -> Decimal {
        let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        Decimal { digits: text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect(), places }
    }

    fn times(&self, other: &Decimal) -> Decimal {
        let mut digits = vec![0u32; self.digits.len() + other.digits.len()];
        for (i, a) in self.digits.iter().enumerate() {
            for (j, b) in other.digits.iter().enumerate() {
                digits[i + j] += u32::from(*a) * u32::from(*b);
            }
        }
        Decimal { digits: carried(digits), places: self.places + other.places }
    }

    fn plus(&self, other: &Decimal) -> Decimal {
        let places = self.places.max(other.places);
        let (a, b) = (self.with_places(places), other.with_places(places));
        let mut digits = vec![0u32; a.len().max(b.len()) + 1];
        for number in [a, b] {
            number.iter().enumerate().for_each(|(i, digit)| digits[i] += u32::from(*digit));
        }
        Decimal { digits: carried(digits), places }
    }

    fn with_places(&self, places: usize) -> Vec<u8> {
        [vec![0; places - self.places], self.digits.clone()].concat()
    }

    /// In pico-dollars, half to even.
    fn pico(&self) -> i128 {
        let digits = self.with_places(self.places.max(12));
        let (rest, whole) = digits.split_at(self.places.max(12) - 12);
        let value = whole.iter().rev().fold(0i128, |value, digit| value * 10 + i128::from(*digit));
        let up = match rest.split_last() {
            None => false,
            Some((half, lower)) => *half > 5 || (*half == 5 && (lower.iter().any(|digit| *digit > 0) || value % 2 == 1)),
        };
        value + i128::from(up)
    }
}

fn carried(digits: Vec<u32>) -> Vec<u8> {
    let mut carry = 0;
    let mut carried: Vec<u8> = Vec::new();
    for digit in digits {
        carry += digit;
        carried.push((carry % 10) as u8);
        carry /= 10;
    }
    assert_eq!(carry, 0, "there is room for every digit");
    carried
}

/// Rates per million, by class, of a made-up model with a band, a regional factor and one of hours.
fn rate() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..1_000u32).prop_map(|rate| rate.to_string()),
        (0..1_000u32, 1..999_999u32).prop_map(|(whole, part)| format!("{whole}.{part:06}"))
    ]
}

fn book(rates: &[String], above: &[String], geo: &str) -> PriceBook {
    let named = |rates: &[String]| {
        let mut named = super::Rates::default();
        for (class, rate) in ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search"].iter().zip(rates) {
            *named.get_mut(class).expect("a class") = Rate::per_million(rate);
        }
        named
    };
    let row = Row {
        provider: "p".into(),
        model: "m".into(),
        rates: named(rates),
        bands: vec![super::Band { above: 1_000, rates: named(above) }],
        geo: [("us".to_owned(), Factor::parse(geo).expect("a factor"))].into(),
        source: "s".into(),
        set: "t".into(),
        ..Row::default()
    };
    PriceBook::from_json(PriceBook::to_json(&[], &[row]).as_bytes()).expect("a book")
}

proptest! {
    #[test]
    fn cost_is_what_it_is_on_paper(
        rates in prop::collection::vec(rate(), 6), above in prop::collection::vec(rate(), 6), geo in 1..5_000u32, in_us in any::<bool>(),
        calls in prop::collection::vec((prop::collection::vec(prop_oneof![3 => 0..900u64, 1 => 0..9_000_000_000u64], 5), 0..20u32), 1..8),
    ) {
        let geo = format!("{}.{:03}", geo / 1_000, geo % 1_000);
        let book = book(&rates, &above, &geo);
        let mut sum = (Usd::ZERO, 0i128);
        let mut backwards = Usd::ZERO;
        let mut costs = Vec::new();
        for (counts, web_search) in &calls {
            let [input, cache_read, cache_write_5m, cache_write_1h, output] = counts[..] else { unreachable!("five counts") };
            let tokens = Tokens { input, cache_read, cache_write_5m, cache_write_1h, output, ..Tokens::default() };
            let usage = Usage {
                provider: "p".into(),
                model: Some("m".into()),
                geo: in_us.then(|| "us".into()),
                tokens,
                fees: Fees::of_searches(*web_search),
                certainty: Certainty::Reported,
                ..Usage::default()
            };
            let Cost::Priced { usd, .. } = book.cost_of(&usage, AsOf::Instant(Timestamp::default())) else { panic!("it has a price") };
            let held = if tokens.prompt() > 1_000 { &above } else { &rates };
            let million = Decimal::of("0.000001");
            let part = |count: u64, rate: &String| Decimal::of(&count.to_string()).times(&Decimal::of(rate)).times(&million);
            let tokens = counts.iter().zip(held).fold(Decimal::of("0"), |sum, (count, rate)| sum.plus(&part(*count, rate)));
            let factor = if in_us { Decimal::of(&geo) } else { Decimal::of("1") };
            let on_paper = tokens.times(&factor).plus(&part(u64::from(*web_search), &held[5])).pico();
            prop_assert_eq!(usd.pico(), on_paper);
            sum = (sum.0 + usd, sum.1 + on_paper);
            costs.push(usd);
        }
        costs.iter().rev().for_each(|usd| backwards += *usd);
        prop_assert_eq!((sum.0.pico(), backwards), (sum.1, sum.0), "many calls cost what each costs, in any order");
    }
}
