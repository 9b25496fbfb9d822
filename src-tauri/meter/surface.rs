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

/// What is known of a call by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// `None`: the reply must show.
    pub(super) surface: Option<Surface>,
    /// Whether it only fetches again what another call used.
    pub(super) retrieval: bool,
    /// The model, where the path names it.
    pub(super) model: Option<String>,
    /// Whether its replies do not count what they took, which is all there is to count.
    pub(super) silent: bool,
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
    let to = |surface| Some(Route { surface, retrieval: false, model: None, silent: false });
    let again = |surface| Some(Route { surface: Some(surface), retrieval: true, model: None, silent: false });
    if method.eq_ignore_ascii_case("GET") {
        return match (parent, last) {
            ("responses", _) => again(Surface::OpenAi),
            ("runs", _) if before.contains(&"threads") => again(Surface::OpenAi),
            (_, "content") if before.iter().rev().nth(1) == Some(&"files") => again(Surface::OpenAiBatch),
            (_, "results") if before.iter().rev().nth(1) == Some(&"batches") => again(Surface::AnthropicBatch),
            ("batches", _) if before.iter().any(|part| part.starts_with("v1beta") || part.starts_with("v1alpha")) => {
                again(Surface::GeminiBatch)
            }
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
        return Some(Route { surface: Some(Surface::Bedrock), retrieval: false, model: bedrock::model(before), silent: false });
    }
    if let Some((model, verb)) = last.split_once(':').or_else(|| last.split_once("%3A")) {
        return verb_route(model, verb, before);
    }
    match (parent, last) {
        (_, "count_tokens" | "count-tokens" | "input_tokens" | "tokenize" | "models" | "moderations" | "files" | "batches") => None,
        ("responses", "compact") | (_, "responses" | "completions") => to(Some(Surface::OpenAi)),
        (_, "cancel") if before.contains(&"responses") => again(Surface::OpenAi),
        (_, "cancel" | "cachedContents") => None,
        ("api", "chat" | "generate" | "embed" | "embeddings") => to(Some(Surface::Ollama)),
        ("v1" | "v2", "embed" | "rerank") | ("v2", "chat") => to(Some(Surface::Cohere)),
        (_, "rerank") => None,
        (_, "embeddings" | "ocr") | ("images" | "audio", _) => to(Some(Surface::OpenAi)),
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
    let model = query.split('&').find_map(|pair| pair.strip_prefix("model=")).and_then(model_in_path);
    Some(Route { surface: Some(surface), retrieval: false, model, silent: false })
}

/// Google's paths end in `{model}:{verb}`, for whomever the model is.
fn verb_route(model: &str, verb: &str, before: &[&str]) -> Option<Route> {
    let surface = match verb {
        "generateContent" | "streamGenerateContent" | "embedContent" | "batchEmbedContents" | "predict" => Surface::Gemini,
        "rawPredict" | "streamRawPredict" if before.contains(&"anthropic") => Surface::Anthropic,
        "rawPredict" | "streamRawPredict" => Surface::OpenAi,
        _ => return None,
    };
    // Google's embeddings are billed by the text that was sent (clients-measured, section 6).
    let silent = matches!(verb, "embedContent" | "batchEmbedContents");
    Some(Route { surface: Some(surface), retrieval: false, model: (!model.is_empty()).then(|| model.to_owned()), silent })
}

/// What a document of a reply shows itself to be.
pub(super) fn shape(document: &Document) -> Option<Surface> {
    let paths = ["usageMetadata", "object", "type", "response.object", "usage.prompt_tokens", "usage.input_tokens"];
    let [metadata, object, kind, response, prompt, input] = document.pick(paths);
    let of_cohere = document.pick(["generation_id", "meta.billed_units", "event_type"]).iter().any(Option::is_some);
    let starts = |raw: Option<&serde_json::value::RawValue>, with: &str| raw.is_some_and(|raw| raw.get()[1..].starts_with(with));
    if metadata.is_some() {
        Some(Surface::Gemini)
    } else if starts(kind, "message_start") || starts(kind, "message\"") && input.is_some() {
        Some(Surface::Anthropic)
    } else if prompt.is_some()
        || response.is_some()
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
        let live = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k";
        assert_eq!(found(live), Some((Some(Surface::Gemini), None)));
    }

    #[test]
    fn what_is_fetched_again_is_known_for_it() {
        assert_eq!(check("GET", "/v1/responses/resp_1?stream=true"), Some((Some(Surface::OpenAi), true)));
        assert_eq!(check("POST", "/v1/responses/resp_1/cancel"), Some((Some(Surface::OpenAi), true)));
        assert_eq!(check("GET", "/v1/messages/batches/msgbatch_1/results"), Some((Some(Surface::AnthropicBatch), true)));
        assert_eq!(check("GET", "/v1/files/file-1/content"), Some((Some(Surface::OpenAiBatch), true)));
        assert_eq!(check("GET", "/v1beta/batches/b1"), Some((Some(Surface::GeminiBatch), true)));
        assert_eq!(check("GET", "/v1/threads/t/runs/run_1"), Some((Some(Surface::OpenAi), true)));
    }

    #[test]
    fn nothing_comes_of_what_is_free() {
        for path in ["/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1beta/models/g:countTokens", "/v1/moderations", "/"] {
            assert_eq!(check("POST", path), None, "{path}");
        }
        for path in ["/v1/models", "/v1/files/f", "/v1/batches/b", "/v1/threads/t/runs", "/v1/responses", "/v1/responses/r/input_items"] {
            assert_eq!(check("GET", path), None, "{path}");
        }
        assert_eq!(check("POST", "/v1/threads/t/messages"), None);
        assert_eq!(socket_route("/v1/chat/completions"), None);
        assert_eq!(check("DELETE", "/v1/responses/resp_1"), None);
        assert_eq!(check("POST", "/v1/chat"), Some((None, false)), "the reply must show");
    }
}
