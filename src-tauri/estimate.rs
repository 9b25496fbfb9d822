//! How many tokens a text has, where nobody counted them: by OpenAI's public tokenizer, and for other families by a factor to it.
//!
//! The tokenizer takes tens of megabytes, so it is loaded when it is first needed and given back by [`release`].

use std::sync::Mutex;
use tiktoken_rs::CoreBPE;

/// The tokenizer of OpenAI's models since GPT-4o.
pub(crate) const METHOD: &str = "o200k_base";

/// A text is cut into parts of at most so many bytes, so that no text takes long: the tokenizer's time grows faster than its text.
const PART_BYTES_MAX: usize = 2 << 10;
/// A run without a blank that is longer than this is data rather than words, and is not tokenized.
const RUN_BYTES_MAX: usize = 256;
/// How many bytes of such a run are a token (base64 and digests, by o200k).
const RUN_BYTES_PER_TOKEN: u64 = 2;

static TOKENIZER: Mutex<Option<CoreBPE>> = Mutex::new(None);

/// By how much a family's tokenizer makes more of a text than OpenAI's, in percent, by the beginning of the model's name behind the last
/// slash. The first that fits counts.
///
/// Claude: provider-usage, section 15, "Estimating". The others are medians over recorded calls with usage: `tests/estimates.rs` measures them again.
const FACTORS: [(&str, u64); 11] = [
    ("claude-3", 118),
    ("claude-haiku-4", 118),
    ("claude-sonnet-4", 118),
    ("claude-opus-4-7", 153),
    ("claude-opus-4-8", 153),
    ("claude-opus-4", 118),
    ("claude", 153),
    ("mistral", 118),
    ("magistral", 118),
    ("gemini", 107),
    ("grok", 103),
];

/// What to multiply tokens of OpenAI's by for a model, in percent.
pub(crate) fn percent(model: &str) -> u64 {
    let name = model.rsplit(['/', '.']).find(|part| FACTORS.iter().any(|(family, _)| part.starts_with(family))).unwrap_or(model);
    FACTORS.iter().find(|(family, _)| name.starts_with(family)).map_or(100, |(_, percent)| *percent)
}

/// The tokens of a text by OpenAI's tokenizer.
pub(crate) fn tokens(text: &str) -> u64 {
    // A tokenizer that failed in the middle is as good as before.
    let mut tokenizer = TOKENIZER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if tokenizer.is_none() {
        *tokenizer = tiktoken_rs::o200k_base().ok();
    }
    let Some(tokenizer) = &*tokenizer else { return text.len() as u64 / 4 };
    let count = |part: Part<'_>| match part {
        Part::Words(words) => tokenizer.encode_ordinary(words).len() as u64,
        Part::Run(run) => (run.len() as u64).div_ceil(RUN_BYTES_PER_TOKEN),
    };
    parts(text).map(count).sum()
}

/// Gives the tokenizer's memory back.
pub(crate) fn release() {
    *TOKENIZER.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'t> {
    Words(&'t str),
    Run(&'t str),
}

/// The parts of a text, in order and without a gap.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let run = run_bytes(rest);
        let part = if run > RUN_BYTES_MAX { Part::Run(&rest[..run]) } else { Part::Words(&rest[..words_bytes(rest)]) };
        rest = match part {
            Part::Words(part) | Part::Run(part) => &rest[part.len()..],
        };
        Some(part)
    })
}

/// How far a text goes without changing between blanks and letters.
fn run_bytes(text: &str) -> usize {
    let blank = text.starts_with(char::is_whitespace);
    text.find(|c: char| c.is_whitespace() != blank).unwrap_or(text.len())
}

/// How far a part of a text goes, which ends before a blank, before a long run, and at the limit.
fn words_bytes(text: &str) -> usize {
    let mut bytes = 0;
    while bytes < text.len() {
        let run = run_bytes(&text[bytes..]);
        if bytes > 0 && (run > RUN_BYTES_MAX || bytes + run > PART_BYTES_MAX) {
            break;
        }
        bytes += run;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_counted_as_openai_counts_them() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("Hello, world!"), 4);
        assert_eq!(tokens("tiktoken is great!"), 6);
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(400);
        assert!((4001..4010).contains(&tokens(&text)), "parts change next to nothing");
        release();
        assert_eq!(tokens("Hello, world!"), 4);
    }

    #[test]
    fn data_is_not_tokenized_and_takes_no_time() {
        assert_eq!(tokens(&"A".repeat(1 << 20)), 1 << 19);
        assert_eq!(tokens(&" ".repeat(1 << 20)), 1 << 19);
    }

    #[test]
    fn a_family_has_its_factor_wherever_it_is_served() {
        let cases = [
            ("gpt-4o", 100),
            ("claude-sonnet-4-5", 118),
            ("anthropic/claude-opus-4-8", 153),
            ("us.anthropic.claude-3-5-sonnet-20240620-v1:0", 118),
            ("claude-opus-5-5", 153),
            ("claude-opus-4-1", 118),
            ("mistral-large-latest", 118),
        ];
        for (model, expected) in cases {
            assert_eq!(percent(model), expected, "{model}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_text_and_bounded(text in "[a \\n]{0,40}|[a]{250,270}|[ ]{250,270}|([a-zäß漢 ]{0,9}[a]{0,300}){0,20}") {
            let all: Vec<Part<'_>> = parts(&text).collect();
            let joined: String = all.iter().map(|part| match part { Part::Words(text) | Part::Run(text) => *text }).collect();
            prop_assert_eq!(joined, &*text);
            let bounded = all.iter().all(|part| matches!(part, Part::Words(words) if words.len() <= PART_BYTES_MAX) || matches!(part, Part::Run(_)));
            prop_assert!(bounded);
        }
    }
}
