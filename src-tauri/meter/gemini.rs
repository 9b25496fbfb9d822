//! Google's dialect: generateContent, as one object, an array or a stream, embedContent, and interactions. Vertex speaks it, too.

use super::document::{Document, REPLY_BYTES_MAX};
use super::reply::Heard;
use super::said::{Reading, Said, count, name};
use events::{Fees, Tokens};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// Hears one chunk, which repeats the usage so far, or the whole reply.
pub(super) fn hear(document: &Document, heard: &mut Heard) {
    let [id, model, usage] = document.pick(["responseId", "modelVersion", "usageMetadata"]);
    let [its_id, its_model, its_usage] = document.pick(["interaction.id", "interaction.model", "interaction.usage"]);
    let [bare_id, bare_model, bare_usage, error] = document.pick(["id", "model", "usage", "error"]);
    heard.id(id.or(its_id).or(bare_id));
    heard.said.name("model", model.or(its_model).or(bare_model));
    usage.or(its_usage).or(bare_usage).into_iter().for_each(|usage| heard.said.hear("usage", usage));
    heard.erred |= error.is_some();
    if let [Some(predictions)] = document.pick(["predictions"]) {
        hear_predictions(predictions, &mut heard.said);
    }
}

/// Vertex's older embeddings count each text apart (cloud.google.com, text embeddings API).
fn hear_predictions(predictions: &RawValue, said: &mut Said) {
    #[derive(Deserialize)]
    struct Prediction {
        embeddings: Embeddings,
    }
    #[derive(Deserialize)]
    struct Embeddings {
        statistics: Statistics,
    }
    #[derive(Deserialize)]
    struct Statistics {
        token_count: u64,
    }
    // Pictures are predicted, too, and have no such count.
    let Ok(predictions) = serde_json::from_str::<Vec<Prediction>>(predictions.get()) else { return };
    let counts = predictions.iter().map(|prediction| prediction.embeddings.statistics.token_count);
    said.set_in("usage", "promptTokenCount", counts.fold(0, u64::saturating_add));
}

/// Hears a batch: each answer within it is a call of its own (ai.google.dev/gemini-api/docs/batch-api).
pub(super) fn hear_batch(document: &Document, calls: &mut Vec<Heard>) {
    #[derive(Deserialize)]
    struct Inlined<'a> {
        #[serde(borrow)]
        response: Option<&'a RawValue>,
    }
    let inlined = ["response.inlinedResponses.inlinedResponses", "dest.inlinedResponses"];
    let [responses, dest] = document.pick(inlined);
    let Some(responses) = responses.or(dest) else { return };
    let answers: Vec<Inlined<'_>> = serde_json::from_str(responses.get()).unwrap_or_default();
    for answer in answers.iter().filter_map(|answer| answer.response).take(super::reply::CALLS_MAX) {
        let (mut one, mut heard) = (Document::new(REPLY_BYTES_MAX), Heard::default());
        one.push(answer.get().as_bytes());
        hear(&one, &mut heard);
        // Without an id a second look at the batch could not be told from the first.
        if heard.id.is_some() {
            heard.said.set("batch", Value::Bool(true));
            calls.push(heard);
        }
    }
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
        tier: said
            .get("batch")
            .map(|_| "batch")
            .or_else(|| name(usage, "serviceTier"))
            .or_else(|| name(usage, "trafficType"))
            .map(str::to_owned),
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
