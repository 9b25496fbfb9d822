//! UTF-16, as PowerShell and some editors write it, decoded to UTF-8.

use std::io::{self, Read, Seek, SeekFrom};

/// U+FEFF at the beginning of text, in UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How much is decoded at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The order of the two bytes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    LittleEndian,
    BigEndian,
}

/// The encoding of text that begins so, if it is UTF-16: by its byte order mark, or by the zero beside its first sign, which is ASCII in JSON
/// and in tables.
fn encoding_of(head: &[u8]) -> Option<Encoding> {
    match head {
        [0xff, 0xfe, ..] => Some(Encoding::LittleEndian),
        [0xfe, 0xff, ..] => Some(Encoding::BigEndian),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => Some(Encoding::LittleEndian),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => Some(Encoding::BigEndian),
        _ => None,
    }
}

/// The encoding of a file, if it is UTF-16. The file stands at its beginning afterwards.
pub(super) fn encoding<F: Read + Seek>(file: &mut F) -> io::Result<Option<Encoding>> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::with_capacity(4);
    Read::take(&mut *file, 4).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(encoding_of(&head))
}

/// A whole document in UTF-8, whatever it was in.
pub(super) fn decoded(bytes: Vec<u8>) -> Vec<u8> {
    let Some(encoding) = encoding_of(&bytes) else { return bytes };
    let mut text = Vec::new();
    // Reading from memory does not fail.
    match Utf16::new(&bytes[..], encoding).read_to_end(&mut text) {
        Ok(_) => text,
        Err(_) => bytes,
    }
}

/// Text in UTF-8 from a source in UTF-16.
pub(super) struct Utf16<R> {
    source: R,
    encoding: Encoding,
    /// Bytes that were read and not yet decoded: half a unit, or half a pair.
    waiting: Vec<u8>,
    /// Decoded text from `given` on is to be given out.
    text: Vec<u8>,
    given: usize,
    is_over: bool,
}

impl<R: Read> Utf16<R> {
    pub(super) fn new(source: R, encoding: Encoding) -> Utf16<R> {
        Utf16 { source, encoding, waiting: Vec::new(), text: Vec::new(), given: 0, is_over: false }
    }

    fn fill(&mut self) -> io::Result<()> {
        let read = (&mut self.source).take(CHUNK_BYTES as u64).read_to_end(&mut self.waiting)?;
        self.is_over = read == 0;
        let unit = |pair: &[u8]| match (self.encoding, pair) {
            (Encoding::LittleEndian, [low, high]) => u16::from_le_bytes([*low, *high]),
            (Encoding::BigEndian, [high, low]) => u16::from_be_bytes([*high, *low]),
            (_, _) => 0xfffd,
        };
        let mut units: Vec<u16> = self.waiting.chunks_exact(2).map(unit).collect();
        let is_half = |unit: &u16| (0xd800..0xdc00).contains(unit);
        let kept = units.pop_if(|unit| !self.is_over && is_half(unit)).map_or(0, |_| 2) + self.waiting.len() % 2;
        self.waiting.drain(..self.waiting.len() - kept);
        if self.is_over {
            self.waiting.clear();
        }
        (self.text, self.given) = (Vec::with_capacity(units.len()), 0);
        for sign in char::decode_utf16(units) {
            let mut bytes = [0; 4];
            let sign = sign.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.text.extend_from_slice(sign.encode_utf8(&mut bytes).as_bytes());
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.is_over {
            self.fill()?;
        }
        let count = into.len().min(self.text.len() - self.given);
        into[..count].copy_from_slice(&self.text[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(text: &str, encoding: Encoding) -> Vec<u8> {
        let bytes = |unit: u16| if encoding == Encoding::LittleEndian { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_to_itself(text in "\\PC{0,80}", is_little in any::<bool>(), mark in any::<bool>()) {
            let encoding = if is_little { Encoding::LittleEndian } else { Encoding::BigEndian };
            let text = if mark { format!("\u{feff}{text}") } else { format!("{{\"a\":{text}") };
            prop_assert_eq!(decoded(encoded(&text, encoding)), text.into_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), is_little in any::<bool>()) {
            let encoding = if is_little { Encoding::LittleEndian } else { Encoding::BigEndian };
            let mut text = Vec::new();
            prop_assert!(Utf16::new(&bytes[..], encoding).read_to_end(&mut text).is_ok() && std::str::from_utf8(&text).is_ok());
        }
    }

    #[test]
    fn a_pair_of_units_over_two_chunks_is_one_sign() {
        let text = format!("{{{}\u{1f600}", "x".repeat(CHUNK_BYTES / 2 - 2));
        assert_eq!(decoded(encoded(&text, Encoding::LittleEndian)), text.into_bytes());
    }
}
