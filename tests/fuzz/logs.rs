//! Every reader of a client's log: no bytes make it panic, and read in two steps, as the file grew, they say the same as at once.
#![no_main]

use events::{RequestKey, Usage};
use libfuzzer_sys::fuzz_target;
use std::{collections::BTreeMap, convert::Infallible, fs, path::Path};
use tollbar_app::{
    attribution::Projects,
    logs::{Client, Cursors, import_files},
};

/// A name under which each client keeps a log of each form.
const FILES: [(Client, &str); 24] = [
    (Client::ClaudeCode, "projects/p/s.jsonl"),
    (Client::Codex, "sessions/rollout-a.jsonl"),
    (Client::GeminiCli, "tmp/p/chats/session.jsonl"),
    (Client::CopilotCli, "session-state/s/events.jsonl"),
    (Client::Pi, "sessions/p/s.jsonl"),
    (Client::Qwen, "projects/p/chats/s.jsonl"),
    (Client::Qwen, "usage/token-usage.jsonl"),
    (Client::Kimi, "sessions/p/s/wire.jsonl"),
    (Client::Grok, "sessions/p/s/updates.jsonl"),
    (Client::Aider, "analytics.jsonl"),
    (Client::Codex, "sessions/rollout-a.jsonl.zst"),
    (Client::GeminiCli, "tmp/p/chats/session.json"),
    (Client::OpenCode, "storage/message/s/m.json"),
    (Client::OpenCode, "ses_a.json"),
    (Client::Droid, "sessions/a.settings.json"),
    (Client::Amp, "threads/T-a.json"),
    (Client::Cline, "tasks/1/ui_messages.json"),
    (Client::Cline, "sessions/a.messages.json"),
    (Client::Cursor, "usage.csv"),
    (Client::OpenCode, "opencode.db"),
    (Client::CopilotCli, "session-store.db"),
    (Client::Crush, "crush.db"),
    (Client::Goose, "sessions.db"),
    (Client::Zed, "threads.db"),
];
/// So many of them, from the first one on, grow by lines.
const LINES: usize = 10;

/// What the calls of one log come to.
#[derive(Default)]
struct Read {
    cursors: Cursors,
    calls: BTreeMap<RequestKey, Usage>,
    nameless: Vec<Usage>,
}

impl Read {
    fn read(&mut self, client: Client, path: &Path) {
        let mut sink = |sightings: Vec<events::Sighting>| {
            for sighting in sightings {
                let usage = *sighting.usage;
                let Some(key) = usage.key() else {
                    self.nameless.push(usage);
                    continue;
                };
                let known = self.calls.remove(&key);
                self.calls.insert(key, known.map_or_else(|| usage.clone(), |known| known.merged(&usage)));
            }
            Ok::<_, Infallible>(())
        };
        let files = [path.to_owned()];
        let Ok(_) = import_files(client, &files, &mut self.cursors, &mut Projects::default(), &mut sink, &mut |_| {});
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, cut, content @ ..] = bytes else { return };
    let at = usize::from(*choice) % FILES.len();
    let (client, name) = FILES[at];
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder");
    fs::write(&path, content).expect("written");
    let mut whole = Read::default();
    whole.read(client, &path);
    if at >= LINES {
        return;
    }
    // It grows in the middle of a line as well.
    let cut = content.len() * usize::from(*cut) / 256;
    fs::write(&path, &content[..cut]).expect("written");
    let mut steps = Read::default();
    steps.read(client, &path);
    fs::write(&path, content).expect("written");
    steps.read(client, &path);
    assert_eq!(steps.calls, whole.calls, "{name} read in two steps, cut at {cut}");
});
