//! What providers do otherwise: other names, other places, other measures, and replies that are odd, cut or hostile.

use super::super::fuzzing::message;
use super::*;

fn post(path: &str) -> Wire<'_> {
    Wire { path, ..POST }
}

#[test]
fn numbers_may_be_quoted_odd_or_impossible() {
    let cases = [
        (r#"{"prompt_tokens":"12","completion_tokens":"3","total_tokens":"15"}"#, "input=12 output=3"),
        (r#"{"prompt_tokens":1e3,"completion_tokens":1.5e1,"total_tokens":2.0}"#, "input=1000 output=15"),
        (r#"{"prompt_tokens":12.9,"completion_tokens":-7}"#, "input=12"),
        (r#"{"prompt_tokens":5,"completion_tokens":99999999999999999999999}"#, "input=5"),
        (
            r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615}"#,
            "input=18446744073709551615 output=18446744073709551615",
        ),
        (
            r#"{"prompt_tokens":5,"completion_tokens":4,"prompt_tokens_details":null,"completion_tokens_details":[],"x":{"y":{"z":1}}}"#,
            "input=5 output=4",
        ),
        (
            r#"{"prompt_tokens":5,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":0},"num_cached_tokens":2}"#,
            "cache_read=2 input=3 output=4",
        ),
        (r#"{"prompt_tokens":5,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":9}}"#, "cache_read=9 input=5 output=4"),
    ];
    for (usage, expected) in cases {
        assert_eq!(chat("openai", "m", usage), format!("c m Reported {expected}"), "{usage}");
    }
}

#[test]
fn what_is_no_usage_does_not_undo_one() {
    let first = r#"{"id":"c","model":"m","choices":[{}],"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}"#;
    for later in [r#"[]"#, r#""""#, "0", "false", "null", "{}", r#"{"prompt_tokens_details":null}"#, r#"{"prompt_tokens_details":0}"#] {
        let stream = format!(
            "data:{first}\r\n\r\n: still here\r\n\r\nid: 7\r\ndata: {{\"id\":\"c\",\"choices\":[{{}}],\"usage\":{later}}}\r\n\r\ndata: [DONE] \r\n\r\n"
        );
        assert_eq!(CHAT.told(&stream), ["c m Reported cache_read=1 input=4 output=2"], "{later}");
    }
}

#[test]
fn thoughts_that_only_the_total_shows_are_output() {
    let cases = [
        (
            "gemini",
            "gemini-2.5-flash",
            r#"{"prompt_tokens":35,"completion_tokens":12,"total_tokens":109}"#,
            "input=35 output=74 reasoning=62",
        ),
        ("gemini", "gemini-2.5-flash", r#"{"prompt_tokens":8,"total_tokens":107}"#, "input=8 output=99 reasoning=99"),
        ("gemini", "gemini-embedding-001", r#"{"prompt_tokens":8,"total_tokens":8}"#, "input=8"),
        ("xai", "grok-4", r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}"#, "input=10 output=30 reasoning=25"),
        ("openai", "gpt-4o", r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}"#, "input=10 output=5"),
    ];
    for (provider, model, usage, expected) in cases {
        assert_eq!(chat(provider, model, usage), format!("c {model} Reported {expected}"), "{usage}");
    }
}

#[test]
fn what_connectors_read_stands_beside_the_prompt() {
    let usage = r#"{"prompt_tokens":188,"completion_tokens":55,"total_tokens":7355,"connector_tokens":7112,"connectors":{"web_search":1}}"#;
    let done = format!(
        "data: {{\"type\":\"conversation.response.started\",\"conversation_id\":\"conv_1\"}}\n\ndata: {{\"type\":\"conversation.response.done\",\"usage\":{usage}}}\n\n"
    );
    let request = br#"{"model":"mistral-medium-latest","inputs":"x"}"#;
    let conversation = Wire { provider: "mistral", request, ..post("/v1/conversations") };
    assert_eq!(conversation.told(&done), ["- mistral-medium-latest Reported input=7300 output=55"]);
}

#[test]
fn a_cost_is_kept_in_whatever_unit_and_place_it_is_told() {
    let credits = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":453,"completion_tokens":1156},"copilot_usage":{"total_nano_aiu":1697675000}}"#;
    assert_eq!(Wire { provider: "copilot", ..CHAT }.told(credits), ["c m Reported input=453 output=1156 cost=0.016976750000"]);
    let event = r#"data: {"type":"response.completed","copilot_usage":{"total_nano_aiu":5},"response":{"id":"r","model":"m","usage":{"input_tokens":1,"output_tokens":2}}}"#;
    assert_eq!(RESPONSES.told(&format!("{event}\n\n")), ["r m Reported input=1 output=2 cost=0.000000000050"]);
    let nothing = credits.replace("1697675000", "0");
    assert_eq!(CHAT.told(&nothing), ["c m Reported input=453 output=1156"], "nothing for something is no price");
    let relayed = r#"{"id":"gen-1","type":"message","model":"m","usage":{"input_tokens":3,"output_tokens":4,"cost":0.0125}}"#;
    assert_eq!(MESSAGES.told(relayed), ["gen-1 m Reported input=3 output=4 cost=0.012500000000"]);
    let ranked = r#"{"id":"gen-2","model":"rerank-v3.5","results":[],"usage":{"cost":0.001,"search_units":1}}"#;
    assert_eq!(post("/api/v1/rerank").told(ranked), ["gen-2 rerank-v3.5 Reported cost=0.001000000000"]);
    let ranked = r#"{"object":"list","data":[{"index":0}],"model":"rerank-2-lite","usage":{"total_tokens":43}}"#;
    assert_eq!(post("/v1/rerank").told(ranked), ["- rerank-2-lite Reported input=43"]);
    let ranked = r#"{"id":"c1","results":[],"meta":{"billed_units":{"search_units":1}}}"#;
    assert_eq!(post("/v2/rerank").told(ranked), ["c1 ? Reported"], "by searches");
    let beside = r#"data: {"type":"message_delta","usage":{"input_tokens":3,"output_tokens":4},"copilot_usage":{"total_nano_aiu":7}}"#;
    let copilot = Wire { provider: "copilot", ..MESSAGES };
    assert_eq!(copilot.told(&format!("{beside}\n\n{STOP}")), ["- ? Reported input=3 output=4 cost=0.000000000070"]);
}

#[test]
fn models_that_make_pictures_count_them_though_the_reply_does_not_name_the_model() {
    let usage = r#"{"input_tokens":431,"input_tokens_details":{"image_tokens":388,"text_tokens":43},"output_tokens":1364,"output_tokens_details":{"image_tokens":1056,"text_tokens":308},"total_tokens":1795}"#;
    let request = br#"{"model":"gpt-image-1.5","prompt":"a cat"}"#;
    let images = Wire { request, ..post("/v1/images/generations") };
    let expected = "gpt-image-1.5 Reported input=43 input_image=388 output=308 output_image=1056";
    assert_eq!(images.told(&format!(r#"{{"created":1,"data":[],"usage":{usage}}}"#)), [format!("- {expected}")]);
    assert_eq!(images.told(&format!("data: {{\"type\":\"image_generation.completed\",\"usage\":{usage}}}\n\n")), [format!("- {expected}")]);
    assert_eq!(images.told(r#"{"created":1,"data":[{"url":"x"}]}"#), ["- gpt-image-1.5 Reported"], "billed by the piece");
    let form = b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-image-1.5\r\n--b--";
    let edits = Wire { request: form, ..post("/v1/images/edits") };
    assert_eq!(edits.told(&format!(r#"{{"data":[],"usage":{usage}}}"#)), [format!("- {expected}")]);
}

#[test]
fn llama_cpp_counts_in_its_timings() {
    let last = r#"{"id":"c","model":"m","choices":[{"finish_reason":"stop","delta":{}}],"timings":{"cache_n":18,"prompt_n":1,"prompt_ms":5.6,"predicted_n":7}}"#;
    assert_eq!(CHAT.told(&format!("data: {last}\n\ndata: [DONE]\n\n")), ["c m Reported cache_read=18 input=1 output=7"]);
    let native = r#"{"content":"","stop":true,"model":"m","tokens_predicted":7,"tokens_evaluated":19,"timings":{"cache_n":18,"prompt_n":1,"predicted_n":7}}"#;
    assert_eq!(post("/completion").told(native), ["- m Reported cache_read=18 input=1 output=7"]);
}

#[test]
fn google_behind_its_login_and_with_numbers_for_names() {
    let usage = r#"{"promptTokenCount":30,"candidatesTokenCount":7,"promptTokensDetails":[{"modality":1,"tokenCount":10},{"modality":4,"tokenCount":20}],"trafficType":1}"#;
    let request = br#"{"model":"gemini-2.5-pro","project":"p","request":{"contents":[]}}"#;
    let login = Wire { provider: "gemini", request, ..post("/v1internal:streamGenerateContent?alt=sse") };
    let chunk = format!(
        "data: {{\"response\":{{\"responseId\":\"r\",\"modelVersion\":\"gemini-2.5-pro\",\"usageMetadata\":{usage}}},\"traceId\":\"t\"}}\n\n"
    );
    assert_eq!(login.told(&chunk), ["r gemini-2.5-pro Reported input=10 input_audio=20 output=7"]);
    let interaction = r#"{"id":"v1_1","model":"gemini-3.1-pro","status":"completed","service_tier":"flex","usage":{"total_input_tokens":30,"input_tokens_by_modality":[{"modality":"text","tokens":10},{"modality":"audio","tokens":20}],"total_output_tokens":5,"total_thought_tokens":2,"grounding_tool_count":[{"type":"google_search","count":3}]}}"#;
    let interactions = Wire { provider: "gemini", ..post("/v1beta/interactions") };
    assert_eq!(
        interactions.told(interaction),
        ["v1_1 gemini-3.1-pro Reported input=10 input_audio=20 output=7 reasoning=2 tier=flex search=3"]
    );
}

#[test]
fn the_results_of_a_batch_of_googles_come_in_the_batch_or_in_a_file() {
    let one = |n: u8| {
        format!(
            r#"{{"response":{{"responseId":"r{n}","modelVersion":"g","usageMetadata":{{"promptTokenCount":{n},"candidatesTokenCount":2}}}},"key":"k"}}"#
        )
    };
    let get = |path| Wire { provider: "gemini", method: "GET", path, ..POST };
    let expected = ["r1 g Reported input=1 output=2 tier=batch", "r2 g Reported input=2 output=2 tier=batch"];
    assert_eq!(get("/download/v1beta/files/f:download?alt=media").told(&[one(1), one(2)].join("\n")), expected);
    let within = format!(r#"{{"metadata":{{"output":{{"inlinedResponses":{{"inlinedResponses":[{},{}]}}}}}}}}"#, one(1), one(2));
    assert_eq!(get("/v1beta/batches/b").told(&within), expected);
    assert_eq!(get("/v1beta/batches/b").told(r#"{"name":"batches/b","metadata":{"state":"BATCH_STATE_RUNNING"}}"#), [] as [String; 0]);
}

/// What was told of a call that its client left, up to its numbers.
fn cut(wire: &Wire<'_>, reply: &[u8]) -> (Certainty, bool, bool) {
    let sightings = Wire { ending: Ending::ClientGone, ..*wire }.sightings(reply);
    let [Sighting { usage, said }] = &sightings[..] else { panic!("one call: {sightings:?}") };
    assert!(said.as_ref().is_some_and(|said| said.text().contains("o200k_base")), "the method is told: {said:?}");
    (usage.certainty, usage.tokens.prompt() > 0, usage.tokens.produced() > 0)
}

#[test]
fn in_every_dialect_a_reply_that_is_cut_before_its_usage_is_estimated() {
    let all = (Certainty::Estimated, true, true);
    let chat = br#"{"model":"m","messages":[{"role":"user","content":"Tell me a long story of a fox."}]}"#;
    let contents = br#"{"contents":[{"role":"user","parts":[{"text":"Tell me a long story."},{"inlineData":{"data":"AAAA"}}]}]}"#;
    let lines: [(&str, &[u8], &str); 7] = [
        (
            "/m/gemini-2.5-pro:streamGenerateContent",
            contents,
            r#"[{"candidates":[{"content":{"parts":[{"text":"Once upon"}]}}],"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
        ),
        (
            "/v1beta/interactions",
            br#"{"model":"g","input":"Tell me a story"}"#,
            "data: {\"event_type\":\"step.delta\",\"delta\":{\"type\":\"text\",\"text\":\"Once upon\"}}\n\n",
        ),
        (
            "/api/chat",
            chat,
            "{\"model\":\"m\",\"message\":{\"content\":\"Once\"},\"done\":false}\n{\"message\":{\"content\":\" upon\"},\"done\":false}\n",
        ),
        ("/api/generate", br#"{"model":"m","prompt":"Tell me"}"#, "{\"model\":\"m\",\"response\":\"Once\",\"done\":false}\n"),
        ("/v2/chat", chat, "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"Once\"}}}}\n\n"),
        ("/v1/complete", br#"{"model":"claude-2","prompt":"Tell me"}"#, "data: {\"type\":\"completion\",\"completion\":\" Once\"}\n\n"),
        (
            "/v1/responses",
            br#"{"model":"m","input":"Tell me"}"#,
            "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Once\"}\n\n",
        ),
    ];
    for (path, request, reply) in lines {
        assert_eq!(cut(&Wire { request, ..post(path) }, reply.as_bytes()), all, "{path}");
    }
    let converse =
        Wire { request: br#"{"messages":[{"role":"user","content":[{"text":"Tell me"}]}]}"#, ..post("/model/m/converse-stream") };
    let stream =
        [message("event", br#"{"role":"assistant"}"#), message("event", br#"{"contentBlockIndex":0,"delta":{"text":"Once"},"p":"abc"}"#)];
    assert_eq!(cut(&converse, &stream.concat()), all);
}

#[test]
fn what_was_sent_is_estimated_though_nobody_waited_for_the_answer() {
    let request = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"Count to five."}]}"#;
    let call = Call {
        provider: "openai",
        method: "POST",
        path: CHAT.path,
        encoding: None,
        websocket: false,
        at: Timestamp::from_secs(1),
        uuid: CallUuid(7),
        source: Source::Proxy,
    };
    let mut meter = Meter::start(&call).expect("a call that is billed");
    meter.request(request);
    let sightings = meter.finish(Ending::ClientGone, Timestamp::from_secs(2));
    assert_eq!(sightings.iter().map(|it| told(&it.usage)).collect::<Vec<_>>(), ["- gpt-4o Estimated input=11"]);
}

#[test]
fn vectors_and_sound_that_nobody_counts_are_estimated() {
    let request = br#"{"model":"text-embedding-3-small","input":["Ruby is great"]}"#;
    assert_eq!(
        Wire { request, ..post("/v1/embeddings") }.told(r#"{"data":[{"embedding":[0.1]}]}"#),
        ["- text-embedding-3-small Estimated input=4"]
    );
    assert_eq!(Wire { request, ..post("/v1/embeddings") }.told(r#"{"error":{"message":"no"}}"#), [] as [String; 0]);

    let request = br#"{"model":"gpt-4o-mini-tts","input":"Ruby is great","voice":"alloy"}"#;
    let wave =
        [b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".as_slice(), &24_000u32.to_le_bytes(), &48_000u32.to_le_bytes(), &vec![0; 143_964]]
            .concat();
    let speech = Wire { request, piece_bytes: 1000, ..post("/v1/audio/speech") };
    let told = |wire: &Wire<'_>, reply: &[u8]| wire.sightings(reply).iter().map(|it| told(&it.usage)).collect::<Vec<_>>();
    assert_eq!(told(&speech, &wave), ["- gpt-4o-mini-tts Estimated input=4 output=63"], "three seconds");

    let form = [
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n".as_slice(),
        &wave,
        b"\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4o-transcribe\r\n--b--",
    ]
    .concat();
    let transcript = Wire { request: &form, piece_bytes: 1000, ..post("/v1/audio/transcriptions") };
    assert_eq!(told(&transcript, br#"{"text":"Hello, world!"}"#), ["- gpt-4o-transcribe Estimated input_audio=40 output=4"]);
    assert_eq!(
        told(&transcript, br#"{"text":"Hello, world!","duration":5.49}"#),
        ["- gpt-4o-transcribe Estimated input_audio=50 output=4"]
    );
    let seconds = br#"{"text":"Hello","usage":{"type":"duration","seconds":4}}"#;
    assert_eq!(told(&transcript, seconds), ["- gpt-4o-transcribe Reported"], "what is billed by the second has no tokens");
    let deltas = b"data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hello, \"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"world!\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Hello, world!\"}\n\n";
    assert_eq!(told(&transcript, deltas), ["- gpt-4o-transcribe Estimated input_audio=40 output=4"]);
}

#[test]
fn a_body_too_large_to_keep_still_names_its_model_and_counts() {
    let data = "x".repeat(9 << 20);
    let reply = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"data":"{data}"}}}}]}}}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":1290}},"modelVersion":"g-image","responseId":"r9"}}"#
    );
    let gemini = Wire { piece_bytes: 65_536, ..post("/m/g:generateContent") };
    assert_eq!(gemini.told(&reply), ["r9 g-image Reported input=9 output=1290"]);
}

#[test]
fn lines_and_nesting_without_end_take_no_memory() {
    let started = Call {
        provider: "x",
        method: "POST",
        path: CHAT.path,
        encoding: None,
        websocket: false,
        at: Timestamp::from_secs(1),
        uuid: CallUuid(7),
        source: Source::Proxy,
    };
    let large: [(&str, &str, usize); 7] = [
        ("data: {\"a\":\"", "x", 10),
        ("data:", "[{\"a\":", 10),
        ("{\"a\":\"", "x", 10),
        ("", "{\"a\":[", 10),
        (": ", "x", 10),
        ("[{\"b\":1},", "{\"c\":1},", 1),
        ("", "data: {}\n\n", 1),
    ];
    for (begin, more, mebibytes) in large {
        let mut meter = Meter::start(&started).expect("a call that is billed");
        meter.request(begin.as_bytes());
        meter.head(200, |_| None);
        meter.reply(begin.as_bytes());
        let piece = more.repeat((1 << 20) / more.len());
        for _ in 0..mebibytes {
            meter.request(piece.as_bytes());
            meter.reply(piece.as_bytes());
        }
        let kept = meter.kept_bytes();
        assert!(kept < 20 << 20, "{begin}{more}: {kept}");
        meter.finish(Ending::Complete, Timestamp::from_secs(2));
    }
}
