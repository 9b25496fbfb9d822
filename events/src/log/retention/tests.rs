use super::*;
use crate::{
    AsOf, Budget, BudgetScope, Certainty, Day, Fact, Fees, Period, Project, ProjectBy, Projections, Sighting, Source, Span, Tokens, Usage,
    Usd, Zone,
    log::archive,
    query::{Calls, Dimension, Filter, Query, Recent, Reprice, RepriceAsOf, RepriceRow, SpendBy, SpendRow, View},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;

const DEVICE: &str = "d0";
const DAY: i64 = 86_400;
/// 2025-06-01T00:00:00Z: the calls of a test are made in the forty days before and after.
const MIDDLE: i64 = 1_748_736_000;
const NOW: Timestamp = Timestamp::from_secs(MIDDLE + 400 * DAY);

fn book() -> &'static Arc<PriceBook> {
    PriceBook::bundled()
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_secs(MIDDLE + day * DAY)
}

fn open(folder: &Path) -> (Log, Projections) {
    Log::open_folded(folder, DEVICE, book()).expect("the log opens")
}

fn call(id: &str, at: Timestamp) -> Usage {
    Usage {
        at,
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("claude-sonnet-4-5".into()),
        call_id: Some(id.into()),
        session: Some("s".into()),
        project: Some(Project { by: ProjectBy::Folder, name: "web".into() }),
        tokens: Tokens { input: 3, cache_read: 7_001, output: 11, ..Tokens::default() },
        certainty: Certainty::Reported,
        sources: Source::Log.into(),
        ..Usage::default()
    }
}

fn seen(usage: &Usage) -> Fact {
    let said = Said::from(&serde_json::json!({"n": usage.tokens.input, "id": usage.call_id}));
    Fact::Seen(Box::new(Sighting { usage: usage.clone().into(), said: Some(said) }))
}

fn append(log: &mut Log, usages: &[Usage]) -> usize {
    log.append(&mut usages.iter().map(seen).collect(), NOW).expect("appends").len()
}

/// A log of these calls, and its folder.
fn log_of(usages: &[Usage]) -> (TempDir, Log) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path()).0;
    for some in usages.chunks(3) {
        append(&mut log, some);
    }
    (folder, log)
}

fn fold_away(log: Log, before: Timestamp) -> Folding {
    let folded = log.folded(before, NOW, book()).expect("it comes to the same").expect("some calls are old");
    let folding = folded.folding();
    folded.replace(log).expect("takes its place");
    folding
}

/// Everything that is asked of sums, in several zones.
#[derive(Debug, PartialEq)]
struct Totals {
    spend: Vec<Vec<SpendRow>>,
    repriced: Vec<Vec<RepriceRow>>,
    rows: u64,
}

fn totals(log: &Log, projections: &Projections) -> Totals {
    use Dimension::{Client, Day as ByDay, Device, Model, Project, Provider};
    let (mut spend, mut repriced) = (Vec::new(), Vec::new());
    for zone in ["UTC", "Asia/Kathmandu", "America/St_Johns"] {
        let view = View { log: &log.snapshot(), projections, zone: zone.parse::<Zone>().expect("a zone"), engine: None, plans: &[] };
        for by in [vec![ByDay, Model, Project], vec![Device, Client, Provider]] {
            let question = SpendBy { by: by.clone(), ..SpendBy::default() };
            spend.push(question.answer(&view, NOW).expect("an answer").rows);
            for as_of in [RepriceAsOf::Call, RepriceAsOf::Today, RepriceAsOf::Instant(day(0)), RepriceAsOf::Instant(day(200))] {
                let question = Reprice { as_of, by: by.clone(), ..Reprice::default() };
                let mut rows = question.answer(&view, NOW).expect("an answer").rows;
                rows.sort_by(|one, other| one.names.cmp(&other.names));
                repriced.push(rows);
            }
        }
    }
    let view = View { log: &log.snapshot(), projections, zone: Zone::default(), engine: None, plans: &[] };
    let rows = Calls::default().answer(&view, NOW).expect("an answer").calls.iter().map(|row| row.calls).sum();
    Totals { spend, repriced, rows }
}

/// Repriced, the sum of some calls may differ from the sum of their prices by half a pico-dollar for each, and the one rounding of the sum.
fn assert_alike(one: &Totals, other: &Totals) {
    assert_eq!((&one.spend, one.rows), (&other.spend, other.rows));
    let alike = |one: Usd, other: Usd, calls: u64| (one - other).pico().unsigned_abs() <= u128::from(calls);
    for (one, other) in one.repriced.iter().flatten().zip(other.repriced.iter().flatten()) {
        let counts = |row: &RepriceRow| (row.names.clone(), row.calls, row.then_usd, row.unpriced_calls);
        assert_eq!(counts(one), counts(other));
        assert!(alike(one.now_usd, other.now_usd, one.calls), "{one:?} {other:?}");
    }
    assert_eq!(one.repriced.iter().map(Vec::len).collect::<Vec<_>>(), other.repriced.iter().map(Vec::len).collect::<Vec<_>>());
}

prop_compose! {
    fn usage()(
        id in 0..60u8, second in prop_oneof![0..4_000i64, 0..80_000i64],
        seller in prop::sample::select(vec![
            ("anthropic", "claude-sonnet-4-5"), ("anthropic", "claude-haiku-4-5"), ("deepseek", "deepseek-chat"), ("ollama", "llama3.2"),
            ("openai", "gpt-9"), ("openrouter", "a/b:free"), ("gemini", "gemini-2.5-pro"),
        ]),
        project in prop::option::of("[ab]"), device in prop::option::of("[ab]"), client in prop::option::of("[ab]"),
        tier in prop::option::of(prop::sample::select(vec!["batch", "flex", "odd"])), geo in prop::option::of(Just("us")),
        certainty in 0..4u8, input in prop_oneof![0..3u64, 100_000..300_000u64], cache_read in prop_oneof![8 => 0..200_000u64, 1 => any::<u64>()],
        output in 0..900u64, audio in prop_oneof![4 => Just(0u64), 1 => 1..9u64], reported in prop::option::of(-1..3i128),
        latency_ms in prop::option::of(0..1_700_000u32), web_search in prop_oneof![4 => Just(0u32), 1 => 1..3u32],
    ) -> Usage {
        Usage {
            // Sightings of one call disagree about its time by less than a day.
            at: day(i64::from(id) - 30).plus_micros(second * 1_000_001),
            provider: seller.0.into(),
            family: seller.0.into(),
            model: Some(seller.1.into()),
            call_id: Some(id.to_string()),
            session: Some("s".into()),
            branch: Some(id.to_string()),
            device: device.map(|name| format!("other-{name}")),
            client,
            tier: tier.map(str::to_owned),
            geo: geo.map(str::to_owned),
            project: project.map(|name| Project { by: ProjectBy::Folder, name }),
            tokens: Tokens { input, cache_read, output, output_audio: audio, ..Tokens::default() },
            fees: Fees::of_searches(web_search),
            certainty: [Certainty::Reported, Certainty::Unknown, Certainty::Estimated, Certainty::Partial][usize::from(certainty)],
            reported_cost: reported.map(|cost| Usd::from_pico(cost * 7_000_001)),
            latency_ms,
            sources: Source::Log.into(),
            ..Usage::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_total_outlasts_the_single_calls(usages in prop::collection::vec(usage(), 1..90), limits in prop::collection::vec(-29..33i64, 1..3)) {
        let (folder, mut log) = log_of(&usages);
        let mut latest = None;
        for limit in limits {
            let before = totals(&log, &log.fold_all(book()).expect("folds"));
            let Some(folded) = log.folded(day(limit), NOW, book()).expect("it comes to the same") else { continue };
            folded.replace(log).expect("takes its place");
            latest = latest.max(Some(day(limit)));
            let (new, projections) = open(folder.path());
            log = new;
            prop_assert_eq!((log.mended(), log.folded_before()), (&[] as &[String], latest));
            assert_alike(&before, &totals(&log, &projections));
        }
        // Everything is told again: what is known singly is merged as ever, what may stand in a summary is not counted again.
        let calls = |log: &Log| log.fold_all(book()).expect("folds").spend.calls();
        let before = calls(&log);
        for some in usages.chunks(7) {
            append(&mut log, some);
        }
        prop_assert_eq!(calls(&log), before);
        prop_assert_eq!(log.snapshot().verify(Seq(0), u64::MAX).findings, [] as [String; 0]);
    }
}

#[test]
fn a_call_that_is_young_stays_to_the_letter_and_an_old_one_is_a_sum() {
    let usages: Vec<Usage> = (0..40).map(|number| call(&number.to_string(), day(number - 20).plus_micros(number))).collect();
    let twice: Vec<Usage> = usages.iter().map(|usage| Usage { at: usage.at.plus_micros(5), ..usage.clone() }).collect();
    let (folder, log) = log_of(&[usages.clone(), twice].concat());
    let lines = |log: &Log| {
        let mut lines = Vec::new();
        log.each_line(|line| {
            let said = line.said().expect("told");
            lines.push((line.entry.key, line.entry.recorded_at, line.entry.event, said));
            Ok(())
        })
        .map(|()| lines)
    };
    let old = lines(&log).expect("reads");
    let folding = fold_away(log, day(3));
    assert_eq!((folding.calls, folding.summaries, folding.entries_kept), (22, 22, 18));
    let (log, _) = open(folder.path());
    let new = lines(&log).expect("reads");
    assert_eq!(new[0].2, Event::Folded { before: day(3) });
    assert_eq!(new[23..], old[22..], "from the day before the limit on");
    let Event::Summarised { summary } = &new[1].2 else { panic!("a summary: {:?}", new[1]) };
    assert_eq!((summary.calls, &summary.usage.call_id, &summary.usage.session), (1, &None, &None));
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("folded")), "{left:?}");
}

#[test]
fn what_is_told_again_is_refused_and_counted_and_the_margin_is_known() {
    let usages: Vec<Usage> = (-20..20).map(|number| call(&number.to_string(), day(number))).collect();
    let (folder, log) = log_of(&usages);
    fold_away(log, day(0));
    let (mut log, projections) = open(folder.path());
    assert_eq!((append(&mut log, &usages), log.refused()), (0, 19));
    // Another source says that a summed call was made a little later.
    let later = Usage { at: usages[18].at.plus_micros(3_600_000_000), ..usages[18].clone() };
    assert_eq!((append(&mut log, &[later]), log.refused()), (0, 20));
    // A single one is still seen better, and earlier than the limit.
    let better = Usage { at: day(-1), tokens: Tokens { output: 99, ..usages[20].tokens }, ..usages[20].clone() };
    assert_eq!((append(&mut log, &[better]), log.refused()), (1, 20));
    assert_eq!(append(&mut log, &[call("new", day(1))]), 1);
    let view = View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] };
    assert_eq!(Recent { limit: 200 }.answer(&view, NOW).expect("an answer").calls.len(), 20, "summaries are no calls");
}

#[test]
fn nothing_is_folded_where_nothing_is_old_and_a_second_folding_keeps_the_first() {
    let usages: Vec<Usage> = (0..30).map(|number| call(&number.to_string(), day(number))).collect();
    let (folder, log) = log_of(&usages);
    assert!(log.folded(day(0), NOW, book()).expect("reads").is_none());
    fold_away(log, day(11));
    let (log, _) = open(folder.path());
    assert!(log.folded(day(5), NOW, book()).expect("reads").is_none());
    let folding = fold_away(log, day(21));
    assert_eq!((folding.calls, folding.summaries, folding.entries_kept), (10, 10, 20));
    let (log, projections) = open(folder.path());
    assert_eq!((log.last(), projections.spend.calls(), log.folded_before()), (Seq(31), 30, Some(day(21))));
}

#[test]
fn one_that_is_thrown_away_changes_nothing() {
    let usages: Vec<Usage> = (0..30).map(|number| call(&number.to_string(), day(number))).collect();
    let (folder, log) = log_of(&usages);
    let journal = |folder: &Path| -> Vec<_> {
        let files = fs::read_dir(folder.join("journal").join(DEVICE)).expect("a journal");
        files.map(|file| fs::read(file.expect("a file").path()).expect("read")).collect()
    };
    let before = journal(folder.path());
    log.folded(day(11), NOW, book()).expect("reads").expect("some are old").discard().expect("thrown away");
    drop(log);
    assert_eq!(journal(folder.path()), before);
    assert_eq!(next_step(folder.path()), None);
    assert_eq!(open(folder.path()).0.last(), Seq(30));
}

fn next_step(folder: &Path) -> Option<swap::Step> {
    swap::next_step(folder).expect("it can be read")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).expect("copied");
        }
    }
}

#[test]
fn a_crash_at_any_instant_leaves_the_old_log_or_the_new_one() {
    let usages: Vec<Usage> = (0..30).map(|number| call(&number.to_string(), day(number))).collect();
    let (folder, log) = log_of(&usages);
    let old = totals(&log, &log.fold_all(book()).expect("folds"));
    let folded = log.folded(day(11), NOW, book()).expect("reads").expect("some are old");
    drop((folded, log));
    // Before the first rename the old log stays.
    let crashed = tempfile::tempdir().expect("a folder");
    copy(folder.path(), crashed.path());
    let (log, projections) = open(crashed.path());
    assert_eq!((log.last(), log.folded_before(), &totals(&log, &projections)), (Seq(30), None, &old));
    // From it on the new one comes, after however many steps.
    let mut steps = 0;
    swap::commit(folder.path()).expect("renamed");
    loop {
        for torn in [false, true] {
            let crashed = tempfile::tempdir().expect("a folder");
            copy(folder.path(), crashed.path());
            if torn && let Some(swap::Step::Remove(path)) = next_step(crashed.path()) {
                // Half of what was to be removed is.
                let inside = fs::read_dir(&path).ok().and_then(|mut files| files.next()).map(|file| file.expect("a file").path());
                if let Some(inside) = inside {
                    if inside.is_dir() { fs::remove_dir_all(inside) } else { fs::remove_file(inside) }.expect("removed");
                }
            }
            let (log, projections) = open(crashed.path());
            assert_eq!((log.folded_before(), log.last()), (Some(day(11)), Seq(31)), "after {steps} steps");
            assert_alike(&old, &totals(&log, &projections));
            assert_eq!((projections.spend.calls(), next_step(crashed.path())), (30, None), "after {steps} steps");
            assert_eq!(log.snapshot().verify(Seq(0), u64::MAX).findings, [] as [String; 0]);
        }
        let Some(step) = next_step(folder.path()) else { break };
        step.take(folder.path()).expect("done");
        steps += 1;
    }
    // Journal aside and in place, three parts out and in, and what is left of both.
    assert!(steps >= 9, "{steps} steps");
}

#[test]
fn budgets_and_what_was_told_of_them_stay() {
    let (folder, mut log) = log_of(&[call("a", day(-9)), call("b", day(9))]);
    let limit = Usd::from_pico(1);
    let budget = Budget { name: "m".into(), period: Period::Month, limit, scope: BudgetScope::default(), alert_percents: vec![80] };
    log.append(&mut vec![Fact::Event(Event::BudgetSet { budget })], NOW).expect("appends");
    let alerts = log.fold_all(book()).expect("folds").alerts_due(day(9), Zone::default(), DEVICE);
    assert_eq!(alerts.len(), 1);
    log.append(&mut alerts.into_iter().map(|alert| Fact::Event(Event::AlertRaised { alert })).collect(), NOW).expect("appends");
    fold_away(log, day(0));
    let (_, projections) = open(folder.path());
    assert_eq!(projections.alerts_due(day(9), Zone::default(), DEVICE), []);
}

#[test]
fn a_sum_is_repriced_by_the_band_of_its_calls_and_named_in_the_export() {
    // Two calls of 150,000 tokens are dearer as one of 300,000.
    let long = |id: &str, second: i64| Usage {
        model: Some("claude-sonnet-4-5".into()),
        tokens: Tokens { input: 150_000, output: 10, ..Tokens::default() },
        ..call(id, day(-30).plus_micros(second * 1_000_000))
    };
    let (folder, log) = log_of(&[long("a", 7), long("b", 5)]);
    let old = totals(&log, &log.fold_all(book()).expect("folds"));
    let folding = fold_away(log, day(0));
    assert_eq!((folding.calls, folding.summaries), (2, 1));
    let (log, projections) = open(folder.path());
    assert_eq!(totals(&log, &projections), old);
    let view = View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] };
    let first: Day = "2025-05-02".parse().expect("a day");
    let rows = Calls { first: Some(first), last: Some(first), ..Calls::default() }.answer(&view, NOW).expect("an answer").calls;
    let [row] = &rows[..] else { panic!("one row: {rows:?}") };
    assert_eq!((row.calls, row.summary, row.input, &row.call_id, row.latency_ms), (2, true, 300_000, &None, None));
    assert_eq!(row.at, day(-30).plus_micros(5_000_000));
    let each = book().cost_of(&long("a", 0), AsOf::Call).usd().expect("a price");
    assert_eq!(row.cost_usd, Some(each + each));
}

#[test]
fn an_archived_log_is_told_to_a_folded_one_in_vain() {
    let usages: Vec<Usage> = (-20..20).map(|number| call(&number.to_string(), day(number))).collect();
    let (folder, log) = log_of(&usages);
    let kept = tempfile::tempdir().expect("a folder");
    super::super::backup(folder.path(), kept.path(), &|| {}).expect("copied");
    fold_away(log, day(0));
    let (mut log, _) = open(folder.path());
    let again = super::super::JournalReader::open(&kept.path().join("journal").join(DEVICE)).expect("opens");
    let mut facts: Vec<Fact> = again
        .filter_map(|line| match line.expect("a line") {
            (Entry { event: Event::Used { usage }, .. }, said) => Some(Fact::Seen(Box::new(Sighting { usage, said }))),
            _ => None,
        })
        .collect();
    assert_eq!(log.append(&mut facts, NOW).expect("appends").len(), 0);
    drop(log);
    archive(folder.path(), &kept.path().join("log")).expect("a folded log is archived as any other");
}

#[test]
fn what_no_number_can_hold_is_two_summaries() {
    let huge = |id: &str| Usage { tokens: Tokens { output: u64::MAX / 2 + 1, ..Tokens::default() }, ..call(id, day(-30)) };
    let (folder, log) = log_of(&[huge("a"), huge("b"), huge("c")]);
    let folding = fold_away(log, day(0));
    assert_eq!((folding.calls, folding.summaries), (3, 3));
    let everything: BTreeMap<Seq, u64> = open(folder.path())
        .0
        .snapshot()
        .replay()
        .filter_map(|entry| match entry.expect("an entry") {
            Entry { seq, event: Event::Summarised { summary }, .. } => Some((seq, summary.calls)),
            _ => None,
        })
        .collect();
    assert_eq!(everything.len(), 3);
    let span = Span { from: day(-31), until: day(-29) };
    let filter = Filter::default();
    let projections = open(folder.path()).1;
    let scope = crate::projections::Scope { filter: &filter, home: DEVICE, projects: &projections.projects };
    assert_eq!(projections.spend.total(span, scope).calls, 3);
}

#[test]
fn a_log_of_thousands_of_summaries_is_read_from_segments() {
    let usages: Vec<Usage> = (0..5_000).map(|hour| call(&hour.to_string(), day(-300).plus_micros(hour * 3_600_000_000))).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = open(folder.path()).0;
    for usages in usages.chunks(BATCH_FACTS_MAX) {
        append(&mut log, usages);
    }
    let old = totals(&log, &log.fold_all(book()).expect("folds"));
    // Four thousand hours, and the day that is kept.
    let before = usages[4_024].at;
    let folding = fold_away(log, before);
    assert_eq!((folding.calls, folding.summaries, folding.entries_kept), (4_000, 4_000, 1_000));
    let (mut log, projections) = open(folder.path());
    assert!(log.store.now().segments() > 3, "sealed");
    assert_eq!((totals(&log, &projections), log.folded_before()), (old, Some(before)));
    assert_eq!(log.snapshot().verify(Seq(0), u64::MAX).findings, [] as [String; 0]);
    assert_eq!((append(&mut log, &usages[3_000..4_500]), log.refused()), (0, 1_000));
    log.rebuild().expect("rebuilds");
    assert_eq!(log.fold_all(book()).expect("folds").spend.calls(), 5_000);
}

#[test]
fn what_was_matched_stays_matched_or_is_summed_once() {
    let row = |id: &str, at: Timestamp, output| Usage {
        call_id: Some(format!("opencode:{id}")),
        client: Some("opencode".into()),
        tokens: Tokens { input: 3, output, ..Tokens::default() },
        ..call("", at)
    };
    let carried = |id: &str, row: &Usage| Usage {
        call_id: Some(id.into()),
        carried: Some(crate::CallUuid(row.tokens.output.into())),
        sources: Source::Proxy.into(),
        ..row.clone()
    };
    let rows = [row("old", day(-30), 100), row("young", day(30), 200), row("before", day(-31), 300), row("after", day(31), 400)];
    let calls: Vec<Usage> = ["a", "b", "c", "d"].iter().zip(&rows).map(|(id, row)| carried(id, row)).collect();
    // Two rows come before their calls, and two behind them.
    let usages: Vec<Usage> = rows[..2].iter().chain(&calls).chain(&rows[2..]).cloned().collect();
    let (folder, log) = log_of(&usages);
    let before = totals(&log, &log.fold_all(book()).expect("folds"));
    assert_eq!(log.fold_all(book()).expect("folds").spend.calls(), 4);
    let folded = log.folded(day(0), NOW, book()).expect("folds").expect("something is old");
    assert_eq!(folded.folding().calls, 2);
    folded.replace(log).expect("takes its place");
    let (mut log, projections) = open(folder.path());
    assert_eq!(totals(&log, &projections), before);
    assert_eq!(append(&mut log, &usages), 0, "told again, all of it is known or refused");
    assert_eq!(log.refused(), 4);
}
