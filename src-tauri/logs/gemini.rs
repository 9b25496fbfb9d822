//! Gemini CLI's chats: a JSON document that is rewritten, or (newer) a journal in which a message is written again whenever it grew.
//!
//! Pure. The format is in `reference/log-formats.md`, section 4. No provider's id stands in it.

use super::{
    Client, Line,
    json::{Json, Object, text},
    row::{Around, Setting, call, sighting},
};
use events::{Project, ProjectBy, Sighting, Tokens, Usage};
use sha2::{Digest, Sha256};

/// How many working folders of the list are looked at.
const LISTED_MAX: usize = 4096;

/// The fields of a header, a message, a patch, or a whole chat.
const KNOWN: [&str; 10] = ["sessionId", "projectHash", "messages", "$set", "id", "type", "tokens", "timestamp", "startTime", "lastUpdated"];

/// Reads one line, or a whole document.
pub(super) fn line(setting: &mut Setting, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let text = text(line.bytes);
    let Some(row) = around.row(&text, &KNOWN) else { return };
    let patch = row.get("$set").map(Json::object);
    for row in [Some(&row), patch.as_ref()].into_iter().flatten() {
        setting.session = row.word("sessionId").or(setting.session.take());
        setting.at = row.get("startTime").and_then(Json::instant).or(setting.at);
        message(setting, row, line, around, found);
        for row in row.get("messages").into_iter().flat_map(Json::items) {
            message(setting, &row.object(), line, around, found);
        }
    }
}

/// A message is one call; the last of its copies counts most, and so wins.
fn message(setting: &mut Setting, row: &Object<'_>, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
    let (Some(counted), Some(id)) = (row.get("tokens"), row.word("id")) else { return };
    let Some(tokens) = around.counted(counted, tokens(counted)).filter(|tokens| tokens.total() > 0) else { return };
    let at = setting.at(row.get("timestamp").and_then(Json::instant));
    let session = setting.session.clone().unwrap_or_else(|| line.file.to_owned());
    let usage = Usage {
        model: row.word("model"),
        project: project(setting, around),
        session: Some(session.clone()),
        ..call(Client::GeminiCli, "gemini", format!("gemini-cli:{session}:{id}"), at, tokens)
    };
    found.push(sighting(Client::GeminiCli, usage, counted));
}

/// The folder above `chats` is named like the project, or by a hash of the working folder in older versions. Which folder that is stands in a
/// list; without it the name is all that is known, and a hash tells nothing.
fn project(setting: &mut Setting, around: &mut Around<'_>) -> Option<Project> {
    let steps = around.path.ancestors().position(|folder| folder.ends_with("chats"))?;
    let name = around.folder(steps + 1)?.to_owned();
    let is_hash = name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    // Looked for once in a file.
    let cwd =
        setting.cwd.get_or_insert_with(|| working_folder(&name, is_hash, &(around.near)(steps + 3, "projects.json").unwrap_or_default()));
    around.project(Some(cwd.as_str()).filter(|cwd| !cwd.is_empty())).or_else(|| {
        let is_told = !is_hash && cwd.is_empty();
        is_told.then_some(Project { by: ProjectBy::Folder, name })
    })
}

/// The folder that is listed under a name or has a hash; empty where none is.
fn working_folder(name: &str, is_hash: bool, list: &str) -> String {
    let listed = Json::parse(list).and_then(|list| list.at(&["projects"])).map(Json::object).unwrap_or_default();
    let is_it = |(cwd, named): &(&str, Json<'_>)| if is_hash { hash(cwd) == name } else { named.word().as_deref() == Some(name) };
    listed.fields().take(LISTED_MAX).find(is_it).map(|(cwd, _)| cwd.to_owned()).unwrap_or_default()
}

fn hash(cwd: &str) -> String {
    Sha256::digest(cwd.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
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
