//! Google's dialect: generateContent, as one object, an array or a stream, embedContent, and interactions. Vertex speaks it, too.

use super::Heard;
use super::document::Document;
use super::said::{Reading, Said, count, name};
use events::{Fees, Tokens};
use serde_json::Value;

/// Hears one chunk, which repeats the usage so far, or the whole reply.
pub(super) fn hear(document: &Document, heard: &mut Heard) {
    let [id, model, usage] = document.pick(["responseId", "modelVersion", "usageMetadata"]);
    let [its_id, its_model, its_usage] = document.pick(["interaction.id", "interaction.model", "interaction.usage"]);
    let [bare_id, bare_model, bare_usage, error] = document.pick(["id", "model", "usage", "error"]);
    heard.id(id.or(its_id).or(bare_id));
    heard.said.name("model", model.or(its_model).or(bare_model));
    usage.or(its_usage).or(bare_usage).into_iter().for_each(|usage| heard.said.hear("usage", usage));
    heard.erred |= error.is_some();
}

/// Converts Google's counting into disjoint classes; `None` where nothing was counted.
///
/// The prompt contains what was cached; prompts of tools stand beside it and are input; thoughts stand beside the candidates and are output
/// (ai.google.dev/api/generate-content, UsageMetadata; provider-usage, sections 1 and 4).
pub(super) fn read(said: &Said) -> Option<Reading> {
    let usage = said.get("usage")?;
    let prompt = count(usage, &["promptTokenCount", "total_input_tokens"]);
    let candidates = count(usage, &["candidatesTokenCount", "responseTokenCount", "total_output_tokens"]);
    let thoughts = count(usage, &["thoughtsTokenCount", "total_thought_tokens"]);
    if prompt.is_none() && candidates.is_none() && thoughts.is_none() {
        return None;
    }
    let (prompt, thoughts) = (prompt.unwrap_or(0), thoughts.unwrap_or(0));
    let cached = count(usage, &["cachedContentTokenCount", "total_cached_tokens"]).unwrap_or(0);
    let of_tools = count(usage, &["toolUsePromptTokenCount", "total_tool_use_tokens"]).unwrap_or(0);
    let cache_read_audio = modality(usage, "cacheTokensDetails", "AUDIO").min(cached);
    let audio = modality(usage, "promptTokensDetails", "AUDIO").saturating_sub(cache_read_audio);
    let uncached = prompt.checked_sub(cached).unwrap_or(prompt);
    let input_audio = audio.min(uncached);
    let candidates = candidates.unwrap_or(0);
    let produced = |kind: &str| modality(usage, "candidatesTokensDetails", kind).max(modality(usage, "responseTokensDetails", kind));
    let output_audio = produced("AUDIO").min(candidates);
    let output_image = produced("IMAGE").min(candidates - output_audio);
    Some(Reading {
        tokens: Tokens {
            input: (uncached - input_audio).saturating_add(of_tools),
            input_audio,
            cache_read: cached - cache_read_audio,
            cache_read_audio,
            output: (candidates - output_audio - output_image).saturating_add(thoughts),
            output_audio,
            output_image,
            reasoning: thoughts,
            ..Tokens::default()
        },
        fees: Fees::default(),
        tier: name(usage, "serviceTier").or_else(|| name(usage, "trafficType")).map(str::to_owned),
        geo: None,
        reported_cost: None,
    })
}

/// How many tokens of one modality a list of details counts.
fn modality(usage: &Value, details: &str, kind: &str) -> u64 {
    let Some(Value::Array(details)) = usage.get(details) else { return 0 };
    let of_kind = details.iter().filter(|detail| name(detail, "modality") == Some(kind));
    of_kind.filter_map(|detail| count(detail, &["tokenCount"])).fold(0, u64::saturating_add)
}
