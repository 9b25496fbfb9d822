//! The clients that keep a base address in a settings file of their own: where, under what name, and what it changes for them.

use super::{
    OPENCODE,
    check::{self, Pointing},
    edit::{Edited, Form},
};
use crate::{config::Home, regular::read_text_bounded};
use events::query::{Fault, FaultCode};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// A settings file larger than this is not one.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Stands behind the name of a file for the copy of what it was.
const BACKUP: &str = "before-tollbar";

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
}

/// One name in a client's file, and what it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The names that lead to it, from outside in.
    pub path: Vec<String>,
    /// The base address.
    pub value: String,
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

/// What was written, so that exactly that can be taken away.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    file: PathBuf,
    /// Whether the file was made for it.
    made: bool,
    /// The whole text, to know whether anybody changed it since.
    text: String,
    settings: Vec<WrittenSetting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenSetting {
    path: Vec<String>,
    value: String,
    old: Option<String>,
    had: usize,
}

impl Client {
    /// All of them.
    pub const ALL: [Client; 5] = [Client::ClaudeCode, Client::Codex, Client::Gemini, Client::OpenCode, Client::Aider];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Client::ClaudeCode => "claude-code",
            Client::Codex => "codex",
            Client::Gemini => "gemini",
            Client::OpenCode => "opencode",
            Client::Aider => "aider",
        }
    }

    /// The file in which its user keeps settings for all projects.
    pub fn file(self, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
        let given = |name: &str| env(name).filter(|value| !value.trim().is_empty()).map(PathBuf::from);
        let home = given("HOME").or_else(|| given("USERPROFILE")).unwrap_or_default();
        match self {
            Client::ClaudeCode => given("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home.join(".claude")).join("settings.json"),
            Client::Codex => given("CODEX_HOME").unwrap_or_else(|| home.join(".codex")).join("config.toml"),
            Client::Gemini => home.join(".gemini/.env"),
            Client::OpenCode => {
                let folder = given("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("opencode");
                let with_comments = folder.join("opencode.jsonc");
                if with_comments.is_file() { with_comments } else { folder.join("opencode.json") }
            }
            Client::Aider => home.join(".aider.conf.yml"),
        }
    }

    /// What is set in it.
    pub fn settings(self, root: &str) -> Vec<Setting> {
        let one =
            |path: &[&str], to: &str| Setting { path: path.iter().map(|name| (*name).to_owned()).collect(), value: format!("{root}{to}") };
        match self {
            Client::ClaudeCode => vec![one(&["env", "ANTHROPIC_BASE_URL"], "/anthropic")],
            Client::Codex => vec![one(&["openai_base_url"], "/openai/v1")],
            Client::Gemini => vec![one(&["GOOGLE_GEMINI_BASE_URL"], "/gemini")],
            // The built-in names: a new one would lose the cache of prompts (gateways-and-clients, section 4.1).
            Client::OpenCode => OPENCODE[..2].iter().map(|(name, _, to)| one(&["provider", name, "options", "baseURL"], to)).collect(),
            Client::Aider => vec![one(&["openai-api-base"], "/openai/v1")],
        }
    }

    /// What else changes for its user.
    pub fn side_effects(self) -> &'static [&'static str] {
        match self {
            Client::ClaudeCode => &[
                "MCP tool search is off by default at any other address than Anthropic's; ENABLE_TOOL_SEARCH=true turns it on, and the proxy passes what it needs",
                "the context window of 1M tokens is withheld: it compacts at about 200k instead of about 600k",
                "Remote Control and the discovery of models change; web search and the one-hour cache do not",
                "the setting counts for your own settings, not for a project's until you trust it; a variable in the shell goes before it",
            ],
            Client::Codex => &[
                "it speaks WebSockets with its built-in provider; the proxy carries them",
                "tried with an API key; a ChatGPT login talks to another address and is not metered here, its log is",
                "OPENAI_BASE_URL and [model_providers.openai] have no effect; your history stays, since the provider keeps its name",
            ],
            Client::Gemini => &[
                "counts with an API key; a Google login talks to another address and is not metered here, its log is",
                "a project's own .env or .gemini/.env takes the place of this whole file",
            ],
            Client::OpenCode => {
                &["both providers are listed as set up, even one that you have no key for", "a project's opencode.json goes before it"]
            }
            Client::Aider => &[
                "OpenAI's models only; for others use `tollbar run -- aider`, which sets ANTHROPIC_API_BASE as well",
                "its calls name no client of their own; on Linux its process tells who it is",
            ],
        }
    }

    fn form(self) -> Form {
        match self {
            Client::ClaudeCode | Client::OpenCode => Form::Json,
            Client::Codex => Form::Toml,
            Client::Gemini => Form::Env,
            Client::Aider => Form::Yaml,
        }
    }

    /// How it stands, and where each of its settings points.
    fn standing(self, root: &str, env: &dyn Fn(&str) -> Option<String>) -> (Standing, Vec<Pointing>) {
        let file = self.file(env);
        // Aider's file and Gemini's stand among others of the home; what is looked for is the client's own.
        let folder = file.parent().filter(|_| self != Client::Aider);
        let present = file.exists() || folder.is_some_and(Path::is_dir);
        let values = read(&file).map(|text| {
            self.settings(root).into_iter().map(move |setting| {
                let value = self.form().get(text.as_deref().unwrap_or_default(), &names(&setting.path));
                (setting, value)
            })
        });
        let mut stand = Stand::Unset;
        let mut pointings = Vec::new();
        match values {
            Err(error) => stand = Stand::Unclear(error.to_string()),
            Ok(values) => {
                for (setting, value) in values {
                    let said = match value {
                        Ok(None) => continue,
                        Ok(Some(value)) if value == setting.value => {
                            pointings.push(self.pointing(&value, &file));
                            Stand::Ours
                        }
                        Ok(Some(value)) => {
                            pointings.push(self.pointing(&value, &file));
                            Stand::Other(value)
                        }
                        Err(cause) => Stand::Unclear(cause),
                    };
                    if stand == Stand::Unset {
                        stand = said;
                    }
                }
            }
        }
        (Standing { client: self.name(), present, file, stand }, pointings)
    }

    fn pointing(self, to: &str, file: &Path) -> Pointing {
        let way_out = format!("take the setting away with `tollbar connect {} --undo` (it stands in {})", self.name(), file.display());
        Pointing { whose: self.name().to_owned(), to: to.to_owned(), way_out }
    }
}

/// How every client stands to the proxy with this root, and what is pointed where: their files, and the variables of this environment.
pub fn stands(root: &str, env: &dyn Fn(&str) -> Option<String>) -> (Vec<Standing>, Vec<Pointing>) {
    let mut standings = Vec::new();
    let mut pointings = Vec::new();
    for client in Client::ALL {
        let (standing, points) = client.standing(root, env);
        standings.push(standing);
        pointings.extend(points);
    }
    for (name, _) in super::VARIABLES {
        if let Some(to) = env(name).filter(|to| check::is_loopback(to)) {
            pointings.push(Pointing {
                whose: name.to_owned(),
                to,
                way_out: format!("unset {name}, and take it out of your shell's profile"),
            });
        }
    }
    (standings, pointings)
}

/// Points a client at the proxy for good; the file, and the copy of what it was, if it was there.
pub fn write(client: Client, root: &str, home: &Home, env: &dyn Fn(&str) -> Option<String>) -> Result<(PathBuf, Option<PathBuf>), Fault> {
    // What an earlier call wrote goes first: what stood there before us is what shall stand there after us.
    undo(client, home)?;
    let named = client.file(env);
    // A link in a folder of dotfiles stays a link.
    let file = fs::canonicalize(&named).unwrap_or(named);
    let before = read(&file).map_err(|error| cannot("read", &file, &error))?;
    let mut text = before.clone().unwrap_or_default();
    let mut settings = Vec::new();
    for Setting { path, value } in client.settings(root) {
        let edited = client.form().set(&text, &names(&path), &value).map_err(|cause| {
            let said = format!("cannot change {}: {cause}", file.display());
            Fault::refused(said, format!("put it in by hand: `tollbar connect {}` shows what", client.name()))
        })?;
        let Edited { text: new, old, had } = edited;
        settings.push(WrittenSetting { path, value, old, had });
        text = new;
    }
    let backup = before.as_ref().map(|_| beside(&file));
    if let (Some(backup), Some(before)) = (&backup, &before) {
        put(backup, before, Some(&file)).map_err(|error| cannot("write", backup, &error))?;
    }
    let written = Written { file: file.clone(), made: before.is_none(), text: text.clone(), settings };
    let record = serde_json::to_string(&written).expect("texts and numbers are JSON");
    // Noted before it is done: what is noted and was not done is undone without effect.
    put(&record_path(client, home), &record, None).map_err(|error| cannot("write", &record_path(client, home), &error))?;
    put(&file, &text, before.is_some().then_some(&file)).map_err(|error| cannot("write", &file, &error))?;
    Ok((file, backup))
}

/// Takes away what `write` put in; the file, or `None` if nothing was. What the user changed since stays.
pub fn undo(client: Client, home: &Home) -> Result<Option<PathBuf>, Fault> {
    let record = record_path(client, home);
    let Some(noted) = read(&record).map_err(|error| cannot("read", &record, &error))? else { return Ok(None) };
    let written: Written = serde_json::from_str(&noted).map_err(|error| {
        Fault::new(
            FaultCode::Storage,
            format!("{} makes no sense: {error}", record.display()),
            "take the setting out by hand, and remove that file",
        )
    })?;
    let file = &written.file;
    let now = read(file).map_err(|error| cannot("read", file, &error))?;
    let backup = beside(file);
    match now {
        None => {}
        Some(now) if now == written.text && written.made => fs::remove_file(file).map_err(|error| cannot("remove", file, &error))?,
        Some(now) => {
            let mut text = now.clone();
            for WrittenSetting { path, value, old, had } in written.settings.iter().rev() {
                let path = names(path);
                let unclear = |cause| Fault::refused(format!("cannot change {}: {cause}", file.display()), "take the setting out by hand");
                // Who set it otherwise since has taken it over.
                if client.form().get(&text, &path).map_err(unclear)?.as_ref() == Some(value) {
                    text = client.form().unset(&text, &path, old.as_deref(), *had).map_err(unclear)?;
                }
            }
            if text != now {
                put(file, &text, Some(file)).map_err(|error| cannot("write", file, &error))?;
            }
            // The copy has done its duty only where the file is again what it says.
            if read(&backup).is_ok_and(|kept| kept.as_ref() == Some(&text)) {
                fs::remove_file(&backup).map_err(|error| cannot("remove", &backup, &error))?;
            }
        }
    }
    fs::remove_file(&record).map_err(|error| cannot("remove", &record, &error))?;
    Ok(Some(written.file))
}

fn names(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn record_path(client: Client, home: &Home) -> PathBuf {
    // Not among what may be lost: without it nothing could be undone.
    home.data.join(format!("connected-{}.json", client.name()))
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{BACKUP}"));
    file.with_file_name(name)
}

/// A file's text; `None` if there is no file.
fn read(file: &Path) -> io::Result<Option<String>> {
    match read_text_bounded(file, FILE_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file whole or not at all, with the rights of another one; without one it is for its owner only.
fn put(file: &Path, text: &str, like: Option<&PathBuf>) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    if let Some(like) = like {
        new.as_file().set_permissions(fs::metadata(like)?.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

fn cannot(what: &str, file: &Path, error: &io::Error) -> Fault {
    Fault::new(FaultCode::Storage, format!("cannot {what} {}: {error}", file.display()), "check that the file and its folder belong to you")
}
