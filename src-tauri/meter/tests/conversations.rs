//! Conversations over WebSockets, the results of batches, and what is estimated because nobody counts it.

use super::super::fuzzing::frame;
use super::*;

/// What is told of a conversation, as it goes.
fn conversed(path: &str, client: &[&str], server: &[&str]) -> Vec<String> {
    let at = Timestamp::from_secs(1);
    let call =
        Call { provider: "openai", method: "GET", path, encoding: None, websocket: true, at, uuid: CallUuid(7), source: Source::Proxy };
    let mut meter = Meter::start(&call).expect("a conversation that is billed");
    meter.head(101, |_| None);
    client.iter().for_each(|text| meter.request(&frame(0x81, text.as_bytes(), Some([1, 2, 3, 4]))));
    let mut sightings = Vec::new();
    for text in server {
        meter.reply(&frame(0x81, text.as_bytes(), None));
        sightings.extend(meter.settled(at));
    }
    sightings.extend(meter.finish(Ending::ClientGone, at));
    let carried: std::collections::BTreeSet<_> = sightings.iter().map(|it| it.usage.carried).collect();
    assert_eq!(carried.len(), sightings.len(), "each is a call of its own");
    sightings.iter().map(|sighting| told(&sighting.usage)).collect()
}

#[test]
fn each_response_of_a_realtime_session_is_a_call_and_what_is_dictated_is_another() {
    let session = r#"{"type":"session.created","session":{"model":"gpt-realtime","audio":{"input":{"transcription":{"model":"gpt-4o-transcribe"}}}}}"#;
    let done = r#"{"type":"response.done","response":{"id":"resp_1","status":"completed","usage":{"total_tokens":200,"input_tokens":139,"output_tokens":61,"input_token_details":{"text_tokens":43,"audio_tokens":96,"cached_tokens":70,"cached_tokens_details":{"text_tokens":6,"audio_tokens":64}},"output_token_details":{"text_tokens":18,"audio_tokens":43}}}}"#;
    let dictated = r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"item_1","content_index":0,"usage":{"type":"tokens","total_tokens":35,"input_tokens":26,"input_token_details":{"text_tokens":0,"audio_tokens":26},"output_tokens":9}}"#;
    let begun = r#"{"type":"response.created","response":{"id":"resp_2"}}"#;
    let expected = [
        "resp_1 gpt-realtime Reported cache_read=6 cache_read_audio=64 input=37 input_audio=32 output=18 output_audio=43",
        "item_1:transcription:0 gpt-4o-transcribe Reported input_audio=26 output=9",
        "resp_2 gpt-realtime Unknown",
    ];
    assert_eq!(
        conversed("/v1/realtime", &[], &[session, r#"{"type":"response.created","response":{"id":"resp_1"}}"#, done, dictated, begun]),
        expected
    );
}

#[test]
fn a_response_that_is_cut_is_estimated_by_what_was_asked_last_and_said_of_it() {
    let asked = |words: &str| format!(r#"{{"type":"response.create","model":"gpt-4o","input":[{{"role":"user","content":"{words}"}}]}}"#);
    let client = [&*asked("long before"), &asked("Count to five."), r#"{"type":"response.cancel"}"#];
    let server = [
        r#"{"type":"response.created","response":{"id":"resp_1"}}"#,
        r#"{"type":"response.output_text.delta","delta":"One, two,"}"#,
        r#"{"type":"response.output_text.delta","delta":" three"}"#,
    ];
    assert_eq!(conversed("/v1/responses", &client, &server), ["resp_1 gpt-4o Estimated input=11 output=5"]);
}

#[test]
fn what_is_still_said_of_a_response_that_is_over_is_no_call() {
    let usage = r#""usage":{"input_tokens":1,"output_tokens":2}"#;
    let done = |id: &str| format!(r#"{{"type":"response.done","response":{{"id":"{id}","model":"m",{usage}}}}}"#);
    let late = r#"{"type":"response.output_item.done","response":{"id":"a"}}"#;
    let server = [&*done("a"), late, &done("b"), late, r#"{"type":"response.created","response":{"id":"a"}}"#, &done("a")];
    let expected = ["a m Reported input=1 output=2", "b m Reported input=1 output=2", "a m Reported input=1 output=2"];
    assert_eq!(conversed("/v1/realtime", &[], &server), expected);
}

#[test]
fn a_turn_that_is_cut_is_no_secret() {
    let setup = r#"{"setup":{"model":"models/gemini-2.5-flash-live"}}"#;
    let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let sound = r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"AAAA"}}]}}}"#;
    let words = r#"{"serverContent":{"outputTranscription":{"text":"One, two, three"}}}"#;
    assert_eq!(conversed(path, &[setup], &[sound]), ["- gemini-2.5-flash-live Unknown"]);
    assert_eq!(conversed(path, &[setup], &[sound, words]), ["- gemini-2.5-flash-live Estimated output=6"]);
    assert_eq!(conversed(path, &[setup], &[r#"{"serverContent":{"interrupted":true}}"#]), [] as [String; 0]);
}

#[test]
fn a_turn_of_a_live_conversation_is_a_call_once_it_is_over_and_counted() {
    let setup = r#"{"setup":{"model":"models/gemini-2.5-flash-live"}}"#;
    let usage = |n: u64| format!(r#""usageMetadata":{{"promptTokenCount":{n},"responseTokenCount":5,"thoughtsTokenCount":2}}"#);
    let first = format!(r#"{{"serverContent":{{"turnComplete":true}},{}}}"#, usage(10));
    let counted = format!("{{{}}}", usage(30));
    let server = [r#"{"setupComplete":{}}"#, &first, r#"{"serverContent":{"turnComplete":true}}"#, &counted];
    let expected = [
        "- gemini-2.5-flash-live Reported input=10 output=7 reasoning=2",
        "- gemini-2.5-flash-live Reported input=30 output=7 reasoning=2",
    ];
    assert_eq!(conversed("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", &[setup], &server), expected);
}

#[test]
fn a_session_that_warms_up_is_no_call() {
    let warm = r#"{"type":"response.completed","response":{"id":"resp_0","model":"m","usage":{"input_tokens":0,"output_tokens":0,"total_tokens":0}}}"#;
    assert_eq!(conversed("/v1/responses", &[], &[warm, "no json", "[1,"]), [] as [String; 0]);
}

#[test]
fn every_line_of_a_batch_of_openai_is_a_call_at_the_price_of_a_batch() {
    let chat = r#"{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"body":{"id":"chatcmpl-1","model":"gpt-4o","service_tier":"default","usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}}}}"#;
    let embedding = r#"{"id":"batch_req_2","custom_id":"b","response":{"status_code":200,"body":{"model":"text-embedding-3-small","usage":{"prompt_tokens":4,"total_tokens":4}}}}"#;
    let failed = r#"{"id":"batch_req_3","custom_id":"c","response":{"status_code":400,"body":{"error":{"message":"no"}}}}"#;
    let results = Wire { method: "GET", path: "/v1/files/file-1/content", ..POST };
    let expected =
        ["chatcmpl-1 gpt-4o Reported input=5 output=6 tier=batch", "batch_req_2 text-embedding-3-small Reported input=4 tier=batch"];
    assert_eq!(results.told(&[chat, embedding, failed].join("\n")), expected);
    assert_eq!(results.told("{\"messages\":[]}\n{\"messages\":[]}\n"), [] as [String; 0], "a file of another kind");
}

#[test]
fn what_nobody_counts_is_estimated_from_the_text_that_passed() {
    let request = br#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Count to five."}]}"#;
    let words = ["One", ", two", ", three", ", four", ", five."];
    let chunk =
        |text: &&str| format!("data: {{\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let stream: String = words.iter().map(chunk).chain(["data: [DONE]\n\n".to_owned()]).collect();
    let chat = Wire { request, ..CHAT };
    assert_eq!(chat.told(&stream), ["c gpt-4o Estimated input=11 output=10"]);
    let said = chat.sightings(stream.as_bytes())[0].said.as_ref().map(|said| said.text().to_owned());
    assert!(said.as_deref().is_some_and(|said| said.contains("o200k_base") && !said.contains("five")), "{said:?}");
    let cut = Wire { ending: Ending::ClientGone, ..chat };
    assert_eq!(cut.told(&stream[..stream.len() / 2])[0].rsplit_once(' ').map(|(told, _)| told), Some("c gpt-4o Estimated input=11"));
}

#[test]
fn of_a_message_that_is_cut_the_output_is_estimated_and_the_input_is_as_reported() {
    let text = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"The quick brown fox jumps over the lazy dog.\"}}\n\n";
    let cut = Wire { ending: Ending::ClientGone, ..MESSAGES };
    let usage = &cut.sightings([START, text].concat().as_bytes())[0].usage;
    // Ten by OpenAI's tokenizer, and about half as many again by Claude's.
    assert_eq!(
        (usage.certainty, usage.tokens.input, usage.tokens.cache_write_1h, usage.tokens.output),
        (Certainty::Estimated, 3, 2056, 16)
    );
}

#[test]
fn embeddings_that_nobody_counts_are_estimated_by_what_was_sent() {
    let request = br#"{"content":{"parts":[{"text":"Ruby is great"}]}}"#;
    let embed = Wire { provider: "gemini", path: "/v1beta/models/gemini-embedding-001:embedContent", request, ..POST };
    assert_eq!(embed.told(r#"{"embedding":{"values":[0.1]}}"#), ["- gemini-embedding-001 Estimated input=5"]);
    assert_eq!(embed.told(r#"{"embedding":{},"usageMetadata":{"promptTokenCount":3}}"#), ["- gemini-embedding-001 Reported input=3"]);
}
