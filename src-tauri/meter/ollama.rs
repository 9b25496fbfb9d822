//! Ollama's own dialect: chat and generate, as lines of JSON or one object, and embed.

use super::document::Document;
use super::prose;
use super::reply::Heard;
use super::said::{Reading, Said, count};
use events::Tokens;

/// Hears one line, or the whole reply. The counts stand in the last line, at its top.
pub(super) fn hear(document: &Document, heard: &mut Heard) {
    let [model, done, prompt, cached, output, error] =
        document.pick(["model", "done", "prompt_eval_count", "prompt_eval_cached_count", "eval_count", "error"]);
    heard.said.name("model", model);
    for (name, value) in [("prompt_eval_count", prompt), ("prompt_eval_cached_count", cached), ("eval_count", output)] {
        value.into_iter().for_each(|value| heard.said.hear_in("usage", name, value));
    }
    if !heard.counted_more() {
        let said = document.pick(["message.content", "message.thinking", "response", "thinking"]);
        said.into_iter().flatten().for_each(|words| prose::piece(words, &mut heard.prose));
    }
    heard.erred |= error.is_some();
    // An embedding is one object without a last word.
    heard.done |= done.map_or(prompt.is_some(), |done| done.get() == "true");
}

/// Converts Ollama's counting into disjoint classes; `None` where nothing was counted.
///
/// The prompt's count is absent where all of it was cached (docs.ollama.com/api, provider-usage, section 12); what newer builds count as
/// cached is part of it.
pub(super) fn read(said: &Said) -> Option<Reading> {
    let usage = said.get("usage")?;
    let prompt = count(usage, &["prompt_eval_count"]).unwrap_or(0);
    let cache_read = count(usage, &["prompt_eval_cached_count"]).unwrap_or(0);
    let output = count(usage, &["eval_count"]).unwrap_or(0);
    let tokens = Tokens { input: prompt.saturating_sub(cache_read), cache_read, output, ..Tokens::default() };
    Some(Reading { tokens, ..Reading::default() })
}
