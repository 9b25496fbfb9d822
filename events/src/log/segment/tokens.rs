//! The token classes as columns.

use super::{
    SegmentError,
    bytes::{Reader, put_varint, unzigzag, zigzag},
    frame::Body,
};
use crate::Tokens;

/// Where the count of a class stands in [`Tokens`].
type Class = fn(&mut Tokens) -> &mut u64;

/// The place in this list is the number of the class in segments on people's disks: new ones are added at the end.
const CLASSES: [Class; 13] = [
    |tokens| &mut tokens.input,
    |tokens| &mut tokens.cache_write_5m,
    |tokens| &mut tokens.cache_write_30m,
    |tokens| &mut tokens.cache_write_1h,
    |tokens| &mut tokens.cache_write_12h,
    |tokens| &mut tokens.output,
    |tokens| &mut tokens.input_audio,
    |tokens| &mut tokens.cache_read_audio,
    |tokens| &mut tokens.input_image,
    |tokens| &mut tokens.output_audio,
    |tokens| &mut tokens.output_image,
    |tokens| &mut tokens.reasoning,
    // Last, because it is told from the others.
    |tokens| &mut tokens.cache_read,
];
const CACHE_READ: usize = 12;

/// What the next call of a conversation reads from the cache, if all goes as usual: what this one read, and what it wrote there;
/// where a provider caches unasked and bills no writing (OpenAI), what this one sent anew.
const fn next_read(tokens: &Tokens) -> u64 {
    let written = tokens.cache_writes();
    tokens.cache_read.wrapping_add(if written > 0 { written } else { tokens.input })
}

/// Writes the classes that occur. `profiles` says which profile each row has: calls of one conversation have one.
pub(super) fn put_tokens(body: &mut Body, rows: &[Tokens], profile: &[u32], profiles: usize) {
    let mut all = Tokens::default();
    rows.iter().for_each(|tokens| all.add(tokens));
    let present = (0..CLASSES.len()).filter(|class| *CLASSES[*class](&mut all) > 0).fold(0u64, |bits, class| bits | 1 << class);
    put_varint(&mut body.bytes, present);
    for (number, class) in CLASSES.iter().enumerate().filter(|(number, _)| present & 1 << number != 0) {
        body.cut();
        let mut expected = vec![0u64; if number == CACHE_READ { profiles } else { 0 }];
        for (row, mut tokens) in rows.iter().copied().enumerate() {
            let mut count = *class(&mut tokens);
            if number == CACHE_READ {
                let expected = &mut expected[profile[row] as usize];
                count = zigzag(count.wrapping_sub(*expected) as i64);
                *expected = next_read(&tokens);
            }
            put_varint(&mut body.bytes, count);
        }
    }
}

/// What [`put_tokens`] wrote. Every number in `profile` is below `profiles`.
pub(super) fn read_tokens(reader: &mut Reader<'_>, profile: &[u32], profiles: usize) -> Result<Vec<Tokens>, SegmentError> {
    let mut rows = vec![Tokens::default(); profile.len()];
    let present = reader.varint()?;
    if present >> CLASSES.len() != 0 {
        return Err(SegmentError::Damaged("it has a token class that this program does not know"));
    }
    for (_, class) in CLASSES[..CACHE_READ].iter().enumerate().filter(|(number, _)| present & 1 << number != 0) {
        for tokens in &mut rows {
            *class(tokens) = reader.varint()?;
        }
    }
    if present & 1 << CACHE_READ != 0 {
        let mut expected = vec![0u64; profiles];
        for (tokens, profile) in rows.iter_mut().zip(profile) {
            let expected = &mut expected[*profile as usize];
            tokens.cache_read = expected.wrapping_add(unzigzag(reader.varint()?) as u64);
            *expected = next_read(tokens);
        }
    }
    Ok(rows)
}
