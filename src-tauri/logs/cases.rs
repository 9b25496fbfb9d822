//! The cases of `reference/log-formats.md`, section 19, that concern other clients than Claude Code, by their numbers; and what is true of
//! every reader. Claude Code's are in `tests.rs`.

mod samples;

use super::*;
use crate::logs::places::Form;
use events::{Certainty, RequestKey, Timestamp, Usage};
use proptest::prelude::*;
use rusqlite::Connection;
use samples::{documents, samples};
use std::{collections::BTreeMap, convert::Infallible, fs, path::Path};

/// What the log would hold: each call once, merged, by its id.
type Ledger = BTreeMap<String, Usage>;

/// A client's folder, its cursors, and what was imported from it.
struct House {
    client: Client,
    root: tempfile::TempDir,
    cursors: Cursors,
    ledger: Ledger,
}

impl House {
    fn of(client: Client) -> House {
        House { client, root: tempfile::tempdir().expect("a folder"), cursors: Cursors::default(), ledger: Ledger::new() }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, bytes).expect("written");
        path
    }

    fn database(&self, path: &str, sql: &str) -> Connection {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        let database = Connection::open(path).expect("a database");
        database.execute_batch("PRAGMA journal_mode=wal").expect("as clients do");
        database.execute_batch(sql).expect("made");
        database
    }

    fn import(&mut self) -> Report {
        self.import_roots(&[self.root.path().to_owned()])
    }

    fn import_roots(&mut self, roots: &[PathBuf]) -> Report {
        let ledger = &mut self.ledger;
        let mut sink = |batch: Vec<Sighting>| {
            for Sighting { usage, .. } in batch {
                let id = usage.call_id.clone().expect("every sighting has an id");
                let merged = ledger.get(&id).map_or_else(|| usage.clone(), |known| known.merged(&usage));
                ledger.insert(id, merged);
            }
            Ok::<_, Infallible>(())
        };
        let Ok(report) = import(self.client, roots, &mut self.cursors, &mut Projects::default(), &mut sink, &mut |_| {});
        report
    }

    /// Input, cache reads, cache writes and output of all calls.
    fn sums(&self) -> [u64; 4] {
        let mut all = events::Tokens::default();
        self.ledger.values().for_each(|usage| all.add(&usage.tokens));
        [all.input, all.cache_read, all.cache_writes(), all.output]
    }

    fn outputs(&self) -> Vec<u64> {
        self.ledger.values().map(|usage| usage.tokens.output).collect()
    }
}

const ROLLOUT: &str = "sessions/2026/01/12/rollout-a.jsonl";

fn meta(id: &str, more: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-01-12T09:00:00Z","type":"session_meta","payload":{{"id":"{id}","cwd":"/gone/api","model_provider":"openai"{more}}}}}"#
    ) + "\n"
}

fn turn(model: &str) -> String {
    format!(r#"{{"timestamp":"2026-01-12T09:00:00Z","type":"turn_context","payload":{{"model":"{model}"}}}}"#) + "\n"
}

/// A row of totals, of a call of `input` and one token of output, after which its lineage stands at `total` and `calls`.
fn count(at: &str, input: u64, total: u64, calls: u64) -> String {
    format!(
        r#"{{"timestamp":"{at}","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{total},"cached_input_tokens":0,"output_tokens":{calls},"total_tokens":{}}},"last_token_usage":{{"input_tokens":{input},"cached_input_tokens":0,"output_tokens":1,"total_tokens":{}}}}}}}}}"#,
        total + calls,
        input + 1
    ) + "\n"
}

fn record(id: &str, input: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-01-12T09:00:01Z","ordinal":1,"type":"token_usage_record","payload":{{"response_id":"{id}","usage":{{"input_tokens":{input},"cached_input_tokens":0,"output_tokens":1,"total_tokens":{}}},"thread_token_usage":{{"input_tokens":9999,"output_tokens":9}}}}}}"#,
        input + 1
    ) + "\n"
}

const AT: &str = "2026-01-12T09:00:01Z";

fn codex(lines: &[String]) -> House {
    let mut house = House::of(Client::Codex);
    house.write(ROLLOUT, lines.concat());
    house.import();
    house
}

#[test]
fn case_12_a_repeated_snapshot_of_codex_is_no_call() {
    let house =
        codex(&[meta("t", ""), turn("gpt-5"), count(AT, 10, 10, 1), count(AT, 10, 10, 1), count(AT, 5, 15, 2), count(AT, 5, 15, 2)]);
    assert_eq!((house.sums(), house.ledger.len()), ([15, 0, 0, 2], 2));
}

#[test]
fn case_13_what_a_fork_repeats_with_new_times_is_its_parents() {
    let parent = [meta("p", ""), turn("gpt-5"), count("2026-01-12T09:00:01Z", 10, 10, 1), count("2026-01-12T09:00:09Z", 5, 15, 2)];
    let fork = |id: &str, of: &str, last: &str| {
        let rows = [count("2026-02-01T00:00:01Z", 10, 10, 1), count("2026-02-01T00:00:03Z", 5, 15, 2)].concat();
        [meta(id, &format!(r#","forked_from_id":"{of}""#)), meta("p", ""), turn("gpt-5"), rows, last.to_owned()].concat()
    };
    let child = fork("c", "p", &count("2026-02-01T00:01:00Z", 7, 22, 3));
    let grandchild = fork("g", "c", &[count(AT, 7, 22, 3), count("2026-02-02T00:00:00Z", 1, 23, 4)].concat());
    let files = [("b", child), ("a", grandchild), ("c", parent.concat())];
    // In whatever order and in however many imports.
    for steps in [vec![vec![0, 1, 2]], vec![vec![2], vec![0], vec![1]], vec![vec![0, 2], vec![1]]] {
        let mut house = House::of(Client::Codex);
        for step in steps {
            for at in step {
                house.write(&format!("sessions/{}.jsonl", files[at].0), &files[at].1);
            }
            house.import();
        }
        assert_eq!((house.sums(), house.ledger.len()), ([23, 0, 0, 4], 4), "{:#?}", house.ledger.keys());
        let first = house.ledger.values().map(|usage| usage.at).min();
        assert_eq!(first, Timestamp::parse("2026-01-12T09:00:01Z"));
    }
}

#[test]
fn sessions_that_are_no_kin_may_have_like_counts() {
    let mut house = House::of(Client::Codex);
    house.write("sessions/a.jsonl", [meta("a", ""), count(AT, 10, 10, 1)].concat());
    house.write("sessions/b.jsonl", [meta("b", ""), count(AT, 10, 10, 1)].concat());
    house.import();
    assert_eq!(house.sums(), [20, 0, 0, 2]);
}

#[test]
fn case_14_two_interleaved_lineages_come_to_the_sum_of_both() {
    let rows = [(10, 10, 1), (1000, 1000, 1), (5, 15, 2), (500, 1500, 2), (5, 20, 3), (5, 20, 3)];
    let rows = rows.map(|(input, total, calls)| count(AT, input, total, calls));
    assert_eq!(codex(&[meta("t", ""), rows.concat()]).sums(), [1520, 0, 0, 5]);
}

#[test]
fn case_15_a_record_and_its_row_of_totals_are_one_call() {
    let lines = [meta("t", ""), record("resp_1", 10), count(AT, 10, 10, 1), count(AT, 6, 16, 2), record("resp_2", 5), count(AT, 5, 21, 3)];
    let house = codex(&lines);
    assert_eq!((house.sums(), house.ledger.len()), ([21, 0, 0, 3], 3), "{:?}", house.ledger.keys());
}

#[test]
fn case_16_a_compaction_that_the_totals_leave_out_counts() {
    let compaction = r#"{"timestamp":"2026-01-12T09:00:02Z","type":"compacted","payload":{"compaction_response_id":"resp_c","latest_token_usage_record":{"response_id":"resp_c"}}}"#;
    let lines =
        [meta("t", ""), record("resp_1", 10), count(AT, 10, 10, 1), record("resp_c", 700), format!("{compaction}\n"), count(AT, 10, 10, 1)];
    assert_eq!(codex(&lines).sums(), [710, 0, 0, 2]);
}

#[test]
fn case_17_pages_of_one_session_all_count() {
    let mut house = House::of(Client::Codex);
    let page = r#","session_id":"t","history_mode":"paginated""#;
    house.write("sessions/a.jsonl", [meta("t", page), count(AT, 10, 10, 1), count(AT, 5, 15, 2)].concat());
    house.write("sessions/b.jsonl", [meta("t", page), count(AT, 7, 22, 3), count(AT, 1, 23, 4)].concat());
    house.import();
    assert_eq!(house.sums(), [23, 0, 0, 4]);
}

#[test]
fn case_18_packed_rollouts_are_read_and_their_plain_siblings_not_twice() {
    let text = [meta("t", ""), record("resp_1", 10), count(AT, 5, 15, 2)].concat();
    let packed = zstd::encode_all(text.as_bytes(), 3).expect("packed");
    let mut house = House::of(Client::Codex);
    house.write(
        "archived_sessions/rollout-a.jsonl.zst",
        [&packed[..], &zstd::encode_all(record("resp_2", 3).as_bytes(), 3).expect("packed")].concat(),
    );
    assert_eq!(house.import().files, 1);
    assert_eq!(house.sums(), [18, 0, 0, 3]);
    assert_eq!(house.import().bytes_read, 0, "as it was");
    house.write("archived_sessions/rollout-a.jsonl", &text);
    assert_eq!(house.import().files, 1);
    assert_eq!(house.sums(), [18, 0, 0, 3]);
    house.write("archived_sessions/rollout-b.jsonl.zst", &packed[..packed.len() / 2]);
    assert_eq!(house.import().skipped.len(), 1, "half a packed file is told");
}

#[test]
fn case_19_a_tier_is_the_one_that_was_set_last_before_the_call() {
    let tier = |tier: &str| {
        format!(
            r#"{{"timestamp":"2026-01-12T09:00:00Z","type":"event_msg","payload":{{"type":"thread_settings_applied","thread_settings":{{"service_tier":{tier}}}}}}}"#
        ) + "\n"
    };
    let lines = [meta("t", ""), record("r1", 1), tier("\"priority\""), record("r2", 1), tier("null"), record("r3", 1)];
    let house = codex(&lines);
    let tiers: Vec<_> = house.ledger.values().map(|usage| usage.tier.as_deref()).collect();
    assert_eq!(tiers, [None, Some("priority"), None]);
}

#[test]
fn case_20_a_session_over_midnight_and_months_end_keeps_each_calls_own_time() {
    let times = ["2026-03-31T23:59:59.999Z", "2026-04-01T00:00:00Z", "2026-10-25T01:30:00+02:00", "2026-10-25T01:30:00+01:00"];
    let rows = times.iter().zip(1..).map(|(at, n)| count(at, 1, n, n));
    let house = codex(&std::iter::once(meta("t", "")).chain(rows).collect::<Vec<_>>());
    let at: Vec<_> = house.ledger.values().map(|usage| Some(usage.at)).collect();
    assert_eq!(at, times.map(Timestamp::parse));
}

#[test]
fn case_21_cached_input_is_part_of_input_for_openai_google_and_qwen() {
    let usage =
        r#"{"input_tokens":1000,"cached_input_tokens":600,"cache_write_input_tokens":100,"output_tokens":50,"reasoning_output_tokens":20}"#;
    let line = format!(r#"{{"timestamp":"{AT}","type":"token_usage_record","payload":{{"response_id":"r","usage":{usage}}}}}"#);
    assert_eq!(codex(&[line]).sums(), [300, 600, 100, 50]);

    let mut house = House::of(Client::GeminiCli);
    let tokens = r#"{"input":4820,"output":361,"cached":3012,"thoughts":257,"tool":7,"total":5445}"#;
    house.write(
        "tmp/shop/chats/session-a.jsonl",
        format!(r#"{{"id":"1","timestamp":"{AT}","type":"gemini","model":"gemini-2.5-pro","tokens":{tokens}}}"#),
    );
    house.import();
    assert_eq!(house.sums(), [4820 - 3012 + 7, 3012, 0, 361 + 257]);
    assert_eq!(house.ledger.values().next().and_then(|usage| usage.project.as_ref()).map(|project| project.name.as_str()), Some("shop"));

    let mut house = House::of(Client::Qwen);
    let book = r#"{"id":"u1","timestamp":"2026-01-12T09:00:01Z","sessionId":"s","model":"qwen3-coder","inputTokens":500,"outputTokens":20,"cachedTokens":400,"thoughtsTokens":5,"totalTokens":525}"#;
    let chat = r#"{"uuid":"u2","timestamp":"2026-01-12T09:00:01Z","sessionId":"s","model":"qwen3-coder","usageMetadata":{"promptTokenCount":500,"candidatesTokenCount":20,"cachedContentTokenCount":400}}"#;
    house.write("usage/token-usage-2026-01.jsonl", [book, "\n"].concat());
    house.write("projects/p/chats/a.jsonl", [chat, "\n", &chat.replace("\"s\"", "\"only-here\"")].concat());
    house.import();
    house.write("projects/p/chats/a.jsonl", [chat, "\n", chat, "\n", &chat.replace("\"s\"", "\"only-here\"")].concat());
    house.import();
    assert_eq!(house.sums(), [200, 800, 0, 45], "a session that the book tells is not read again from its transcript");
}

const OPENCODE: &str =
    "CREATE TABLE session(id TEXT PRIMARY KEY, directory TEXT); CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, data TEXT);";

fn message(output: u64) -> String {
    format!(
        r#"{{"role":"assistant","time":{{"created":1771083156415}},"modelID":"glm-5","providerID":"zai","cost":0.5,"tokens":{{"input":100,"output":{output},"reasoning":0,"cache":{{"read":10,"write":1}}}}}}"#
    )
}

#[test]
fn case_22_opencodes_databases_and_its_tree_of_files_are_one() {
    let mut house = House::of(Client::OpenCode);
    let insert = |id: &str, output: u64| format!("INSERT INTO message VALUES ('{id}', 's', '{}');", message(output));
    let one = house.database(
        "opencode.db",
        &[OPENCODE, "INSERT INTO session VALUES ('s', '/gone/api');", &insert("m1", 1), &insert("m2", 2)].concat(),
    );
    house.database(
        "opencode-dev.db",
        &["CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, data TEXT);", &insert("m3", 3)].concat(),
    );
    house.database("other.db", "CREATE TABLE kv(k, v)");
    house.write("storage/message/s/m2.json", message(2).replacen('{', r#"{"id":"m2","sessionID":"s","#, 1));
    house.write("storage/message/s/m4.json", message(4).replacen('{', r#"{"id":"m4","sessionID":"s","#, 1));
    assert_eq!(house.import().skipped, []);
    assert_eq!(house.sums(), [400, 40, 4, 1 + 2 + 3 + 4]);
    let m1 = house.ledger.values().find(|usage| usage.tokens.output == 1).expect("read");
    assert_eq!((m1.session.as_deref(), m1.project.as_ref().map(|it| it.name.as_str())), (Some("s"), Some("api")));
    assert_eq!(house.import().bytes_read, 0, "as they were");
    // A row is written before it counts anything, and another comes; both stand in what is written ahead.
    let begun = r#"{"role":"assistant","time":{"created":1771083156415},"modelID":"glm-5","tokens":{"input":0,"output":0,"cache":{"read":0,"write":0}}}"#;
    one.execute_batch(&format!("INSERT INTO message VALUES ('m6', 's', '{begun}')")).expect("written");
    house.import();
    one.execute_batch(&format!("UPDATE message SET data = '{}' WHERE id = 'm6'; {}", message(6), insert("m5", 5))).expect("written");
    house.import();
    assert_eq!(house.outputs(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_a_fork_of_opencodes_copies_under_new_ids_is_told_once_in_whatever_order_and_when_either_is_gone() {
    let schema = "CREATE TABLE session(id TEXT PRIMARY KEY, directory TEXT, time_created INTEGER); CREATE TABLE part(id, message_id, data TEXT);
        CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, data TEXT);
        INSERT INTO session VALUES ('ses_2', '/gone/api', 1771083150000), ('ses_1', '/gone/api', 1771083999000);";
    let insert = |id: &str, session: &str, created: &str, output: u64| {
        format!("INSERT INTO message VALUES ('{id}', '{session}', '{}');", message(output).replace("1771083156415", created))
    };
    let copies = [insert("c1", "ses_1", "1771083156415", 1), insert("c2", "ses_1", "1771083157000", 2)].concat();
    let rows = [
        insert("m1", "ses_2", "1771083156415", 1),
        insert("m2", "ses_2", "1771083157000", 2),
        copies.clone(),
        // Two agents began at once.
        insert("m3", "ses_2", "1771083158000", 3),
        insert("m4", "ses_2", "1771083158000", 4),
        insert("c3", "ses_1", "1771084000000", 5),
    ];
    let mut house = House::of(Client::OpenCode);
    let database = house.database("opencode.db", &[schema, &copies].concat());
    // The fork is read before what it copied is there, as from a folder that was brought back.
    house.import();
    assert_eq!(house.outputs(), [1, 2]);
    database.execute_batch(&format!("DELETE FROM message; {}", rows.concat())).expect("written");
    house.import();
    assert_eq!(house.outputs(), [1, 2, 3, 4, 5]);
    let sessions: Vec<_> = house.ledger.values().map(|usage| usage.session.as_deref()).collect();
    assert_eq!(sessions, [Some("ses_2"), Some("ses_2"), Some("ses_2"), Some("ses_2"), Some("ses_1")], "of the session that made the call");
    database.execute_batch("DELETE FROM message WHERE session_id = 'ses_2'; DELETE FROM session WHERE id = 'ses_2'").expect("gone");
    house.cursors = Cursors::default();
    house.import();
    assert_eq!(house.outputs(), [1, 2, 3, 4, 5]);
}

#[test]
fn what_the_steps_of_a_message_used_counts_where_the_message_does_not_say_it() {
    let step = |output: u64| {
        format!(r#"{{"type":"step-finish","cost":0.25,"tokens":{{"input":7,"output":{output},"reasoning":1,"cache":{{"read":5,"write":2}}}}}}"#)
    };
    let silent = r#"{"role":"assistant","time":{"created":1771083156999},"modelID":"glm-5","providerID":"zai","cost":0,"tokens":{"input":0,"output":0,"cache":{"read":0,"write":0}}}"#;
    let mut house = House::of(Client::OpenCode);
    let database = house.database("opencode.db", OPENCODE);
    let said = message(3);
    database
        .execute_batch(&format!(
            "ALTER TABLE session ADD time_created INTEGER; CREATE TABLE part(id, message_id, session_id, data TEXT);
            INSERT INTO message VALUES ('m1', 's', '{silent}'), ('m2', 's', '{said}');
            INSERT INTO part VALUES ('p1', 'm1', 's', '{}'), ('p2', 'm1', 's', '{}'), ('p3', 'm1', 's', '{{\"type\":\"text\"}}'), ('p4', 'm2', 's', '{}')",
            step(10),
            step(20),
            step(99)
        ))
        .expect("made");
    house.import();
    assert_eq!(house.sums(), [14 + 100, 10 + 10, 4 + 1, 11 + 21 + 3]);
    let costs: Vec<_> = house.ledger.values().map(|usage| usage.reported_cost).collect();
    assert_eq!(costs, ["0.5".parse().ok(), "0.5".parse().ok()]);
    // The same of an exported session.
    let mut house = House::of(Client::OpenCode);
    let export = format!(
        r#"{{"info":{{"id":"s"}},"messages":[{{"info":{},"parts":[{},{{"type":"text"}},{}]}},{{"info":{},"parts":[{}]}}]}}"#,
        silent.replacen('{', r#"{"id":"m1","#, 1),
        step(10),
        step(20),
        said.replacen('{', r#"{"id":"m2","#, 1),
        step(99)
    );
    house.write("ses_s.json", export);
    house.import();
    assert_eq!(house.sums(), [14 + 100, 10 + 10, 4 + 1, 11 + 21 + 3]);
}

fn settings(input: u64, output: u64) -> String {
    format!(
        r#"{{"model":"Claude-Sonnet-4-[Anthropic]","providerLock":"anthropic","providerLockTimestamp":"2026-05-01T01:02:03.000Z","tokenUsage":{{"inputTokens":{input},"outputTokens":{output},"cacheCreationTokens":20,"cacheReadTokens":10,"thinkingTokens":5}}}}"#
    )
}

#[test]
fn case_23_settings_that_grow_are_one_call_and_such_that_begin_anew_another() {
    let mut house = House::of(Client::Droid);
    house.write("sessions/slug/s.jsonl", "{\"type\":\"session_start\",\"id\":\"s\",\"cwd\":\"/gone/api\"}\n");
    for (input, output) in [(100, 50), (300, 70), (300, 70), (8, 2), (9, 3)] {
        house.write("sessions/slug/s.settings.json", settings(input, output));
        house.import();
    }
    assert_eq!(house.sums(), [309, 20, 40, 73]);
    let usage = &house.ledger["droid:s"];
    assert_eq!((usage.model.as_deref(), usage.provider.as_str()), (Some("claude-sonnet-4"), "anthropic"));
    assert_eq!(usage.project.as_ref().map(|project| project.name.as_str()), Some("api"));
    house.write("sessions/slug/s.settings.json", &settings(9, 3)[..40]);
    house.import();
    assert_eq!(house.ledger.len(), 2, "half a document is none");
}

#[test]
fn case_24_what_copilot_counts_on_after_a_resume_counts_once_and_after_a_compaction_anew() {
    let event = |kind: &str, data: &str| format!(r#"{{"type":"{kind}","data":{data},"id":"e","timestamp":"2026-04-15T10:05:00Z"}}"#) + "\n";
    let reply = |output: u64| event("assistant.message", &format!(r#"{{"model":"claude-sonnet-4.6","outputTokens":{output}}}"#));
    let end = |input: u64, output: u64| {
        let usage = format!(r#"{{"inputTokens":{input},"outputTokens":{output},"cacheReadTokens":10,"cacheWriteTokens":0}}"#);
        event("session.shutdown", &format!(r#"{{"modelMetrics":{{"claude-sonnet-4.6":{{"usage":{usage}}}}}}}"#))
    };
    let start = event("session.start", r#"{"sessionId":"s","context":{"cwd":"/gone/api","branch":"main"}}"#);
    let compaction = event("session.compaction_complete", r#"{"success":true}"#);
    let mut house = House::of(Client::CopilotCli);
    let path = "session-state/s/events.jsonl";
    let lines = [start, reply(5), reply(6), end(100, 11), reply(9), end(150, 20), compaction, reply(3), end(160, 30), reply(4)];
    house.write(path, lines[..3].concat());
    house.import();
    assert_eq!((house.sums(), house.ledger.values().next().map(|usage| usage.certainty)), ([0, 0, 0, 11], Some(Certainty::Partial)));
    house.write(path, lines.concat());
    house.import();
    // 90 + 10 cached, 50 more, and after the compaction 150 + 10 cached; the last run has not ended.
    assert_eq!(house.sums(), [90 + 50 + 150, 20, 0, 20 + 30 + 4]);
    // The database of calls tells a session better, and then its events are passed over.
    let mut house = House::of(Client::CopilotCli);
    house.write(path, lines.concat());
    house.database("session-store.db", "CREATE TABLE assistant_usage_events(id, session_id, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, created_at, total_nano_aiu);
        CREATE TABLE sessions(id, cwd);
        INSERT INTO assistant_usage_events VALUES ('c1','s','gpt-5.4',100,5,60,0,1,'2026-04-15 10:05:00',5000000000), ('c2','s','gpt-5.4',10,1,0,0,0,'2026-06-15T10:06:00Z',2500000000)");
    house.import();
    assert_eq!(house.sums(), [50, 60, 0, 6]);
    let costs: Vec<_> = house.ledger.values().map(|usage| usage.reported_cost).collect();
    assert_eq!(costs, [None, "0.025".parse().ok()], "what was billed is known since June 2026");
    assert_eq!(house.ledger["copilot-cli:c1"].at, Timestamp::parse("2026-04-15T10:05:00Z").expect("a time"));
}

#[test]
fn case_25_what_goose_carried_forward_counts() {
    let mut house = House::of(Client::Goose);
    house.database("sessions/sessions.db", "CREATE TABLE sessions(id TEXT, working_dir TEXT, accumulated_input_tokens INTEGER); INSERT INTO sessions VALUES ('s','/gone/api',999);
        CREATE TABLE usage_ledger(id INTEGER PRIMARY KEY, session_id TEXT, created_timestamp INTEGER, model TEXT, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, cost REAL, cost_source TEXT, is_compaction);
        INSERT INTO usage_ledger VALUES (1,'s',1768208400,'claude-sonnet-5',100,5,105,60,0,0.25,'provider_reported',0),(2,'s',1768208401,'claude-sonnet-5',1000,50,1050,NULL,NULL,NULL,'carried_forward',0),(3,'s',1768208402,'claude-sonnet-5',7,1,108,100,0,NULL,'estimated',1)");
    house.import();
    assert_eq!(house.sums(), [40 + 1000 + 7, 160, 0, 56]);
    let first = &house.ledger["goose:s:1"];
    assert_eq!((first.reported_cost, first.at), ("0.25".parse().ok(), Timestamp::from_secs(1_768_208_400)));
    // A build without a ledger has sums, which grow; the ledger that follows carries them forward, as the same call.
    let mut house = House::of(Client::Goose);
    let database = house.database("sessions/sessions.db", "CREATE TABLE sessions(id TEXT, working_dir TEXT, created_at TEXT, model_config_json TEXT, accumulated_total_tokens INTEGER, accumulated_input_tokens INTEGER, accumulated_output_tokens INTEGER);
        INSERT INTO sessions VALUES ('s','/gone/api','2026-01-12 09:00:00','{\"model_name\":\"gpt-5\"}',110,100,10),('t','/gone/api','2026-01-12 09:00:00',NULL,0,0,0)");
    house.import();
    database.execute_batch("UPDATE sessions SET accumulated_total_tokens = 330, accumulated_input_tokens = 300, accumulated_output_tokens = 30 WHERE id = 's'").expect("grown");
    house.import();
    let sum = &house.ledger["goose:s:accumulated"];
    assert_eq!((house.sums(), sum.model.as_deref(), sum.at), ([300, 0, 0, 30], Some("gpt-5"), Timestamp::parse("2026-01-12T09:00:00Z").expect("a time")));
    database.execute_batch("CREATE TABLE usage_ledger(id INTEGER PRIMARY KEY, session_id TEXT, created_timestamp INTEGER, model TEXT, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, cost REAL, cost_source TEXT, is_compaction);
        INSERT INTO usage_ledger VALUES (1,'s',1768208400,'gpt-5',300,30,330,NULL,NULL,NULL,'carried_forward',0),(2,'s',1768208401,'gpt-5',7,1,8,NULL,NULL,NULL,'estimated',0)").expect("made");
    house.import();
    assert_eq!(house.sums(), [307, 0, 0, 31]);
}

#[test]
fn case_27_a_calls_key_is_the_same_on_the_wire_and_in_the_log() {
    let house = codex(&[meta("t", ""), record("resp_1", 10)]);
    assert_eq!(house.ledger["resp_1"].key(), Some(RequestKey::of("openai", "resp_1")));
    let mut house = House::of(Client::Pi);
    let reply = |api: &str, id: &str| {
        format!(
            r#"{{"type":"message","id":"a1","timestamp":"{AT}","message":{{"role":"assistant","api":"{api}","provider":"p","model":"m","responseId":"{id}","usage":{{"input":1,"output":2,"cacheRead":0,"cacheWrite":0}}}}}}"#
        ) + "\n"
    };
    house.write("sessions/a/b.jsonl", [reply("anthropic-messages", "msg_1"), reply("openai-responses", "resp_2")].concat());
    house.import();
    assert_eq!(house.ledger["msg_1"].key(), Some(RequestKey::of("anthropic", "msg_1")));
    assert_eq!(house.ledger["resp_2"].key(), Some(RequestKey::of("openai", "resp_2")));
}

#[test]
fn case_29_one_session_in_two_homes_is_one() {
    let other = tempfile::tempdir().expect("a folder");
    let mut house = House::of(Client::Codex);
    let path = house.write(ROLLOUT, [meta("t", ""), count(AT, 10, 10, 1), record("resp_1", 5)].concat());
    let twin = other.path().join(ROLLOUT);
    fs::create_dir_all(twin.parent().expect("a folder")).expect("folders");
    fs::copy(path, twin).expect("copied");
    house.import_roots(&[house.root.path().to_owned(), other.path().to_owned()]);
    assert_eq!(house.sums(), [15, 0, 0, 2]);
}

#[test]
fn case_30_a_time_that_lies_ahead_is_kept_as_it_is_told() {
    let house = codex(&[meta("t", ""), count("2199-01-01T00:00:00Z", 10, 10, 1)]);
    assert_eq!(house.ledger.values().map(|usage| usage.at).max(), Timestamp::parse("2199-01-01T00:00:00Z"));
}

#[test]
fn every_reader_reads_what_its_client_writes_and_reads_it_again_to_the_same() {
    let lines = samples().into_iter().map(|(client, path, lines, sums)| (client, path, lines.concat(), sums));
    for (client, path, text, sums) in lines.chain(documents()) {
        let mut house = House::of(client);
        house.write(path, &text);
        assert_eq!(house.import().skipped, [], "{path}");
        assert_eq!(house.sums(), sums, "{path}");
        let first = house.ledger.clone();
        assert_eq!(house.import().bytes_read, 0, "{path}");
        house.cursors = Cursors::default();
        house.import();
        assert_eq!(house.ledger, first, "{path}");
        assert!(house.ledger.values().all(|usage| usage.at > Timestamp::from_secs(1_600_000_000)), "{path}: {:#?}", house.ledger);
        assert!(house.ledger.values().all(|usage| usage.client.as_deref() == Some(client.name())));
    }
}

#[test]
fn crushs_costs_and_zeds_packed_threads_are_read() {
    let mut house = House::of(Client::Crush);
    let project = tempfile::tempdir().expect("a folder");
    house.write("projects.json", format!(r#"{{"projects":[{{"path":{:?},"data_dir":".crush"}}]}}"#, project.path()));
    fs::create_dir_all(project.path().join(".crush")).expect("a folder");
    let database = Connection::open(project.path().join(".crush/crush.db")).expect("a database");
    database.execute_batch("CREATE TABLE sessions(id TEXT, parent_session_id TEXT, prompt_tokens INT, completion_tokens INT, cost REAL, created_at INT, updated_at INT);
        INSERT INTO sessions VALUES ('a',NULL,5,6,0.5,1770000000,1770000001),('b','a',5,6,0.25,1770000000,1770000001),('c',NULL,0,0,0,1770000000,1770000001)").expect("made");
    house.import();
    database.execute_batch("UPDATE sessions SET cost = 0.75 WHERE id = 'a'").expect("grown");
    house.import();
    let costs: Vec<_> = house.ledger.values().map(|usage| (usage.reported_cost, usage.certainty)).collect();
    assert_eq!(costs, [("0.75".parse().ok(), Certainty::Unknown)]);

    let mut house = House::of(Client::Zed);
    let thread = r#"{"model":{"provider":"anthropic","model":"claude-opus-4-8"},"request_token_usage":{"req-1":{"input_tokens":1200,"output_tokens":300,"cache_creation_input_tokens":5000,"cache_read_input_tokens":90000}},"cumulative_token_usage":{"input_tokens":1200}}"#;
    let database = house.database(
        "threads/threads.db",
        "CREATE TABLE threads(id TEXT PRIMARY KEY, summary TEXT, updated_at TEXT, data_type TEXT, data BLOB)",
    );
    let packed = zstd::encode_all(thread.as_bytes(), 3).expect("packed");
    let add = |id: &str, data: &[u8]| {
        database.execute("INSERT INTO threads VALUES (?1, '', '2026-05-01T00:00:00Z', 'zstd', ?2)", rusqlite::params![id, data])
    };
    add("a", &packed).expect("added");
    add("b", &packed[..20]).expect("added");
    house.import();
    assert_eq!((house.sums(), house.ledger.len()), ([1200, 90_000, 5000, 300], 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn in_two_steps_or_at_once_every_reader_reads_the_same(at in 0usize..8, cut in 0usize..8) {
        let (client, path, lines, sums) = samples().swap_remove(at);
        let mut house = House::of(client);
        house.write(path, lines[..cut.min(lines.len())].concat());
        house.import();
        house.write(path, lines.concat());
        house.import();
        prop_assert_eq!(house.sums(), sums, "{}", path);
        let mut whole = House::of(client);
        whole.write(path, lines.concat());
        whole.import();
        prop_assert_eq!(house.ledger, whole.ledger);
    }

    #[test]
    fn no_bytes_make_any_reader_panic(noise in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..1500, gone in 0usize..300) {
        let lines = samples().into_iter().map(|(client, path, lines, _)| (client, path, lines.concat()));
        let documents = documents().into_iter().map(|(client, path, text, _)| (client, path, text));
        for (client, path, text) in lines.chain(documents) {
            let mut bytes = text.into_bytes();
            let at = at.min(bytes.len());
            let until = (at + gone).min(bytes.len());
            bytes.splice(at..until, noise.iter().copied());
            let mut house = House::of(client);
            house.write(path, &bytes);
            house.import();
            if places::form(client, Path::new(path)) == Some(Form::Lines) {
                house.write(path, &noise);
                house.import();
            }
        }
    }

    #[test]
    fn no_values_make_any_reader_panic(values in proptest::collection::vec(prop_oneof![
        Just("null"), Just("18446744073709551615"), Just("-1"), Just("1e999"), Just("{}"), Just("[]"), Just("\"\""), Just("true"), Just("99999999999999999999999.5"),
    ], 1..12)) {
        let lines = samples().into_iter().map(|(client, path, lines, _)| (client, path, lines.concat()));
        let documents = documents().into_iter().map(|(client, path, text, _)| (client, path, text));
        for (client, path, text) in lines.chain(documents) {
            // Each number is another value.
            let (mut odd, mut next, mut in_number) = (String::new(), values.iter().cycle(), false);
            let mut before = ' ';
            for sign in text.chars() {
                let is_number = (in_number || matches!(before, ':' | ' ')) && (sign.is_ascii_digit() || (in_number && sign == '.'));
                if is_number && !in_number {
                    odd.push_str(next.next().expect("a cycle has no end"));
                } else if !is_number {
                    odd.push(sign);
                }
                (in_number, before) = (is_number, sign);
            }
            let mut house = House::of(client);
            house.write(path, &odd);
            house.import();
        }
    }
}
