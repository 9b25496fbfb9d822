//! The clients that keep a base address in a settings file of their own: where, under what name, and what it changes for them.

use super::{
    address::{Directory, Lead, is_loopback, loopback, shown},
    check::Pointing,
    edit::Form,
    files,
    launch::{Codex, OPENCODE, VARIABLES},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A client that can be pointed at the proxy for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// opencode.
    OpenCode,
    /// aider.
    Aider,
    /// Copilot CLI, which reads its provider from variables only.
    Copilot,
}

/// One name in a client's file, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The file.
    pub file: PathBuf,
    /// The names that lead to it, from outside in.
    pub path: Vec<String>,
    /// The base address, or what has to stand beside it.
    pub value: String,
    /// How the file is written.
    #[serde(skip)]
    pub(super) form: Form,
    /// The path of the address behind the proxy's root. `None` for a setting that has to stand beside the address, and that is set only where
    /// the user has not chosen.
    #[serde(skip)]
    pub(super) usual: Option<String>,
}

/// How one setting of a client stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// Nothing is set: its calls go to the provider.
    Unset,
    /// It leads to the proxy.
    Ours,
    /// It leads elsewhere.
    Other(String),
    /// Its file cannot be read, and why.
    Unclear(String),
}

/// How a client stands.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Its name.
    pub client: &'static str,
    /// Whether there is a folder or file of its.
    pub present: bool,
    /// Its settings file.
    pub file: PathBuf,
    /// How it stands: the first of its settings that says something.
    pub stand: Stand,
}

impl Client {
    /// All of them.
    pub const ALL: [Client; 6] = [Client::ClaudeCode, Client::Codex, Client::Gemini, Client::OpenCode, Client::Aider, Client::Copilot];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Client::ClaudeCode => "claude-code",
            Client::Codex => "codex",
            Client::Gemini => "gemini",
            Client::OpenCode => "opencode",
            Client::Aider => "aider",
            Client::Copilot => "copilot",
        }
    }

    /// The file in which its user keeps settings for all projects.
    pub fn file(self, env: Environment<'_>) -> PathBuf {
        let given = |name: &str| env(name).filter(|value| !value.trim().is_empty()).map(PathBuf::from);
        let home = given("HOME").or_else(|| given("USERPROFILE")).unwrap_or_default();
        match self {
            Client::ClaudeCode => given("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home.join(".claude")).join("settings.json"),
            Client::Codex => given("CODEX_HOME").unwrap_or_else(|| home.join(".codex")).join("config.toml"),
            Client::Gemini => given("GEMINI_CLI_HOME").unwrap_or(home).join(".gemini/.env"),
            Client::OpenCode => {
                let folder = given("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("opencode");
                let with_comments = folder.join("opencode.jsonc");
                if with_comments.is_file() { with_comments } else { folder.join("opencode.json") }
            }
            Client::Aider => home.join(".aider.conf.yml"),
            Client::Copilot => given("COPILOT_HOME").unwrap_or_else(|| home.join(".copilot")).join("config.json"),
        }
    }

    /// What is set in its files.
    pub fn settings(self, root: &str, env: Environment<'_>) -> Vec<Setting> {
        let file = self.file(env);
        let owned = |path: &[&str]| path.iter().map(|name| (*name).to_owned()).collect();
        let address = |form: Form, path: &[&str], usual: &str| Setting {
            file: file.clone(),
            path: owned(path),
            value: format!("{root}{usual}"),
            form,
            usual: Some(usual.to_owned()),
        };
        match self {
            Client::ClaudeCode => vec![address(Form::Json, &["env", "ANTHROPIC_BASE_URL"], "/anthropic")],
            Client::Codex => vec![address(Form::Toml, &["openai_base_url"], "/openai/v1")],
            Client::Gemini => vec![
                address(Form::Env, &["GOOGLE_GEMINI_BASE_URL"], "/gemini"),
                // With a base address and a key it takes its login for one of the kind "gateway", and refuses that
                // (clients-measured, 30 November).
                Setting {
                    file: file.with_file_name("settings.json"),
                    path: owned(&["security", "auth", "selectedType"]),
                    value: "gemini-api-key".to_owned(),
                    form: Form::Json,
                    usual: None,
                },
            ],
            // The built-in names: a new one would lose the cache of prompts (gateways-and-clients, section 4.1).
            Client::OpenCode => {
                OPENCODE[..2].iter().map(|(name, _, usual)| address(Form::Json, &["provider", name, "options", "baseURL"], usual)).collect()
            }
            Client::Aider => vec![address(Form::Yaml, &["openai-api-base"], "/openai/v1")],
            Client::Copilot => Vec::new(),
        }
    }

    /// The lines for a shell that point it, where it has no setting for that.
    pub fn exports(self, root: &str) -> Vec<String> {
        match self {
            Client::Copilot => vec![
                format!("export COPILOT_PROVIDER_BASE_URL={root}/openai/v1    # or {root}/anthropic with COPILOT_PROVIDER_TYPE=anthropic"),
                "export COPILOT_PROVIDER_API_KEY=...    # a key of your own".to_owned(),
                "export COPILOT_MODEL=...    # the model's name at the provider".to_owned(),
            ],
            Client::ClaudeCode | Client::Codex | Client::Gemini | Client::OpenCode | Client::Aider => Vec::new(),
        }
    }

    /// What else changes for its user.
    pub fn side_effects(self) -> &'static [&'static str] {
        match self {
            Client::ClaudeCode => &[
                "MCP tool search is off by default at any other address than Anthropic's; ENABLE_TOOL_SEARCH=true turns it on, and the proxy passes what it needs",
                "the context window of 1M tokens is withheld: it compacts at about 200k instead of about 600k",
                "Remote Control and the discovery of models change; web search and the one-hour cache do not",
                "the setting goes before a variable in the shell; a project's own settings go before it once you trust the project",
            ],
            Client::Codex => &[
                "it speaks WebSockets with its built-in provider; the proxy carries them",
                "tried with an API key; a ChatGPT login talks to another address and is not metered here, its log is",
                "OPENAI_BASE_URL and [model_providers.openai] have no effect; your history stays, since the provider keeps its name",
            ],
            Client::Gemini => &[
                "counts with an API key; a Google login talks to another address and is not metered here, its log is",
                "where you chose no kind of login yet, the one with a key is chosen: it refuses to start otherwise",
                "a project's own .env or .gemini/.env takes the place of this whole file",
            ],
            Client::OpenCode => {
                &["both providers are listed as set up, even one that you have no key for", "a project's opencode.json goes before it"]
            }
            Client::Aider => &[
                "OpenAI's models only; for others use `tollbar run -- aider`, which sets ANTHROPIC_API_BASE as well",
                "its calls name no client of their own; on Linux its process tells who it is",
            ],
            Client::Copilot => &[
                "it then calls the provider with your key, not GitHub; your Copilot plan is not used",
                "calls to GitHub's own models are not metered here, its log is",
            ],
        }
    }

    /// What in its settings sends its calls elsewhere, whatever its base address says.
    pub fn detours(self, directory: &Directory<'_>, env: Environment<'_>) -> Vec<String> {
        let text = files::read(&self.file(env)).ok().flatten().unwrap_or_default();
        match self {
            Client::ClaudeCode => {
                let is_on = |vendor: &&str| {
                    let name = format!("CLAUDE_CODE_USE_{vendor}");
                    let set = Form::Json.get(&text, &["env", &name]).ok().flatten().or_else(|| env(&name));
                    set.is_some_and(|value| !["", "0", "false"].contains(&value.trim()))
                };
                let detour =
                    |vendor: &str| format!("it uses {vendor} (CLAUDE_CODE_USE_{vendor}): its calls do not go to ANTHROPIC_BASE_URL");
                ["BEDROCK", "VERTEX", "FOUNDRY"].iter().filter(|vendor| is_on(vendor)).map(|vendor| detour(vendor)).collect()
            }
            Client::Codex => {
                let codex = Codex::of(&text, &[]);
                let is_metered = codex.base.as_deref().is_some_and(|url| matches!(directory.lead(url, "/openai/v1"), Lead::Proxy(_)));
                let to = codex.base.as_deref().map_or("an address of its own".to_owned(), shown);
                let detour = |name: String| format!("it uses model_provider {name:?}: its calls go to {to}, not to openai_base_url");
                codex.provider.filter(|_| !is_metered).map(detour).into_iter().collect()
            }
            Client::Gemini => {
                let settings = files::read(&self.file(env).with_file_name("settings.json")).ok().flatten().unwrap_or_default();
                let login = Form::Json.get(&settings, &["security", "auth", "selectedType"]).ok().flatten();
                let detour =
                    |login| format!("its kind of login is {login:?} (security.auth.selectedType): only one with a key passes the proxy");
                login.filter(|login| login != "gemini-api-key").map(detour).into_iter().collect()
            }
            Client::OpenCode | Client::Aider | Client::Copilot => Vec::new(),
        }
    }

    /// Where the client itself calls, and where each of its settings points.
    fn standing(self, root: &str, directory: &Directory<'_>, env: Environment<'_>) -> (Standing, Vec<Pointing>) {
        let file = self.file(env);
        // Aider's file stands among others of the home; what is looked for is the client's own folder.
        let folder = file.parent().filter(|_| self != Client::Aider);
        let present = file.exists() || folder.is_some_and(Path::is_dir);
        let mut stand = Stand::Unset;
        let mut pointings = Vec::new();
        for setting in self.settings(root, env) {
            let Some(usual) = &setting.usual else { continue };
            let text = files::read(&setting.file).map_err(|error| error.to_string());
            let value = text.and_then(|text| setting.form.get(&text.unwrap_or_default(), &names(&setting.path)));
            let seen = match value {
                Ok(None) => continue,
                Ok(Some(value)) => {
                    let (seen, is_ours) = seen(&value, usual, directory);
                    pointings.push(self.pointing(value, is_ours, &setting.file));
                    seen
                }
                Err(cause) => Stand::Unclear(cause),
            };
            if stand == Stand::Unset {
                stand = seen;
            }
        }
        if self == Client::Copilot
            && let Some(value) = env("COPILOT_PROVIDER_BASE_URL").filter(|value| !value.trim().is_empty())
        {
            stand = seen(&value, "/openai/v1", directory).0;
        }
        if self == Client::Codex && !self.detours(directory, env).is_empty() {
            let text = files::read(&file).ok().flatten().unwrap_or_default();
            let codex = Codex::of(&text, &[]);
            let to = codex.base.as_deref().map_or("an address of its own".to_owned(), shown);
            stand = Stand::Other(format!("{to} (model_provider {:?})", codex.provider.unwrap_or_default()));
        }
        (Standing { client: self.name(), present, file, stand }, pointings)
    }

    fn pointing(self, to: String, is_ours: bool, file: &Path) -> Pointing {
        let way_out = format!("take the setting away with `tollbar connect {} --undo` (it stands in {})", self.name(), file.display());
        Pointing { whose: self.name().to_owned(), to, is_ours, way_out }
    }
}

/// How an address stands, and whether it is meant for a proxy of ours.
fn seen(value: &str, usual: &str, directory: &Directory<'_>) -> (Stand, bool) {
    let is_ours = matches!(directory.lead(value, usual), Lead::Proxy(_));
    let is_here = loopback(value).is_some_and(|address| address.port() == directory.proxy.port());
    (if is_ours && is_here { Stand::Ours } else { Stand::Other(shown(value)) }, is_ours)
}

/// How every client stands to the proxy with this root, and what is pointed where: their files, and the variables of this environment.
pub(super) fn stands(root: &str, directory: &Directory<'_>, env: Environment<'_>) -> (Vec<Standing>, Vec<Pointing>) {
    let mut standings = Vec::new();
    let mut pointings = Vec::new();
    for client in Client::ALL {
        let (standing, points) = client.standing(root, directory, env);
        standings.push(standing);
        pointings.extend(points);
    }
    for (name, usual) in VARIABLES.into_iter().chain([("COPILOT_PROVIDER_BASE_URL", "/openai/v1")]) {
        if let Some(to) = env(name).filter(|to| is_loopback(to)) {
            let is_ours = matches!(directory.lead(&to, usual), Lead::Proxy(_));
            let way_out = format!("unset {name}, and take it out of your shell's profile");
            pointings.push(Pointing { whose: name.to_owned(), to, is_ours, way_out });
        }
    }
    (standings, pointings)
}

pub(super) fn names(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}
