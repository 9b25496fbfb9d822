//! What was written into clients' files, kept so that exactly that can be taken away again.
//!
//! A settings file may hold keys, so no copy of it is kept: a hash of the text that was left behind, and each place that was changed.

use super::{
    address::{Directory, Lead, shown},
    edit::{Edited, Form, Splice},
    files,
    settings::{Client, Setting, names},
};
use crate::config::Home;
use events::query::{Fault, FaultCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Stood behind the name of a file for the copy that earlier versions made of it.
const COPY: &str = "before-tollbar";

/// What was done to the files of a client.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The files that were changed, the client's settings file first.
    pub files: Vec<PathBuf>,
    /// The copies of earlier versions that were removed.
    pub removed_copies: Vec<PathBuf>,
}

/// The record of a client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Record {
    Now {
        files: Vec<WrittenFile>,
    },
    /// As it was kept until November 2026.
    Before {
        file: PathBuf,
        made: bool,
        text: String,
        settings: Vec<WrittenSetting>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenFile {
    file: PathBuf,
    form: Form,
    /// Whether the file was made for it, and which folders.
    made: bool,
    folders: Vec<PathBuf>,
    /// Of the whole text, to know whether anybody changed it since.
    sha256: String,
    settings: Vec<WrittenSetting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenSetting {
    path: Vec<String>,
    value: String,
    old: Option<String>,
    had: usize,
    #[serde(default)]
    splice: Option<Splice>,
}

/// Points a client at the proxy for good. An address of another gateway is replaced only if `force` says so.
pub fn write(
    client: Client,
    root: &str,
    directory: &Directory<'_>,
    home: &Home,
    env: &dyn Fn(&str) -> Option<String>,
    force: bool,
) -> Result<Done, Fault> {
    // What an earlier call wrote goes first: what stood there before us is what shall stand there after us.
    let mut done = Done { removed_copies: undo(client, home, env)?.removed_copies, ..Done::default() };
    let wanted = |setting: &Setting, text: &str| wanted(client, setting, text, root, directory, force);
    done.files = write_settings(client, client.settings(root, env), home, &wanted)?;
    Ok(done)
}

/// Sets only what has to stand beside a client's base address, and what its user has not chosen; the files.
pub fn write_companions(client: Client, home: &Home, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<PathBuf>, Fault> {
    let path = record_path(client, home);
    if path.exists() {
        let cause = format!("it was taken out of the settings since `tollbar connect {} --write`", client.name());
        return Err(Fault::refused(cause, format!("write it again with `tollbar connect {} --write`", client.name())));
    }
    let companions = client.settings("", env).into_iter().filter(|setting| setting.usual.is_none()).collect();
    let unset = |setting: &Setting, text: &str| {
        let there = setting.form.get(text, &names(&setting.path)).ok().flatten();
        Ok(there.is_none().then(|| setting.value.clone()))
    };
    write_settings(client, companions, home, &unset)
}

/// The value that a setting gets in a text; `None` where the user's own stays.
type Wanted<'a> = &'a dyn Fn(&Setting, &str) -> Result<Option<String>, Fault>;

/// Writes settings into their files, and the record of it.
fn write_settings(client: Client, settings: Vec<Setting>, home: &Home, wanted: Wanted<'_>) -> Result<Vec<PathBuf>, Fault> {
    let mut written: Vec<WrittenFile> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for setting in settings {
        let file = files::target(&setting.file).map_err(|error| cannot("follow", &setting.file, &error))?;
        if written.last().is_none_or(|last| last.file != file) {
            let text = files::read(&file).map_err(|error| cannot("read", &file, &error))?;
            let folders = files::missing_folders(&file);
            written.push(WrittenFile {
                made: text.is_none(),
                form: setting.form,
                folders,
                sha256: String::new(),
                settings: Vec::new(),
                file,
            });
            texts.push(text.unwrap_or_default());
        }
        let (Some(last), Some(text)) = (written.last_mut(), texts.last_mut()) else { continue };
        let Some(value) = wanted(&setting, text)? else { continue };
        let unclear = |cause| {
            let cause = format!("cannot change {}: {cause}", last.file.display());
            Fault::refused(cause, format!("put it in by hand: `tollbar connect {}` shows what", client.name()))
        };
        let Edited { text: new, old, had } = setting.form.set(text, &names(&setting.path), &value).map_err(unclear)?;
        let splice = Some(Splice::between(text, &new));
        last.settings.push(WrittenSetting { path: setting.path, value, old, had, splice });
        last.sha256 = hash(&new);
        *text = new;
    }
    let changed = |file: &WrittenFile| !file.settings.is_empty();
    let texts: Vec<String> = written.iter().zip(texts).filter(|(file, _)| changed(file)).map(|(_, text)| text).collect();
    written.retain(changed);
    let changed: Vec<PathBuf> = written.iter().map(|written| written.file.clone()).collect();
    let record = serde_json::to_string(&Record::Now { files: written }).expect("texts and numbers are JSON");
    // Noted before it is done: what is noted and was not done is undone without effect.
    files::put(&record_path(client, home), &record).map_err(|error| cannot("write", &record_path(client, home), &error))?;
    for (file, text) in changed.iter().zip(&texts) {
        files::put(file, text).map_err(|error| cannot("write", file, &error))?;
    }
    Ok(changed)
}

/// The value that a setting gets; `None` where the user's own stays.
fn wanted(
    client: Client,
    setting: &Setting,
    text: &str,
    root: &str,
    directory: &Directory<'_>,
    force: bool,
) -> Result<Option<String>, Fault> {
    let there = setting.form.get(text, &names(&setting.path)).ok().flatten().filter(|value| !value.trim().is_empty());
    let Some(usual) = &setting.usual else { return Ok(there.is_none().then(|| setting.value.clone())) };
    let lead = there.as_deref().map(|value| directory.lead(value, usual));
    match (lead, there) {
        (None, _) | (Some(Lead::Proxy(_)), _) => Ok(Some(setting.value.clone())),
        (Some(Lead::Upstream(path)), _) if path == *usual => Ok(Some(setting.value.clone())),
        // The proxy knows the way to where it led.
        (Some(Lead::Upstream(path)), _) if force => Ok(Some(format!("{root}{path}"))),
        (Some(Lead::Elsewhere), _) if force => Ok(Some(setting.value.clone())),
        (Some(_), there) => {
            let (name, to) = (client.name(), shown(&there.unwrap_or_default()));
            Err(Fault::refused(
                format!("{name} calls another gateway: {} is {to} (in {})", setting.path.join("."), setting.file.display()),
                format!("`tollbar connect {name} --write --force` replaces it, and --undo brings it back"),
            ))
        }
    }
}

/// Takes away what `write` put in. What the user changed since stays. No file is named if nothing was written.
pub fn undo(client: Client, home: &Home, env: &dyn Fn(&str) -> Option<String>) -> Result<Done, Fault> {
    let path = record_path(client, home);
    let mut done = Done::default();
    let noted = files::read(&path).map_err(|error| cannot("read", &path, &error))?;
    let record = noted.map(|noted| serde_json::from_str::<Record>(&noted)).transpose().map_err(|error| {
        let cause = format!("{} makes no sense: {error}", path.display());
        Fault::new(FaultCode::Storage, cause, "take the setting out by hand, and remove that file")
    })?;
    let written = match record {
        None => Vec::new(),
        Some(Record::Now { files }) => files,
        Some(Record::Before { file, made, text, settings }) => {
            let form = client.settings("", env).first().map_or(Form::Json, |setting| setting.form);
            vec![WrittenFile { file, form, made, folders: Vec::new(), sha256: hash(&text), settings }]
        }
    };
    let is_noted = !written.is_empty();
    for written in written {
        take_back(&written)?;
        done.files.push(written.file);
    }
    done.removed_copies = copies(client, env, &done.files);
    for copy in &done.removed_copies {
        fs::remove_file(copy).map_err(|error| cannot("remove", copy, &error))?;
    }
    if is_noted {
        fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
    }
    Ok(done)
}

/// The copies that earlier versions made of a client's files, keys and all, and that are still there.
pub(super) fn copies(client: Client, env: &dyn Fn(&str) -> Option<String>, also: &[PathBuf]) -> Vec<PathBuf> {
    let usual = client.settings("", env).into_iter().map(|setting| files::target(&setting.file).unwrap_or(setting.file));
    let copy = |file: PathBuf| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{COPY}"));
        file.with_file_name(name)
    };
    let mut copies: Vec<PathBuf> = usual.chain(also.iter().cloned()).map(copy).filter(|copy| copy.is_file()).collect();
    copies.sort();
    copies.dedup();
    copies
}

fn take_back(written: &WrittenFile) -> Result<(), Fault> {
    let WrittenFile { file, form, made, folders, sha256, settings } = written;
    let Some(now) = files::read(file).map_err(|error| cannot("read", file, &error))? else { return Ok(()) };
    let is_untouched = hash(&now) == *sha256;
    if is_untouched && *made {
        fs::remove_file(file).map_err(|error| cannot("remove", file, &error))?;
        // A folder that holds something else by now stays.
        folders.iter().rev().for_each(|folder| drop(fs::remove_dir(folder)));
        return Ok(());
    }
    let spliced = || {
        let undone = |text: String, setting: &WrittenSetting| setting.splice.as_ref()?.undone(&text);
        settings.iter().rev().try_fold(now.clone(), undone)
    };
    let text = match is_untouched.then(spliced).flatten() {
        Some(text) => text,
        None => by_name(&now, *form, settings)
            .map_err(|cause| Fault::refused(format!("cannot change {}: {cause}", file.display()), "take the setting out by hand"))?,
    };
    if text == now { Ok(()) } else { files::put(file, &text).map_err(|error| cannot("write", file, &error)) }
}

/// A text without the settings, wherever they stand by now.
fn by_name(now: &str, form: Form, settings: &[WrittenSetting]) -> Result<String, String> {
    let mut text = now.to_owned();
    for WrittenSetting { path, value, old, had, .. } in settings.iter().rev() {
        let path = names(path);
        // Who set it otherwise since has taken it over.
        if form.get(&text, &path)?.as_ref() == Some(value) {
            text = form.unset(&text, &path, old.as_deref(), *had)?;
        }
    }
    Ok(text)
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record_path(client: Client, home: &Home) -> PathBuf {
    // Not among what may be lost: without it nothing could be undone.
    home.data.join(format!("connected-{}.json", client.name()))
}

fn cannot(what: &str, file: &Path, error: &io::Error) -> Fault {
    Fault::new(FaultCode::Storage, format!("cannot {what} {}: {error}", file.display()), "check that the file and its folder belong to you")
}
