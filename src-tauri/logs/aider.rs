//! Aider's analytics log, which it writes only where it is told to: one JSON object a line.
//!
//! Pure. The format is in `reference/log-formats.md`, section 15. It mixes what providers counted with its own estimates and does not say
//! which is which, so all of it counts as estimated.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, call, maker, sighting},
};
use events::{Certainty, Sighting, Tokens, Usage};

/// Reads one line.
pub(super) fn line(line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = around.row(&text, &["event", "properties", "time", "user_id"]) else { return };
    let Some(said) = row.get("properties").filter(|_| row.word("event").as_deref() == Some("message_send")) else { return };
    let Some(tokens) = around.counted(said, tokens(said)).filter(|tokens| tokens.total() > 0) else { return };
    let properties = said.object();
    let name = properties.word("main_model").filter(|name| !name.ends_with("REDACTED"));
    // Its own defaults it names without their provider.
    let (provider, model) = match name.as_deref().map(|name| name.split_once('/').unwrap_or((maker(Some(name)), name))) {
        Some((provider, model)) => (provider, Some(model.to_owned())),
        None => ("unknown", None),
    };
    let at = row.get("time").and_then(Json::instant).unwrap_or_default();
    let usage = Usage {
        model,
        // Nothing stands for a price that it does not know.
        reported_cost: properties.get("cost").and_then(Json::usd).filter(|cost| *cost > events::Usd::default()),
        certainty: Certainty::Estimated,
        // A line has no id but what it says and its place, which another line has once the log was begun anew.
        ..call(Client::Aider, provider, format!("aider:{}:{}-{}:{}", at.micros(), tokens.input, tokens.output, line.offset), at, tokens)
    };
    found.push(sighting(Client::Aider, usage, said));
}

/// The cache is not told apart.
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("prompt_tokens"), usage.count("completion_tokens"));
    input.or(output)?;
    Some(Tokens { input: input.unwrap_or(0), output: output.unwrap_or(0), ..Tokens::default() })
}
