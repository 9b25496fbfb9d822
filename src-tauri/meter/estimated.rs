//! Tokens that the provider did not count, or not to the end, and that were counted here. They are kept beside what it said.

use super::said::{self, Reading};
use crate::estimate;
use serde_json::Value;

/// What is said of an estimate, by us: its numbers and how they were got.
pub(super) const ESTIMATED: &str = "estimated";

/// Tokens that nobody counted.
#[derive(Clone, Copy)]
pub(super) struct Estimate {
    pub(super) input: u64,
    pub(super) output: u64,
    /// What the tokenizer's count was multiplied by.
    pub(super) percent: u64,
}

impl Estimate {
    /// As it was kept.
    pub(super) fn of(said: &Value) -> Option<Estimate> {
        let count = |name| said::count(said, &[name]);
        Some(Estimate { input: count("input")?, output: count("output")?, percent: count("percent")? })
    }

    /// The reading with what it lacks.
    pub(super) fn applied(self, reading: Reading) -> Reading {
        let mut tokens = reading.tokens;
        if tokens.prompt() == 0 {
            tokens.input = self.input;
        }
        tokens.output = tokens.output.saturating_add(self.output.saturating_sub(tokens.produced()));
        Reading { tokens, ..reading }
    }
}

impl From<Estimate> for Value {
    fn from(Estimate { input, output, percent }: Estimate) -> Value {
        serde_json::json!({ "by": estimate::METHOD, "percent": percent, "input": input, "output": output })
    }
}
