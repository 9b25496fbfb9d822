//! Gemini CLI's chats: a JSON document that is rewritten, or (newer) a journal in which a message is written again whenever it grew.
//!
//! Pure. The format is in `reference/log-formats.md`, section 4. No provider's id stands in it.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Setting, call, sighting},
};
use events::{Project, ProjectBy, Sighting, Tokens, Usage};

/// Reads one line, or a whole document.
pub(super) fn line(setting: &mut Setting, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = Json::parse(&text).map(Json::object) else { return };
    let patch = row.get("$set").map(Json::object);
    for row in [Some(&row), patch.as_ref()].into_iter().flatten() {
        setting.session = row.word("sessionId").or(setting.session.take());
        message(setting, row, line, around, found);
        for row in row.get("messages").into_iter().flat_map(Json::items) {
            message(setting, &row.object(), line, around, found);
        }
    }
}

/// A message is one call; the last of its copies counts most, and so wins.
fn message(setting: &mut Setting, row: &Object<'_>, line: Line<'_>, around: &Around<'_>, found: &mut Vec<Sighting>) {
    let (Some(counted), Some(id)) = (row.get("tokens"), row.word("id")) else { return };
    let Some(tokens) = tokens(counted).filter(|tokens| tokens.total() > 0) else { return };
    let at = setting.at(row.get("timestamp").and_then(Json::time));
    let session = setting.session.clone().unwrap_or_else(|| line.file.to_owned());
    let usage = Usage {
        model: row.word("model"),
        project: project(around),
        session: Some(session.clone()),
        ..call(Client::GeminiCli, "gemini", format!("gemini-cli:{session}:{id}"), at, tokens)
    };
    found.push(sighting(Client::GeminiCli, usage, counted));
}

/// The folder above `chats` is named like the project; older versions named it by a hash of the working folder, which tells nothing.
fn project(around: &Around<'_>) -> Option<Project> {
    let chats = around.path.ancestors().find(|folder| folder.ends_with("chats"))?;
    let name = chats.parent()?.file_name()?.to_str()?;
    let is_hash = name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    (!is_hash).then(|| Project { by: ProjectBy::Folder, name: name.to_owned() })
}

/// Google counts cache reads within input, thoughts beside output, and what tools put in beside input (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("input"), usage.count("output"));
    input.or(output)?;
    let count = |name: &str| usage.count(name).unwrap_or(0);
    let (cached, thoughts) = (count("cached"), count("thoughts"));
    Some(Tokens {
        input: input.unwrap_or(0).saturating_sub(cached).saturating_add(count("tool")),
        cache_read: cached,
        output: output.unwrap_or(0).saturating_add(thoughts),
        reasoning: thoughts,
        ..Tokens::default()
    })
}
