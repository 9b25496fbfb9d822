//! Bedrock: converse and invoke, whole and as event streams.

use super::super::fuzzing::message;
use super::*;
use base64::{Engine as _, prelude::BASE64_STANDARD};

const CONVERSE: Wire<'static> = Wire { provider: "bedrock", path: "/model/us.amazon.nova-lite-v1%3A0/converse", ..POST };
const STREAM: Wire<'static> = Wire { path: "/model/us.amazon.nova-lite-v1%3A0/converse-stream", ..CONVERSE };
const USAGE: &str = r#"{"inputTokens":433,"outputTokens":16,"totalTokens":3201,"cacheReadInputTokens":2752,"cacheReadInputTokenCount":2752,"cacheWriteInputTokens":9,"cacheWriteInputTokenCount":9,"cacheDetails":[{"ttl":"1h","inputTokens":4},{"ttl":"5m","inputTokens":5}]}"#;
const TOLD: &str = "- us.amazon.nova-lite-v1:0 Reported cache_read=2752 cache_write_1h=4 cache_write_5m=5 input=433 output=16";

/// An event of a model's own, as Bedrock wraps it.
fn wrapped(event: &str) -> Vec<u8> {
    message("event", format!(r#"{{"bytes":"{}","p":"abc"}}"#, BASE64_STANDARD.encode(event)).as_bytes())
}

fn told_of(wire: &Wire<'_>, reply: &[u8]) -> Vec<String> {
    wire.sightings(reply).iter().map(|sighting| told(&sighting.usage)).collect()
}

#[test]
fn the_names_with_count_repeat_the_others_and_writes_are_split_by_lifetime() {
    assert_eq!(CONVERSE.told(&format!(r#"{{"metrics":{{}},"output":{{}},"usage":{USAGE}}}"#)), [TOLD]);
    let last = message("event", format!(r#"{{"p":"abcd","metrics":{{"latencyMs":1}},"usage":{USAGE}}}"#).as_bytes());
    let stream = [message("event", br#"{"role":"assistant"}"#), last].concat();
    assert_eq!(told_of(&STREAM, &stream), [TOLD]);
    for size in [1, 5, 90] {
        assert_eq!(told_of(&Wire { piece_bytes: size, ..STREAM }, &stream), [TOLD]);
    }
}

#[test]
fn a_stream_that_is_damaged_or_ends_in_an_exception_is_not_whole() {
    let last = message("event", format!(r#"{{"usage":{USAGE}}}"#).as_bytes());
    let failed = [last.clone(), message("exception", br#"{"message":"throttled"}"#)].concat();
    let mut damaged = [last.clone(), last].concat();
    *damaged.last_mut().expect("bytes") ^= 1;
    for stream in [failed, damaged] {
        assert_eq!(told_of(&STREAM, &stream), [TOLD.replace("Reported", "Partial")]);
    }
}

#[test]
fn a_model_with_a_dialect_of_its_own_is_read_in_it() {
    let invoke = Wire { path: "/model/anthropic.claude-3-haiku/invoke-with-response-stream", ..CONVERSE };
    let events = [
        r#"{"type":"message_start","message":{"id":"msg_bdrk_1","model":"claude-3-haiku","usage":{"input_tokens":16,"output_tokens":1}}}"#,
        r#"{"type":"message_delta","usage":{"output_tokens":21}}"#,
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":16,"outputTokenCount":7}}"#,
    ];
    let stream: Vec<u8> = events.iter().flat_map(|event| wrapped(event)).collect();
    assert_eq!(told_of(&invoke, &stream), ["msg_bdrk_1 claude-3-haiku Reported input=16 output=21"]);
    let titan = [
        wrapped(r#"{"outputText":"a","inputTextTokenCount":5}"#),
        wrapped(
            r#"{"totalOutputTextTokenCount":10,"inputTextTokenCount":null,"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":10}}"#,
        ),
    ];
    let invoke = Wire { path: "/model/amazon.titan-text-lite-v1/invoke-with-response-stream", ..CONVERSE };
    assert_eq!(told_of(&invoke, &titan.concat()), ["- amazon.titan-text-lite-v1 Reported input=5 output=10"]);
    let gpt = wrapped(
        r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","model":"openai.gpt-oss-120b","choices":[{"delta":{}}],"amazon-bedrock-invocationMetrics":{"inputTokenCount":70,"outputTokenCount":31}}"#,
    );
    assert_eq!(told_of(&invoke, &gpt), ["chatcmpl-1 openai.gpt-oss-120b Reported input=70 output=31"]);
    let whole = r#"{"inputTextTokenCount":28.0,"results":[{"tokenCount":197.0,"outputText":"x"}]}"#;
    let invoke = Wire { path: "/model/amazon.titan-text-lite-v1/invoke", ..CONVERSE };
    assert_eq!(invoke.told(whole), ["- amazon.titan-text-lite-v1 Reported input=28 output=197"]);
}

#[test]
fn where_the_body_counts_nothing_the_headers_do() {
    let call = Call {
        provider: "bedrock",
        method: "POST",
        path: "/model/cohere.command-text-v14/invoke",
        encoding: None,
        websocket: false,
        at: Timestamp::from_secs(1),
        uuid: CallUuid(7),
        source: Source::Proxy,
    };
    let mut meter = Meter::start(&call).expect("a call that is billed");
    meter.head(200, |name| match name {
        "x-amzn-bedrock-input-token-count" => Some("9"),
        "x-amzn-bedrock-output-token-count" => Some("112"),
        _ => None,
    });
    meter.reply(br#"{"id":"x","generations":[{"text":"Why"}],"prompt":"Tell"}"#);
    let sightings = meter.finish(Ending::Complete, Timestamp::from_secs(2));
    assert_eq!(told(&sightings[0].usage), "- cohere.command-text-v14 Reported input=9 output=112");
}
