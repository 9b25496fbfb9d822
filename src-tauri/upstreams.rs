//! Whom the proxy can call: the providers known by name, and those that the configuration adds or moves.

use hyper::Uri;
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// The longest name of an upstream, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Name and address of every provider known by name. Addresses are those of the providers' own documentation of their API.
///
/// Where the address depends on the customer (Azure, Snowflake, a gateway), there is none, and the configuration must name it.
const KNOWN: &[(&str, Option<&str>)] = &[
    ("alibaba", Some("https://dashscope-intl.aliyuncs.com")),
    ("anthropic", Some("https://api.anthropic.com")),
    ("avian", Some("https://api.avian.io")),
    ("azure", None),
    ("bedrock", Some("https://bedrock-runtime.us-east-1.amazonaws.com")),
    ("cerebras", Some("https://api.cerebras.ai")),
    ("chatgpt-codex", Some("https://chatgpt.com")),
    ("code-assist", Some("https://cloudcode-pa.googleapis.com")),
    ("cohere", Some("https://api.cohere.com")),
    ("copilot", Some("https://api.githubcopilot.com")),
    ("crusoe", Some("https://api.inference.crusoecloud.com")),
    ("deepseek", Some("https://api.deepseek.com")),
    ("doubleword", Some("https://api.doubleword.ai")),
    ("gemini", Some("https://generativelanguage.googleapis.com")),
    ("groq", Some("https://api.groq.com")),
    ("heroku", Some("https://us.inference.heroku.com")),
    ("huggingface", Some("https://router.huggingface.co")),
    ("llamacpp", Some("http://127.0.0.1:8080")),
    ("local-openai-compat", Some("http://127.0.0.1:8000")),
    ("mistral", Some("https://api.mistral.ai")),
    ("mistralrs", Some("http://127.0.0.1:1234")),
    ("moonshot", Some("https://api.moonshot.ai")),
    ("ollama", Some("http://127.0.0.1:11434")),
    ("ollama-cloud", Some("https://ollama.com")),
    ("openai", Some("https://api.openai.com")),
    ("openrouter", Some("https://openrouter.ai")),
    ("perplexity", Some("https://api.perplexity.ai")),
    ("portkey", Some("https://api.portkey.ai")),
    ("pydantic-gateway", Some("https://gateway.pydantic.dev")),
    ("snowflake", None),
    ("together", Some("https://api.together.xyz")),
    ("venice", Some("https://api.venice.ai")),
    ("vercel-gateway", Some("https://ai-gateway.vercel.sh")),
    ("vertex", Some("https://aiplatform.googleapis.com")),
    ("voyageai", Some("https://api.voyageai.com")),
    ("writer", Some("https://api.writer.com")),
    ("xai", Some("https://api.x.ai")),
    ("zai", Some("https://api.z.ai")),
];

/// One upstream as the configuration names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSection {
    /// Where it is: `https://api.openai.com`, `http://127.0.0.1:9000/v1`.
    pub base_url: String,
    /// Whose API it speaks, where its paths do not tell: `openai`, `anthropic`.
    pub dialect: Option<String>,
    /// Which model is behind a name of the user's own, as Azure's deployments have: `my-deploy = "gpt-4o"`.
    #[serde(default)]
    pub deployments: BTreeMap<String, String>,
    /// By what the list prices of its calls are multiplied: `"1.2"`.
    #[serde(default)]
    pub multiplier: Option<String>,
}

/// One upstream.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name: the first part of the proxy's path, and the provider of its calls.
    pub name: String,
    /// Where it is. Its path, if it has one, goes before the path of the call.
    pub base: Uri,
    /// The known provider whose way of counting it has: its own name unless configured.
    pub dialect: String,
    /// The models behind names of the user's own.
    pub deployments: BTreeMap<String, String>,
}

/// Before the resources of these APIs stands `/v1`, which clients forget or double, as their base addresses do
/// (gateways-and-clients, section 4.1).
const VERSIONED: [&str; 2] = ["anthropic", "openai"];

/// What OpenAI's and Anthropic's APIs have behind their version.
const ANTHROPIC_RESOURCES: [&str; 2] = ["messages", "complete"];
const OPENAI_RESOURCES: [&str; 14] = [
    "chat/completions",
    "responses",
    "completions",
    "embeddings",
    "models",
    "moderations",
    "files",
    "batches",
    "images",
    "audio",
    "videos",
    "realtime",
    "decisions",
    "conversations",
];
/// What other APIs have behind theirs: Google's, Cohere's, and those that rank.
const OTHER_RESOURCES: [&str; 8] =
    ["models", "tunedModels", "cachedContents", "interactions", "chat", "embed", "rerank", "fim/completions"];

/// Whether a path is one of these resources, or below it.
fn leads_to(path: &str, resources: &[&str]) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    resources.iter().any(|it| path.strip_prefix(it).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether a part of a path is a version: `v1`, `v4`, `v1beta`, `v1beta2`.
fn is_version(part: &str) -> bool {
    let Some(digits) = part.strip_prefix('v') else { return false };
    let stage = digits.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let stage_is_known = ["", "alpha", "beta"].contains(&stage.trim_end_matches(|digit: char| digit.is_ascii_digit()));
    digits.len() > stage.len() && stage_is_known
}

/// The path with one slash between a version and a known resource behind it where it had several, wherever the version stands.
///
/// A base address that ends with a slash doubles that one. No known resource has an empty part in front.
fn one_slash_behind_version(path: &str) -> Cow<'_, str> {
    let end = path.find('?').unwrap_or(path.len());
    let doubled = path[..end].match_indices("//").find_map(|(at, _)| {
        let before = path[..at].rsplit('/').next().unwrap_or_default();
        let resource = path[at..].trim_start_matches('/');
        let known = [&ANTHROPIC_RESOURCES[..], &OPENAI_RESOURCES, &OTHER_RESOURCES].iter().any(|them| leads_to(resource, them));
        (is_version(before) && known).then(|| [&path[..at], "/", resource].concat())
    });
    doubled.map_or(Cow::Borrowed(path), Cow::Owned)
}

/// A path with one slash at its beginning where it had several.
fn one_slash(path: &str) -> &str {
    let slashes = path.len() - path.trim_start_matches('/').len();
    &path[slashes.saturating_sub(1)..]
}

/// What stands behind a version at the beginning of a path.
fn behind_version(path: &str) -> Option<&str> {
    path.strip_prefix("/v1").filter(|after| after.is_empty() || after.starts_with(['/', '?']))
}

impl Upstream {
    /// Where it is, without a path.
    pub fn address(&self) -> String {
        format!("{}://{}", self.base.scheme_str().unwrap_or("http"), self.base.authority().map_or("", |host| host.as_str()))
    }

    /// The region that it keeps its calls in, where its address says so and the price depends on it (provider-usage, section 2.8).
    pub fn geo(&self) -> Option<&'static str> {
        match self.base.host()? {
            "eu.api.openai.com" => Some("eu"),
            "us.api.openai.com" => Some("us"),
            _ => None,
        }
    }

    /// The path of a call at this upstream, with its query, of what a client appended to the upstream's name.
    ///
    /// Doubled slashes before it and behind the version, a doubled version, and one that is missing are put right: a base address that is
    /// almost right would otherwise be a 404 far away. All else is passed on as it came.
    pub fn path(&self, rest: &str) -> String {
        let rest = &*one_slash_behind_version(rest);
        let base = self.base.path().trim_end_matches('/');
        let mut right = one_slash(rest);
        // The version is the last part of the base, or the first of the rest.
        while let Some(after) = behind_version(right) {
            if !base.ends_with("/v1") && behind_version(one_slash(after)).is_none() {
                break;
            }
            right = one_slash(after);
        }
        let resource = behind_version(right).unwrap_or(right).trim_start_matches('/');
        let known = leads_to(resource, &ANTHROPIC_RESOURCES) || leads_to(resource, &OPENAI_RESOURCES);
        let unversioned = base.is_empty() && VERSIONED.contains(&self.name.as_str()) && behind_version(right).is_none();
        match rest {
            _ if known && unversioned => ["/v1", right].concat(),
            _ if known => [base, right].concat(),
            // With nothing in front, a rest that is empty or a query needs the slash that every path begins with.
            rest if base.is_empty() && !rest.starts_with('/') => ["/", rest].concat(),
            rest => [base, rest].concat(),
        }
    }
}

/// All upstreams by name.
#[derive(Clone, Debug)]
pub struct Upstreams(BTreeMap<String, Arc<Upstream>>);

impl Upstreams {
    /// The known ones, moved and added to as the configuration says. The error names what is wrong.
    pub fn new(configured: &BTreeMap<String, UpstreamSection>) -> Result<Upstreams, String> {
        let mut upstreams = BTreeMap::new();
        let mut add = |name: &str, base: Uri, dialect: &str, deployments: &BTreeMap<String, String>| {
            let upstream = Upstream { name: name.to_owned(), base, dialect: dialect.to_owned(), deployments: deployments.clone() };
            upstreams.insert(name.to_owned(), Arc::new(upstream));
        };
        for (name, address) in KNOWN {
            if let Some(address) = address {
                add(name, address.parse().map_err(|_| format!("upstream {name} has no address"))?, name, &BTreeMap::new());
            }
        }
        for (name, section) in configured {
            if has_credentials(&section.base_url) {
                // The address is shown and logged, the key of a call is not.
                return Err(format!(
                    "upstreams.{name}.base_url holds a user name or password (take it out; clients send their keys themselves)"
                ));
            }
            let base = parse_base(&section.base_url).ok_or_else(|| {
                format!("upstreams.{name}.base_url is no http address: {:?} (write it like https://api.openai.com)", section.base_url)
            })?;
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || name == "p" || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
                return Err(format!("{name:?} is no name for an upstream (letters, digits, - _ . and not \"p\")"));
            }
            let dialect = section.dialect.as_deref().unwrap_or(name);
            if section.dialect.is_some() && !KNOWN.iter().any(|(known, _)| *known == dialect) {
                let known: Vec<_> = KNOWN.iter().map(|(known, _)| *known).collect();
                return Err(format!("upstreams.{name}.dialect {dialect:?} is unknown (known: {})", known.join(", ")));
            }
            add(name, base, dialect, &section.deployments);
        }
        Ok(Upstreams(upstreams))
    }

    /// The upstream of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }

    /// All upstreams, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.values()
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// The upstream that a path without its name is meant for: whose API has such a path.
    ///
    /// `header` looks a request header up (gateways-and-clients, section 4.2).
    pub fn of_bare_path(&self, path: &str, header: impl Fn(&str) -> bool) -> Option<&Arc<Upstream>> {
        let path = path.trim_start_matches('/');
        let mut in_version = path;
        while let Some(rest) = in_version.strip_prefix("v1/") {
            in_version = rest.trim_start_matches('/');
        }
        let name = if header("anthropic-version") || leads_to(in_version, &ANTHROPIC_RESOURCES) {
            "anthropic"
        } else if header("x-goog-api-key")
            || path.starts_with("v1beta/")
            || path.starts_with("v1alpha/")
            || path.contains(":generateContent")
            || path.starts_with("ws/google.ai.generativelanguage.")
        {
            "gemini"
        } else if leads_to(in_version, &OPENAI_RESOURCES) || in_version.starts_with("realtime") {
            "openai"
        } else if ["api/chat", "api/generate", "api/tags", "api/embed"].contains(&path) {
            "ollama"
        } else if path.starts_with("v1internal:") {
            "code-assist"
        } else {
            return None;
        };
        self.get(name)
    }
}

/// Whether an address has a user's name or password before its host, however odd the rest of it is.
fn has_credentials(text: &str) -> bool {
    let behind_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    behind_scheme.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// An absolute http or https address, without query and without a slash at its end.
fn parse_base(text: &str) -> Option<Uri> {
    let base: Uri = text.trim().trim_end_matches('/').parse().ok()?;
    let http = matches!(base.scheme_str(), Some("http" | "https"));
    (http && base.authority().is_some() && base.query().is_none()).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_addresses_that_are_almost_right_are_put_right() {
        let at = |name: &str, base: &str| Upstream {
            name: name.into(),
            base: base.parse().expect("an address"),
            dialect: name.into(),
            deployments: BTreeMap::new(),
        };
        let cases = [
            ("openai", "http://o", "/v1/chat/completions?a=//b", "/v1/chat/completions?a=//b"),
            ("openai", "http://o", "//v1/responses", "/v1/responses"),
            ("openai", "http://o", "/v1/v1/responses", "/v1/responses"),
            ("openai", "http://o", "/v1//v1/responses", "/v1/responses"),
            ("openai", "http://o", "/responses/resp_1", "/v1/responses/resp_1"),
            ("openai", "http://o", "/responsesque", "/responsesque"),
            ("openai", "http://o", "//v1/x//y", "//v1/x//y"),
            ("azure", "http://z", "//openai/deployments/d/chat/completions", "//openai/deployments/d/chat/completions"),
            ("openai", "http://o", "/v1", "/v1"),
            ("openai", "http://o", "", "/"),
            ("openai", "http://o", "?x", "/?x"),
            ("openai", "http://o/v1", "/v1/responses", "/v1/responses"),
            ("openai", "http://o/v1", "/responses", "/v1/responses"),
            ("anthropic", "http://a", "/messages?beta=true", "/v1/messages?beta=true"),
            ("anthropic", "http://a", "/v1/messages/batches/b//x", "/v1/messages/batches/b//x"),
            ("deepseek", "http://d", "/chat/completions", "/chat/completions"),
            ("relay", "http://r/api", "/messages", "/api/messages"),
            ("openai", "http://o", "/v1//chat/completions?a=//b", "/v1/chat/completions?a=//b"),
            ("openai", "http://o", "//v1///responses/", "/v1/responses/"),
            ("openai", "http://o/v1", "//embeddings", "/v1/embeddings"),
            ("anthropic", "http://a", "/v1//messages?beta=true", "/v1/messages?beta=true"),
            ("groq", "http://g", "/openai/v1//chat/completions", "/openai/v1/chat/completions"),
            ("zai", "http://z", "/api/paas/v4//chat/completions", "/api/paas/v4/chat/completions"),
            ("gemini", "http://g", "/v1beta//models/g:generateContent?key=k", "/v1beta/models/g:generateContent?key=k"),
            ("cohere", "http://c", "/v2//chat", "/v2/chat"),
            ("openai", "http://o", "/v1//vector_stores/a//b", "/v1//vector_stores/a//b"),
            ("openai", "http://o", "/v1/files/a//responses", "/v1/files/a//responses"),
        ];
        for (name, base, rest, expected) in cases {
            assert_eq!(at(name, base).path(rest), expected, "{base} {rest}");
        }
    }

    #[test]
    fn an_address_in_a_region_says_so() {
        let at = |base: &str| {
            Upstream { name: "o".into(), base: base.parse().expect("an address"), dialect: "openai".into(), deployments: BTreeMap::new() }
                .geo()
        };
        assert_eq!(at("https://eu.api.openai.com/v1"), Some("eu"));
        assert_eq!((at("https://api.openai.com"), at("https://eu.example.com")), (None, None));
    }

    #[test]
    fn bare_paths_find_the_provider_whose_api_has_them() {
        let upstreams = Upstreams::new(&BTreeMap::new()).expect("the known ones");
        let found = |path: &str, header: &str| upstreams.of_bare_path(path, |name| name == header).map(|upstream| upstream.name.as_str());
        assert_eq!(found("/v1/messages", ""), Some("anthropic"));
        assert_eq!(found("/messages", ""), Some("anthropic"));
        assert_eq!(found("/v1/models", "anthropic-version"), Some("anthropic"));
        assert_eq!(found("/v1/models", ""), Some("openai"));
        assert_eq!(found("/v1/chat/completions", ""), Some("openai"));
        assert_eq!(found("/v1/responses/resp_1", ""), Some("openai"));
        assert_eq!(found("/v1beta/models/gemini-2.5-pro:generateContent", ""), Some("gemini"));
        assert_eq!(found("/api/chat", ""), Some("ollama"));
        assert_eq!(found("/v1internal:streamGenerateContent?alt=sse", ""), Some("code-assist"));
        assert_eq!(found("//v1/v1//chat/completions", ""), Some("openai"));
        assert_eq!(found("/favicon.ico", ""), None);
        assert_eq!(found("/v1/messagesque", ""), None);
    }
}
