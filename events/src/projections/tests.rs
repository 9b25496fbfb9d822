use super::*;
use crate::{
    Alert, Budget, BudgetScope, Certainty, Period, Project, ProjectBy, RequestKey, Span, Tokens, Usd, Zone, log::with_columns,
    query::Filter,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOME: &str = "home";

/// The cells of a fold by their names, and all else that is asked of it.
#[derive(Debug, PartialEq)]
struct Told {
    cells: BTreeMap<(Timestamp, String), Spend>,
    up_to: Seq,
    calls: u64,
    first_at: Option<Timestamp>,
    last_call_at: Option<Timestamp>,
    recent: Vec<(Timestamp, Seq)>,
    budgets: BudgetFold,
}

fn told(projections: &Projections) -> Told {
    let everything = Filter::default();
    let mut cells: BTreeMap<_, Spend> = BTreeMap::new();
    projections.spend.each(Span::ALWAYS, Scope { filter: &everything, home: HOME, projects: &projections.projects }, |at, label, spend| {
        let names = format!("{:?}", projections.spend.names(label));
        cells.entry((at, names)).or_default().add(spend);
    });
    cells.retain(|_, spend| *spend != Spend::default());
    Told {
        cells,
        up_to: projections.up_to(),
        calls: projections.spend.calls(),
        first_at: projections.spend.first_at(),
        last_call_at: projections.last_call_at(),
        recent: projections.recent.newest(),
        budgets: BudgetFold::clone(&projections.budgets),
    }
}

fn new() -> Projections {
    Projections::new(PriceBook::bundled().clone())
}

prop_compose! {
    fn usage()(
        at in prop_oneof![8 => (0..40i64).prop_map(|days| 1_780_000_000_000_000 + days * 86_400_000_000), 1 => any::<i64>()], quarter in 0..3i64,
        model in prop::option::of(prop::sample::select(vec!["claude-opus-5-5", "claude-haiku-5-5", "gpt-9"])),
        project in prop::option::of("[ab]"), device in prop::option::of("[ab]"), branch in prop::option::of("[ab]"),
        certainty in 0..4u8, input in 0..200_000u64, cache_read in prop_oneof![0..200_000u64, any::<u64>()], output in 0..900u64,
        reported in prop::option::of(-1..9i128), latency_ms in prop::option::of(any::<u32>()), web_search in 0..2u32,
    ) -> Usage {
        Usage {
            at: Timestamp::from_micros(at).plus_micros(quarter * 900_000_000),
            provider: "anthropic".into(),
            family: "anthropic".into(),
            model: model.map(str::to_owned),
            device,
            branch,
            project: project.map(|name| Project { by: ProjectBy::Folder, name }),
            tokens: Tokens { input, cache_read, output, ..Tokens::default() },
            fees: crate::Fees::of_searches(web_search),
            certainty: [Certainty::Reported, Certainty::Unknown, Certainty::Estimated, Certainty::Partial][usize::from(certainty)],
            reported_cost: reported.map(Usd::from_pico),
            latency_ms,
            ..Usage::default()
        }
    }
}

fn budget(name: &str) -> Budget {
    let limit = Usd::from_pico(1_000_000_000_000);
    Budget { name: name.into(), period: Period::Day, limit, scope: BudgetScope::default(), alert_percents: vec![80, 100] }
}

fn alert(name: &str) -> Alert {
    let period_start = Zone::default().day(Timestamp::default());
    Alert { budget: name.into(), period_start, percent: 80, spent: Usd::ZERO, limit: Usd::from_pico(5) }
}

/// A log as [`Log`](crate::Log) writes one: every call begins with `Used`, and `before` is what was said last.
fn log(facts: Vec<(u8, Usage)>) -> Vec<Entry> {
    let mut calls: BTreeMap<u8, Usage> = BTreeMap::new();
    let event = |(number, usage): (u8, Usage)| match number {
        0 => Event::BudgetSet { budget: budget(&usage.provider) },
        1 => Event::BudgetRemoved { name: usage.provider },
        2 => Event::AlertRaised { alert: alert(&usage.provider) },
        call => match calls.insert(call, usage.clone()) {
            None => Event::Used { usage: Box::new(usage) },
            Some(before) => Event::Restated { before: Box::new(before), after: Box::new(usage) },
        },
    };
    let entry = |(seq, event)| Entry { seq: Seq(seq), recorded_at: Timestamp::default(), key: Some(RequestKey([0; 16])), event };
    (1..).zip(facts.into_iter().map(event).collect::<Vec<_>>()).map(entry).collect()
}

fn a_log() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec((0..12u8, usage()), 0..60).prop_map(log)
}

fn fold(entries: &[Entry]) -> Projections {
    let mut projections = new();
    entries.iter().for_each(|entry| projections.apply(entry));
    projections
}

proptest! {
    #[test]
    fn any_way_through_a_log_folds_to_the_same(log in a_log(), steps in prop::collection::vec((1..20usize, 0..5u8), 1..20)) {
        let mut projections = new();
        let mut rest = &log[..];
        for (length, way) in steps {
            let (now, later) = rest.split_at(length.min(rest.len()));
            rest = later;
            match way {
                0 | 1 => with_columns(now, |columns| projections.apply_columns(columns)),
                2 => now.iter().for_each(|entry| projections.apply(entry)),
                3 => {
                    now.iter().for_each(|entry| projections.apply(entry));
                    let bytes = projections.to_checkpoint();
                    projections = Projections::from_checkpoint(PriceBook::bundled().clone(), &bytes[..]).expect("a checkpoint is read back");
                }
                _ => {
                    projections.settle();
                    with_columns(now, |columns| projections.apply_columns(columns));
                }
            }
        }
        with_columns(rest, |columns| if columns.entries > 0 { projections.apply_columns(columns) });
        prop_assert_eq!(told(&projections), told(&fold(&log)));
    }

    #[test]
    fn two_folds_of_one_log_add_up_to_one(log in a_log(), length in 1..9usize, settled in any::<bool>()) {
        let calls: Vec<Entry> = log.into_iter().filter(|entry| matches!(entry.event, Event::Used { .. } | Event::Restated { .. })).collect();
        let (mut even, mut odd) = (new(), new());
        for (nth, chunk) in calls.chunks(length).enumerate() {
            let half = if nth % 2 == 0 { &mut even } else { &mut odd };
            chunk.iter().for_each(|entry| half.apply(entry));
        }
        if settled {
            odd.settle();
        }
        even.absorb(odd);
        prop_assert_eq!(told(&even), told(&fold(&calls)));
    }

    #[test]
    fn a_damaged_checkpoint_is_none(log in a_log(), at in any::<prop::sample::Index>(), flip in 1..=u8::MAX, cut in any::<prop::sample::Index>()) {
        let book = PriceBook::bundled();
        let mut projections = fold(&log);
        let bytes = projections.to_checkpoint();
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= flip;
        // The few bits of a frame's head that change nothing are no damage.
        if let Some(read) = Projections::from_checkpoint(book.clone(), &flipped[..]) {
            prop_assert_eq!(told(&read), told(&projections));
        }
        prop_assert!(Projections::from_checkpoint(book.clone(), &bytes[..cut.index(bytes.len())]).is_none());
        // Damage that a checksum was made of.
        let mut inside = zstd::decode_all(&bytes[..]).expect("a frame");
        let place = at.index(inside.len());
        inside[place] ^= flip;
        let forged = zstd::encode_all(&inside[..], 1).expect("a frame");
        if let Some(mut read) = Projections::from_checkpoint(book.clone(), &forged[..]) {
            told(&read);
            log.iter().for_each(|entry| read.apply(entry));
            read.settle();
        }
    }

    #[test]
    fn no_bytes_make_a_checkpoint_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let book = PriceBook::bundled();
        prop_assert!(Projections::from_checkpoint(book.clone(), &bytes[..]).is_none());
        let frame = zstd::encode_all(&bytes[..], 1).expect("a frame");
        prop_assert!(Projections::from_checkpoint(book.clone(), &frame[..]).is_none());
    }
}

#[test]
fn a_checkpoint_under_another_book_is_none() {
    let mut text = PriceBook::to_json(&[], &PriceBook::bundled().rows().take(1).cloned().collect::<Vec<_>>());
    text.push('\n');
    let bytes = new().to_checkpoint();
    let other = PriceBook::from_json(text.as_bytes());
    if let Ok(other) = other {
        assert!(Projections::from_checkpoint(Arc::new(other), &bytes[..]).is_none());
    }
    assert!(Projections::from_checkpoint(PriceBook::bundled().clone(), &bytes[..]).is_some());
}

#[test]
fn the_last_calls_are_those_that_began_last() {
    let mut recent = RecentFold::default();
    for number in 0..5_000u64 {
        // A walk that comes to every number once.
        let number = number * 1_777 % 5_000;
        recent.insert(Timestamp::from_secs(number as i64), Seq(number));
    }
    let newest: Vec<u64> = recent.newest().into_iter().map(|(_, seq)| seq.0).collect();
    assert_eq!(newest, (4_488..5_000).rev().collect::<Vec<_>>());
}

#[test]
fn a_call_that_names_no_device_was_made_at_home() {
    let call = |device: Option<&str>, output| Usage {
        at: Timestamp::from_secs(1_790_000_000),
        provider: "anthropic".into(),
        device: device.map(str::to_owned),
        tokens: Tokens { output, ..Tokens::default() },
        ..Usage::default()
    };
    let projections = fold(&log(vec![(3, call(None, 1)), (4, call(Some("laptop"), 10)), (5, call(Some(HOME), 100))]));
    let out = |device: Option<&str>| {
        let filter = Filter { device: device.map(str::to_owned), ..Filter::default() };
        projections.spend.total(Span::ALWAYS, Scope { filter: &filter, home: HOME, projects: &projections.projects }).tokens_out
    };
    assert_eq!([out(None), out(Some(HOME)), out(Some("laptop")), out(Some("desk"))], [111, 101, 10, 0]);
}
