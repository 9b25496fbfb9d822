//! Where each client keeps its logs, and in what form.

mod homes;

use super::{Client, json::Json};
use crate::{attribution::may_be_visited, regular::read_text_bounded};
use homes::{Places, subfolders};
use std::path::{Path, PathBuf};

/// How deep below a folder logs are looked for.
pub(super) const DEPTH_MAX: usize = 16;
/// The largest list of projects that is read.
const LIST_BYTES_MAX: u64 = 4 << 20;
/// How many projects of it are looked at.
const LISTED_MAX: usize = 4096;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines, to which more are added.
    Lines,
    /// Lines, packed with zstd. Written once.
    PackedLines,
    /// One JSON document, rewritten as it grows.
    Document,
    /// A SQLite database.
    Database,
    /// Comma-separated values with a head.
    Table,
}

/// A folder in which logs lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// How deep below it: none for a folder that holds much else.
    pub(super) depth_max: usize,
}

/// The folders in which a client keeps its things, by the environment: those its own variable names, else the usual ones of all systems.
/// Whether they exist is not asked. A variable of spaces is unset.
///
/// The variables and folders are those of log-formats; those of macOS and Windows stand beside those of Linux, for nothing is lost in
/// looking where nothing is. Where Linux runs within Windows (WSL), the homes of its users on Windows are looked at too.
pub fn usual_roots(client: Client, env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    roots_among(client, env, &subfolders)
}

/// The same, with who tells which folders lie in a folder: what a user or an installed app is called is not in the environment.
fn roots_among(client: Client, env: &dyn Fn(&str) -> Option<String>, within: &dyn Fn(&Path) -> Vec<PathBuf>) -> Vec<PathBuf> {
    let places = Places { env, within };
    let roots = match client {
        Client::ClaudeCode => {
            let own = places.named(&["CLAUDE_CONFIG_DIR"]).unwrap_or_else(|| [places.config("claude"), places.home(".claude")].concat());
            // Its desktop app, and programs that write as it does, keep theirs wherever that variable points.
            let desktop =
                [places.app("Claude/local-agent-mode-sessions"), places.store_app("Claude", "Claude/local-agent-mode-sessions")].concat();
            let kin = [places.app("CherryStudio/Data/Agents/.claude"), places.home(".codebuddy"), places.home(".workbuddy")].concat();
            [own, desktop, kin].concat()
        }
        Client::Codex => places.named(&["CODEX_HOME"]).unwrap_or_else(|| places.home(".codex")),
        Client::GeminiCli => places.named(&["GEMINI_CLI_HOME", "GEMINI_DATA_DIR"]).unwrap_or_else(|| places.home(".gemini")),
        Client::OpenCode => {
            let database = places.named(&["OPENCODE_DB"]).into_iter().flatten().filter_map(|file| file.parent().map(Path::to_owned));
            let folders = places.named(&["OPENCODE_DATA_DIR"]).unwrap_or_else(|| places.data("opencode"));
            folders.into_iter().chain(database).collect()
        }
        Client::Kilo => places.named(&["KILO_DATA_DIR"]).unwrap_or_else(|| places.data("kilo")),
        Client::CopilotCli => places.home(".copilot"),
        Client::Droid => places.named(&["DROID_SESSIONS_DIR", "FACTORY_DIR"]).unwrap_or_else(|| places.home(".factory")),
        Client::Pi => {
            let own = places.named(&["PI_AGENT_DIR", "PI_CODING_AGENT_SESSION_DIR"]).unwrap_or_else(|| {
                let kin = [".pi/agent", ".omp/agent", ".gjc/agent", ".senpi/agent", ".config/kimchi/harness", ".prime/agent"];
                kin.into_iter().flat_map(|folder| places.home(folder)).collect()
            });
            let claw = places.named(&["OPENCLAW_DIR"]).map(|folders| folders.iter().map(|folder| folder.join("agents")).collect());
            let claws = || [".openclaw/agents", ".clawdbot/agents", ".moltbot/agents"].into_iter().flat_map(|it| places.home(it)).collect();
            [own, claw.unwrap_or_else(claws)].concat()
        }
        Client::Qwen => {
            // Its book may be apart from its transcripts.
            let apart = [places.named(&["QWEN_RUNTIME_DIR"]), places.named(&["QWEN_DATA_DIR"])].into_iter().flatten().flatten();
            places.named(&["QWEN_HOME"]).unwrap_or_else(|| places.home(".qwen")).into_iter().chain(apart).collect()
        }
        Client::Amp => places.named(&["AMP_DATA_DIR"]).unwrap_or_else(|| places.data("amp")),
        Client::Kimi => [
            places.named(&["KIMI_SHARE_DIR", "KIMI_DATA_DIR"]).unwrap_or_else(|| places.home(".kimi")),
            places.named(&["KIMI_CODE_HOME"]).unwrap_or_else(|| places.home(".kimi-code")),
        ]
        .concat(),
        Client::Cline => [places.cline(), places.editors()].concat(),
        Client::Crush => places.named(&["CRUSH_GLOBAL_DATA"]).unwrap_or_else(|| places.data("crush")),
        Client::Goose => {
            let usual = || [places.data("goose"), places.data("Block/goose")].concat();
            places.named(&["GOOSE_PATH_ROOT"]).unwrap_or_else(usual)
        }
        Client::Zed => [places.data("zed"), places.data("Zed")].concat(),
        Client::Grok => places.named(&["GROK_HOME"]).unwrap_or_else(|| places.home(".grok")),
        Client::Aider => {
            let logs = places.named(&["AIDER_ANALYTICS_LOG"]).into_iter().flatten();
            logs.filter_map(|file| file.parent().map(Path::to_owned)).collect()
        }
        // Exported by hand, to wherever the user likes.
        Client::Cursor => Vec::new(),
    };
    let mut unique: Vec<PathBuf> = Vec::new();
    roots.into_iter().for_each(|root| {
        if !unique.contains(&root) {
            unique.push(root);
        }
    });
    unique
}

/// The folders below a root in which the logs lie: what is walked, and what is watched. They need not exist.
pub(super) fn log_folders(client: Client, root: &Path) -> Vec<Folder> {
    let deep = |folder: &str| Folder { path: root.join(folder), depth_max: DEPTH_MAX };
    let flat = |folder: &str| Folder { path: root.join(folder), depth_max: 0 };
    // Some variables name the innermost folder, and some roots are the home folder that holds it all.
    let itself = |name: &str| {
        (root.ends_with(name) && !root.join(name).is_dir()).then(|| vec![Folder { path: root.to_owned(), depth_max: DEPTH_MAX }])
    };
    match client {
        // Each of the desktop app's sessions has a folder of its own, with `projects` somewhere in it.
        Client::ClaudeCode => itself("projects")
            .or_else(|| itself("local-agent-mode-sessions"))
            .unwrap_or_else(|| vec![deep("projects"), deep("transcripts")]),
        Client::Codex => vec![deep("sessions"), deep("archived_sessions"), deep(".codex/sessions"), deep(".codex/archived_sessions")],
        Client::GeminiCli => itself("tmp").unwrap_or_else(|| vec![deep("tmp"), deep(".gemini/tmp")]),
        // Beside the messages lie their parts, a folder for each message: too much to watch, and of no use.
        Client::OpenCode | Client::Kilo => vec![flat(""), deep("storage/message"), flat("exports")],
        Client::CopilotCli => vec![flat(""), deep("session-state"), flat(".copilot"), deep(".copilot/session-state")],
        Client::Droid => itself("sessions").unwrap_or_else(|| vec![flat(""), deep("sessions"), deep(".factory/sessions")]),
        // OpenClaw keeps a folder of sessions for each of its agents.
        Client::Pi => itself("sessions")
            .or_else(|| itself("agents"))
            .unwrap_or_else(|| vec![deep("sessions"), deep("agent/sessions"), deep("session-artifacts")]),
        Client::Qwen => vec![deep("usage"), deep("projects"), deep("tmp")],
        Client::Amp => itself("threads").unwrap_or_else(|| vec![deep("threads")]),
        Client::Kimi => itself("sessions").unwrap_or_else(|| vec![deep("sessions")]),
        Client::Cline => itself("sessions").unwrap_or_else(|| vec![deep("tasks"), deep("sessions")]),
        Client::Crush => listed_by_crush(root).into_iter().map(|path| Folder { path, depth_max: 0 }).chain([flat("")]).collect(),
        Client::Goose => vec![flat(""), flat("sessions"), flat("data/sessions")],
        Client::Zed => vec![flat(""), flat("threads")],
        Client::Grok => vec![deep("sessions")],
        Client::Aider | Client::Cursor => vec![flat("")],
    }
}

/// The folders of the databases that Crush keeps, one with each project.
fn listed_by_crush(root: &Path) -> Vec<PathBuf> {
    let Ok(text) = read_text_bounded(&root.join("projects.json"), LIST_BYTES_MAX) else { return Vec::new() };
    let Some(list) = Json::parse(&text) else { return Vec::new() };
    let list = list.at(&["projects"]).unwrap_or(list);
    let named = list.object();
    let projects = list.items().chain(named.fields().map(|(_, project)| project));
    let folder = |project: Json<'_>| {
        let project = project.object();
        Some(PathBuf::from(project.word("path")?).join(project.word("data_dir").unwrap_or_else(|| ".crush".to_owned())))
    };
    projects.take(LISTED_MAX).filter_map(folder).filter(|folder| may_be_visited(folder)).collect()
}

/// The log that a path is or belongs to: what is written to a database stands beside it first.
pub(super) fn log_of(client: Client, path: &Path) -> Option<PathBuf> {
    let path = path.to_str().and_then(|path| path.strip_suffix("-wal")).map_or(path, Path::new);
    form(client, path).map(|_| path.to_owned())
}

/// In what form a file of this name is a log; `None` where it is none.
pub(super) fn form(client: Client, path: &Path) -> Option<Form> {
    let name = path.file_name()?.to_str()?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let is_below = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
    let lines = |is: bool| is.then_some(Form::Lines);
    let document = |is: bool| is.then_some(Form::Document);
    let database = |is: bool| is.then_some(Form::Database);
    match client {
        // `journal.jsonl` is the workflows' own book, of no calls.
        Client::ClaudeCode => lines(ending == "jsonl" && name != "journal.jsonl"),
        Client::Codex if name.ends_with(".jsonl.zst") => Some(Form::PackedLines),
        Client::Codex => lines(ending == "jsonl"),
        Client::GeminiCli if ending == "json" => document(is_below("chats")),
        Client::GeminiCli => lines(ending == "jsonl" && is_below("chats")),
        Client::OpenCode | Client::Kilo => {
            database(ending == "db").or(document(ending == "json" && (is_below("message") || name.starts_with("ses_"))))
        }
        Client::CopilotCli => database(name == "session-store.db").or(lines(name == "events.jsonl")),
        Client::Droid => document(name.ends_with(".settings.json")),
        // OpenClaw names a session that is over `.jsonl.deleted.<time>` or `.jsonl.reset.<time>`.
        Client::Pi => lines(ending == "jsonl" || name.contains(".jsonl.deleted.") || name.contains(".jsonl.reset.")),
        Client::Qwen => lines(ending == "jsonl"),
        Client::Amp => document(ending == "json" && name.starts_with("T-")),
        Client::Kimi => lines(name == "wire.jsonl"),
        Client::Cline => document(name == "ui_messages.json" || name.ends_with(".messages.json")),
        Client::Crush => database(name == "crush.db"),
        Client::Goose => database(name == "sessions.db"),
        Client::Zed => database(name == "threads.db"),
        Client::Grok => lines(name == "updates.jsonl"),
        Client::Aider => lines(ending == "jsonl" || ending == "log"),
        Client::Cursor => (ending == "csv").then_some(Form::Table),
    }
}

/// The questions that a client's database answers, the newest schema first. Each takes the row after which to begin; what it gives is in
/// the order of its rows: the row's number, its JSON, and perhaps a packed document.
pub(super) const fn queries(client: Client) -> &'static [&'static str] {
    match client {
        Client::OpenCode | Client::Kilo => &super::opencode::QUERIES,
        Client::CopilotCli => &super::copilot::QUERIES,
        Client::Crush => &super::crush::QUERIES,
        Client::Goose => &super::goose::QUERIES,
        Client::Zed => &super::zed::QUERIES,
        Client::ClaudeCode
        | Client::Codex
        | Client::GeminiCli
        | Client::Droid
        | Client::Pi
        | Client::Qwen
        | Client::Amp
        | Client::Kimi
        | Client::Cline
        | Client::Grok
        | Client::Aider
        | Client::Cursor => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn roots(client: Client, vars: &[(&str, &str)]) -> Vec<String> {
        let env = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
        usual_roots(client, &env).into_iter().map(|root| root.display().to_string()).collect()
    }

    #[test]
    fn roots_are_those_of_the_variable_else_the_usual_ones() {
        let claude = |vars| roots(Client::ClaudeCode, vars);
        assert_eq!(claude(&[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "/a, /b,")])[..2], ["/a", "/b"]);
        assert_eq!(claude(&[("HOME", "/h"), ("CLAUDE_CONFIG_DIR", "  ")])[..2], ["/h/.config/claude", "/h/.claude"]);
        assert_eq!(claude(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")])[..2], ["/x/claude", "/h/.claude"]);
        assert!(claude(&[("HOME", "/h")]).contains(&"/h/.config/Claude/local-agent-mode-sessions".to_owned()));
        assert!(claude(&[]).is_empty());
        assert_eq!(roots(Client::Codex, &[("USERPROFILE", "/u")]), ["/u/.codex"]);
        assert_eq!(roots(Client::Qwen, &[("HOME", "/h"), ("QWEN_RUNTIME_DIR", "/r")]), ["/h/.qwen", "/r"]);
        assert_eq!(roots(Client::Pi, &[("PI_AGENT_DIR", "/p"), ("OPENCLAW_DIR", "/o")]), ["/p", "/o/agents"]);
        assert_eq!(roots(Client::OpenCode, &[("HOME", "/h"), ("XDG_DATA_HOME", "/x")])[0], "/x/opencode");
        assert_eq!(roots(Client::OpenCode, &[("OPENCODE_DATA_DIR", "/d"), ("OPENCODE_DB", "/e/my.db")]), ["/d", "/e"]);
        assert!(
            roots(Client::Cline, &[("HOME", "/h")]).iter().any(|root| root == "/h/.config/Code/User/globalStorage/saoudrizwan.claude-dev")
        );
    }

    #[test]
    fn sessions_of_claudes_desktop_app_and_of_openclaw_are_found() {
        let home = tempfile::tempdir().expect("a folder");
        let write = |path: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, "").expect("written");
        };
        write(".config/Claude/local-agent-mode-sessions/a/b/local_c/.claude/projects/slug/s.jsonl");
        write(".openclaw/agents/main/sessions/s.jsonl.deleted.2026-01-01");
        let env = |name: &str| (name == "HOME").then(|| home.path().display().to_string());
        for client in [Client::ClaudeCode, Client::Pi] {
            assert_eq!(super::super::files(client, &usual_roots(client, &env)).len(), 1, "{}", client.name());
        }
    }

    #[test]
    fn without_an_environment_no_client_has_a_root() {
        for client in Client::ALL {
            assert!(roots(*client, &[]).is_empty(), "{}", client.name());
        }
    }

    #[test]
    fn what_is_written_ahead_belongs_to_its_database() {
        let log = |path: &str| log_of(Client::OpenCode, Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(log("/d/opencode-dev.db-wal").as_deref(), Some("/d/opencode-dev.db"));
        assert_eq!((log("/d/opencode.db-shm"), log("/d/auth.json")), (None, None));
    }
}
