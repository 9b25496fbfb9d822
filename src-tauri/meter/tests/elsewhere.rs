//! What is said in other places than most say it, or when it is asked for again.

use super::*;

fn post(path: &str) -> Wire<'_> {
    Wire { path, ..POST }
}

#[test]
fn a_video_is_known_by_its_path_and_costs_what_is_said_when_it_is_fetched() {
    let request = br#"{"model":"grok-imagine-video","prompt":"a cat"}"#;
    let asked = Wire { provider: "xai", request, ..post("/v1/videos/generations") };
    assert_eq!(asked.told(r#"{"request_id":"v1"}"#), ["v1 grok-imagine-video Unknown"]);
    let fetched = Wire { provider: "xai", method: "GET", ..post("/v1/videos/v1") };
    assert_eq!(fetched.told(r#"{"status":"pending","progress":1}"#), [] as [String; 0]);
    let done = r#"{"status":"done","video":{"duration":8},"model":"grok-imagine-video","usage":{"cost_in_usd_ticks":4000000000}}"#;
    assert_eq!(fetched.told(done), ["v1 grok-imagine-video Reported cost=0.400000000000"]);
    assert_eq!(CHAT.told(r#"{"error":"no","request_id":"r"}"#), [] as [String; 0]);
}

#[test]
fn an_interaction_in_the_background_is_counted_when_it_is_fetched() {
    let started = r#"{"id":"v1_1","status":"in_progress","agent":"deep-research"}"#;
    let interactions = Wire { provider: "gemini", ..post("/v1beta/interactions") };
    assert_eq!(interactions.told(started), ["v1_1 ? Unknown"]);
    let done = r#"{"id":"v1_1","model":"gemini-3.1-pro","status":"completed","usage":{"total_input_tokens":30,"total_output_tokens":5}}"#;
    let fetched = Wire { provider: "gemini", method: "GET", ..post("/v1beta/interactions/v1_1") };
    assert_eq!(fetched.told(started), [] as [String; 0]);
    assert_eq!(fetched.told(done), ["v1_1 gemini-3.1-pro Reported input=30 output=5"]);
}

#[test]
fn a_usage_may_stand_in_the_last_choice() {
    let usage = r#","usage":{"prompt_tokens":19,"completion_tokens":13,"total_tokens":32}"#;
    let chunk = |delta: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta}{usage}}}]}}\n\n"
        )
    };
    let stream = [&*chunk(r#"{"content":"Hi"}"#, ""), &chunk("{}", usage), "data: [DONE]\n\n"].concat();
    assert_eq!(CHAT.told(&stream), ["c m Reported input=19 output=13"]);
    let quoted = [&*chunk(r#"{"content":"\"usage\":{\"prompt_tokens\":1}"}"#, ""), "data: [DONE]\n\n"].concat();
    assert_eq!(CHAT.sightings(quoted.as_bytes())[0].usage.certainty, Certainty::Estimated, "a text counts nothing");
}

#[test]
fn a_field_for_an_error_that_says_none_is_no_error() {
    let reply = |error: &str| {
        format!(r#"{{"id":"c","model":"m","choices":[],"error":{error},"usage":{{"prompt_tokens":3,"completion_tokens":4}}}}"#)
    };
    for none in ["null", "{}", "[]", "\"\"", "false", "0"] {
        assert_eq!(CHAT.told(&reply(none)), ["c m Reported input=3 output=4"], "{none}");
    }
    assert_eq!(CHAT.told(&reply(r#"{"code":502}"#)), ["c m Partial input=3 output=4"]);
}

#[test]
fn who_stands_between_may_have_verbs_of_its_own() {
    let chunk = r#"data: {"id":"c","model":"claude-4-sonnet","choices":[{"delta":{"content":"Hi"}}],"usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}}"#;
    let told = post("/api/v2/cortex/inference:complete").told(&format!("{chunk}\n\n"));
    assert_eq!(told, ["c claude-4-sonnet Reported input=4 output=2"]);
}

#[test]
fn vectors_on_vertex_may_be_counted_in_decimals() {
    let counted = r#"{"predictions":[{"embeddings":{"statistics":{"token_count":4.0},"values":[0.1]}},{"embeddings":{"statistics":{"token_count":3}}}]}"#;
    let predict = Wire { provider: "vertex", ..post("/v1/projects/p/locations/l/publishers/google/models/e:predict") };
    assert_eq!(predict.told(counted), ["- e Reported input=7"]);
}
