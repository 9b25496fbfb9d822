//! Usage objects full of zeros, in every dialect and framing, and streams whose last event has no blank line behind it.

use super::*;

const SENTENCE: &str = "The river begins in the mountains and ends in the sea, as rivers do. ";

fn prompt() -> String {
    "Tell me at length where rivers begin and where they end, please. ".repeat(40)
}

/// The one call that is seen, as certainty, input and output.
fn counted(wire: &Wire<'_>, reply: &str) -> (Certainty, u64, u64) {
    let mut seen: Vec<(Certainty, u64, u64)> = Vec::new();
    for piece_bytes in [usize::MAX, 7] {
        let sightings = Wire { piece_bytes, ..*wire }.sightings(reply.as_bytes());
        assert_eq!(sightings.len(), 1, "{reply}");
        let Usage { certainty, tokens, .. } = *sightings[0].usage;
        seen.push((certainty, tokens.prompt(), tokens.produced()));
    }
    assert_eq!(seen[0], seen[1], "in pieces");
    seen[0]
}

/// Whether both sides of the call were estimated by their text.
fn is_estimated(counted: (Certainty, u64, u64)) -> bool {
    let (certainty, input, output) = counted;
    certainty == Certainty::Estimated && (300..1_500).contains(&input) && (200..1_500).contains(&output)
}

fn sse(events: &[String]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

#[test]
fn zeros_beside_an_answer_are_estimated_in_every_dialect() {
    let (text, prompt) = (SENTENCE.repeat(20), prompt());
    let chat_request = format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    let gemini_request = format!(r#"{{"contents":[{{"parts":[{{"text":"{prompt}"}}]}}]}}"#);
    let converse_request = format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{prompt}"}}]}}]}}"#);
    let responses_request = format!(r#"{{"model":"gpt-5","input":"{prompt}"}}"#);
    let zero = r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#;
    let zero_in_out = r#"{"input_tokens":0,"output_tokens":0,"total_tokens":0}"#;
    let chat_chunk = |text: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","model":"gpt-4o-mini","choices":[{{"delta":{{"content":"{text}"}}}}],"usage":{zero}}}"#
        )
    };
    let message_delta = |text: &str| format!(r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{text}"}}}}"#);
    let gemini_chunk = |text: &str| {
        format!(
            r#"{{"responseId":"r","modelVersion":"gemini-2.5-pro","candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}}}}],"usageMetadata":{{"promptTokenCount":0,"candidatesTokenCount":0}}}}"#
        )
    };
    let many = |one: &dyn Fn(&str) -> String| (0..20).map(|_| one(SENTENCE)).collect::<Vec<_>>();
    let cases = [
        (CHAT, &chat_request, sse(&[many(&chat_chunk), vec!["[DONE]".into()]].concat())),
        (CHAT, &chat_request, format!(r#"{{"id":"c","object":"chat.completion","model":"gpt-4o-mini","choices":[{{"message":{{"role":"assistant","content":"{text}"}}}}],"usage":{zero}}}"#)),
        (RESPONSES, &responses_request, format!(r#"{{"id":"resp_1","object":"response","status":"completed","model":"gpt-5","output":[{{"type":"message","content":[{{"type":"output_text","text":"{text}"}}]}}],"usage":{zero_in_out}}}"#)),
        (RESPONSES, &responses_request, sse(&[
            format!(r#"{{"type":"response.output_text.delta","delta":"{text}"}}"#),
            format!(r#"{{"type":"response.completed","response":{{"id":"resp_1","model":"gpt-5","status":"completed","output":[],"usage":{zero_in_out}}}}}"#),
        ])),
        (MESSAGES, &chat_request, sse(&[
            vec![r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":{"input_tokens":0,"output_tokens":0}}}"#.to_owned()],
            many(&message_delta),
            vec![r#"{"type":"message_delta","usage":{"output_tokens":0}}"#.into(), r#"{"type":"message_stop"}"#.into()],
        ].concat())),
        (MESSAGES, &chat_request, format!(r#"{{"id":"msg_1","type":"message","model":"claude-sonnet-4-5","content":[{{"type":"text","text":"{text}"}}],"usage":{zero_in_out}}}"#)),
        (Wire { path: "/v1beta/models/gemini-2.5-pro:generateContent", ..POST }, &gemini_request, gemini_chunk(&text)),
        (Wire { path: "/v1beta/models/gemini-2.5-pro:streamGenerateContent", ..POST }, &gemini_request, format!("[{}]", many(&gemini_chunk).join(",\n"))),
        (Wire { path: "/model/m/converse", ..POST }, &converse_request, format!(r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"{text}"}}]}}}},"stopReason":"end_turn","usage":{{"inputTokens":0,"outputTokens":0,"totalTokens":0}}}}"#)),
        (Wire { path: "/v2/chat", ..POST }, &chat_request, format!(r#"{{"id":"1","message":{{"content":[{{"type":"text","text":"{text}"}}]}},"usage":{{"billed_units":{{"input_tokens":0,"output_tokens":0}}}}}}"#)),
        (Wire { path: "/api/chat", ..POST }, &chat_request, format!(r#"{{"model":"llama3","message":{{"role":"assistant","content":"{text}"}},"done":true,"prompt_eval_count":0,"eval_count":0}}"#)),
    ];
    for (wire, request, reply) in &cases {
        let counted = counted(&Wire { request: request.as_bytes(), ..*wire }, reply);
        assert!(is_estimated(counted), "{counted:?} {} {reply}", wire.path);
    }
}

#[test]
fn an_empty_prompt_beside_an_output_is_estimated() {
    let request = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#, prompt());
    let request = request.as_bytes();
    let chat = r#"{"id":"c","model":"gpt-4o-mini","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":0,"completion_tokens":300,"total_tokens":300}}"#;
    let (certainty, input, output) = counted(&Wire { request, ..CHAT }, chat);
    assert!(certainty == Certainty::Estimated && input > 300 && output == 300, "{certainty:?} {input} {output}");
    let start =
        r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":{"input_tokens":0,"output_tokens":0}}}"#;
    let stream =
        sse(&[start.into(), r#"{"type":"message_delta","usage":{"output_tokens":300}}"#.into(), r#"{"type":"message_stop"}"#.into()]);
    let (certainty, input, output) = counted(&Wire { request, ..MESSAGES }, &stream);
    assert!(certainty == Certainty::Estimated && input > 300 && output == 300, "{certainty:?} {input} {output}");
    // A prompt that was read from the cache is no empty one, and without an answer zeros are believed.
    let cached = r#"{"id":"msg_1","type":"message","model":"claude-sonnet-4-5","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":0,"cache_read_input_tokens":9,"output_tokens":3}}"#;
    assert_eq!(counted(&Wire { request, ..MESSAGES }, cached), (Certainty::Reported, 9, 3));
    let nothing =
        r#"{"id":"c","model":"gpt-4o-mini","choices":[{"message":{"content":""}}],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#;
    assert_eq!(counted(&Wire { request, ..CHAT }, nothing), (Certainty::Reported, 0, 0));
    // A guardrail's own words are no model's.
    let guarded = r#"{"output":{"message":{"content":[{"text":"Blocked by policy."}]}},"stopReason":"guardrail_intervened","usage":{"inputTokens":0,"outputTokens":0}}"#;
    assert_eq!(counted(&Wire { request, path: "/model/m/converse", ..POST }, guarded), (Certainty::Reported, 0, 0));
}

#[test]
fn embeddings_with_a_zero_count_are_estimated() {
    let request = format!(r#"{{"model":"text-embedding-3-small","input":"{}"}}"#, prompt());
    let reply =
        r#"{"object":"list","data":[{"embedding":[0.1]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":0,"total_tokens":0}}"#;
    let (certainty, input, _) = counted(&Wire { request: request.as_bytes(), path: "/v1/embeddings", ..POST }, reply);
    assert!(certainty == Certainty::Estimated && input > 300, "{certainty:?} {input}");
}

#[test]
fn a_cut_stream_of_zeros_is_estimated_by_its_text() {
    let request = format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{}"}}]}}"#, prompt());
    let chunk = format!(
        r#"{{"id":"c","model":"gpt-4o-mini","choices":[{{"delta":{{"content":"{SENTENCE}"}}}}],"usage":{{"prompt_tokens":0,"completion_tokens":0}}}}"#
    );
    let cut = sse(&vec![chunk; 20]);
    for ending in [Ending::UpstreamCut, Ending::ClientGone] {
        let counted = counted(&Wire { request: request.as_bytes(), ending, ..CHAT }, &cut[..cut.len() - 40]);
        assert!(is_estimated(counted), "{counted:?}");
    }
}

#[test]
fn text_behind_a_running_count_is_added_to_it() {
    let chunk = |count: &str| format!(r#"{{"id":"c","model":"gpt-4o-mini","choices":[{{"delta":{{"content":"{SENTENCE}"}}}}]{count}}}"#);
    let counting = |output: u64| chunk(&format!(r#","usage":{{"prompt_tokens":9,"completion_tokens":{output}}}"#));
    let cut = |chunks: &[String]| counted(&Wire { ending: Ending::UpstreamCut, ..CHAT }, &sse(chunks));
    assert_eq!(cut(&[counting(17), counting(34)]), (Certainty::Partial, 9, 34), "the last count is of all that was said");
    let (certainty, input, output) = cut(&[counting(1), chunk(""), chunk(""), chunk("")]);
    assert!(certainty == Certainty::Estimated && input == 9 && (30..80).contains(&output), "{certainty:?} {input} {output}");
}

#[test]
fn a_later_zero_leaves_what_was_counted() {
    let start =
        |usage: &str| format!(r#"{{"type":"message_start","message":{{"id":"msg_1","model":"claude-sonnet-4-5","usage":{usage}}}}}"#);
    let delta = |usage: &str| format!(r#"{{"type":"message_delta","usage":{usage}}}"#);
    let stream = |first: &str, last: &str| sse(&[start(first), delta(last), r#"{"type":"message_stop"}"#.into()]);
    for (first, last, expected) in [
        (r#"{"input_tokens":1500,"output_tokens":1}"#, r#"{"input_tokens":0,"output_tokens":40}"#, "input=1500 output=40"),
        (r#"{"input_tokens":0,"output_tokens":0}"#, r#"{"input_tokens":1500,"output_tokens":40}"#, "input=1500 output=40"),
        (r#"{"input_tokens":1400,"output_tokens":1}"#, r#"{"input_tokens":1500,"output_tokens":40}"#, "input=1500 output=40"),
        (
            r#"{"input_tokens":12,"cache_read_input_tokens":9000,"cache_creation_input_tokens":300,"output_tokens":1}"#,
            r#"{"input_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"output_tokens":40}"#,
            "cache_read=9000 cache_write_5m=300 input=12 output=40",
        ),
    ] {
        assert_eq!(MESSAGES.told(&stream(first, last)), [format!("msg_1 claude-sonnet-4-5 Reported {expected}")]);
    }
    let gemini = Wire { path: "/v1beta/models/g:streamGenerateContent", ..POST };
    let chunks = [
        r#"{"responseId":"r","modelVersion":"g","usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,"cachedContentTokenCount":2}}"#.to_owned(),
        r#"{"responseId":"r","usageMetadata":{"promptTokenCount":0,"candidatesTokenCount":0,"cachedContentTokenCount":0}}"#.to_owned(),
    ];
    assert_eq!(gemini.told(&sse(&chunks)), ["r g Reported cache_read=2 input=7 output=4"]);
}

#[test]
fn the_last_event_counts_without_a_blank_line() {
    let last_lines = [
        (CHAT, r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}"#),
        (RESPONSES, r#"{"type":"response.completed","response":{"id":"r","model":"m","usage":{"input_tokens":5,"output_tokens":7}}}"#),
        (
            Wire { path: "/v1beta/models/m:streamGenerateContent", ..POST },
            r#"{"responseId":"r","usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7}}"#,
        ),
        (
            Wire { path: "/v2/chat", ..POST },
            r#"{"type":"message-end","id":"1","delta":{"usage":{"billed_units":{"input_tokens":5,"output_tokens":7}}}}"#,
        ),
    ];
    for (wire, last) in last_lines {
        for end in ["", "\n", "\r\n", "\r", "\r\n\r"] {
            assert_eq!(counted(&wire, &format!("data: {last}{end}")), (Certainty::Reported, 5, 7), "{} {end:?}", wire.path);
        }
    }
    let start = r#"{"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    let stream = sse(&[start.into(), r#"{"type":"message_delta","usage":{"output_tokens":7}}"#.into()]);
    assert_eq!(
        counted(&MESSAGES, &format!("{stream}event: message_stop\ndata: {{\"type\":\"message_stop\"}}")),
        (Certainty::Reported, 5, 7)
    );
}
