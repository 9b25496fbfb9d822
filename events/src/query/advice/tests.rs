use super::*;
use crate::{
    Certainty, Fact, Log, PriceBook, Projections, Tokens, Usage, Zone,
    query::{Reprice, RepriceAsOf},
};

const MODELS: [&str; 4] = ["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5", "a-model-of-nobody"];

/// Every fifth is told again, and more of it.
fn call(number: u64) -> [Usage; 2] {
    let usage = |output| Usage {
        at: Timestamp::from_secs(1_790_000_000 + number.cast_signed() * 7_000),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some(MODELS[(number % 4) as usize].into()),
        client: Some(if number.is_multiple_of(3) { "anthropic-python" } else { "claude-code" }.into()),
        call_id: Some(format!("msg_{number}")),
        tokens: Tokens { input: number, output, cache_read: 900, cache_write_5m: 40, cache_write_1h: number % 50, ..Tokens::default() },
        certainty: Certainty::Reported,
        ..Usage::default()
    };
    [usage(10), usage(if number.is_multiple_of(5) { 400 } else { 10 })]
}

#[test]
fn what_is_asked_at_once_is_what_is_asked_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Log::open(folder.path(), "d0").expect("opens");
    let mut projections = Projections::new(PriceBook::bundled().clone());
    for usages in (0..400).map(call) {
        let mut facts = usages.into_iter().map(|usage| Fact::Seen(Box::new(usage.into()))).collect();
        let entries = log.append(&mut facts, Timestamp::from_secs(1_795_000_000)).expect("appends");
        entries.iter().for_each(|entry| projections.apply(entry));
    }
    let now = Timestamp::from_secs(1_795_000_000);
    let view = View { log: &log.snapshot(), projections: &projections, zone: Zone::default(), engine: None, plans: &[] };
    let advice = Advice::default().answer(&view, now).expect("answers");
    let kinds: Vec<IdeaKind> = advice.ideas.iter().map(|idea| idea.kind).collect();
    for (kind, count) in [(IdeaKind::Model, 6), (IdeaKind::CacheTtl, 2), (IdeaKind::Batch, 1)] {
        assert_eq!(kinds.iter().filter(|found| **found == kind).count(), count, "{kind:?} of {kinds:?}");
    }
    for idea in &advice.ideas {
        let mut question = Reprice { as_of: RepriceAsOf::Call, by: vec![Dimension::Day], ..Reprice::default() };
        match idea.kind {
            IdeaKind::Model => {
                question.filter.model.clone_from(&idea.from);
                question.models = vec![ModelSwap { from: idea.from.clone(), to: idea.to.clone().expect("another"), provider: None }];
            }
            IdeaKind::CacheTtl => {
                question.cache_ttl = Some(if idea.to.as_deref() == Some("1 hour") { CacheTtl::OneHour } else { CacheTtl::FiveMinutes });
            }
            IdeaKind::Batch => {
                question.filter.client.clone_from(&idea.from);
                question.tier = Some(Tier::Batch);
            }
            IdeaKind::Plan => panic!("nobody has one"),
        }
        let alone = question.answer(&view, now).expect("answers");
        let RepriceRow { calls, then_usd, now_usd, unpriced_calls, .. } = alone.total;
        assert_eq!(
            (idea.calls, idea.then_usd, idea.now_usd, idea.unpriced_calls),
            (calls, then_usd, now_usd, unpriced_calls),
            "{}",
            idea.title
        );

        let also_by = vec![vec![Dimension::Model], vec![Dimension::Client, Dimension::Model]];
        let cut = Reprice { also_by: also_by.clone(), ..question.clone() }.answer(&view, now).expect("answers");
        assert_eq!((cut.total, cut.rows, cut.rates), (alone.total.clone(), alone.rows, alone.rates));
        for (by, rows) in also_by.into_iter().zip(cut.also_rows) {
            assert_eq!(rows, Reprice { by, ..question.clone() }.answer(&view, now).expect("answers").rows);
        }
    }
}
