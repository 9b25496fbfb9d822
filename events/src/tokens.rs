//! Tokens in disjoint classes: every billed token stands in exactly one.

use serde::{Deserialize, Serialize};
use std::cmp::{Ordering, Reverse};

fn is_zero(count: &u64) -> bool {
    *count == 0
}

macro_rules! token_classes {
    ($($(#[$doc:meta])* $class:ident),+ $(,)?) => {
        /// What one call consumed, in tokens. The classes are disjoint: their sum (without [`reasoning`](Tokens::reasoning),
        /// which is part of `output`) is what was billed.
        ///
        /// Each dialect of `meter` and each reader of `logs` converts the provider's own counting into these classes in one function;
        /// the inclusion rules are those of the provider's usage documentation.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(default)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        pub struct Tokens {
            $($(#[$doc])* #[serde(skip_serializing_if = "is_zero")] pub $class: u64,)+
            /// Of `output`: tokens of reasoning, as information. Not billed apart.
            #[serde(skip_serializing_if = "is_zero")]
            pub reasoning: u64,
        }

        impl Tokens {
            /// All billed tokens.
            pub const fn total(&self) -> u64 {
                0u64 $(.saturating_add(self.$class))+
            }

            /// Another call's tokens added, class by class; `None` where a class or the total is more than can be counted.
            pub(crate) fn checked_add(&self, other: &Tokens) -> Option<Tokens> {
                let sum = Tokens {
                    $($class: self.$class.checked_add(other.$class)?,)+
                    reasoning: self.reasoning.checked_add(other.reasoning)?,
                };
                let total = Some(0u64)$(.and_then(|total| total.checked_add(sum.$class)))+;
                total.map(|_| sum)
            }

            /// Adds another call's tokens, class by class.
            pub fn add(&mut self, other: &Tokens) {
                $(self.$class = self.$class.saturating_add(other.$class);)+
                self.reasoning = self.reasoning.saturating_add(other.reasoning);
            }
        }
    };
}

token_classes! {
    /// Uncached text input.
    input,
    /// Input served from the provider's cache.
    cache_read,
    /// Input written to a cache that lives five minutes (Anthropic), or of a lifetime that the provider does not name.
    cache_write_5m,
    /// Input written to a cache that lives thirty minutes (OpenAI).
    cache_write_30m,
    /// Input written to a cache that lives one hour (Anthropic).
    cache_write_1h,
    /// Input written to a cache that lives twelve hours (OpenAI).
    cache_write_12h,
    /// Output, reasoning included.
    output,
    /// Audio input that is billed apart.
    input_audio,
    /// Cached audio input that is billed apart.
    cache_read_audio,
    /// Image input that is billed apart.
    input_image,
    /// Audio output that is billed apart.
    output_audio,
    /// Image output that is billed apart.
    output_image,
}

impl Tokens {
    /// Everything that went into the model: the size that decides a long-context price.
    pub const fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_writes())
            .saturating_add(self.input_audio)
            .saturating_add(self.cache_read_audio)
            .saturating_add(self.input_image)
    }

    /// All cache writes, whatever their lifetime.
    pub const fn cache_writes(&self) -> u64 {
        self.cache_write_5m.saturating_add(self.cache_write_30m).saturating_add(self.cache_write_1h).saturating_add(self.cache_write_12h)
    }

    /// Which of two counts of one call is the better, by themselves. Of streamed snapshots, the one with most output is the last
    /// (log-formats, Claude Code, dedup rule 2); of two that count as much, the one that tells more of it apart: who does not know how long a
    /// cache lives counts what is written to it as living shortest.
    pub fn cmp_as_counts(&self, other: &Tokens) -> Ordering {
        let rank = |tokens: &Tokens| {
            let Tokens { input, output, cache_write_5m, .. } = *tokens;
            (tokens.produced(), tokens.total(), (Reverse(input), Reverse(output), Reverse(cache_write_5m)), *tokens)
        };
        rank(self).cmp(&rank(other))
    }

    /// All output, of every modality.
    pub const fn produced(&self) -> u64 {
        self.output.saturating_add(self.output_audio).saturating_add(self.output_image)
    }
}
