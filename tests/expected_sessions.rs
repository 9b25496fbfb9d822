//! The recorded sessions of all clients, with the totals that were computed independently of this program.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod recorded;

use events::{RequestKey, Sighting, Tokens, Usage};
use recorded::without_progress;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
};
use tollbar_app::{
    attribution::Projects,
    logs::{self, Client, Cursors},
    remeter,
};

/// Stands in for the log: each call once, by its key.
type Ledger = BTreeMap<RequestKey, Usage>;

fn recordings() -> Option<PathBuf> {
    let data = std::env::var_os("TOLLBAR_DATA").map(PathBuf::from);
    let folder = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data")).join("sessions");
    if folder.join("EXPECTED.jsonl").is_file() {
        return Some(folder);
    }
    println!("skipped: no recordings at {}", folder.display());
    None
}

fn import(client: Client, root: &Path, cursors: &mut Cursors, ledger: &mut Ledger) {
    let mut sink = |batch: Vec<Sighting>| {
        for Sighting { usage, said } in batch {
            if let Some(said) = said {
                let again = remeter::again(&usage, &said);
                assert_eq!(again.as_ref(), Some(&*usage), "read again, a call is what it was");
            }
            let key = usage.key().unwrap();
            let merged = ledger.get(&key).map_or_else(|| Usage::clone(&usage), |known: &Usage| known.merged(&usage));
            ledger.insert(key, merged);
        }
        Ok::<_, Infallible>(())
    };
    let Ok(report) = logs::import(client, &[root.to_owned()], cursors, &mut Projects::default(), &mut sink, &mut |_| {});
    assert_eq!(report.skipped, []);
}

fn read(client: Client, root: &Path) -> Ledger {
    let mut ledger = Ledger::new();
    import(client, root, &mut Cursors::default(), &mut ledger);
    ledger
}

fn write(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Where a client keeps a session of this name.
fn place(client: Client, name: &str) -> String {
    match client.name() {
        "claude-code" => format!("projects/slug/{name}"),
        "codex" => format!("sessions/2026/01/01/{name}"),
        "gemini-cli" => format!("tmp/shop/chats/{name}"),
        "copilot-cli" => format!("session-state/one/{name}"),
        "droid" => format!("sessions/slug/{name}"),
        "pi" => format!("sessions/slug/{name}"),
        "opencode" => name.to_owned(),
        other => panic!("no recordings of {other} are known"),
    }
}

/// An exported session of OpenCode's as the tree of files and as the database that it was exported from.
fn opencode_tree_and_database(export: &Value, tree: &Path, folder: &Path) {
    let database = rusqlite::Connection::open(folder.join("opencode.db")).unwrap();
    let schema = "PRAGMA journal_mode=wal; CREATE TABLE session(id TEXT PRIMARY KEY, directory TEXT);
        CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, time_created INTEGER, data TEXT)";
    database.execute_batch(schema).unwrap();
    let session = export["info"]["id"].as_str().unwrap();
    database.execute("INSERT INTO session VALUES (?1, ?2)", [session, export["info"]["directory"].as_str().unwrap()]).unwrap();
    for message in export["messages"].as_array().unwrap() {
        let mut info = message["info"].clone();
        let id = info["id"].as_str().unwrap().to_owned();
        write(tree, &format!("storage/message/{session}/{id}.json"), info.to_string());
        info.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "sessionID");
        database.execute("INSERT INTO message VALUES (?1, ?2, 0, ?3)", [&id, session, &info.to_string()]).unwrap();
    }
}

/// Input, cache reads, cache writes, output.
type Counts = [u64; 4];

fn counts(ledger: &Ledger) -> Counts {
    let mut all = Tokens::default();
    ledger.values().for_each(|usage| all.add(&usage.tokens));
    [all.input, all.cache_read, all.cache_writes(), all.output]
}

fn named(row: &Value, names: [&str; 4]) -> Counts {
    names.map(|name| row[name].as_u64().unwrap_or(0))
}

/// What a recording comes to by the one who made it.
fn expected(client: Client, row: &Value) -> Counts {
    match client.name() {
        "claude-code" => named(&row["last_wins"], ["input", "cache_read", "cache_write", "output"]),
        "codex" | "gemini-cli" => named(&row["disjoint"], ["input_uncached", "cache_read", "cache_write", "output"]),
        // By the classes as OpenCode counts them. `disjoint` there has reasoning a second time beside an output that includes it: in each
        // of these rows `total` is the sum without it.
        "opencode" => named(&row["tokens"], ["input", "cache_read", "cache_write", "output"]),
        "copilot-cli" => {
            let shutdowns = row["shutdowns"].as_array().unwrap();
            let metrics = shutdowns.iter().flat_map(|shutdown| shutdown["modelMetrics"].as_object().unwrap().values());
            let mut sum: Counts = [0; 4];
            for metric in metrics {
                let [input, read, write, output] =
                    named(&metric["usage"], ["inputTokens", "cacheReadTokens", "cacheWriteTokens", "outputTokens"]);
                sum.iter_mut().zip([input - read - write, read, write, output]).for_each(|(sum, count)| *sum += count);
            }
            if shutdowns.is_empty() { [0, 0, 0, row["sum_assistant_outputTokens"].as_u64().unwrap()] } else { sum }
        }
        "pi" if row["tokens"].is_object() => named(&row["tokens"], ["input", "cacheRead", "cacheWrite", "output"]),
        "pi" | "droid" => {
            named(&row["entire_token_usage"], ["input_tokens", "cache_read_tokens", "cache_creation_tokens", "output_tokens"])
        }
        other => panic!("no recordings of {other} are known"),
    }
}

/// The models of a recording, without the providers that some name before them.
fn models(row: &Value) -> Option<BTreeSet<String>> {
    let models = &row["models"];
    let keys = models.as_object().map(|models| models.keys().map(|name| bare(name)).collect());
    let items =
        || models.as_array().filter(|models| !models.is_empty()).map(|models| models.iter().filter_map(Value::as_str).map(bare).collect());
    keys.or_else(items)
}

fn bare(model: &str) -> String {
    model.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Everything that a recording is in: one folder, but for OpenCode's, of which three forms are the same.
fn ledgers(client: Client, name: &str, bytes: &[u8]) -> Vec<Ledger> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), &place(client, name), bytes);
    let mut ledgers = vec![read(client, root.path())];
    if client == Client::OpenCode {
        let (tree, database) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        opencode_tree_and_database(&serde_json::from_slice(bytes).unwrap(), tree.path(), database.path());
        ledgers.extend([read(client, tree.path()), read(client, database.path())]);
    }
    ledgers
}

#[test]
fn every_expected_row_is_read_exactly() {
    let Some(folder) = recordings() else { return };
    let text = fs::read_to_string(folder.join("EXPECTED.jsonl")).unwrap();
    let mut by_client = BTreeMap::<&str, (usize, usize)>::new();
    let mut wrong = Vec::new();
    for row in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let client: Client = row["client"].as_str().unwrap().parse().unwrap();
        let path = folder.join(row["path"].as_str().unwrap());
        let (want, models) = (expected(client, &row["expected"]), models(&row["expected"]));
        let ledgers = ledgers(client, path.file_name().unwrap().to_str().unwrap(), &without_progress(&fs::read(&path).unwrap()));
        let is_right = |ledger: &Ledger| {
            let used = ledger.values().filter(|usage| usage.tokens.total() > 0);
            let named: BTreeSet<String> = used.filter_map(|usage| usage.model.as_deref()).map(bare).collect();
            counts(ledger) == want && models.as_ref().is_none_or(|models| named.is_subset(models))
        };
        let (right, all) = by_client.entry(client.name()).or_default();
        *all += 1;
        if ledgers.iter().all(is_right) {
            *right += 1;
        } else {
            wrong.push(format!("{}: {:?}, not {want:?}", path.display(), ledgers.iter().map(counts).collect::<Vec<_>>()));
        }
    }
    by_client.iter().for_each(|(client, (right, all))| println!("{client}: {right} of {all}"));
    assert!(wrong.is_empty() && !by_client.is_empty(), "{wrong:#?}");
}

#[test]
fn a_fork_and_its_parent_are_the_calls_of_both_once() {
    let Some(folder) = recordings() else { return };
    for family in fs::read_dir(folder.join("codex-forks")).unwrap() {
        let root = family.unwrap().path().join(".codex");
        let (child, parent) = (root.join("archived_sessions/child.jsonl"), root.join("archived_sessions/parent.jsonl"));
        let parent = if parent.exists() { parent } else { root.join("sessions/2026/07/11/parent.jsonl") };
        let both = read(Client::Codex, &root);
        let alone = |path: &Path| read_files(path);
        // The child repeats all that the parent did, with other times.
        assert_eq!(counts(&both), counts(&alone(&child)), "{}", root.display());
        assert!(both.len() == alone(&child).len() && both.len() > alone(&parent).len());
        let own = both.values().filter(|usage| usage.session.as_deref() == Some("child-session")).count();
        println!("{}: {} calls, of which the parent made {}", root.display(), both.len(), alone(&parent).len());
        assert!(own <= both.len());
    }
}

fn read_files(path: &Path) -> Ledger {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "sessions/one.jsonl", fs::read(path).unwrap());
    read(Client::Codex, root.path())
}

#[test]
fn a_session_at_several_moments_comes_to_the_last() {
    let Some(folder) = recordings() else { return };
    let day = folder.join("codex/sessions/2026/06/17");
    let mut moments: Vec<Vec<u8>> = fs::read_dir(day).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    moments.sort_by_key(Vec::len);
    let root = tempfile::tempdir().unwrap();
    let (mut cursors, mut ledger) = (Cursors::default(), Ledger::new());
    for moment in &moments {
        write(root.path(), "sessions/one.jsonl", moment);
        import(Client::Codex, root.path(), &mut cursors, &mut ledger);
    }
    assert_eq!(counts(&ledger), counts(&read(Client::Codex, root.path())));
    assert!(moments.len() > 1);
}
