//! OpenCode's messages, and those of its kin: rows of its database, files of its older tree, and what `opencode export` prints.
//!
//! Pure. The format is in `reference/log-formats.md`, section 3. A message is a call; no provider's id stands in it.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, call, sighting},
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

/// What a message is taken from in the database, the newest schema first: with what its steps used where it does not say so itself, and
/// with its session, but where it is older than that. Such a one was copied by a fork, and its own session tells of it.
pub(super) const QUERIES: [&str; 3] = [
    of_messages!(
        "CASE WHEN json_valid(message.data) AND json_extract(message.data, '$.time.created') < session.time_created THEN NULL \
         ELSE message.session_id END",
        ", 'directory', session.directory, 'steps', CASE WHEN json_valid(message.data) \
         AND coalesce(json_extract(message.data, '$.tokens.input'), 0) + coalesce(json_extract(message.data, '$.tokens.output'), 0) = 0 \
         AND json_extract(message.data, '$.role') = 'assistant' \
         THEN json((SELECT json_group_array(json(part.data)) FROM part WHERE part.message_id = message.id AND json_valid(part.data) \
         AND json_extract(part.data, '$.type') = 'step-finish')) END",
        " LEFT JOIN session ON session.id = message.session_id"
    ),
    of_messages!("message.session_id", ", 'directory', session.directory", " LEFT JOIN session ON session.id = message.session_id"),
    of_messages!("message.session_id", "", ""),
];
/// How many steps of one message are looked at.
const STEPS_MAX: usize = 1024;

/// Reads a row, a message's own file, or an exported session.
pub(super) fn line(client: Client, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = Json::parse(&text).map(Json::object) else { return };
    if let Some(data) = row.get("data").map(Json::object) {
        return message(client, &row, &data, row.get("steps"), around, found);
    }
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
    if message.word("role").as_deref() != Some("assistant") {
        return;
    }
    let own = message.get("tokens").filter(|counted| tokens(*counted).is_some_and(|tokens| tokens.total() > 0));
    let steps = if own.is_none() { parts.and_then(of_steps) } else { None };
    let (of_steps, cost_of_steps) = steps.unzip();
    let Some(counted) = own.or_else(|| Json::parse(of_steps.as_deref()?)) else { return };
    let Some(tokens) = tokens(counted).filter(|tokens| tokens.total() > 0) else { return };
    // In a message's row the id stands beside it, in an exported session within.
    let is_row = frame.get("data").is_some();
    let id = if is_row { frame.word("id") } else { message.word("id") };
    let Some(id) = id else { return };
    let session = message.word("sessionID").or_else(|| if is_row { frame.word("sessionID") } else { frame.word("id") });
    let path = message.get("path").map(Json::object).unwrap_or_default();
    let cwd = path.word("cwd").or_else(|| frame.word("directory")).or_else(|| path.word("root"));
    let begun_at = message.get("time").and_then(|time| time.at(&["created"])).and_then(Json::millis);
    let provider = message.word("providerID").unwrap_or_else(|| "opencode".to_owned());
    let model = message.word("modelID");
    // A fork copies messages under new ids, with all that they say. What they say is the key, so that copy and message are one call in
    // whatever order they are read, and when either is gone.
    let name = client.name();
    let key = match begun_at {
        Some(at) => {
            let Tokens { input, output, reasoning, .. } = tokens;
            let counts = format!("{input}-{}-{}-{output}-{reasoning}", tokens.cache_read, tokens.cache_writes());
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

/// What a message's steps used together, in OpenCode's words, and what they cost; `None` where none of them says so.
fn of_steps(parts: Json<'_>) -> Option<(String, Option<Usd>)> {
    let steps = parts.items().take(STEPS_MAX).map(Json::object);
    let (mut sum, mut cost) = (Tokens::default(), None::<Usd>);
    for step in steps.filter(|step| step.word("type").as_deref() == Some("step-finish")) {
        if let Some(tokens) = step.get("tokens").and_then(tokens) {
            sum.add(&tokens);
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
    (total > 0).then_some((said, cost))
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
