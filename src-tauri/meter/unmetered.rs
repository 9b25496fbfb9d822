//! Calls that may be billed and that no dialect here reads: which of them count as such, and by which name.

/// The longest word of a path that is shown; what is longer is an id.
const WORD_BYTES_MAX: usize = 32;
/// As many parts of a path are shown.
const PARTS_MAX: usize = 8;

/// A path with one of these parts is not billed: administration, telemetry, keys for browsers, and resources that only hold something.
const FREE_PARTS: [&str; 26] = [
    "analytics",
    "analytics-events",
    "assistants",
    "auth",
    "conversations",
    "event_logging",
    "events",
    "feedback",
    "login",
    "metrics",
    "oauth",
    "organization",
    "organizations",
    "permissions",
    "prompts",
    "skills",
    "statsig",
    "telemetry",
    "token",
    "transcription_sessions",
    "translation_sessions",
    "uploads",
    "usage",
    "wham",
    "webhooks",
    "client_secrets",
];
/// The same, of a path's last two parts; `*` stands for any.
const FREE_ENDS: [(&str, &str); 18] = [
    ("realtime", "sessions"),
    ("models", "session"),
    ("api", "show"),
    ("api", "pull"),
    ("api", "push"),
    ("api", "create"),
    ("api", "copy"),
    ("api", "blobs"),
    ("api", "me"),
    ("*", "cachedContents"),
    ("*", "tokenize"),
    ("*", "detokenize"),
    ("*", "apply-template"),
    ("*", "hello"),
    ("*", "vector_stores"),
    ("vector_stores", "*"),
    ("*", "file_batches"),
    ("*", "cancel"),
];
/// Google's verbs that begin so are not billed, or what they begin is counted when its results are fetched.
const FREE_VERBS: [&str; 13] =
    ["async", "batchGenerate", "cancel", "fetch", "get", "list", "load", "onboard", "record", "register", "retrieve", "set", "transfer"];

/// The shape of a call that may be billed, as `POST /v1/agents/*/runs`: without ids, names of models and the query. `None` where it is
/// known to be free.
///
/// `method` is `POST`, or `WebSocket`.
pub(crate) fn unmetered_shape(method: &str, path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (&last, before) = parts.split_last()?;
    let parent = before.last().copied().unwrap_or_default();
    let is_end = |(above, end): &(&str, &str)| (*above == "*" || *above == parent) && (*end == "*" || *end == last);
    let verb = last.rsplit_once(':').map_or("", |(_, verb)| verb);
    let free_verb = !verb.is_empty() && FREE_VERBS.iter().any(|begins| verb.starts_with(begins));
    if free_verb || FREE_ENDS.iter().any(is_end) || parts.iter().any(|part| FREE_PARTS.contains(part)) {
        return None;
    }
    let shown = parts.iter().take(PARTS_MAX).map(|part| word(part)).collect::<Vec<_>>().join("/");
    let rest = if parts.len() > PARTS_MAX { "/..." } else { "" };
    Some(format!("{method} /{shown}{rest}"))
}

/// A part of a path as it may be shown: words and versions are, anything else may be an id or a name.
fn word(part: &str) -> String {
    let is_word = |part: &str| {
        let mut letters = part.bytes();
        part.len() <= WORD_BYTES_MAX
            && letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphabetic() || matches!(letter, b'-' | b'_'))
    };
    let is_version = part.len() <= WORD_BYTES_MAX
        && part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
        && part.bytes().all(|letter| letter.is_ascii_alphanumeric());
    match part.rsplit_once(':') {
        _ if is_word(part) || is_version => part.to_owned(),
        Some((_, verb)) if is_word(verb) => format!("*:{verb}"),
        Some(_) | None => "*".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(path: &str) -> Option<String> {
        unmetered_shape("POST", path)
    }

    #[test]
    fn shapes_have_no_ids_models_or_queries() {
        for (path, expected) in [
            ("/v1/decisions?key=secret", "POST /v1/decisions"),
            ("/v1/agents/sessions/sess_8f3a/turns", "POST /v1/agents/sessions/*/turns"),
            ("/v1/live/sessions", "POST /v1/live/sessions"),
            ("/v1/sessions", "POST /v1/sessions"),
            ("/v1beta/models/gemini-9:dream", "POST /v1beta/models/*:dream"),
            ("/v1/x/0/9f8e7d6c/%41", "POST /v1/x/*/*/*"),
            ("/a/b/c/d/e/f/g/h/i", "POST /a/b/c/d/e/f/g/h/..."),
        ] {
            assert_eq!(shape(path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(
            unmetered_shape("WebSocket", "/v1/realtime/translations?model=m").as_deref(),
            Some("WebSocket /v1/realtime/translations")
        );
    }

    #[test]
    fn free_calls_have_no_shape() {
        for path in [
            "/",
            "/api/event_logging/batch",
            "/v1/realtime/client_secrets",
            "/v1/realtime/sessions",
            "/v1/vector_stores",
            "/v1/vector_stores/vs_1",
            "/v1internal:loadCodeAssist",
            "/v1beta/models/g:batchGenerateContent",
            "/v1beta/cachedContents",
            "/api/pull",
        ] {
            assert_eq!(shape(path), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "\\PC{0,60}") {
            let _ = shape(&path);
        }
    }
}
