//! Anthropic's dialect: messages, whole or streamed, and the results of their batches. Vertex, Foundry and others speak it, too.

use super::cost;
use super::document::Document;
use super::frames::Frame;
use super::prose;
use super::reply::Heard;
use super::said::{self, Reading, Said, count, name};
use events::{Fees, Tokens};
use serde_json::{Map, Value};

/// Hears one event of a stream, one message, or one line of a batch's results.
pub(super) fn hear(document: &Document, frame: Frame, heard: &mut Heard) {
    // Most events of a stream are pieces of its text, and say nothing else.
    let [kind, text, thinking, json] = document.pick(["type", "delta.text", "delta.thinking", "delta.partial_json"]);
    let kind = said::id(kind).unwrap_or_default();
    if kind == "content_block_delta" {
        return [text, thinking, json].into_iter().flatten().for_each(|words| prose::piece(words, &mut heard.prose));
    }
    let [id, model, usage, credits, error, completion, start_id, start_model, start_usage, result_id, result_model, result_usage] =
        document.pick([
            "id",
            "model",
            "usage",
            "copilot_usage",
            "error",
            "completion",
            "message.id",
            "message.model",
            "message.usage",
            "result.message.id",
            "result.message.model",
            "result.message.usage",
        ]);
    if kind == "message_start" {
        // A stream is one message. Where recorders joined several, the last one counts.
        *heard = Heard::default();
    }
    heard.id(id.or(start_id).or(result_id));
    heard.said.name("model", model.or(start_model).or(result_model));
    // The usage of a stream: that of its start, overlaid with those of its deltas, which are cumulative (provider-usage, section 3).
    usage.or(start_usage).or(result_usage).into_iter().for_each(|usage| heard.said.hear("usage", usage));
    credits.into_iter().for_each(|usage| heard.said.hear("copilot_usage", usage));
    // The older API counts nothing (docs.anthropic.com, Text Completions).
    completion.into_iter().for_each(|words| prose::piece(words, &mut heard.prose));
    // A message that is no stream.
    if frame == Frame::Value && heard.said.get("usage").is_none_or(|usage| said::produced(usage) == 0) {
        let content = document.pick(["content", "result.message.content"]);
        content.into_iter().flatten().for_each(|content| heard.prose.push_spoken(content));
    }
    heard.erred |= kind == "error" || error.is_some() || frame == Frame::Exception;
    heard.done |= match frame {
        Frame::Event => kind == "message_stop",
        Frame::Value => usage.is_some() || result_usage.is_some(),
        Frame::Exception | Frame::Rest => false,
    };
}

/// Converts Anthropic's counting into disjoint classes; `None` where nothing was counted.
///
/// They are disjoint as they come: `input_tokens` is uncached only; cache reads and writes stand beside it; thinking is part of the output
/// (docs.anthropic.com, Messages, `usage`; provider-usage, sections 1 and 3). Only the start of a stream splits the writes by lifetime;
/// what a later total has beyond the split is of five minutes.
pub(super) fn read(said: &Said) -> Option<Reading> {
    let usage = said.get("usage")?;
    let tokens = tokens(usage)?;
    let fast = name(usage, "speed") == Some("fast");
    Some(Reading {
        tokens,
        fees: Fees::of_searches(said::pieces(count(usage, &["server_tool_use.web_search_requests"]))),
        tier: if fast { Some("fast") } else { name(usage, "service_tier") }.map(str::to_owned),
        geo: name(usage, "inference_geo").filter(|geo| !matches!(*geo, "" | "not_available" | "global")).map(str::to_owned),
        // Relays that speak the dialect name it.
        reported_cost: cost::reported(said, tokens.total()),
    })
}

fn tokens(usage: &Value) -> Option<Tokens> {
    let input = count(usage, &["input_tokens"]);
    let output = count(usage, &["output_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let in_5m = count(usage, &["cache_creation.ephemeral_5m_input_tokens"]).unwrap_or(0);
    let cache_write_1h = count(usage, &["cache_creation.ephemeral_1h_input_tokens"]).unwrap_or(0);
    let written = count(usage, &["cache_creation_input_tokens"]).unwrap_or(0);
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: count(usage, &["cache_read_input_tokens"]).unwrap_or(0),
        cache_write_5m: in_5m.max(written.saturating_sub(cache_write_1h)),
        cache_write_1h,
        output: output.unwrap_or(0),
        reasoning: count(usage, &["output_tokens_details.thinking_tokens"]).unwrap_or(0),
        ..Tokens::default()
    })
}

/// The calls within a call that its top-level usage leaves out: those to an advisor, which is another model, and compactions of the
/// context. Each with the ending of its id, its model and what was said of it (provider-usage, section 3, "iterations").
///
/// A message that a fallback model took over was declined before it was billed, as far as is known: it stays in what was said, no more.
pub(super) fn iterations(said: &Said) -> Vec<(String, Said)> {
    let Some(Value::Array(iterations)) = said.get("usage").and_then(|usage| usage.get("iterations")) else { return Vec::new() };
    let (mut advisors, mut compactions) = (0, 0);
    let numbered = |iteration: &Value| {
        let (word, number) = match name(iteration, "type")? {
            "advisor_message" => ("advisor", &mut advisors),
            "compaction" => ("compaction", &mut compactions),
            _ => return None,
        };
        let suffix = format!("{word}:{number}");
        *number += 1;
        // A compaction is the model's own; an advisor is another model, and one that is not named is not guessed.
        let own = if word == "compaction" { said.get("model") } else { None };
        let model = iteration.get("model").or(own).cloned();
        let mut usage = iteration.clone();
        // How the call was served, its parts were.
        for shared in ["service_tier", "inference_geo", "speed"] {
            if let (Some(fields), Some(value)) = (usage.as_object_mut(), said.get("usage")?.get(shared)) {
                fields.entry(shared).or_insert_with(|| value.clone());
            }
        }
        let fields = model.map(|model| ("model".to_owned(), model)).into_iter().chain([("usage".to_owned(), usage)]);
        Some((suffix, Said::from(fields.collect::<Map<String, Value>>())))
    };
    iterations.iter().filter_map(numbered).collect()
}
