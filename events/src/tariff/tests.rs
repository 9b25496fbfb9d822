mod decimal;

use super::*;
use crate::{
    AgreedName, AgreedPrice, Command, Fact, Factor, Log, Multiplier, Projections, Rate, Rates, RequestKey, Seq, Sighting, Source, Span,
    Tier, Tokens, Zone, decide,
    query::{Dimension, Query, Reprice, RepriceAsOf, SpendBy, SpendByAnswer, View},
};
use decimal::Decimal;
use proptest::prelude::*;
use std::{fs, path::Path};

const DAY_MICROS: i64 = 86_400_000_000;

/// The nth of November 2026, at noon.
fn noon(day: i64) -> Timestamp {
    Timestamp::parse("2026-11-01T12:00:00Z").expect("a time").plus_micros((day - 1) * DAY_MICROS)
}

fn rates(input: &str, output: &str) -> Rates {
    Rates { input: Rate::per_million(input), output: Rate::per_million(output), ..Rates::default() }
}

/// A book of `acme`'s models, in dollars per million tokens of input and output.
fn book(models: &[(&str, &str, &str)]) -> String {
    let row = |(model, input, output): &(&str, &str, &str)| Row {
        provider: "acme".into(),
        model: (*model).into(),
        rates: rates(input, output),
        source: "a test".into(),
        set: "a test".into(),
        ..Row::default()
    };
    PriceBook::to_json(&[], &models.iter().map(row).collect::<Vec<_>>())
}

fn read(text: &str) -> Arc<PriceBook> {
    Arc::new(PriceBook::from_json(text.as_bytes()).expect("a book"))
}

/// A million tokens in and a million out.
fn call(id: &str, model: &str, at: Timestamp) -> Usage {
    Usage {
        at,
        provider: "acme".into(),
        family: "acme".into(),
        model: Some(model.into()),
        call_id: Some(id.into()),
        tokens: Tokens { input: 1_000_000, output: 1_000_000, ..Tokens::default() },
        certainty: Certainty::Reported,
        sources: Source::Log.into(),
        ..Usage::default()
    }
}

/// A log with its fold, as the writer keeps them.
struct Ledger {
    log: Log,
    projections: Projections,
    book: Arc<PriceBook>,
}

impl Ledger {
    fn open(folder: &Path, book: &Arc<PriceBook>) -> Ledger {
        let (log, projections) = Log::open_folded(folder, "d0", book).expect("opens");
        Ledger { log, projections, book: book.clone() }
    }

    fn append(&mut self, mut facts: Vec<Fact>, now: Timestamp) -> usize {
        let entries = self.log.append(&mut facts, now).expect("appends");
        entries.iter().for_each(|entry| self.projections.apply(entry));
        if let Some(again) = self.log.refolded(&self.projections).expect("reads") {
            self.projections = again;
        }
        entries.len()
    }

    fn see(&mut self, usages: &[Usage], now: Timestamp) {
        self.append(usages.iter().map(|usage| Fact::Seen(Box::new(Sighting::from(usage.clone())))).collect(), now);
    }

    fn tell(&mut self, command: Command, now: Timestamp) -> Result<usize, String> {
        let facts = decide(command, &self.projections, now).map_err(|fault| fault.message)?;
        Ok(self.append(facts, now))
    }

    fn adopt(&mut self, text: &str, now: Timestamp) -> usize {
        self.tell(Command::AdoptPriceBook { book: text.to_owned(), from: None }, now).expect("adopted")
    }

    fn ask<Q: Query>(&self, question: &Q) -> Q::Answer {
        let view = View { log: &self.log.snapshot(), projections: &self.projections, zone: Zone::default(), engine: None, plans: &[] };
        question.answer(&view, noon(30)).unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn summary(&self) -> SpendByAnswer {
        let by = vec![Dimension::Day, Dimension::Model];
        self.ask(&SpendBy { by, last: Some("2026-11-30".parse().expect("a day")), ..SpendBy::default() })
    }

    fn total(&self) -> String {
        self.summary().total.usd.to_string()
    }

    /// What it costs when it is asked as of something else, and how many calls have no price.
    fn repriced(&self, as_of: RepriceAsOf) -> (String, u64) {
        let total = self.ask(&reprice(as_of)).total;
        (total.now_usd.to_string(), total.unpriced_calls)
    }

    /// Opened again, from its checkpoint and without it, it says the same.
    fn reopened(self) -> Ledger {
        let Ledger { mut log, mut projections, book } = self;
        let (folder, said) = (
            log.folder().to_owned(),
            format!(
                "{:?}",
                projections.spend.total(
                    Span::ALWAYS,
                    crate::projections::Scope {
                        filter: &crate::query::Filter::default(),
                        home: "d0",
                        projects: &crate::projections::ProjectNames::default()
                    }
                )
            ),
        );
        log.flush().expect("flushes");
        log.checkpoint(&mut projections).expect("written");
        drop(log);
        let again = Ledger::open(&folder, &book);
        let everything = crate::query::Filter::default();
        let projects = crate::projections::ProjectNames::default();
        let scope = crate::projections::Scope { filter: &everything, home: "d0", projects: &projects };
        assert_eq!(format!("{:?}", again.projections.spend.total(Span::ALWAYS, scope)), said);
        assert_eq!(again.projections.tariff().id(), projections.tariff().id());
        drop(again);
        for made_anew in ["checkpoint", "store", "keys"] {
            let path = folder.join(made_anew);
            if path.is_dir() {
                fs::remove_dir_all(path).expect("removed")
            } else {
                let _ = fs::remove_file(path);
            }
        }
        let again = Ledger::open(&folder, &book);
        assert_eq!(format!("{:?}", again.projections.spend.total(Span::ALWAYS, scope)), said);
        again
    }
}

fn reprice(as_of: RepriceAsOf) -> Reprice {
    Reprice { as_of, by: vec![Dimension::Day, Dimension::Model], ..Reprice::default() }
}

fn name(model: &str) -> AgreedName {
    AgreedName { model: model.into(), provider: None, tier: Tier::Standard }
}

fn price(model: &str, input: &str, output: &str, from: Option<Timestamp>) -> AgreedPrice {
    AgreedPrice { name: name(model), from, fills: false, until: None, rates: rates(input, output) }
}

fn usd(text: &str) -> String {
    text.parse::<Usd>().expect("an amount").to_string()
}

#[test]
fn a_book_that_is_adopted_moves_no_figure_of_the_past() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::open(folder.path(), &read(&book(&[("one", "1", "2"), ("two", "3", "4"), ("gone", "5", "6")])));
    ledger.see(&[call("a", "one", noon(1)), call("b", "two", noon(2)), call("c", "gone", noon(2)), call("d", "new", noon(3))], noon(3));
    let then = ledger.summary();
    assert_eq!((then.total.usd.to_string(), then.total.unpriced_calls), (usd("21"), 1));

    // Dearer, without the model that is gone, and with the one that had no price.
    assert_eq!(
        ledger.adopt(&book(&[("one", "10", "20"), ("two", "3", "4"), ("new", "7", "8")]), noon(5)),
        2,
        "the first book is written down too"
    );
    ledger.see(&[call("e", "one", noon(6)), call("f", "two", noon(6)), call("g", "gone", noon(6)), call("h", "new", noon(6))], noon(6));
    let mut ledger = ledger.reopened();
    // What was known stays; what was unknown has a price now: 21 + 15, and 30 + 7 + 11 + 15 later.
    assert_eq!(ledger.total(), usd("99"));
    let known = ledger.summary().rows.into_iter().filter(|row| row.names[0].as_deref() < Some("2026-11-03"));
    let before = then.rows.iter().filter(|row| row.names[0].as_deref() < Some("2026-11-03"));
    assert!(known.eq(before.cloned()), "known to known changes only from its date on");

    // What the summary said then: of the calls until then.
    let asked = Reprice { last: Some("2026-11-04".parse().expect("a day")), ..reprice(RepriceAsOf::Known(noon(4))) };
    let answer = ledger.ask(&asked);
    assert_eq!((answer.total.now_usd, answer.total.unpriced_calls), (then.total.usd, then.total.unpriced_calls));
    let as_of = Reprice { as_of: RepriceAsOf::Instant(noon(4)), ..asked };
    let answer = ledger.ask(&as_of);
    assert_eq!((answer.total.now_usd, answer.total.unpriced_calls), (then.total.usd, then.total.unpriced_calls));
    // All calls at the old prices, and at the new ones.
    assert_eq!(ledger.repriced(RepriceAsOf::Instant(noon(4))), (usd("42"), 2));
    assert_eq!(ledger.repriced(RepriceAsOf::Today), (usd("126"), 0));

    // The same book again, or one that says the same in another order, is no news.
    assert_eq!(ledger.adopt(&book(&[("two", "3", "4"), ("new", "7", "8"), ("one", "10", "20")]), noon(8)), 0);
    assert_eq!(
        ledger.tell(Command::AdoptPriceBook { book: "<html>".into(), from: None }, noon(8)).expect_err("refused"),
        "this is no price book: a web page (HTML), not a price book"
    );
    assert_eq!(ledger.total(), usd("99"));
}

#[test]
fn another_programs_book_does_not_move_a_log_that_wrote_its_own_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::open(folder.path(), &read(&book(&[("one", "1", "2")])));
    ledger.see(&[call("a", "one", noon(1))], noon(1));
    assert_eq!(ledger.tell(Command::PinPriceBook {}, noon(1)), Ok(1));
    assert_eq!(ledger.tell(Command::PinPriceBook {}, noon(1)), Ok(0));
    drop(ledger);
    let newer = book(&[("one", "100", "200")]);
    let mut ledger = Ledger::open(folder.path(), &read(&newer));
    assert_eq!(ledger.total(), usd("3"));
    ledger.adopt(&newer, noon(2));
    ledger.see(&[call("b", "one", noon(1)), call("c", "one", noon(3))], noon(3));
    assert_eq!(ledger.reopened().total(), usd("306"));
}

#[test]
fn a_price_of_ones_own_goes_before_the_book_from_its_day_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::open(folder.path(), &read(&book(&[("one", "1", "2")])));
    ledger.see(&[call("a", "one", noon(1)), call("b", "one", noon(10)), call("c", "mine", noon(1))], noon(10));
    let set = |price| Command::SetPrice { price: Box::new(price) };
    // Without a day it holds from now on, and fills in what had no price.
    ledger.tell(set(price("mine", "10", "10", None)), noon(11)).expect("set");
    assert_eq!(ledger.total(), usd("26"));
    assert_eq!(ledger.repriced(RepriceAsOf::Known(noon(10))), (usd("6"), 1), "nobody knew it then");
    ledger.tell(set(price("one", "0.5", "0.5", Some(noon(5)))), noon(11)).expect("set");
    assert_eq!(ledger.total(), usd("24"));
    // One that begins later ends it; one of the same day corrects it; the same again is no news.
    ledger.tell(set(price("one", "5", "5", Some(noon(9)))), noon(11)).expect("set");
    assert_eq!(ledger.total(), usd("33"));
    ledger.tell(set(price("one", "6", "6", Some(noon(9)))), noon(11)).expect("set");
    assert_eq!(ledger.total(), usd("35"));
    assert_eq!(ledger.tell(set(price("one", "6", "6", Some(noon(9)))), noon(11)), Ok(0));
    assert_eq!(ledger.tell(set(price("mine", "10", "10", None)), noon(12)), Ok(0));
    let mut ledger = ledger.reopened();
    assert_eq!(ledger.total(), usd("35"));
    // A reported cost goes before it.
    ledger.see(&[Usage { reported_cost: Some("0.25".parse().expect("an amount")), ..call("d", "one", noon(12)) }], noon(12));
    assert_eq!(ledger.total(), usd("35.25"));
    ledger.tell(Command::UnsetPrice { name: name("one"), from: None }, noon(13)).expect("unset");
    assert_eq!(ledger.total(), usd("26.25"));
    ledger.tell(Command::UnsetPrice { name: name("mine"), from: None }, noon(13)).expect("unset");
    assert_eq!(ledger.reopened().total(), usd("6.25"));
}

#[test]
fn a_multiplier_is_of_list_prices_only_and_from_its_day_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::open(folder.path(), &read(&book(&[("one", "1", "2")])));
    ledger.see(&[call("a", "one", noon(1)), call("b", "one", noon(10)), call("c", "mine", noon(10))], noon(10));
    ledger.tell(Command::SetPrice { price: Box::new(price("mine", "10", "10", None)) }, noon(10)).expect("set");
    let multiplied = |factor: &str, from| Command::MultiplyPrices {
        multiplier: Multiplier { provider: "acme".into(), factor: Factor::parse(factor).expect("a factor"), from },
    };
    assert_eq!(ledger.tell(multiplied("1.2", Some(noon(5))), noon(11)), Ok(1));
    assert_eq!(ledger.tell(multiplied("1.2", None), noon(11)), Ok(0), "it stands like that");
    assert_eq!(ledger.total(), usd("26.6"));
    assert_eq!(ledger.tell(multiplied("1", None), noon(12)), Ok(1));
    ledger.see(&[call("d", "one", noon(13))], noon(13));
    assert_eq!(ledger.reopened().total(), usd("29.6"));
}

#[test]
fn prices_that_make_no_sense_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::open(folder.path(), &read(&book(&[("one", "1", "2")])));
    ledger.see(&[call("a", "one", noon(1))], noon(1));
    let until = |price, until| AgreedPrice { until: Some(until), ..price };
    ledger.tell(Command::SetPrice { price: Box::new(until(price("one", "2", "2", Some(noon(10))), noon(20))) }, noon(1)).expect("set");
    ledger.tell(Command::SetPrice { price: Box::new(price("one", "3", "3", Some(noon(20)))) }, noon(1)).expect("set");
    for (wrong, part) in [
        (price("one", "-1", "2", None), "a rate for input of -1"),
        (price("one", "1", "100001", None), "a rate for output of 100001"),
        (price("", "1", "2", None), "no name for a model"),
        (price("one", "x", "x", None), "without a rate"),
        (until(price("one", "1", "2", Some(noon(9))), noon(9)), "ends at"),
        (until(price("one", "1", "2", Some(noon(9))), noon(11)), "overlaps"),
        (price("one", "1", "2", Some(noon(9))), "overlaps"),
        (price("one", "1", "2", Some(noon(15))), "overlaps"),
    ] {
        let refused = ledger.tell(Command::SetPrice { price: Box::new(wrong.clone()) }, noon(2)).expect_err("refused");
        assert!(refused.contains(part), "{refused} {wrong:?}");
    }
    assert!(
        ledger.tell(Command::UnsetPrice { name: name("two"), from: None }, noon(2)).expect_err("refused").contains("no price of yours")
    );
    assert_eq!(ledger.total(), usd("3"));
}

#[test]
fn pricing_again_changes_no_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = Ledger::open(folder.path(), &read(&book(&[("one", "1", "2"), ("two", "3", "4")])));
    ledger.see(&[call("a", "one", noon(1)), call("b", "two", noon(2))], noon(3));
    ledger.adopt(&book(&[("one", "10", "20")]), noon(5));
    let hash = |ledger: &Ledger| {
        let snapshot = ledger.log.snapshot();
        let lines = snapshot.replay().map(|entry| wire::encode(&entry.expect("reads")));
        RequestKey::of_bytes(&lines.flatten().collect::<Vec<u8>>())
    };
    let (before, last) = (hash(&ledger), ledger.log.last());
    let swapped = |swap: crate::query::ModelSwap| Reprice { models: vec![swap], ..reprice(RepriceAsOf::Call) };
    let as_two = crate::query::ModelSwap { from: Some("one".into()), to: "two".into(), provider: None };
    assert_eq!(ledger.ask(&swapped(as_two)).total.now_usd.to_string(), usd("14"));
    let all_as_one = crate::query::ModelSwap { from: None, to: "one".into(), provider: Some("acme".into()) };
    assert_eq!(ledger.ask(&swapped(all_as_one)).total.now_usd.to_string(), usd("6"));
    let other = Reprice { book: Some(book(&[("one", "0", "0"), ("two", "0", "0")])), ..reprice(RepriceAsOf::Call) };
    assert_eq!(ledger.ask(&other).total.now_usd, Usd::ZERO);
    for as_of in [RepriceAsOf::Today, RepriceAsOf::Call, RepriceAsOf::Known(noon(1)), RepriceAsOf::Instant(noon(1))] {
        ledger.ask(&reprice(as_of));
    }
    assert_eq!((hash(&ledger), ledger.log.last()), (before, last));
}

#[test]
fn the_bundled_book_is_written_as_it_is_read_and_fits_the_journal() {
    let book = PriceBook::bundled();
    let adoption = first_edition(book).expect("it fits");
    let again = adoption.changes.unpack().expect("a book");
    assert!(again.id() == book.id() && again.rows().eq(book.rows()));
    assert_eq!(next_edition(&[book], &again, noon(1)).map(|news| news.is_none()), Ok(true));
}

prop_compose! {
    fn a_call()(day in 1..28i64, model in prop::sample::select(vec!["one", "two", "three", "mine", "odd-20261101"]),
        input in 0..3_000_000u64, output in 0..900_000u64, cache_read in 0..900_000u64, reported in prop::option::of(0..9_000_000i128),
        certainty in 0..4u8) -> Usage {
        Usage {
            tokens: Tokens { input, output, cache_read, ..Tokens::default() },
            reported_cost: reported.map(Usd::from_pico),
            certainty: [Certainty::Reported, Certainty::Unknown, Certainty::Estimated, Certainty::Partial][usize::from(certainty)],
            ..call("", model, noon(day))
        }
    }
}

/// Facts about prices, as a log may hold them.
fn facts() -> impl Strategy<Value = Vec<Arc<Entry>>> {
    let rate = || (0..5_000u64).prop_map(|thousandths| format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000));
    let model = || prop::sample::select(vec!["one", "two", "three", "mine", "odd"]);
    let fact = prop_oneof![
        prop::collection::btree_map(model(), (rate(), rate()), 1..4).prop_map(|models| {
            let models: Vec<(&str, &str, &str)> =
                models.iter().map(|(model, (input, output))| (*model, input.as_str(), output.as_str())).collect();
            let packed = PackedBook::pack(&book(&models)).expect("it is small");
            Event::PriceBookAdopted {
                adoption: Box::new(Adoption { id: "x".into(), from: Some(noon(0)), bundled: false, changes: packed }),
            }
        }),
        (model(), rate(), rate(), prop::option::of(1..28i64)).prop_map(|(model, input, output, from)| Event::PriceSet {
            price: Box::new(AgreedPrice { fills: from.is_none(), ..price(model, &input, &output, from.map(noon)) }),
        }),
        (model(), prop::option::of(1..28i64)).prop_map(|(model, from)| Event::PriceUnset { name: name(model), from: from.map(noon) }),
        (1..3_000u32, prop::option::of(1..28i64)).prop_map(|(thousandths, from)| Event::PricesMultiplied {
            multiplier: Multiplier {
                provider: "acme".into(),
                factor: Factor::parse(&format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)).expect("a factor"),
                from: from.map(noon),
            },
        }),
    ];
    prop::collection::vec((fact, 0..28i64), 0..6).prop_map(|mut facts| {
        facts.sort_by_key(|(_, day)| *day);
        let entry = |(seq, (mut event, day)): (u64, (Event, i64))| {
            if let Event::PriceBookAdopted { adoption } = &mut event {
                adoption.from = Some(noon(day));
            }
            Arc::new(Entry { seq: Seq(seq), recorded_at: noon(day), key: None, event })
        };
        (1..).zip(facts).map(entry).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_found_out_once_is_what_the_tariff_says_each_time(facts in facts(), usage in a_call(), at in prop::option::of(0..30i64), known in 0..30i64) {
        let tariff = Tariff::with(read(&book(&[("one", "1", "2"), ("two", "0.5", "0.25")])), facts);
        let as_of = at.map_or(AsOf::Call, |day| AsOf::Instant(noon(day)));
        for tariff in [&tariff, &tariff.known_at(noon(known))] {
            let rated = tariff.rated(&Terms::of(&usage), &Swap::default());
            prop_assert_eq!(rated.cost_of(&Consumed::of(&usage), as_of), tariff.cost_of(&usage, as_of).usd());
        }
    }

    #[test]
    fn a_later_book_moves_nothing_that_had_a_price(facts in facts(), usage in a_call(), more in facts()) {
        let base = read(&book(&[("one", "1", "2"), ("two", "0.5", "0.25")]));
        let adopted = more.into_iter().filter(|entry| matches!(entry.event, Event::PriceBookAdopted { .. })).map(|entry| {
            let mut entry = Entry::clone(&entry);
            if let Event::PriceBookAdopted { adoption } = &mut entry.event {
                adoption.from = Some(noon(40));
            }
            Arc::new(Entry { recorded_at: noon(40), ..entry })
        });
        let before = Tariff::with(base.clone(), facts.clone());
        let after = Tariff::with(base, facts.into_iter().chain(adopted));
        if let Some(usd) = before.cost_of(&usage, AsOf::Call).usd() {
            prop_assert_eq!(after.cost_of(&usage, AsOf::Call).usd(), Some(usd));
        }
        prop_assert_eq!(after.known_at(noon(39)).cost_of(&usage, AsOf::Call).usd(), before.cost_of(&usage, AsOf::Call).usd());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn costs_add_up_in_any_order_to_what_school_makes_of_them(
        counts in prop::collection::vec((0..2_000_000u64, prop_oneof![0..900_000u64, any::<u32>().prop_map(u64::from)]), 1..12),
        input in (0..900_000_000u64).prop_map(|rate| format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000)),
        output in (0..999_999_999_999u64).prop_map(|rate| format!("0.{rate:012}")),
        factor in (1..100_000u32).prop_map(|factor| format!("{}.{:03}", factor / 1_000, factor % 1_000)),
        turn in any::<prop::sample::Index>(),
    ) {
        let multiplier = Multiplier { provider: "acme".into(), factor: Factor::parse(&factor).expect("a factor"), from: Some(noon(0)) };
        let fact = Entry { seq: Seq(1), recorded_at: noon(0), key: None, event: Event::PricesMultiplied { multiplier } };
        let tariff = Arc::new(Tariff::with(read(&book(&[("one", &input, &output)])), [Arc::new(fact)]));
        let usage = |(input, output): &(u64, u64)| Usage { tokens: Tokens { input: *input, output: *output, ..Tokens::default() }, ..call("", "one", noon(3)) };
        let exact = |(tokens_in, tokens_out): &(u64, u64)| {
            let per_million = |count: &u64| Decimal::of(&count.to_string()).times(&Decimal::of("0.000001"));
            let listed = per_million(tokens_in).times(&Decimal::of(&input)).plus(&per_million(tokens_out).times(&Decimal::of(&output)));
            listed.times(&Decimal::of(&factor)).rounded(12)
        };
        let modelled = counts.iter().map(exact).fold(Decimal::of("0.000000000000"), |sum, cost| sum.plus(&cost)).text();
        let mut turned = counts.clone();
        turned.rotate_left(turn.index(counts.len()));
        turned.reverse();
        for counts in [counts, turned] {
            let mut projections = Projections::under(tariff.clone());
            for (seq, count) in (2..).zip(&counts) {
                let event = Event::Used { usage: Box::new(usage(count)) };
                projections.apply(&Entry { seq: Seq(seq), recorded_at: noon(3), key: None, event });
            }
            let everything = crate::query::Filter::default();
            let total = projections.spend.total(Span::ALWAYS, crate::projections::Scope { filter: &everything, home: "d0", projects: &crate::projections::ProjectNames::default() });
            prop_assert_eq!(total.usd.to_string(), modelled.clone());
        }
    }
}
