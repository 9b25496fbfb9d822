//! Sightings by the meter and the reader of today, lines as the log makes them, and what a second look makes of those.

use super::*;
use crate::meter::{Call, Ending, Meter};
use events::{CallUuid, Certainty, Fees, Sighting, Timestamp, Tokens};
use proptest::prelude::*;

/// A call as the proxy saw it.
fn carried(path: &str, reply: &str, ending: Ending) -> Sighting {
    let call = Call {
        provider: "relay",
        method: "POST",
        path,
        encoding: None,
        websocket: false,
        at: Timestamp::from_secs(1),
        uuid: CallUuid(7),
        source: Source::Proxy,
    };
    let mut meter = Meter::start(&call).expect("a call that is billed");
    meter.request(br#"{"model":"asked"}"#);
    meter.head(200, |_| None);
    meter.reply(reply.as_bytes());
    meter.finish(ending, Timestamp::from_secs(2)).swap_remove(0)
}

/// A message as the proxy saw it, whole or cut before its last word.
fn message(output: u64, tier: &str, is_whole: bool) -> Sighting {
    let start = format!(
        r#"{{"type":"message_start","message":{{"id":"msg_1","model":"claude-opus-5-5","usage":{{"input_tokens":3,"cache_read_input_tokens":400,"output_tokens":1{tier}}}}}}}"#
    );
    let delta = format!(r#"{{"type":"message_delta","usage":{{"output_tokens":{output},"server_tool_use":{{"web_search_requests":2}}}}}}"#);
    let stop = r#"{"type":"message_stop"}"#;
    let events = if is_whole { vec![start.as_str(), &delta, stop] } else { vec![start.as_str()] };
    let stream: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    carried("/v1/messages", &stream, if is_whole { Ending::Complete } else { Ending::UpstreamCut })
}

/// The same message in Claude Code's log.
fn row(output: u64, more: &str) -> Sighting {
    rows(&format!(r#"{{"input_tokens":3,"cache_read_input_tokens":400,"output_tokens":{output}{more}}}"#)).swap_remove(0)
}

/// All sightings of a row, those of calls within first.
fn rows(usage: &str) -> Vec<Sighting> {
    let text = format!(
        r#"{{"timestamp":"2026-01-12T09:00:02Z","sessionId":"s","message":{{"id":"msg_1","model":"claude-opus-5-5","usage":{usage}}}}}"#
    );
    let mut found = Vec::new();
    let line = logs::Line { bytes: text.as_bytes(), file: "f", offset: 0 };
    logs::claude_code::Reader::default().line(line, &mut |_| None, &mut found);
    found
}

/// The journal's lines about one call.
#[derive(Clone, Default)]
struct Journal(Vec<(Usage, Option<Said>)>);

impl Journal {
    fn record(&mut self, seen: &Sighting) {
        let after = self.0.last().map_or_else(|| Usage::clone(&seen.usage), |(before, _)| before.merged(&seen.usage));
        if self.0.last().is_none_or(|(before, _)| *before != after) {
            self.0.push((after, seen.said.clone()));
        }
    }

    fn of<'s>(sightings: impl IntoIterator<Item = &'s Sighting>) -> Journal {
        let mut journal = Journal::default();
        sightings.into_iter().for_each(|seen| journal.record(seen));
        journal
    }

    fn call(&self) -> Option<Usage> {
        let lines: Vec<Line<'_>> = self.0.iter().map(|(after, said)| Line { after, said: said.as_ref() }).collect();
        call(&lines)
    }

    fn last(&self) -> Option<Usage> {
        self.0.last().map(|(after, _)| after.clone())
    }

    /// What the command does: restates what changed, and marks the line.
    fn remeter(&mut self) -> bool {
        let Some(after) = self.call().filter(|after| Some(after) != self.last().as_ref()) else { return false };
        self.0.push((after, Some(mark())));
        true
    }
}

/// As a meter would leave it that counts what was cached twice and searches thrice, and takes what is asked for as the tier.
fn wrong(seen: &Sighting) -> Sighting {
    let tokens = Tokens { input: seen.usage.tokens.input + seen.usage.tokens.cache_read, ..seen.usage.tokens };
    let fees = Fees::of_searches(seen.usage.fees.web_search * 3);
    let usage = Usage { tokens, fees, tier: seen.usage.tier.as_ref().map(|tier| format!("{tier}?")), ..Usage::clone(&seen.usage) };
    Sighting { usage: usage.into(), said: seen.said.clone() }
}

#[test]
fn a_call_that_was_counted_twice_is_corrected_and_stays_corrected() {
    let (proxied, logged) = (message(90, r#","service_tier":"priority""#, true), row(90, ""));
    assert_eq!(again(&wrong(&proxied).usage, proxied.said.as_ref().expect("said")), Some(*proxied.usage.clone()));
    for sightings in [[&proxied, &logged], [&logged, &proxied]] {
        let mut journal = Journal::of(&sightings.map(wrong));
        assert_ne!(journal.last().map(|usage| usage.tokens), Some(proxied.usage.tokens));
        assert!(journal.remeter());
        assert_eq!(journal.last(), Journal::of(sightings).last());
        assert!(!journal.remeter(), "a second run changes nothing");
        sightings.iter().for_each(|seen| journal.record(seen));
        assert_eq!(journal.last(), Journal::of(sightings).last(), "nor does seeing the call again");
    }
}

#[test]
fn a_cut_reply_and_an_early_snapshot_do_not_come_back() {
    let (cut, early, late) = (message(0, r#","service_tier":"priority""#, false), row(1, ""), row(90, ""));
    for sightings in [[&cut, &early, &late], [&late, &cut, &early], [&early, &late, &cut]] {
        let mut journal = Journal::of(sightings);
        assert!(!journal.remeter());
        let usage = journal.last().expect("a call");
        assert_eq!((usage.tokens.output, usage.certainty, usage.tier.as_deref()), (90, Certainty::Reported, Some("priority")));
    }
}

#[test]
fn a_call_within_a_call_is_read_as_the_part_that_it_is() {
    let usage = r#"{"input_tokens":2,"output_tokens":9,"service_tier":"batch","inference_geo":"us","server_tool_use":{"web_search_requests":2},"iterations":[
        {"type":"advisor_message","model":"claude-fable-5","input_tokens":10,"output_tokens":2},{"type":"compaction","input_tokens":55,"output_tokens":1}]}"#;
    let found = rows(&usage.replace('\n', ""));
    assert_eq!(found.len(), 3);
    for Sighting { usage, said } in &found {
        let said = said.as_ref().expect("said");
        assert_eq!(again(usage, said).as_ref(), Some(&**usage));
        let wrong = Usage { tokens: Tokens::default(), tier: None, geo: None, ..Usage::clone(usage) };
        assert_eq!(again(&wrong, said).as_ref(), Some(&**usage));
    }
    let unnamed = Usage { model: None, ..Usage::clone(&found[0].usage) };
    assert_eq!(again(&unnamed, found[0].said.as_ref().expect("said")).as_ref(), Some(&*found[0].usage));
}

#[test]
fn what_was_unknown_is_known_whole_only_where_the_end_was_heard() {
    let reply = r#"{"id":"c","object":"chat.completion","model":"m","usage":{"words":5}}"#;
    let unread = carried("/v1/chat/completions", reply, Ending::Complete);
    assert_eq!(unread.usage.certainty, Certainty::Unknown);
    let said = unread.said.expect("said").text().to_owned();
    assert_eq!(again(&unread.usage, &of(&said)), None);
    // A provider's new word for what a newer meter can read.
    let readable = said.replace("words", "prompt_tokens");
    let known = again(&unread.usage, &of(&readable)).expect("readable");
    assert_eq!((known.certainty, known.tokens.input), (Certainty::Reported, 5));
    let unsure = again(&unread.usage, &of(&readable.replace("whole", "other"))).expect("readable");
    assert_eq!(unsure.certainty, Certainty::Partial);
}

fn of(json: &str) -> Said {
    Said::from(&serde_json::from_str::<Value>(json).expect("JSON"))
}

#[test]
fn what_does_not_show_how_to_read_it_changes_nothing() {
    let (proxied, logged) = (message(90, "", true), row(90, ""));
    let (reply, object) = (proxied.said.expect("said"), logged.said.expect("said"));
    let elsewhere = Usage { family: "openai".to_owned(), ..Usage::clone(&proxied.usage) };
    assert_eq!(again(&elsewhere, &reply), None, "a reply of another family");
    assert_eq!(again(&Usage { family: "openai".to_owned(), ..Usage::clone(&logged.usage) }, &object), None);
    assert_eq!(again(&Usage { client: Some("other".to_owned()), ..Usage::clone(&logged.usage) }, &object), None, "another client's log");
    assert_eq!(again(&Usage { sources: Source::Manual.into(), ..Usage::clone(&logged.usage) }, &object), None);
    for said in ["[]", "7", "{}", r#"{"surface":7}"#, r#"{"surface":"anthropic"}"#, r#"{"surface":"telex","usage":{"input_tokens":1}}"#] {
        assert_eq!((again(&proxied.usage, &of(said)), again(&logged.usage, &of(said))), (None, None), "{said}");
    }
    assert_eq!(again(&proxied.usage, &mark()), None);
    assert_eq!(call(&[]), None);
}

#[test]
fn what_nobody_put_into_words_stands_as_it_was_recorded() {
    let by_hand = Sighting::from(Usage { sources: Source::Manual.into(), ..*row(500, "").usage });
    let proxied = message(90, "", true);
    let mut journal = Journal::of([&wrong(&proxied), &by_hand]);
    assert!(journal.remeter(), "the searches");
    let usage = journal.last().expect("a call");
    assert_eq!((usage.tokens.output, usage.fees.web_search), (500, 2));
    assert_eq!(Journal::of([&by_hand]).call(), None);
}

fn sighting() -> impl Strategy<Value = Sighting> {
    let tier = || prop::sample::select(vec!["", r#","service_tier":"priority""#, r#","service_tier":"batch","inference_geo":"us""#]);
    prop_oneof![
        (0u64..4, tier(), any::<bool>()).prop_map(|(output, tier, is_whole)| message(output, tier, is_whole)),
        (0u64..4, tier()).prop_map(|(output, tier)| row(output, tier)),
        (0u64..4).prop_map(|output| Sighting::from(Usage { sources: Source::Otlp.into(), ..*row(output, "").usage })),
    ]
}

proptest! {
    #[test]
    fn what_todays_meters_recorded_is_right_whoever_saw_it_in_whatever_order(sightings in prop::collection::vec(sighting(), 1..7)) {
        let journal = Journal::of(&sightings);
        prop_assert!(journal.call().is_none_or(|usage| Some(usage) == journal.last()));
    }

    #[test]
    fn a_second_run_changes_nothing_even_after_more_was_seen(
        old in prop::collection::vec(sighting(), 1..5), new in prop::collection::vec(sighting(), 0..4),
    ) {
        let mut journal = Journal::of(&old.iter().map(wrong).collect::<Vec<_>>());
        journal.remeter();
        prop_assert!(!journal.remeter());
        new.iter().for_each(|seen| journal.record(seen));
        prop_assert!(!journal.remeter());
    }

    #[test]
    fn a_call_that_one_source_saw_becomes_what_todays_meter_makes_of_it(seen in sighting()) {
        let mut journal = Journal::of(&[wrong(&seen)]);
        journal.remeter();
        let told = if seen.said.is_some() { seen } else { wrong(&seen) };
        // A tier that a row does not name may be that of an earlier row; one that it names is today's.
        prop_assert_eq!(journal.last(), Some(*told.usage));
    }

    #[test]
    fn no_words_make_it_panic(text in "\\PC{0,60}", field in "surface|usage|type|input_tokens|iterations", number in any::<u64>()) {
        let usage = message(1, "", true).usage;
        for value in [serde_json::json!({"surface": "anthropic", "usage": {&field: &text}, &field: number}), serde_json::json!({&field: [&text]})] {
            let said = Said::from(&value);
            let once = again(&usage, &said);
            prop_assert_eq!(once.as_ref().and_then(|once| again(once, &said)), once, "the second time as the first");
        }
    }
}
