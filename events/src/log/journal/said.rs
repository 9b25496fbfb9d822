//! What a provider said, with its numbers named after the tokens that were made of them: `"output_tokens":"=output"`.
//!
//! Nearly every number in a usage object is one that the usage beside it has too. Named, the object is the same text in line after line,
//! and the compressor keeps it for nothing.

use crate::Tokens;

/// The classes by name. Taken apart without `..`, so that a new class cannot be forgotten.
pub(super) fn classes(tokens: &Tokens) -> [(&'static str, u64); 13] {
    let Tokens {
        input,
        cache_read,
        cache_write_5m,
        cache_write_30m,
        cache_write_1h,
        cache_write_12h,
        output,
        input_audio,
        cache_read_audio,
        input_image,
        output_audio,
        output_image,
        reasoning,
    } = *tokens;
    [
        ("input", input),
        ("cache_read", cache_read),
        ("cache_write_5m", cache_write_5m),
        ("cache_write_30m", cache_write_30m),
        ("cache_write_1h", cache_write_1h),
        ("cache_write_12h", cache_write_12h),
        ("output", output),
        ("input_audio", input_audio),
        ("cache_read_audio", cache_read_audio),
        ("input_image", input_image),
        ("output_audio", output_audio),
        ("output_image", output_image),
        ("reasoning", reasoning),
    ]
}

/// Writes the JSON text with every number that some class has replaced by the class's name.
///
/// `false`, and half a text behind, where a string of its own begins like a name: such a text is kept as it is.
pub(super) fn write_in_tokens(text: &str, tokens: &Tokens, out: &mut Vec<u8>) -> bool {
    let mut classes = classes(tokens);
    // Few calls have more than four, and every number is looked up.
    let mut counted = 0;
    for place in 0..classes.len() {
        if classes[place].1 > 0 {
            classes.swap(counted, place);
            counted += 1;
        }
    }
    let classes = &classes[..counted];
    let text = text.as_bytes();
    // What is copied as it stands is copied at once.
    let (mut at, mut copied) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                if text.get(at + 1) == Some(&b'=') {
                    return false;
                }
                at += string_bytes(&text[at..]);
            }
            b'0'..=b'9' | b'-' => {
                let length = text[at..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
                let number = &text[at..at + length];
                if let Some((name, _)) = count(number).and_then(|count| classes.iter().find(|(_, class)| *class == count)) {
                    out.extend_from_slice(&text[copied..at]);
                    out.extend_from_slice(b"\"=");
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'"');
                    copied = at + length;
                }
                at += length;
            }
            // Between the words of JSON a line's end is a space like any other.
            b'\n' | b'\r' => {
                out.extend_from_slice(&text[copied..at]);
                out.push(b' ');
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(&text[copied..]);
    true
}

/// The text with its names replaced by the numbers. `Err` says which name is unknown.
pub(super) fn in_numbers(text: &str, tokens: &Tokens) -> Result<String, String> {
    let classes = classes(tokens);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let (before, string) = rest.split_at(start);
        let (string, behind) = string.split_at(string_bytes(string.as_bytes()));
        out.push_str(before);
        match string.strip_prefix("\"=") {
            None => out.push_str(string),
            Some(name) => {
                let name = name.strip_suffix('"').unwrap_or(name);
                let Some((_, count)) = classes.iter().find(|(class, _)| *class == name) else {
                    return Err(format!("it names tokens that are unknown: {name:?}"));
                };
                out.push_str(&count.to_string());
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// The length of the string that the text begins with, quotes included; all of it where the string does not end.
fn string_bytes(text: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// A count of tokens as it is written: digits, nothing before them, not zero (of which there are too many to mean a class).
fn count(number: &[u8]) -> Option<u64> {
    if !matches!(number.first(), Some(b'1'..=b'9')) {
        return None;
    }
    number.iter().try_fold(0u64, |count, byte| match byte {
        b'0'..=b'9' => count.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn tokens() -> Tokens {
        Tokens { input: 3, cache_read: 21_737, cache_write_1h: 8193, output: 611, ..Tokens::default() }
    }

    #[test]
    fn numbers_that_the_usage_has_are_named() {
        let text = r#"{"a\"3":{"w":8193,"z":0},"i":3,"r":[21737,3.5,-3,30],"o":611,"t":"standard 3"}"#;
        let mut named = Vec::new();
        assert!(write_in_tokens(text, &tokens(), &mut named));
        let named = String::from_utf8(named).expect("text");
        assert_eq!(
            named,
            r#"{"a\"3":{"w":"=cache_write_1h","z":0},"i":"=input","r":["=cache_read",3.5,-3,30],"o":"=output","t":"standard 3"}"#
        );
        assert_eq!(in_numbers(&named, &tokens()), Ok(text.into()));
        assert!(!write_in_tokens(r#"{"a":"=input"}"#, &tokens(), &mut Vec::new()));
        assert!(in_numbers(r#"{"a":"=sound"}"#, &tokens()).is_err());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..700u64).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[a=\"\\\\\n3é]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a=\"]{0,3}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_named_is_said_again_to_the_letter(value in json(), input in 0..700u64, output in 0..700u64) {
            let tokens = Tokens { input, output, ..Tokens::default() };
            let text = value.to_string();
            let mut named = Vec::new();
            if write_in_tokens(&text, &tokens, &mut named) {
                let named = String::from_utf8(named).expect("text stays text");
                prop_assert_eq!(in_numbers(&named, &tokens), Ok(text));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[\"=\\\\0-9a]{0,20}") {
            let _ = write_in_tokens(&text, &tokens(), &mut Vec::new());
            let _ = in_numbers(&text, &tokens());
        }
    }
}
