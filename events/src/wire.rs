//! Entries as bytes. Every version ever shipped stays readable: golden files in `tests/golden` are added to, never edited.
//!
//! Version 1 is the byte `1` and the entry as MessagePack with named fields, so that a field may be added later with a default.

use crate::Entry;

const VERSION: u8 = 1;

/// Why bytes are no entry.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// There is nothing.
    #[error("an entry of no bytes")]
    Empty,
    /// Written by a later program.
    #[error("an entry of wire version {0}, which this program does not know")]
    Version(u8),
    /// Not what the version says.
    #[error("a damaged entry: {0}")]
    Damaged(#[from] rmp_serde::decode::Error),
}

/// An entry in the newest wire version.
pub(crate) fn encode(entry: &Entry) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    rmp_serde::encode::write_named(&mut bytes, entry).expect("an entry holds only what MessagePack can hold, and memory takes it");
    bytes
}

/// An entry of any wire version.
pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, WireError> {
    match bytes.split_first() {
        None => Err(WireError::Empty),
        Some((&VERSION, body)) => Ok(rmp_serde::from_slice(body)?),
        Some((&version, _)) => Err(WireError::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Adoption, AgreedName, AgreedPrice, Alert, Budget, BudgetScope, CallUuid, Certainty, Event, Factor, Fees, MatchedBy, Multiplier,
        PackedBook, Period, Project, ProjectBy, Rate, Rates, RequestKey, Seq, Source, Sources, Summary, Tier, Timestamp, Tokens, Usage,
        Usd,
    };
    use std::{fs, path::Path};

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
            device: None,
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

    /// One entry of every kind. The match makes the compiler ask for a new kind's entry here.
    fn every_kind() -> Vec<Entry> {
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
        let kinds = [
            Event::Used { usage: Box::new(usage()) },
            Event::Restated { before: Box::new(Usage::default()), after: Box::new(usage()) },
            Event::BudgetSet { budget },
            Event::BudgetRemoved { name: "month".into() },
            Event::AlertRaised { alert },
        ];
        let entry = |(number, event)| {
            let key = match &event {
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
            Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key, event }
        };
        (1..).zip(kinds).map(entry).collect()
    }

    /// What a folded log begins with. The match above makes the compiler ask for a new kind here, or there.
    fn every_kind_of_a_folding() -> Vec<Entry> {
        let sum = Usage { call_id: None, request_id: None, carried: None, session: None, branch: None, status: None, ..usage() };
        let summaries = [(3, -1), (1, 0)].map(|(calls, rounding)| {
            let rounding = Usd::from_pico(rounding);
            Event::Summarised { summary: Box::new(Summary { usage: sum.clone(), calls, rounding }) }
        });
        let folded = Event::Folded { before: Timestamp::from_secs(1_730_000_000) };
        let entry = |(number, event)| Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key: None, event };
        (1..).zip([folded].into_iter().chain(summaries)).map(entry).collect()
    }

    /// What is said of prices. The matches above make the compiler ask for a new kind here, or there.
    fn every_kind_of_prices() -> Vec<Entry> {
        // Packed once: another version of the compressor may pack otherwise.
        let changes: PackedBook = serde_json::from_str("\"28b52ffd040031010000616263\"").expect("bytes in hex");
        let name = AgreedName { model: "claude-opus-5-5".into(), provider: Some("relay".into()), tier: Tier::Batch };
        let rates = Rates { input: Rate::per_million("3"), cache_read: Rate::per_million("0.003625"), ..Rates::default() };
        let (from, until) = (Timestamp::from_secs(1_795_000_000), Timestamp::from_secs(1_796_000_000));
        let factor = Factor::parse("1.055").expect("a factor");
        let kinds = [
            Event::PriceBookAdopted {
                adoption: Box::new(Adoption { id: "ab".into(), from: None, bundled: true, changes: changes.clone() }),
            },
            Event::PriceBookAdopted { adoption: Box::new(Adoption { id: "cd".into(), from: Some(from), bundled: false, changes }) },
            Event::PriceSet {
                price: Box::new(AgreedPrice {
                    name: name.clone(),
                    from: Some(from),
                    fills: false,
                    until: Some(until),
                    rates: rates.clone(),
                }),
            },
            Event::PriceSet {
                price: Box::new(AgreedPrice {
                    name: AgreedName { provider: None, tier: Tier::Standard, ..name.clone() },
                    from: None,
                    fills: true,
                    until: None,
                    rates,
                }),
            },
            Event::PriceUnset { name: name.clone(), from: Some(from) },
            Event::PriceUnset { name, from: None },
            Event::PricesMultiplied { multiplier: Multiplier { provider: "relay".into(), factor, from: Some(from) } },
            Event::PricesMultiplied { multiplier: Multiplier { provider: "relay".into(), factor, from: None } },
        ];
        let entry = |(number, event)| Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key: None, event };
        (1..).zip(kinds).map(entry).collect()
    }

    /// What came to be known of calls and projects after they were recorded.
    fn every_kind_of_a_second_thought() -> Vec<Entry> {
        let (call, key) = (RequestKey::of("anthropic", "msg_1"), Some(RequestKey::of("anthropic", "opencode:msg_1")));
        let matched = |by, before| (key, Event::Matched { call, by, before });
        let kinds = [
            matched(MatchedBy::Session, Some(Box::new(usage()))),
            matched(MatchedBy::Time, None),
            (None, Event::ProjectRenamed { recorded: "web".into(), name: "site".into() }),
        ];
        let entry = |(number, (key, event))| Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key, event };
        (1..).zip(kinds).map(entry).collect()
    }

    fn golden(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
    }

    #[test]
    fn every_entry_of_version_1_is_read_for_ever() {
        check_golden("entries-v1.msgpack", &every_kind());
        check_golden("entries-v1-folded.msgpack", &every_kind_of_a_folding());
        check_golden("entries-v1-prices.msgpack", &every_kind_of_prices());
        check_golden("entries-v1-second-thoughts.msgpack", &every_kind_of_a_second_thought());
    }

    fn check_golden(name: &str, entries: &[Entry]) {
        let path = golden(name);
        if !path.exists() {
            // Only ever written once: an existing golden file is never overwritten.
            fs::write(&path, rmp_serde::to_vec(&entries.iter().map(encode).collect::<Vec<_>>()).expect("packs")).expect("written");
        }
        let kept: Vec<Vec<u8>> = rmp_serde::from_slice(&fs::read(&path).expect("the golden file")).expect("unpacks");
        let read: Vec<Entry> = kept.iter().map(|bytes| decode(bytes).expect("an entry of version 1")).collect();
        assert_eq!(read, entries);
        assert_eq!(entries.iter().map(encode).collect::<Vec<_>>(), kept, "what is written today is version 1");
    }

    #[test]
    fn the_journal_of_version_1_is_read_for_ever() {
        check_journal("journal-v1.jsonl", &every_kind());
        check_journal("journal-v1-prices.jsonl", &every_kind_of_prices());
    }

    fn check_journal(name: &str, entries: &[Entry]) {
        let path = golden(name);
        let text: String = entries.iter().map(|entry| serde_json::to_string(entry).expect("serialises") + "\n").collect();
        if !path.exists() {
            fs::write(&path, &text).expect("written");
        }
        let kept = fs::read_to_string(&path).expect("the golden file");
        let read: Vec<Entry> = kept.lines().map(|line| serde_json::from_str(line).expect("a line of version 1")).collect();
        assert_eq!(read, entries);
        assert_eq!(text, kept, "what is written today is version 1");
    }

    #[test]
    fn bytes_that_are_no_entry_are_refused() {
        assert!(matches!(decode(&[]), Err(WireError::Empty)));
        assert!(matches!(decode(&[9, 1, 2]), Err(WireError::Version(9))));
        let whole = encode(&every_kind()[0]);
        assert!((1..whole.len()).all(|length| decode(&whole[..length]).is_err()));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            bytes.insert(0, VERSION);
            let _ = decode(&bytes);
        }
    }
}
