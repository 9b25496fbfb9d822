//! The first bits of every print of a run, held in memory: they say that a key is not in the run, or where its record lies.
//!
//! This is Elias and Fano's code. The first `bucket_bits` of a print name its bucket; there are about as many buckets as keys.
//! For each group of buckets there stand, one behind the other so that a lookup touches one place: a row of bits, for each
//! bucket as many ones as it has keys and then a zero; and eight more bits of each print. Where a group begins follows from
//! the number of keys before it, which stands in a table in front. That makes some eleven bits a key, and one in 170 keys that
//! are not there gets past it. A Bloom filter of the same size lets more through and does not say where to look.

use super::print::{PRINT_BITS, Print};
use std::ops::Range;

/// How many bits of a print follow its bucket here.
const LOW_BITS: u32 = 8;
const GROUP_BUCKETS: u64 = 32;
/// A group's row has a bit per key and one per bucket.
const BITS_PER_KEY: u64 = 1 + LOW_BITS as u64;
/// Bits are read and written in a window of 16 bytes, which may reach beyond the last of them.
const WINDOW_BYTES: usize = 16;
/// In the table: how many keys come before a group.
const START_BYTES: u64 = 4;

/// Where the parts lie. All of it follows from the number of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    count: u64,
    bucket_bits: u32,
    groups: u64,
    /// Where the first group begins, behind the table.
    groups_at: usize,
    bytes: usize,
}

impl Layout {
    /// `None` for more keys than fit an address or the table.
    pub(super) fn of(count: u64) -> Option<Layout> {
        let bucket_bits = u32::try_from(count).ok()?.max(1).ilog2();
        let groups = (1u64 << bucket_bits).div_ceil(GROUP_BUCKETS);
        // One start more: where the last group ends.
        let groups_at = (groups + 1) * START_BYTES;
        let bytes = groups_at + (count * BITS_PER_KEY + groups * GROUP_BUCKETS).div_ceil(8) + WINDOW_BYTES as u64;
        Some(Layout { count, bucket_bits, groups, groups_at: usize::try_from(groups_at).ok()?, bytes: usize::try_from(bytes).ok()? })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bits of a print are not here but in its record.
    pub(super) fn rest_bits(&self) -> u32 {
        PRINT_BITS - LOW_BITS - self.bucket_bits
    }

    fn bucket(&self, print: Print) -> u64 {
        print.0 >> (PRINT_BITS - self.bucket_bits)
    }

    fn low(&self, print: Print) -> u8 {
        (print.0 >> self.rest_bits()) as u8
    }
}

/// A group of buckets: the places of its keys in the run, and the bits at which its row and its lows begin.
#[derive(Debug)]
struct Group {
    keys: Range<u64>,
    row: u64,
    lows: u64,
}

/// The first bits of every print of a run, as they lie in its file.
#[derive(Debug)]
pub(super) struct Prefixes {
    layout: Layout,
    bytes: Vec<u8>,
}

impl Prefixes {
    /// `None` for bytes that are too many or too few. That they are the right ones is for a checksum to say.
    pub(super) fn new(layout: Layout, bytes: Vec<u8>) -> Option<Prefixes> {
        (bytes.len() == layout.bytes).then_some(Prefixes { layout, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The places in the run of all prints that begin like this one. `None` if the bytes contradict themselves.
    pub(super) fn find(&self, print: Print) -> Option<Range<u64>> {
        let bucket = self.layout.bucket(print);
        let group = self.group(bucket / GROUP_BUCKETS)?;
        let nth = bucket % GROUP_BUCKETS;
        let bits = self.pass_zeros(group.row, nth as u32)?;
        let first = (group.keys.start + (bits - group.row)).checked_sub(nth)?;
        let end = first + self.ones(bits)?;
        if first == end {
            return Some(0..0);
        }
        if end > group.keys.end {
            return None;
        }
        let low = self.layout.low(print);
        let low_of = |key: u64| self.low(group.lows + (key - group.keys.start) * u64::from(LOW_BITS));
        let start = first_where(first..end, |key| Some(low_of(key)? >= low))?;
        Some(start..first_where(start..end, |key| Some(low_of(key)? > low))?)
    }

    /// The first bits of every print, in order, with zeros for the bits that are in the records. Ends early if the bytes contradict themselves.
    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { prefixes: self, next_group: 0, group: Group { keys: 0..0, row: 0, lows: 0 }, bucket: 0 }
    }

    fn group(&self, group: u64) -> Option<Group> {
        let at = usize::try_from(group * START_BYTES).ok()?;
        let [a, b, c, d, e, f, g, h] = *self.bytes.get(at..self.layout.groups_at)?.first_chunk()?;
        let start = u64::from(u32::from_le_bytes([a, b, c, d]));
        let end = u64::from(u32::from_le_bytes([e, f, g, h]));
        let row = start * BITS_PER_KEY + group * GROUP_BUCKETS;
        Some(Group { keys: start..end, row, lows: row + end.checked_sub(start)? + GROUP_BUCKETS })
    }

    /// The bit behind the `number`th zero from a bit on.
    fn pass_zeros(&self, mut at: u64, number: u32) -> Option<u64> {
        let mut left = number;
        while left > 0 {
            let zeros = !self.word(at)?;
            let found = zeros.count_ones();
            if left <= found {
                return Some(at + u64::from(place_of_one(zeros, left)) + 1);
            }
            left -= found;
            at += u64::from(u64::BITS);
        }
        Some(at)
    }

    /// How many ones there are from a bit on, before the next zero.
    fn ones(&self, at: u64) -> Option<u64> {
        let mut ones = 0;
        loop {
            let more = (!self.word(at + ones)?).trailing_zeros();
            ones += u64::from(more);
            if more < u64::BITS {
                return Some(ones);
            }
        }
    }

    fn low(&self, at: u64) -> Option<u8> {
        self.word(at).map(|word| word as u8)
    }

    /// The 64 bits from a bit on.
    fn word(&self, at: u64) -> Option<u64> {
        let byte = self.layout.groups_at + usize::try_from(at / 8).ok()?;
        let window = self.bytes.get(byte..)?.first_chunk::<WINDOW_BYTES>()?;
        Some((u128::from_le_bytes(*window) >> (at % 8)) as u64)
    }
}

/// The prints of a run, as far as they are in its prefixes.
pub(super) struct Iter<'a> {
    prefixes: &'a Prefixes,
    next_group: u64,
    /// What is left of the group: its keys, and the bits of the next ones.
    group: Group,
    bucket: u64,
}

impl Iterator for Iter<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let layout = &self.prefixes.layout;
        while self.group.keys.start == self.group.keys.end {
            self.group = self.prefixes.group(self.next_group)?;
            self.bucket = self.next_group * GROUP_BUCKETS;
            self.next_group += 1;
        }
        loop {
            let bits = self.prefixes.word(self.group.row)?;
            if bits != 0 {
                let zeros = u64::from(bits.trailing_zeros());
                self.bucket += zeros;
                self.group.row += zeros + 1;
                break;
            }
            self.bucket += u64::from(u64::BITS);
            self.group.row += u64::from(u64::BITS);
        }
        let low = self.prefixes.low(self.group.lows)?;
        self.group.lows += u64::from(LOW_BITS);
        self.group.keys.start += 1;
        Some((self.bucket << LOW_BITS | u64::from(low)) << layout.rest_bits())
    }
}

/// The first place for which `is_there` holds, of places for which it holds from some place on.
fn first_where(places: Range<u64>, is_there: impl Fn(u64) -> Option<bool>) -> Option<u64> {
    let Range { mut start, mut end } = places;
    while start < end {
        let middle = start + (end - start) / 2;
        if is_there(middle)? {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    Some(start)
}

/// Where the `number`th one of a word is, counted from 1. The word has as many.
///
/// Sums of ones by byte, all at once; comparing them all at once finds the byte.
fn place_of_one(word: u64, number: u32) -> u32 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let pairs = word - (word >> 1 & 0x5555_5555_5555_5555);
    let fours = (pairs & 0x3333_3333_3333_3333) + (pairs >> 2 & 0x3333_3333_3333_3333);
    let sums = ((fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(EACH);
    // A top bit stays where the sum up to and with a byte is less than `number`.
    let less = ((u64::from(number - 1) * EACH) | TOPS).wrapping_sub(sums) & TOPS;
    let passed = ((less >> 7).wrapping_mul(EACH) >> 56) as u32 * 8;
    let before = (sums << 8 >> passed) as u32 & 0xff;
    let mut byte = (word >> passed) as u32 & 0xff;
    for _ in 1..number - before {
        byte &= byte - 1;
    }
    passed + byte.trailing_zeros()
}

/// Prefixes in the making.
pub(super) struct PrefixesBuilder {
    prefixes: Prefixes,
    /// The group that is being filled: the bucket in it and the low bits of each key.
    group: u64,
    keys: Vec<(u8, u8)>,
    keys_before: u64,
}

impl PrefixesBuilder {
    pub(super) fn new(layout: Layout) -> PrefixesBuilder {
        PrefixesBuilder { prefixes: Prefixes { layout, bytes: vec![0; layout.bytes] }, group: 0, keys: Vec::new(), keys_before: 0 }
    }

    /// Adds a print that is not less than those before it. The caller adds no more than the layout is for.
    pub(super) fn push(&mut self, print: Print) {
        let layout = self.prefixes.layout;
        let bucket = layout.bucket(print);
        while self.group < bucket / GROUP_BUCKETS {
            self.close_group();
        }
        self.keys.push(((bucket % GROUP_BUCKETS) as u8, layout.low(print)));
    }

    /// `None` if there are fewer prints than the layout is for.
    pub(super) fn finish(mut self) -> Option<Prefixes> {
        while self.group < self.prefixes.layout.groups {
            self.close_group();
        }
        self.put_start();
        (self.keys_before == self.prefixes.layout.count).then_some(self.prefixes)
    }

    fn close_group(&mut self) {
        self.put_start();
        let row = self.keys_before * BITS_PER_KEY + self.group * GROUP_BUCKETS;
        let lows = row + self.keys.len() as u64 + GROUP_BUCKETS;
        let bytes = &mut self.prefixes.bytes[self.prefixes.layout.groups_at..];
        for (place, (bucket, low)) in (0u64..).zip(self.keys.drain(..)) {
            put(bytes, row + u64::from(bucket) + place, 1);
            put(bytes, lows + place * u64::from(LOW_BITS), low);
            self.keys_before += 1;
        }
        self.group += 1;
    }

    fn put_start(&mut self) {
        let at = (self.group * START_BYTES) as usize;
        self.prefixes.bytes[at..at + START_BYTES as usize].copy_from_slice(&(self.keys_before as u32).to_le_bytes());
    }
}

/// Puts bits where there are zeros.
fn put(bytes: &mut [u8], at: u64, bits: u8) {
    let [low, high] = (u16::from(bits) << (at % 8)).to_le_bytes();
    let byte = (at / 8) as usize;
    bytes[byte] |= low;
    bytes[byte + 1] |= high;
}
