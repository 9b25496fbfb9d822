//! The programs whose logs can be read, and the reader of each.

use super::{
    Line, aider, amp, claude_code, cline, codex, copilot, crush, cursor_csv, droid, gemini, goose, grok,
    json::Json,
    kimi,
    kin::COVERS_NOTHING,
    opencode, pi, qwen,
    row::{Around, Setting},
    zed,
};
use events::{Said, Sighting, Source, Timestamp, Tokens, Usage};
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, str::FromStr};

macro_rules! clients {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// A program whose logs can be read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Client {
            $($(#[$doc])* $variant,)+
        }

        impl Client {
            /// Every one there is.
            pub const ALL: &[Client] = &[$(Client::$variant),+];

            /// Its name on the command line and in [`events::Usage::client`].
            pub const fn name(self) -> &'static str {
                match self {
                    $(Client::$variant => $name,)+
                }
            }
        }
    };
}

clients! {
    /// Anthropic's Claude Code.
    ClaudeCode = "claude-code",
    /// OpenAI's Codex: command line, desktop and editor extension.
    Codex = "codex",
    /// Google's Gemini CLI.
    GeminiCli = "gemini-cli",
    /// OpenCode.
    OpenCode = "opencode",
    /// Kilo's command line, an OpenCode.
    Kilo = "kilo",
    /// GitHub's Copilot CLI.
    CopilotCli = "copilot-cli",
    /// Factory's Droid.
    Droid = "droid",
    /// Pi, and those that keep their sessions as it does.
    Pi = "pi",
    /// Qwen Code.
    Qwen = "qwen",
    /// Sourcegraph's Amp.
    Amp = "amp",
    /// Moonshot's Kimi CLI and Kimi Code.
    Kimi = "kimi",
    /// Cline, Roo and Kilo Code in editors, and Cline's command line.
    Cline = "cline",
    /// Charm's Crush.
    Crush = "crush",
    /// Block's Goose.
    Goose = "goose",
    /// The Zed editor.
    Zed = "zed",
    /// xAI's Grok Build.
    Grok = "grok",
    /// Aider, where it is told to keep an analytics log.
    Aider = "aider",
    /// Cursor, by the table that its dashboard exports.
    Cursor = "cursor",
}

impl Client {
    /// Raised when a reader sees more in the same bytes than before: files read by an older one are read again.
    pub(super) const fn reader_version(self) -> u32 {
        match self {
            Client::ClaudeCode => claude_code::VERSION,
            Client::GeminiCli | Client::CopilotCli | Client::Goose | Client::Qwen => 3,
            Client::Codex
            | Client::OpenCode
            | Client::Kilo
            | Client::Droid
            | Client::Pi
            | Client::Amp
            | Client::Kimi
            | Client::Cline
            | Client::Crush
            | Client::Zed
            | Client::Grok
            | Client::Aider
            | Client::Cursor => 2,
        }
    }

    /// The kinds of call that the client makes and never writes into its log, as far as that is known (log-formats, "Not in the log at all"
    /// and the traps of each client).
    pub const fn never_logs(self) -> Option<&'static str> {
        match self {
            Client::ClaudeCode => {
                Some("compaction, titles and summaries, background calls, web searches' own calls, and replies that were cut")
            }
            Client::Codex => Some("calls that failed or were cut, and before version 0.153 compaction"),
            Client::Amp => Some("its subagents, and in newer versions threads, which are on its server"),
            Client::Crush => Some("tokens: only what a session cost"),
            Client::CopilotCli => Some("what a run used whose end it did not live to see, where it keeps no database of calls"),
            Client::Aider => Some("anything, unless it is told to keep an analytics log; cache reads and writes even then"),
            Client::Cursor => Some("anything: only the table that its dashboard exports has counts"),
            Client::Droid => Some("single calls: only what a session used together"),
            Client::Cline => Some("single calls of subagents"),
            Client::GeminiCli
            | Client::OpenCode
            | Client::Kilo
            | Client::Pi
            | Client::Qwen
            | Client::Kimi
            | Client::Goose
            | Client::Zed
            | Client::Grok => None,
        }
    }

    pub(super) fn reader(self) -> Reader {
        match self {
            Client::ClaudeCode => Reader::ClaudeCode(claude_code::Reader::default()),
            Client::Codex => Reader::Codex(codex::Reader::default()),
            Client::CopilotCli => Reader::CopilotCli(copilot::Reader::default()),
            Client::Droid => Reader::Droid(droid::Reader::default()),
            Client::Cline => Reader::Cline(cline::Reader::default()),
            Client::GeminiCli
            | Client::OpenCode
            | Client::Kilo
            | Client::Pi
            | Client::Qwen
            | Client::Amp
            | Client::Kimi
            | Client::Crush
            | Client::Goose
            | Client::Zed
            | Client::Grok
            | Client::Aider
            | Client::Cursor => Reader::Rows { client: self, setting: Setting::default() },
        }
    }

    /// What a usage object in the client's words counts. `None` where it counts nothing, or is not kept apart from its row.
    fn tokens(self, usage: Json<'_>, model: Option<&str>) -> Option<Tokens> {
        match self {
            Client::ClaudeCode | Client::Crush => None,
            Client::Codex => codex::tokens(usage),
            Client::GeminiCli => gemini::tokens(usage),
            Client::OpenCode | Client::Kilo => opencode::tokens(usage),
            Client::CopilotCli => copilot::tokens(usage),
            Client::Droid => droid::tokens(usage),
            Client::Pi => pi::tokens(usage),
            Client::Qwen => qwen::tokens(usage),
            Client::Amp => amp::tokens(usage, model),
            Client::Kimi => kimi::tokens(usage),
            Client::Cline => cline::tokens(usage),
            Client::Goose => goose::tokens(usage),
            Client::Zed => zed::tokens(usage),
            Client::Grok => grok::tokens(usage),
            Client::Aider => aider::tokens(usage),
            Client::Cursor => cursor_csv::tokens(usage),
        }
    }
}

impl FromStr for Client {
    type Err = String;
    fn from_str(name: &str) -> Result<Client, String> {
        Client::ALL.iter().copied().find(|client| client.name() == name).ok_or_else(|| {
            let known: Vec<_> = Client::ALL.iter().map(|client| client.name()).collect();
            format!("no such client: {name:?} (known: {})", known.join(", "))
        })
    }
}

/// What today's reader makes of a call that it recorded, from the usage object that it kept under the client's name; `None` where nothing
/// is counted in that. Everything else stood beside the object, and stays.
pub(crate) fn again(client: Client, usage: &Usage, said: &Said) -> Option<Usage> {
    let kept = Json::parse(said.text())?.at(&["usage"])?;
    let tokens = client.tokens(kept, usage.model.as_deref()).filter(|_| usage.sources.has(Source::Log))?;
    Some(Usage { tokens, ..usage.clone() })
}

/// The reader of one file, with the state that it carries from line to line and, in the file's cursor, from import to import.
///
/// A line is a line of a file, a whole document, or a row of a table: whatever the client writes at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reader {
    ClaudeCode(claude_code::Reader),
    Codex(codex::Reader),
    CopilotCli(copilot::Reader),
    Droid(droid::Reader),
    Cline(cline::Reader),
    /// Of a client whose rows need no more than what the rows before them said.
    Rows {
        client: Client,
        setting: Setting,
    },
}

impl Reader {
    pub(super) const fn client(&self) -> Client {
        match self {
            Reader::ClaudeCode(_) => Client::ClaudeCode,
            Reader::Codex(_) => Client::Codex,
            Reader::CopilotCli(_) => Client::CopilotCli,
            Reader::Droid(_) => Client::Droid,
            Reader::Cline(_) => Client::Cline,
            Reader::Rows { client, setting: _ } => *client,
        }
    }

    /// Whether what was seen in a document before is needed to read it again: its counts only ever grow, until they begin anew.
    pub(super) const fn outlives_its_document(&self) -> bool {
        match self {
            Reader::Droid(_) | Reader::Cline(_) => true,
            Reader::ClaudeCode(_) | Reader::Codex(_) | Reader::CopilotCli(_) | Reader::Rows { .. } => false,
        }
    }

    /// The session that the file is of, and the one that it was copied from.
    pub(super) fn parent(&self) -> Option<(&str, &str)> {
        match self {
            Reader::Codex(reader) => reader.parent(),
            Reader::ClaudeCode(_) | Reader::CopilotCli(_) | Reader::Droid(_) | Reader::Cline(_) | Reader::Rows { .. } => None,
        }
    }

    /// The sessions that this file tells of call by call, and from when on, so that a poorer file of theirs is to be passed over.
    pub(super) fn covers(&self) -> &BTreeMap<String, Timestamp> {
        match self {
            Reader::CopilotCli(reader) => reader.covers(),
            Reader::Rows { client: _, setting } => &setting.covers,
            Reader::ClaudeCode(_) | Reader::Codex(_) | Reader::Droid(_) | Reader::Cline(_) => &COVERS_NOTHING,
        }
    }

    /// What a line must have one of to be read; every line is where there are none.
    pub(super) fn needles(&self) -> &'static [Finder<'static>] {
        match self {
            Reader::ClaudeCode(reader) => reader.needles(),
            Reader::Codex(_) => codex::needles(),
            Reader::CopilotCli(_) | Reader::Droid(_) | Reader::Cline(_) | Reader::Rows { .. } => &[],
        }
    }

    pub(super) fn line(&mut self, line: Line<'_>, around: &mut Around<'_>, found: &mut Vec<Sighting>) {
        match self {
            Reader::ClaudeCode(reader) => {
                if let Some(understood) = reader.line(line, around.projects, found) {
                    around.seen.note(understood);
                }
            }
            Reader::Codex(reader) => reader.line(line, around, found),
            Reader::CopilotCli(reader) => reader.line(line, around, found),
            Reader::Droid(reader) => reader.line(line, around, found),
            Reader::Cline(reader) => reader.line(line, around, found),
            Reader::Rows { client, setting } => match client {
                Client::GeminiCli => gemini::line(setting, line, around, found),
                Client::OpenCode | Client::Kilo => opencode::line(*client, line, around, found),
                Client::Pi => pi::line(setting, line, around, found),
                Client::Qwen => qwen::line(setting, line, around, found),
                Client::Amp => amp::line(line, around, found),
                Client::Kimi => kimi::line(setting, line, around, found),
                Client::Crush => crush::line(line, around, found),
                Client::Goose => goose::line(line, around, found),
                Client::Zed => zed::line(line, around, found),
                Client::Grok => grok::line(setting, line, around, found),
                Client::Aider => aider::line(line, around, found),
                Client::Cursor => cursor_csv::line(line, around, found),
                Client::ClaudeCode | Client::Codex | Client::CopilotCli | Client::Droid | Client::Cline => {}
            },
        }
    }
}
