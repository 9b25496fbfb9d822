//! The fields of a JSON object in one pass, each as its bytes. What lies within a value is passed over and not looked at: logs are mostly
//! content, of which nothing is wanted.
//!
//! Objects that are entered must be sound and end; what is passed over must only be as deep where it ends as where it begins.
//! Whoever takes a value checks it.

use memchr::memchr;
use std::ops::Range;

/// Text that is no JSON, or not the JSON that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A place in JSON text.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    /// An object was entered and has given no field yet.
    is_fresh: bool,
}

impl<'a> Fields<'a> {
    /// Of text that is an object.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Fields<'a>, Broken> {
        let mut fields = Fields { bytes, at: 0, is_fresh: false };
        fields.enter()?;
        Ok(fields)
    }

    /// Whether the value that stands next is an object.
    pub(super) fn is_object(&mut self) -> bool {
        self.next() == Some(b'{')
    }

    /// Enters the object that stands next: its fields are given until it ends, then those after it.
    pub(super) fn enter(&mut self) -> Result<(), Broken> {
        self.take(b'{')?;
        self.is_fresh = true;
        Ok(())
    }

    /// The name of the next field, as it is written, whose value stands next; `None` at the end of the object.
    pub(super) fn name(&mut self) -> Result<Option<&'a [u8]>, Broken> {
        Ok(self.name_at()?.map(|place| &self.bytes[place]))
    }

    /// Where the name of the next field stands.
    pub(super) fn name_at(&mut self) -> Result<Option<Range<usize>>, Broken> {
        let is_first = std::mem::take(&mut self.is_fresh);
        match self.next().ok_or(Broken)? {
            b'}' => {
                self.at += 1;
                return Ok(None);
            }
            b',' if !is_first => self.at += 1,
            b'"' if is_first => {}
            _ => return Err(Broken),
        }
        self.take(b'"')?;
        let name = self.text()?;
        self.take(b':')?;
        Ok(Some(name))
    }

    /// The value that stands next, as it is written.
    pub(super) fn value(&mut self) -> Result<&'a [u8], Broken> {
        Ok(&self.bytes[self.value_at()?])
    }

    /// Where the value stands that stands next.
    pub(super) fn value_at(&mut self) -> Result<Range<usize>, Broken> {
        let first = self.next().ok_or(Broken)?;
        let from = self.at;
        match first {
            b'"' => {
                self.at += 1;
                self.text()?;
            }
            b'{' | b'[' => self.nested()?,
            _ => {
                let is_over = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b'"') || byte.is_ascii_whitespace();
                self.at = self.bytes[from..].iter().position(is_over).map_or(self.bytes.len(), |length| from + length);
                if self.at == from {
                    return Err(Broken);
                }
            }
        }
        Ok(from..self.at)
    }

    /// Whether nothing but space is left.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        self.next().map_or(Ok(()), |_| Err(Broken))
    }

    /// The next byte that is no space. A hole, which a crash leaves in a file, is space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0) {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Result<(), Broken> {
        if self.next() != Some(wanted) {
            return Err(Broken);
        }
        self.at += 1;
        Ok(())
    }

    /// What stands before the quote that ends the text.
    fn text(&mut self) -> Result<Range<usize>, Broken> {
        let from = self.at;
        loop {
            let found = self.at + memchr(b'"', self.bytes.get(self.at..).ok_or(Broken)?).ok_or(Broken)?;
            self.at = found + 1;
            // Of several backslashes each second one is the sign that the one before it announces. Content is full of them, and has few quotes.
            let announced = self.bytes[from..found].iter().rev().take_while(|byte| **byte == b'\\').count();
            if announced % 2 == 0 {
                return Ok(from..found);
            }
        }
    }

    /// Passes over an object or an array.
    fn nested(&mut self) -> Result<(), Broken> {
        let mut depth = 0usize;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Broken)?;
            self.at += 1;
            match byte {
                b'"' => {
                    self.text()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }
}

/// The elements of text that is an array, as they are written, up to the first that is none.
pub(super) fn items(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    items_at(bytes).map(|place| &bytes[place])
}

/// Where they stand.
pub(super) fn items_at(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut place = Fields { bytes, at: 0, is_fresh: true };
    let mut is_over = place.take(b'[').is_err();
    std::iter::from_fn(move || {
        let is_first = std::mem::take(&mut place.is_fresh);
        let item = match place.next().filter(|_| !is_over) {
            Some(b',') if !is_first => {
                place.at += 1;
                place.value_at().ok()
            }
            Some(b']') | None => None,
            Some(_) => is_first.then(|| place.value_at().ok()).flatten(),
        };
        is_over = item.is_none();
        item
    })
}

/// Where the only value of the text stands.
pub(super) fn value_at(bytes: &[u8]) -> Result<Range<usize>, Broken> {
    let mut place = Fields { bytes, at: 0, is_fresh: false };
    let value = place.value_at()?;
    place.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use std::collections::BTreeMap;

    /// Names and values.
    type Pairs<'b> = Vec<(&'b [u8], &'b [u8])>;

    fn fields(bytes: &[u8]) -> Result<Pairs<'_>, Broken> {
        let mut place = Fields::of(bytes)?;
        let mut found = Vec::new();
        while let Some(name) = place.name()? {
            found.push((name, place.value()?));
        }
        place.end()?;
        Ok(found)
    }

    /// Any JSON.
    fn json() -> impl Strategy<Value = String> {
        let leaf =
            prop_oneof!["-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,3})?", "\"([a-z é,:{}\\[\\]]|\\\\\\\\|\\\\\"|\\\\u00e9){0,40}\"", "true|null"];
        leaf.prop_recursive(6, 40, 4, |inner| {
            let field = ("[a-z_]{0,9}", inner.clone()).prop_map(|(name, value)| format!("\"{name}\" : {value}"));
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
                proptest::collection::vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn sound_json_is_taken_apart_as_serde_does(json in json()) {
            prop_assert_eq!(value_at(json.as_bytes()), Ok(0..json.len()));
            let of_items: Vec<&[u8]> = items(json.as_bytes()).collect();
            let expected = serde_json::from_str::<Vec<&RawValue>>(&json).unwrap_or_default();
            prop_assert_eq!(of_items, expected.iter().map(|raw| raw.get().as_bytes()).collect::<Vec<_>>());
            let by_name = fields(json.as_bytes()).ok().map(|fields| fields.into_iter().collect::<BTreeMap<_, _>>());
            let expected = serde_json::from_str::<BTreeMap<String, &RawValue>>(&json).ok();
            let expected = expected.as_ref().map(|map| map.iter().map(|(name, raw)| (name.as_bytes(), raw.get().as_bytes())).collect());
            prop_assert_eq!(by_name, expected);
        }

        #[test]
        fn half_of_it_is_none_and_nothing_makes_it_panic(json in json(), cut in 1usize..40, noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            if json.starts_with(['{', '[']) {
                prop_assert_eq!(value_at(&json.as_bytes()[..json.len().saturating_sub(cut)]), Err(Broken));
            }
            let _ = (fields(&noise), items(&noise).count(), value_at(&noise));
        }
    }
}
