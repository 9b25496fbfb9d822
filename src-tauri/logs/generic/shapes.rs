//! Rows that are known by their shape: LiteLLM's spend logs and logging payloads, LangChain's messages with `usage_metadata`, and what the SDKs of
//! OpenAI, Anthropic and Google return, each as its program writes it as JSON.

use super::{
    super::json::Json,
    map::{Field, Map, Place, find},
    of_map,
};
use crate::meter::{Call, Ending, Meter};
use events::{CallUuid, Source, Timestamp, Usage};
use serde_json::{Map as Fields, Value};

/// Where a program puts what it logs, beside the row itself.
const WITHIN: [&str; 13] = [
    "standard_logging_object",
    "kwargs.standard_logging_object",
    "payload",
    "kwargs",
    "message",
    "message.kwargs",
    "response",
    "output",
    "output.kwargs",
    "outputs",
    "result",
    "body",
    "data",
];
/// How many replies of one row are looked at.
const REPLIES_MAX: usize = 1024;

/// LiteLLM counts as OpenAI does, whoever was called: input with the cache, output with reasoning. Its own guess of the cost is its bill.
const LITELLM: &[(Field, &str)] = &[
    (Field::Id, "request_id"),
    (Field::Id, "id"),
    (Field::Model, "model"),
    (Field::Provider, "custom_llm_provider"),
    (Field::Input, "prompt_tokens"),
    (Field::Output, "completion_tokens"),
    (Field::CacheRead, "metadata.usage_object.prompt_tokens_details.cached_tokens"),
    (Field::CacheRead, "metadata.usage_object.cache_read_input_tokens"),
    (Field::CacheRead, "metadata.additional_usage_values.prompt_tokens_details.cached_tokens"),
    (Field::CacheRead, "metadata.additional_usage_values.cache_read_input_tokens"),
    (Field::CacheRead, "response.usage.prompt_tokens_details.cached_tokens"),
    (Field::CacheRead, "response.usage.cache_read_input_tokens"),
    (Field::CacheWrite, "metadata.usage_object.cache_creation_input_tokens"),
    (Field::CacheWrite, "metadata.usage_object.prompt_tokens_details.cache_creation_tokens"),
    (Field::CacheWrite, "metadata.additional_usage_values.cache_creation_input_tokens"),
    (Field::CacheWrite, "response.usage.cache_creation_input_tokens"),
    (Field::CacheWrite, "response.usage.prompt_tokens_details.cache_creation_tokens"),
    (Field::CacheWrite1h, "metadata.usage_object.cache_creation.ephemeral_1h_input_tokens"),
    (Field::CacheWrite1h, "metadata.usage_object.prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens"),
    (Field::CacheWrite1h, "response.usage.prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens"),
    (Field::Reasoning, "metadata.usage_object.completion_tokens_details.reasoning_tokens"),
    (Field::Reasoning, "response.usage.completion_tokens_details.reasoning_tokens"),
    (Field::Tier, "response.service_tier"),
    (Field::Cost, "spend"),
    (Field::Cost, "response_cost"),
    (Field::At, "startTime"),
    (Field::At, "start_time"),
    (Field::At, "endTime"),
    (Field::Session, "session_id"),
    (Field::Session, "trace_id"),
    (Field::Project, "metadata.user_api_key_team_alias"),
    (Field::Client, "=litellm"),
];

/// LangChain sums whatever went in, the cache included, and whatever came out. Where it tells Anthropic's cache writes by their life, it says
/// that their sum is nothing. Its older versions keep the words of OpenAI.
const LANGCHAIN: &[(Field, &str)] = &[
    (Field::Id, "response_metadata.id"),
    (Field::Id, "id"),
    (Field::Model, "response_metadata.model_name"),
    (Field::Model, "response_metadata.model"),
    (Field::Provider, "response_metadata.model_provider"),
    (Field::Input, "usage_metadata.input_tokens"),
    (Field::Output, "usage_metadata.output_tokens"),
    (Field::CacheRead, "usage_metadata.input_token_details.cache_read"),
    (Field::CacheWrite, "usage_metadata.input_token_details.cache_creation"),
    (Field::CacheWrite5m, "usage_metadata.input_token_details.ephemeral_5m_input_tokens"),
    (Field::CacheWrite1h, "usage_metadata.input_token_details.ephemeral_1h_input_tokens"),
    (Field::Input, "response_metadata.token_usage.prompt_tokens"),
    (Field::Output, "response_metadata.token_usage.completion_tokens"),
    (Field::CacheRead, "response_metadata.token_usage.prompt_tokens_details.cached_tokens"),
    (Field::Reasoning, "usage_metadata.output_token_details.reasoning"),
    (Field::Reasoning, "response_metadata.token_usage.completion_tokens_details.reasoning_tokens"),
    (Field::Tier, "response_metadata.service_tier"),
    (Field::At, "timestamp"),
    (Field::At, "created_at"),
    (Field::At, "time"),
    (Field::Session, "session_id"),
    (Field::Session, "thread_id"),
    (Field::Client, "=langchain"),
];

/// What a callback of LangChain's gets beside the replies of a call.
const LANGCHAIN_RESULT: &[(Field, &str)] = &[
    (Field::Id, "llm_output.id"),
    (Field::Model, "llm_output.model_name"),
    (Field::Input, "llm_output.token_usage.prompt_tokens"),
    (Field::Output, "llm_output.token_usage.completion_tokens"),
    (Field::CacheRead, "llm_output.token_usage.prompt_tokens_details.cached_tokens"),
    (Field::Reasoning, "llm_output.token_usage.completion_tokens_details.reasoning_tokens"),
    (Field::Tier, "llm_output.service_tier"),
    (Field::Client, "=langchain"),
];

/// Where programs write when a call was.
const TIMES: [&str; 6] = ["timestamp", "time", "ts", "start_time", "created_at", "created"];
const SESSIONS: [&str; 3] = ["session_id", "thread_id", "conversation_id"];

/// The calls that a row tells of, most often one; none where it is of no known shape, or counts nothing.
pub(super) fn read(row: &str) -> Vec<Usage> {
    let bases = || std::iter::once(row.to_owned()).chain(WITHIN.iter().filter_map(|path| find(row, path)));
    let shaped = bases().map(|base| of_shape(&base)).find(|calls| !calls.is_empty()).unwrap_or_default();
    // What stands around it tells when and where, if it does not itself.
    let around = |field, paths: &[&str]| Map { places: paths.iter().map(|path| Place::new(field, path)).collect(), ..Map::default() };
    let at = around(Field::At, &TIMES).time(Field::At, row).unwrap_or_default();
    let session = around(Field::Session, &SESSIONS).word(Field::Session, row);
    let placed = |call: Usage| Usage {
        at: if call.at == Timestamp::default() { at } else { call.at },
        session: call.session.clone().or_else(|| session.clone()),
        ..call
    };
    shaped.into_iter().map(placed).collect()
}

fn of_shape(base: &str) -> Vec<Usage> {
    let of_replies: Vec<Usage> = replies(base).iter().filter_map(|reply| of_call(reply)).collect();
    if !of_replies.is_empty() {
        return of_replies;
    }
    of_call(base).map_or_else(|| of_models(base), |call| vec![call])
}

/// What a callback of LangChain's gets of a call: for each prompt its replies, of which each has the usage of all.
fn replies(base: &str) -> Vec<String> {
    let generations = find(base, "generations").unwrap_or_default();
    let prompts = Json::parse(&generations).into_iter().flat_map(Json::items).take(REPLIES_MAX);
    let reply = |prompt: Json<'_>| find(prompt.raw(), "0.message.kwargs").or_else(|| find(prompt.raw(), "0.message"));
    prompts.filter_map(reply).collect()
}

/// What a program used by model, as LangChain's callback for usage sums it up.
fn of_models(base: &str) -> Vec<Usage> {
    let sums = find(base, "usage_metadata").unwrap_or_else(|| base.to_owned());
    let Some(sums) = Json::parse(&sums).map(Json::object) else { return Vec::new() };
    let of_model = |(model, sum): (&str, Json<'_>)| {
        let counts = sum.object();
        counts.count("total_tokens").filter(|_| counts.count("input_tokens").is_some())?;
        let named = Value::from_iter([("model_name", model)]);
        of_map(&preset(LANGCHAIN), &format!(r#"{{"usage_metadata":{},"response_metadata":{named}}}"#, sum.raw()), "langchain")
    };
    sums.fields().take(REPLIES_MAX).filter_map(of_model).collect()
}

fn of_call(base: &str) -> Option<Usage> {
    let has = |path: &str| find(base, path).is_some();
    if has("usage_metadata.input_tokens") || has("response_metadata.token_usage.prompt_tokens") {
        // It counts one way, whoever was called.
        return of_map(&preset(LANGCHAIN), base, "langchain");
    }
    if has("llm_output.token_usage.prompt_tokens") {
        return of_map(&preset(LANGCHAIN_RESULT), base, "langchain");
    }
    if has("prompt_tokens") && has("completion_tokens") && (has("call_type") || has("custom_llm_provider")) {
        // What a gateway answers from its own cache, no provider was asked.
        let is_own = find(base, "cache_hit").is_some_and(|hit| hit.to_ascii_lowercase().contains("true"));
        return if is_own { None } else { of_map(&preset(LITELLM), base, "litellm") };
    }
    of_reply(base)
}

fn preset(places: &[(Field, &str)]) -> Map {
    let places = places.iter().map(|(field, path)| Place::new(*field, path)).collect();
    Map { places, input_includes_cache: Some(true), reasoning_is_beside: Some(false) }
}

/// A provider's own reply, which the meters read.
fn of_reply(base: &str) -> Option<Usage> {
    let value: Value = serde_json::from_str(base).ok()?;
    let fields = value.as_object()?;
    let is = |name: &str, wanted: &str| fields.get(name).and_then(Value::as_str) == Some(wanted);
    let (provider, path, body) = if fields.contains_key("usageMetadata") || fields.contains_key("usage_metadata") {
        ("gemini", "/v1beta/models/unknown:generateContent", camel(fields))
    } else if !fields.get("usage").is_some_and(Value::is_object) {
        return None;
    } else if is("type", "message") {
        ("anthropic", "/v1/messages", value.clone())
    } else if is("object", "response") {
        ("openai", "/v1/responses", value.clone())
    } else if fields.contains_key("choices") || is("object", "list") {
        ("openai", "/v1/chat/completions", value.clone())
    } else {
        return None;
    };
    let call = Call {
        provider,
        method: "POST",
        path,
        encoding: None,
        websocket: false,
        at: Timestamp::default(),
        uuid: CallUuid(0),
        source: Source::Log,
    };
    let mut meter = Meter::start(&call)?;
    meter.head(200, |name| (name == "content-type").then_some("application/json"));
    meter.reply(body.to_string().as_bytes());
    let usage = *meter.finish(Ending::Complete, Timestamp::default()).into_iter().next()?.usage;
    if usage.tokens.total() == 0 {
        return None;
    }
    let created = fields.get("created").or_else(|| fields.get("created_at")).map(Value::to_string);
    let at = created.and_then(|created| {
        Map { places: vec![Place::new(Field::At, "t")], ..Map::default() }.time(Field::At, &format!("{{\"t\":{created}}}"))
    });
    Some(Usage {
        at: at.unwrap_or_default(),
        client: Some("sdk".to_owned()),
        carried: None,
        latency_ms: None,
        status: None,
        model: usage.model.clone().filter(|model| model != "unknown"),
        ..usage
    })
}

/// Google's SDK for Python writes its names with underscores.
fn camel(fields: &Fields<String, Value>) -> Value {
    let name = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| {
            let mut letters = word.chars();
            let head = letters.next().map(|letter| letter.to_ascii_uppercase());
            name + &head.into_iter().chain(letters).collect::<String>()
        })
    };
    let nested = |value: &Value| match value {
        Value::Object(fields) => Value::Object(fields.iter().map(|(key, value)| (name(key), value.clone())).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
    };
    let wanted = |key: &str| matches!(key, "usageMetadata" | "responseId" | "modelVersion");
    Value::Object(fields.iter().map(|(key, value)| (name(key), nested(value))).filter(|(key, _)| wanted(key)).collect())
}
