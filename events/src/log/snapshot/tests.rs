use super::super::{Fact, Log, tests::*};
use crate::{
    Budget, BudgetScope, Event, Period, PriceBook, Projections, Timestamp, Usage, Usd, Zone,
    query::{Budgets, Calls, Dimension, Explain, Query, Recent, Reprice, SpendBy, Verify, View},
};
use proptest::prelude::*;

/// Everything that can be asked of a state, as text.
fn told(snapshot: &super::Snapshot, projections: &Projections) -> Vec<String> {
    fn asked<Q: Query>(view: &View<'_>, query: &Q) -> String {
        let answer = query.answer(view, Timestamp::from_secs(1_900_000_000));
        answer.map_or_else(|fault| format!("{fault:?}"), |answer| serde_json::to_string(&answer).expect("JSON"))
    }
    let view = &View { log: snapshot, projections, zone: Zone::default(), engine: None, plans: &[] };
    let by = vec![Dimension::Day, Dimension::Model, Dimension::Project];
    vec![
        asked(view, &SpendBy { by: by.clone(), ..SpendBy::default() }),
        asked(view, &Reprice { by, ..Reprice::default() }),
        asked(view, &Calls::default()),
        asked(view, &Recent { limit: 200 }),
        asked(view, &Budgets {}),
        asked(view, &Explain { call: "msg_1".into() }),
        asked(view, &Verify::default()),
        format!("{:?}", snapshot.last()),
    ]
}

fn some_call(number: u64, output: u64, at: Timestamp) -> Usage {
    Usage { at, model: Some(format!("m{}", number % 7)), call_id: Some(format!("msg_{number}")), ..call("", output) }
}

struct House {
    log: Log,
    projections: Projections,
    calls: u64,
    days: i64,
}

impl House {
    fn append(&mut self, mut facts: Vec<Fact>) {
        let now = at(self.days * 86_400);
        for entry in self.log.append(&mut facts, now).expect("appends") {
            self.projections.apply(&entry);
        }
    }

    fn step(&mut self, step: u8, count: u64) {
        match step {
            0..4 => {
                let day = self.days * 86_400;
                let fact = |number: u64| seen(some_call(number, 1, at(day + (number % 9_000).cast_signed())));
                self.append((self.calls..self.calls + count).map(fact).collect());
                self.calls += count;
            }
            // Known calls that grew.
            4 => self.append((0..self.calls.min(count)).map(|number| seen(some_call(number, count, at(number.cast_signed())))).collect()),
            5 => self.log.flush().expect("flushes"),
            6 => drop(self.log.checkpoint(&mut self.projections)),
            7 => {
                if let Some(tidy) = self.log.tidy().expect("looks") {
                    let tidied = tidy.run().expect("tidies");
                    self.log.tidied(tidied).expect("puts it in place");
                }
            }
            8 => self.log.rebuild().expect("rebuilds"),
            // The next month, whose journal is another file.
            9 => self.days += 31,
            _ => {
                let budget = Budget {
                    name: "all".into(),
                    period: Period::Day,
                    limit: Usd::from_pico(i128::from(count) + 1),
                    scope: BudgetScope::default(),
                    alert_percents: vec![100],
                };
                self.append(vec![Fact::Event(Event::BudgetSet { budget })]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn a_snapshot_says_the_same_whatever_is_told_sealed_tidied_or_rebuilt_later(steps in prop::collection::vec((0..11u8, 1..600u64), 1..10)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut house = House { log: open(folder.path()), projections: Projections::new(PriceBook::bundled().clone()), calls: 0, days: 0 };
        let mut taken = Vec::new();
        for (step, count) in steps {
            house.step(step, count);
            let state = (house.log.snapshot(), house.projections.snapshot());
            let told = told(&state.0, &state.1);
            prop_assert!(told.iter().all(|answer| !answer.contains("Storage")), "{told:?}");
            taken.push((state, told));
        }
        for ((log, projections), before) in &taken {
            prop_assert_eq!(&told(log, projections), before);
        }
        // What is folded on is what is folded anew.
        let anew = house.log.fold_all(PriceBook::bundled()).expect("folds");
        prop_assert!(anew.totals_equal(&house.projections));
    }
}
