//! The first bits of every print of a run, held in memory: they say that a key is not in the run, or where its record lies.
//!
//! This is Elias and Fano's code. The first `bucket_bits` of a print name its bucket; there are about as many buckets as keys.
//! A row of bits says for each bucket, in order, as many ones as it has keys and then a zero; the next eight bits of each print
//! lie beside it as a byte. That is about ten bits a key, and a key that is not there gets past it once in some 170 times.
//! A Bloom filter of the same size lets more through and does not say where to look.

use super::print::{PRINT_BITS, Print};
use std::ops::Range;

/// How many bits of a print lie in a byte beside its bucket.
const LOW_BITS: u32 = 8;
/// For every so many buckets it is written down how many keys come before them.
const GROUP_BUCKETS: u64 = 64;
const WORD_BITS: u64 = u64::BITS as u64;

/// Where the parts lie. All of it follows from the number of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    count: u64,
    bucket_bits: u32,
    /// Where the row of bits begins, behind the starts of groups: 4 bytes each, padded to whole words.
    bits_at: usize,
    /// Where the bytes begin.
    lows_at: usize,
    bytes: usize,
}

impl Layout {
    /// `None` for more keys than fit an address or a start of a group.
    pub(super) fn of(count: u64) -> Option<Layout> {
        let bucket_bits = u32::try_from(count).ok()?.max(1).ilog2();
        let buckets = 1u64 << bucket_bits;
        let bits_at = buckets.div_ceil(GROUP_BUCKETS).checked_mul(4)?.next_multiple_of(8);
        let lows_at = bits_at.checked_add(count.checked_add(buckets)?.div_ceil(WORD_BITS).checked_mul(8)?)?;
        let bytes = lows_at.checked_add(count)?;
        let address = |at| usize::try_from(at).ok();
        Some(Layout { count, bucket_bits, bits_at: address(bits_at)?, lows_at: address(lows_at)?, bytes: address(bytes)? })
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
        let group = bucket / GROUP_BUCKETS;
        // Every bucket before the group has its zero, every key before it a one.
        let mut at = group * GROUP_BUCKETS + u64::from(self.start(group)?);
        let mut zeros_to_pass = (bucket % GROUP_BUCKETS) as u32;
        while zeros_to_pass > 0 {
            let zeros = !self.word(at / WORD_BITS)? >> (at % WORD_BITS);
            let found = zeros.count_ones();
            if found >= zeros_to_pass {
                at += u64::from(place_of_one(zeros, zeros_to_pass)) + 1;
                break;
            }
            zeros_to_pass -= found;
            at = (at / WORD_BITS + 1) * WORD_BITS;
        }
        let first = at.checked_sub(bucket)?;
        let keys = first..first.checked_add(self.ones_from(at)?)?;
        let lows = self.lows().get(usize::try_from(keys.start).ok()?..usize::try_from(keys.end).ok()?)?;
        let low = self.layout.low(print);
        let before = lows.partition_point(|&other| other < low);
        let same = lows.get(before..)?.partition_point(|&other| other == low);
        let start = first + before as u64;
        Some(start..start + same as u64)
    }

    /// The first bits of every print, in order, with zeros for the bits that are in the records.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let shift = LOW_BITS + self.layout.rest_bits();
        let words = (0..).map_while(|place| Some((place * WORD_BITS, self.word(place)?)));
        let ones = words.flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let place = word.trailing_zeros();
                word &= word.checked_sub(1)?;
                Some(at + u64::from(place))
            })
        });
        let rest_bits = self.layout.rest_bits();
        // The bucket of a key is the number of zeros before its one.
        ones.zip(0u64..).zip(self.lows()).map(move |((at, key), &low)| (at - key) << shift | u64::from(low) << rest_bits)
    }

    fn start(&self, group: u64) -> Option<u32> {
        let at = usize::try_from(group).ok()?.checked_mul(4)?;
        self.bytes.get(at..self.layout.bits_at)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn word(&self, place: u64) -> Option<u64> {
        let at = usize::try_from(place).ok()?.checked_mul(8)?.checked_add(self.layout.bits_at)?;
        self.bytes.get(at..self.layout.lows_at)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn lows(&self) -> &[u8] {
        self.bytes.get(self.layout.lows_at..).unwrap_or_default()
    }

    /// How many ones there are from a bit on, before the next zero.
    fn ones_from(&self, at: u64) -> Option<u64> {
        let (mut place, mut passed, mut ones) = (at / WORD_BITS, at % WORD_BITS, 0);
        loop {
            let zeros = !self.word(place)? >> passed;
            if zeros != 0 {
                return Some(ones + u64::from(zeros.trailing_zeros()));
            }
            ones += WORD_BITS - passed;
            (place, passed) = (place + 1, 0);
        }
    }
}

/// Where the `number`th one of a word is, counted from 1. The word has as many.
fn place_of_one(mut word: u64, number: u32) -> u32 {
    for _ in 1..number {
        word &= word.wrapping_sub(1);
    }
    word.trailing_zeros()
}

/// Prefixes in the making.
pub(super) struct PrefixesBuilder {
    prefixes: Prefixes,
    pushed: u64,
    groups_begun: u64,
}

impl PrefixesBuilder {
    pub(super) fn new(layout: Layout) -> PrefixesBuilder {
        PrefixesBuilder { prefixes: Prefixes { layout, bytes: vec![0; layout.bytes] }, pushed: 0, groups_begun: 0 }
    }

    /// Adds a print that is not less than those before it. The caller adds no more than the layout is for.
    pub(super) fn push(&mut self, print: Print) {
        let Prefixes { layout, bytes } = &mut self.prefixes;
        let bucket = layout.bucket(print);
        begin_groups(bytes, &mut self.groups_begun, bucket / GROUP_BUCKETS + 1, self.pushed);
        let one = bucket + self.pushed;
        bytes[layout.bits_at + (one / 8) as usize] |= 1 << (one % 8);
        bytes[layout.lows_at + self.pushed as usize] = layout.low(print);
        self.pushed += 1;
    }

    /// `None` if there are fewer prints than the layout is for.
    pub(super) fn finish(mut self) -> Option<Prefixes> {
        let Prefixes { layout, bytes } = &mut self.prefixes;
        let groups = (1u64 << layout.bucket_bits).div_ceil(GROUP_BUCKETS);
        begin_groups(bytes, &mut self.groups_begun, groups, self.pushed);
        (self.pushed == layout.count).then_some(self.prefixes)
    }
}

/// Writes down how many keys come before the groups up to `end` that have not begun.
fn begin_groups(bytes: &mut [u8], begun: &mut u64, end: u64, keys: u64) {
    while *begun < end {
        let at = *begun as usize * 4;
        bytes[at..at + 4].copy_from_slice(&(keys as u32).to_le_bytes());
        *begun += 1;
    }
}
