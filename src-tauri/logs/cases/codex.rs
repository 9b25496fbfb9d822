//! Codex's cases: totals, forks, lineages, records, pages, packed rollouts, tiers.

use super::*;

#[test]
fn case_12_a_repeated_snapshot_of_codex_is_no_call() {
    let house =
        rollout(&[meta("t", ""), turn("gpt-5"), count(AT, 10, 10, 1), count(AT, 10, 10, 1), count(AT, 5, 15, 2), count(AT, 5, 15, 2)]);
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
    assert_eq!(rollout(&[meta("t", ""), rows.concat()]).sums(), [1520, 0, 0, 5]);
}

#[test]
fn case_15_a_record_and_its_row_of_totals_are_one_call() {
    let lines = [meta("t", ""), record("resp_1", 10), count(AT, 10, 10, 1), count(AT, 6, 16, 2), record("resp_2", 5), count(AT, 5, 21, 3)];
    let house = rollout(&lines);
    assert_eq!((house.sums(), house.ledger.len()), ([21, 0, 0, 3], 3), "{:?}", house.ledger.keys());
}

#[test]
fn case_16_a_compaction_that_the_totals_leave_out_counts() {
    let compaction = r#"{"timestamp":"2026-01-12T09:00:02Z","type":"compacted","payload":{"compaction_response_id":"resp_c","latest_token_usage_record":{"response_id":"resp_c"}}}"#;
    let lines =
        [meta("t", ""), record("resp_1", 10), count(AT, 10, 10, 1), record("resp_c", 700), format!("{compaction}\n"), count(AT, 10, 10, 1)];
    assert_eq!(rollout(&lines).sums(), [710, 0, 0, 2]);
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
    let house = rollout(&lines);
    let tiers: Vec<_> = house.ledger.values().map(|usage| usage.tier.as_deref()).collect();
    assert_eq!(tiers, [None, Some("priority"), None]);
}

#[test]
fn case_20_a_session_over_midnight_and_months_end_keeps_each_calls_own_time() {
    let times = ["2026-03-31T23:59:59.999Z", "2026-04-01T00:00:00Z", "2026-10-25T01:30:00+02:00", "2026-10-25T01:30:00+01:00"];
    let rows = times.iter().zip(1..).map(|(at, n)| count(at, 1, n, n));
    let house = rollout(&std::iter::once(meta("t", "")).chain(rows).collect::<Vec<_>>());
    let at: Vec<_> = house.ledger.values().map(|usage| Some(usage.at)).collect();
    assert_eq!(at, times.map(Timestamp::parse));
}
