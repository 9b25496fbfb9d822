//! Cohere's own dialect: chat of both versions, embed and rerank.

use super::document::Document;
use super::prose;
use super::reply::Heard;
use super::said::{self, Reading, Said, at, count};
use events::{Fees, Pieces, Tokens};

/// Hears one event of a stream, or the whole reply.
pub(super) fn hear(document: &Document, heard: &mut Heard) {
    let [id, generation, response, model] = document.pick(["id", "generation_id", "response.generation_id", "model"]);
    let [usage, meta, delta, response_meta] = document.pick(["usage", "meta", "delta.usage", "response.meta"]);
    let [message, kind] = document.pick(["message", "type"]);
    let said = document.pick([
        "delta.message.content.text",
        "delta.message.content.thinking",
        "delta.message.tool_plan",
        "delta.message.tool_calls.function.arguments",
        "text",
    ]);
    heard.id(id.or(generation).or(response));
    heard.said.name("model", model);
    usage.or(delta).or(meta).or(response_meta).into_iter().for_each(|usage| heard.said.hear("usage", usage));
    if !heard.counted_more() {
        said.into_iter().flatten().for_each(|words| prose::piece(words, &mut heard.prose));
        let [content] = document.pick(["message.content"]);
        content.into_iter().for_each(|content| heard.prose.push_spoken(content));
    }
    // An error is a message of text; a message of the model is an object.
    heard.erred |= kind.is_none() && message.is_some_and(|message| message.get().starts_with('"'));
}

/// Converts Cohere's counting into disjoint classes; `None` where nothing was counted.
///
/// What is billed stands in `billed_units`; `tokens` counts templates and the like as well, which are not billed, and its cached tokens
/// are of those (docs.cohere.com, chat; provider-usage, sections 1 and 13). Rankings are billed by searches.
pub(super) fn read(said: &Said) -> Option<Reading> {
    let units = at(said.get("usage")?, "billed_units")?;
    let tokens = Tokens {
        input: count(units, &["input_tokens"]).unwrap_or(0),
        input_image: count(units, &["image_tokens"]).unwrap_or(0),
        output: count(units, &["output_tokens"]).unwrap_or(0),
        ..Tokens::default()
    };
    let pieces = Pieces { rerank_search: said::pieces(count(units, &["search_units"])), ..Pieces::default() };
    Some(Reading { tokens, fees: Fees { web_search: 0, pieces }, ..Reading::default() })
}
