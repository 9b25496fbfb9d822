//! Which rows price a call: by exact names only, after taking known decoration off. A model is never priced by a prefix of its name.
//!
//! Nothing here allocates: it runs once per event in a fold over millions.

use std::iter;

/// Providers whose models only they sell, or sell through others at their own price.
const CLOSED: [&str; 5] = ["anthropic", "openai", "google", "xai", "cohere"];

/// Upstreams that pass calls on at list price and write `vendor/model`. What others ask for an open model is theirs to say.
const RESELLERS: [&str; 5] = ["openrouter", "vercel-gateway", "portkey", "pydantic-gateway", "litellm"];

/// What stands before a model's name, and whose prices it means.
const VENDORS: [(&str, &str); 24] = [
    ("anthropic/", "anthropic"),
    ("openai/", "openai"),
    ("google/", "google"),
    ("gemini/", "google"),
    ("vertex_ai/", "google"),
    ("x-ai/", "xai"),
    ("xai/", "xai"),
    ("cohere/", "cohere"),
    ("mistralai/", "mistral"),
    ("mistral/", "mistral"),
    ("deepseek/", "deepseek"),
    ("deepseek-ai/", "deepseek"),
    ("moonshotai/", "moonshot"),
    ("moonshot/", "moonshot"),
    ("perplexity/", "perplexity"),
    ("groq/", "groq"),
    ("z-ai/", "zai"),
    ("anthropic.", "anthropic"),
    ("openai.", "openai"),
    ("cohere.", "cohere"),
    ("mistral.", "mistral"),
    ("deepseek.", "deepseek"),
    ("amazon.", "bedrock"),
    ("meta.", "bedrock"),
];

/// Bedrock's inference profiles (provider-usage 5).
const REGIONS: [&str; 8] = ["us.", "eu.", "apac.", "global.", "us-gov.", "au.", "jp.", "ca."];

/// What stands before a model's name where a program says by whose API it called it, and not whose it is.
const ROUTES: [&str; 12] = [
    "openrouter/",
    "bedrock/converse/",
    "bedrock/",
    "azure_ai/",
    "azure/",
    "vertex/",
    "litellm_proxy/",
    "litellm/",
    "github_copilot/",
    "copilot/",
    "vercel/",
    "opencode/",
];

/// Behind a model's name: how a reseller serves it at the same price (openrouter.ai/docs, model variants), how much it may think, and
/// other names of clients for that.
const VARIANTS: [&str; 13] = [
    ":thinking",
    ":nitro",
    ":floor",
    ":beta",
    ":exacto",
    ":online",
    "-thinking",
    "-xhigh",
    "-high",
    "-medium",
    "-low",
    "-minimal",
    "-none",
];

/// How the names of a maker's models begin, behind all that may stand before them.
const FAMILIES: [(&str, &str); 27] = [
    ("claude", "anthropic"),
    ("gpt-oss", ""),
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("codex-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("gemini-", "google"),
    ("grok-", "xai"),
    ("command-", "cohere"),
    ("deepseek-", "deepseek"),
    ("kimi-", "moonshot"),
    ("moonshot-", "moonshot"),
    ("glm-", "zai"),
    ("minimax-", "minimax"),
    ("mistral-", "mistral"),
    ("ministral-", "mistral"),
    ("magistral-", "mistral"),
    ("codestral-", "mistral"),
    ("devstral-", "mistral"),
    ("pixtral-", "mistral"),
    ("voxtral-", "mistral"),
    ("qwen", "alibaba"),
    ("qwq", "alibaba"),
    ("sonar", "perplexity"),
    ("coder-model", "alibaba"),
];

/// The families of Claude's models, whose names clients write in two orders.
const CLAUDES: [&str; 6] = ["opus", "sonnet", "haiku", "fable", "mythos", "instant"];

/// Who makes a model, by its name; `None` for names that are nobody's own.
pub fn maker(model: &str) -> Option<&'static str> {
    let bare = model.rsplit('/').next().unwrap_or(model);
    let bare = REGIONS.iter().find_map(|region| bare.strip_prefix(region)).unwrap_or(bare);
    let bare = bare.strip_prefix("anthropic.").or_else(|| bare.strip_prefix("openai.")).unwrap_or(bare);
    let begins = |family: &str| bare.get(..family.len()).is_some_and(|start| start.eq_ignore_ascii_case(family));
    let (_, maker) = FAMILIES.iter().find(|(family, _)| begins(family))?;
    Some(*maker).filter(|maker| !maker.is_empty())
}

/// Other spellings of a model's name: in small letters, and Claude's with the family and the version in either order.
pub(super) fn respelled(model: &str) -> Vec<String> {
    let lower = model.to_ascii_lowercase().replace(' ', "-");
    let mut names = Vec::new();
    if lower != model {
        names.push(lower.clone());
    }
    if let Some(at) = lower.find("claude-") {
        let bare = stems(&lower[at..]).last().unwrap_or_default();
        let parts: Vec<&str> = bare.split(['-', '.']).skip(1).collect();
        let version = |part: &&str| part.len() <= 2 && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let (versions, words): (Vec<&str>, Vec<&str>) = parts.into_iter().partition(version);
        if let ([family], false) = (&words[..], versions.is_empty())
            && CLAUDES.contains(family)
        {
            let version = versions.join("-");
            names.extend([format!("claude-{family}-{version}"), format!("claude-{version}-{family}")]);
        }
    }
    names.retain(|name| name != model);
    names
}

/// What the book calls the provider behind an upstream.
pub(crate) fn seller(upstream: &str) -> &str {
    match upstream {
        "gemini" | "vertex" => "google",
        "moonshotai" => "moonshot",
        "x-ai" => "xai",
        "aws" => "bedrock",
        name => name,
    }
}

/// The providers of the book whose prices may hold, best first. Only the first one's price is the upstream's own.
///
/// `known` says whether the book has prices of a provider.
pub(super) fn sellers<'a>(upstream: &'a str, family: &'a str, model: &str, known: impl Fn(&str) -> bool) -> impl Iterator<Item = &'a str> {
    let own = seller(upstream);
    let others: &[&str] = match upstream {
        "azure" => &["openai", "anthropic", "xai", "deepseek", "mistral", "cohere"],
        "vertex" => &["vertex", "anthropic", "openai", "mistral"],
        "bedrock" | "aws" => &["anthropic", "openai", "mistral"],
        "chatgpt-codex" => &["openai"],
        "copilot" => &["openai", "anthropic", "google", "xai"],
        _ => &[],
    };
    let vendor = vendor(model).filter(|vendor| CLOSED.contains(vendor) || RESELLERS.contains(&upstream));
    let custom = vendor.is_none() && others.is_empty() && !known(own);
    let home = match family {
        "openai" | "anthropic" | "mistral" | "cohere" => Some(family),
        "gemini" => Some("google"),
        _ => None,
    };
    // Whoever sells only models of their own was guessed by the client where the model is another's. Models that only their makers sell
    // cost the same everywhere; a seller with a list of its own sells what is on it.
    let is_listed = known(own);
    let guessed = move |maker: &&str| CLOSED.contains(&own) || own == "unknown" || CLOSED.contains(maker) && !is_listed;
    let maker = maker(model).filter(|maker| vendor.is_none() && *maker != own && !others.contains(maker)).filter(guessed);
    let home = home.filter(|home| custom && maker != Some(home));
    iter::once(own).chain(vendor).chain(others.iter().copied()).chain(maker).chain(home)
}

fn vendor(model: &str) -> Option<&'static str> {
    let model = ROUTES.iter().find_map(|route| model.strip_prefix(route)).unwrap_or(model);
    let bare = REGIONS.iter().find_map(|region| model.strip_prefix(region)).unwrap_or(model);
    VENDORS.iter().find(|(prefix, _)| bare.starts_with(prefix)).map(|(_, vendor)| *vendor)
}

/// The name itself, and then with one piece of decoration less each time.
pub(crate) fn stems(model: &str) -> impl Iterator<Item = &str> {
    iter::successors(Some(model), |stem| undecorated(stem))
}

fn undecorated(model: &str) -> Option<&str> {
    None.or_else(|| model.strip_suffix("[1m]"))
        .or_else(|| model.rsplit_once("models/").map(|(_, name)| name))
        .or_else(|| model.strip_prefix("arn:").and_then(|arn| arn.rsplit_once('/')).map(|(_, name)| name))
        .or_else(|| without_revision(model))
        .or_else(|| without_date(model))
        .or_else(|| model.strip_suffix("-latest"))
        .or_else(|| VARIANTS.iter().find_map(|variant| model.strip_suffix(variant)))
        .or_else(|| ROUTES.iter().find_map(|route| model.strip_prefix(route)))
        // Last, because a region may have a price of its own (Bedrock's `global.`).
        .or_else(|| REGIONS.iter().find_map(|region| model.strip_prefix(region)))
        .or_else(|| VENDORS.iter().find_map(|(prefix, _)| model.strip_prefix(prefix)))
        .filter(|stem| !stem.is_empty())
}

/// Without `:0` or `-v1:0` (Bedrock), `@default` (Vertex), `-001` (Gemini).
fn without_revision(model: &str) -> Option<&str> {
    if let Some((name, revision)) = model.rsplit_once(':') {
        let digits = revision.len() <= 2 && !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_digit());
        let version = |name: &'_ str| name.len() > 3 && name.as_bytes()[name.len() - 3..name.len() - 1] == *b"-v";
        return digits.then(|| if version(name) && name.is_char_boundary(name.len() - 3) { &name[..name.len() - 3] } else { name });
    }
    None.or_else(|| model.strip_suffix("@default"))
        .or_else(|| model.strip_suffix("@latest"))
        .or_else(|| model.rsplit_once("-00").filter(|(_, digit)| matches!(digit.as_bytes(), [b'1'..=b'9'])).map(|(name, _)| name))
}

/// Without `-20251101`, `@20250101` or `-2024-08-06`.
fn without_date(model: &str) -> Option<&str> {
    let bytes = model.as_bytes();
    let ends_with = |pattern: &[u8]| {
        let start = bytes.len().checked_sub(pattern.len())?;
        let fits = bytes[start..].iter().zip(pattern).all(|(byte, pattern)| match pattern {
            b'#' => byte.is_ascii_digit(),
            b'-' => matches!(byte, b'-' | b'@'),
            exact => byte == exact,
        });
        // The first byte that matched is ASCII, so this is a character's boundary.
        fits.then(|| &model[..start])
    };
    ends_with(b"-20######").or_else(|| ends_with(b"-20##-##-##"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decoration_comes_off_piece_by_piece() {
        let last = |model| stems(model).last().map(str::to_owned);
        for (model, stem) in [
            ("claude-opus-4-5-20251101", "claude-opus-4-5"),
            ("claude-opus-4-5@20251101", "claude-opus-4-5"),
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
            ("claude-sonnet-4-6[1m]", "claude-sonnet-4-6"),
            ("anthropic/claude-4.5-haiku-20251001", "claude-4.5-haiku"),
            ("publishers/google/models/gemini-2.0-flash-001", "gemini-2.0-flash"),
            ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-5-v1:0", "claude-opus-5"),
            ("claude-opus-5-latest", "claude-opus-5"),
            ("gpt-6.2", "gpt-6.2"),
            ("gpt-4-0613", "gpt-4-0613"),
            ("mistral-small-2506", "mistral-small-2506"),
            ("llama3.2:1b", "llama3.2:1b"),
        ] {
            assert_eq!(last(model).as_deref(), Some(stem), "{model}");
        }
    }

    #[test]
    fn an_open_model_is_not_priced_by_its_makers_list() {
        let of = |upstream, model| sellers(upstream, "openai", model, |_| false).collect::<Vec<_>>();
        assert_eq!(of("together", "mistralai/Mixtral-8x7B"), ["together", "openai"]);
        assert_eq!(of("openrouter", "mistralai/mistral-large-4"), ["openrouter", "mistral"]);
        assert_eq!(of("my-gateway", "anthropic/claude-opus-5"), ["my-gateway", "anthropic"]);
        assert_eq!(of("bedrock", "us.anthropic.claude-opus-5")[..2], ["bedrock", "anthropic"]);
    }

    proptest! {
        #[test]
        fn any_name_is_taken_apart(name in ".{0,40}(-20251101|-v1:0|@default|\\[1m\\]|-001|é:0|é-v1:0)?") {
            prop_assert!(stems(&name).count() < 60);
        }
    }
}
