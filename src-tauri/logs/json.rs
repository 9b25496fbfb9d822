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

    /// A count: a whole number that is not negative, however it is written (`12`, `12.0`).
    pub(super) fn count(self) -> Option<u64> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((self.0, ""));
        fraction.bytes().all(|digit| digit == b'0').then(|| whole.parse().ok())?
    }

    pub(super) fn is_true(self) -> bool {
        self.0 == "true"
    }

    /// An amount of money that is not negative, read from its digits.
    pub(super) fn usd(self) -> Option<Usd> {
        let text = if self.0.starts_with('"') { self.text()? } else { Cow::Borrowed(self.0) };
        text.parse().ok().filter(|cost| *cost >= Usd::default())
    }

    /// RFC 3339.
    pub(super) fn time(self) -> Option<Timestamp> {
        Timestamp::parse(&self.text()?)
    }

    /// Milliseconds since the epoch, perhaps with a fraction.
    pub(super) fn millis(self) -> Option<Timestamp> {
        let whole = self.0.split_once('.').map_or(self.0, |(whole, _)| whole);
        whole.parse::<i64>().ok().filter(|millis| *millis > 0).map(Timestamp::from_millis)
    }

    /// Seconds since the epoch, perhaps with a fraction.
    pub(super) fn secs(self) -> Option<Timestamp> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((self.0, ""));
        let secs = whole.parse::<i64>().ok().filter(|secs| *secs > 0)?;
        let digits: String = fraction.chars().chain("000000".chars()).take(FRACTION_DIGITS).collect();
        Some(Timestamp::from_secs(secs).plus_micros(digits.parse().ok()?))
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

/// `2026-04-15 10:05:00`, as SQLite writes a time, which is UTC.
pub(super) fn written_plainly(at: Json<'_>) -> Option<Timestamp> {
    Timestamp::parse(&format!("{}Z", at.text()?.replacen(' ', "T", 1)))
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
    fn times_are_read_from_their_digits() {
        let at = |micros| Some(Timestamp::from_micros(micros));
        assert_eq!(json("1770983426.42").secs(), at(1_770_983_426_420_000));
        assert_eq!(json("1770983426").secs(), at(1_770_983_426_000_000));
        assert_eq!(json("1771083156415").millis(), at(1_771_083_156_415_000));
        assert_eq!((json("0").secs(), json("null").secs(), json("\"1\"").millis()), (None, None, None));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            if let Some(json) = Json::parse(&text) {
                json.object();
                let _ = (json.items().count(), json.word(), json.count(), json.usd(), json.time(), json.millis(), json.secs());
            }
        }
    }
}
