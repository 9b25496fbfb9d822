//! Decimal numbers of any length, multiplied and added as at school: the model that costs are held to.

use std::cmp::Ordering;

/// Digits from the least on, and how many of them stand behind the point.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    digits: Vec<u8>,
    places: usize,
}

impl Decimal {
    pub(super) fn of(text: &str) -> Decimal {
        let places = text.split_once('.').map_or(0, |(_, behind)| behind.len());
        Decimal { digits: text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect(), places }
    }

    pub(super) fn times(&self, other: &Decimal) -> Decimal {
        let mut sums = vec![0u32; self.digits.len() + other.digits.len() + 1];
        for (place, one) in self.digits.iter().enumerate() {
            for (shift, digit) in other.digits.iter().enumerate() {
                sums[place + shift] += u32::from(*one) * u32::from(*digit);
            }
        }
        Decimal { digits: carried(sums), places: self.places + other.places }
    }

    pub(super) fn plus(&self, other: &Decimal) -> Decimal {
        let places = self.places.max(other.places);
        let (one, other) = (self.with_places(places), other.with_places(places));
        let digit = |digits: &[u8], place: usize| u32::from(digits.get(place).copied().unwrap_or(0));
        let length = one.digits.len().max(other.digits.len()) + 1;
        let sums = (0..length).map(|place| digit(&one.digits, place) + digit(&other.digits, place)).collect();
        Decimal { digits: carried(sums), places }
    }

    fn with_places(&self, places: usize) -> Decimal {
        let zeros = vec![0; places - self.places];
        Decimal { digits: [zeros, self.digits.clone()].concat(), places }
    }

    /// Half to even, with so many places.
    pub(super) fn rounded(&self, places: usize) -> Decimal {
        if self.places <= places {
            return self.with_places(places);
        }
        let cut = self.places - places;
        let mut digits = self.digits.clone();
        digits.resize(digits.len().max(cut + 1), 0);
        let kept = Decimal { digits: digits[cut..].to_vec(), places };
        let half = (digits[cut - 1].cmp(&5)).then(if digits[..cut - 1].iter().any(|digit| *digit > 0) {
            Ordering::Greater
        } else {
            Ordering::Equal
        });
        let up = half == Ordering::Greater || (half == Ordering::Equal && kept.digits[0] % 2 == 1);
        if up { kept.plus(&Decimal { digits: vec![1], places }) } else { kept }
    }

    /// As an amount is written.
    pub(super) fn text(&self) -> String {
        let mut digits = self.digits.clone();
        while digits.len() > self.places + 1 && digits.last() == Some(&0) {
            digits.pop();
        }
        digits.resize(digits.len().max(self.places + 1), 0);
        let text: String = digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect();
        format!("{}.{}", &text[..text.len() - self.places], &text[text.len() - self.places..])
    }
}

fn carried(sums: Vec<u32>) -> Vec<u8> {
    let mut carry = 0;
    let mut digits: Vec<u8> = Vec::with_capacity(sums.len() + 2);
    for sum in sums {
        let sum = sum + carry;
        digits.push(u8::try_from(sum % 10).expect("a digit"));
        carry = sum / 10;
    }
    while carry > 0 {
        digits.push(u8::try_from(carry % 10).expect("a digit"));
        carry /= 10;
    }
    digits
}
