//! What is found on this machine, what could be lost, and what to do about it.
//!
//! Reads clients' logs as an import does, but hands nothing to the ledger: it only asks what the ledger lacks.

use crate::{
    attribution::Projects,
    connect::check,
    engine::{Ledger, unreadable},
    logs::{self, Client, Cursors, codex::threads::threads},
    regular::read_text_bounded,
    service,
};
use events::query::{EngineFacts, Fault, Missing, Sought};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

/// After how many days Claude Code deletes its history where its settings say nothing (log-formats, Claude Code, "Retention").
const CLAUDE_CODE_DAYS: u64 = 30;
/// The largest settings file that is read.
const SETTINGS_BYTES_MAX: u64 = 4 << 20;
/// How many files that cannot be read are told of one by one.
const UNREADABLE_TOLD_MAX: usize = 20;

/// The history of a client on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct History {
    /// The client.
    pub client: String,
    /// Where it lies.
    pub roots: Vec<PathBuf>,
    /// Its files.
    pub files: usize,
    /// The calls in it that the ledger does not have, or not whole.
    pub calls_missing: u64,
    /// What of it cannot be read, and why.
    pub unreadable: Vec<Unreadable>,
    /// After how many days the client deletes it; `null` where it does not, as far as is known.
    pub deleted_after_days: Option<u64>,
    /// The same in words.
    pub deletes: String,
    /// Whether every call of it is in the ledger.
    pub safe_to_delete: bool,
}

/// A file or folder that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether something is to be done.
    pub level: Level,
    /// One line.
    pub what: String,
    /// One line; empty where there is nothing to do.
    pub way_out: String,
}

/// Whether something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Calls are lost, or hang, until it is done.
    Todo,
    /// Good to know.
    Note,
}

/// What the findings are made of.
pub struct Patient<'a> {
    /// The engine, if it runs.
    pub engine: Option<&'a EngineFacts>,
    /// What the log mended when it was opened.
    pub mended: &'a [String],
    /// How its service stands.
    pub service: &'a service::Standing,
    /// What clients keep here.
    pub clients: &'a [History],
    /// What is wrong with where clients are pointed.
    pub pointing: Vec<check::Finding>,
}

/// The history of a client, held against the ledger; `None` where it has none here. Read from its beginning: somebody may delete it then.
pub fn history(client: Client, ledger: &Ledger, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<History>, Fault> {
    let roots: Vec<PathBuf> = logs::usual_roots(client, env).into_iter().filter(|root| root.exists()).collect();
    let mut cursors = Cursors::default();
    let mut calls_missing = 0;
    let mut sink = |sightings: Vec<events::Sighting>| -> Result<(), Fault> {
        let sought: Vec<Sought> = sightings.iter().filter_map(|sighting| Sought::of(&sighting.usage)).collect();
        for calls in sought.chunks(events::log::BATCH_FACTS_MAX) {
            calls_missing += ledger.ask(Missing { calls: calls.to_vec() })?.missing;
        }
        Ok(())
    };
    let mut projects = Projects::new(std::env::home_dir());
    let report = logs::import(client, &roots, &mut cursors, &mut projects, &mut sink, &mut |_| {})?;
    let mut skipped = report.skipped;
    if client == Client::Codex {
        skipped.extend(threads(&roots, cursors.stop()).skipped);
    }
    if report.files == 0 && skipped.is_empty() {
        return Ok(None);
    }
    let (deleted_after_days, deletes) = retention(client, &roots);
    Ok(Some(History {
        client: client.name().to_owned(),
        roots,
        files: report.files,
        calls_missing,
        safe_to_delete: calls_missing == 0 && skipped.is_empty(),
        unreadable: skipped.into_iter().map(|(path, reason)| Unreadable { path, reason }).collect(),
        deleted_after_days,
        deletes,
    }))
}

/// When a client deletes its own history, in days and in words.
fn retention(client: Client, roots: &[PathBuf]) -> (Option<u64>, String) {
    match client {
        Client::ClaudeCode => {
            let days = roots.iter().filter_map(|root| cleanup_period_days(&root.join("settings.json"))).min();
            let whose = if days.is_some() { "cleanupPeriodDays in its settings" } else { "its default" };
            let days = days.unwrap_or(CLAUDE_CODE_DAYS);
            (Some(days), format!("after {days} days ({whose})"))
        }
        // log-formats, Codex, "zstd" and "Migration deletes data".
        Client::Codex => (None, "never, but packs after 7 days, and a new version may replace old sessions".to_owned()),
        // log-formats, Amp.
        Client::Amp => (None, "never, but new versions keep threads on the server".to_owned()),
        Client::GeminiCli
        | Client::OpenCode
        | Client::Kilo
        | Client::CopilotCli
        | Client::Droid
        | Client::Pi
        | Client::Qwen
        | Client::Kimi
        | Client::Cline
        | Client::Crush
        | Client::Goose
        | Client::Zed
        | Client::Grok
        | Client::Aider
        | Client::Cursor => (None, "not as far as is known".to_owned()),
    }
}

fn cleanup_period_days(settings: &Path) -> Option<u64> {
    let text = read_text_bounded(settings, SETTINGS_BYTES_MAX).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.get("cleanupPeriodDays")?.as_u64()
}

/// What there is to do first, then what is good to know.
pub fn findings(patient: &Patient<'_>) -> Vec<Finding> {
    let todo = |what: String, way_out: &str| Finding { level: Level::Todo, what, way_out: way_out.to_owned() };
    let note = |what: String, way_out: &str| Finding { level: Level::Note, what, way_out: way_out.to_owned() };
    let mut findings = Vec::new();
    let said = |found: &check::Finding| if found.is_urgent { todo } else { note }(found.what.clone(), &found.way_out);
    findings.extend(patient.pointing.iter().map(said));
    for history in patient.clients {
        findings.extend(findings_of(history));
    }
    // A file that two clients' places have in common is one.
    let mut told = HashSet::new();
    findings.retain(|finding: &Finding| told.insert(finding.what.clone()));
    if let Some(proxy) = patient.engine.and_then(|engine| engine.proxy.as_ref()).filter(|proxy| proxy.unobserved > 0) {
        let what = format!("{} calls passed the proxy but could not be recorded since it started", proxy.unobserved);
        findings.push(todo(what, "see `tollbar status`; make room on the disk and for the processor, then restart the engine"));
    }
    // What an engine cannot read stands in its warnings too, and above as it was read just now.
    let sources: Vec<String> =
        patient.clients.iter().flat_map(|history| &history.unreadable).map(|source| unreadable(&source.path, "")).collect();
    let is_told = |warning: &&String| sources.iter().any(|source| warning.starts_with(source.as_str()));
    let warnings = patient.engine.map_or(patient.mended, |engine| &engine.warnings);
    findings.extend(warnings.iter().filter(|warning| !is_told(warning)).map(|warning| note(warning.clone(), "see `tollbar status`")));
    match (patient.engine, patient.service) {
        (None, service::Standing { installed: true, .. }) => {
            findings.push(todo(
                "the engine is installed as a service, and does not run".to_owned(),
                "start it again with `tollbar service install`",
            ));
        }
        (None, service::Standing { installed: false, .. }) => findings.push(note(
            "the engine does not run: nothing passes the proxy, and logs are read only when you import them".to_owned(),
            "start it with `tollbar serve`, or let the system keep it running with `tollbar service install`",
        )),
        (Some(_), service::Standing { installed: false, .. }) => findings.push(note(
            "the engine runs, but not as a service: it will not be there after the next login".to_owned(),
            "`tollbar service install` lets the system keep it running",
        )),
        (Some(_), service::Standing { installed: true, .. }) => {}
    }
    findings.sort_by_key(|finding| finding.level == Level::Note);
    findings
}

fn findings_of(history: &History) -> Vec<Finding> {
    let History { client, calls_missing, unreadable: sources, deleted_after_days, safe_to_delete, .. } = history;
    let mut findings = Vec::new();
    if *calls_missing > 0 {
        let gone = deleted_after_days.map_or(String::new(), |days| format!("; {client} deletes them after {days} days"));
        findings.push(Finding {
            level: Level::Todo,
            what: format!("{calls_missing} calls in the history of {client} are not in the ledger{gone}"),
            way_out: format!("`tollbar import --client {client}` reads them"),
        });
    }
    for Unreadable { path, reason } in sources.iter().take(UNREADABLE_TOLD_MAX) {
        findings.push(Finding {
            level: Level::Todo,
            what: unreadable(path, reason),
            way_out: "make it readable, or remove it if you do not need what is in it; it costs the other files nothing".to_owned(),
        });
    }
    if let Some(more) = sources.len().checked_sub(UNREADABLE_TOLD_MAX).filter(|more| *more > 0) {
        findings.push(Finding {
            level: Level::Todo,
            what: format!("{more} more files of {client} cannot be read"),
            way_out: "`tollbar doctor --json` tells all of them".to_owned(),
        });
    }
    if let (Some(days), true) = (deleted_after_days, safe_to_delete) {
        findings.push(Finding {
            level: Level::Note,
            what: format!("{client} deletes its history after {days} days; the ledger has all of it, and keeps it"),
            way_out: String::new(),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient<'a>(engine: Option<&'a EngineFacts>, service: &'a service::Standing, clients: &'a [History]) -> Patient<'a> {
        Patient { engine, mended: &[], service, clients, pointing: Vec::new() }
    }

    fn service(installed: bool) -> service::Standing {
        service::Standing { file: PathBuf::new(), installed, active: None }
    }

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn what_is_only_good_to_know_needs_nothing_to_be_done() {
        let claude =
            History { client: "claude-code".into(), files: 3, safe_to_delete: true, deleted_after_days: Some(30), ..History::default() };
        let (engine, service_is, none_is) = (EngineFacts::default(), service(true), service(false));
        let found = findings(&patient(Some(&engine), &service_is, std::slice::from_ref(&claude)));
        assert_eq!(levels(&found), [Level::Note]);
        assert!(found[0].what.contains("after 30 days"));
        assert_eq!(levels(&findings(&patient(None, &none_is, &[]))), [Level::Note]);
        assert_eq!(findings(&patient(Some(&engine), &service_is, &[])), []);
    }

    #[test]
    fn what_would_be_lost_stands_first_with_its_way_out() {
        let unreadable = (0..30).map(|n| Unreadable { path: format!("/x{n}").into(), reason: "cannot read: denied".into() }).collect();
        let claude =
            History { client: "claude-code".into(), calls_missing: 7, unreadable, deleted_after_days: Some(30), ..History::default() };
        let service = service(true);
        let mut patient = patient(None, &service, std::slice::from_ref(&claude));
        patient.pointing = vec![check::Finding { what: "codex is pointed at nothing".into(), way_out: "undo".into(), is_urgent: true }];
        let found = findings(&patient);
        assert!(found.iter().all(|finding| finding.level == Level::Todo && !finding.way_out.is_empty()));
        assert_eq!(found.len(), 1 + 1 + UNREADABLE_TOLD_MAX + 1 + 1);
        assert!(found[1].what.contains("7 calls") && found[1].what.contains("30 days"));
    }

    #[test]
    fn a_source_that_the_engine_could_not_read_either_is_told_once() {
        let fault = |reason: &str| vec![Unreadable { path: "/x/a.jsonl".into(), reason: reason.into() }];
        let of = |client: &str| History { client: client.into(), unreadable: fault("2 lines longer than 64 MiB"), ..History::default() };
        let warnings = ["/x/a.jsonl: 1 lines longer than 64 MiB", "/x/b.jsonl: cannot read: gone since", "the disk is full"];
        let engine = EngineFacts { warnings: warnings.map(str::to_owned).to_vec(), ..EngineFacts::default() };
        let (service, clients) = (service(true), [of("cline"), of("pi")]);
        let found = findings(&patient(Some(&engine), &service, &clients));
        let what: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(what, ["/x/a.jsonl: 2 lines longer than 64 MiB", warnings[1], warnings[2]]);
    }

    #[test]
    fn claude_codes_own_setting_is_read() {
        let root = tempfile::tempdir().expect("a folder");
        let roots = [root.path().to_owned()];
        assert_eq!(retention(Client::ClaudeCode, &roots).0, Some(30));
        std::fs::write(root.path().join("settings.json"), r#"{"cleanupPeriodDays":365,"env":{}}"#).expect("written");
        assert_eq!(retention(Client::ClaudeCode, &roots), (Some(365), "after 365 days (cleanupPeriodDays in its settings)".to_owned()));
        std::fs::write(root.path().join("settings.json"), "not JSON").expect("written");
        assert_eq!(retention(Client::ClaudeCode, &roots).0, Some(30));
        assert_eq!(retention(Client::Codex, &roots).0, None);
    }
}
