//! The way to the log for everybody: the running owner if there is one, else the log itself.

use super::{
    ControlClient, Told, Writer,
    control::{foreign, silent},
    presence::engine_process,
    reading::Reading,
};
use crate::{
    clock,
    config::{Config, Home},
    diagnostics,
};
use events::{
    Command, Log, LogError, PriceBook, Projections, Sighting,
    log::{BATCH_FACTS_MAX, journals},
    query::{Fault, FaultCode, Query},
};
use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// How long to wait for an owner that holds the log but does not answer yet (or no longer).
const OWNER_WAIT: Duration = Duration::from_secs(4);
const OWNER_WAIT_STEP: Duration = Duration::from_millis(50);
/// A temporary file that is older is nobody's any more.
const LEFT_OVER_MICROS: i64 = 3_600_000_000;
/// How many letters a temporary file's name has behind `.tmp`.
const TEMPORARY_LETTERS: usize = 6;

/// The log, here or behind the control API of the process that holds it.
pub enum Ledger {
    /// Ours.
    Local(Writer),
    /// Another process's.
    Remote(ControlClient),
    /// One that can be neither asked nor opened, but perhaps read.
    Copied(Box<Copied>),
}

/// A log that cannot be opened, why, and what is read of it once a question is asked.
pub struct Copied {
    home: Home,
    config: Config,
    why: Fault,
    reading: Mutex<Option<Reading>>,
}

impl Copied {
    fn ask<Q: Query>(&self, query: &Q) -> Result<Q::Answer, Fault> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.is_none() {
            // Why the log cannot be opened says more than why it cannot be copied.
            *reading = Some(Reading::of(&self.home, &self.config).map_err(|_| self.why.clone())?);
            diagnostics::note(format_args!("warning: {}; this is read from a copy of the journal\nhint: {}", self.why, self.why.hint));
        }
        reading.as_ref().ok_or_else(|| self.why.clone())?.answer(query, None)
    }
}

impl Ledger {
    /// Knocks at the running owner; else takes the lock and opens the log here; else waits a moment. A log that can be neither asked nor
    /// opened is read from a copy, and takes no command.
    pub fn open(home: &Home, config: &Config) -> Result<Ledger, Fault> {
        let found = match find(home) {
            Err(why) if matches!(why.code, FaultCode::Unreachable | FaultCode::Storage) => {
                let (home, config) = (home.clone(), config.clone());
                return Ok(Ledger::Copied(Box::new(Copied { home, config, why, reading: Mutex::default() })));
            }
            found => found?,
        };
        Ok(match found {
            Found::Owner(client) => Ledger::Remote(client),
            Found::Log(log, projections) => {
                let writer = Writer::start(*log, *projections, config.zone, config.plans.clone());
                for refused in super::pricing::tell_configured(writer.handle(), config) {
                    diagnostics::note(format_args!("warning: {refused}"));
                }
                Ledger::Local(writer)
            }
        })
    }

    /// Why the log can be neither asked nor opened, if that is so.
    pub fn why_copied(&self) -> Option<&Fault> {
        match self {
            Ledger::Copied(copied) => Some(&copied.why),
            Ledger::Local(_) | Ledger::Remote(_) => None,
        }
    }

    /// Asks a question.
    pub fn ask<Q: Query>(&self, query: Q) -> Result<Q::Answer, Fault> {
        match self {
            Ledger::Local(writer) => writer.handle().ask(query),
            Ledger::Remote(client) => client.ask(&query),
            Ledger::Copied(copied) => copied.ask(&query),
        }
    }

    /// Tells a command.
    pub fn tell(&self, command: Command) -> Result<Told, Fault> {
        match self {
            Ledger::Local(writer) => writer.handle().tell(command),
            Ledger::Remote(client) => client.tell(&command),
            Ledger::Copied(copied) => Err(copied.why.clone()),
        }
    }

    /// Tells any number of sightings, in batches; returns what became of all.
    pub fn log_usage(&self, sightings: Vec<Sighting>) -> Result<Told, Fault> {
        let mut all = Told::default();
        let mut sightings = sightings.into_iter().peekable();
        while sightings.peek().is_some() {
            let batch = sightings.by_ref().take(BATCH_FACTS_MAX).collect();
            all = all.and(self.log_usage_at_once(batch)?);
        }
        Ok(all)
    }

    /// Tells one batch of sightings, or none, which tells how far the log goes.
    pub fn log_usage_at_once(&self, sightings: Vec<Sighting>) -> Result<Told, Fault> {
        self.tell(Command::LogUsage { sightings })
    }
}

/// Who has the log.
pub(super) enum Found {
    /// Another process, which answers.
    Owner(ControlClient),
    /// Now we do.
    Log(Box<Log>, Box<Projections>),
}

/// Knocks at the owner, else opens the log. A process that holds it without answering is given a moment: it is starting, ending, or a
/// command that is done soon.
pub(super) fn find(home: &Home) -> Result<Found, Fault> {
    let begun = Instant::now();
    loop {
        let refused = match ControlClient::knock(home) {
            Ok(Some(client)) => return Ok(Found::Owner(client)),
            Ok(None) => None,
            Err(fault) if matches!(fault.code, FaultCode::Unreachable | FaultCode::Storage) => return Err(fault),
            // A dead engine's port may have gone to the engine of another home. Whose log it is, the lock tells.
            Err(fault) => Some(fault),
        };
        match open_log(home) {
            Ok((log, projections)) => return Ok(Found::Log(Box::new(log), Box::new(projections))),
            Err(LogError::Held { .. }) if begun.elapsed() < OWNER_WAIT => thread::sleep(OWNER_WAIT_STEP),
            Err(error @ LogError::Held { .. }) => {
                // One without a notice cannot be asked: its state folder took none.
                let engine = || engine_process(home).map(silent);
                return Err(refused.or_else(engine).unwrap_or_else(|| storage_fault(&error)));
            }
            Err(error) => return Err(fault_of(home, &error)),
        }
    }
}

/// Opens the log of this machine and folds it.
pub(super) fn open_log(home: &Home) -> Result<(Log, Projections), LogError> {
    let (device, recognised) = device(home)?;
    let (mut log, projections) = Log::open_folded(&home.log(), &device, PriceBook::bundled())?;
    recognised.into_iter().for_each(|sentence| log.note(sentence));
    // The log is ours now, so that nobody else of this home begins anything.
    [&home.log(), &home.data, &home.state].into_iter().for_each(|folder| sweep(folder));
    Ok((log, projections))
}

/// Removes what a killed process left half written: files under the names that [`write_private`] gives, of more than an hour ago.
fn sweep(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let is_temporary = name
            .to_str()
            .and_then(|name| name.strip_prefix(".tmp"))
            .is_some_and(|rest| rest.len() == TEMPORARY_LETTERS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let written = || file.metadata().ok().filter(fs::Metadata::is_file)?.modified().ok()?.duration_since(UNIX_EPOCH).ok();
        let is_old = |written: Duration| clock::now().micros() - i64::try_from(written.as_micros()).unwrap_or(i64::MAX) > LEFT_OVER_MICROS;
        if is_temporary && written().is_some_and(is_old) {
            // What stays is tried again at the next opening.
            let _ = fs::remove_file(file.path());
        }
    }
}

pub(super) fn storage_fault(error: &LogError) -> Fault {
    Fault::new(FaultCode::Storage, error.to_string(), error.hint())
}

/// Why the log of a home cannot be opened. Of another user's home, that is the reason.
pub(super) fn fault_of(home: &Home, error: &LogError) -> Fault {
    foreign(home).unwrap_or_else(|| storage_fault(error))
}

/// The name of this machine's part of the journal: eight random hex digits, made once. With what is to be said of it, if anything is.
///
/// The journal's folders are named like it. A file that is lost, damaged or names none of them is written again after the journal that was
/// written last, so that no call is hidden by it.
fn device(home: &Home) -> Result<(String, Option<String>), LogError> {
    let path = home.data.join("device");
    let io = |source| LogError::Io { path: path.clone(), source };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let (named, is_there) = match fs::read(&path) {
        Ok(bytes) => (String::from_utf8(bytes).ok().map(|name| name.trim().to_owned()).filter(|name| is_name(name)), true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (None, false),
        Err(error) => return Err(io(error)),
    };
    let journals = journals(&home.log()).map_err(io)?;
    match (named, journals.first()) {
        (Some(name), None) => Ok((name, None)),
        (Some(name), Some(_)) if journals.contains(&name) => Ok((name, None)),
        (named, Some(newest)) => {
            write_private(&path, newest).map_err(io)?;
            let what = match named {
                Some(named) => format!("{} named {named}, of which there is no journal", path.display()),
                None => format!("{} did not hold the name of a device", path.display()),
            };
            Ok((newest.clone(), is_there.then(|| format!("{what}; it names the journal {newest} again"))))
        }
        (None, None) => {
            let name = random_name().map_err(io)?;
            write_private(&path, &name).map_err(io)?;
            Ok((name, None))
        }
    }
}

fn random_name() -> io::Result<String> {
    Ok(format!("{:08x}", getrandom::u32().map_err(io::Error::other)?))
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    // A temporary file is made for its owner only.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content.as_ref())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
