//! OpenCode's messages, and those of its kin: rows of its database, files of its older tree, and what `opencode export` prints.
//!
//! Pure. The format is in `reference/log-formats.md`, section 3. A message is a call; no provider's id stands in it.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Understood, call, sighting},
    sqlite::Table,
};
use events::{Sighting, Tokens, Usage, Usd};

macro_rules! of_messages {
    ($session:literal, $beside:literal, $join:literal) => {
        concat!(
            "SELECT message.rowid, json_object('id', message.id, 'sessionID', ",
            $session,
            ", 'data', CASE WHEN json_valid(message.data) THEN json(message.data) END",
            $beside,
            ") FROM message",
            $join,
            " WHERE message.rowid > ?1 ORDER BY message.rowid"
        )
    };
}

/// Those that name an assistant's message's steps: what a message says itself is what its last step used.
const OF_MESSAGES: [&str; 3] = [
    of_messages!(
        "CASE WHEN json_valid(message.data) AND json_extract(message.data, '$.time.created') < session.time_created THEN NULL \
         ELSE message.session_id END",
        ", 'directory', session.directory, 'steps', CASE WHEN json_valid(message.data) \
         AND json_extract(message.data, '$.role') = 'assistant' \
         THEN json((SELECT json_group_array(json(part.data)) FROM part WHERE part.message_id = message.id \
         AND instr(part.data, 'step-finish') > 0 AND json_valid(part.data) AND json_extract(part.data, '$.type') = 'step-finish')) END",
        " LEFT JOIN session ON session.id = message.session_id"
    ),
    of_messages!("message.session_id", ", 'directory', session.directory", " LEFT JOIN session ON session.id = message.session_id"),
    of_messages!("message.session_id", "", ""),
];

macro_rules! of_new_messages {
    ($session:literal, $beside:literal, $join:literal, $unless:literal) => {
        concat!(
            "SELECT m.rowid, json_object('id', m.id, 'sessionID', ",
            $session,
            ", 'type', m.type, 'created', m.time_created, 'data', CASE WHEN json_valid(m.data) THEN json(m.data) END",
            $beside,
            ") FROM session_message m",
            $join,
            " WHERE m.rowid > ?1",
            $unless,
            " ORDER BY m.rowid"
        )
    };
}

/// Version 2 (log-formats 20, "OpenCode 2"). Messages that were moved from the older table keep their ids; that table tells them. A message
/// that is older than its session was copied by a fork.
const OF_NEW_MESSAGES: [&str; 6] = [
    of_new_messages!(
        "CASE WHEN m.time_created < s.time_created THEN NULL ELSE m.session_id END",
        ", 'directory', s.directory",
        " LEFT JOIN session_v2 s ON s.id = m.session_id",
        " AND NOT EXISTS (SELECT 1 FROM message o WHERE o.id = m.id AND json_valid(o.data) \
         AND coalesce(json_extract(o.data, '$.tokens.output'), 0) > 0)"
    ),
    of_new_messages!(
        "CASE WHEN m.time_created < s.time_created THEN NULL ELSE m.session_id END",
        ", 'directory', s.directory",
        " LEFT JOIN session_v2 s ON s.id = m.session_id",
        ""
    ),
    of_new_messages!(
        "CASE WHEN m.time_created < s.time_created THEN NULL ELSE m.session_id END",
        ", 'directory', s.directory",
        " LEFT JOIN session s ON s.id = m.session_id",
        " AND NOT EXISTS (SELECT 1 FROM message o WHERE o.id = m.id AND json_valid(o.data) \
         AND coalesce(json_extract(o.data, '$.tokens.output'), 0) > 0)"
    ),
    of_new_messages!(
        "CASE WHEN m.time_created < s.time_created THEN NULL ELSE m.session_id END",
        ", 'directory', s.directory",
        " LEFT JOIN session s ON s.id = m.session_id",
        ""
    ),
    of_new_messages!("m.session_id", "", "", ""),
    "SELECT m.rowid, json_object('id', m.id, 'sessionID', m.session_id, 'type', m.type, 'data', CASE WHEN json_valid(m.data) \
     THEN json(m.data) END) FROM session_message m WHERE m.rowid > ?1 ORDER BY m.rowid",
];

/// The tables of messages, of which version 2 leaves the first as it was.
pub(super) const TABLES: [Table; 2] =
    [Table { name: "message", queries: &OF_MESSAGES }, Table { name: "session_message", queries: &OF_NEW_MESSAGES }];
/// Tables that say of messages what these say, or what they are made of.
pub(super) const TABLES_BESIDE: [&str; 6] = ["message", "session_message", "part", "session", "session_v2", "session_share"];
/// How many steps of one message are looked at.
const STEPS_MAX: usize = 1024;
/// The fields of a message, in either version.
const KNOWN: [&str; 14] =
    ["role", "time", "tokens", "model", "modelID", "text", "content", "agent", "finish", "cost", "parts", "info", "messages", "error"];

/// Reads a row, a message's own file, or an exported session.
pub(super) fn line(client: Client, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let frame = Json::parse(&text).map(Json::object).unwrap_or_default();
    // A row of the database, whose message is no JSON where there is none.
    if frame.get("sessionID").is_some() && frame.has_any(&["data"]) {
        let data = frame.get("data").map_or("{", Json::raw);
        let Some(data) = around.row(data, &KNOWN) else { return };
        return message(client, &frame, &data, frame.get("steps"), around, found);
    }
    if let Some(data) = frame.get("data") {
        let Some(data) = around.row(data.raw(), &KNOWN) else { return };
        return message(client, &frame, &data, frame.get("steps"), around, found);
    }
    let Some(row) = around.row(&text, &KNOWN) else { return };
    let Some(messages) = row.get("messages") else { return message(client, &row, &row, None, around, found) };
    let session = row.get("info").map(Json::object).unwrap_or_default();
    for one in messages.items() {
        let info = one.at(&["info"]).unwrap_or(one).object();
        message(client, &session, &info, one.at(&["parts"]), around, found);
    }
}

/// `frame` is what stands around the message: of its row, or of its session. `parts` are those of the message, of which its steps say again
/// what it used: they count where it does not say so itself.
fn message(
    client: Client,
    frame: &Object<'_>,
    message: &Object<'_>,
    parts: Option<Json<'_>>,
    around: &mut Around<'_>,
    found: &mut Vec<Sighting>,
) {
    // In version 2 the kind stands beside the message.
    let role = message.word("role").or_else(|| frame.word("type"));
    if role.as_deref() != Some("assistant") && (message.get("tokens").is_none() || role.as_deref() == Some("user")) {
        return;
    }
    let time = message.get("time").map(Json::object).unwrap_or_default();
    let is_done = message.get("finish").is_some() || time.get("completed").is_some();
    if is_done && message.get("tokens").is_none() && message.get("error").is_none() && parts.is_none() {
        around.seen.note(Understood::Foreign);
        return;
    }
    let said = message.get("tokens");
    let own = said.filter(|said| around.counted(*said, tokens(*said)).is_some_and(|tokens| tokens.total() > 0));
    let own_tokens = own.and_then(tokens);
    let steps = parts.and_then(of_steps);
    // Where there are several steps, a message says what the last one used.
    let steps = steps.filter(|steps| own_tokens.is_none_or(|own| steps.count > 1 && steps.sum.total() > own.total()));
    let (of_steps, cost_of_steps) = steps.map(|steps| (steps.said, steps.cost)).unzip();
    let Some(counted) = of_steps.as_deref().and_then(Json::parse).or(own) else { return };
    let Some(tokens) = tokens(counted).filter(|tokens| tokens.total() > 0) else { return };
    // In a message's row the id stands beside it, in an exported session within.
    let is_row = frame.get("data").is_some();
    let id = if is_row { frame.word("id") } else { message.word("id") };
    let Some(id) = id else { return };
    let session = message.word("sessionID").or_else(|| if is_row { frame.word("sessionID") } else { frame.word("id") });
    let path = message.get("path").map(Json::object).unwrap_or_default();
    let cwd = path.word("cwd").or_else(|| frame.word("directory")).or_else(|| path.word("root"));
    let own_at = time.get("created").and_then(Json::instant);
    if own_at.is_none() && is_copy(&id) {
        return;
    }
    let begun_at = own_at.or_else(|| frame.get("created").and_then(Json::instant));
    let model_object = message.get("model").map(Json::object).unwrap_or_default();
    let provider = message.word("providerID").or_else(|| model_object.word("providerID")).unwrap_or_else(|| "opencode".to_owned());
    let model = message.word("modelID").or_else(|| model_object.any(&["id", "modelID"])?.word());
    // A fork copies messages under new ids, with all that they say. What they say is the key, so that copy and message are one call in
    // whatever order they are read, and when either is gone.
    let name = client.name();
    let key = match begun_at {
        Some(at) => {
            // By the message's own counts where it has any, which stay when steps are added.
            let key = own_tokens.unwrap_or(tokens);
            let Tokens { input, output, reasoning, .. } = key;
            let counts = format!("{input}-{}-{}-{output}-{reasoning}", key.cache_read, key.cache_writes());
            format!("{name}:{}:{}:{counts}", at.micros(), model.as_deref().unwrap_or_default())
        }
        None => format!("{name}:{id}"),
    };
    let cost = message.get("cost").and_then(Json::usd).filter(|cost| *cost > Usd::default());
    let usage = Usage {
        model,
        project: around.project(cwd.as_deref()),
        session,
        // Its own estimate by its own prices; nothing where it is a subscription's, or unknown.
        reported_cost: cost.or(cost_of_steps.flatten()),
        ..call(client, &provider, key, begun_at.unwrap_or_default(), tokens)
    };
    found.push(sighting(client, usage, counted));
}

/// Whether an id is one that version 2 gives to a copied message: `msg_`, 26 characters, and a number.
fn is_copy(id: &str) -> bool {
    let parts = id.strip_prefix("msg_").and_then(|rest| rest.rsplit_once('_'));
    parts.is_some_and(|(name, number)| name.len() == 26 && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// What a message's steps used together.
struct Steps {
    /// In OpenCode's words.
    said: String,
    sum: Tokens,
    count: usize,
    cost: Option<Usd>,
}

/// The steps of a message; `None` where none of them counts anything.
fn of_steps(parts: Json<'_>) -> Option<Steps> {
    let steps = parts.items().take(STEPS_MAX).map(Json::object);
    let (mut sum, mut count, mut cost) = (Tokens::default(), 0, None::<Usd>);
    for step in steps.filter(|step| step.word("type").as_deref() == Some("step-finish")) {
        if let Some(tokens) = step.get("tokens").and_then(tokens) {
            sum.add(&tokens);
            count += 1;
        }
        cost = step
            .get("cost")
            .and_then(Json::usd)
            .filter(|cost| *cost > Usd::default())
            .map(|more| cost.map_or(more, |sum| sum + more))
            .or(cost);
    }
    let Tokens { input, cache_read, cache_write_5m, output, reasoning, .. } = sum;
    let total = sum.total();
    // Reasoning is within the output of the sum, and the total says so.
    let said = format!(
        r#"{{"total":{total},"input":{input},"output":{output},"reasoning":{reasoning},"cache":{{"read":{cache_read},"write":{cache_write_5m}}}}}"#
    );
    (total > 0).then_some(Steps { said, sum, count, cost })
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
