//! Percent-encoded text of a path, and back.

/// The bytes behind `%41` and the like. What is no such escape stands for itself.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    let hex = |digit: &u8| char::from(*digit).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(high).zip(hex(low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    bytes
}

/// A text as one part of a path.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_what_is_none_stands_for_itself() {
        for (text, expected) in [("a%41b", "aAb"), ("%c3%A4", "ä"), ("100%", "100%"), ("%4", "%4"), ("%zz%%30", "%zz%0"), ("", "")] {
            assert_eq!(decoded(text), expected.as_bytes(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in ".{0,40}") {
            proptest::prop_assert_eq!(decoded(&encoded(&text)), text.as_bytes());
        }
    }
}
