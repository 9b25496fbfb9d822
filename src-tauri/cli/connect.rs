//! `tollbar connect`

use super::{print, print_json, table};
use crate::{
    config::{Config, Home},
    connect::{self, Client, Stand, check},
    service,
};
use clap::Args;
use events::query::Fault;
use std::{env, fmt::Write as _};

#[derive(Debug, Args)]
pub(super) struct Connect {
    /// claude-code, codex, gemini, opencode or aider; sdk for programs of your own
    client: Option<String>,
    /// Put the setting into the client's own file, beside what stands there
    #[arg(long, requires = "client", conflicts_with = "undo")]
    write: bool,
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
        let root = connect::root(connect::proxy_address(&home, &Config::read(&home)?), None);
        let Some(name) = self.client.as_deref() else { return list(&root, self.json) };
        let client = Client::ALL.into_iter().find(|client| client.name() == name);
        match client {
            None if ["sdk", "python", "node"].contains(&name) && !self.write && !self.undo => sdk(&root, self.json),
            None if ["sdk", "python", "node"].contains(&name) => Err(Fault::refused(
                format!("{name} has no settings file"),
                format!("`tollbar connect {name}` shows what to set in a shell"),
            )),
            None => {
                let names: Vec<_> = Client::ALL.iter().map(|client| client.name()).collect();
                Err(Fault::refused(format!("no client is called {name:?}"), format!("name one of {}, or sdk", names.join(", "))))
            }
            Some(client) if self.write => write(client, &root, &home, self.json),
            Some(client) if self.undo => undo(client, &home, self.json),
            Some(client) => show(client, &root, self.json),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// How every client stands.
fn list(root: &str, json: bool) -> Result<(), Fault> {
    let (standings, pointings) = connect::stands(root, &variable);
    let found = check::dead_ports(&pointings, &|address| connect::answers(address));
    if json {
        let findings: Vec<_> = found.iter().map(|it| serde_json::json!({ "what": it.what, "way_out": it.way_out })).collect();
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
    for finding in found {
        let _ = writeln!(text, "{}\n             {}", table::warned(&format!("note         {}", finding.what), true), finding.way_out);
    }
    print(&text)
}

/// What a program of the user's needs.
fn sdk(root: &str, json: bool) -> Result<(), Fault> {
    let lines = connect::exports(root);
    if json {
        return print_json(&serde_json::json!({ "proxy": root, "shell": lines }));
    }
    let text = format!(
        "{}\n\nOr for one command only: tollbar run -- COMMAND\nIn code: openai base_url={root}/openai/v1, anthropic base_url={root}/anthropic,\n\
         google-genai http_options.base_url={root}/gemini, mistralai server_url={root}/mistral\n\
         A project: {root}/p/<project>/openai/v1, or the header x-tollbar-project.\n",
        lines.join("\n")
    );
    print(&text)
}

fn show(client: Client, root: &str, json: bool) -> Result<(), Fault> {
    let (file, settings) = (client.file(&variable), client.settings(root));
    if json {
        let settings: Vec<_> = settings.iter().map(|it| serde_json::json!({ "path": it.path, "value": it.value })).collect();
        return print_json(&serde_json::json!({
            "client": client.name(), "file": file, "settings": settings, "side_effects": client.side_effects(),
        }));
    }
    let mut text = format!("in {}\n", file.display());
    for setting in settings {
        let _ = writeln!(text, "  {} = {}", setting.path.join("."), setting.value);
    }
    text += "what else changes\n";
    for effect in client.side_effects() {
        let _ = writeln!(text, "  - {effect}");
    }
    let _ = writeln!(text, "write it with `tollbar connect {0} --write`, take it away with `tollbar connect {0} --undo`", client.name());
    print(&text)
}

fn write(client: Client, root: &str, home: &Home, json: bool) -> Result<(), Fault> {
    let (file, backup) = connect::write(client, root, home, &variable)?;
    let kept = service::is_installed(&variable);
    if json {
        return print_json(&serde_json::json!({ "client": client.name(), "file": file, "backup": backup, "service": kept }));
    }
    let mut text = format!("{} now calls {root} (in {})\n", client.name(), file.display());
    if let Some(backup) = backup {
        let _ = writeln!(text, "what the file was: {}", backup.display());
    }
    for effect in client.side_effects() {
        let _ = writeln!(text, "  - {effect}");
    }
    if !kept {
        text += "it hangs while no engine runs: let the system keep one running with `tollbar service install`\n";
    }
    print(&text)
}

fn undo(client: Client, home: &Home, json: bool) -> Result<(), Fault> {
    let Some(file) = connect::undo(client, home)? else {
        let said = format!("nothing was written for {}", client.name());
        return Err(Fault::refused(said, "what you set by hand is yours to take away"));
    };
    if json {
        return print_json(&serde_json::json!({ "client": client.name(), "file": file }));
    }
    print(&format!("{} calls its provider again (in {})\n", client.name(), file.display()))
}
