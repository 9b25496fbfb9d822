//! Running totals, several of which may be interleaved in one file, and what one row adds to its own.

use crate::logs::json::Json;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How many totals one file is followed by; the least recently used is forgotten.
const LINEAGES_MAX: usize = 32;
/// How many calls of a row's size may be missing before it.
const GAP_CALLS_MAX: u64 = 2;

/// What Codex counts, in its own classes: cache reads and writes are part of `input`, reasoning of `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
    /// As the client says it; older ones leave it out.
    total: u64,
}

impl Totals {
    /// With the spellings of older versions. `None` where nothing is counted.
    pub(super) fn read(usage: Json<'_>) -> Option<Totals> {
        let usage = usage.object();
        let count = |names: &[&str]| names.iter().find_map(|name| usage.count(name));
        let (input, output) = (count(&["input_tokens", "prompt_tokens"]), count(&["output_tokens", "completion_tokens"]));
        let total = count(&["total_tokens"]);
        input.or(output).or(total)?;
        Some(Totals {
            input: input.unwrap_or(0),
            cached: count(&["cached_input_tokens", "cache_read_input_tokens", "cached_tokens"]).unwrap_or(0),
            cache_write: count(&["cache_write_input_tokens", "cache_creation_input_tokens"]).unwrap_or(0),
            output: output.unwrap_or(0),
            reasoning: count(&["reasoning_output_tokens", "reasoning_tokens"]).unwrap_or(0),
            total: total.unwrap_or(0),
        })
    }

    /// Whether no token is counted. A total alone is an estimate of the context, written after a compaction.
    pub(super) const fn is_nothing(&self) -> bool {
        self.input == 0 && self.output == 0
    }

    pub(super) const fn same_call(&self, other: &Totals) -> bool {
        self.input == other.input && self.cached == other.cached && self.output == other.output && self.reasoning == other.reasoning
    }

    /// What was added since `before`; `None` where any count is smaller than it was. The client's own sum is not asked: it has been seen
    /// to jump to an estimate.
    fn since(&self, before: &Totals) -> Option<Totals> {
        Some(Totals {
            input: self.input.checked_sub(before.input)?,
            cached: self.cached.checked_sub(before.cached)?,
            cache_write: self.cache_write.checked_sub(before.cache_write)?,
            output: self.output.checked_sub(before.output)?,
            reasoning: self.reasoning.checked_sub(before.reasoning)?,
            total: self.total.saturating_sub(before.total),
        })
    }

    /// In the client's words.
    pub(super) fn said(&self) -> String {
        let Totals { input, cached, cache_write, output, reasoning, total } = self;
        format!(
            r#"{{"input_tokens":{input},"cached_input_tokens":{cached},"cache_write_input_tokens":{cache_write},"output_tokens":{output},"reasoning_output_tokens":{reasoning},"total_tokens":{total}}}"#
        )
    }
}

/// All that tells one state of the totals from another. Without the client's own sum, which only some versions write.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { input, cached, cache_write, output, reasoning, total: _ } = self;
        write!(f, "{input}-{cached}-{cache_write}-{output}-{reasoning}")
    }
}

/// The totals of a file, the most recently used last: those of the session, and of reviewers and agents that write to the same file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Lineages(Vec<Totals>);

impl Lineages {
    /// What a row adds: `last` is what it says of itself, `total` where its lineage then stands. `None` where it adds nothing.
    ///
    /// - totals that were seen before: the row is repeated;
    /// - a row of its own usage that is nothing: the totals with which a fork or a page begins, or those of an answer that was cut, whose
    ///   record came just before. From there its lineage goes on;
    /// - a row that says its own usage: that, and what a gap before it lacks. Its lineage advanced, begins, or began elsewhere;
    /// - else, totals beyond a lineage's: it advanced by all that lies between;
    /// - else a lineage whose beginning is not in this file.
    pub(super) fn advance(&mut self, last: Option<Totals>, total: Option<Totals>) -> Option<Totals> {
        let Some(total) = total else { return last };
        if let Some(at) = self.position(&total) {
            self.replace(Some(at), total);
            return None;
        }
        let origin = last.and_then(|last| total.since(&last));
        let known = origin.and_then(|origin| self.position(&origin));
        let (at, used) = match last {
            Some(last) if last.is_nothing() => (self.below(&total).map(|(at, _)| at), None),
            Some(last) => known.map_or_else(|| self.after_gap(last, total), |at| (Some(at), Some(last))),
            None => self.below(&total).map_or((None, Some(total)), |(at, before)| (Some(at), total.since(&before))),
        };
        self.replace(at, total);
        used.filter(|used| !used.is_nothing())
    }

    /// The lineage and the usage of a row whose file lacks the row before it: of the only lineage, if no more than two calls of the row's
    /// size are missing. Counters that began elsewhere are further away.
    fn after_gap(&self, last: Totals, total: Totals) -> (Option<usize>, Option<Totals>) {
        let only = self.0.first().filter(|_| self.0.len() == 1);
        let grown = only.and_then(|before| total.since(before));
        let is_near = |grown: &Totals| grown.since(&last).is_some() && grown.input <= last.input.saturating_mul(GAP_CALLS_MAX + 1);
        grown.filter(is_near).map_or((None, Some(last)), |grown| (Some(0), Some(grown)))
    }

    /// By what the lineage grew that can have grown to these totals; all of them where there is none.
    pub(super) fn grown_to(&self, total: &Totals) -> Option<Totals> {
        if self.position(total).is_some() {
            return None;
        }
        self.below(total).map_or(Some(*total), |(_, before)| total.since(&before))
    }

    /// What versions before this one took for what a row adds.
    pub(super) fn advanced_before(mut self, last: Option<Totals>, total: Option<Totals>) -> Option<Totals> {
        let Some(total) = total else { return last };
        if self.position(&total).is_some() {
            return None;
        }
        let last = last.filter(|last| !last.is_nothing());
        let origin = last.and_then(|last| total.since(&last));
        let known = origin.and_then(|origin| self.position(&origin));
        let used = if known.is_some() || origin.is_some_and(|origin| origin.is_nothing()) {
            last
        } else if let Some((_, before)) = self.below(&total) {
            total.since(&before)
        } else {
            last.or(Some(total))
        };
        self.replace(None, total);
        used.filter(|used| !used.is_nothing())
    }

    fn position(&self, totals: &Totals) -> Option<usize> {
        self.0.iter().position(|known| known.since(totals).is_some() && totals.since(known).is_some())
    }

    /// The furthest of those that can have grown to these totals.
    fn below(&self, total: &Totals) -> Option<(usize, Totals)> {
        let below = self.0.iter().copied().enumerate().filter(|(_, known)| total.since(known).is_some());
        below.max_by_key(|(_, known)| known.input.saturating_add(known.output))
    }

    fn replace(&mut self, at: Option<usize>, total: Totals) {
        match at {
            Some(at) => {
                self.0.remove(at);
            }
            None if self.0.len() >= LINEAGES_MAX => {
                self.0.remove(0);
            }
            None => {}
        }
        self.0.push(total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn totals(input: u64, output: u64) -> Totals {
        Totals { input, output, ..Totals::default() }
    }

    /// What rows of (last, total) add, by their input.
    fn added(rows: &[(u64, u64)]) -> Vec<u64> {
        let mut lineages = Lineages::default();
        let row = |(last, total): &(u64, u64)| lineages.advance(Some(totals(*last, 1)), Some(totals(*total, *total)));
        rows.iter().map(row).map(|used| used.map_or(0, |used| used.input)).collect()
    }

    #[test]
    fn a_row_that_says_its_own_usage_adds_just_that() {
        assert_eq!(added(&[(10, 10), (5, 40), (5, 40), (2, 30)]), [10, 5, 0, 2]);
        // Two counters that both began elsewhere.
        assert_eq!(added(&[(76, 5076), (80, 20_080), (1, 5077), (7, 20_087)]), [76, 80, 1, 7]);
    }

    #[test]
    fn totals_without_usage_of_their_own_are_a_baseline() {
        let mut lineages = Lineages::default();
        assert_eq!(lineages.advance(Some(totals(0, 0)), Some(totals(150, 15))), None);
        assert_eq!(lineages.advance(Some(totals(9, 1)), Some(totals(159, 16))), Some(totals(9, 1)));
        // An answer that was cut, between two others.
        assert_eq!(lineages.advance(Some(totals(0, 0)), Some(totals(170, 17))), None);
        assert_eq!(lineages.advance(Some(totals(5, 1)), Some(totals(175, 18))), Some(totals(5, 1)));
        assert_eq!(lineages.advance(None, Some(totals(180, 20))), Some(totals(5, 2)));
    }

    proptest! {
        #[test]
        fn interleaved_lineages_come_to_the_sum_of_their_ends(steps in proptest::collection::vec((0usize..3, 1u64..1000, 1u64..1000, any::<bool>()), 1..60)) {
            let mut ends = [Totals::default(); 3];
            let (mut lineages, mut sum) = (Lineages::default(), 0);
            for (at, input, output, again) in steps {
                // Unlike parities keep the three from meeting.
                let last = totals(input * 3 + u64::from(ends[at].input == 0) * at as u64, output);
                ends[at].input += last.input;
                ends[at].output += last.output;
                for _ in 0..=usize::from(again) {
                    sum += lineages.advance(Some(last), Some(ends[at])).map_or(0, |used| used.input);
                }
            }
            prop_assert_eq!(sum, ends.iter().map(|end| end.input).sum::<u64>());
        }
    }
}
