//! The keys that are in memory only.

use super::print::{Mark, Print};
use crate::Seq;
use rustc_hash::FxHashMap;

/// The newest keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Fresh {
    newest: FxHashMap<Print, Seq>,
    /// The earlier entries of calls that were restated, oldest first. Few are, so most prints cost no list.
    earlier: FxHashMap<Print, Vec<Seq>>,
    len: usize,
}

impl Fresh {
    /// Adds an entry that is newer than all others.
    pub(super) fn insert(&mut self, print: Print, seq: Seq) {
        self.len += 1;
        if let Some(before) = self.newest.insert(print, seq) {
            self.earlier.entry(print).or_default().push(before);
        }
    }

    /// The entries under a print, newest first.
    pub(super) fn candidates(&self, print: Print) -> impl Iterator<Item = Seq> + '_ {
        let newest = self.newest.get(&print).copied();
        let earlier = newest.and_then(|_| self.earlier.get(&print));
        newest.into_iter().chain(earlier.into_iter().flat_map(|seqs| seqs.iter().rev().copied()))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everything but the room for it.
    pub(super) fn clear(&mut self) {
        self.newest.clear();
        self.earlier.clear();
        self.len = 0;
    }

    /// Everything, in the order of a run.
    pub(super) fn sorted(&self) -> Vec<Mark> {
        let newest = self.newest.iter().map(|(&print, &seq)| Mark { print, seq });
        let earlier = self.earlier.iter().flat_map(|(&print, seqs)| seqs.iter().map(move |&seq| Mark { print, seq }));
        let mut marks: Vec<Mark> = newest.chain(earlier).collect();
        marks.sort_unstable();
        marks
    }
}
