//! What the index keeps of a key.

use crate::{RequestKey, Seq};

/// How many bits of a key are kept. One in 28 million lookups in an index of ten million keys names an entry in vain.
pub(super) const PRINT_BITS: u32 = 48;

/// The first bits of a key. Keys are hashes, so prints are spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Print(pub(super) u64);

impl Print {
    /// A key with this print, for a call whose own key is gone: the index finds the call by it, and nobody takes it for another call's.
    pub(in crate::log) fn rescued_key(self) -> RequestKey {
        let mut key = [0; 16];
        key[2..8].copy_from_slice(&self.0.to_be_bytes()[2..]);
        key.rotate_left(2);
        RequestKey(key).rescued()
    }

    pub(super) fn of(key: &RequestKey) -> Print {
        let [a, b, c, d, e, f, ..] = key.0;
        Print(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The print that a file names, if it can be one.
    pub(super) fn read(number: u64) -> Option<Print> {
        (number >> PRINT_BITS == 0).then_some(Print(number))
    }
}

/// One line of the index. Lines are ordered by print, then by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) print: Print,
    pub(super) seq: Seq,
}
