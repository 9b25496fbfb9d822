use super::*;
use crate::{Alert, Budget, BudgetScope, CallUuid, Fees, MatchedBy, Period, Project, ProjectBy, Sources, Summary, Usd};

fn usage() -> Usage {
    Usage {
        at: Timestamp::parse("2026-11-22T08:30:00.250Z").expect("a time"),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("claude-opus-5-5".into()),
        request_model: Some("claude-opus".into()),
        call_id: Some("msg_1".into()),
        request_id: Some("req_1".into()),
        carried: Some(CallUuid(7)),
        device: Some("d1".into()),
        client: Some("claude-code".into()),
        project: Some(Project { by: ProjectBy::Header, name: "web".into() }),
        session: Some("s1".into()),
        branch: Some("main".into()),
        tier: Some("standard".into()),
        geo: Some("us".into()),
        tokens: Tokens { input: 1, cache_read: 2, cache_write_1h: 3, output: 400, reasoning: 50, ..Tokens::default() },
        fees: Fees::of_searches(2),
        requests: None,
        certainty: Certainty::Reported,
        reported_cost: Some(Usd::from_pico(4_213_500_000)),
        latency_ms: Some(1234),
        status: Some(200),
        sources: Sources::only(Source::Proxy).and(Source::Log.into()),
    }
}

/// A line of every kind. The match makes the compiler ask for a new kind's line here.
fn every_kind() -> Vec<(Entry, Option<Said>)> {
    let budget = Budget {
        name: "month".into(),
        period: Period::Month,
        limit: Usd::from_pico(20_000_000_000_000),
        scope: BudgetScope { project: Some("web".into()), ..BudgetScope::default() },
        alert_percents: vec![80, 100],
    };
    let alert = Alert {
        budget: "month".into(),
        period_start: "2026-11-01".parse().expect("a day"),
        percent: 80,
        spent: Usd::from_pico(16_000_000_000_001),
        limit: budget.limit,
    };
    let said = |value| Some(Said::from(&value));
    let kinds = [
        (
            Event::Used { usage: Box::new(usage()) },
            said(serde_json::json!({"input_tokens": 1, "output_tokens": 400, "ratio": 4.5, "tier": "x"})),
        ),
        (Event::Restated { before: Box::new(Usage::default()), after: Box::new(usage()) }, said(serde_json::json!({"odd": "=input"}))),
        (Event::Used { usage: Box::new(usage()) }, None),
        (Event::BudgetSet { budget }, None),
        (Event::BudgetRemoved { name: "month".into() }, None),
        (Event::AlertRaised { alert }, None),
    ];
    let line = |(number, (event, said))| {
        let key = match &event {
            Event::Used { usage } if number == 3 => usage.key().map(|key| key.carried_by(CallUuid(7))),
            Event::Used { usage } | Event::Restated { after: usage, .. } => usage.key(),
            Event::BudgetSet { .. }
            | Event::BudgetRemoved { .. }
            | Event::AlertRaised { .. }
            | Event::PriceBookAdopted { .. }
            | Event::PriceSet { .. }
            | Event::PriceUnset { .. }
            | Event::PricesMultiplied { .. }
            | Event::Summarised { .. }
            | Event::Folded { .. }
            | Event::Lost
            | Event::Matched { .. }
            | Event::ProjectRenamed { .. } => None::<RequestKey>,
        };
        (Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key, event }, said)
    };
    (1..).zip(kinds).map(line).collect()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The lines with which the journal of a folded log begins.
fn every_kind_of_a_folding() -> Vec<(Entry, Option<Said>)> {
    let usage = Usage { call_id: None, request_id: None, carried: None, session: None, branch: None, status: None, ..usage() };
    let summary = |rounding| Summary { usage: usage.clone(), calls: 3, rounding: Usd::from_pico(rounding) };
    let kinds = [
        Event::Folded { before: Timestamp::from_secs(1_730_000_000) },
        Event::Summarised { summary: Box::new(summary(-1)) },
        Event::Summarised { summary: Box::new(summary(0)) },
    ];
    let line = |(number, event)| Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key: None, event };
    (1..).zip(kinds).map(|numbered| (line(numbered), None)).collect()
}

/// What came to be known of calls and projects after they were recorded.
fn every_kind_of_a_second_thought() -> Vec<(Entry, Option<Said>)> {
    let (call, key) = (RequestKey::of("anthropic", "msg_1"), Some(RequestKey::of("anthropic", "opencode:msg_1")));
    let matched = |by, before| (key, Event::Matched { call, by, before });
    let kinds = [
        (matched(MatchedBy::Session, Some(Box::new(usage()))), None),
        (matched(MatchedBy::Time, None), Some(Said::from(&serde_json::json!({"surface": "opencode", "usage": {"input": 1}})))),
        ((None, Event::ProjectRenamed { recorded: "web".into(), name: "site".into() }), None),
    ];
    let line =
        |(number, ((key, event), said))| (Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key, event }, said);
    (1..).zip(kinds).map(line).collect()
}

#[test]
fn lines_of_version_2_are_read_for_ever() {
    check_golden("journal-v2.jsonl", &every_kind());
    check_golden("journal-v2-folded.jsonl", &every_kind_of_a_folding());
    check_golden("journal-v2-second-thoughts.jsonl", &every_kind_of_a_second_thought());
}

fn check_golden(name: &str, kinds: &[(Entry, Option<Said>)]) {
    let path = golden(name);
    let mut text = Vec::new();
    kinds.iter().for_each(|(entry, said)| line::write_line(&LineRef { entry, said: said.as_ref(), rescued: false }, &mut text));
    let text = String::from_utf8(text).expect("text");
    if !path.exists() {
        // Only ever written once: an existing golden file is never overwritten.
        fs::write(&path, &text).expect("written");
    }
    let kept = fs::read_to_string(&path).expect("the golden file");
    let read: Vec<_> = kept.lines().map(|text| line::read_line(text).expect("a line of version 2")).collect();
    let read: Vec<_> = read.into_iter().map(|line| (line.entry.clone(), line.said().expect("said"))).collect();
    assert_eq!(read, kinds);
    assert_eq!(text, kept, "what is written today is version 2");
}

#[test]
fn a_file_of_version_1_is_read_for_ever_and_appended_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(golden("journal-v1.jsonl")).expect("the golden file");
    let entries: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect();
    // As version 1 wrote it: a stream for each batch, without notes; with what was said behind the event.
    let mut bytes = Vec::new();
    for line in text.lines() {
        let line = line.strip_suffix('}').map(|line| format!("{line},\"said\":{{\"a\":1}}}}\n")).expect("an object");
        let mut encoder = zstd::Encoder::new(&mut bytes, 3).expect("starts");
        encoder.include_checksum(true).expect("takes it");
        encoder.write_all(line.as_bytes()).and_then(|()| encoder.finish().map(drop)).expect("encodes");
    }
    let mut torn = bytes.clone();
    torn.extend_from_slice(&bytes[..30]);
    fs::write(month(folder.path()), torn).expect("written");
    let (mut journal, mended) = open(folder.path());
    assert_eq!((journal.last(), mended.len()), (Seq(5), 1));
    journal.append(&batch(6, 2), at(0)).expect("appends");
    let (again, mended) = open(folder.path());
    assert_eq!(mended, [] as [String; 0]);
    let lines: Vec<_> = again.lines_after(Seq(0)).expect("reads").map(|line| line.expect("a line")).collect();
    assert_eq!(lines[0].said().expect("said").expect("some").text(), "{\"a\":1}");
    let read: Vec<_> = lines.into_iter().map(|line| line.entry).collect();
    assert_eq!(read[..5], entries);
    assert_eq!(read[5..], [entry(6), entry(7)]);
}
