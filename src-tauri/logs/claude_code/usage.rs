//! The usage object that a row's message has, and what is counted in it.

use crate::logs::{fields::Fields, json::word};
use events::{Fees, Tokens};
use std::borrow::Cow;

/// The usage object of a message, or one of its iterations; every field unparsed, as in a [`Row`].
#[derive(Debug, Default)]
pub(super) struct UsageObject<'a> {
    pub(super) input_tokens: Option<&'a [u8]>,
    pub(super) output_tokens: Option<&'a [u8]>,
    pub(super) cache_read_input_tokens: Option<&'a [u8]>,
    pub(super) cache_creation_input_tokens: Option<&'a [u8]>,
    pub(super) cache_creation: Option<&'a [u8]>,
    pub(super) output_tokens_details: Option<&'a [u8]>,
    pub(super) server_tool_use: Option<&'a [u8]>,
    pub(super) service_tier: Option<&'a [u8]>,
    pub(super) speed: Option<&'a [u8]>,
    pub(super) inference_geo: Option<&'a [u8]>,
    pub(super) iterations: Option<&'a [u8]>,
    /// Of an iteration only.
    pub(super) kind: Option<&'a [u8]>,
    /// Of an iteration only.
    pub(super) model: Option<&'a [u8]>,
}

impl<'a> UsageObject<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<UsageObject<'a>> {
        let mut read = UsageObject::default();
        let mut fields = Fields::of(bytes).ok()?;
        while let Some(name) = fields.name().ok()? {
            let value = fields.value().ok()?;
            match name {
                b"input_tokens" => read.input_tokens = Some(value),
                b"output_tokens" => read.output_tokens = Some(value),
                b"cache_read_input_tokens" => read.cache_read_input_tokens = Some(value),
                b"cache_creation_input_tokens" => read.cache_creation_input_tokens = Some(value),
                b"cache_creation" => read.cache_creation = Some(value),
                b"output_tokens_details" => read.output_tokens_details = Some(value),
                b"server_tool_use" => read.server_tool_use = Some(value),
                b"service_tier" => read.service_tier = Some(value),
                b"speed" => read.speed = Some(value),
                b"inference_geo" => read.inference_geo = Some(value),
                b"iterations" => read.iterations = Some(value),
                b"type" => read.kind = Some(value),
                b"model" => read.model = Some(value),
                _ => {}
            }
        }
        Some(read)
    }
}

impl UsageObject<'_> {
    /// What kind of call within another one it counts, if it does.
    pub(super) fn within(&self) -> Option<Within> {
        match name(self.kind)?.as_str() {
            "advisor_message" => Some(Within::Advisor),
            "compaction" => Some(Within::Compaction),
            _ => None,
        }
    }
}

/// A call within a call that the sum above it leaves out.
#[derive(Clone, Copy)]
pub(super) enum Within {
    Advisor,
    Compaction,
}

impl Within {
    /// The word for it in ids.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Within::Advisor => "advisor",
            Within::Compaction => "compaction",
        }
    }
}

/// A count in an object inside of a usage object; what is no whole number is none.
pub(super) fn count_in(object: Option<&[u8]>, wanted: &str) -> Option<u64> {
    let mut fields = Fields::of(object?).ok()?;
    let mut found = None;
    while let Some(name) = fields.name().ok()? {
        let value = fields.value().ok()?;
        if name == wanted.as_bytes() {
            found = count(Some(value));
        }
    }
    found
}

/// A text that can be an id, a name or a path: not empty, not endless, without control characters.
pub(super) fn name(raw: Option<&[u8]>) -> Option<String> {
    raw.and_then(word).map(Cow::into_owned)
}

/// Anthropic counts input apart from cache reads and writes, and reasoning within output (log-formats 0.1), so the classes are disjoint
/// as they come. `None` where nothing is counted.
///
/// A write whose lifetime is not said lives five minutes, Anthropic's default.
pub(super) fn tokens(counted: &UsageObject<'_>) -> Option<Tokens> {
    let (input, output) = (count(counted.input_tokens), count(counted.output_tokens));
    let (read, written) = (count(counted.cache_read_input_tokens), count(counted.cache_creation_input_tokens));
    input.or(output).or(read).or(written)?;
    let one_hour = count_in(counted.cache_creation, "ephemeral_1h_input_tokens").unwrap_or(0);
    let five_minutes = count_in(counted.cache_creation, "ephemeral_5m_input_tokens").unwrap_or(0);
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: read.unwrap_or(0),
        cache_write_5m: five_minutes.max(written.unwrap_or(0).saturating_sub(one_hour)),
        cache_write_1h: one_hour,
        output: output.unwrap_or(0),
        reasoning: count_in(counted.output_tokens_details, "thinking_tokens").unwrap_or(0),
        ..Tokens::default()
    })
}

/// A count; what is no whole number is none.
pub(super) fn count(raw: Option<&[u8]>) -> Option<u64> {
    let digit = |count: u64, byte: &u8| count.checked_mul(10)?.checked_add(u64::from(byte.is_ascii_digit().then(|| byte - b'0')?));
    raw.filter(|raw| !raw.is_empty())?.iter().try_fold(0, digit)
}

/// Rule 9. Fast mode has a price of its own; otherwise the tier is what the provider calls it.
pub(super) fn tier<'a>(counted: &UsageObject<'a>) -> Option<Cow<'a, str>> {
    counted.speed.and_then(word).filter(|speed| speed == "fast").or_else(|| counted.service_tier.and_then(word))
}

pub(super) fn geo<'a>(counted: &UsageObject<'a>) -> Option<Cow<'a, str>> {
    counted.inference_geo.and_then(word).filter(|geo| geo != "not_available" && geo != "global")
}

pub(super) fn fees(counted: &UsageObject<'_>) -> Fees {
    let searches = count_in(counted.server_tool_use, "web_search_requests").unwrap_or(0);
    Fees::of_searches(u32::try_from(searches).unwrap_or(u32::MAX))
}
