//! Numbers and texts as bytes, and back. Reading never panics and takes no memory before it has seen that the bytes are there.

use super::SegmentError;

/// In how many microseconds instants are counted: the first unit that all of a column are whole multiples of.
/// Clients write milliseconds, providers seconds; the zeros behind them would cost a byte each.
const UNITS_MICROS: [i64; 3] = [1_000_000, 1_000, 1];

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_wide(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Small numbers of either sign become small numbers without one.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(super) const fn zigzag_wide(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)) as u128
}

pub(super) const fn unzigzag_wide(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}

/// Instants in microseconds, each as its distance from the one before.
pub(super) fn put_instants(out: &mut Vec<u8>, instants: impl Iterator<Item = i64> + Clone) {
    let fits = |unit: &i64| instants.clone().all(|instant| instant % unit == 0);
    let unit = UNITS_MICROS.iter().position(fits).expect("every instant is a whole number of microseconds");
    out.push(unit as u8);
    let mut last = 0i64;
    for instant in instants {
        let instant = instant / UNITS_MICROS[unit];
        put_varint(out, zigzag(instant.wrapping_sub(last)));
        last = instant;
    }
}

/// FNV-1a. Any single byte that changes changes it.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Bytes that are read from front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> Result<u8, SegmentError> {
        let (first, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], SegmentError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, SegmentError> {
        match *self.rest {
            [one, ref rest @ ..] if one < 0x80 => {
                self.rest = rest;
                Ok(u64::from(one))
            }
            [one, two, ref rest @ ..] if two < 0x80 => {
                self.rest = rest;
                Ok(u64::from(one & 0x7f) | u64::from(two) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, SegmentError> {
        let mut value = 0;
        for (place, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                // The tenth byte has room for the one bit that is left.
                return if place == 9 && *byte > 1 { Err(SegmentError::Damaged("a number is too large")) } else { Ok(value) };
            }
        }
        Err(SHORT)
    }

    pub(super) fn wide(&mut self) -> Result<u128, SegmentError> {
        let mut value = 0u128;
        for (place, byte) in self.rest.iter().take(19).enumerate() {
            value |= u128::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return if place == 18 && *byte > 3 { Err(SegmentError::Damaged("a number is too large")) } else { Ok(value) };
            }
        }
        Err(SHORT)
    }

    /// A number of 32 bits.
    pub(super) fn small(&mut self) -> Result<u32, SegmentError> {
        u32::try_from(self.varint()?).map_err(|_| SegmentError::Damaged("a number is too large"))
    }

    /// How many of something follow: at most `max`, and each has a byte at least.
    pub(super) fn count(&mut self, max: usize) -> Result<usize, SegmentError> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > max || count > self.rest.len() { Err(SegmentError::Damaged("a count is too large")) } else { Ok(count) }
    }

    /// What [`put_bytes`] wrote.
    pub(super) fn counted_bytes(&mut self) -> Result<&'a [u8], SegmentError> {
        let count = self.count(usize::MAX)?;
        self.bytes(count)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, SegmentError> {
        str::from_utf8(self.counted_bytes()?).map_err(|_| NO_TEXT)
    }

    /// What [`put_instants`] wrote.
    pub(super) fn instants(&mut self, count: usize, out: &mut Vec<i64>) -> Result<(), SegmentError> {
        let unit = UNITS_MICROS.get(usize::from(self.byte()?)).ok_or(SegmentError::Damaged("an unknown unit of time"))?;
        let mut last = 0i64;
        for _ in 0..count {
            last = last.wrapping_add(unzigzag(self.varint()?));
            out.push(last.wrapping_mul(*unit));
        }
        Ok(())
    }

    /// Refuses what is left over.
    pub(super) fn end(self) -> Result<(), SegmentError> {
        if self.rest.is_empty() { Ok(()) } else { Err(SegmentError::Damaged("it is longer than it should be")) }
    }
}

const SHORT: SegmentError = SegmentError::Damaged("it is shorter than it should be");
pub(super) const NO_TEXT: SegmentError = SegmentError::Damaged("a text is not UTF-8");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(
            shift in 0u32..64, value in any::<u64>(), wide_shift in 0u32..128, wide in any::<i128>(), signed in any::<i64>(),
        ) {
            let (value, wide) = (value >> shift, wide >> wide_shift);
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            put_wide(&mut bytes, zigzag_wide(wide));
            put_varint(&mut bytes, zigzag(signed));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint().expect("reads"), value);
            prop_assert_eq!(unzigzag_wide(reader.wide().expect("reads")), wide);
            prop_assert_eq!(unzigzag(reader.varint().expect("reads")), signed);
            reader.end().expect("all is read");
        }

        #[test]
        fn instants_are_read_as_they_were_written(unit in 0usize..3, instants in prop::collection::vec(any::<i64>(), 0..50)) {
            let instants: Vec<i64> = instants.into_iter().map(|instant| instant / UNITS_MICROS[unit] * UNITS_MICROS[unit]).collect();
            let mut bytes = Vec::new();
            put_instants(&mut bytes, instants.iter().copied());
            let (mut reader, mut read) = (Reader::new(&bytes), Vec::new());
            reader.instants(instants.len(), &mut read).expect("reads");
            reader.end().expect("all is read");
            prop_assert_eq!(read, instants);
        }
    }

    #[test]
    fn the_largest_numbers_are_read_and_larger_ones_refused() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        put_wide(&mut bytes, u128::MAX);
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.varint().expect("reads"), reader.wide().expect("reads")), (u64::MAX, u128::MAX));
        let mut more = bytes[..10].to_vec();
        more[9] = 2;
        assert!(Reader::new(&more).varint().is_err());
        assert!(Reader::new(&[0xff; 30]).wide().is_err());
    }
}
