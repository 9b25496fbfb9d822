//! The cases of `reference/log-formats.md`, section 19, that concern other clients than Claude Code, by their numbers; and what is true of
//! every reader. Claude Code's are in `tests.rs`.

mod codex;
mod kinds;
mod opencode;
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
                let merged = ledger.get(&id).map_or_else(|| Usage::clone(&usage), |known| known.merged(&usage));
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

fn rollout(lines: &[String]) -> House {
    let mut house = House::of(Client::Codex);
    house.write(ROLLOUT, lines.concat());
    house.import();
    house
}

#[test]
fn case_21_cached_input_is_part_of_input_for_openai_google_and_qwen() {
    let usage =
        r#"{"input_tokens":1000,"cached_input_tokens":600,"cache_write_input_tokens":100,"output_tokens":50,"reasoning_output_tokens":20}"#;
    let line = format!(r#"{{"timestamp":"{AT}","type":"token_usage_record","payload":{{"response_id":"r","usage":{usage}}}}}"#);
    assert_eq!(rollout(&[line]).sums(), [300, 600, 100, 50]);

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
    // What it did before there was a book, only its transcript tells.
    let before = chat.replace("u2", "u0").replace("2026-01-12T09:00:01Z", "2026-01-11T09:00:01Z");
    house.write("projects/p/chats/a.jsonl", [before.as_str(), "\n", chat].concat());
    house.import();
    assert_eq!(house.sums(), [300, 1200, 0, 65]);
}

#[test]
fn the_folder_of_a_gemini_chat_is_the_one_that_is_listed_under_its_name_or_hash() {
    let mut house = House::of(Client::GeminiCli);
    let message = |id: &str| {
        format!(
            r#"{{"id":"{id}","timestamp":"{AT}","type":"gemini","model":"gemini-2.5-pro","tokens":{{"input":1,"output":1,"total":2}}}}"#
        )
    };
    // The hash of /gone/old.
    let hash = "93935336a72c6ca31a9bcc7c74e5022e5e9e8b3f5104087012df669071d9275e";
    house.write("projects.json", r#"{"projects":{"/gone/api":"api-2","/gone/old":"old"}}"#);
    house.write("tmp/api-2/chats/session-a.jsonl", message("a"));
    house.write(&format!("tmp/{hash}/chats/session-b.json"), message("b"));
    house.write(&format!("tmp/{}/chats/session-c.json", "0".repeat(64)), message("c"));
    house.write("tmp/unlisted/chats/session-d/agent.jsonl", message("d"));
    house.import();
    let projects: Vec<_> = house.ledger.values().map(|usage| usage.project.as_ref().map(|project| project.name.as_str())).collect();
    assert_eq!(projects, [Some("unlisted"), Some("api"), Some("old"), None]);
}

const OPENCODE: &str =
    "CREATE TABLE session(id TEXT PRIMARY KEY, directory TEXT); CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT, data TEXT);";

fn message(output: u64) -> String {
    format!(
        r#"{{"role":"assistant","time":{{"created":1771083156415}},"modelID":"glm-5","providerID":"zai","cost":0.5,"tokens":{{"input":100,"output":{output},"reasoning":0,"cache":{{"read":10,"write":1}}}}}}"#
    )
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
    // Of a version that counts each run by itself, the second of which used more than the first.
    let mut house = House::of(Client::CopilotCli);
    house.write(path, [reply(5), end(100, 5), reply(50), end(500, 50), reply(2), end(20, 3)].concat());
    house.import();
    assert_eq!(house.sums(), [90 + 490 + 10, 30, 0, 58]);
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
    assert_eq!(
        (house.sums(), sum.model.as_deref(), sum.at),
        ([300, 0, 0, 30], Some("gpt-5"), Timestamp::parse("2026-01-12T09:00:00Z").expect("a time"))
    );
    database.execute_batch("CREATE TABLE usage_ledger(id INTEGER PRIMARY KEY, session_id TEXT, created_timestamp INTEGER, model TEXT, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, cost REAL, cost_source TEXT, is_compaction);
        INSERT INTO usage_ledger VALUES (1,'s',1768208400,'gpt-5',300,30,330,NULL,NULL,NULL,'carried_forward',0),(2,'s',1768208401,'gpt-5',7,1,8,NULL,NULL,NULL,'estimated',0)").expect("made");
    house.import();
    assert_eq!(house.sums(), [307, 0, 0, 31]);
}

#[test]
fn case_27_a_calls_key_is_the_same_on_the_wire_and_in_the_log() {
    let house = rollout(&[meta("t", ""), record("resp_1", 10)]);
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
    let house = rollout(&[meta("t", ""), count("2199-01-01T00:00:00Z", 10, 10, 1)]);
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
