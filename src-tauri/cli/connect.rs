//! `tollbar connect`

use super::{print, print_json, table};
use crate::{
    config::{Config, Home},
    connect::{self, Client, Stand, address::Directory, check::Finding},
    service,
};
use clap::Args;
use events::query::Fault;
use std::{env, fmt::Write as _, path::PathBuf};

#[derive(Debug, Args)]
pub(super) struct Connect {
    /// claude-code, codex, gemini, opencode, aider or copilot; sdk for programs of your own
    client: Option<String>,
    /// Put the setting into the client's own file
    #[arg(long, requires = "client", conflicts_with = "undo")]
    write: bool,
    /// Replace the address of another gateway
    #[arg(long, requires = "write")]
    force: bool,
    /// Take away what --write put there
    #[arg(long, requires = "client")]
    undo: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Connect {
    pub(super) fn run(self) -> Result<(), Fault> {
        let home = Home::find()?;
        let config = Config::read(&home)?;
        let root = connect::root(connect::proxy_address(&home, &config), None);
        let Some(name) = self.client.as_deref() else { return list(&root, &home, &config, self.json) };
        let client = Client::ALL.into_iter().find(|client| client.name() == name);
        let here = Here { home: &home, config: &config, root: &root, json: self.json };
        match client {
            None if ["sdk", "python", "node"].contains(&name) && !self.write && !self.undo => sdk(&root, self.json),
            None if ["sdk", "python", "node"].contains(&name) => Err(has_no_file(name)),
            None => {
                let names: Vec<_> = Client::ALL.iter().map(|client| client.name()).collect();
                Err(Fault::refused(format!("no client is called {name:?}"), format!("name one of {}, or sdk", names.join(", "))))
            }
            Some(Client::Copilot) if self.write || self.undo => Err(has_no_file(name)),
            Some(client) if self.write => here.write(client, self.force),
            Some(client) if self.undo => here.undo(client),
            Some(client) => here.show(client),
        }
    }
}

fn has_no_file(name: &str) -> Fault {
    Fault::refused(
        format!("{name} reads no address from a settings file"),
        format!("`tollbar connect {name}` shows what to set in a shell"),
    )
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// How every client stands.
fn list(root: &str, home: &Home, config: &Config, json: bool) -> Result<(), Fault> {
    let connect::Survey { standings, findings } = connect::survey(home, config, &variable);
    if json {
        let findings: Vec<_> = findings.iter().map(|it| serde_json::json!({ "what": it.what, "way_out": it.way_out })).collect();
        return print_json(&serde_json::json!({ "proxy": root, "clients": standings, "findings": findings }));
    }
    let mut text = format!("proxy        {root}\n");
    for standing in &standings {
        let stand = match &standing.stand {
            Stand::Unset if standing.present => "not connected".to_owned(),
            Stand::Unset => "not found on this machine".to_owned(),
            Stand::Ours => "connected".to_owned(),
            Stand::Other(to) => format!("leads to {to}"),
            Stand::Unclear(cause) => format!("cannot be read: {cause}"),
        };
        let _ = writeln!(text, "{:<12} {stand}  ({})", standing.client, standing.file.display());
    }
    text += "sdk          by variables: `tollbar run -- COMMAND`, or `tollbar connect sdk`\n";
    text += &noted(&findings);
    print(&text)
}

fn noted(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |mut text, finding| {
        let _ = writeln!(text, "{}\n             {}", table::warned(&format!("note         {}", finding.what), true), finding.way_out);
        text
    })
}

/// What a program of the user's needs.
fn sdk(root: &str, json: bool) -> Result<(), Fault> {
    let lines = connect::exports(root);
    if json {
        return print_json(&serde_json::json!({ "proxy": root, "shell": lines }));
    }
    let text = format!(
        "{}\n\nOr for one command only: tollbar run -- COMMAND\nIn code: openai base_url={root}/openai/v1, anthropic base_url={root}/anthropic,\n\
         google-genai http_options.base_url={root}/gemini\n\
         In code only, since they read no variable: mistralai server_url={root}/mistral,\n\
         AI SDK createGoogleGenerativeAI({{ baseURL: \"{root}/gemini/v1beta\" }}), createMistral({{ baseURL: \"{root}/mistral/v1\" }})\n\
         A project: {root}/p/<project>/openai/v1, or the header x-tollbar-project.\n",
        lines.join("\n")
    );
    print(&text)
}

/// What the commands for one client have in common.
struct Here<'a> {
    home: &'a Home,
    config: &'a Config,
    root: &'a str,
    json: bool,
}

impl Here<'_> {
    fn with_directory<A>(&self, use_it: impl FnOnce(&Directory<'_>) -> A) -> A {
        let is_taken = |address| connect::is_taken(address, self.home);
        let proxy = connect::proxy_address(self.home, self.config);
        use_it(&Directory { proxy, upstreams: &self.config.upstreams, is_taken: &is_taken })
    }

    fn show(&self, client: Client) -> Result<(), Fault> {
        let (file, settings, lines) = (client.file(&variable), client.settings(self.root, &variable), client.exports(self.root));
        let detours = self.with_directory(|directory| client.detours(directory, &variable));
        if self.json {
            return print_json(&serde_json::json!({
                "client": client.name(), "file": file, "settings": settings, "shell": lines,
                "side_effects": client.side_effects(), "detours": detours,
            }));
        }
        let mut text = String::new();
        let mut last = None;
        for setting in &settings {
            if last != Some(&setting.file) {
                let _ = writeln!(text, "in {}", setting.file.display());
                last = Some(&setting.file);
            }
            let _ = writeln!(text, "  {} = {}", setting.path.join("."), setting.value);
        }
        for line in &lines {
            let _ = writeln!(text, "{line}");
        }
        text += &told(client, &detours);
        text += &if settings.is_empty() {
            format!("for one command only: `tollbar run -- {}`\n", client.name())
        } else {
            format!("write it with `tollbar connect {0} --write`, take it away with `tollbar connect {0} --undo`\n", client.name())
        };
        print(&text)
    }

    fn write(&self, client: Client, force: bool) -> Result<(), Fault> {
        let done = self.with_directory(|directory| connect::write(client, self.root, directory, self.home, &variable, force))?;
        let detours = self.with_directory(|directory| client.detours(directory, &variable));
        let findings = connect::survey(self.home, self.config, &variable).findings;
        let kept = service::is_installed(&variable);
        let file = done.files.first().cloned().unwrap_or_else(|| client.file(&variable));
        if self.json {
            let findings: Vec<_> = findings.iter().map(|it| serde_json::json!({ "what": it.what, "way_out": it.way_out })).collect();
            return print_json(&serde_json::json!({
                "client": client.name(), "file": file, "files": done.files, "removed_copies": done.removed_copies,
                "service": kept, "detours": detours, "findings": findings,
            }));
        }
        let mut text = format!("{} now calls {} (in {})\n", client.name(), self.root, shown(&done.files));
        text += &removed(&done.removed_copies);
        text += &told(client, &detours);
        if !kept {
            text += "it hangs while no engine runs: let the system keep one running with `tollbar service install`\n";
        }
        text += &noted(&findings);
        print(&text)
    }

    fn undo(&self, client: Client) -> Result<(), Fault> {
        let done = connect::undo(client, self.home, &variable)?;
        if done == connect::Done::default() {
            let said = format!("nothing was written for {}", client.name());
            return Err(Fault::refused(said, "what you set by hand is yours to take away"));
        }
        if self.json {
            let file = done.files.first();
            return print_json(&serde_json::json!({
                "client": client.name(), "file": file, "files": done.files, "removed_copies": done.removed_copies,
            }));
        }
        let mut text = String::new();
        if !done.files.is_empty() {
            let _ = writeln!(text, "{} calls its provider again (in {})", client.name(), shown(&done.files));
        }
        print(&(text + &removed(&done.removed_copies)))
    }
}

fn shown(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn removed(copies: &[PathBuf]) -> String {
    copies.iter().fold(String::new(), |mut text, copy| {
        let _ = writeln!(text, "removed {}, a copy of the settings that an earlier version made", copy.display());
        text
    })
}

/// What changes for the user of a client, and what sends its calls elsewhere.
fn told(client: Client, detours: &[String]) -> String {
    let mut text = String::new();
    for detour in detours {
        let _ = writeln!(text, "{}", table::warned(&format!("not metered: {detour}"), true));
    }
    text += "what else changes\n";
    for effect in client.side_effects() {
        let _ = writeln!(text, "  - {effect}");
    }
    text
}
