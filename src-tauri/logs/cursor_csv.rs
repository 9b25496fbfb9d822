//! The table of usage that Cursor's dashboard exports. Its own files have no counts since version 3.
//!
//! Pure. The format is in `reference/log-formats.md`, section 7. A row sums up several requests.

use super::{
    Client, Line,
    json::{Json, text},
    row::{call, maker, sighting},
};
use events::{Sighting, Tokens, Usage};

/// Reads a row, its columns by the names in the table's head.
pub(super) fn line(line: Line<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(said) = Json::parse(&text) else { return };
    let row = said.object();
    let (Some(date), Some(tokens)) = (row.get("Date"), tokens(said).filter(|tokens| tokens.total() > 0)) else { return };
    let (Some(at), model) = (date.time(), row.word("Model")) else { return };
    // Two exports overlap, and a row has no id: its time and counts are what it has.
    let id = format!("cursor:{}:{}:{}:{}", at.micros(), model.as_deref().unwrap_or_default(), tokens.total(), tokens.output);
    let cost = row.get("Cost").and_then(Json::usd).filter(|cost| *cost > events::Usd::default());
    // A row sums several requests.
    let usage = Usage { reported_cost: cost, requests: Some(0), ..call(Client::Cursor, maker(model.as_deref()), id, at, tokens) };
    found.push(sighting(Client::Cursor, Usage { model, ..usage }, said));
}

/// "With Cache Write" are the tokens that were written to the cache, "without" the rest of the uncached input.
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let row = usage.object();
    let count = |name: &str| row.get(name)?.text()?.replace(',', "").parse::<u64>().ok();
    let (write, input) = (count("Input (w/ Cache Write)"), count("Input (w/o Cache Write)"));
    let output = count("Output Tokens");
    input.or(output)?;
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: count("Cache Read").unwrap_or(0),
        cache_write_5m: write.unwrap_or(0),
        output: output.unwrap_or(0),
        ..Tokens::default()
    })
}
