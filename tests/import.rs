//! AI clients' own logs: imported once or twice, whole or grown, by hand or by the engine's watch, and priced again.
//!
//! The recordings are read in place, from `TOLLBAR_DATA`, and are not part of this repository.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;
mod recorded;

use house::{House, Upstream, eventually, recordings, replies};
use recorded::{is_progress, without_progress};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
};

/// What a session came to: input, cache writes, cache reads, output.
type Totals = [u64; 4];

struct Session {
    path: PathBuf,
    id: String,
    expected: Totals,
}

/// Claude Code's recorded sessions with their independently computed totals ("last line of a message wins").
fn sessions() -> Option<(PathBuf, Vec<Session>)> {
    let folder = recordings("sessions")?;
    let text = fs::read_to_string(folder.join("EXPECTED.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|row| row["client"] == "claude-code");
    let sessions = rows.map(|row| {
        let wins = &row["expected"]["last_wins"];
        let expected = ["input", "cache_write", "cache_read", "output"].map(|class| wins[class].as_u64().unwrap());
        let path = folder.join(row["path"].as_str().unwrap());
        let id = path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        Session { path, id, expected }
    });
    let sessions = sessions.collect();
    Some((folder, sessions))
}

fn totals<'r>(rows: impl IntoIterator<Item = &'r Value>) -> Totals {
    rows.into_iter().fold([0; 4], |mut sum, row| {
        let count = |class: &str| row[class].as_u64().unwrap();
        let row = [count("input"), count("cache_write_5m") + count("cache_write_1h"), count("cache_read"), count("output")];
        sum.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        sum
    })
}

/// A folder in the shape of Claude Code's, with one session in it.
fn claude_folder(house: &House, session: &[u8]) -> PathBuf {
    let root = house.path("claude");
    fs::create_dir_all(root.join("projects/-home-dev1-project")).unwrap();
    fs::write(root.join("projects/-home-dev1-project/session.jsonl"), session).unwrap();
    root
}

fn import(house: &House, root: &Path) -> Value {
    house.json(&["import", "--client", "claude-code", "--root", root.to_str().unwrap()])
}

fn tells_of_subagents(path: &Path) -> bool {
    fs::read(path).unwrap().split(|byte| *byte == b'\n').any(is_progress)
}

#[test]
fn every_recorded_session_comes_to_its_expected_totals_and_a_second_import_adds_nothing() {
    let Some((_, sessions)) = sessions() else { return };
    let wrong = |part: &[Session]| -> Vec<String> {
        let check = |session: &Session| {
            let house = House::new("");
            let root = claude_folder(&house, &without_progress(&fs::read(&session.path).unwrap()));
            let (first, second) = (import(&house, &root), import(&house, &root));
            let found = totals(&house.rows());
            let right = found == session.expected && first["entries"] != 0 && second["entries"] == 0;
            (!right).then(|| format!("{}: {found:?}, not {:?}; {second}", session.path.display(), session.expected))
        };
        part.iter().filter_map(check).collect()
    };
    let (one, other) = sessions.split_at(sessions.len() / 2);
    let wrong: Vec<String> = thread::scope(|scope| {
        let half = scope.spawn(|| wrong(one));
        let other = wrong(other);
        half.join().unwrap().into_iter().chain(other).collect()
    });
    println!("{} of {} sessions have the expected totals", sessions.len() - wrong.len(), sessions.len());
    assert!(wrong.is_empty() && !sessions.is_empty(), "{wrong:#?}");
}

#[test]
fn the_whole_folder_at_once_comes_to_the_same_with_and_without_the_engine() {
    let Some((folder, sessions)) = sessions() else { return };
    let root = folder.join("claude");
    let mut house = House::new("");
    let first = import(&house, &root);
    let rows = house.rows();
    assert_eq!(import(&house, &root)["entries"], 0);
    let mut by_session: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    rows.iter().for_each(|row| by_session.entry(row["session"].as_str().unwrap_or_default()).or_default().push(row));
    let (mut right, mut all, mut several) = (0, 0, 0);
    for session in &sessions {
        if sessions.iter().filter(|other| other.id == session.id).count() > 1 {
            // The same session at several moments; their union has no total of its own.
            several += 1;
            continue;
        }
        if tells_of_subagents(&session.path) {
            continue;
        }
        all += 1;
        let found = totals(by_session.get(session.id.as_str()).into_iter().flatten().copied());
        right += usize::from(found == session.expected);
        if found != session.expected {
            println!("{}: {found:?}, not {:?}", session.id, session.expected);
        }
    }
    println!("{right} of {all} sessions at once ({several} recordings of several moments apart); {first}");
    assert!(right == all && all > 0);
    house.start();
    assert_eq!(import(&house, &root)["entries"], 0);
    assert_eq!(house.rows(), rows);
}

/// One line of Claude Code's log, as it writes them.
fn line(id: &str, at: &str, input: u64, cache_read: u64, output: u64) -> String {
    format!(
        r#"{{"parentUuid":null,"isSidechain":false,"cwd":"/home/dev/shop","sessionId":"s1","version":"2.1.1","gitBranch":"main","type":"assistant","uuid":"u-{id}-{output}","requestId":"req_{id}","timestamp":"{at}","message":{{"id":"msg_{id}","type":"message","role":"assistant","model":"claude-sonnet-5-5","content":[],"usage":{{"input_tokens":{input},"cache_read_input_tokens":{cache_read},"cache_creation_input_tokens":0,"output_tokens":{output}}}}}}}"#
    ) + "\n"
}

/// Every file below a folder with its bytes.
fn bytes_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn history_is_priced_again_as_of_any_day_and_not_a_byte_of_it_changes() {
    let mut house = House::new("");
    house.set("TOLLBAR_NOW", "2026-11-22T12:00:00Z");
    // A million cached tokens: 20 cents until 2026-10-07, 10 cents since.
    let session = [("a", "2026-10-01T10:00:00.000Z"), ("b", "2026-10-06T23:59:59.999Z"), ("c", "2026-10-07T00:00:00.000Z")]
        .map(|(id, at)| line(id, at, 0, 1_000_000, 0))
        .concat();
    let root = claude_folder(&house, session.as_bytes());
    import(&house, &root);
    let costs: Vec<String> = house.rows().iter().map(|row| row["cost_usd"].as_str().unwrap().to_owned()).collect();
    assert_eq!(costs, ["0.200000000000", "0.200000000000", "0.100000000000"]);

    let journal = bytes_below(&house.path("data/log/journal"));
    let total = |how: &[&str]| {
        let total = house.json(&[&["reprice"], how].concat())["total"].clone();
        ["then_usd", "now_usd", "difference_usd"].map(|name| total[name].as_str().unwrap().to_owned())
    };
    assert_eq!(total(&["--today"]), ["0.500000000000", "0.300000000000", "-0.200000000000"]);
    assert_eq!(total(&["--as-of", "2026-10-06"]), ["0.500000000000", "0.600000000000", "0.100000000000"]);
    assert_eq!(total(&["--as-of", "2026-10-07T00:00:00Z"]), ["0.500000000000", "0.300000000000", "-0.200000000000"]);
    assert_eq!(total(&["--today", "--since", "2026-10-07"]), ["0.100000000000", "0.100000000000", "0.000000000000"]);
    let rows = house.json(&["reprice", "--today", "--by", "day,model,project"])["rows"].clone();
    let rows: Vec<(&str, &str)> =
        rows.as_array().unwrap().iter().map(|row| (row["names"][0].as_str().unwrap(), row["difference_usd"].as_str().unwrap())).collect();
    assert_eq!(rows, [("2026-10-01", "-0.100000000000"), ("2026-10-06", "-0.100000000000"), ("2026-10-07", "0.000000000000")]);
    // Another book: everything at a dollar a million.
    let book = r#"{"format":"tollbar-prices/1","rows":[{"provider":"anthropic","model":"claude-sonnet-5-5","rates":{"input":"1","cache_read":"1","output":"1"},"source":"a test","set":"a test"}]}"#;
    fs::write(house.path("book.json"), book).unwrap();
    let path = house.path("book.json");
    assert_eq!(total(&["--book", path.to_str().unwrap()]), ["0.500000000000", "3.000000000000", "2.500000000000"]);
    assert!(house.out(&["reprice", "--today"]).contains("-$0.20"), "{}", house.out(&["reprice", "--today"]));

    assert_eq!(bytes_below(&house.path("data/log/journal")), journal);
    assert!(!journal.is_empty() && house.json(&["today"])["month"]["usd"] == "0.000000000000");
}

#[test]
fn a_call_seen_by_proxy_and_log_is_one_call() {
    let upstream = Upstream::saying(replies::stream(&replies::message_frames("msg_1", "claude-sonnet-5-5", 1000, 50)));
    let house = House::before(&upstream);
    let reply = house.post("/p/shop/anthropic/v1/messages", r#"{"model":"claude-sonnet-5-5","stream":true}"#);
    assert!(reply.whole);
    let proxied = house.rows_when(1);
    // The log has the first words of the answer only, as Claude Code's often does.
    let root = claude_folder(&house, line("1", "2026-11-22T10:00:00.000Z", 1000, 0, 1).as_bytes());
    import(&house, &root);
    let rows = house.rows();
    assert_eq!((rows.len(), &rows[0]["output"], &rows[0]["cost_usd"]), (1, &proxied[0]["output"], &proxied[0]["cost_usd"]));
    assert_eq!((&rows[0]["sources"], &rows[0]["session"]), (&serde_json::json!(["log", "proxy"]), &serde_json::json!("s1")));
}

#[test]
fn a_damaged_log_is_read_as_far_as_it_is_sound() {
    let house = House::new("");
    let mut session = line("a", "2026-10-01T10:00:00.000Z", 10, 0, 1).into_bytes();
    session.extend(b"{\"type\":\"assistant\",\"message\":{\"id\":\n\xff\xfe\0\n[]\nnull\n\n");
    session.extend(line("b", "2026-10-01T10:00:01.000Z", 20, 0, 2).bytes());
    let half = line("c", "2026-10-01T10:00:02.000Z", 40, 0, 4);
    session.extend(&half.as_bytes()[..half.len() - 20]);
    let root = claude_folder(&house, &session);
    import(&house, &root);
    assert_eq!(totals(&house.rows()), [30, 0, 0, 3]);
    // The line is finished later.
    session.extend(&half.as_bytes()[half.len() - 20..]);
    claude_folder(&house, &session);
    assert_eq!(import(&house, &root)["entries"], 1);
    assert_eq!(totals(&house.rows()), [70, 0, 0, 7]);
}

#[test]
fn the_engine_reads_new_lines_of_a_log_by_itself() {
    let mut house = House::new("");
    fs::write(house.path("config.toml"), "dashboard.port = 0\n").unwrap();
    let folder = house.path("user/.claude/projects/-home-dev-shop");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("session.jsonl");
    fs::write(&file, line("a", "2026-10-01T10:00:00.000Z", 10, 0, 1)).unwrap();
    house.start();
    house.rows_when(1);
    let grown = fs::read_to_string(&file).unwrap() + &line("b", "2026-10-01T10:00:01.000Z", 20, 0, 2);
    fs::write(&file, grown).unwrap();
    let rows = eventually(|| Some(house.rows()).filter(|rows| rows.len() == 2), || "the new line".into());
    assert_eq!(totals(&rows), [30, 0, 0, 3]);
}

/// A rollout of a thread: its head, and a call for each of the ids, of ten tokens in and one out.
fn rollout(thread: &str, calls: &[&str]) -> String {
    let head = format!(
        r#"{{"timestamp":"2026-11-20T10:00:00Z","type":"session_meta","payload":{{"id":"{thread}","cwd":"/gone/shop","model_provider":"openai"}}}}"#
    );
    let call = |id: &&str| {
        format!(
            r#"{{"timestamp":"2026-11-20T10:00:01Z","type":"token_usage_record","payload":{{"response_id":"{id}","usage":{{"input_tokens":10,"cached_input_tokens":4,"output_tokens":1,"total_tokens":11}}}}}}"#
        )
    };
    [head].into_iter().chain(calls.iter().map(call)).map(|line| line + "\n").collect()
}

/// The table of Codex's threads, with what each used.
fn threads(house: &House, used: &[(&str, u64)]) {
    let day = house.path("user/.codex/sessions/2026/11/20");
    fs::create_dir_all(&day).unwrap();
    let table = rusqlite::Connection::open(house.path("user/.codex/state_5.sqlite")).unwrap();
    let schema = "CREATE TABLE threads(id TEXT PRIMARY KEY, rollout_path TEXT, tokens_used INTEGER, history_mode TEXT, \
        created_at_ms INTEGER, recency_at_ms INTEGER, model_provider TEXT, cwd TEXT)";
    table.execute_batch(schema).unwrap();
    for (thread, used) in used {
        let path = day.join(format!("rollout-{thread}.jsonl")).display().to_string();
        let insert = format!(
            "INSERT INTO threads VALUES ('{thread}', '{path}', {used}, 'legacy', 1763628000000, 1763632800000, 'openai', '/gone/shop')"
        );
        table.execute_batch(&insert).unwrap();
    }
}

#[test]
fn the_engine_tells_by_itself_what_is_left_of_threads_without_a_rollout() {
    let mut house = House::new("");
    fs::write(house.path("config.toml"), "dashboard.port = 0\n").unwrap();
    threads(&house, &[("t1", 40), ("t2", 0)]);
    house.start();
    let rows = house.rows_when(1);
    assert_eq!((rows.len(), &rows[0]["session"], &rows[0]["input"]), (1, &"t1".into(), &40.into()));
}

#[test]
fn what_codex_counted_in_threads_whose_rollouts_are_gone_is_told_as_their_rest_and_taken_back_when_they_return() {
    let house = House::new("");
    let day = house.path("user/.codex/sessions/2026/11/20");
    threads(&house, &[("t1", 40), ("t2", 30), ("t3", 50)]);
    let write = |thread: &str, calls: &[&str]| fs::write(day.join(format!("rollout-{thread}.jsonl")), rollout(thread, calls)).unwrap();
    // Thread, tokens, and how sure they are.
    let rests = |house: &House| -> Vec<(String, u64, String)> {
        let rows = house.rows();
        let rests = rows.iter().filter(|row| row["call_id"].as_str().unwrap().starts_with("codex:remainder:"));
        let mut rests: Vec<_> = rests
            .map(|row| {
                (row["session"].as_str().unwrap().to_owned(), row["input"].as_u64().unwrap(), row["certainty"].as_str().unwrap().to_owned())
            })
            .collect();
        rests.sort();
        rests
    };
    let rest = |thread: &str, tokens: u64| (thread.to_owned(), tokens, "estimated".to_owned());
    write("t1", &["resp_1"]);
    write("t2", &["resp_2"]);
    house.json(&["import"]);
    assert_eq!(rests(&house), [rest("t3", 50)], "a thread with a rollout has no rest");
    let row = house.rows().into_iter().find(|row| row["session"] == "t3").unwrap();
    assert_eq!((&row["project"], &row["cost_usd"]), (&"shop".into(), &Value::Null), "nothing says what it cost");
    fs::remove_file(day.join("rollout-t2.jsonl")).unwrap();
    house.json(&["import"]);
    assert_eq!(rests(&house), [rest("t2", 30 - 11), rest("t3", 50)]);
    assert_eq!(house.json(&["import"])["entries"], 0);
    fs::remove_file(house.path("data/log/cursors-codex.json")).unwrap();
    assert_eq!(house.json(&["import"])["entries"], 0, "the ledger knows what it has");
    // One returns, and of another somebody kept more.
    write("t3", &["resp_3", "resp_4"]);
    let kept = house.path("kept/sessions");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("rollout-t2.jsonl"), rollout("t2", &["resp_2", "resp_5"])).unwrap();
    house.json(&["import", "--client", "codex", "--root", house.path("kept").to_str().unwrap()]);
    house.json(&["import"]);
    assert_eq!(rests(&house), [rest("t2", 30 - 22), rest("t3", 0)]);
    assert_eq!(house.json(&["import"])["entries"], 0);
    assert_eq!(totals(&house.rows()), [5 * 6 + 8, 0, 5 * 4, 5]);
}
