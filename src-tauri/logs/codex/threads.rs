//! What Codex remembers of threads whose rollouts are gone: of each how many tokens it used in its life, and nothing more.
//!
//! Its table is in `state_<n>.sqlite` (log-formats, section 2, "Migration deletes data"). What the ledger has of a thread is not known here.

use crate::{
    attribution::may_be_visited,
    logs::{Client, sqlite, walk},
    regular::Stop,
};
use events::Timestamp;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// Where below a root the table may be.
const FOLDERS: [&str; 4] = ["", "sqlite", ".codex", ".codex/sqlite"];
/// The columns that are looked at, as far as the version has them.
const COLUMNS: [&str; 18] = [
    "id",
    "rollout_path",
    "tokens_used",
    "recency_at_ms",
    "updated_at_ms",
    "created_at_ms",
    "recency_at",
    "updated_at",
    "created_at",
    "cwd",
    "git_branch",
    "model_provider",
    "source",
    "thread_source",
    "parent_thread_id",
    "forked_from_id",
    "attached_thread_parent_id",
    "child_thread_id",
];
/// How many characters a thread's id has, at the end of its rollout's name.
const ID_CHARS: usize = 36;

/// A thread without a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its id, which is the session of its calls.
    pub id: String,
    /// What it used in its life, cache and output included.
    pub tokens_used: u64,
    /// When it began.
    pub begun_at: Timestamp,
    /// When something last happened in it.
    pub last_at: Timestamp,
    /// Its working folder.
    pub cwd: Option<String>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// Who was called.
    pub provider: Option<String>,
}

/// The threads of some homes of Codex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// Those whose rollouts are gone, by their ids.
    pub gone: BTreeMap<String, Thread>,
    /// The ids of those that have a rollout.
    pub here: HashSet<String>,
    /// What could not be read, and why.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Reads the tables of threads below the roots, each held against the rollouts below the same root.
///
/// A thread that was spawned or forked by another is left out: its number may begin with that of the other, and a call that nobody saw is
/// better missed than counted twice.
pub fn threads(roots: &[PathBuf], stop: &Stop) -> Threads {
    let mut threads = Threads::default();
    for root in roots {
        let tables = tables(root);
        if tables.is_empty() {
            continue;
        }
        let rollouts = Rollouts::of(walk::files(Client::Codex, std::slice::from_ref(root)));
        let mut here = Threads::default();
        for path in tables {
            match read(&path, stop) {
                Ok(rows) => rows.into_iter().for_each(|row| here.add(&row, &rollouts)),
                // Busy: at the next occasion.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => threads.skipped.push((path, format!("cannot read: {error}"))),
            }
        }
        here.here.extend(rollouts.ids);
        let gone = here.gone.into_values().filter(|thread| !here.here.contains(&thread.id));
        gone.for_each(|thread| threads.lose(thread));
        threads.here.extend(here.here);
    }
    let Threads { gone, here, .. } = &mut threads;
    here.retain(|id| !gone.contains_key(id));
    threads
}

fn tables(root: &Path) -> Vec<PathBuf> {
    let folders = FOLDERS.iter().filter_map(|folder| fs::read_dir(root.join(folder)).ok());
    let files = folders.flat_map(|entries| entries.flatten().map(|entry| entry.path()));
    let is_table = |name: &str| name.starts_with("state_") && name.ends_with(".sqlite");
    files.filter(|path| path.file_name().and_then(OsStr::to_str).is_some_and(is_table)).collect()
}

type Row = HashMap<String, String>;

/// The rows of threads that used anything and were not spawned.
fn read(path: &Path, stop: &Stop) -> io::Result<Vec<Row>> {
    let rows = sqlite::named(path, "SELECT * FROM threads WHERE tokens_used > 0", &COLUMNS, stop)?;
    let edges = sqlite::named(path, "SELECT child_thread_id FROM thread_spawn_edges", &COLUMNS, stop)?;
    let children: HashSet<String> = edges.into_iter().filter_map(|mut edge| edge.remove("child_thread_id")).collect();
    let is_spawned = |row: &Row| {
        let has = |name: &str| row.get(name).is_some_and(|value| !value.is_empty());
        let by_source = |name: &str| row.get(name).is_some_and(|source| source.contains("subagent") || source.contains("guardian"));
        let parents = ["parent_thread_id", "forked_from_id", "attached_thread_parent_id"];
        parents.iter().any(|name| has(name)) || by_source("source") || by_source("thread_source")
    };
    Ok(rows.into_iter().filter(|row| !is_spawned(row) && row.get("id").is_some_and(|id| !children.contains(id))).collect())
}

impl Threads {
    fn add(&mut self, row: &Row, rollouts: &Rollouts) {
        let (Some(id), Some(tokens_used)) = (row.get("id"), row.get("tokens_used").and_then(|count| count.parse().ok())) else { return };
        if row.get("rollout_path").is_some_and(|path| rollouts.has(Path::new(path))) {
            self.here.insert(id.clone());
            return;
        }
        let time = |names: [&str; 2]| {
            let millis = row.get(names[0]).and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis);
            millis.or_else(|| row.get(names[1]).and_then(|secs| secs.parse().ok()).map(Timestamp::from_secs))
        };
        let begun_at = time(["created_at_ms", "created_at"]);
        let last_at = time(["recency_at_ms", "recency_at"]).or_else(|| time(["updated_at_ms", "updated_at"])).or(begun_at);
        let last_at = last_at.unwrap_or_default();
        let word = |name: &str| row.get(name).filter(|value| !value.is_empty()).cloned();
        let thread = Thread {
            id: id.clone(),
            tokens_used,
            begun_at: begun_at.unwrap_or(last_at),
            last_at,
            cwd: word("cwd"),
            branch: word("git_branch"),
            provider: word("model_provider"),
        };
        self.lose(thread);
    }

    /// An older version's table stays beside the newer one's: the greater count is the later one.
    fn lose(&mut self, thread: Thread) {
        if self.gone.get(&thread.id).is_none_or(|known| known.tokens_used < thread.tokens_used) {
            self.gone.insert(thread.id.clone(), thread);
        }
    }
}

/// The rollouts that are there, packed or not, archived or not.
struct Rollouts {
    names: HashSet<String>,
    ids: HashSet<String>,
}

impl Rollouts {
    fn of(files: Vec<PathBuf>) -> Rollouts {
        let names: HashSet<String> = files.iter().filter_map(|path| plain_name(path)).collect();
        let id = |name: &String| {
            let stem = name.strip_suffix(".jsonl")?;
            stem.get(stem.len().checked_sub(ID_CHARS)?..).map(str::to_owned)
        };
        let ids = names.iter().filter_map(id).collect();
        Rollouts { names, ids }
    }

    /// Whether a rollout that was written at this path is there, or where it was moved to.
    fn has(&self, path: &Path) -> bool {
        let is_there = may_be_visited(path) && (path.exists() || sqlite::beside(path, ".zst").exists());
        is_there || plain_name(path).is_some_and(|name| self.names.contains(&name))
    }
}

fn plain_name(path: &Path) -> Option<String> {
    // A path of Windows, seen from elsewhere, is all name.
    let name = path.file_name()?.to_str()?.rsplit('\\').next()?;
    Some(name.strip_suffix(".zst").unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    const ID: &str = "019a0000-0000-7000-8000-00000000000";

    #[test]
    fn threads_without_a_rollout_are_those_that_have_none_packed_moved_or_in_place_and_that_none_spawned() {
        let root = tempfile::tempdir().expect("a folder");
        let day = root.path().join("sessions/2026/01/12");
        fs::create_dir_all(&day).expect("folders");
        fs::create_dir_all(root.path().join("archived_sessions")).expect("a folder");
        fs::create_dir_all(root.path().join("sqlite")).expect("a folder");
        let write = |path: PathBuf| fs::write(path, "").expect("written");
        write(day.join(format!("rollout-2026-01-12T09-00-00-{ID}1.jsonl")));
        write(day.join("rollout-b.jsonl.zst"));
        write(root.path().join("archived_sessions/rollout-c.jsonl"));
        let table = Connection::open(root.path().join("sqlite/state_5.sqlite")).expect("a database");
        let rows = [
            (format!("{ID}1"), "/elsewhere/x.jsonl".to_owned(), 10, "cli"),
            ("b".to_owned(), day.join("rollout-b.jsonl").display().to_string(), 20, "cli"),
            ("c".to_owned(), r"C:\Users\me\.codex\sessions\2026\rollout-c.jsonl".to_owned(), 30, "cli"),
            ("gone".to_owned(), day.join("rollout-gone.jsonl").display().to_string(), 40, "vscode"),
            ("unused".to_owned(), "/gone".to_owned(), 0, "cli"),
            ("child".to_owned(), "/gone".to_owned(), 50, "exec"),
            ("agent".to_owned(), "/gone".to_owned(), 60, r#"{"subagent":{"thread_spawn":{"parent_thread_id":"x"}}}"#),
        ];
        table
            .execute_batch(
                "CREATE TABLE threads(id TEXT PRIMARY KEY, rollout_path TEXT, tokens_used INTEGER, source TEXT, created_at_ms INTEGER, recency_at_ms INTEGER, cwd TEXT);
                 CREATE TABLE thread_spawn_edges(parent_thread_id TEXT, child_thread_id TEXT); INSERT INTO thread_spawn_edges VALUES ('x', 'child')",
            )
            .expect("made");
        for (id, path, used, source) in &rows {
            let values = rusqlite::params![id, path, used, source];
            table.execute("INSERT INTO threads VALUES (?1, ?2, ?3, ?4, 1768208400000, 1768208500000, '/gone/api')", values).expect("added");
        }
        // Of an older version, which counted less by then.
        let older = Connection::open(root.path().join("state_4.sqlite")).expect("a database");
        older.execute_batch("CREATE TABLE threads(id, tokens_used, updated_at); INSERT INTO threads VALUES ('gone', 7, 1768208300), ('old', 9, 1768208300)").expect("made");
        let threads = threads(&[root.path().to_owned()], &Stop::default());
        let gone: Vec<_> = threads.gone.values().map(|thread| (thread.id.as_str(), thread.tokens_used)).collect();
        assert_eq!(gone, [("gone", 40), ("old", 9)]);
        let thread = &threads.gone["gone"];
        assert_eq!((thread.begun_at, thread.last_at), (Timestamp::from_secs(1_768_208_400), Timestamp::from_secs(1_768_208_500)));
        assert_eq!((thread.cwd.as_deref(), threads.gone["old"].last_at), (Some("/gone/api"), Timestamp::from_secs(1_768_208_300)));
        assert!(["b", "c"].iter().all(|id| threads.here.contains(*id)) && threads.skipped.is_empty());
        fs::write(root.path().join("state_6.sqlite"), [7; 5000]).expect("written");
        assert_eq!(super::threads(&[root.path().to_owned()], &Stop::default()).skipped.len(), 1, "a damaged table is told");
    }
}
