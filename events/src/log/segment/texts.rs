//! A column of texts that most rows have and that begin alike, as ids do: each is what it shares with the one before, and the rest.

use super::{
    SegmentError,
    bytes::{NO_TEXT, Reader, put_varint},
    frame::{BODY_BYTES_MAX, Body},
};

/// Writes the texts. What they have in common is found again by the reader, so it is bounded here too.
pub(super) fn put_texts<'a>(body: &mut Body, texts: impl Iterator<Item = Option<&'a str>> + Clone) -> Result<(), SegmentError> {
    let mut last: &str = "";
    let (mut lengths, mut rests, mut spread_bytes) = (Vec::new(), Vec::new(), 0);
    body.cut();
    for text in texts {
        let Some(text) = text else {
            put_varint(&mut body.bytes, 0);
            continue;
        };
        let shared = last.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
        put_varint(&mut body.bytes, 1 + shared as u64);
        put_varint(&mut lengths, (text.len() - shared) as u64);
        rests.extend_from_slice(&text.as_bytes()[shared..]);
        if text != last {
            spread_bytes += text.len();
        }
        last = text;
    }
    if spread_bytes > BODY_BYTES_MAX {
        return Err(SegmentError::TooLarge(spread_bytes));
    }
    body.bytes.extend_from_slice(&lengths);
    body.cut();
    body.bytes.extend_from_slice(&rests);
    body.cut();
    Ok(())
}

/// The texts of a column, whole.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: String,
    /// Where in `all` a row's text begins and ends. Equal neighbours stand there once.
    places: Vec<Option<(u32, u32)>>,
}

impl Texts {
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        let (begin, end) = self.places.get(row).copied().flatten()?;
        self.all.get(begin as usize..end as usize)
    }

    /// What [`put_texts`] wrote for `rows` rows.
    pub(super) fn read(reader: &mut Reader<'_>, rows: usize) -> Result<Texts, SegmentError> {
        let mut shared = Vec::with_capacity(rows);
        for _ in 0..rows {
            shared.push(reader.small()?);
        }
        let mut lengths = Vec::with_capacity(rows);
        for _ in shared.iter().filter(|shared| **shared > 0) {
            lengths.push(reader.small()? as usize);
        }
        let mut texts =
            Texts { all: String::with_capacity(lengths.iter().sum::<usize>().min(BODY_BYTES_MAX)), places: Vec::with_capacity(rows) };
        let (mut text, mut place) = (Vec::new(), (0, 0));
        let mut lengths = lengths.into_iter();
        for shared in shared {
            let Some(shared) = shared.checked_sub(1) else {
                texts.places.push(None);
                continue;
            };
            let (shared, length) = (shared as usize, lengths.next().unwrap_or(0));
            if shared > text.len() {
                return Err(SegmentError::Damaged("a text shares more than there is"));
            }
            if shared < text.len() || length > 0 {
                text.truncate(shared);
                text.extend_from_slice(reader.bytes(length)?);
                if texts.all.len() + text.len() > BODY_BYTES_MAX {
                    return Err(SegmentError::Damaged("its texts are too long"));
                }
                let begin = texts.all.len() as u32;
                texts.all.push_str(str::from_utf8(&text).map_err(|_| NO_TEXT)?);
                place = (begin, texts.all.len() as u32);
            }
            texts.places.push(Some(place));
        }
        Ok(texts)
    }
}
