//! Batches of any length, answers that are fetched later, and what is stored and changed.

use super::*;

const LINES: usize = 20_000;

fn openai(n: usize) -> String {
    format!(
        r#"{{"id":"batch_req_{n}","custom_id":"r{n}","response":{{"status_code":200,"body":{{"id":"chatcmpl-{n}","model":"gpt-4o-mini","choices":[{{"message":{{"content":"x"}}}}],"usage":{{"prompt_tokens":100,"completion_tokens":10,"total_tokens":110}}}}}}}}"#
    )
}

fn anthropic(n: usize) -> String {
    format!(
        r#"{{"custom_id":"r{n}","result":{{"type":"succeeded","message":{{"id":"msg_{n}","model":"claude-sonnet-4-5","content":[],"usage":{{"input_tokens":100,"output_tokens":10,"service_tier":"batch"}}}}}}}}"#
    )
}

fn fetched<'a>(path: &'a str) -> Wire<'a> {
    Wire { method: "GET", path, ..POST }
}

#[test]
fn a_batch_is_recorded_as_its_lines_pass() {
    for (path, line) in [("/v1/files/file-1/content", openai as fn(usize) -> String), ("/v1/messages/batches/b/results", anthropic)] {
        let call = Call {
            provider: "p",
            method: "GET",
            path,
            encoding: None,
            at: Timestamp::from_secs(1),
            uuid: CallUuid(7),
            source: Source::Proxy,
            websocket: false,
        };
        let mut meter = Meter::start(&call).expect("a batch");
        meter.head(200, |_| None);
        let (mut calls, mut tokens, mut kept_bytes) = (0, 0, 0);
        let mut count = |sightings: Vec<Sighting>| {
            calls += sightings.len();
            tokens += sightings.iter().map(|it| it.usage.tokens.total()).sum::<u64>();
        };
        for n in 0..LINES {
            meter.reply(line(n).as_bytes());
            meter.reply(b"\n");
            if n % 500 == 0 {
                count(meter.settled(Timestamp::from_secs(2)));
                kept_bytes = kept_bytes.max(meter.kept_bytes());
            }
        }
        count(meter.finish(Ending::Complete, Timestamp::from_secs(3)));
        assert_eq!((calls, tokens), (LINES, 110 * LINES as u64), "{path}");
        assert!(kept_bytes < 1 << 20, "{kept_bytes}");
    }
}

#[test]
fn a_deferred_answer_is_one_call_with_its_request() {
    let asked = Wire { provider: "xai", request: br#"{"model":"grok-4","deferred":true,"messages":[]}"#, ..CHAT };
    let ticket = asked.sightings(br#"{"request_id":"f15c114e-f47d-40ca"}"#);
    let answer = br#"{"id":"335b92e4-afa5","object":"chat.completion","model":"grok-4","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":26,"completion_tokens":168,"total_tokens":194}}"#;
    let later = Wire { provider: "xai", ..fetched("/v1/chat/deferred-completion/f15c114e-f47d-40ca") }.sightings(answer);
    assert_eq!((ticket.len(), later.len()), (1, 1));
    assert_eq!(ticket[0].usage.key(), later[0].usage.key());
    let both = ticket[0].usage.merged(&later[0].usage);
    assert_eq!((both.certainty, both.tokens.output), (Certainty::Reported, 168));
}

#[test]
fn an_asynchronous_answer_is_one_call_with_its_request() {
    let asked = Wire {
        provider: "perplexity",
        path: "/async/chat/completions",
        request: br#"{"request":{"model":"sonar","messages":[]}}"#,
        ..POST
    };
    let ticket = asked.sightings(br#"{"id":"3fa85f64","model":"sonar","status":"CREATED","response":null}"#);
    let answer = br#"{"id":"3fa85f64","model":"sonar","status":"COMPLETED","response":{"id":"c-9","model":"sonar","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30,"search_context_size":"low","cost":{"total_cost":0.00503}}}}"#;
    let later = Wire { provider: "perplexity", ..fetched("/async/chat/completions/3fa85f64") }.sightings(answer);
    assert_eq!(ticket[0].usage.key(), later[0].usage.key());
    let both = ticket[0].usage.merged(&later[0].usage);
    assert_eq!((both.certainty, both.tokens.total(), both.reported_cost), (Certainty::Reported, 30, "0.00503".parse().ok()));
}

#[test]
fn a_stored_completion_that_is_changed_is_no_call() {
    let whole = br#"{"id":"chatcmpl-s","object":"chat.completion","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100}}"#;
    assert_eq!(Wire { path: "/v1/chat/completions/chatcmpl-s", ..POST }.sightings(whole), []);
    assert_eq!(fetched("/v1/chat/completions/chatcmpl-s").sightings(whole), []);
}
