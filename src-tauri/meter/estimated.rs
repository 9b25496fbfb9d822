//! Tokens that the provider did not count, or not to the end, and that were counted here. They are kept beside what it said.

use super::said::{self, Reading};
use crate::estimate;
use serde_json::Value;

/// What is said of an estimate, by us: its numbers and how they were got.
pub(super) const ESTIMATED: &str = "estimated";

/// The tokens of a minute of speech that is written down: what OpenAI's transcribing models count in the recordings, ten a second.
const TOKENS_PER_MINUTE_HEARD: u64 = 600;
/// Those of a minute that is spoken: a minute of gpt-4o-mini-tts is said to be 0.015 dollars, at 12 dollars a million
/// (platform.openai.com/docs/pricing).
const TOKENS_PER_MINUTE_SPOKEN: u64 = 1250;

/// Models that write down what they hear and are billed by its seconds (platform.openai.com/docs/pricing; console.groq.com/docs/models).
pub(super) fn is_billed_by_seconds(model: &str) -> bool {
    model.contains("whisper")
}

/// Models that speak and are billed by the characters of the text.
pub(super) fn is_billed_by_characters(model: &str) -> bool {
    ["tts-1", "playai-tts", "orpheus"].iter().any(|name| model.contains(name))
}

/// Tokens that nobody counted.
#[derive(Clone, Copy, Default)]
pub(super) struct Estimate {
    pub(super) input: u64,
    pub(super) input_audio: u64,
    pub(super) output: u64,
    /// What the tokenizer's count was multiplied by.
    pub(super) percent: u64,
    /// How long the sound was whose tokens are among them.
    pub(super) seconds: u64,
}

impl Estimate {
    /// As it was kept.
    pub(super) fn of(said: &Value) -> Option<Estimate> {
        let count = |name| said::count(said, &[name]);
        let of_sound = |name| count(name).unwrap_or(0);
        Some(Estimate {
            input: count("input")?,
            input_audio: of_sound("input_audio"),
            output: count("output")?,
            percent: count("percent")?,
            seconds: of_sound("seconds"),
        })
    }

    /// With a sound that was heard.
    pub(super) fn with_heard(self, seconds: Option<u64>) -> Estimate {
        let seconds = seconds.unwrap_or(0);
        Estimate { input_audio: seconds.saturating_mul(TOKENS_PER_MINUTE_HEARD).div_ceil(60), seconds, ..self }
    }

    /// With a sound that was made.
    pub(super) fn with_spoken(self, seconds: Option<u64>) -> Estimate {
        let seconds = seconds.unwrap_or(0);
        let output = self.output.saturating_add(seconds.saturating_mul(TOKENS_PER_MINUTE_SPOKEN).div_ceil(60));
        Estimate { output, seconds, ..self }
    }

    /// The reading with what it lacks.
    pub(super) fn applied(self, reading: Reading) -> Reading {
        let mut tokens = reading.tokens;
        if tokens.prompt() == 0 {
            (tokens.input, tokens.input_audio) = (self.input, self.input_audio);
        }
        tokens.output = tokens.output.saturating_add(self.output.saturating_sub(tokens.produced()));
        Reading { tokens, ..reading }
    }
}

impl From<Estimate> for Value {
    fn from(estimate: Estimate) -> Value {
        let Estimate { input, input_audio, output, percent, seconds } = estimate;
        let mut kept = serde_json::json!({ "by": estimate::METHOD, "percent": percent, "input": input, "output": output });
        if seconds > 0 {
            (kept["input_audio"], kept["seconds"]) = (input_audio.into(), seconds.into());
        }
        kept
    }
}
