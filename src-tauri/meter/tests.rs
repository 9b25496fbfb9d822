//! Requests and replies in, sightings out, through one door. The bodies are written by hand, after the providers' formats.

use super::document::REQUEST_BYTES_MAX;
use super::*;
use events::Usd;
use proptest::prelude::*;

mod batches;
mod bedrock;
mod conversations;
mod elsewhere;
mod pieces;
mod placeholders;
mod variants;

struct Wire<'a> {
    provider: &'a str,
    method: &'a str,
    path: &'a str,
    request: &'a [u8],
    status: u16,
    piece_bytes: usize,
    ending: Ending,
}

const POST: Wire<'static> =
    Wire { provider: "openai", method: "POST", path: "", request: b"", status: 200, piece_bytes: usize::MAX, ending: Ending::Complete };

impl Wire<'_> {
    fn sightings(&self, reply: &[u8]) -> Vec<Sighting> {
        let at = Timestamp::from_secs(1);
        let Wire { provider, method, path, .. } = *self;
        let call = Call { provider, method, path, encoding: None, at, uuid: CallUuid(7), source: Source::Proxy, websocket: false };
        let Some(mut meter) = Meter::start(&call) else { return Vec::new() };
        self.request.chunks(self.piece_bytes).for_each(|piece| meter.request(piece));
        meter.head(self.status, |name| (name == "request-id").then_some("req_1"));
        reply.chunks(self.piece_bytes).for_each(|piece| meter.reply(piece));
        meter.finish(self.ending, Timestamp::from_millis(1250))
    }

    /// The sightings in one line each.
    fn told(&self, reply: &str) -> Vec<String> {
        self.sightings(reply.as_bytes()).iter().map(|sighting| told(&sighting.usage)).collect()
    }
}

fn told(usage: &Usage) -> String {
    let tokens = serde_json::to_value(usage.tokens).expect("serialises");
    let fields = tokens.as_object().expect("an object").iter().map(|(class, count)| format!(" {class}={count}")).collect::<String>();
    let more = [
        ("tier", usage.tier.clone()),
        ("geo", usage.geo.clone()),
        ("cost", usage.reported_cost.map(|cost| cost.to_string())),
        ("search", (usage.fees.web_search > 0).then(|| usage.fees.web_search.to_string())),
    ];
    let more = more.into_iter().filter_map(|(name, value)| Some(format!(" {name}={}", value?))).collect::<String>();
    let id = usage.call_id.as_deref().unwrap_or("-");
    format!("{id} {} {:?}{fields}{more}", usage.model.as_deref().unwrap_or("?"), usage.certainty)
}

const MESSAGES: Wire<'static> = Wire { provider: "anthropic", path: "/v1/messages", ..POST };
const CHAT: Wire<'static> = Wire { path: "/v1/chat/completions", ..POST };
const RESPONSES: Wire<'static> = Wire { path: "/v1/responses", ..POST };

const START: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","model":"claude-opus-5-5","usage":{"input_tokens":3,"cache_creation_input_tokens":2070,"cache_read_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":14,"ephemeral_1h_input_tokens":2056},"output_tokens":1,"service_tier":"standard","inference_geo":"us"}}}

"#;
const DELTA: &str = r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":null,"cache_creation_input_tokens":2080,"output_tokens":459,"output_tokens_details":{"thinking_tokens":28},"server_tool_use":{"web_search_requests":2}}}

"#;
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[test]
fn a_stream_of_a_message_is_its_start_overlaid_with_its_delta() {
    let whole = "msg_1 claude-opus-5-5 Reported input=3 cache_read=7 cache_write_5m=24 cache_write_1h=2056 output=459 reasoning=28 tier=standard geo=us search=2";
    let mut expected: Vec<&str> = whole.split(' ').collect();
    let mut found: Vec<String> = MESSAGES.told(&[START, DELTA, STOP].concat())[0].split(' ').map(str::to_owned).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn a_message_that_is_cut_or_fails_keeps_what_was_reported() {
    let failed = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    for (rest, ending) in [("", Ending::UpstreamCut), ("", Ending::ClientGone), ("", Ending::Complete), (failed, Ending::Complete)] {
        let sightings = Wire { ending, ..MESSAGES }.sightings([START, rest].concat().as_bytes());
        let usage = &sightings[0].usage;
        assert_eq!((usage.certainty, usage.tokens.cache_write_1h, usage.tokens.output), (Certainty::Partial, 2056, 1), "{ending:?}");
    }
    assert_eq!(MESSAGES.sightings(failed.as_bytes()), [], "what failed before it began");
}

#[test]
fn advisors_and_compactions_are_calls_of_their_own() {
    let reply = r#"{"id":"msg_2","type":"message","model":"claude-sonnet-5","usage":{"input_tokens":220,"output_tokens":8,"speed":"fast","iterations":[
        {"type":"compaction","input_tokens":55196,"output_tokens":125},{"type":"message","input_tokens":220,"output_tokens":8},
        {"type":"advisor_message","model":"claude-opus-4-8","input_tokens":10,"output_tokens":2,"cache_read_input_tokens":4},
        {"type":"fallback_message","model":"claude-opus-4-8","input_tokens":412,"output_tokens":264}]}}"#;
    let expected = [
        "msg_2 claude-sonnet-5 Reported input=220 output=8 tier=fast",
        "msg_2:compaction:0 claude-sonnet-5 Reported input=55196 output=125 tier=fast",
        "msg_2:advisor:0 claude-opus-4-8 Reported cache_read=4 input=10 output=2 tier=fast",
    ];
    assert_eq!(MESSAGES.told(reply), expected);
}

#[test]
fn every_line_of_a_batch_is_a_call() {
    let line = |n: u8| {
        format!(
            r#"{{"custom_id":"c","result":{{"type":"succeeded","message":{{"id":"msg_{n}","model":"claude-haiku-5-5","usage":{{"input_tokens":{n},"output_tokens":5,"service_tier":"batch"}}}}}}}}"#
        )
    };
    let failed = r#"{"custom_id":"d","result":{"type":"errored","error":{"type":"invalid_request"}}}"#;
    let batch = Wire { method: "GET", path: "/v1/messages/batches/b/results", ..MESSAGES };
    let sightings = batch.sightings(format!("{}\n{failed}\n{}\n", line(1), line(2)).as_bytes());
    assert_eq!(sightings.iter().map(|it| it.usage.tokens.input).collect::<Vec<_>>(), [1, 2]);
    assert!(sightings.iter().all(|it| it.usage.carried.is_none() && it.usage.tier.as_deref() == Some("batch")));
}

fn chat(provider: &str, model: &str, usage: &str) -> String {
    let reply = format!(r#"{{"id":"c","object":"chat.completion","model":"{model}","choices":[],"usage":{usage}}}"#);
    Wire { provider, ..CHAT }.told(&reply).concat()
}

#[test]
fn what_the_prompt_includes_depends_on_the_provider_and_the_total_proves_it() {
    let cases = [
        (
            "openai",
            "gpt-6-sol",
            r#"{"prompt_tokens":100,"completion_tokens":9,"total_tokens":109,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},"completion_tokens_details":{"reasoning_tokens":5}}"#,
            "cache_read=60 cache_write_30m=30 input=10 output=9 reasoning=5",
        ),
        (
            "openai",
            "gpt-6-sol",
            r#"{"prompt_tokens":100,"completion_tokens":1,"prompt_tokens_details":{"cache_write_tokens":30,"cache_write_tokens_details":{"ttl_30m_tokens":10,"ttl_12h_tokens":20}}}"#,
            "cache_write_12h=20 cache_write_30m=10 input=70 output=1",
        ),
        (
            "openrouter",
            "anthropic/claude-opus-4",
            r#"{"prompt_tokens":50,"completion_tokens":1,"prompt_tokens_details":{"cache_write_tokens":30}}"#,
            "cache_write_5m=30 input=20 output=1",
        ),
        (
            "xai",
            "grok-code-fast-1",
            r#"{"prompt_tokens":496,"completion_tokens":77,"total_tokens":829,"prompt_tokens_details":{"cached_tokens":320},"completion_tokens_details":{"reasoning_tokens":256},"cost_in_usd_ticks":5411000}"#,
            "cache_read=320 input=176 output=333 reasoning=256 cost=0.000541100000",
        ),
        ("gemini", "gemini-2.5-pro", r#"{"prompt_tokens":66,"completion_tokens":6,"total_tokens":100}"#, "input=66 output=34 reasoning=28"),
        (
            "mistral",
            "voxtral-small",
            r#"{"prompt_tokens":11,"completion_tokens":15,"total_tokens":401,"prompt_tokens_details":{"audio_tokens":375,"cached_tokens":9}}"#,
            "cache_read=9 input=2 input_audio=375 output=15",
        ),
        (
            "azure",
            "grok-4-1-fast",
            r#"{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":161},"cost_in_usd_ticks":0}"#,
            "cache_read=161 input=10 output=3",
        ),
        (
            "deepseek",
            "d",
            r#"{"prompt_tokens":381,"completion_tokens":74,"prompt_cache_hit_tokens":256,"prompt_cache_miss_tokens":125}"#,
            "cache_read=256 input=125 output=74",
        ),
        (
            "moonshot",
            "kimi",
            r#"{"prompt_tokens":20,"completion_tokens":30,"total_tokens":50,"cached_tokens":10}"#,
            "cache_read=10 input=10 output=30",
        ),
        (
            "openrouter",
            "m",
            r#"{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9,"completion_tokens_details":{"reasoning_tokens":6},"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":3.6e-06}}"#,
            "input=5 output=4 reasoning=6 cost=0.000003600000",
        ),
        ("openrouter", "m:free", r#"{"prompt_tokens":5,"completion_tokens":4,"cost":0}"#, "input=5 output=4 cost=0.000000000000"),
        ("openrouter", "m", r#"{"prompt_tokens":5,"completion_tokens":4,"cost":0}"#, "input=5 output=4"),
        (
            "perplexity",
            "sonar",
            r#"{"prompt_tokens":5,"completion_tokens":4,"cost":{"total_cost":0.00507}}"#,
            "input=5 output=4 cost=0.005070000000",
        ),
        ("x", "m", r#"{"prompt_tokens":3.0,"completion_tokens":4.0,"total_tokens":18446744073709551615}"#, "input=3 output=4"),
    ];
    for (provider, model, usage, expected) in cases {
        assert_eq!(chat(provider, model, usage), format!("c {model} Reported {expected}"), "{provider} {usage}");
    }
    let unknown = r#"{"prompt_tokens":-1,"completion_tokens":4,"total_tokens":4}"#;
    assert_eq!(chat("x", "m", unknown), "c m Partial output=4", "a count below zero is none");
}

#[test]
fn usage_may_stand_in_any_chunk_and_is_never_summed() {
    let chunks = [
        r#"{"id":"","model":"","choices":[],"prompt_filter_results":[{}]}"#,
        r#"{"id":"chatcmpl-1","model":"m","choices":[{"delta":{"content":"\"usage\""}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
        r#"{"id":"chatcmpl-1","model":"m","choices":[{}],"usage":null,"x_groq":{"id":"r","usage":{"prompt_tokens":5,"completion_tokens":8}}}"#,
        "[DONE]",
    ];
    let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    assert_eq!(CHAT.told(&stream), ["chatcmpl-1 m Reported input=5 output=8"]);
    assert_eq!(
        Wire { ending: Ending::ClientGone, ..CHAT }.told(stream.trim_end_matches("data: [DONE]\n\n")),
        ["chatcmpl-1 m Partial input=5 output=8"]
    );
}

#[test]
fn the_last_event_of_a_response_tells_its_usage() {
    let created = r#"data: {"type":"response.created","response":{"id":"resp_1","model":"gpt-6-sol","service_tier":"auto","usage":null}}"#;
    let completed = r#"data: {"type":"response.completed","response":{"id":"resp_1","model":"gpt-6-sol","service_tier":"flex","usage":{"input_tokens":86,"input_tokens_details":{"cached_tokens":6},"output_tokens":52,"output_tokens_details":{"reasoning_tokens":32},"total_tokens":138},"tool_usage":{"web_search":{"num_requests":1},"image_gen":{"input_tokens":9,"output_tokens":40,"total_tokens":49}}}}"#;
    let expected = [
        "resp_1 gpt-6-sol Reported cache_read=6 input=80 output=52 reasoning=32 tier=flex search=1",
        "resp_1:image_gen:0 ? Reported input=9 output_image=40",
    ];
    assert_eq!(RESPONSES.told(&format!("{created}\n\n{completed}\n\n")), expected);
    assert_eq!(RESPONSES.told(&format!("{created}\n\n")), ["resp_1 gpt-6-sol Unknown"]);
    assert_eq!(RESPONSES.told(&format!("{created}\n\n{completed}"))[0], expected[0], "the last blank line is forgotten");
}

#[test]
fn a_response_that_is_fetched_again_is_not_carried_again() {
    let body =
        r#"{"id":"resp_1","object":"response","model":"gpt-6-sol","status":"completed","usage":{"input_tokens":1,"output_tokens":2}}"#;
    let again = Wire { method: "GET", path: "/v1/responses/resp_1", ..RESPONSES };
    let (first, second) = (&RESPONSES.sightings(body.as_bytes())[0].usage, &again.sightings(body.as_bytes())[0].usage);
    assert_eq!(first.key(), second.key());
    assert_eq!((first.carried, second.carried), (Some(CallUuid(7)), None));
    let queued = r#"{"id":"resp_1","object":"response","model":"gpt-6-sol","status":"queued","usage":null}"#;
    assert_eq!(RESPONSES.told(queued), ["resp_1 gpt-6-sol Unknown"], "its usage comes later");
    assert_eq!(again.told(queued), [] as [String; 0]);
}

#[test]
fn an_array_that_comes_piecemeal_repeats_its_usage() {
    let stream = r#"[{"candidates":[{}],"usageMetadata":{"promptTokenCount":19,"totalTokenCount":19,"trafficType":"ON_DEMAND"},"modelVersion":"gemini-3-pro","responseId":"r1"}
,
{"candidates":[{}],"usageMetadata":{"promptTokenCount":19,"candidatesTokenCount":47,"totalTokenCount":252,"cachedContentTokenCount":8,"toolUsePromptTokenCount":69,"thoughtsTokenCount":117}}]"#;
    let gemini = Wire { provider: "gemini", path: "/v1beta/models/gemini-pro-latest:streamGenerateContent", ..POST };
    let usage = "cache_read=8 input=80 output=164 reasoning=117 tier=ON_DEMAND";
    assert_eq!(gemini.told(stream), [format!("r1 gemini-3-pro Reported {usage}")]);
    assert_eq!(gemini.sightings(stream.as_bytes())[0].usage.request_model.as_deref(), Some("gemini-pro-latest"));
    assert_eq!(gemini.told(stream.trim_end_matches(']')), [format!("r1 gemini-3-pro Partial {usage}")], "the array is not closed");
}

#[test]
fn the_model_asked_for_stands_in_for_one_that_is_not_named() {
    let reply = r#"{"data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let request = br#"{"input":["x"],"model":"text-embedding-4"}"#;
    let embeddings = Wire { path: "/api/v1/embeddings", request, ..POST };
    assert_eq!(embeddings.told(reply), ["- text-embedding-4 Reported input=4"]);
    let huge = format!(r#"{{"messages":["{}"],"model":"m"}}"#, "x".repeat(2 * REQUEST_BYTES_MAX));
    let chat = Wire { request: huge.as_bytes(), piece_bytes: 60_000, ..CHAT };
    assert_eq!(chat.sightings(br#"{"id":"c","usage":{"prompt_tokens":4}}"#)[0].usage.model.as_deref(), Some("m"));
}

#[test]
fn missing_is_not_zero_and_an_error_is_not_a_call() {
    assert_eq!(CHAT.told(r#"{"id":"c","model":"m","choices":[]}"#), ["c m Unknown"]);
    assert_eq!(CHAT.told("<html>welcome</html>"), ["- ? Unknown"]);
    assert_eq!(Wire { status: 429, ..CHAT }.told(r#"{"error":{"message":"no"}}"#), [] as [String; 0]);
    assert_eq!(Wire { status: 502, ..CHAT }.told("<html>bad gateway</html>"), [] as [String; 0]);
    assert_eq!(CHAT.told(r#"{"error":{"message":"no"}}"#), [] as [String; 0]);
    assert_eq!(Wire { path: "/v1/whatever", ..POST }.told(r#"{"usage":{"input_tokens":3}}"#), [] as [String; 0]);
    let elsewhere = r#"{"id":"c","object":"chat.completion","model":"m","usage":{"prompt_tokens":3}}"#;
    assert_eq!(Wire { path: "/v1/chat", ..POST }.told(elsewhere), ["c m Reported input=3"], "the body shows what it is");
}

#[test]
fn a_sighting_tells_who_when_and_how_and_no_content() {
    let reply = r#"{"id":"c","model":"m","choices":[{"message":{"content":"secret"}}],"usage":{"prompt_tokens":3,"completion_tokens":1,"note":"a text too long to be the name of anything that a provider has, so it is dropped","cost":0.00007159}}"#;
    let sighting = CHAT.sightings(reply.as_bytes()).remove(0);
    let usage = &sighting.usage;
    assert_eq!((usage.provider.as_str(), usage.family.as_str(), usage.status), ("openai", "openai", Some(200)));
    assert_eq!((usage.request_id.as_deref(), usage.latency_ms, usage.carried), (Some("req_1"), Some(250), Some(CallUuid(7))));
    assert_eq!(usage.reported_cost, Some(Usd::from_pico(71_590_000)));
    let said = serde_json::json!({"model":"m","surface":"openai","usage":{"prompt_tokens":3,"completion_tokens":1,"cost":"0.00007159"}});
    assert_eq!(sighting.said, Some(events::Said::from(&said)));
}

proptest! {
    #[test]
    fn pieces_and_line_ends_change_nothing(size in 1usize..200, cut in 0usize..1200) {
        let stream = [START, DELTA, STOP].concat();
        let stream = &stream[..cut.min(stream.len())];
        let whole = MESSAGES.sightings(stream.as_bytes());
        prop_assert_eq!(&Wire { piece_bytes: size, ..MESSAGES }.sightings(stream.as_bytes()), &whole);
        prop_assert_eq!(&MESSAGES.sightings(stream.replace('\n', "\r\n").as_bytes()), &whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::TARGETS.iter().for_each(|target| fuzzing::run(target, &bytes));
    }

    #[test]
    fn no_json_makes_it_panic(
        choice in any::<u8>(), key in "usage|message|response|usageMetadata|type|id|result|model", count in any::<i64>(), text in "[a-z_.]{0,12}",
        class in "(prompt|input|output|completion|total)_tokens|iterations|cost|cache_creation_input_tokens|promptTokenCount|service_tier",
    ) {
        let usage = format!(r#"{{"{class}":{count},"prompt_tokens_details":{{"cached_tokens":{count},"audio_tokens":7}},"type":"{text}"}}"#);
        for body in [format!(r#"{{"{key}":{usage}}}"#), format!(r#"{{"{key}":{{"usage":{usage}}},"usage":[{usage}]}}"#), format!("data: {{\"{key}\":{usage}}}\n\n")] {
            let input = [&[choice, choice], body.as_bytes()].concat();
            fuzzing::TARGETS.iter().for_each(|target| fuzzing::run(target, &input));
        }
    }
}
