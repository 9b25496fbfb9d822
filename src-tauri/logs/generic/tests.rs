use super::*;
use std::io::Write as _;

fn read_text(text: &str, format: Format, map: &[&str], within: Option<bool>) -> (Vec<Usage>, Found) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let places = map.iter().map(|place| place.parse().expect("a place")).collect();
    let map = Map { places, input_includes_cache: within, reasoning_is_beside: None };
    let mut usages = Vec::new();
    let mut sink = |sightings: Vec<Sighting>| -> Result<(), Fault> {
        usages.extend(sightings.into_iter().map(|sighting| *sighting.usage));
        Ok(())
    };
    let found = read(file.path(), format, Some(&map).filter(|map| !map.places.is_empty()), &mut sink).expect("reads");
    assert_eq!(found.calls, usages.len());
    (usages, found)
}

fn shaped(row: &str) -> Option<Usage> {
    read_text(row, Format::Jsonl, &[], None).0.pop()
}

/// Input, cache read, written for minutes, written for an hour, output, reasoning.
fn counts(usage: &Usage) -> [u64; 6] {
    let tokens = usage.tokens;
    [tokens.input, tokens.cache_read, tokens.cache_write_5m, tokens.cache_write_1h, tokens.output, tokens.reasoning]
}

const MAP: [&str; 7] = ["model=m", "provider=p", "input=u.in", "output=u.out", "cache_read=u.cached", "id=id", "at=t"];

#[test]
fn a_map_says_where_what_stands_and_the_provider_what_it_includes() {
    let row = |provider: &str| format!(r#"{{"m":"x","p":"{provider}","u":{{"in":100,"out":7,"cached":40}},"id":"msg_1","t":1795000000}}"#);
    let one = |provider: &str, within| read_text(&row(provider), Format::Jsonl, &MAP, within).0.remove(0);
    assert_eq!(counts(&one("openai", None)), [60, 40, 0, 0, 7, 0]);
    assert_eq!(counts(&one("anthropic", None)), [100, 40, 0, 0, 7, 0]);
    assert_eq!(counts(&one("anthropic", Some(true))), [60, 40, 0, 0, 7, 0]);
    assert_eq!(counts(&one("openai", Some(false))), [100, 40, 0, 0, 7, 0]);
    let usage = one("anthropic", None);
    assert_eq!((usage.call_id.as_deref(), usage.at), (Some("msg_1"), Timestamp::from_secs(1_795_000_000)));
    assert_eq!(usage.key(), Some(RequestKey::of("anthropic", "msg_1")), "the key of the call that the proxy carried");
}

#[test]
fn what_is_missing_is_not_zero() {
    let rows = [
        r#"{"m":"x","p":"openai","u":{"in":5},"t":"2026-11-01 10:00:00.5"}"#,
        r#"{"m":"x","p":"openai","u":{"in":null,"out":null}}"#,
        r#"{"m":"x","p":"openai"}"#,
        "no JSON",
        "",
        r#"{"m":"x","p":"openai","u":{"in":5,"out":0}}"#,
    ];
    let (usages, found) = read_text(&rows.join("\n"), Format::Jsonl, &MAP, None);
    assert_eq!((found.calls, found.uncounted, found.broken), (2, 2, 1));
    assert_eq!((usages[0].certainty, usages[1].certainty), (Certainty::Partial, Certainty::Reported));
    let at = Timestamp::parse("2026-11-01T10:00:00.5Z").expect("a time");
    assert_eq!((usages[0].at, usages[1].at), (at, at), "a row without a time has its neighbour's");
}

#[test]
fn a_table_is_read_by_its_heads() {
    let table =
        "Date,Model,In,Out,Cost (USD),who\n2026-11-01,gpt-6-sol,\"1,200\",30,0.0042,web\n2026-11-02T08:00:00+02:00,gpt-6-sol,7,n/a,,web\n";
    let map = ["at=Date", "model=Model", "input=In", "output=Out", "cost=Cost (USD)", "project=who", "client==billing"];
    let (usages, _) = read_text(table, Format::Csv, &map, None);
    assert_eq!(counts(&usages[0]), [1_200, 0, 0, 0, 30, 0]);
    assert_eq!(usages[0].reported_cost.map(|cost| cost.to_string()).as_deref(), Some("0.004200000000"));
    assert_eq!((usages[0].provider.as_str(), usages[0].client.as_deref()), ("openai", Some("billing")));
    assert_eq!(usages[0].project.as_ref().map(|project| project.name.as_str()), Some("web"));
    assert_eq!((usages[1].certainty, usages[1].at), (Certainty::Partial, Timestamp::parse("2026-11-02T06:00:00Z").expect("a time")));
}

#[test]
fn rows_without_an_id_keep_theirs_wherever_the_file_goes_and_however_it_grows() {
    let rows = [r#"{"m":"x","u":{"in":1,"out":2},"t":1795000000}"#; 2].join("\n");
    let ids = |text: &str| {
        read_text(text, Format::Jsonl, &MAP, None).0.into_iter().map(|usage| usage.call_id.expect("an id")).collect::<Vec<_>>()
    };
    let first = ids(&rows);
    assert_ne!(first[0], first[1], "two rows that say the same are two calls");
    assert_eq!(ids(&format!("{rows}\n{}", r#"{"m":"y","u":{"in":1,"out":2},"t":1795000001}"#))[..2], first);
    let untimed = r#"{"m":"x","u":{"in":1,"out":2}}"#;
    assert_ne!(ids(untimed), ids(untimed), "without a time the file tells them apart");
}

#[test]
fn litellms_rows_are_known_by_their_shape() {
    let row = r#"{"request_id":"chatcmpl-9","call_type":"acompletion","spend":0.0125,"prompt_tokens":1200,"completion_tokens":80,"total_tokens":1280,
        "startTime":"2026-11-01T10:00:00.250000","endTime":"2026-11-01T10:00:04","model":"anthropic/claude-sonnet-4-5","custom_llm_provider":"anthropic",
        "cache_hit":"False","session_id":"s","metadata":"{\"user_api_key_team_alias\":\"web\",\"usage_object\":{\"prompt_tokens_details\":{\"cached_tokens\":700},\"cache_creation_input_tokens\":300}}"}"#;
    let usage = shaped(&row.replace('\n', "")).expect("a call");
    assert_eq!(counts(&usage), [200, 700, 300, 0, 80, 0], "input with the cache, whoever was called");
    assert_eq!((usage.provider.as_str(), usage.model.as_deref()), ("anthropic", Some("claude-sonnet-4-5")));
    assert_eq!(usage.call_id.as_deref(), Some("litellm:chatcmpl-9"), "no id of Anthropic's");
    assert_eq!((usage.session.as_deref(), usage.client.as_deref()), (Some("s"), Some("litellm")));
    assert_eq!(usage.reported_cost.map(|cost| cost.to_string()).as_deref(), Some("0.012500000000"));
    assert_eq!(usage.at, Timestamp::parse("2026-11-01T10:00:00.25Z").expect("a time"));
    assert!(shaped(&row.replace('\n', "").replace("\"False\"", "\"True\"")).is_none(), "its own cache answered");
}

#[test]
fn langchains_messages_are_known_by_their_shape() {
    let message = r#"{"type":"ai","id":"run-1","content":"secret","usage_metadata":{"input_tokens":1200,"output_tokens":80,"total_tokens":1280,"input_token_details":{"cache_read":700,"cache_creation":300,"ephemeral_1h_input_tokens":100},"output_token_details":{"reasoning":20}},"response_metadata":{"model_name":"claude-sonnet-4-5","model_provider":"anthropic","id":"msg_7"}}"#;
    let usage = shaped(message).expect("a call");
    assert_eq!(counts(&usage), [200, 700, 200, 100, 80, 20]);
    assert_eq!((usage.call_id.as_deref(), usage.client.as_deref()), (Some("msg_7"), Some("langchain")));
    let dumped =
        format!(r#"{{"timestamp":"2026-11-01T10:00:00Z","session_id":"s","message":{{"lc":1,"type":"constructor","kwargs":{message}}}}}"#);
    let dumped = shaped(&dumped).expect("a call");
    assert_eq!((counts(&dumped), dumped.session.as_deref()), (counts(&usage), Some("s")));
    assert_eq!(dumped.at, Timestamp::parse("2026-11-01T10:00:00Z").expect("a time"));
}

#[test]
fn litellms_logging_payload_is_read_wherever_a_callback_puts_it() {
    let payload = r#"{"id":"b2f0c1de-1111-4222-8333-444455556666","trace_id":"t-1","call_type":"acompletion","stream":true,"response_cost":0.0042,"status":"success","total_tokens":1280,"prompt_tokens":1200,"completion_tokens":80,"startTime":1795000000.25,"endTime":1795000004.5,"completionStartTime":1795000001.0,"response_time":4.25,"model":"openai/gpt-4o","model_group":"fast","api_base":"https://api.openai.com","metadata":{"user_api_key_team_alias":"web","usage_object":null},"cache_hit":null,"saved_cache_cost":0.0,"request_tags":[],"messages":[{"role":"user","content":"secret"}],"response":{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o","choices":[],"service_tier":"default","usage":{"prompt_tokens":1200,"completion_tokens":80,"total_tokens":1280,"prompt_tokens_details":{"cached_tokens":1024},"completion_tokens_details":{"reasoning_tokens":30}}},"model_parameters":{},"hidden_params":{}}"#;
    let usage = shaped(payload).expect("a call");
    assert_eq!(counts(&usage), [176, 1024, 0, 0, 80, 30]);
    assert_eq!((usage.provider.as_str(), usage.model.as_deref(), usage.tier.as_deref()), ("openai", Some("gpt-4o"), Some("default")));
    assert_eq!(usage.call_id.as_deref(), Some("litellm:b2f0c1de-1111-4222-8333-444455556666"), "its own id, and not OpenAI's");
    assert_eq!(usage.project.as_ref().map(|project| project.name.as_str()), Some("web"));
    assert_eq!(usage.at, Timestamp::from_secs(1_795_000_000).plus_micros(250_000));
    for around in
        [r#"{"model":"openai/gpt-4o","standard_logging_object":P}"#, r#"{"event":"success","kwargs":{"standard_logging_object":P}}"#]
    {
        assert_eq!(shaped(&around.replace('P', payload)).as_ref(), Some(&usage), "{around}");
    }
    let failed = r#"{"id":"x","call_type":"acompletion","response_cost":0,"status":"failure","total_tokens":0,"prompt_tokens":0,"completion_tokens":0,"startTime":1795000000.25,"model":"openai/gpt-4o","metadata":{},"response":{},"error_str":"secret"}"#;
    assert!(shaped(failed).is_none(), "a call that failed used nothing");
}

#[test]
fn langchains_cache_writes_count_by_their_life_where_their_sum_says_nothing() {
    let message = r#"{"type":"ai","id":"lc_run--1","usage_metadata":{"input_tokens":1200,"output_tokens":80,"total_tokens":1280,"input_token_details":{"cache_read":700,"cache_creation":0,"ephemeral_5m_input_tokens":250,"ephemeral_1h_input_tokens":50}},"response_metadata":{"model_name":"claude-sonnet-4-5","model_provider":"anthropic","id":"msg_7"}}"#;
    assert_eq!(counts(&shaped(message).expect("a call")), [200, 700, 250, 50, 80, 0]);
}

#[test]
fn what_langchains_callbacks_get_is_read_reply_by_reply_or_as_a_sum_by_model() {
    let reply = |id: &str, input: u64| {
        format!(
            r#"[{{"text":"secret","type":"ChatGeneration","message":{{"lc":1,"type":"constructor","id":["langchain","schema","messages","AIMessage"],"kwargs":{{"content":"secret","id":"{id}","usage_metadata":{{"input_tokens":{input},"output_tokens":2,"total_tokens":9}},"response_metadata":{{"model_name":"gpt-4o","model_provider":"openai"}}}}}}}}]"#
        )
    };
    let result = format!(
        r#"{{"generations":[{},{}],"llm_output":{{"token_usage":{{"prompt_tokens":17,"completion_tokens":4}}}}}}"#,
        reply("run-1", 7),
        reply("run-2", 10)
    );
    let run = format!(r#"{{"id":"r","run_type":"llm","start_time":"2026-11-01T10:00:00","session_id":"s","outputs":{result}}}"#);
    for row in [&result, &run] {
        let (usages, _) = read_text(row, Format::Jsonl, &[], None);
        let read: Vec<_> = usages.iter().map(|usage| (usage.call_id.as_deref(), usage.tokens.input, usage.tokens.output)).collect();
        assert_eq!(read, [(Some("langchain:run-1"), 7, 2), (Some("langchain:run-2"), 10, 2)]);
    }
    let (usages, _) = read_text(&run, Format::Jsonl, &[], None);
    assert!(
        usages
            .iter()
            .all(|usage| usage.session.as_deref() == Some("s") && usage.at == Timestamp::parse("2026-11-01T10:00:00Z").expect("a time"))
    );
    // Of older versions, which tell it of the whole call only.
    let older = r#"{"generations":[[{"text":"x","message":{"content":"x"}}]],"llm_output":{"token_usage":{"prompt_tokens":17,"completion_tokens":4,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":5}},"model_name":"gpt-4o","id":"chatcmpl-3"}}"#;
    let usage = shaped(older).expect("a call");
    assert_eq!(
        (counts(&usage), usage.call_id.as_deref(), usage.model.as_deref()),
        ([12, 5, 0, 0, 4, 0], Some("chatcmpl-3"), Some("gpt-4o"))
    );
    let message = r#"{"content":"x","id":"run-9","response_metadata":{"token_usage":{"prompt_tokens":17,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":3}},"model_name":"gpt-4o"}}"#;
    assert_eq!(counts(&shaped(message).expect("a call")), [17, 0, 0, 0, 4, 3]);
    let sums = r#"{"gpt-4o-mini-2024-07-18":{"input_tokens":8,"output_tokens":10,"total_tokens":18,"input_token_details":{"audio":0,"cache_read":2},"output_token_details":{"reasoning":0}},"claude-haiku-4-5":{"input_tokens":8,"output_tokens":21,"total_tokens":29}}"#;
    for row in [sums.to_owned(), format!(r#"{{"time":1795000000,"usage_metadata":{sums}}}"#)] {
        let (usages, found) = read_text(&row, Format::Jsonl, &[], None);
        let read: Vec<_> = usages.iter().map(|usage| (usage.model.as_deref(), usage.provider.as_str(), usage.tokens.total())).collect();
        assert_eq!(read, [(Some("gpt-4o-mini-2024-07-18"), "openai", 18), (Some("claude-haiku-4-5"), "anthropic", 29)]);
        assert_eq!((found.calls, found.uncounted), (2, 0));
        assert_ne!(usages[0].call_id, usages[1].call_id);
    }
}

#[test]
fn what_sdks_return_is_read_by_the_meters() {
    let anthropic = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":5}}"#;
    let usage = shaped(anthropic).expect("a call");
    assert_eq!((counts(&usage), usage.key()), ([10, 20, 10, 20, 5, 0], Some(RequestKey::of("anthropic", "msg_1"))));
    assert_eq!((usage.carried, usage.sources), (None, Source::Log.into()));
    let chat = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1795000000,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":9,"total_tokens":109,"prompt_tokens_details":{"cached_tokens":64}}}"#;
    let usage = shaped(&format!(r#"{{"request":1,"response":{chat}}}"#)).expect("a call");
    assert_eq!((counts(&usage), usage.at), ([36, 64, 0, 0, 9, 0], Timestamp::from_secs(1_795_000_000)));
    let responses = r#"{"id":"resp_1","object":"response","created_at":1795000000,"model":"gpt-6-sol","status":"completed","output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":109}}"#;
    assert_eq!(counts(&shaped(responses).expect("a call")), [36, 64, 0, 0, 9, 4]);
    let google = r#"{"response_id":"g1","model_version":"gemini-2.5-pro","candidates":[{"content":{}}],"usage_metadata":{"prompt_token_count":100,"cached_content_token_count":60,"candidates_token_count":9,"thoughts_token_count":3,"total_token_count":112}}"#;
    let usage = shaped(google).expect("a call");
    assert_eq!((counts(&usage), usage.model.as_deref()), ([40, 60, 0, 0, 12, 3], Some("gemini-2.5-pro")));
    assert!(shaped(r#"{"usage":{"prompt_tokens":3}}"#).is_none(), "nothing says whose it is");
}

#[test]
fn a_document_is_one_row_or_a_list_of_them() {
    let chat = "{\n  \"id\": \"chatcmpl-1\",\n  \"object\": \"chat.completion\",\n  \"created\": 1795000000,\n  \"model\": \"gpt-4o\",\n  \"choices\": [],\n  \"usage\": {\"prompt_tokens\": 100, \"completion_tokens\": 9}\n}\n";
    let (one, _) = read_text(chat, Format::Json, &[], None);
    assert_eq!((one.len(), counts(&one[0])), (1, [100, 0, 0, 0, 9, 0]));
    let list = format!("[{chat},{}, 7]", chat.replace("chatcmpl-1", "chatcmpl-2"));
    let (usages, found) = read_text(&list, Format::Json, &[], None);
    assert_eq!((usages.len(), found.broken, usages[0] == one[0]), (2, 1, true));
    assert_eq!(read_text(&[chat.replace('\n', ""), list.replace('\n', "")].join("\n"), Format::Json, &[], None).1.broken, 1);
    let (of_map, _) = read_text(r#"[{"a":1},{"a":2}]"#, Format::Json, &["input=a", "output=a"], None);
    assert_eq!(of_map.len(), 2);
    assert_eq!(read_text("[{\"a\":1}", Format::Json, &["input=a"], None).1.broken, 1, "half a document is none");
}

#[test]
fn a_place_that_makes_no_sense_is_refused_with_the_names_that_do() {
    let refused = |text: &str| text.parse::<Place>().expect_err("it is refused");
    assert!(refused("inputs=x").contains("cache_read"));
    assert!(refused("input").contains("usage.prompt_tokens"));
    assert!(refused("input=").contains("no place"));
}

proptest::proptest! {
    #[test]
    fn no_row_makes_it_panic(text in "[\\[\\]{}\":,.a-z0-9 -]{0,80}") {
        let _ = read_text(&text, Format::Jsonl, &MAP, None);
        let _ = read_text(&text, Format::Csv, &["input=a", "at=b"], None);
        let _ = read_text(&text, Format::Json, &MAP, None);
        let _ = shaped(&text);
    }
}
