//! Amounts and counts as people read them. The exact ones stand in `--json`.

use events::{Timestamp, Usd};

/// Dollars, rounded to the cent; below a cent to four places, and what is less than those says so.
pub fn dollars(amount: Usd) -> String {
    const PICO_PER_CENT: u128 = 10_000_000_000;
    const PICO_PER_BIT: u128 = 100_000_000;
    let sign = if amount.pico() < 0 { "-" } else { "" };
    let pico = amount.pico().unsigned_abs();
    if pico >= PICO_PER_CENT || pico == 0 {
        let cents = (pico + PICO_PER_CENT / 2) / PICO_PER_CENT;
        return format!("{sign}${}.{:02}", grouped(cents / 100), cents % 100);
    }
    match (pico + PICO_PER_BIT / 2) / PICO_PER_BIT {
        0 => format!("{sign}<$0.0001"),
        100 => format!("{sign}$0.01"),
        bits => format!("{sign}$0.{bits:04}"),
    }
}

/// A count with its thousands apart: `1,234,567`.
pub fn grouped(count: u128) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of tokens in three digits: `842`, `1.2 k`, `318 k`, `12.4 M`.
pub fn tokens(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((unit, letter)) = UNITS.into_iter().find(|(unit, _)| count >= *unit) else { return count.to_string() };
    let tenths = u128::from(count) * 10 / u128::from(unit);
    if tenths >= 1000 { format!("{} {letter}", tenths / 10) } else { format!("{}.{} {letter}", tenths / 10, tenths % 10) }
}

/// How long ago an instant is, in one unit: `4 s ago`, `3 h ago`; `just now` for the present and the future.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.micros().saturating_sub(at.micros()) / 1_000_000;
    match seconds {
        ..1 => "just now".into(),
        1..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// `1 call`, `2 calls`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count.into()), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_for_the_eye() {
        let said = |text: &str| dollars(text.parse().expect("an amount"));
        assert_eq!(said("0"), "$0.00");
        assert_eq!(said("14.265"), "$14.27");
        assert_eq!(said("1234567.891"), "$1,234,567.89");
        assert_eq!(said("0.00421"), "$0.0042");
        assert_eq!(said("0.00001"), "<$0.0001");
        assert_eq!(said("0.009999"), "$0.01");
        assert_eq!(said("-3.5"), "-$3.50");
    }

    #[test]
    fn tokens_are_said_in_three_digits() {
        assert_eq!([842, 1_250, 99_999, 318_400, 12_400_000].map(tokens), ["842", "1.2 k", "99.9 k", "318 k", "12.4 M"]);
    }
}
