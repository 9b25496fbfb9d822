use crate::{
    CallUuid, Certainty, Event, Fact, Log, MatchedBy, PriceBook, Project, ProjectBy, Projections, RequestKey, Seq, Sighting, Source, Span,
    Timestamp, Tokens, Usage, Usd, Zone,
    query::{CallRow, Calls, Query, Recent, SpendBy, View},
};
use proptest::prelude::*;
use std::{path::Path, slice::from_ref};
use tempfile::TempDir;

const START_SECS: i64 = 1_795_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(START_SECS + second)
}

fn book() -> &'static std::sync::Arc<PriceBook> {
    PriceBook::bundled()
}

/// As opencode writes it: no provider's id, no life of a cache, its own guess of the cost.
fn row(id: &str, second: i64, output: u64) -> Usage {
    Usage {
        at: at(second),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("claude-sonnet-4-5".into()),
        call_id: Some(format!("opencode:{id}")),
        client: Some("opencode".into()),
        project: Some(Project { by: ProjectBy::Folder, name: "web".into() }),
        session: Some("ses".into()),
        tokens: Tokens { input: 1_217, cache_read: 15_023, cache_write_5m: 2_570, output, ..Tokens::default() },
        certainty: Certainty::Reported,
        reported_cost: Some(Usd::from_pico(7)),
        sources: Source::Log.into(),
        ..Usage::default()
    }
}

/// As the proxy saw the same call.
fn carried(id: &str, second: i64, output: u64) -> Usage {
    Usage {
        model: Some("claude-sonnet-4-5-20250929".into()),
        request_model: Some("claude-sonnet-4-5".into()),
        call_id: Some(format!("msg_{id}")),
        carried: Some(CallUuid(u128::from_be_bytes(RequestKey::of("", id).0))),
        project: None,
        tokens: Tokens { cache_write_5m: 2_056, cache_write_1h: 514, reasoning: 9, ..row(id, second, output).tokens },
        reported_cost: None,
        latency_ms: Some(4_000),
        status: Some(200),
        sources: Source::Proxy.into(),
        ..row(id, second, output)
    }
}

fn open(folder: &Path) -> Log {
    Log::open(folder, "d0").expect("the log opens")
}

fn append(log: &mut Log, usages: &[Usage]) -> usize {
    let mut facts = usages.iter().map(|usage| Fact::Seen(Box::new(Sighting::from(usage.clone())))).collect();
    log.append(&mut facts, at(0)).expect("appends").len()
}

fn ask<Q: Query>(log: &Log, query: &Q) -> Q::Answer {
    let projections = log.fold_all(book()).expect("folds");
    query
        .answer(&View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] }, at(10_000))
        .expect("answers")
}

/// The calls, told in three ways that must agree.
fn calls(log: &Log) -> Vec<CallRow> {
    let rows = ask(log, &Calls::default()).calls;
    let spend = ask(log, &SpendBy { by: vec![crate::query::Dimension::Model], ..SpendBy::default() }).total;
    assert_eq!(spend.calls, rows.len() as u64);
    assert_eq!(spend.tokens_out, rows.iter().map(|row| row.output).sum::<u64>());
    assert_eq!(spend.usd, rows.iter().filter_map(|row| row.cost_usd).sum());
    if rows.len() <= crate::RECENT_CALLS_MAX {
        let mut recent = ask(log, &Recent { limit: 1_000 }).calls;
        recent.sort_by_key(|row| (row.at, row.key));
        assert_eq!(recent, rows);
    }
    let mut one_by_one = Projections::new(book().clone());
    log.snapshot().replay().for_each(|entry| one_by_one.apply(&entry.expect("an entry")));
    assert!(one_by_one.totals_equal(&log.fold_all(book()).expect("folds")));
    rows
}

fn log_of(batches: &[&[Usage]]) -> (TempDir, Log) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path());
    batches.iter().for_each(|batch| assert!(append(&mut log, batch) > 0));
    (folder, log)
}

fn matched(log: &Log) -> Vec<MatchedBy> {
    let matched = |entry: crate::Entry| if let Event::Matched { by, .. } = entry.event { Some(by) } else { None };
    log.snapshot().replay().filter_map(|entry| matched(entry.expect("an entry"))).collect()
}

#[test]
fn a_row_and_the_call_that_it_tells_of_are_one_whichever_comes_first() {
    let (row, carried) = (row("1", 1, 317), carried("1", 0, 317));
    let orders: [&[&[Usage]]; 4] = [
        &[from_ref(&row), from_ref(&carried)],
        &[from_ref(&carried), from_ref(&row)],
        &[&[row.clone(), carried.clone()]],
        &[&[carried.clone(), row.clone()]],
    ];
    let mut told = Vec::new();
    for order in orders {
        let (folder, mut log) = log_of(order);
        let [call] = calls(&log).try_into().expect("one call");
        assert_eq!((call.key, call.call_id.as_deref()), (RequestKey::of("anthropic", "msg_1"), Some("msg_1")));
        assert_eq!((call.cache_write_5m, call.cache_write_1h, call.reasoning), (2_056, 514, 9), "the better count");
        assert_eq!((call.project.as_deref(), call.sources.len()), (Some("web"), 2), "and what only the log knows");
        assert_eq!(call.reported_cost_usd, None, "the client's guess is no bill");
        assert_eq!(matched(&log), [MatchedBy::Session]);
        told.push(call);
        for again in [&row, &carried] {
            assert_eq!(append(&mut log, from_ref(again)), 0, "told again");
        }
        assert_eq!(append(&mut log, &[carried.clone(), row.clone(), row.clone()]), 0, "in one batch");
        drop(log);
        let mut log = open(folder.path());
        assert_eq!(append(&mut log, &[row.clone(), carried.clone()]), 0, "after a restart");
        drop(log);
        for copy in ["store", "keys", "checkpoint"] {
            let _ = std::fs::remove_dir_all(folder.path().join(copy));
        }
        let mut log = open(folder.path());
        assert_eq!(append(&mut log, &[row.clone(), carried.clone()]), 0, "with all copies made again");
        assert_eq!(calls(&log).len(), 1);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "the order leaves no trace: {told:#?}");
}

#[test]
fn what_differs_in_more_than_a_client_leaves_out_is_two_calls() {
    let with = |change: fn(&mut Usage)| {
        let mut usage = carried("1", 0, 317);
        change(&mut usage);
        let (_folder, log) = log_of(&[&[row("1", 1, 317)], &[usage]]);
        calls(&log).len()
    };
    assert_eq!(with(|_| ()), 1);
    assert_eq!(with(|usage| usage.request_model = None), 2, "another model");
    assert_eq!(with(|usage| usage.tokens.output += 1), 2, "a token more");
    assert_eq!(with(|usage| usage.tokens.cache_read -= 1), 2, "a token less");
    assert_eq!(with(|usage| usage.session = Some("other".into())), 2, "another session");
    assert_eq!(with(|usage| usage.client = Some("claude-code".into())), 2, "another program");
    assert_eq!(with(|usage| usage.client = Some("anthropic-node".into())), 1, "the library through which it calls");
    assert_eq!(with(|usage| usage.at = at(-3_600)), 1, "the session is enough for an hour of trying");
    assert_eq!(with(|usage| usage.certainty = Certainty::Estimated), 2, "what we counted ourselves");
    assert_eq!(with(|usage| usage.sources = Source::Log.into()), 2, "another row");
    let without_session = |second| {
        let usage = Usage { session: None, ..carried("1", second, 317) };
        let (_folder, log) = log_of(&[&[row("1", 1, 317)], &[usage]]);
        (calls(&log).len(), matched(&log))
    };
    assert_eq!(without_session(0), (1, vec![MatchedBy::Time]));
    assert_eq!(without_session(-300), (1, vec![MatchedBy::Time]), "the end of the call counts");
    assert_eq!(without_session(-310), (2, vec![]));
    assert_eq!(without_session(310), (2, vec![]));
}

#[test]
fn a_client_that_knows_of_no_writes_tells_them_as_input() {
    let all_input = |usage: Usage| {
        let Tokens { input, cache_write_5m, .. } = usage.tokens;
        Usage { tokens: Tokens { input: input + cache_write_5m, cache_write_5m: 0, ..usage.tokens }, ..usage }
    };
    let (row, carried) = (all_input(row("1", 1, 317)), carried("1", 0, 317));
    for order in [[&row, &carried], [&carried, &row]] {
        let (_folder, log) = log_of(&[from_ref(order[0]), from_ref(order[1])]);
        let [call] = calls(&log).try_into().expect("one call");
        assert_eq!((call.input, call.cache_write_5m, call.cache_write_1h), (1_217, 2_056, 514), "as the proxy saw it");
    }
}

#[test]
fn each_row_takes_one_call_and_the_nearest() {
    let rows = [row("1", 1, 5), row("2", 101, 5), row("3", 201, 5)];
    let (_folder, mut log) = log_of(&[&rows, &[carried("b", 100, 5), carried("a", 0, 5)]]);
    let keys = |log: &Log| calls(log).into_iter().map(|row| row.call_id.expect("an id")).collect::<Vec<_>>();
    assert_eq!(keys(&log), ["msg_a", "msg_b", "opencode:3"]);
    append(&mut log, &[carried("c", 200, 5), carried("d", 202, 5)]);
    assert_eq!(keys(&log), ["msg_a", "msg_b", "msg_c", "msg_d"], "the fourth has no row");
}

#[test]
fn a_row_that_grows_is_matched_when_it_is_whole() {
    let (_folder, mut log) = log_of(&[&[carried("1", 0, 317)], &[row("1", 1, 5)]]);
    assert_eq!(calls(&log).len(), 2);
    append(&mut log, &[row("1", 1, 317)]);
    assert_eq!(calls(&log).len(), 1);
    assert_eq!(append(&mut log, &[row("1", 1, 5), row("1", 1, 317)]), 0);
    let (_folder, mut log) = log_of(&[&[row("1", 1, 5)], &[row("1", 1, 317), carried("1", 0, 317)]]);
    assert_eq!((calls(&log).len(), append(&mut log, &[row("1", 1, 317)])), (1, 0));
}

#[test]
fn a_match_that_another_log_made_is_taken_over_once() {
    // Too far apart to be found here.
    let (row, carried) = (row("1", 1, 317), Usage { session: None, ..carried("1", -4_000, 317) });
    let (key, call) = (row.key().expect("a key"), carried.key().expect("a key"));
    let (_folder, mut log) = log_of(&[from_ref(&row), from_ref(&carried)]);
    assert_eq!(calls(&log).len(), 2);
    let fact = || Fact::Matched { key, call, by: MatchedBy::Time };
    assert_eq!(log.append(&mut vec![fact(), fact()], at(0)).expect("appends").len(), 2);
    assert_eq!(calls(&log).len(), 1);
    assert_eq!(log.append(&mut vec![fact()], at(0)).expect("appends").len() + append(&mut log, &[row, carried.clone()]), 0);
    // Of a row that never stood alone, the id is all that is taken over.
    let (_folder, mut log) = log_of(&[&[carried]]);
    assert_eq!(log.append(&mut vec![fact()], at(0)).expect("appends").len(), 1);
    assert_eq!(calls(&log).len(), 1);
}

#[test]
fn a_match_stands_in_the_frame_of_what_it_belongs_to() {
    let rows: Vec<Usage> = (0..1_001).map(|number| row(&number.to_string(), number, number as u64 + 1)).collect();
    let calls: Vec<Usage> = (0..1_001).map(|number| carried(&number.to_string(), number, number as u64 + 1)).collect();
    let (folder, log) = log_of(&[&rows, &[&calls[..], &[carried("last", 0, 7_777)]].concat()]);
    assert_eq!((log.last(), matched(&log).len()), (Seq(3_004), 1_001));
    drop(log);
    // The second append is of two frames; whatever of its end is missing, a row and its call are both there or neither is.
    let month = std::fs::read_dir(folder.path().join("journal/d0")).expect("a journal").next().expect("a month").expect("a file").path();
    let bytes = std::fs::read(&month).expect("read");
    for keep in [bytes.len() - 40, bytes.len() * 3 / 4, bytes.len() * 2 / 3] {
        for copy in ["store", "keys"] {
            let _ = std::fs::remove_dir_all(folder.path().join(copy));
        }
        std::fs::write(&month, &bytes[..keep]).expect("torn");
        let log = open(folder.path());
        assert!(log.last() < Seq(3_004), "it is torn");
        let spend = ask(&log, &SpendBy { by: vec![crate::query::Dimension::Model], ..SpendBy::default() }).total;
        assert_eq!(spend.calls, 1_001, "at {keep}");
    }
}

/// Some calls with what is seen of each, in any order.
fn sightings() -> impl Strategy<Value = (usize, Vec<(Usage, Usage)>, Vec<usize>)> {
    let one = (0..3u8, 0..4i64, any::<bool>(), any::<bool>());
    (prop::collection::vec(one, 1..12), 1..6usize).prop_flat_map(|(calls, cut)| {
        let pairs: Vec<(Usage, Usage)> = (0..)
            .zip(&calls)
            .map(|(number, (_, second, has_session, is_library))| {
                let (id, output) = (number.to_string(), 100 + number as u64);
                let session = has_session.then(|| "ses".to_owned());
                let client = Some(if *is_library { "anthropic-node" } else { "opencode" }.to_owned());
                (row(&id, number * 40 + second, output), Usage { session, client, ..carried(&id, number * 40, output) })
            })
            .collect();
        // Which sightings there are: the row, the call, or both.
        let there: Vec<usize> = (0..)
            .zip(&calls)
            .flat_map(|(number, (which, ..))| match which {
                0 => vec![2 * number],
                1 => vec![2 * number + 1],
                _ => vec![2 * number, 2 * number + 1, 2 * number],
            })
            .collect();
        (Just(cut), Just(pairs), Just(there).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn in_any_order_and_any_batches_it_comes_to_the_same((cut, pairs, there) in sightings(), reopen in any::<bool>()) {
        let of = |place: &usize| { let (row, carried) = &pairs[place / 2]; if place.is_multiple_of(2) { row.clone() } else { carried.clone() } };
        let mut sorted = there.clone();
        sorted.sort_unstable();
        let straight = log_of(&[&sorted.iter().map(of).collect::<Vec<_>>()]);
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = open(folder.path());
        for batch in there.chunks(cut) {
            if reopen {
                drop(log);
                log = open(folder.path());
            }
            append(&mut log, &batch.iter().map(of).collect::<Vec<_>>());
        }
        let expected: std::collections::BTreeSet<usize> = there.iter().map(|place| place / 2).collect();
        let found = calls(&log);
        prop_assert_eq!(found.len(), expected.len());
        prop_assert_eq!(&found, &calls(&straight.1));
        let last = log.last();
        append(&mut log, &there.iter().map(of).collect::<Vec<_>>());
        prop_assert_eq!(log.last(), last, "told again");
        prop_assert!(log.snapshot().fold_columns(Span::ALWAYS, &mut |_| ()).is_ok());
    }
}
