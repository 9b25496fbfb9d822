//! OpenCode's messages, and those of its kin: rows of its database, files of its older tree, and what `opencode export` prints.
//!
//! Pure. The format is in `reference/log-formats.md`, section 3. A message is a call; no provider's id stands in it.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, call, sighting},
};
use events::{Sighting, Tokens, Usage};

/// What a message is taken from in the database: the newest schema first.
pub(super) const QUERIES: [&str; 2] = [
    "SELECT message.rowid, json_object('id', message.id, 'sessionID', message.session_id, 'directory', session.directory, \
     'data', CASE WHEN json_valid(message.data) THEN json(message.data) END) \
     FROM message LEFT JOIN session ON session.id = message.session_id WHERE message.rowid > ?1 ORDER BY message.rowid",
    "SELECT message.rowid, json_object('id', message.id, 'sessionID', message.session_id, \
     'data', CASE WHEN json_valid(message.data) THEN json(message.data) END) \
     FROM message WHERE message.rowid > ?1 ORDER BY message.rowid",
];

/// Reads a row, a message's own file, or an exported session.
pub(super) fn line(client: Client, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = Json::parse(&text).map(Json::object) else { return };
    if let Some(data) = row.get("data").map(Json::object) {
        return message(client, &row, &data, around, found);
    }
    let Some(messages) = row.get("messages") else { return message(client, &row, &row, around, found) };
    let session = row.get("info").map(Json::object).unwrap_or_default();
    for one in messages.items() {
        let info = one.at(&["info"]).unwrap_or(one).object();
        message(client, &session, &info, around, found);
    }
}

/// `frame` is what stands around the message: of its row, or of its session.
fn message(client: Client, frame: &Object<'_>, message: &Object<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    if message.word("role").as_deref() != Some("assistant") {
        return;
    }
    let Some(counted) = message.get("tokens") else { return };
    let Some(tokens) = tokens(counted).filter(|tokens| tokens.total() > 0) else { return };
    // In a message's row the id stands beside it, in an exported session within.
    let is_row = frame.get("data").is_some();
    let id = if is_row { frame.word("id") } else { message.word("id") };
    let Some(id) = id else { return };
    let session = message.word("sessionID").or_else(|| if is_row { frame.word("sessionID") } else { frame.word("id") });
    let path = message.get("path").map(Json::object).unwrap_or_default();
    let cwd = path.word("cwd").or_else(|| frame.word("directory")).or_else(|| path.word("root"));
    let at = message.get("time").and_then(|time| time.at(&["created"])).and_then(Json::millis).unwrap_or_default();
    let provider = message.word("providerID").unwrap_or_else(|| "opencode".to_owned());
    let usage = Usage {
        model: message.word("modelID"),
        project: around.project(cwd.as_deref()),
        session,
        // Its own estimate by its own prices; nothing where it is a subscription's, or unknown.
        reported_cost: message.get("cost").and_then(Json::usd).filter(|cost| *cost > events::Usd::default()),
        ..call(client, &provider, format!("{}:{id}", client.name()), at, tokens)
    };
    found.push(sighting(client, usage, counted));
}

/// Input is without the cache. Whether reasoning is within output differs by version and provider, and the row's own total tells: where
/// it is the sum without reasoning, reasoning is part of output; where there is none, it stands beside it (log-formats 0.1 and 3).
///
/// Versions to 1.2 wrote the provider's output, reasoning included, and their `cost` charges reasoning a second time.
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let cache = usage.get("cache").map(Json::object).unwrap_or_default();
    let (input, output) = (usage.count("input"), usage.count("output"));
    input.or(output)?;
    let (input, output, reasoning) = (input.unwrap_or(0), output.unwrap_or(0), usage.count("reasoning").unwrap_or(0));
    let (read, write) = (cache.count("read").unwrap_or(0), cache.count("write").unwrap_or(0));
    let without = input.saturating_add(output).saturating_add(read).saturating_add(write);
    let is_within = reasoning <= output && usage.count("total") == Some(without);
    Some(Tokens {
        input,
        cache_read: read,
        cache_write_5m: write,
        output: if is_within { output } else { output.saturating_add(reasoning) },
        reasoning,
        ..Tokens::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_own_total_tells_whether_reasoning_is_within_output() {
        let output = |usage: &str| Json::parse(usage).and_then(tokens).map(|tokens| (tokens.output, tokens.reasoning));
        // As Kilo wrote it, and as newer versions of OpenCode do.
        let within = r#"{"total":57407,"input":1207,"output":1569,"reasoning":281,"cache":{"read":54631,"write":0}}"#;
        let beside = r#"{"total":5000,"input":1000,"output":500,"reasoning":100,"cache":{"read":3000,"write":400}}"#;
        let untold = r#"{"input":1000,"output":500,"reasoning":100,"cache":{"read":3000,"write":400}}"#;
        assert_eq!((output(within), output(beside), output(untold)), (Some((1569, 281)), Some((600, 100)), Some((600, 100))));
    }
}
