//! Droid's session settings: a document that is rewritten in place, with what the session used until then.
//!
//! Pure. The format is in `reference/log-formats.md`, section 9. No call stands apart: a session is one, which grows. Where its counts
//! begin anew, so does a call.

use super::{
    Client, Line,
    json::{Json, text},
    row::{Around, call, family, maker, sighting},
};
use events::{Sighting, Tokens, Usage};
use serde::{Deserialize, Serialize};

/// The reader of one session's settings, and what it saw of them before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reader {
    tokens: Tokens,
    /// How often the counts began anew.
    resets: u32,
}

impl Reader {
    /// Reads the whole document.
    pub(super) fn line(&mut self, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        let text = text(line.bytes);
        let Some(settings) = Json::parse(&text).map(Json::object) else { return };
        let Some(said) = settings.get("tokenUsage") else { return };
        let Some(tokens) = tokens(said).filter(|tokens| tokens.total() > 0) else { return };
        if tokens.total() < self.tokens.total() {
            self.resets = self.resets.saturating_add(1);
        }
        self.tokens = tokens;
        let session = line.file.strip_suffix(".settings").unwrap_or(line.file);
        let messages = (around.near)(1, &format!("{session}.jsonl")).unwrap_or_default();
        let mut rows = messages.lines().filter_map(Json::parse).map(Json::object);
        let cwd = rows.next().and_then(|start| start.word("cwd"));
        let first_at = || rows.find_map(|row| row.get("timestamp")?.time());
        let at = settings.get("providerLockTimestamp").and_then(Json::time).or_else(first_at).unwrap_or_default();
        let model = settings.word("model").and_then(|name| model(&name));
        let provider = settings.word("providerLock").unwrap_or_else(|| maker(model.as_deref()).to_owned());
        let id = match self.resets {
            0 => format!("droid:{session}"),
            resets => format!("droid:{session}:{resets}"),
        };
        let usage = Usage {
            family: family(&provider).to_owned(),
            model,
            project: around.project(cwd.as_deref()),
            session: Some(session.to_owned()),
            // Settings count all requests of the session together.
            requests: Some(0),
            ..call(Client::Droid, &provider, id, at, tokens)
        };
        found.push(sighting(Client::Droid, usage, said));
    }
}

/// `custom:Claude-Sonnet-4-[Anthropic]-0` is `claude-sonnet-4`: names for a menu, with the provider in brackets.
fn model(name: &str) -> Option<String> {
    let name = name.strip_prefix("custom:").unwrap_or(name);
    let name = name.split('[').next()?.trim_matches(['-', ' ']);
    (!name.is_empty()).then(|| name.to_ascii_lowercase().replace(' ', "-"))
}

/// Input is without the cache, and thinking within output (log-formats 0.1).
pub(super) fn tokens(usage: Json<'_>) -> Option<Tokens> {
    let usage = usage.object();
    let (input, output) = (usage.count("inputTokens"), usage.count("outputTokens"));
    input.or(output)?;
    let count = |name: &str| usage.count(name).unwrap_or(0);
    Some(Tokens {
        input: input.unwrap_or(0),
        cache_read: count("cacheReadTokens"),
        cache_write_5m: count("cacheCreationTokens"),
        output: output.unwrap_or(0),
        reasoning: count("thinkingTokens"),
        ..Tokens::default()
    })
}
