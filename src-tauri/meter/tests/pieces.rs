//! What is billed by the piece.

use super::*;
use events::Pieces;

fn fees(wire: &Wire<'_>, reply: &str) -> (u32, Pieces) {
    let sightings = wire.sightings(reply.as_bytes());
    assert_eq!(sightings.len(), 1, "{reply}");
    (sightings[0].usage.fees.web_search, sightings[0].usage.fees.pieces)
}

const USAGE: &str = r#""usage":{"input_tokens":1000,"output_tokens":100,"total_tokens":1100}"#;
const ITEMS: &str = r#"[{"id":"ws_1","type":"web_search_call","action":{"type":"search","query":"q"}},{"type":"web_search_call","action":{"type":"open_page"}},{"type":"web_search_call","action":{"type":"find_in_page"}},{"type":"web_search_call"},{"type":"file_search_call","queries":["q"]},{"type":"code_interpreter_call","container_id":"c1"},{"type":"code_interpreter_call","container_id":"c1"},{"type":"message","content":[]}]"#;

#[test]
fn tools_are_counted_by_items_where_nothing_else_counts_them() {
    let response = |more: &str| format!(r#"{{"id":"r","object":"response","model":"gpt-5","output":{ITEMS},{USAGE}{more}}}"#);
    let expected = Pieces { file_search: 1, code_execution: 1, ..Pieces::default() };
    assert_eq!(fees(&RESPONSES, &response("")), (2, expected));
    assert_eq!(fees(&RESPONSES, &response(r#","tool_usage":{"web_search":{"num_requests":3}}"#)), (3, expected), "OpenAI's own count");
    let items: Vec<serde_json::Value> = serde_json::from_str(ITEMS).expect("JSON");
    let done: String = items.iter().map(|item| format!("data: {{\"type\":\"response.output_item.done\",\"item\":{item}}}\n\n")).collect();
    let last = format!("data: {{\"type\":\"response.completed\",\"response\":{}}}\n\n", response(""));
    assert_eq!(fees(&RESPONSES, &format!("{done}{last}")), (2, expected), "each once");
    let cut = Wire { ending: Ending::UpstreamCut, ..RESPONSES };
    let created =
        "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"model\":\"gpt-5\",\"usage\":{\"input_tokens\":9}}}\n\n";
    assert_eq!(fees(&cut, &format!("{created}{done}")), (2, Pieces { file_search: 1, ..Pieces::default() }), "of a stream that is cut");
    let again = Wire { method: "GET", path: "/v1/responses/r", ..POST };
    assert_eq!(fees(&again, &response("")), (2, expected));
}

#[test]
fn grounding_is_billed_by_query_on_gemini_3_and_by_prompt_before() {
    let chunk = |model: &str, metadata: &str| {
        format!(
            r#"{{"responseId":"r","modelVersion":"{model}","candidates":[{{"content":{{"parts":[{{"text":"x"}}]}},"groundingMetadata":{metadata}}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":1}}}}"#
        )
    };
    let queries = r#"{"webSearchQueries":["bitcoin price","ethereum price","bitcoin price",""],"groundingChunks":[{"web":{"uri":"x"}}]}"#;
    for (model, expected) in [("gemini-3-pro-preview", 2), ("gemini-2.5-flash", 1), ("gemini-4-argon", 2), ("models/gemini-1.5-pro", 1)] {
        let generate = Wire { path: "/v1beta/models/x:generateContent", ..POST };
        assert_eq!(fees(&generate, &chunk(model, queries)).0, expected, "{model}");
        let stream = format!("data: {}\n\ndata: {}\n\ndata: {}\n\n", chunk(model, "{}"), chunk(model, queries), chunk(model, queries));
        assert_eq!(fees(&generate, &stream).0, expected, "{model} as a stream that repeats itself");
        assert_eq!(fees(&generate, &chunk(model, "{}")).0, 0);
    }
    let maps = fees(
        &Wire { path: "/v1beta/models/x:generateContent", ..POST },
        &chunk("gemini-2.5-pro", r#"{"groundingChunks":[{"maps":{"uri":"x"}}]}"#),
    );
    assert_eq!(maps, (0, Pieces { maps_search: 1, ..Pieces::default() }));
}

#[test]
fn fees_without_tokens_are_counted() {
    let post = |path| Wire { path, ..POST };
    let none = Pieces::default();
    let pages = r#"{"model":"mistral-ocr-latest","pages":[],"usage_info":{"pages_processed":29,"doc_size_bytes":3}}"#;
    assert_eq!(fees(&post("/v1/ocr"), pages), (0, Pieces { page: 29, ..none }));
    let seconds = r#"{"text":"hello","usage":{"type":"duration","seconds":5.2}}"#;
    assert_eq!(fees(&post("/v1/audio/transcriptions"), seconds), (0, Pieces { second: 6, ..none }));
    let ranked = r#"{"id":"c1","results":[],"meta":{"billed_units":{"search_units":2}}}"#;
    assert_eq!(fees(&post("/v2/rerank"), ranked), (0, Pieces { rerank_search: 2, ..none }));
    let sonar = r#"{"id":"c","model":"sonar","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":4,"search_context_size":"high"}}"#;
    assert_eq!(fees(&CHAT, sonar), (0, Pieces { request_high: 1, ..none }));
    let pictures = r#"{"created":1,"data":[{"url":"https://x"},{"b64_json":"xx"}]}"#;
    assert_eq!(fees(&post("/v1/images/generations"), pictures), (0, Pieces { image: 2, ..none }));
    let whisper = br#"{"model":"whisper-1"}"#;
    let verbose = r#"{"task":"transcribe","duration":12.0,"text":"hello"}"#;
    assert_eq!(fees(&Wire { request: whisper, ..post("/v1/audio/transcriptions") }, verbose), (0, Pieces { second: 12, ..none }));
    let xai = r#"{"id":"r","object":"response","model":"grok-4","output":[],"usage":{"input_tokens":1,"output_tokens":2,"server_side_tool_usage_details":{"web_search_calls":2,"x_search_calls":3,"code_interpreter_calls":1}}}"#;
    assert_eq!(fees(&RESPONSES, xai), (2, Pieces { x_search: 3, code_execution: 1, ..none }));
}

#[test]
fn speech_that_is_billed_by_characters_is_counted_by_them() {
    let call = Wire { path: "/v1/audio/speech", request: br#"{"model":"tts-1","input":"Hello there"}"#, ..POST };
    let sightings = call.sightings(b"\xff\xfb\x90\x00");
    assert_eq!((sightings[0].usage.certainty, sightings[0].usage.fees.pieces.character), (Certainty::Estimated, 11));
}
