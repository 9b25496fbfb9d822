//! Which dialect a call speaks: by the shape of its path, and where that says nothing, by the shape of the reply. Never by host.

use super::bedrock;
use super::document::Document;
use super::said::model_in_path;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    /// Chat completions, completions, embeddings, responses, images, audio.
    OpenAi,
    /// The results of a batch of OpenAI's: one call a line.
    OpenAiBatch,
    /// Messages, as one object or a stream.
    Anthropic,
    /// The results of a batch of messages: one call a line.
    AnthropicBatch,
    /// generateContent and its kin, and interactions.
    Gemini,
    /// A batch of Google's, with its results within.
    GeminiBatch,
    /// Bedrock's converse, and invoke where the model's own dialect is not known.
    Bedrock,
    /// Ollama's own chat and generate.
    Ollama,
    /// Cohere's chat, embed, rerank.
    Cohere,
}

impl Surface {
    /// Whose API it is, and so whose ids these are.
    pub(super) const fn family(self) -> &'static str {
        match self {
            Surface::OpenAi | Surface::OpenAiBatch => "openai",
            Surface::Anthropic | Surface::AnthropicBatch => "anthropic",
            Surface::Gemini | Surface::GeminiBatch => "gemini",
            Surface::Bedrock => "bedrock",
            Surface::Ollama => "ollama",
            Surface::Cohere => "cohere",
        }
    }

    /// The one of a family that is read as all of the family are.
    pub(super) fn of_family(family: &str) -> Option<Surface> {
        let each = [Surface::OpenAi, Surface::Anthropic, Surface::Gemini, Surface::Bedrock, Surface::Ollama, Surface::Cohere];
        each.into_iter().find(|surface| surface.family() == family)
    }
}

/// What is asked for, which decides what can be estimated where nobody counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words, which are in the reply.
    #[default]
    Words,
    /// Vectors or scores: all there is to count was sent.
    Vectors,
    /// Pictures, moving ones too. They are billed by the piece, or counted.
    Pictures,
    /// Sound, of the words that were sent.
    Speech,
    /// Words, of the sound that was sent.
    Transcript,
}

/// What is known of a call by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// `None`: the reply must show.
    pub(super) surface: Option<Surface>,
    /// Whether it only fetches again what another call used.
    pub(super) retrieval: bool,
    /// The model, where the path names it.
    pub(super) model: Option<String>,
    pub(super) kind: Kind,
    /// The id of the call, where the path names what is fetched again and the reply may not.
    pub(super) id: Option<String>,
    /// Whether that id is the one that the request got, and the answer has another.
    pub(super) is_ticket: bool,
}

/// Where a path leads; `None` where nothing billable can come of it.
///
/// A path may carry anything in front (`/openai/deployments/x/`, `/api/v1/`, `/proxy/`), doubled slashes, a doubled or a missing `/v1`:
/// only its end counts (provider-usage, section 0, rule 1; clients-measured, section 3).
pub(super) fn route(method: &str, path: &str) -> Option<Route> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (&last, before) = segments.split_last()?;
    let parent = before.last().copied().unwrap_or_default();
    let asked = |surface, kind| Some(Route { surface, retrieval: false, model: None, kind, id: None, is_ticket: false });
    let to = |surface| asked(surface, Kind::Words);
    let again =
        |surface| Some(Route { surface: Some(surface), retrieval: true, model: None, kind: Kind::Words, id: None, is_ticket: false });
    let fetched = |id: &str| again(Surface::OpenAi).map(|route| Route { id: Some(id.to_owned()), is_ticket: true, ..route });
    if method.eq_ignore_ascii_case("GET") {
        return match (parent, last) {
            ("responses", _) => again(Surface::OpenAi),
            // Answers that are fetched under the name that the request got (docs.x.ai, deferred completions; docs.perplexity.ai, async).
            ("deferred-completion", id) => fetched(id),
            ("completions", id) if before.contains(&"async") => fetched(id),
            ("interactions", _) => again(Surface::Gemini),
            // xAI says what a video cost when it is fetched, and not which it is (docs.x.ai, video generation).
            ("videos", id) => again(Surface::OpenAi).map(|route| Route { kind: Kind::Pictures, id: Some(id.to_owned()), ..route }),
            ("runs", _) if before.contains(&"threads") => again(Surface::OpenAi),
            (_, "content") if before.iter().rev().nth(1) == Some(&"files") => again(Surface::OpenAiBatch),
            (_, "results") if before.iter().rev().nth(1) == Some(&"batches") => again(Surface::AnthropicBatch),
            ("batches", _) if of_google(before) => again(Surface::GeminiBatch),
            // The results of a batch that was sent as a file.
            ("files", file) if of_google(before) && file.ends_with(":download") => again(Surface::GeminiBatch),
            _ => None,
        };
    }
    if !method.eq_ignore_ascii_case("POST") {
        return None;
    }
    if before.contains(&"threads") {
        return match last {
            "runs" => to(Some(Surface::OpenAi)),
            // The run goes on, and is the same.
            "submit_tool_outputs" | "cancel" => again(Surface::OpenAi),
            _ => None,
        };
    }
    if matches!(last, "converse" | "converse-stream" | "invoke" | "invoke-with-response-stream") && before.contains(&"model") {
        return to(Some(Surface::Bedrock)).map(|route| Route { model: bedrock::model(before), ..route });
    }
    if let Some((model, verb)) = last.split_once(':').or_else(|| last.split_once("%3A")) {
        return verb_route(model, verb, before);
    }
    match (parent, last) {
        (_, "count_tokens" | "count-tokens" | "input_tokens" | "tokenize" | "models" | "moderations" | "files" | "batches") => None,
        // What is stored is given other metadata, and told again.
        ("completions", _) => None,
        ("responses", "compact") | (_, "responses" | "completions") => to(Some(Surface::OpenAi)),
        (_, "cancel") if before.contains(&"responses") => again(Surface::OpenAi),
        (_, "cancel" | "cachedContents") => None,
        ("api", "chat" | "generate") => to(Some(Surface::Ollama)),
        ("api", "embed" | "embeddings") => asked(Some(Surface::Ollama), Kind::Vectors),
        ("v1" | "v2", "embed") => asked(Some(Surface::Cohere), Kind::Vectors),
        ("v2", "chat") => to(Some(Surface::Cohere)),
        // Cohere's by searches; others' by tokens, in OpenAI's words.
        (_, "rerank" | "reranking") => asked(None, Kind::Vectors),
        (_, "embeddings" | "feature-extraction") => asked(Some(Surface::OpenAi), Kind::Vectors),
        ("audio", "speech") => asked(Some(Surface::OpenAi), Kind::Speech),
        ("audio", "transcriptions" | "translations") => asked(Some(Surface::OpenAi), Kind::Transcript),
        ("images" | "videos", _) | (_, "videos") => asked(Some(Surface::OpenAi), Kind::Pictures),
        // llama.cpp's own.
        (_, "completion" | "infill") => to(Some(Surface::OpenAi)),
        (_, "ocr") | ("audio", _) => to(Some(Surface::OpenAi)),
        (_, "complete") => to(Some(Surface::Anthropic)),
        (_, "messages") => to(Some(Surface::Anthropic)),
        (_, "interactions") => to(Some(Surface::Gemini)),
        _ => to(None),
    }
}

/// Where a WebSocket leads; `None` where nobody is known to bill what is said over it.
pub(super) fn socket_route(path: &str) -> Option<Route> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let surface = match last {
        "realtime" | "responses" => Surface::OpenAi,
        service if service.ends_with(".BidiGenerateContent") || service.ends_with(".BidiGenerateContentConstrained") => Surface::Gemini,
        _ => return None,
    };
    // Azure calls it by its deployment.
    let named = |pair: &'_ str| pair.strip_prefix("model=").or_else(|| pair.strip_prefix("deployment=")).and_then(model_in_path);
    let model = query.split('&').find_map(named);
    Some(Route { surface: Some(surface), retrieval: false, model, kind: Kind::Words, id: None, is_ticket: false })
}

/// Whether the path is one of Google's API, by its version.
fn of_google(before: &[&str]) -> bool {
    before.iter().any(|part| part.starts_with("v1beta") || part.starts_with("v1alpha"))
}

/// Google's paths end in `{model}:{verb}`, for whomever the model is.
fn verb_route(model: &str, verb: &str, before: &[&str]) -> Option<Route> {
    let (surface, kind) = match verb {
        // Counting is free, on Vertex also that of Claude's tokens (provider-usage, sections 3 and 4).
        "countTokens" | "computeTokens" => return None,
        _ if model == "count-tokens" => return None,
        "generateContent" | "streamGenerateContent" => (Surface::Gemini, Kind::Words),
        // Embeddings are billed by the text that was sent (clients-measured, section 6).
        "embedContent" | "batchEmbedContents" => (Surface::Gemini, Kind::Vectors),
        "predict" | "predictLongRunning" => (Surface::Gemini, Kind::Pictures),
        "rawPredict" | "streamRawPredict" if before.contains(&"anthropic") => (Surface::Anthropic, Kind::Words),
        "rawPredict" | "streamRawPredict" => (Surface::OpenAi, Kind::Words),
        // Somebody else's verb, as in `/cortex/inference:complete`: the reply must show.
        _ => return Some(Route { surface: None, retrieval: false, model: None, kind: Kind::Words, id: None, is_ticket: false }),
    };
    // Behind Google's login the path names a version, and the request the model.
    let model = Some(model).filter(|model| !model.is_empty() && !model.starts_with("v1internal"));
    Some(Route { surface: Some(surface), retrieval: false, model: model.map(str::to_owned), kind, id: None, is_ticket: false })
}

/// What a document of a reply shows itself to be.
pub(super) fn shape(document: &Document) -> Option<Surface> {
    let paths = ["usageMetadata", "object", "type", "response.object", "usage.prompt_tokens", "usage.input_tokens"];
    let [metadata, object, kind, response, prompt, input] = document.pick(paths);
    let counted = document.pick(["usage.total_tokens", "usage.cost"]).iter().any(Option::is_some);
    let of_cohere = document.pick(["generation_id", "meta.billed_units", "event_type"]).iter().any(Option::is_some);
    let starts = |raw: Option<&serde_json::value::RawValue>, with: &str| raw.is_some_and(|raw| raw.get()[1..].starts_with(with));
    if metadata.is_some() {
        Some(Surface::Gemini)
    } else if starts(kind, "message_start") || starts(kind, "message\"") && input.is_some() {
        Some(Surface::Anthropic)
    } else if prompt.is_some()
        || response.is_some()
        || counted && input.is_none()
        || ["chat.completion", "text_completion", "response\""].iter().any(|o| starts(object, o))
    {
        Some(Surface::OpenAi)
    } else if of_cohere {
        Some(Surface::Cohere)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str) -> Option<(Option<Surface>, bool)> {
        route(method, path).map(|route| (route.surface, route.retrieval))
    }

    #[test]
    fn the_end_of_a_path_names_the_dialect_whatever_stands_before() {
        let open_ai = [
            "/v1/chat/completions",
            "//v1/chat/completions",
            "/v1/v1/chat/completions?x=1",
            "/chat/completions",
            "/openai/deployments/my-gpt/chat/completions?api-version=2024-02-01",
            "/v1beta/openai/chat/completions",
            "/api/coding/paas/v4/chat/completions/",
            "/v1/fim/completions",
            "/v1/responses",
            "/backend-api/codex/responses",
            "/v1/responses/compact",
            "/api/v1/embeddings",
        ];
        for path in open_ai {
            assert_eq!(check("POST", path), Some((Some(Surface::OpenAi), false)), "{path}");
        }
        for path in ["/v1/messages?beta=true", "/v1/v1/messages", "/anthropic/v1/messages", "/p/anthropic/models/c@1:streamRawPredict"] {
            assert_eq!(check("POST", path), Some((Some(Surface::Anthropic), false)), "{path}");
        }
        let gemini = route("POST", "/v1beta/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse").expect("a route");
        assert_eq!((gemini.surface, gemini.model.as_deref()), (Some(Surface::Gemini), Some("gemini-2.5-pro")));
    }

    #[test]
    fn bedrock_names_the_model_in_the_path_whatever_slashes_it_has() {
        let model = |path: &str| route("POST", path).and_then(|route| route.model);
        assert_eq!(model("/model/us.amazon.nova-lite-v1%3A0/converse-stream").as_deref(), Some("us.amazon.nova-lite-v1:0"));
        let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.x.y";
        assert_eq!(model(&format!("/model/{arn}/invoke")).as_deref(), Some(arn));
        assert_eq!(check("POST", "/model/x/invoke"), Some((Some(Surface::Bedrock), false)));
        assert_eq!(check("POST", "/model/x/count-tokens"), None);
    }

    #[test]
    fn a_websocket_is_known_by_its_path_and_names_its_model_in_the_query() {
        let found = |path: &str| socket_route(path).map(|route| (route.surface, route.model));
        assert_eq!(found("/v1/realtime?model=gpt-realtime%2D2&x=1"), Some((Some(Surface::OpenAi), Some("gpt-realtime-2".into()))));
        assert_eq!(found("/v1/responses"), Some((Some(Surface::OpenAi), None)));
        assert_eq!(found("/openai/realtime?api-version=1&deployment=mine"), Some((Some(Surface::OpenAi), Some("mine".into()))));
        let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k";
        assert_eq!(found(live), Some((Some(Surface::Gemini), None)));
    }

    #[test]
    fn what_is_asked_for_is_known_by_the_path() {
        let found = |path: &str| route("POST", path).map(|route| (route.surface, route.model, route.kind));
        let open_ai = |kind| Some((Some(Surface::OpenAi), None, kind));
        assert_eq!(found("/v1/embeddings"), open_ai(Kind::Vectors));
        assert_eq!(found("/openai/deployments/d/audio/transcriptions?api-version=1"), open_ai(Kind::Transcript));
        assert_eq!(found("/v1/audio/speech"), open_ai(Kind::Speech));
        assert_eq!(found("/v1/images/edits"), open_ai(Kind::Pictures));
        assert_eq!(found("/v1/rerank"), Some((None, None, Kind::Vectors)));
        assert_eq!(found("/completion"), open_ai(Kind::Words));
        assert_eq!(found("/v1/complete"), Some((Some(Surface::Anthropic), None, Kind::Words)));
        assert_eq!(found("/v1internal:streamGenerateContent?alt=sse"), Some((Some(Surface::Gemini), None, Kind::Words)));
    }

    #[test]
    fn what_is_fetched_again_is_known_for_it() {
        assert_eq!(check("GET", "/v1/responses/resp_1?stream=true"), Some((Some(Surface::OpenAi), true)));
        assert_eq!(check("POST", "/v1/responses/resp_1/cancel"), Some((Some(Surface::OpenAi), true)));
        assert_eq!(check("GET", "/v1/messages/batches/msgbatch_1/results"), Some((Some(Surface::AnthropicBatch), true)));
        assert_eq!(check("GET", "/v1/files/file-1/content"), Some((Some(Surface::OpenAiBatch), true)));
        assert_eq!(check("GET", "/v1beta/batches/b1"), Some((Some(Surface::GeminiBatch), true)));
        assert_eq!(check("GET", "/download/v1beta/files/f1:download?alt=media"), Some((Some(Surface::GeminiBatch), true)));
        assert_eq!(check("GET", "/v1/threads/t/runs/run_1"), Some((Some(Surface::OpenAi), true)));
        assert_eq!(check("GET", "/v1beta/interactions/v1_x?stream=true"), Some((Some(Surface::Gemini), true)));
        assert_eq!(check("GET", "/v1/chat/deferred-completion/r1"), Some((Some(Surface::OpenAi), true)));
        assert_eq!(check("GET", "/async/chat/completions/a1"), Some((Some(Surface::OpenAi), true)));
        assert_eq!(route("GET", "/v1/videos/v1").and_then(|route| route.id).as_deref(), Some("v1"));
    }

    #[test]
    fn nothing_comes_of_what_is_free() {
        let vertex = "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict";
        let counts = ["/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1beta/models/g:countTokens", vertex];
        for path in counts.into_iter().chain(["/v1/moderations", "/"]) {
            assert_eq!(check("POST", path), None, "{path}");
        }
        for path in ["/v1/models", "/v1/files/f", "/v1/batches/b", "/v1/threads/t/runs", "/v1/responses", "/v1/responses/r/input_items"] {
            assert_eq!(check("GET", path), None, "{path}");
        }
        assert_eq!(check("POST", "/v1/threads/t/messages"), None);
        assert_eq!(check("POST", "/v1/chat/completions/chatcmpl-1"), None, "its metadata are changed");
        assert_eq!(check("GET", "/v1/chat/completions/chatcmpl-1"), None);
        assert_eq!(check("GET", "/v1beta/files/f"), None);
        assert_eq!(socket_route("/v1/chat/completions"), None);
        assert_eq!(check("DELETE", "/v1/responses/resp_1"), None);
        for path in ["/v1/chat", "/api/v2/cortex/inference:complete"] {
            assert_eq!(check("POST", path), Some((None, false)), "the reply must show");
        }
    }
}
