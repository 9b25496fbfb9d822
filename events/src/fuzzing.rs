//! Doors for the fuzzers in `tests/fuzz` to what nobody else outside of this crate reaches.

use crate::{Certainty, Entry, Fact, Log, PriceBook, Projections, Rate, Sighting, Source, Tariff, Timestamp, Tokens, Usage, Usd, log, wire};
use std::{path::Path, sync::Arc};

/// How many bytes make a sighting.
const SIGHTING_BYTES: usize = 8;

/// Reads bytes as everything that the ledger stores or is given as text.
pub fn stored(bytes: &[u8]) {
    if let Ok(entry) = wire::decode(bytes) {
        Tariff::with(PriceBook::bundled().clone(), [Arc::new(entry)]).known_at(Timestamp::default());
    }
    let _ = PriceBook::from_json(bytes);
    log::read_any(bytes);
    let book = PriceBook::bundled();
    let _ = Projections::from_checkpoint(book.clone(), bytes);
    if let Ok(packed) = zstd::encode_all(bytes, 1) {
        let _ = Projections::from_checkpoint(book.clone(), &packed[..]);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (text.parse::<Usd>(), Rate::per_million(text));
    }
}

/// Two logs that are told the same sightings in different orders.
pub struct Ledgers {
    one: Log,
    other: Log,
}

impl Ledgers {
    /// Two new logs below a folder.
    pub fn open(folder: &Path) -> Ledgers {
        let open = |name: &str| Log::open(&folder.join(name), "fuzz").expect("a new log opens");
        Ledgers { one: open("one"), other: open("other") }
    }

    /// Tells both of the sightings that these bytes make, one in their order and at once, the other backwards and in batches. Both must
    /// come to the same totals, as a naive count of each call's merged sightings does, and as a checkpoint in their middle and the rest.
    /// Told again, they change nothing. `round` keeps the calls of one input from those of the others.
    pub fn tell(&mut self, round: u32, bytes: &[u8]) {
        let (batch, bytes) = bytes.split_first().map_or((1, bytes), |(first, rest)| (usize::from(first % 7) + 1, rest));
        let usages: Vec<Usage> = bytes.chunks_exact(SIGHTING_BYTES).take(64).map(|bytes| usage(round, bytes)).collect();
        let facts = |usages: &mut dyn Iterator<Item = &Usage>| -> Vec<Fact> {
            usages.map(|usage| Fact::Seen(Box::new(Sighting::from(usage.clone())))).collect()
        };
        let now = Timestamp::from_secs(1_800_000_000 + i64::from(round));
        let told = self.one.append(&mut facts(&mut usages.iter()), now).expect("appends");
        let backwards: Vec<Usage> = usages.iter().rev().cloned().collect();
        let mut otherwise = Vec::new();
        for batch in backwards.chunks(batch) {
            otherwise.extend(self.other.append(&mut facts(&mut batch.iter()), now).expect("appends"));
        }
        let whole = folded(new(), &told);
        assert!(whole.totals_equal(&folded(new(), &otherwise)), "in another order it comes to something else: {usages:#?}");
        assert!(whole.totals_equal(&naive(&usages, now)), "it is not what a naive count gives: {usages:#?}");
        let (early, late) = told.split_at(told.len() / 2);
        let checkpoint = folded(new(), early).to_checkpoint();
        let resumed = Projections::from_checkpoint(PriceBook::bundled().clone(), &checkpoint[..]).expect("its own checkpoint");
        assert!(whole.totals_equal(&folded(resumed, late)), "a checkpoint and the rest come to something else");
        for log in [&mut self.one, &mut self.other] {
            let again = log.append(&mut facts(&mut usages.iter()), now).expect("appends");
            assert!(again.is_empty(), "told again, it writes {again:#?}");
        }
    }
}

fn new() -> Projections {
    Projections::new(PriceBook::bundled().clone())
}

fn folded(mut projections: Projections, entries: &[Arc<Entry>]) -> Projections {
    entries.iter().for_each(|entry| projections.apply(entry));
    projections
}

/// Each call once, with the best of its sightings.
fn naive(usages: &[Usage], now: Timestamp) -> Projections {
    let mut calls: Vec<Usage> = Vec::new();
    for usage in usages {
        match calls.iter_mut().find(|call| call.key() == usage.key()) {
            Some(call) => *call = call.merged(usage),
            None => calls.push(usage.clone()),
        }
    }
    let mut projections = new();
    for (seq, usage) in (1..).zip(calls) {
        let key = usage.key();
        projections.apply(&Entry { seq: crate::Seq(seq), recorded_at: now, key, event: crate::Event::Used { usage: Box::new(usage) } });
    }
    projections
}

fn usage(round: u32, bytes: &[u8]) -> Usage {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let of = |byte: u8, names: &[&str]| names.get(usize::from(byte) % (names.len() + 1)).map(|name| (*name).to_owned());
    // Who names a model or a tier at all does not contradict the others.
    let call = byte(1) % 6;
    let told = |byte: u8, names: [&str; 2]| (!byte.is_multiple_of(3)).then(|| names[usize::from(call) % names.len()].to_owned());
    let certainties = [Certainty::Unknown, Certainty::Estimated, Certainty::Partial, Certainty::Reported];
    let sources = [Source::Log, Source::Proxy, Source::Otlp, Source::Manual];
    Usage {
        at: Timestamp::from_secs(1_795_000_000 + i64::from(byte(0)) * 600),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        call_id: Some(format!("{round}:{call}")),
        model: told(byte(2), ["claude-sonnet-4-5", "gpt-4.1"]),
        client: of(byte(2) / 3, &["claude-code", "codex"]),
        tokens: Tokens { input: byte(3).into(), output: byte(4).into(), cache_read: byte(5).into(), ..Tokens::default() },
        certainty: certainties[usize::from(byte(6)) % certainties.len()],
        sources: sources[usize::from(byte(6)) / 4 % sources.len()].into(),
        tier: told(byte(7), ["batch", "priority"]),
        ..Usage::default()
    }
}
