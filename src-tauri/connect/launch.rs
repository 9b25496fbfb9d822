//! How one command is pointed at the proxy: variables, arguments, and what cannot be pointed. Pure: environment and files are passed in.

use super::{
    address::{Directory, Lead, shown},
    command, http_proxy, json,
    settings::Client,
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The variables that SDKs and clients read their base address from, with the path of each behind the proxy's root
/// (gateways-and-clients, section 4.1; clients-measured, section 2).
pub(super) const VARIABLES: [(&str, &str); 18] = [
    ("ANTHROPIC_BASE_URL", "/anthropic"),
    // LiteLLM, and aider through it.
    ("ANTHROPIC_API_BASE", "/anthropic"),
    // LangChain reads this one first.
    ("ANTHROPIC_API_URL", "/anthropic"),
    ("OPENAI_BASE_URL", "/openai/v1"),
    ("OPENAI_API_BASE", "/openai/v1"),
    ("GOOGLE_GEMINI_BASE_URL", "/gemini"),
    // LiteLLM. It reads the second one of Mistral's for chats, whatever its name says (1.110).
    ("GEMINI_API_BASE", "/gemini/v1beta"),
    ("MISTRAL_API_BASE", "/mistral/v1"),
    ("MISTRAL_AZURE_API_BASE", "/mistral/v1"),
    ("CEREBRAS_API_BASE", "/cerebras/v1"),
    ("XAI_API_BASE", "/xai/v1"),
    ("OPENROUTER_API_BASE", "/openrouter/api/v1"),
    ("PERPLEXITY_API_BASE", "/perplexity"),
    // LangChain.
    ("MISTRAL_BASE_URL", "/mistral/v1"),
    ("VERCEL_AI_GATEWAY_API_BASE", "/vercel-gateway/v1"),
    ("GROQ_BASE_URL", "/groq"),
    ("CEREBRAS_BASE_URL", "/cerebras"),
    ("CO_API_URL", "/cohere"),
];

/// Variables whose usual value depends on the user, or that mean something else where they are not set: they are moved to the proxy only if
/// they are set and lead to an upstream that it knows.
const MOVED: [&str; 14] = [
    "COPILOT_PROVIDER_BASE_URL",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_BASE_URL",
    "AZURE_API_BASE",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_VERTEX_BASE_URL",
    "ANTHROPIC_FOUNDRY_BASE_URL",
    "GOOGLE_VERTEX_BASE_URL",
    "TOGETHER_BASE_URL",
    "DEEPSEEK_API_BASE",
    "GROQ_API_BASE",
    "OLLAMA_API_BASE",
    "DASHSCOPE_API_BASE",
    "CODE_ASSIST_ENDPOINT",
];

/// The providers of opencode that are pointed at the proxy, the variable that holds each one's key, and their base addresses.
pub(super) const OPENCODE: [(&str, &str, &str); 7] = [
    ("anthropic", "ANTHROPIC_API_KEY", "/anthropic/v1"),
    ("openai", "OPENAI_API_KEY", "/openai/v1"),
    ("google", "GEMINI_API_KEY", "/gemini/v1beta"),
    ("mistral", "MISTRAL_API_KEY", "/mistral/v1"),
    ("openrouter", "OPENROUTER_API_KEY", "/openrouter/api/v1"),
    ("xai", "XAI_API_KEY", "/xai/v1"),
    ("groq", "GROQ_API_KEY", "/groq/openai/v1"),
];

/// The variable with opencode's whole configuration.
const OPENCODE_CONTENT: &str = "OPENCODE_CONFIG_CONTENT";
/// The variable that Gemini CLI reads its base address from.
const GEMINI_BASE: &str = "GOOGLE_GEMINI_BASE_URL";
/// Settings of Gemini CLI that hold for every user.
const GEMINI_SYSTEM: [&str; 2] = ["/etc/gemini-cli/settings.json", "/etc/gemini-cli/system-defaults.json"];
/// Claude Code's settings that nothing can override.
const CLAUDE_MANAGED: &str = "/etc/claude-code/managed-settings.json";

/// A command as it is run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// Variables to set.
    pub variables: Vec<(String, String)>,
    /// All arguments of the program.
    pub arguments: Vec<OsString>,
    /// What is not pointed at the proxy and why, one line each.
    pub notes: Vec<String>,
    /// The client that it starts, if it is a known one.
    pub client: Option<Client>,
    /// Whether Gemini CLI has to be told its kind of login in its settings first (`record::write_companions`).
    pub needs_login: bool,
}

/// What a launch is made from.
pub struct Surroundings<'a> {
    /// The proxy's root: `http://127.0.0.1:8655/p/my-app`.
    pub root: &'a str,
    /// What is known of addresses.
    pub directory: Directory<'a>,
    /// The environment that the command would have.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a settings file, if there is one that can be read.
    pub file: &'a dyn Fn(&Path) -> Option<String>,
    /// The working folder.
    pub folder: &'a Path,
}

impl Launch {
    /// A command without the proxy.
    pub fn unpointed(command: &[OsString]) -> Launch {
        Launch { arguments: command.iter().skip(1).cloned().collect(), ..Launch::default() }
    }

    /// A command with its calls pointed at the proxy.
    pub fn pointed(command: &[OsString], around: &Surroundings<'_>) -> Launch {
        let mut launch = Launch::unpointed(command);
        let found = command::client_of(command);
        launch.client = found.map(|(client, _)| client);
        launch.variables(around);
        launch.opencode(around);
        launch.http_proxy(around);
        let Some((client, at)) = found else { return launch };
        let added = match client {
            Client::ClaudeCode => launch.claude(around),
            Client::Codex => launch.codex(around),
            Client::Copilot => launch.copilot(around),
            Client::Gemini => launch.gemini(around),
            Client::OpenCode | Client::Aider => Vec::new(),
        };
        // `at` counts the program as well.
        launch.arguments.splice(at - 1..at - 1, added.into_iter().map(OsString::from));
        launch
    }

    fn variables(&mut self, around: &Surroundings<'_>) {
        let mut kept = Vec::new();
        let usual = VARIABLES.into_iter().chain(MOVED.into_iter().map(|name| (name, "")));
        for (name, usual) in usual {
            let lead = around.given(name).map(|value| around.directory.lead(&value, usual));
            match lead {
                Some(Lead::Elsewhere) => kept.push(name),
                Some(Lead::Proxy(path) | Lead::Upstream(path)) => self.set(name, format!("{}{path}", around.root)),
                None if !usual.is_empty() => self.set(name, format!("{}{usual}", around.root)),
                None => {}
            }
        }
        if !kept.is_empty() {
            self.notes.push(format!("left as you set it: {}; calls that go there are not metered here", kept.join(", ")));
        }
    }

    fn set(&mut self, name: &str, value: String) {
        self.variables.push((name.to_owned(), value));
    }

    /// Calls to the proxy go there directly, whatever HTTP proxy the user has.
    fn http_proxy(&mut self, around: &Surroundings<'_>) {
        // Where the system has a proxy of its own, Python takes any of these variables for an environment that has one.
        let in_files = |name: &str| around.given(name).or_else(|| around.dotenv(name));
        if cfg!(target_os = "linux") || http_proxy::named(&in_files).is_some() {
            let exceptions = http_proxy::exceptions(around.directory.proxy.ip(), &in_files);
            self.variables.extend(exceptions);
        }
    }

    /// Without the proxy for Gemini CLI, which refuses to start with a base address as long as its kind of login is not chosen.
    pub fn without_gemini(&mut self, cause: &str) {
        self.variables.retain(|(name, _)| name != GEMINI_BASE);
        self.notes.push(format!(
            "gemini's kind of login cannot be chosen ({cause}): it runs without the proxy, and its calls are not metered here"
        ));
    }

    /// Gemini CLI takes a base address for a login of the kind "gateway", which it then refuses. With a key it needs to be told its kind, and
    /// reads that from settings only, of which those for all users have to be root's.
    fn gemini(&mut self, around: &Surroundings<'_>) -> Vec<String> {
        let keyed = around.given("GEMINI_API_KEY").or_else(|| around.dotenv("GEMINI_API_KEY")).is_some();
        let otherwise =
            ["GOOGLE_GENAI_USE_GCA", "GOOGLE_GENAI_USE_VERTEXAI"].iter().any(|name| around.given(name).as_deref() == Some("true"));
        let own = Client::Gemini.file(around.env).with_file_name("settings.json");
        let files = GEMINI_SYSTEM.map(PathBuf::from).into_iter().chain([own, around.folder.join(".gemini/settings.json")]);
        let is_chosen = |file: PathBuf| {
            let text = (around.file)(&file).unwrap_or_default();
            let at = |path: &[&str]| json::get(&text, path).is_ok_and(|value| value.is_some());
            // The second is the older name.
            at(&["security", "auth", "selectedType"]) || at(&["selectedAuthType"])
        };
        let is_pointed = self.variables.iter().any(|(name, _)| name == GEMINI_BASE);
        self.needs_login = keyed && !otherwise && is_pointed && !files.into_iter().any(is_chosen);
        Vec::new()
    }

    /// opencode reads its providers' addresses from its configuration only; a variable can hold a part of that.
    fn opencode(&mut self, around: &Surroundings<'_>) {
        let configured = [Client::OpenCode.file(around.env), around.folder.join("opencode.json"), around.folder.join("opencode.jsonc")];
        let texts: Vec<String> = configured.iter().filter_map(|file| (around.file)(file)).collect();
        let own = around.given(OPENCODE_CONTENT);
        let logins = (around.file)(&around.home().join(".local/share/opencode/auth.json")).unwrap_or_default();
        let mut content: serde_json::Value = match own.as_deref().map(serde_json::from_str) {
            Some(Ok(content @ serde_json::Value::Object(_))) => content,
            Some(_) => {
                if self.client == Some(Client::OpenCode) {
                    self.notes.push(format!("left as you set it: {OPENCODE_CONTENT}; calls that go elsewhere are not metered here"));
                }
                return;
            }
            None => serde_json::json!({}),
        };
        let has_key =
            |name: &str, key: &str| around.given(key).is_some() || json::get(&logins, &[name, "type"]).is_ok_and(|login| login.is_some());
        // A provider that is named at all is offered: only those that can be used are named.
        let given = |name: &str| {
            let at = ["provider", name, "options", "baseURL"];
            own.iter().chain(texts.iter().rev()).find_map(|text| json::get(text, &at).ok().flatten())
        };
        let keyed = OPENCODE.iter().any(|(name, key, _)| has_key(name, key) || given(name).is_some());
        for (name, key, usual) in OPENCODE {
            let given = given(name);
            let path = match given.as_deref().map(|url| around.directory.lead(url, usual)) {
                Some(Lead::Elsewhere) => {
                    if self.client == Some(Client::OpenCode) {
                        let url = shown(&given.unwrap_or_default());
                        self.notes.push(format!("opencode's own settings send {name} to {url}; calls that go there are not metered here"));
                    }
                    continue;
                }
                Some(Lead::Proxy(path) | Lead::Upstream(path)) => path,
                None if has_key(name, key) || !keyed && matches!(name, "anthropic" | "openai") => usual.to_owned(),
                None => continue,
            };
            let place = ["provider", name, "options", "baseURL"].into_iter().fold(&mut content, |place, name| {
                if !place.is_object() {
                    *place = serde_json::json!({});
                }
                &mut place[name]
            });
            *place = format!("{}{path}", around.root).into();
        }
        if content.as_object().is_some_and(|content| !content.is_empty()) {
            self.set(OPENCODE_CONTENT, content.to_string());
        }
    }

    /// What Claude Code's settings set in `env` goes before the variables of the shell; `--settings` goes before those.
    fn claude(&mut self, around: &Surroundings<'_>) -> Vec<String> {
        const BASE: &str = "ANTHROPIC_BASE_URL";
        let own = around.folder.join(".claude");
        let files = [
            PathBuf::from(CLAUDE_MANAGED),
            own.join("settings.local.json"),
            own.join("settings.json"),
            Client::ClaudeCode.file(around.env),
        ];
        let texts: Vec<(&PathBuf, String)> = files.iter().filter_map(|file| Some((file, (around.file)(file)?))).collect();
        let setting = |name: &str| {
            let value = |(file, text): &(&PathBuf, String)| Some(((*file).clone(), json::get(text, &["env", name]).ok().flatten()?));
            texts.iter().find_map(value)
        };
        if let Some(vendor) = ["BEDROCK", "VERTEX", "FOUNDRY"].into_iter().find(|vendor| {
            let name = format!("CLAUDE_CODE_USE_{vendor}");
            setting(&name)
                .map(|(_, value)| value)
                .or_else(|| around.given(&name))
                .is_some_and(|value| !["", "0", "false"].contains(&value.as_str()))
        }) {
            self.notes.push(format!("claude uses {vendor} (CLAUDE_CODE_USE_{vendor}), not {BASE}: its calls are not metered here"));
        }
        let mut env = serde_json::Map::new();
        let mut without = None;
        if let Some((file, value)) = setting(BASE) {
            match around.directory.lead(&value, "/anthropic") {
                Lead::Elsewhere => self.notes.push(format!(
                    "left as you set it: {BASE} in {} leads to {}; calls that go there are not metered here",
                    file.display(),
                    shown(&value)
                )),
                lead @ (Lead::Proxy(_) | Lead::Upstream(_)) => {
                    let path = lead.path().unwrap_or_default().to_owned();
                    if format!("{}{path}", around.root) != value {
                        env.insert(BASE.to_owned(), format!("{}{path}", around.root).into());
                        let is_managed = file == Path::new(CLAUDE_MANAGED);
                        let is_metered = matches!(lead, Lead::Proxy(_)) && value.contains(&around.directory.proxy.to_string());
                        without = Some((file, is_managed, is_metered));
                    }
                }
            }
        }
        let effective = |name: &str| setting(name).map(|(_, value)| value).or_else(|| around.given(name));
        if http_proxy::PROXIES.iter().chain(&http_proxy::EXCEPTIONS).any(|name| setting(name).is_some()) {
            let exceptions = http_proxy::exceptions(around.directory.proxy.ip(), &effective);
            env.extend(exceptions.into_iter().map(|(name, list)| (name, list.into())));
        }
        if env.is_empty() {
            return Vec::new();
        }
        let has_own =
            self.arguments.iter().any(|word| word.to_str().is_some_and(|word| word == "--settings" || word.starts_with("--settings=")));
        let is_managed = without.as_ref().is_some_and(|(_, is_managed, _)| *is_managed);
        if has_own || is_managed {
            if let Some((file, _, false)) = without {
                self.notes.push(format!(
                    "{BASE} in {} goes before the one of this run: take it out, or claude's calls are not metered here",
                    file.display()
                ));
            }
            return Vec::new();
        }
        vec!["--settings".to_owned(), serde_json::json!({ "env": env }).to_string()]
    }

    /// Codex reads no variable (clients-measured, section 2), but each setting as an argument.
    fn codex(&mut self, around: &Surroundings<'_>) -> Vec<String> {
        let text = (around.file)(&Client::Codex.file(around.env)).unwrap_or_default();
        let words: Vec<&str> = self.arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
        let codex = Codex::of(&text, &words);
        let usual = "/openai/v1";
        let (setting, given) = match &codex.provider {
            None => ("openai_base_url".to_owned(), codex.base.clone()),
            Some(provider) => (format!("model_providers.{provider}.base_url"), codex.base.clone()),
        };
        let lead = given.as_deref().map(|url| around.directory.lead(url, usual));
        let path = match (&codex.provider, lead) {
            (None, None) => usual.to_owned(),
            (provider, Some(Lead::Proxy(path) | Lead::Upstream(path))) if provider.as_deref().is_none_or(is_bare) => path,
            (provider, _) => {
                let whose = provider.as_deref().map_or("openai_base_url".to_owned(), |name| format!("model_provider {name:?}"));
                let to = given.as_deref().map_or("an address of its own".to_owned(), shown);
                self.notes.push(format!("codex calls {to} ({whose} in its settings), not the proxy: its calls are not metered here"));
                return Vec::new();
            }
        };
        vec!["-c".to_owned(), format!("{setting}=\"{}{path}\"", around.root)]
    }

    /// Copilot CLI calls GitHub unless it is given a provider of the user's own.
    fn copilot(&mut self, around: &Surroundings<'_>) -> Vec<String> {
        if around.given("COPILOT_PROVIDER_BASE_URL").is_some() {
            return Vec::new();
        }
        let own = ["TYPE", "API_KEY", "API_KEY_COMMAND", "BEARER_TOKEN"].map(|name| around.given(&format!("COPILOT_PROVIDER_{name}")));
        let path = match own[0].as_deref().map(str::trim) {
            Some("anthropic") => Some("/anthropic"),
            Some("azure") => None,
            Some(_) | None => own.iter().any(Option::is_some).then_some("/openai/v1"),
        };
        match path {
            Some(path) => self.set("COPILOT_PROVIDER_BASE_URL", format!("{}{path}", around.root)),
            None => self.notes.push(
                "copilot calls GitHub, which is not metered here (its log is); `tollbar connect copilot` shows how to use a key of your own"
                    .to_owned(),
            ),
        }
        Vec::new()
    }
}

impl Surroundings<'_> {
    fn given(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.trim().is_empty())
    }

    fn home(&self) -> PathBuf {
        self.given("HOME").or_else(|| self.given("USERPROFILE")).map(PathBuf::from).unwrap_or_default()
    }

    /// A variable of the files that Gemini CLI and others read beside the environment.
    fn dotenv(&self, name: &str) -> Option<String> {
        let home = self.home();
        let files = [self.folder.join(".gemini/.env"), self.folder.join(".env"), home.join(".gemini/.env"), home.join(".env")];
        let value = |file: &PathBuf| super::edit::Form::Env.get(&(self.file)(file)?, &[name]).ok().flatten();
        files.iter().find_map(value).filter(|value| !value.is_empty())
    }
}

/// Which provider Codex calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Codex {
    /// Its name; `None` for the built-in OpenAI.
    pub(super) provider: Option<String>,
    /// Its base address as it is set.
    pub(super) base: Option<String>,
}

impl Codex {
    /// Of the text of its settings and its arguments.
    pub(super) fn of(text: &str, words: &[&str]) -> Codex {
        let table: toml::Table = text.parse().unwrap_or_default();
        let text_at = |table: &toml::Table, name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let inner = |outer: &str, name: &str| table.get(outer)?.as_table()?.get(name)?.as_table().cloned();
        let argument = |names: [&str; 2]| {
            let at = words.iter().position(|word| names.contains(word))?;
            words.get(at + 1).map(|value| (*value).to_owned())
        };
        let overridden = words.windows(2).filter(|pair| ["-c", "--config"].contains(&pair[0])).rev().find_map(|pair| {
            let value = pair[1].strip_prefix("model_provider")?.trim_start().strip_prefix('=')?;
            Some(value.trim().trim_matches(['"', '\'']).to_owned())
        });
        let profile = argument(["-p", "--profile"]).or_else(|| text_at(&table, "profile"));
        let of_profile = profile.and_then(|name| text_at(&inner("profiles", &name)?, "model_provider"));
        let provider = overridden.or(of_profile).or_else(|| text_at(&table, "model_provider")).filter(|name| name != "openai");
        let base = match &provider {
            None => text_at(&table, "openai_base_url"),
            Some(name) => inner("model_providers", name).and_then(|provider| text_at(&provider, "base_url")),
        };
        Codex { base, provider }
    }
}

/// Whether a name can stand in the path of a setting that is given to Codex as an argument.
fn is_bare(name: &str) -> bool {
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::{collections::HashMap, net::SocketAddr};

    /// A launch at `http://r` with these variables and files.
    fn launch(command: &str, env: &[(&str, &str)], files: &[(&str, &str)]) -> Launch {
        let config = Config::parse("[upstreams.relay]\nbase_url = 'https://relay.example/api'").expect("a configuration");
        let env: HashMap<&str, &str> = env.iter().copied().chain([("HOME", "/h")]).collect();
        let files: HashMap<&str, &str> = files.iter().copied().collect();
        let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        Launch::pointed(
            &words,
            &Surroundings {
                root: "http://r",
                directory: Directory { proxy: SocketAddr::from(([127, 0, 0, 1], 8655)), upstreams: &config.upstreams, is_taken: &|_| true },
                env: &|name| env.get(name).map(|value| (*value).to_owned()),
                file: &|path| files.get(path.to_str()?).map(|text| (*text).to_owned()),
                folder: Path::new("/w"),
            },
        )
    }

    impl Launch {
        fn variable(&self, name: &str) -> Option<&str> {
            self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        }

        fn words(&self) -> Vec<&str> {
            self.arguments.iter().filter_map(|word| word.to_str()).collect()
        }
    }

    #[test]
    fn variable_is_moved_if_its_upstream_is_known_else_kept() {
        let env = [
            ("OPENAI_BASE_URL", "https://relay.example/api/v1"),
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:8655/p/old/anthropic"),
            ("OPENAI_API_BASE", "http://localhost:11434/v1"),
            ("GROQ_BASE_URL", "https://gateway.example/groq"),
            ("XAI_API_BASE", "http://127.0.0.1:4000/xai/v1"),
            ("GROQ_API_BASE", "https://api.groq.com/openai/v1"),
        ];
        let launch = launch("python", &env, &[]);
        assert_eq!(launch.variable("OPENAI_BASE_URL"), Some("http://r/relay/v1"));
        assert_eq!(launch.variable("ANTHROPIC_BASE_URL"), Some("http://r/anthropic"));
        assert_eq!(launch.variable("OPENAI_API_BASE"), Some("http://r/ollama/v1"));
        assert_eq!(launch.variable("GROQ_API_BASE"), Some("http://r/groq/openai/v1"));
        assert_eq!(launch.variable("MISTRAL_API_BASE"), Some("http://r/mistral/v1"));
        assert_eq!(
            (launch.variable("GROQ_BASE_URL"), launch.variable("XAI_API_BASE"), launch.variable("OLLAMA_API_BASE")),
            (None, None, None)
        );
        assert_eq!(launch.notes, ["left as you set it: XAI_API_BASE, GROQ_BASE_URL; calls that go there are not metered here"]);
        assert_eq!((launch.client, launch.arguments.len()), (None, 0));
    }

    #[test]
    fn claude_settings_are_overridden_unless_they_lead_elsewhere() {
        let user = "/h/.claude/settings.json";
        let with = |text: &str, command: &str| launch(command, &[], &[(user, text)]);
        assert_eq!(with("{}", "claude -p hi").words(), ["-p", "hi"]);
        let ours = r#"{"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:8655/anthropic"}}"#;
        assert_eq!(
            with(ours, "npx @anthropic-ai/claude-code -p hi").words(),
            ["@anthropic-ai/claude-code", "--settings", r#"{"env":{"ANTHROPIC_BASE_URL":"http://r/anthropic"}}"#, "-p", "hi"]
        );
        let own = with(ours, "claude --settings x.json");
        assert_eq!((own.words(), own.notes.len()), (vec!["--settings", "x.json"], 0), "it is metered all the same");
        let foreign = with(r#"{"env":{"ANTHROPIC_BASE_URL":"https://u:secret@gateway.example/v1"}}"#, "claude");
        assert!(foreign.arguments.is_empty() && foreign.notes[0].contains("leads to https://gateway.example/v1;"), "{foreign:?}");
        let behind = with(r#"{"env":{"HTTPS_PROXY":"http://corp:3128","NO_PROXY":".corp"}}"#, "claude");
        assert!(behind.words()[1].contains(r#""NO_PROXY":".corp,127.0.0.1,localhost,::1""#), "{behind:?}");
        let bedrock = with(r#"{"env":{"CLAUDE_CODE_USE_BEDROCK":"1"}}"#, "claude");
        assert!(bedrock.notes[0].contains("BEDROCK"), "{bedrock:?}");
    }

    #[test]
    fn codex_is_pointed_with_the_provider_that_it_uses() {
        let file = "/h/.codex/config.toml";
        let with = |text: &str, command: &str| launch(command, &[], &[(file, text)]);
        assert_eq!(with("", "codex exec hi").words(), ["-c", "openai_base_url=\"http://r/openai/v1\"", "exec", "hi"]);
        let relay = "model_provider = 'x'\n[model_providers.x]\nbase_url = 'https://relay.example/api/v1'\n[model_providers.y]\nbase_url = 'https://y.example'\n[profiles.p]\nmodel_provider = 'y'";
        assert_eq!(with(relay, "codex").words(), ["-c", "model_providers.x.base_url=\"http://r/relay/v1\""]);
        for command in ["codex -p p", "codex -c model_provider=\"y\""] {
            let elsewhere = with(relay, command);
            assert_eq!(elsewhere.arguments.len(), 2, "{elsewhere:?}");
            assert!(elsewhere.notes[0].contains("codex calls https://y.example (model_provider \"y\""), "{elsewhere:?}");
        }
        let gateway = with("openai_base_url = 'https://gateway.example/v1'", "codex");
        assert!(gateway.arguments.is_empty() && gateway.notes[0].contains("https://gateway.example/v1"), "{gateway:?}");
        assert!(with("model_provider = 'ollama'", "codex").notes[0].contains("ollama"));
    }

    #[test]
    fn copilot_is_pointed_only_if_it_uses_a_key_of_its_own() {
        let with = |env: &[(&str, &str)]| {
            let launch = launch("copilot", env, &[]);
            (launch.variable("COPILOT_PROVIDER_BASE_URL").map(str::to_owned), launch.notes.len())
        };
        let to = |path: &str| Some(format!("http://r{path}"));
        assert_eq!(with(&[]), (None, 1));
        assert_eq!(with(&[("COPILOT_PROVIDER_API_KEY", "k")]), (to("/openai/v1"), 0));
        assert_eq!(with(&[("COPILOT_PROVIDER_TYPE", "anthropic")]), (to("/anthropic"), 0));
        assert_eq!(with(&[("COPILOT_PROVIDER_BASE_URL", "https://api.anthropic.com")]), (to("/anthropic"), 0));
        assert_eq!(with(&[("COPILOT_PROVIDER_BASE_URL", "https://gateway.example")]), (None, 1));
        assert_eq!(with(&[("COPILOT_PROVIDER_TYPE", "azure")]), (None, 1));
    }

    #[test]
    fn gemini_with_a_key_needs_its_kind_of_login() {
        let with = |env: &[(&str, &str)], files: &[(&str, &str)]| launch("npx @google/gemini-cli -p hi", env, files).needs_login;
        let key = ("GEMINI_API_KEY", "k");
        assert!(with(&[key], &[]) && with(&[], &[("/h/.gemini/.env", "GEMINI_API_KEY=k\n")]));
        assert!(with(&[key], &[("/h/.gemini/settings.json", "{}")]));
        assert!(!with(&[key], &[("/h/.gemini/settings.json", r#"{"security":{"auth":{"selectedType":"oauth-personal"}}}"#)]));
        assert!(!with(&[], &[]) && !with(&[key, ("GOOGLE_GENAI_USE_VERTEXAI", "true")], &[]));
        assert!(!with(&[key, (GEMINI_BASE, "https://gateway.example")], &[]));
        let mut launch = launch("gemini", &[key], &[]);
        launch.without_gemini("denied");
        assert_eq!((launch.variable(GEMINI_BASE), launch.notes.len()), (None, 1));
    }

    #[test]
    fn opencode_providers_with_a_key_are_pointed_in_its_own_way() {
        let with = |env: &[(&str, &str)], files: &[(&str, &str)]| {
            let launch = launch("opencode", env, files);
            (launch.variable(OPENCODE_CONTENT).unwrap_or("").to_owned(), launch.notes.len())
        };
        let content = |name: &str, url: &str| format!(r#"{{"provider":{{"{name}":{{"options":{{"baseURL":"{url}"}}}}}}}}"#);
        assert_eq!(with(&[("GEMINI_API_KEY", "k")], &[]), (content("google", "http://r/gemini/v1beta"), 0));
        let logins = ("/h/.local/share/opencode/auth.json", r#"{"xai":{"type":"api","key":"secret"}}"#);
        assert_eq!(with(&[], &[logins]), (content("xai", "http://r/xai/v1"), 0));
        let file = ("/h/.config/opencode/opencode.json", r#"{"provider":{"openai":{"options":{"baseURL":"https://gateway.example"}}}}"#);
        assert_eq!(with(&[("OPENAI_API_KEY", "k"), ("XAI_API_KEY", "k")], &[file]), (content("xai", "http://r/xai/v1"), 1));
        let own = (OPENCODE_CONTENT, r#"{"provider":{"openai":{"options":{"baseURL":"https://relay.example/api"}}}}"#);
        assert_eq!(with(&[own], &[]), (content("openai", "http://r/relay"), 0));
        assert_eq!(with(&[(OPENCODE_CONTENT, "no JSON")], &[]), (String::new(), 1));
    }

    #[test]
    fn loopback_is_exempt_from_the_http_proxy_of_shell_and_dotenv() {
        let exempt = |env: &[(&str, &str)], files: &[(&str, &str)]| launch("sh", env, files).variable("NO_PROXY").map(str::to_owned);
        assert_eq!(exempt(&[("HTTP_PROXY", "http://corp")], &[]).as_deref(), Some("127.0.0.1,localhost,::1"));
        let dotenv = ("/w/.env", "HTTPS_PROXY=http://corp\nNO_PROXY=.corp\n");
        assert_eq!(exempt(&[], &[dotenv]).as_deref(), Some(".corp,127.0.0.1,localhost,::1"));
        assert_eq!(exempt(&[("HTTP_PROXY", "http://corp"), ("NO_PROXY", "*")], &[]), None);
    }
}
