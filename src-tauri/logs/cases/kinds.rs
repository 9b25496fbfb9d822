//! Kinds of faults from the field, each where it can occur (log-formats, section 20).

use super::*;

fn fork(id: &str, more: &str) -> String {
    meta(id, &format!(r#","timestamp":"2026-01-12T09:00:00Z","forked_from_id":"p"{more}"#))
}

/// A session that counts from zero.
fn spawned(id: &str) -> String {
    fork(id, r#","parent_thread_id":"p""#)
}

/// A row of totals with no usage of its own.
fn baseline(at: &str, total: u64, calls: u64) -> String {
    format!(
        r#"{{"timestamp":"{at}","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"input_tokens":{total},"output_tokens":{calls}}},"last_token_usage":{{"input_tokens":0,"output_tokens":0}}}}}}}}"#
    ) + "\n"
}

#[test]
fn codex_a_fork_that_opens_with_totals_adds_its_own_calls() {
    let mut house = House::of(Client::Codex);
    house.write("sessions/p.jsonl", [meta("p", ""), count(AT, 10, 10, 1), count("2026-01-12T09:00:09Z", 5, 15, 2)].concat());
    let at = ["2026-01-12T10:00:01Z", "2026-01-12T10:00:09Z"];
    house.write("sessions/c.jsonl", [fork("c", ""), baseline(at[0], 15, 2), count(at[1], 7, 22, 3)].concat());
    house.write("sessions/idle.jsonl", [fork("i", ""), baseline(at[0], 15, 2)].concat());
    house.import();
    assert_eq!((house.sums(), house.ledger.len()), ([22, 0, 0, 3], 3));
}

#[test]
fn codex_siblings_with_equal_first_totals_are_two_calls() {
    let mut house = House::of(Client::Codex);
    house.write("sessions/p.jsonl", [meta("p", ""), count(AT, 1, 1, 1)].concat());
    for sibling in ["a", "b"] {
        house.write(&format!("sessions/{sibling}.jsonl"), [spawned(sibling), count("2026-01-12T10:00:09Z", 7, 7, 1)].concat());
    }
    // What a fork of one of them repeats is still its.
    let grandchild = [fork("g", ""), spawned("a"), count("2026-01-12T11:00:00Z", 7, 7, 1), count("2026-01-12T11:00:09Z", 2, 9, 2)];
    house.write("sessions/g.jsonl", grandchild.concat());
    house.import();
    assert_eq!((house.sums(), house.ledger.len()), ([17, 0, 0, 4], 4), "{:?}", house.ledger.keys());
}

#[test]
fn codex_an_answer_that_was_cut_is_one_call() {
    for version in ["0.148.0", "0.169.0"] {
        let lines = [
            meta("t", &format!(r#","cli_version":"{version}""#)),
            record("resp_1", 9),
            baseline(AT, 9, 1),
            record("resp_2", 4),
            count(AT, 4, 13, 2),
        ];
        let house = rollout(&lines);
        assert_eq!((house.sums(), house.ledger.len()), ([13, 0, 0, 2], 2), "{version}");
    }
}

#[test]
fn codex_from_0_153_on_rows_of_totals_are_no_calls() {
    let page = r#","cli_version":"0.153.0-alpha.2","history_mode":"paginated""#;
    let lines = [meta("t", page), count(AT, 500, 900, 9), record("resp_1", 10), count(AT, 10, 910, 10)];
    assert_eq!(rollout(&lines).sums(), [10, 0, 0, 1]);
    // A build of its own tells no version.
    let lines = [meta("t", r#","cli_version":"0.0.0""#), count(AT, 10, 10, 1)];
    assert_eq!(rollout(&lines).sums(), [10, 0, 0, 1]);
}

#[test]
fn codex_a_time_as_a_number_or_absent_has_the_logs_day() {
    let day = |at: &str| count("X", 10, 10, 1).replace("\"X\"", at);
    for at in ["1768208401000", "1768208401", "null", "\"soon\""] {
        let house = rollout(&[meta("t", ""), day(at)]);
        assert_eq!(house.ledger.values().next().map(|usage| usage.at.to_string()[..10].to_owned()).as_deref(), Some("2026-01-12"), "{at}");
    }
    let mut house = House::of(Client::Codex);
    house.write("sessions/rollout-2026-03-04T05-06-07-x.jsonl", day("null"));
    house.import();
    assert_eq!(house.ledger.values().map(|usage| usage.at).next(), Timestamp::parse("2026-03-04T05:06:07Z"));
}

#[test]
fn opencode_2_is_read_and_its_copies_are_one_call() {
    let schema = "CREATE TABLE session_v2(id text primary key, directory text, fork_session_id text, time_created integer);
        CREATE TABLE session_message(id text primary key, session_id text, type text, seq integer, time_created integer, time_updated integer, data text);
        INSERT INTO session_v2 VALUES ('s1', '/gone/api', NULL, 1789000000000), ('s2', '/gone/api', 's1', 1789020000000);";
    let row = |id: &str, session: &str, at: u64, output: u64| {
        format!(
            r#"INSERT INTO session_message VALUES ('{id}', '{session}', 'assistant', 2, {at}, {at}, '{{"time":{{"created":{at},"completed":{at}}},"model":{{"id":"claude-sonnet-5","providerID":"anthropic"}},"finish":"stop","tokens":{{"input":7,"output":{output},"reasoning":1,"cache":{{"read":2,"write":0}}}}}}');"#
        )
    };
    let user = r#"INSERT INTO session_message VALUES ('u1', 's1', 'user', 1, 1, 1, '{"time":{"created":1789009000000},"text":"x"}');"#;
    let mut house = House::of(Client::OpenCode);
    let rows = [row("a", "s1", 1_789_010_000_000, 10), row("b", "s2", 1_789_010_000_000, 10), row("c", "s2", 1_789_030_000_000, 20)];
    let database = house.database("opencode.db", &[schema, user, &rows.concat()].concat());
    assert_eq!(house.import().skipped, []);
    assert_eq!((house.sums(), house.ledger.len()), ([14, 4, 0, 32], 2));
    let first = house.ledger.values().next().expect("read");
    assert_eq!(
        (first.model.as_deref(), first.provider.as_str(), first.session.as_deref()),
        (Some("claude-sonnet-5"), "anthropic", Some("s1"))
    );
    // An older table beside it has an own row, and one that was moved.
    let old = [
        OPENCODE.replace("CREATE TABLE session(id TEXT PRIMARY KEY, directory TEXT);", "").as_str(),
        &format!("INSERT INTO message VALUES ('c', 's2', '{}'), ('d', 's2', '{}')", message(20), message(3)),
    ]
    .concat();
    database.execute_batch(&old).expect("made");
    house.cursors = Cursors::default();
    house.ledger.clear();
    assert_eq!(house.import().skipped, []);
    assert_eq!(house.ledger.len(), 3, "{:?}", house.ledger.keys());
}

#[test]
fn a_database_of_an_unknown_schema_is_unreadable() {
    for (client, path) in [
        (Client::OpenCode, "opencode.db"),
        (Client::Goose, "sessions/sessions.db"),
        (Client::CopilotCli, "session-store.db"),
        (Client::Zed, "threads/threads.db"),
    ] {
        let mut house = House::of(client);
        let database = house.database(path, "CREATE TABLE conversation_v9(id, tokens); INSERT INTO conversation_v9 VALUES (1, 2)");
        let skipped = house.import().skipped;
        assert!(skipped.len() == 1 && skipped[0].1.contains("conversation_v9"), "{}: {skipped:?}", client.name());
        drop(database);
    }
    let mut house = House::of(Client::Goose);
    house.database("sessions/sessions.db", "CREATE TABLE usage_ledger(id, counts); INSERT INTO usage_ledger VALUES (1, 2)");
    assert!(house.import().skipped[0].1.contains("its 1 rows were not read"));
    let mut house = House::of(Client::OpenCode);
    let strange = r#"CREATE TABLE turn_v3(id, data); INSERT INTO turn_v3 VALUES (1, '{"tokens":{"input":5}}');"#;
    house.database("opencode.db", &[OPENCODE, strange].concat());
    assert!(house.import().skipped[0].1.contains("the table turn_v3 is not known; its 1 rows"));
}

#[test]
fn documents_and_rows_of_another_shape_are_unreadable() {
    let foreign = r#"{"schema":9,"calls":[{"in":5,"out":6}]}"#;
    let lines = samples().into_iter().map(|(client, path, _, _)| (client, path));
    for (client, path) in lines.chain(documents().into_iter().map(|(client, path, _, _)| (client, path))) {
        if path.ends_with(".csv") {
            continue;
        }
        let mut house = House::of(client);
        house.write(path, format!("{foreign}\n"));
        let skipped = house.import().skipped;
        assert!(skipped.len() == 1 && skipped[0].1.contains("nothing was read"), "{} {path}: {skipped:?}", client.name());
        house.write(path, "");
        assert_eq!(house.import().skipped, [], "{path} is empty");
    }
    let mut house = House::of(Client::Amp);
    house.write("threads/T-1.json", r#"{"id":"T-1","messages":[{"#);
    assert!(house.import().skipped[0].1.contains("no JSON document"));
}

#[test]
fn every_reader_skips_a_mark_and_reads_utf_16() {
    let lines = samples().into_iter().map(|(client, path, lines, sums)| (client, path, lines.concat(), sums));
    for (client, path, text, sums) in lines.chain(documents()) {
        let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [format!("\u{feff}{text}").replace('\n', "\r\n").into_bytes(), utf16] {
            let mut house = House::of(client);
            house.write(path, bytes);
            assert_eq!(house.import().skipped, [], "{path}");
            assert_eq!(house.sums(), sums, "{path}");
        }
    }
}

#[test]
fn every_reader_reads_counts_that_are_written_as_text() {
    let lines = samples().into_iter().map(|(client, path, lines, sums)| (client, path, lines.concat(), sums));
    for (client, path, text, sums) in lines.chain(documents()).filter(|(_, path, _, _)| !path.ends_with("ui_messages.json")) {
        // Every number of at most five digits behind a colon.
        let mut odd = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(':') {
            let (before, after) = rest.split_at(at + 1);
            odd.push_str(before);
            let digits = after.len() - after.trim_start_matches(|sign: char| sign.is_ascii_digit()).len();
            let is_count = (1..6).contains(&digits) && after[digits..].starts_with([',', '}']);
            let number = &after[..digits];
            odd.push_str(&if is_count { format!("\"{number}\"") } else { number.to_owned() });
            rest = &after[digits..];
        }
        odd.push_str(rest);
        let mut house = House::of(client);
        house.write(path, odd);
        house.import();
        assert_eq!(house.sums(), sums, "{path}");
    }
}

#[test]
fn goose_sessions_older_than_the_ledger_count_by_their_sums() {
    let mut house = House::of(Client::Goose);
    house.database("sessions/sessions.db", "CREATE TABLE sessions(id TEXT, working_dir TEXT, created_at TEXT, model_config_json TEXT, accumulated_total_tokens INTEGER, accumulated_input_tokens INTEGER, accumulated_output_tokens INTEGER, accumulated_cache_read_tokens INTEGER, accumulated_cache_write_tokens INTEGER);
        INSERT INTO sessions VALUES ('old','/gone/api','2026-01-12 09:00:00',NULL,1010,1000,10,700,200),('new','/gone/api','2026-02-12 09:00:00',NULL,55,50,5,0,0);
        CREATE TABLE usage_ledger(id INTEGER PRIMARY KEY, session_id TEXT, created_timestamp INTEGER, model TEXT, input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, cost REAL, cost_source TEXT, is_compaction);
        INSERT INTO usage_ledger VALUES (1,'new',1770886800,'gpt-5',50,5,55,0,0,NULL,'estimated',0)");
    assert_eq!(house.import().skipped, []);
    assert_eq!((house.sums(), house.ledger.len()), ([150, 700, 200, 15], 2));
}

#[test]
fn cline_counts_subagents_and_removed_requests_once() {
    let message = |say: &str, ts: u64, input: u64| {
        format!(
            r#"{{"ts":{},"type":"say","say":"{say}","text":"{{\"tokensIn\":{input},\"tokensOut\":1,\"cost\":0.5}}"}}"#,
            1_756_100_000_000 + ts
        )
    };
    let write = |house: &House, messages: &[String]| house.write("tasks/1/ui_messages.json", format!("[{}]", messages.join(",")));
    let all = [
        message("api_req_started", 1, 100),
        message("subagent_usage", 2, 4000),
        message("api_req_started", 3, 200),
        message("api_req_started", 4, 300),
    ];
    let mut house = House::of(Client::Cline);
    write(&house, &all);
    house.import();
    assert_eq!(house.sums(), [4600, 0, 0, 4]);
    let removed = message("deleted_api_reqs", 9, 500).replace("\\\"tokensOut\\\":1", "\\\"tokensOut\\\":2");
    write(&house, &[all[0].clone(), all[1].clone(), removed.clone()]);
    house.import();
    assert_eq!(house.sums(), [4600, 0, 0, 4], "they were seen");
    house.cursors = std::mem::take(&mut house.cursors).again();
    house.import();
    assert_eq!(house.sums(), [4600, 0, 0, 4], "and stay so when all is read again");
    let mut house = House::of(Client::Cline);
    write(&house, &[all[0].clone(), removed]);
    house.import();
    assert_eq!(house.sums(), [600, 0, 0, 3], "nobody saw them");
}

#[test]
fn qwen_a_branch_with_old_or_new_ids_counts_once() {
    let row = |uuid: &str, session: &str, at: &str, output: u64| {
        format!(
            r#"{{"uuid":"{uuid}","sessionId":"{session}","timestamp":"{at}","type":"assistant","model":"qwen3-coder","usageMetadata":{{"promptTokenCount":500,"candidatesTokenCount":{output},"cachedContentTokenCount":400,"totalTokenCount":520}}}}"#
        ) + "\n"
    };
    let later = "2026-01-12T09:00:05Z";
    let mut house = House::of(Client::Qwen);
    house.write("projects/p/chats/a.jsonl", [row("u1", "a", AT, 20), row("u2", "a", later, 30)].concat());
    house.write(
        "projects/p/chats/b.jsonl",
        [row("u1", "b", AT, 20), row("n2", "b", later, 30), row("n3", "b", "2026-01-12T09:30:00Z", 7)].concat(),
    );
    house.import();
    assert_eq!((house.sums(), house.ledger.len()), ([300, 1200, 0, 57], 3));
}

#[test]
fn copilot_rows_of_two_machines_and_of_auto_are_told_apart() {
    let mut house = House::of(Client::CopilotCli);
    let schema = "CREATE TABLE assistant_usage_events(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, created_at, total_nano_aiu);
        CREATE TABLE sessions(id, cwd);";
    let add = |session: &str| {
        format!(
            "INSERT INTO assistant_usage_events(session_id, model, input_tokens, output_tokens, created_at) VALUES ('{session}', 'gpt-5.4', 100, 5, '2026-04-15 10:05:00');"
        )
    };
    house.database("session-store.db", &[schema, &add("s1")].concat());
    house.import();
    let mut other = House::of(Client::CopilotCli);
    other.database("session-store.db", &[schema, &add("s2")].concat());
    other.import();
    assert_ne!(house.ledger.keys().next(), other.ledger.keys().next());

    let event = |kind: &str, data: &str| format!(r#"{{"type":"{kind}","data":{data},"timestamp":"2026-07-15T10:05:00Z"}}"#) + "\n";
    let mut house = House::of(Client::CopilotCli);
    let lines = [
        event("session.start", r#"{"sessionId":"s","selectedModel":"auto"}"#),
        event("assistant.message", r#"{"outputTokens":9}"#),
        event(
            "session.shutdown",
            r#"{"modelMetrics":{"claude-sonnet-4.6":{"requests":{"count":2},"usage":{"inputTokens":100,"outputTokens":9},"totalNanoAiu":2000000000}}}"#,
        ),
    ];
    house.write("session-state/s/events.jsonl", lines.concat());
    house.import();
    let usage = house.ledger.values().next().expect("read");
    assert_eq!((house.ledger.len(), usage.model.as_deref(), usage.reported_cost), (1, Some("claude-sonnet-4.6"), "0.02".parse().ok()));
}

#[test]
fn kimi_a_session_record_counts_unless_it_is_a_sum() {
    let record = |scope: &str, input: u64, ts: u64| {
        format!(
            r#"{{"type":"usage.record","model":"k","usage":{{"inputOther":{input},"output":1,"inputCacheRead":0,"inputCacheCreation":0}},"usageScope":"{scope}","time":{}}}"#,
            1_789_000_000_000 + ts
        ) + "\n"
    };
    let mut house = House::of(Client::Kimi);
    let sum = record("session", 30, 3).replace("\"output\":1", "\"output\":2");
    house.write(
        "sessions/w/s/agents/main/wire.jsonl",
        [record("turn", 10, 1), record("turn", 20, 2), sum, record("session", 7, 4)].concat(),
    );
    house.import();
    assert_eq!((house.sums(), house.ledger.len()), ([37, 0, 0, 3], 3));
}

#[test]
fn aider_amp_and_pi_say_what_they_left_out() {
    let mut house = House::of(Client::Aider);
    house.write(
        "a.jsonl",
        r#"{"event":"message_send","properties":{"main_model":"gpt-4o","prompt_tokens":10,"completion_tokens":1},"time":1768208407}"#,
    );
    house.import();
    assert_eq!(house.ledger.values().next().map(|usage| usage.provider.as_str()), Some("openai"));
    let mut house = House::of(Client::Amp);
    house.write("threads/T-1.json", r#"{"id":"T-1","messages":[{"messageId":2,"usage":{"model":"claude-sonnet-5","cacheCreationInputTokens":400,"cacheReadInputTokens":9000,"inputTokens":10,"outputTokens":80}}],"usageLedger":{"events":[{"id":"e1","timestamp":"2026-01-01T09:00:00Z","model":"claude-sonnet-5","tokens":{"input":410,"output":80},"toMessageId":2}]}}"#);
    house.import();
    assert_eq!(house.sums(), [10, 9000, 400, 80]);
    let mut house = House::of(Client::Pi);
    house.write("agents/main/sessions/a.jsonl", r#"{"type":"message","id":"a","timestamp":"2026-04-22T01:02:03Z","message":{"role":"assistant","model":"gpt-5.4","usage":{"input":1,"output":50,"reasoning":20}}}"#);
    house.import();
    assert_eq!(house.ledger.values().next().map(|usage| usage.tokens.reasoning), Some(20));
}

#[test]
fn logs_one_level_too_high_or_low_are_found() {
    let house = House::of(Client::Codex);
    house.write(".codex/sessions/2026/01/12/rollout-a.jsonl", [meta("t", ""), count(AT, 10, 10, 1)].concat());
    let root = house.root.path();
    for place in ["", ".codex/sessions", ".codex/sessions/2026", ".codex/sessions/2026/01/12"] {
        let place = root.join(place);
        let direct = find(Client::Codex, std::slice::from_ref(&place));
        let found = if direct.is_empty() { find_beside(Client::Codex, &place).map(|(_, found)| found).unwrap_or_default() } else { direct };
        assert_eq!(found.files.len(), 1, "{}", place.display());
    }
    let none = tempfile::tempdir().expect("a folder");
    assert!(find_beside(Client::Codex, none.path()).is_none());
}
