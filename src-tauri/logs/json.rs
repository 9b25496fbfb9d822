//! JSON that is parsed no further than it is asked: logs are mostly content, of which nothing is wanted.
//!
//! Every field stays text until somebody asks for it, so that a field of an unforeseen type costs that field and not the row.

use super::fields::{self, Broken, Fields};
use events::{Timestamp, Usd};
use std::borrow::Cow;

/// The longest id or name that is kept; a longer one is none.
const WORD_BYTES_MAX: usize = 512;
/// How many digits after the point of a second are read: microseconds.
const FRACTION_DIGITS: usize = 6;
/// Numbers from these on are milliseconds, microseconds and nanoseconds since 1970; smaller ones are seconds.
const MILLIS_FROM: i64 = 100_000_000_000;
const MICROS_FROM: i64 = 100_000_000_000_000;
const NANOS_FROM: i64 = 100_000_000_000_000_000;
/// No log is older (2001-09-09): an earlier time is a counter, a placeholder or a damaged clock.
const EARLIEST: Timestamp = Timestamp::from_secs(1_000_000_000);

/// One JSON value, as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// Whole JSON text; `None` where it is none, as far as that is seen without looking into it.
    pub(super) fn parse(text: &'a str) -> Option<Json<'a>> {
        fields::value_at(text.as_bytes()).ok().map(|place| Json(&text[place]))
    }

    /// The value as it stands.
    pub(super) fn raw(self) -> &'a str {
        self.0
    }

    /// Its fields; none where it is no object.
    pub(super) fn object(self) -> Object<'a> {
        Object::read(self.0).unwrap_or_default()
    }

    /// Its fields; `None` where it is no sound object.
    pub(super) fn sound_object(self) -> Option<Object<'a>> {
        Object::read(self.0).ok()
    }

    /// Its elements; none where it is no array.
    pub(super) fn items(self) -> impl Iterator<Item = Json<'a>> {
        fields::items_at(self.0.as_bytes()).map(|place| Json(&self.0[place]))
    }

    /// The value at the end of a path of field names. For more than one field of an object, ask [`Json::object`] once.
    pub(super) fn at(self, path: &[&str]) -> Option<Json<'a>> {
        path.iter().try_fold(self, |value, name| value.object().get(name))
    }

    /// A text of any length, `None` where it is none.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        text_of(self.0)
    }

    /// A name or id: a text that is neither empty nor long, without control characters. A number is its digits.
    pub(super) fn word(self) -> Option<String> {
        let word = match self.0.as_bytes().first()? {
            b'"' => self.text()?,
            b'0'..=b'9' => Cow::Borrowed(self.0),
            _ => return None,
        };
        fits(&word).then(|| word.into_owned())
    }

    /// A provider's id or a model's name. Those have no spaces; what has is another's text in their place.
    pub(super) fn id(self) -> Option<String> {
        self.word().filter(|word| !word.contains(char::is_whitespace))
    }

    /// A count: a whole number that is not negative, see [`count`].
    pub(super) fn count(self) -> Option<u64> {
        count(self.0.as_bytes())
    }

    /// Whether it is an object.
    pub(super) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub(super) fn is_true(self) -> bool {
        self.0 == "true"
    }

    /// An amount of money that is not negative, read from its digits.
    pub(super) fn usd(self) -> Option<Usd> {
        let text = if self.0.starts_with('"') { self.text()? } else { Cow::Borrowed(self.0) };
        text.parse().ok().filter(|cost| *cost >= Usd::default())
    }

    /// An instant, however it is written: a text (see [`instant`]), or a number of seconds, milliseconds, microseconds or nanoseconds
    /// since 1970. `None` where it is none, or none that a log can have.
    pub(super) fn instant(self) -> Option<Timestamp> {
        match self.text() {
            Some(text) => instant(&text),
            None => instant_of_number(self.0),
        }
    }
}

/// The fields of an object, each still text.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    fn read(text: &'a str) -> Result<Object<'a>, Broken> {
        let mut place = Fields::of(text.as_bytes())?;
        let mut fields = Vec::new();
        while let Some(name) = place.name_at()? {
            let name = &text[name];
            let value = Json(&text[place.value_at()?]);
            let name = if name.contains('\\') { unescaped(&format!("\"{name}\"")).ok_or(Broken)?.into() } else { name.into() };
            fields.push((name, value));
        }
        place.end()?;
        Ok(Object(fields))
    }

    /// A field; of several with one name the last. `null` is none.
    pub(super) fn get(&self, name: &str) -> Option<Json<'a>> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value).filter(|value| value.0 != "null")
    }

    /// The first of several names that is there.
    pub(super) fn any(&self, names: &[&str]) -> Option<Json<'a>> {
        names.iter().find_map(|name| self.get(name))
    }

    pub(super) fn word(&self, name: &str) -> Option<String> {
        self.get(name)?.word()
    }

    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.count()
    }

    /// Whether one of these names is there, even with `null`.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        self.0.iter().any(|(known, _)| names.contains(&&**known))
    }

    /// Its fields in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, Json<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }
}

/// A name or id in JSON: a text that is neither empty nor long, without control characters.
pub(super) fn word(raw: &[u8]) -> Option<Cow<'_, str>> {
    let within = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    // Without a way out before the end it is seen on many bytes at once.
    let is_plain = |is: bool, byte: &u8| is & (b' '..0x7f).contains(byte) & (*byte != b'\\') & (*byte != b'"');
    if within.len() <= WORD_BYTES_MAX && within.iter().fold(true, is_plain) {
        return std::str::from_utf8(within).ok().filter(|word| !word.is_empty()).map(Cow::Borrowed);
    }
    text_of(&text(raw)).map(|word| Cow::Owned(word.into_owned())).filter(|word| fits(word))
}

fn fits(word: &str) -> bool {
    !word.is_empty() && word.len() <= WORD_BYTES_MAX && !word.contains(char::is_control)
}

/// What a text in JSON says; `None` where it is none.
fn text_of(raw: &str) -> Option<Cow<'_, str>> {
    let within = raw.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = within.bytes().fold(true, |is, byte| is & (byte != b'\\') & (byte != b'"') & (byte >= b' '));
    if is_plain { Some(Cow::Borrowed(within)) } else { unescaped(raw).map(Cow::Owned) }
}

fn unescaped(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// A count: a whole number that is not negative, as a number or a text (`12`, `12.0`, `1.2e3`, `"12"`, `"1,200"`).
pub(super) fn count(raw: &[u8]) -> Option<u64> {
    let digit = |count: u64, byte: &u8| count.checked_mul(10)?.checked_add(u64::from(byte.is_ascii_digit().then(|| byte - b'0')?));
    let plain = || raw.iter().try_fold(0, digit);
    if raw.is_empty() { None } else { plain().or_else(|| odd_count(raw)) }
}

/// A count that is not written as digits only.
#[cold]
fn odd_count(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?;
    let within = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::trim);
    let (number, exponent) = match within.unwrap_or(text).split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (within.unwrap_or(text), 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if within.is_some() { without_thousands(whole)? } else { whole.to_owned() };
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !is_number(&whole) || !is_number(fraction) {
        return None;
    }
    let digits = whole + fraction.trim_end_matches('0');
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let shift = exponent.checked_sub(i32::try_from(fraction.trim_end_matches('0').len()).ok()?)?;
    match u32::try_from(shift) {
        Ok(shift) => digits.parse::<u64>().ok()?.checked_mul(10u64.checked_pow(shift)?),
        // What lies behind the point is no token.
        Err(_) => {
            let gone = usize::try_from(shift.unsigned_abs()).ok()?;
            let (kept, behind) = digits.split_at_checked(digits.len().checked_sub(gone)?)?;
            behind.bytes().all(|digit| digit == b'0').then(|| if kept.is_empty() { Some(0) } else { kept.parse().ok() })?
        }
    }
}

/// `1,234,567` without its commas; `None` where they do not part thousands.
fn without_thousands(whole: &str) -> Option<String> {
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let is_parted = groups.clone().next().is_some();
    if is_parted && (first.is_empty() || first.len() > 3 || groups.clone().any(|group| group.len() != 3)) {
        return None;
    }
    Some(groups.fold(first.to_owned(), |digits, group| digits + group))
}

/// An instant in a text: RFC 3339, or the same with a space, without seconds or without a zone (which is UTC then, as SQLite writes it),
/// RFC 2822, a day, or a number. `None` where it is none, or none that a log can have.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| odd_instant(text.trim())).filter(|at| *at >= EARLIEST)
}

#[cold]
fn odd_instant(text: &str) -> Option<Timestamp> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return instant_of_number(text);
    }
    // The shortest is a day, the longest names a weekday and a zone.
    if !(10..=64).contains(&text.len()) || !text.is_ascii() {
        return None;
    }
    if text.len() == 10 {
        return Timestamp::parse(&format!("{text}T00:00:00Z"));
    }
    let text = text.strip_suffix("UTC").map_or(text, str::trim_end);
    let (day, clock) = text.split_once(['T', 't', ' '])?;
    let zone_at = clock.find(['Z', 'z', '+', '-', ' ']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone_at);
    let clock = if clock.len() == "10:00".len() { format!("{clock}:00") } else { clock.replace(',', ".") };
    let zone = match zone.trim() {
        "" => "Z".to_owned(),
        // `+0200`
        zone if zone.len() == 5 && zone.starts_with(['+', '-']) => format!("{}:{}", &zone[..3], &zone[3..]),
        zone => zone.to_owned(),
    };
    Timestamp::parse(&format!("{day}T{clock}{zone}")).or_else(|| Timestamp::parse_rfc2822(text))
}

/// An instant as a number since 1970, perhaps with a fraction; its size tells the unit.
fn instant_of_number(number: &str) -> Option<Timestamp> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = match whole.parse::<i64>() {
        Ok(whole) => whole,
        Err(_) => i64::try_from(count(number.as_bytes())?).ok()?,
    };
    let at = match whole {
        ..MILLIS_FROM => {
            let digits: String = fraction.chars().chain("000000".chars()).take(FRACTION_DIGITS).collect();
            Timestamp::from_secs(whole).plus_micros(digits.parse().ok()?)
        }
        MILLIS_FROM..MICROS_FROM => Timestamp::from_millis(whole),
        MICROS_FROM..NANOS_FROM => Timestamp::from_micros(whole),
        NANOS_FROM.. => Timestamp::from_micros(whole / 1000),
    };
    Some(at).filter(|at| *at >= EARLIEST)
}

/// The text of a line. Damaged text lies in content, which is skipped; the rest still counts.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // The lossy reading of sound text is slow, so not at once.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Json<'_> {
        Json::parse(text).expect("JSON")
    }

    #[test]
    fn fields_are_read_one_by_one_and_odd_ones_cost_themselves_only() {
        let object = json(r#"{"a":1,"b":{"c":["x","y"]},"a":2,"n":null,"f":12.0,"g":1.5,"m":-1,"\u0064":"w","e":""}"#).object();
        assert_eq!((object.count("a"), object.count("f"), object.count("g"), object.count("m")), (Some(2), Some(12), None, None));
        assert_eq!((object.word("d").as_deref(), object.word("e"), object.word("a").as_deref()), (Some("w"), None, Some("2")));
        assert!(object.get("n").is_none());
        let words: Vec<_> = object.get("b").and_then(|b| b.at(&["c"])).into_iter().flat_map(Json::items).filter_map(Json::word).collect();
        assert_eq!(words, ["x", "y"]);
    }

    #[test]
    fn numbers_of_any_unit_are_instants() {
        let at = |micros| Some(Timestamp::from_micros(micros));
        assert_eq!(json("1770983426.42").instant(), at(1_770_983_426_420_000));
        assert_eq!(json("1770983426").instant(), at(1_770_983_426_000_000));
        assert_eq!(json("1771083156415").instant(), at(1_771_083_156_415_000));
        assert_eq!(json("1771083156415000").instant(), at(1_771_083_156_415_000));
        assert_eq!(json("1771083156415000999").instant(), at(1_771_083_156_415_000));
        assert_eq!(json("\"1771083156415\"").instant(), at(1_771_083_156_415_000));
        for none in ["0", "-5", "17", "null", "true", "\"1\"", "\"yesterday\"", "{}", "\"1970-01-01T00:00:00Z\""] {
            assert_eq!(json(none).instant(), None, "{none}");
        }
    }

    #[test]
    fn odd_spellings_of_one_time_are_the_same_instant() {
        let at = Timestamp::parse("2026-10-01T10:00:00Z");
        for text in [
            "2026-10-01T10:00:00.000000000Z",
            "2026-10-01t10:00:00z",
            "2026-10-01T10:00:00",
            "2026-10-01 10:00:00",
            "2026-10-01 10:00",
            "2026-10-01 10:00:00Z",
            "2026-10-01 10:00:00 UTC",
            " 2026-10-01T12:00:00+02:00 ",
            "2026-10-01T12:00:00+0200",
            "2026-10-01 12:00:00 +02:00",
            "Thu, 01 Oct 2026 12:00:00 +0200",
            "1790848800",
        ] {
            assert_eq!(instant(text), at, "{text:?}");
        }
        assert_eq!(instant("2026-10-01"), Timestamp::parse("2026-10-01T00:00:00Z"));
    }

    #[test]
    fn whole_numbers_in_any_spelling_are_counts() {
        for (raw, expected) in [
            ("12", 12),
            ("12.0", 12),
            ("1.2e3", 1200),
            ("1E2", 100),
            ("\"12\"", 12),
            ("\" 12.0 \"", 12),
            ("\"1,200\"", 1200),
            ("1200e-2", 12),
            ("0.0", 0),
        ] {
            assert_eq!(json(raw).count(), Some(expected), "{raw}");
        }
        for raw in
            ["-5", "1.5", "null", "\"\"", "\"1,2\"", "\"x\"", "1e999", "99999999999999999999999", "{}", "true", "12e-1", "\"1,20,000\""]
        {
            assert_eq!(json(raw).count(), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            if let Some(json) = Json::parse(&text) {
                json.object();
                let _ = (json.items().count(), json.word(), json.count(), json.usd(), json.instant());
            }
        }
    }
}
