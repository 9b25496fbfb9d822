use super::{frame::Part, sweep::lifelike, *};
use crate::{
    Alert, Budget, BudgetScope, CallUuid, Event, Fees, MatchedBy, Period, Project, RequestKey, Source, Summary, Timestamp, Usage, Zone,
};
use proptest::prelude::*;
use std::{fs, path::Path};

fn sealed(entries: &[Entry]) -> Segment {
    Encoder::new().encode(entries).expect("seals")
}

/// One entry of every kind, a call with nothing, calls with everything, and keys that are not their usage's.
fn every_kind() -> Vec<Entry> {
    let usage = Usage {
        at: Timestamp::parse("2026-11-22T08:30:00.250Z").expect("a time"),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some("claude-opus-5-5".into()),
        request_model: Some("claude-opus".into()),
        call_id: Some("msg_1".into()),
        request_id: Some("req_1".into()),
        carried: Some(CallUuid(7)),
        device: Some("d0".into()),
        client: Some("claude-code".into()),
        project: Some(Project { by: ProjectBy::Header, name: "web".into() }),
        session: Some("s1".into()),
        branch: Some("main".into()),
        tier: Some("standard".into()),
        geo: Some("us".into()),
        tokens: Tokens {
            input: 1,
            cache_read: 2,
            cache_write_5m: 3,
            cache_write_30m: 4,
            cache_write_1h: 5,
            cache_write_12h: 6,
            output: 7,
            input_audio: 8,
            cache_read_audio: 9,
            input_image: 10,
            output_audio: 11,
            output_image: 12,
            reasoning: 13,
        },
        fees: Fees::of_searches(2),
        requests: None,
        certainty: Certainty::Reported,
        reported_cost: Some(Usd::from_pico(4_213_500_000)),
        latency_ms: Some(1234),
        status: Some(200),
        sources: Sources::only(Source::Proxy).and(Source::Log.into()),
    };
    let next =
        Usage { call_id: Some("msg_2é".into()), carried: None, session: None, reported_cost: None, latency_ms: None, ..usage.clone() };
    let budget = Budget {
        name: "month".into(),
        period: Period::Month,
        limit: Usd::from_pico(20_000_000_000_000),
        scope: BudgetScope { project: Some("web".into()), ..BudgetScope::default() },
        alert_percents: vec![80, 100],
    };
    let alert = Alert {
        budget: "month".into(),
        period_start: Zone::default().day(usage.at),
        percent: 80,
        spent: Usd::from_pico(16_000_000_000_001),
        limit: budget.limit,
    };
    let call = |usage: &Usage| Event::Used { usage: Box::new(usage.clone()) };
    let kinds = [
        (usage.key(), call(&usage)),
        (None, Event::BudgetSet { budget }),
        (next.key(), Event::Restated { before: Box::new(Usage::default()), after: Box::new(next.clone()) }),
        (Some(RequestKey([9; 16])), call(&next)),
        (None, Event::AlertRaised { alert }),
        (None, call(&usage)),
        (None, call(&Usage::default())),
        (None, Event::BudgetRemoved { name: "month".into() }),
    ];
    let entry = |(number, (key, event))| Entry { seq: Seq(number), recorded_at: Timestamp::from_secs(1_795_336_200), key, event };
    (41..).zip(kinds).map(entry).collect()
}

#[test]
fn every_segment_of_version_1_is_read_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment-v1.bin");
    let entries = every_kind();
    if !path.exists() {
        // Only ever written once: an existing golden file is never overwritten.
        let Segment { hot, cold } = sealed(&entries);
        fs::write(&path, rmp_serde::to_vec(&(hot, cold)).expect("packs")).expect("written");
    }
    let (hot, cold) = rmp_serde::from_slice(&fs::read(&path).expect("the golden file")).expect("unpacks");
    let kept = Segment { hot, cold };
    assert_eq!(Unpacker::new().entries(&kept).expect("a segment of version 1"), entries);
    // Another zstd may pack otherwise; what is packed is version 1.
    let (mut unpacker, mut one, mut other) = (Unpacker::new(), Vec::new(), Vec::new());
    let today = sealed(&entries);
    for (part, kept, today) in [(Part::Hot, &kept.hot, &today.hot), (Part::Cold, &kept.cold, &today.cold)] {
        unpacker.unpack(part, kept, &mut one).expect("unpacks");
        unpacker.unpack(part, today, &mut other).expect("unpacks");
        assert_eq!(one, other, "what is written today is version 1");
    }
}

#[test]
fn columns_say_what_the_entries_said() {
    let entries = every_kind();
    let segment = sealed(&entries);
    let mut body = Vec::new();
    let bounds = Unpacker::new().unpack_hot(&segment.hot, &mut body).expect("unpacks");
    assert_eq!(bounds, Bounds::read(&segment.hot).expect("reads"));
    let columns = Columns::read(&body).expect("reads");
    assert_eq!((columns.first, columns.entries), (Seq(41), 8));
    assert_eq!(columns.entry, [0, 2, 2, 3, 5, 6]);
    assert_eq!(columns.side, [Side::Added, Side::Taken, Side::Added, Side::Added, Side::Added, Side::Added]);
    assert_eq!(columns.others.len(), 3);
    assert_eq!(columns.profiles.len(), 2);
    assert_eq!(columns.profile, [0, 1, 0, 0, 0, 1]);
    assert_eq!(columns.profiles[0].project, Some((ProjectBy::Header, "web")));
    assert_eq!(columns.latency_ms[..2], [Some(1234), None]);
}

#[test]
fn a_segment_need_not_hold_a_call() {
    let other = |seq| Entry {
        seq: Seq(seq),
        recorded_at: Timestamp::default(),
        key: None,
        event: Event::Summarised {
            summary: Box::new(Summary {
                usage: Usage { at: Timestamp::from_micros(7), ..Usage::default() },
                calls: seq,
                rounding: Usd::ZERO,
            }),
        },
    };
    let entries: Vec<Entry> = (1..=1024).map(other).collect();
    let segment = sealed(&entries);
    assert_eq!(Unpacker::new().entries(&segment).expect("reads"), entries);
    let span = Bounds::read(&segment.hot).expect("reads").span;
    assert_eq!((span.from.micros(), span.until.micros()), (7, 8), "a question about some days finds it");
}

#[test]
fn the_span_of_a_segment_holds_all_its_calls() {
    let segment = sealed(&every_kind());
    let span = Bounds::read(&segment.hot).expect("reads").span;
    assert_eq!((span.from, span.until.to_string().as_str()), (Timestamp::default(), "2026-11-22T08:30:00.250001Z"));
    assert!(span.contains(Timestamp::default()));
    let empty = Bounds::read(&sealed(&every_kind()[1..2]).hot).expect("reads").span;
    assert_eq!(empty.from, empty.until, "no call, no time");
}

#[test]
fn equal_profiles_have_equal_bytes_in_every_segment() {
    let entries = lifelike(600, 0);
    let (first, second) = entries.split_at(300);
    let mut unpacker = Unpacker::new();
    let mut bodies = [Vec::new(), Vec::new()];
    let mut known = Vec::new();
    for (part, body) in [first, second].into_iter().zip(&mut bodies) {
        unpacker.unpack_hot(&sealed(part).hot, body).expect("unpacks");
    }
    for body in &bodies {
        known.extend(Columns::read(body).expect("reads").profiles);
    }
    for one in &known {
        for other in &known {
            let same_fields = Profile { bytes: &[], ..*one } == Profile { bytes: &[], ..*other };
            assert_eq!(same_fields, one.bytes == other.bytes);
        }
    }
}

#[test]
fn what_is_too_large_is_refused_when_it_is_written() {
    let mut entries = lifelike(3, 0);
    for (entry, letter) in entries.iter_mut().zip(["a", "b", "c"]) {
        if let Event::Used { usage } = &mut entry.event {
            usage.call_id = Some(letter.repeat(3 << 20));
        }
        entry.key = None;
    }
    let mut encoder = Encoder::new();
    assert!(matches!(encoder.encode(&entries), Err(SegmentError::TooLarge(_))));
    let fewer = encoder.encode(&entries[..2]).expect("half of them fits");
    assert_eq!(Unpacker::new().entries(&fewer).expect("reads"), entries[..2]);
}

/// What is read from a damaged segment, if anything.
#[allow(clippy::type_complexity)]
fn read(segment: &Segment) -> (Result<Vec<Entry>, SegmentError>, Result<(), SegmentError>, Result<Bounds, SegmentError>) {
    let mut unpacker = Unpacker::new();
    let mut body = Vec::new();
    let columns = unpacker.unpack_hot(&segment.hot, &mut body).and_then(|_| Columns::read(&body).map(|_| ()));
    (unpacker.entries(segment), columns, Bounds::read(&segment.hot))
}

#[test]
fn no_flipped_bit_gives_a_wrong_answer() {
    let entries = every_kind();
    let whole = sealed(&entries);
    for bit in 0..(whole.hot.len() + whole.cold.len()) * 8 {
        let mut flipped = whole.clone();
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        match flipped.hot.get_mut(byte) {
            Some(byte) => *byte ^= mask,
            None => flipped.cold[byte - whole.hot.len()] ^= mask,
        }
        let (read, _, bounds) = read(&flipped);
        if let Ok(read) = read {
            // zstd has bits that say nothing, such as how large a window is more than enough.
            assert_eq!(read, entries, "bit {bit}");
        }
        if let Ok(bounds) = bounds {
            assert_eq!(bounds, Bounds::read(&whole.hot).expect("reads"), "bit {bit}");
        }
    }
}

#[test]
fn no_part_of_a_segment_is_a_segment() {
    let entries = every_kind();
    let whole = sealed(&entries);
    for length in 0..whole.hot.len() {
        assert!(read(&Segment { hot: whole.hot[..length].to_vec(), cold: whole.cold.clone() }).0.is_err());
    }
    for length in 0..whole.cold.len() {
        assert!(read(&Segment { hot: whole.hot.clone(), cold: whole.cold[..length].to_vec() }).0.is_err());
    }
    let longer = Segment { hot: [&whole.hot[..], &[0]].concat(), cold: whole.cold.clone() };
    assert!(read(&longer).0.is_err());
    let strange = Segment { hot: whole.hot.clone(), cold: sealed(&entries[1..]).cold };
    assert!(read(&strange).0.is_err(), "the ids of other entries");
    let swapped = Segment { hot: whole.cold, cold: whole.hot };
    assert!(read(&swapped).0.is_err());
}

#[test]
fn a_later_version_is_refused_by_its_name() {
    let mut whole = sealed(&every_kind());
    whole.hot[1] = 9;
    assert!(matches!(Bounds::read(&whole.hot), Err(SegmentError::Version(9))));
}

/// A number of any size: small ones are as likely as large ones.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64, any::<bool>()).prop_map(|(bits, shift, is_zero)| if is_zero { 0 } else { bits >> shift })
}

fn tokens() -> impl Strategy<Value = Tokens> {
    prop::array::uniform13(number()).prop_map(|count| {
        // Without `..`, so that a new class is thought of here, and in `tokens.rs`.
        Tokens {
            input: count[0],
            cache_read: count[1],
            cache_write_5m: count[2],
            cache_write_30m: count[3],
            cache_write_1h: count[4],
            cache_write_12h: count[5],
            output: count[6],
            input_audio: count[7],
            cache_read_audio: count[8],
            input_image: count[9],
            output_audio: count[10],
            output_image: count[11],
            reasoning: count[12],
        }
    })
}

prop_compose! {
    fn usage()(
        at in prop_oneof![any::<i64>(), (0i64..2_000_000_000).prop_map(|second| second * 1_000_000)],
        required in prop::array::uniform2("[ab]{0,2}"),
        names in prop::array::uniform8(prop::option::of("[abé]{0,3}")),
        ids in prop::array::uniform2(prop::option::of("(msg_|é)[a-cé]{0,4}")),
        carried in prop::option::of(any::<u128>()),
        project in prop::option::of((0usize..4, "[ab]{1,2}")),
        tokens in prop_oneof![Just(Tokens::default()), tokens()],
        web_search in prop_oneof![Just(0), any::<u32>()],
        pieces in prop_oneof![2 => Just((0, 0)), 1 => any::<(u32, u32)>()],
        requests in prop_oneof![2 => Just(None), 1 => any::<Option<u32>>()],
        certainty in 0usize..4,
        reported_cost in prop::option::of(any::<i128>()),
        latency_ms in prop::option::of(any::<u32>()),
        status in prop::option::of(any::<u16>()),
        sources in prop::collection::vec(0usize..6, 0..3),
    ) -> Usage {
        let [provider, family] = required;
        let [model, request_model, device, client, session, branch, tier, geo] = names;
        let [call_id, request_id] = ids;
        let by = [ProjectBy::Hand, ProjectBy::Path, ProjectBy::Header, ProjectBy::Folder];
        let every = [Source::Estimate, Source::Manual, Source::Otlp, Source::Log, Source::Connect, Source::Proxy];
        Usage {
            at: Timestamp::from_micros(at),
            provider, family, model, request_model, call_id, request_id, device, client, session, branch, tier, geo, tokens,
            carried: carried.map(CallUuid),
            project: project.map(|(way, name)| Project { by: by[way], name }),
            fees: Fees { web_search, pieces: crate::Pieces { file_search: pieces.0, page: pieces.1, ..Default::default() } },
            requests,
            certainty: [Certainty::Unknown, Certainty::Estimated, Certainty::Partial, Certainty::Reported][certainty],
            reported_cost: reported_cost.map(Usd::from_pico),
            latency_ms, status,
            sources: sources.into_iter().fold(Sources::default(), |all, source| all.and(every[source].into())),
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let budget = ("[ab]{0,2}", any::<i128>(), prop::collection::vec(any::<u32>(), 0..3)).prop_map(|(name, limit, alert_percents)| {
        let budget = Budget { name, period: Period::Week, limit: Usd::from_pico(limit), scope: BudgetScope::default(), alert_percents };
        Event::BudgetSet { budget }
    });
    let alert = ("[ab]{0,2}", 0i64..2_000_000_000, any::<i128>()).prop_map(|(budget, second, spent)| {
        let period_start = Zone::default().day(Timestamp::from_secs(second));
        Event::AlertRaised { alert: Alert { budget, period_start, percent: 80, spent: Usd::from_pico(spent), limit: Usd::ZERO } }
    });
    // Boxed, because the generator of a usage is large and a test's stack is not.
    let usage = || usage().prop_map(Box::new).boxed();
    prop_oneof![
        4 => usage().prop_map(|usage| Event::Used { usage }),
        2 => (usage(), usage()).prop_map(|(before, after)| Event::Restated { before, after }),
        1 => usage().prop_map(|usage| Event::Restated { before: usage.clone(), after: usage }),
        1 => budget,
        1 => "[ab]{0,2}".prop_map(|name| Event::BudgetRemoved { name }),
        1 => alert,
        1 => ("[ab]", prop::option::of("[ab]"), prop::option::of(any::<i64>())).prop_map(|(model, provider, from)| {
            let name = crate::AgreedName { model, provider, tier: crate::Tier::Batch };
            Event::PriceUnset { name, from: from.map(Timestamp::from_micros) }
        }),
        1 => any::<i64>().prop_map(|before| Event::Folded { before: Timestamp::from_micros(before) }),
        1 => (any::<[u8; 16]>(), prop::option::of(usage())).prop_map(|(call, before)| {
            Event::Matched { call: RequestKey(call), by: MatchedBy::Time, before }
        }),
        1 => ("[ab]{0,2}", "[ab]{0,2}").prop_map(|(recorded, name)| Event::ProjectRenamed { recorded, name }),
        2 => (usage(), any::<u64>(), any::<i128>()).prop_map(|(usage, calls, rounding)| {
            let summary = Summary { usage: *usage, calls, rounding: Usd::from_pico(rounding) };
            Event::Summarised { summary: Box::new(summary) }
        }),
    ]
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let key = prop_oneof![2 => Just(None), 1 => any::<[u8; 16]>().prop_map(|key| Some(Some(RequestKey(key)))), 1 => Just(Some(None))];
    let recorded = prop_oneof![Just(1_795_336_200_000_000), any::<i64>()];
    (0u64..u64::MAX - 1000, prop::collection::vec((key, recorded, event()), 1..40)).prop_map(|(first, all)| {
        let entry = |(seq, (key, recorded_at, event)): (u64, (Option<Option<RequestKey>>, i64, Event))| {
            let own = match &event {
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
                | Event::ProjectRenamed { .. } => None,
            };
            Entry { seq: Seq(seq), recorded_at: Timestamp::from_micros(recorded_at), key: key.unwrap_or(own), event }
        };
        (first..).zip(all).map(entry).collect()
    })
}

proptest! {
    #[test]
    fn entries_come_back_exactly_as_they_were(entries in entries()) {
        let segment = sealed(&entries);
        prop_assert_eq!(Unpacker::new().entries(&segment).expect("reads"), entries);
    }

    #[test]
    fn no_bytes_make_it_panic(hot in prop::collection::vec(any::<u8>(), 0..200), cold in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&Segment { hot: hot.clone(), cold });
        let _ = Columns::read(&hot);
    }

    /// Behind the checksums: what a program with a fault in its writer would leave.
    #[test]
    fn no_body_makes_it_panic(entries in entries(), at in any::<prop::sample::Index>(), byte in any::<u8>(), inserted in any::<bool>()) {
        let segment = sealed(&entries);
        let mut unpacker = Unpacker::new();
        let mut packer = frame::Packer::new();
        let bounds = Bounds::read(&segment.hot).expect("reads");
        let mut damaged = segment.clone();
        for (part, value) in [(Part::Hot, &mut damaged.hot), (Part::Cold, &mut damaged.cold)] {
            let mut body = frame::Body::default();
            unpacker.unpack(part, value, &mut body.bytes).expect("unpacks");
            let place = at.index(body.bytes.len());
            if inserted { body.bytes.insert(place, byte) } else { body.bytes[place] = byte };
            *value = packer.pack(part, &bounds, &body).expect("packs");
        }
        let _ = read(&damaged);
        let _ = read(&Segment { hot: segment.hot, cold: damaged.cold });
        let _ = read(&Segment { hot: damaged.hot, cold: segment.cold });
    }
}
