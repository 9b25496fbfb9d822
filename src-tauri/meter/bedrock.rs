//! Bedrock's dialect: converse and invoke, whole or streamed. A model whose own dialect is known is left to it (`meter.rs`, `hear`).

use super::document::Document;
use super::frames::Frame;
use super::prose;
use super::reply::Heard;
use super::said::{self, Reading, Said, count, name};
use events::Tokens;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The headers in which Bedrock repeats the counts of an invocation, and the names that its metrics give to them.
pub(super) const COUNT_HEADERS: [(&str, &str); 4] = [
    ("x-amzn-bedrock-input-token-count", "inputTokenCount"),
    ("x-amzn-bedrock-output-token-count", "outputTokenCount"),
    ("x-amzn-bedrock-cache-read-input-token-count", "cacheReadInputTokenCount"),
    ("x-amzn-bedrock-cache-write-input-token-count", "cacheWriteInputTokenCount"),
];

/// The field of the last event of a stream that counts it, whoever's dialect the others are in.
pub(super) const METRICS: &str = "amazon-bedrock-invocationMetrics";

/// What the head of a reply tells: counts, where the body has none.
pub(super) fn hear_head<'h>(header: &impl Fn(&str) -> Option<&'h str>, heard: &mut Heard) {
    for (header_name, field) in COUNT_HEADERS {
        let digits = header(header_name).filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(raw) = digits.and_then(|digits| <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(digits)).ok()) {
            heard.said.hear_in("usage", field, raw);
        }
    }
}

/// Hears one event of a stream, or the whole reply.
pub(super) fn hear(document: &Document, frame: Frame, heard: &mut Heard) {
    let [usage, metadata, metrics, tier] = document.pick(["usage", "metadata.usage", METRICS, "serviceTier.type"]);
    usage.or(metadata).into_iter().chain(metrics).for_each(|usage| heard.said.hear("usage", usage));
    heard.said.name("service_tier", tier);
    // What models say in their own words: Llama, and Titan, of which embeddings are one.
    let own = ["prompt_token_count", "generation_token_count", "inputTextTokenCount", "totalOutputTextTokenCount"];
    for (name, value) in own.into_iter().zip(document.pick(own)) {
        value.into_iter().for_each(|value| heard.said.hear_in("usage", name, value));
    }
    if let [Some(results)] = document.pick(["results"]) {
        titan_results(results, &mut heard.said);
    }
    // Converse's pieces, Nova's own, Titan's, Llama's, and those of models that say no more than a text.
    let said = document.pick([
        "delta.text",
        "delta.reasoningContent.text",
        "delta.toolUse.input",
        "contentBlockDelta.delta.text",
        "outputText",
        "generation",
        "text",
    ]);
    if !heard.counted_more() && frame != Frame::Exception {
        said.into_iter().flatten().for_each(|words| prose::piece(words, &mut heard.prose));
        // An answer that is no stream.
        let [message] = document.pick(["output.message.content"]);
        message.into_iter().for_each(|message| heard.prose.push_spoken(message));
    }
    // A guardrail answers in words of its own, which no model counts.
    let stops = document.pick(["stopReason", "messageStop.stopReason", "amazon-bedrock-guardrailAction"]);
    heard.guarded |= stops.into_iter().flatten().any(|stop| matches!(stop.get(), "\"guardrail_intervened\"" | "\"INTERVENED\""));
    heard.erred |= frame == Frame::Exception;
}

/// Titan counts its output by results, of which there is one.
fn titan_results(results: &RawValue, said: &mut Said) {
    #[derive(Deserialize)]
    struct Counted<'r> {
        #[serde(borrow, rename = "tokenCount")]
        token_count: Option<&'r RawValue>,
    }
    let [Counted { token_count: Some(tokens) }] = serde_json::from_str::<Vec<Counted<'_>>>(results.get()).unwrap_or_default()[..] else {
        return;
    };
    said.hear_in("usage", "totalOutputTextTokenCount", tokens);
}

/// Converts Bedrock's counting into disjoint classes; `None` where nothing was counted.
///
/// Cache reads and writes stand beside the input, and the names with `Count` repeat those without it
/// (docs.aws.amazon.com, Converse, TokenUsage; provider-usage, sections 1 and 5). Each is taken where it is told first: in the usage, in
/// the model's own words, in the metrics or the headers.
pub(super) fn read(said: &Said) -> Option<Reading> {
    let usage = said.get("usage")?;
    let input = count(usage, &["inputTokens", "prompt_token_count", "inputTextTokenCount", "inputTokenCount"]);
    let output = count(usage, &["outputTokens", "generation_token_count", "totalOutputTextTokenCount", "outputTokenCount"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let written = count(usage, &["cacheWriteInputTokens", "cacheWriteInputTokenCount"]).unwrap_or(0);
    let cache_write_1h = written_for_an_hour(usage).min(written);
    Some(Reading {
        tokens: Tokens {
            input: input.unwrap_or(0),
            cache_read: count(usage, &["cacheReadInputTokens", "cacheReadInputTokenCount"]).unwrap_or(0),
            cache_write_5m: written - cache_write_1h,
            cache_write_1h,
            output: output.unwrap_or(0),
            ..Tokens::default()
        },
        tier: said.text("service_tier").map(str::to_owned),
        ..Reading::default()
    })
}

fn written_for_an_hour(usage: &Value) -> u64 {
    let Some(Value::Array(details)) = usage.get("cacheDetails") else { return 0 };
    let of_an_hour = details.iter().filter(|detail| name(detail, "ttl") == Some("1h"));
    of_an_hour.filter_map(|detail| count(detail, &["inputTokens"])).fold(0, u64::saturating_add)
}

/// The model that a path names between `model` and the verb, percent-decoded: an id, or an ARN with slashes of its own.
pub(super) fn model(before: &[&str]) -> Option<String> {
    let at = before.iter().rposition(|segment| *segment == "model")?;
    said::model_in_path(&before[at + 1..].join("/"))
}
