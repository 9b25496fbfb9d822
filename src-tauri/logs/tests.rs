//! The cases of `reference/log-formats.md`, section 19, that concern Claude Code, by their numbers; and importing as such.

use super::*;
use events::{Certainty, Source, Timestamp, Usage};
use proptest::prelude::*;
use std::{collections::BTreeMap, convert::Infallible, fs};

/// What the log would hold: each call once, merged.
pub(super) type Ledger = BTreeMap<String, Usage>;

fn record(ledger: &mut Ledger, sightings: Vec<Sighting>) {
    for Sighting { usage, .. } in sightings {
        let id = usage.call_id.clone().expect("every sighting has an id");
        let merged = ledger.get(&id).map_or_else(|| Usage::clone(&usage), |known| known.merged(&usage));
        ledger.insert(id, merged);
    }
}

/// A folder of Claude Code's, its cursors, and what was imported from it.
pub(super) struct House {
    root: tempfile::TempDir,
    cursors: Cursors,
    pub(super) ledger: Ledger,
}

impl House {
    pub(super) fn new() -> House {
        House { root: tempfile::tempdir().expect("a folder"), cursors: Cursors::default(), ledger: Ledger::new() }
    }

    pub(super) fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.path().join("projects").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, text).expect("written");
        path
    }

    pub(super) fn import(&mut self) -> Report {
        self.import_while(|| {})
    }

    /// Does something whenever a batch is handed over.
    pub(super) fn import_while(&mut self, mut what: impl FnMut()) -> Report {
        let roots = [self.root.path().to_owned()];
        let ledger = &mut self.ledger;
        let mut sink = |batch| {
            what();
            record(ledger, batch);
            Ok::<_, Infallible>(())
        };
        match import(Client::ClaudeCode, &roots, &mut self.cursors, &mut Projects::default(), &mut sink, &mut |_| {}) {
            Ok(report) => report,
            Err(never) => match never {},
        }
    }
}

/// What is in one file.
fn read(text: impl AsRef<[u8]>) -> Ledger {
    let mut house = House::new();
    house.write("slug/session.jsonl", text);
    house.import();
    house.ledger
}

pub(super) fn outputs(ledger: &Ledger) -> Vec<(&str, u64)> {
    ledger.iter().map(|(id, usage)| (id.as_str(), usage.tokens.output)).collect()
}

fn only(ledger: Ledger) -> Usage {
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    ledger.into_values().next().expect("one")
}

/// A line as Claude Code writes it, with the given id and output.
pub(super) fn line(id: &str, output: u64) -> String {
    with_usage(
        id,
        &format!(r#"{{"input_tokens":2,"cache_creation_input_tokens":30,"cache_read_input_tokens":400,"output_tokens":{output}}}"#),
    )
}

fn with_usage(id: &str, usage: &str) -> String {
    format!(
        r#"{{"isSidechain":false,"message":{{"model":"claude-opus-5-5","id":"{id}","content":[{{"type":"text","text":"said"}}],"usage":{usage}}},"requestId":"req_1","type":"assistant","uuid":"u-{id}","timestamp":"2026-01-12T09:00:02.216Z","cwd":"/gone/api","sessionId":"s-1","version":"2.1.291","gitBranch":"main"}}"#
    ) + "\n"
}

#[test]
fn a_line_becomes_a_usage() {
    let usage = only(read(line("msg_1", 180)));
    assert_eq!(usage.at, Timestamp::parse("2026-01-12T09:00:02.216Z").expect("a time"));
    assert_eq!((usage.provider.as_str(), usage.family.as_str()), ("anthropic", "anthropic"));
    assert_eq!(usage.model.as_deref(), Some("claude-opus-5-5"));
    assert_eq!((usage.call_id.as_deref(), usage.request_id.as_deref()), (Some("msg_1"), Some("req_1")));
    assert_eq!(
        (usage.client.as_deref(), usage.session.as_deref(), usage.branch.as_deref()),
        (Some("claude-code"), Some("s-1"), Some("main"))
    );
    assert_eq!(usage.project.map(|project| (project.by, project.name)), Some((events::ProjectBy::Folder, "api".to_owned())));
    let tokens = events::Tokens { input: 2, cache_read: 400, cache_write_5m: 30, output: 180, ..events::Tokens::default() };
    assert_eq!((usage.tokens, usage.certainty), (tokens, Certainty::Reported));
    assert!(usage.sources.has(Source::Log));
}

#[test]
fn case_1_the_blocks_of_a_message_are_one_call() {
    assert_eq!(outputs(&read([line("msg_1", 180), line("msg_1", 180), line("msg_1", 180)].concat())), [("msg_1", 180)]);
}

#[test]
fn case_2_of_growing_snapshots_the_largest_counts_in_whatever_order() {
    assert_eq!(outputs(&read([line("msg_1", 1), line("msg_1", 180), line("msg_1", 8)].concat())), [("msg_1", 180)]);
}

#[test]
fn case_3_without_a_request_id_the_message_is_still_one() {
    let bare = line("msg_1", 180).replace(r#""requestId":"req_1","#, "");
    let null = line("msg_1", 180).replace(r#""req_1""#, "null");
    assert_eq!(outputs(&read([bare.as_str(), &null, &line("msg_1", 180)].concat())), [("msg_1", 180)]);
}

#[test]
fn without_a_message_id_the_key_falls_back_step_by_step() {
    let no_id = line("msg_1", 5).replace(r#""id":"msg_1","#, "");
    assert_eq!(only(read(&no_id)).call_id.as_deref(), Some("req_1"));
    let no_request = no_id.replace(r#""requestId":"req_1","#, "");
    assert_eq!(only(read(&no_request)).call_id.as_deref(), Some("u-msg_1"));
    let no_uuid = no_request.replace(r#""uuid":"u-msg_1","#, "");
    let ids: Vec<_> = read([no_uuid.as_str(), &no_uuid].concat()).into_keys().collect();
    assert_eq!(ids, ["session:0".to_owned(), format!("session:{}", no_uuid.len())]);
}

#[test]
fn case_4_side_chains_count() {
    let side = line("msg_2", 7).replace(r#""isSidechain":false"#, r#""isSidechain":true"#);
    assert_eq!(outputs(&read([line("msg_1", 180), side].concat())), [("msg_1", 180), ("msg_2", 7)]);
}

#[test]
fn case_5_subagents_of_nested_workflows_count() {
    let mut house = House::new();
    house.write("slug/s-1.jsonl", line("msg_1", 1));
    house.write("slug/s-1/subagents/agent-a.jsonl", line("msg_2", 2));
    house.write("slug/s-1/subagents/workflows/wf_1/agent-b.jsonl", line("msg_3", 3));
    house.write("slug/s-1/subagents/workflows/wf_1/journal.jsonl", line("msg_4", 4));
    assert_eq!(house.import().files, 3);
    assert_eq!(outputs(&house.ledger), [("msg_1", 1), ("msg_2", 2), ("msg_3", 3)]);
}

#[test]
fn case_6_a_message_copied_to_another_session_is_one_call() {
    let mut house = House::new();
    house.write("slug/s-1.jsonl", line("msg_1", 180));
    house.write("slug/s-2.jsonl", [line("msg_1", 180).replace("s-1", "s-2"), line("msg_2", 3)].concat());
    house.import();
    assert_eq!(outputs(&house.ledger), [("msg_1", 180), ("msg_2", 3)]);
    assert_eq!(house.ledger["msg_1"].session.as_deref(), Some("s-1"));
}

#[test]
fn case_7_an_advisor_is_a_call_of_its_own_and_the_sum_above_it_stays() {
    let usage = r#"{"input_tokens":20,"output_tokens":9,"server_tool_use":{"web_search_requests":2},"iterations":[
        {"type":"message","input_tokens":10,"output_tokens":4},
        {"type":"advisor_message","model":"claude-fable-5","input_tokens":10,"output_tokens":2,"cache_creation_input_tokens":3,"cache_read_input_tokens":4},
        {"type":"advisor_message","input_tokens":1,"output_tokens":1},
        {"type":"message","input_tokens":10,"output_tokens":5}]}"#
        .replace('\n', "");
    let ledger = read([with_usage("msg_1", &usage), with_usage("msg_1", &usage)].concat());
    assert_eq!(outputs(&ledger), [("msg_1", 9), ("msg_1:advisor:0", 2), ("msg_1:advisor:1", 1)]);
    let advisor = &ledger["msg_1:advisor:0"];
    assert_eq!(advisor.model.as_deref(), Some("claude-fable-5"));
    assert_eq!((advisor.tokens.input, advisor.tokens.cache_write_5m, advisor.tokens.cache_read), (10, 3, 4));
    assert_eq!((ledger["msg_1"].tokens.input, ledger["msg_1"].fees.web_search, advisor.fees.web_search), (20, 2, 0));
    assert_eq!(ledger["msg_1:advisor:1"].model, None, "a model that is not named is not guessed");
}

#[test]
fn a_compaction_by_the_server_is_a_call_of_its_own_by_the_same_model() {
    let usage = r#"{"input_tokens":220,"output_tokens":8,"iterations":[{"type":"compaction","input_tokens":55196,"output_tokens":125},{"type":"message","input_tokens":220,"output_tokens":8}]}"#;
    let ledger = read(with_usage("msg_1", usage));
    assert_eq!(outputs(&ledger), [("msg_1", 8), ("msg_1:compaction:0", 125)]);
    assert_eq!(ledger["msg_1:compaction:0"].model.as_deref(), Some("claude-opus-5-5"));
}

#[test]
fn case_8_cache_writes_are_told_apart_by_their_lifetime() {
    let split = |total: u64, five: u64, hour: u64| {
        let usage = format!(
            r#"{{"input_tokens":2,"output_tokens":1,"cache_creation_input_tokens":{total},"cache_creation":{{"ephemeral_1h_input_tokens":{hour},"ephemeral_5m_input_tokens":{five}}}}}"#
        );
        let tokens = only(read(with_usage("msg_1", &usage))).tokens;
        (tokens.cache_write_5m, tokens.cache_write_1h)
    };
    assert_eq!(split(20_468, 0, 20_468), (0, 20_468));
    assert_eq!(split(2_565, 2_051, 514), (2_051, 514));
    assert_eq!(split(2_565, 0, 0), (2_565, 0), "what the split does not explain lives five minutes");
    assert_eq!(split(0, 7, 8), (7, 8));
}

#[test]
fn case_9_nulls_and_odd_types_elsewhere_cost_no_call() {
    let odd = line("msg_1", 180).replace(r#""text":"said""#, r#""id":null,"model":null,"cwd":null,"usage":null"#);
    let typed = line("msg_2", 7)
        .replace(r#""cwd":"/gone/api""#, r#""cwd":{"path":1}"#)
        .replace(r#""gitBranch":"main""#, r#""gitBranch":null"#)
        .replace(r#""requestId":"req_1""#, r#""requestId":17,"data":"text""#);
    let broken_text = line("msg_3", 9).replace("said", r"\ud83d").into_bytes();
    let mut broken_bytes = line("msg_4", 9).into_bytes();
    let at = broken_bytes.windows(4).position(|four| four == b"said").expect("there");
    broken_bytes[at] = 0xff;
    let ledger = read([odd.into_bytes(), typed.into_bytes(), broken_text, broken_bytes].concat());
    assert_eq!(outputs(&ledger), [("msg_1", 180), ("msg_2", 7), ("msg_3", 9), ("msg_4", 9)]);
    assert_eq!((&ledger["msg_2"].project, &ledger["msg_2"].request_id), (&None, &None));
}

#[test]
fn case_10_half_a_last_line_waits_for_its_other_half() {
    let (one, two) = (line("msg_1", 1), line("msg_2", 2));
    for cut in [1, two.len() / 2, two.len() - 2, two.len() - 1] {
        let mut house = House::new();
        house.write("slug/s.jsonl", [&one, &two[..cut]].concat());
        house.import();
        // Whole but for its end: it is told at once, since some logs end so.
        assert_eq!(house.ledger.len(), if cut == two.len() - 1 { 2 } else { 1 });
        house.write("slug/s.jsonl", [&one, &two[..], &line("msg_3", 3)].concat());
        house.import();
        assert_eq!(outputs(&house.ledger), [("msg_1", 1), ("msg_2", 2), ("msg_3", 3)]);
    }
}

#[test]
fn case_11_a_file_truncated_rewritten_or_deleted_keeps_its_calls_and_yields_the_new_ones() {
    let mut house = House::new();
    let path = house.write("slug/s.jsonl", [line("msg_1", 1), line("msg_2", 2)].concat());
    house.import();
    house.write("slug/s.jsonl", line("msg_3", 3));
    house.import();
    house.write("slug/s.jsonl", [line("msg_4", 4), line("msg_5", 5), line("msg_6", 6)].concat());
    house.import();
    fs::remove_file(path).expect("removed");
    assert_eq!(house.import(), Report::default());
    house.write("slug/s.jsonl", line("msg_7", 7));
    house.import();
    let ids: Vec<_> = house.ledger.keys().collect();
    assert_eq!(ids, ["msg_1", "msg_2", "msg_3", "msg_4", "msg_5", "msg_6", "msg_7"]);
}

#[test]
fn case_26_an_unknown_model_stays_as_it_is_named() {
    let strange = line("msg_1", 1).replace("claude-opus-5-5", "glm-9-turbo[1m]");
    let unnamed = line("msg_2", 1).replace(r#""model":"claude-opus-5-5","#, "");
    let ledger = read([strange, unnamed].concat());
    assert_eq!((ledger["msg_1"].model.as_deref(), &ledger["msg_2"].model), (Some("glm-9-turbo[1m]"), &None));
}

#[test]
fn a_progress_line_counts_until_the_subagents_own_row() {
    let inner = line("msg_9", 400);
    let progress = format!(
        r#"{{"type":"progress","timestamp":"2026-01-12T09:00:03Z","sessionId":"main","data":{{"type":"agent_progress","message":{}}}}}"#,
        inner.trim_end()
    ) + "\n";
    let alone = only(read(&progress));
    assert_eq!((alone.tokens.output, alone.certainty, alone.session.as_deref()), (400, Certainty::Partial, Some("s-1")));
    assert_eq!(alone.at, Timestamp::parse("2026-01-12T09:00:02.216Z").expect("a time"));
    for text in [[progress.as_str(), &line("msg_9", 44)].concat(), [line("msg_9", 44).as_str(), &progress].concat()] {
        let both = only(read(text));
        assert_eq!((both.tokens.output, both.certainty), (44, Certainty::Reported));
    }
}

#[test]
fn an_audit_row_has_its_own_time_and_counts_partially() {
    let row = |output: u64| {
        format!(
            r#"{{"type":"assistant","session_id":"s-9","request_id":"req_9","message":{{"id":"msg_9","model":"claude-opus-5","usage":{{"input_tokens":3,"output_tokens":{output}}}}},"_audit_timestamp":"2026-07-04T10:00:03Z"}}"#
        ) + "\n"
    };
    let audit = only(read(row(4)));
    assert_eq!((audit.certainty, audit.session.as_deref(), audit.request_id.as_deref()), (Certainty::Partial, Some("s-9"), Some("req_9")));
    assert_eq!(audit.at, Timestamp::parse("2026-07-04T10:00:03Z").expect("a time"));
    let transcript = row(3000).replace("_audit_timestamp", "timestamp");
    assert_eq!(only(read([row(4), transcript].concat())).tokens.output, 3000);
}

#[test]
fn a_log_with_a_mark_or_in_utf_16_is_read_whole() {
    let text = [line("msg_1", 1), line("msg_2", 2).replace("said", "sa\u{1f600}d")].concat();
    let marked = format!("\u{feff}{}\u{feff}{}", line("msg_1", 1), line("msg_2", 2)).replace('\n', "\r\n");
    assert_eq!(outputs(&read(marked)), [("msg_1", 1), ("msg_2", 2)]);
    for (mark, is_little) in [("\u{feff}", true), ("\u{feff}", false), ("", true)] {
        let units = [mark, &text]
            .concat()
            .encode_utf16()
            .flat_map(|unit| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect::<Vec<_>>();
        let mut house = House::new();
        house.write("slug/session.jsonl", &units);
        assert_eq!(house.import().skipped, []);
        assert_eq!(outputs(&house.ledger), [("msg_1", 1), ("msg_2", 2)]);
        assert_eq!(house.import().bytes_read, 0, "as it was");
    }
}

#[test]
fn rows_that_are_not_understood_are_said_with_counts() {
    let mut house = House::new();
    let reason = |house: &mut House, text: &str| {
        house.write("slug/session.jsonl", text);
        house.cursors = Cursors::default();
        house.import().skipped.into_iter().map(|(_, reason)| reason).next()
    };
    assert_eq!(reason(&mut house, ""), None);
    assert_eq!(reason(&mut house, "{\"type\":\"summary\",\"summary\":\"x\"}\n"), None);
    let foreign = "{\"kind\":\"reply\",\"tokens\":{\"in\":5}}\n";
    assert!(reason(&mut house, &foreign.repeat(3)).expect("said").starts_with("none of its 3 rows has a field"));
    let mixed = [line("msg_1", 1), "{\"message\":{\"usage\": broken\n".to_owned()].concat();
    assert!(reason(&mut house, &mixed).expect("said").starts_with("1 of 2 rows are no JSON"));
    let other = [line("msg_1", 1), with_usage("msg_2", r#"{"tokens_in":5,"tokens_out":6}"#)].concat();
    assert!(reason(&mut house, &other).expect("said").starts_with("1 of 2 rows have no field"));
    assert_eq!(reason(&mut house, &[line("msg_1", 1), line("msg_2", 2)[..60].to_owned()].concat()), None, "half a last line is awaited");
}

#[test]
fn what_is_no_call_of_this_file_is_not_counted() {
    let lines = [
        line("msg_1", 0).replace("claude-opus-5-5", "<synthetic>"),
        line("msg_2", 3).replace(r#""isSidechain":false"#, r#""isApiErrorMessage":true"#),
        r#"{"type":"user","toolUseResult":{"usage":{"input_tokens":5,"output_tokens":5}},"message":{"role":"user","content":"x"}}"#
            .to_owned()
            + "\n",
        with_usage("msg_3", "null"),
        with_usage("msg_4", "{}"),
        r#"{"type":"user","message":{"content":"about \"usage\" of tokens"}}"#.to_owned() + "\n",
        "{\"usage\": broken\n\n[1,2]\n".to_owned(),
    ];
    assert_eq!(read(lines.concat()), Ledger::new());
}

#[test]
fn a_line_without_a_time_has_a_neighbours_never_the_clocks() {
    let timeless = |id: &str| line(id, 1).replace(r#""timestamp":"2026-01-12T09:00:02.216Z","#, "");
    let wrong = line("msg_3", 1).replace("2026-01-12T09:00:02.216Z", "yesterday");
    let user = "{\"type\":\"user\",\"timestamp\":\"2026-01-12T08:00:00Z\"}\n";
    let ledger = read([timeless("msg_0").as_str(), user, &timeless("msg_1"), &line("msg_2", 1), &wrong].concat());
    let at = |id: &str| ledger[id].at.to_string();
    assert_eq!(at("msg_0"), "2026-01-12T08:00:00.000000Z", "of the next line that names one");
    assert_eq!(at("msg_1"), "2026-01-12T08:00:00.000000Z");
    assert_eq!(at("msg_3"), "2026-01-12T09:00:02.216000Z");
}

#[test]
fn fast_mode_place_thinking_and_reported_cost_are_kept() {
    let usage = r#"{"input_tokens":1,"output_tokens":9,"output_tokens_details":{"thinking_tokens":5},"service_tier":"standard","speed":"fast","inference_geo":"us"}"#;
    let fast = with_usage("msg_1", usage).replace(r#""type":"assistant""#, r#""type":"assistant","costUSD":0.00425"#);
    let usage = only(read(fast));
    assert_eq!((usage.tier.as_deref(), usage.geo.as_deref(), usage.tokens.reasoning), (Some("fast"), Some("us"), 5));
    assert_eq!(usage.reported_cost, "0.00425".parse().ok());
    let plain = r#"{"input_tokens":1,"output_tokens":9,"service_tier":"batch","speed":"standard","inference_geo":"not_available"}"#;
    let usage = only(read(with_usage("msg_bdrk_1", plain)));
    assert_eq!(
        (usage.tier.as_deref(), usage.geo, usage.provider.as_str(), usage.family.as_str()),
        (Some("batch"), None, "bedrock", "anthropic")
    );
}

#[test]
fn what_was_said_is_kept_without_anything_that_could_be_content() {
    let usage = format!(r#"{{"input_tokens":1,"output_tokens":9,"service_tier":"standard","note":"{}"}}"#, "secret ".repeat(20));
    let mut reader = claude_code::Reader::default();
    let mut found = Vec::new();
    let text = with_usage("msg_1", &usage);
    reader.line(Line { bytes: text.as_bytes(), file: "s", offset: 0 }, &mut |_| None, &mut found);
    let said = found.pop().and_then(|sighting| sighting.said).expect("said");
    assert_eq!(
        said,
        events::Said::from(&serde_json::json!({"input_tokens": 1, "output_tokens": 9, "service_tier": "standard", "note": null}))
    );
}

#[test]
fn a_second_import_reads_nothing_and_appended_lines_are_all_that_a_third_reads() {
    let mut house = House::new();
    let path = house.write("slug/s.jsonl", line("msg_1", 1));
    assert_eq!(house.import().calls, 1);
    assert_eq!(house.import(), Report { files: 1, ..Report::default() });
    let more = line("msg_2", 2);
    fs::write(&path, [line("msg_1", 1).as_str(), &more].concat()).expect("written");
    let report = house.import();
    assert_eq!((report.calls, report.bytes_read), (1, more.len() as u64));
}

#[test]
fn a_refused_batch_is_offered_again() {
    let house = House::new();
    house.write("slug/a.jsonl", (0..BATCH_SIGHTINGS_MAX + 10).map(|n| line(&format!("msg_{n}"), 1)).collect::<String>());
    let roots = [house.root.path().to_owned()];
    let mut cursors = Cursors::default();
    let mut ledger = Ledger::new();
    let mut batches = 0;
    let mut refuse_second = |batch: Vec<Sighting>| {
        batches += 1;
        if batches == 2 {
            return Err("the disk is full");
        }
        record(&mut ledger, batch);
        Ok(())
    };
    let mut offer = || {
        import(Client::ClaudeCode, &roots, &mut cursors, &mut Projects::default(), &mut refuse_second, &mut |_| {})
            .map(|report| report.calls)
    };
    assert_eq!(offer(), Err("the disk is full"));
    assert_eq!(offer(), Ok(10), "the first batch was taken and is not read again");
    assert_eq!(offer(), Ok(0));
    assert_eq!(ledger.len(), BATCH_SIGHTINGS_MAX + 10);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_told_once_and_stops_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let mut house = House::new();
    let closed = house.write("slug/a.jsonl", line("msg_1", 1));
    house.write("slug/b.jsonl", line("msg_2", 2));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).expect("closed");
    if fs::File::open(&closed).is_ok() {
        return println!("skipped: this user may read everything");
    }
    assert_eq!(house.import().skipped.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&closed]);
    assert_eq!(outputs(&house.ledger), [("msg_2", 2)]);
    assert!(house.import().skipped.is_empty());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).expect("opened");
    house.import();
    assert_eq!(house.ledger.len(), 2);
}

fn session() -> String {
    let inner = line("msg_9", 4);
    [
        "{\"type\":\"user\",\"timestamp\":\"2026-01-12T08:00:00Z\"}\n",
        &line("msg_1", 1),
        &line("msg_1", 180),
        &line("msg_2", 5).replace(r#""timestamp":"2026-01-12T09:00:02.216Z","#, ""),
        &format!("{{\"type\":\"progress\",\"data\":{{\"message\":{}}}}}\n", inner.trim_end()),
        &line("msg_2", 7).replace(r#""id":"msg_2","#, "").replace(r#""requestId":"req_1","#, "").replace(r#""uuid":"u-msg_2","#, ""),
        &line("msg_9", 12),
    ]
    .concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_steps_or_at_once_the_same_is_read(mut cuts in proptest::collection::vec(0usize..4000, 0..6)) {
        let text = session();
        cuts.sort_unstable();
        let mut house = House::new();
        for cut in cuts {
            house.write("slug/session.jsonl", &text[..cut.min(text.len())]);
            house.import();
        }
        house.write("slug/session.jsonl", &text);
        house.import();
        prop_assert_eq!(house.ledger, read(&text));
    }

    #[test]
    fn lines_read_together_say_what_each_says_alone(
        rows in proptest::collection::vec((0..2u8, 0..3u8, 0..3u8, any::<bool>(), any::<bool>(), 0..3u8), 1..8),
    ) {
        let line = |(id, output, session, is_priority, is_error, second): &(u8, u8, u8, bool, bool, u8)| {
            let tier = if *is_priority { r#","service_tier":"priority""# } else { "" };
            // Not many, so that most lines tell of a call.
            let error = if *is_error && *session == 0 { r#","isApiErrorMessage":true"# } else { "" };
            format!(
                r#"{{"timestamp":"2026-01-12T09:00:0{second}Z","sessionId":"s{session}"{error},"message":{{"id":"msg_{id}","usage":{{"input_tokens":3,"output_tokens":{output}{tier}}}}}}}"#
            )
        };
        let mut reader = claude_code::Reader::default();
        let (mut together, mut found, mut alone) = (Ledger::new(), Vec::new(), Ledger::new());
        for text in rows.iter().map(line) {
            let line = Line { bytes: text.as_bytes(), file: "f", offset: 0 };
            reader.line(line, &mut |_| None, &mut found);
            let mut own = Vec::new();
            claude_code::Reader::default().line(line, &mut |_| None, &mut own);
            record(&mut alone, own);
        }
        for Sighting { usage, said } in &found {
            let again = said.as_ref().and_then(|said| claude_code::again(usage, said));
            prop_assert_eq!(again.map(|again| again.tokens), Some(usage.tokens), "what was said stands with the tokens that it was read from");
        }
        record(&mut together, found);
        prop_assert_eq!(together, alone);
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..3000, cut in 0usize..3000) {
        let mut text = session().into_bytes();
        let at = at.min(text.len());
        text.truncate(text.len().saturating_sub(cut).max(at));
        text.splice(at..at, bytes.drain(..));
        read(text);
    }

    #[test]
    fn no_usage_object_makes_it_panic(numbers in proptest::collection::vec(prop_oneof![Just("null".to_owned()), Just(u64::MAX.to_string()), Just("-1".to_owned()), Just("1e999".to_owned()), Just("{}".to_owned()), Just("[]".to_owned())], 6)) {
        let n = |at: usize| &numbers[at];
        let usage = format!(
            r#"{{"input_tokens":{},"output_tokens":{},"cache_creation_input_tokens":{},"cache_creation":{{"ephemeral_5m_input_tokens":{},"ephemeral_1h_input_tokens":{}}},"iterations":[{{"type":"compaction","output_tokens":{}}}]}}"#,
            n(0), n(1), n(2), n(3), n(4), n(5)
        );
        read(with_usage("msg_1", &usage));
    }
}
