//! How other processes of this user find the running engine and are let in: its address and its token, in files of the state folder.

use super::{
    control::{Notice, notice_path, token_path},
    importing::Troubles,
    ledger::write_private,
};
use crate::config::Home;
use events::query::{Fault, FaultCode};
use std::{fs, io, path::Path, sync::PoisonError};

const TOKEN_BYTES: usize = 32;

/// What is announced, and whether it is.
pub(super) struct Announcement {
    home: Home,
    token: String,
    notice: Notice,
    is_published: bool,
    /// What was said of a state folder that takes no file.
    said: Option<String>,
    troubles: Troubles,
}

impl Announcement {
    /// An announcement with the token of this home, or a fresh one. Nothing is written yet.
    pub(super) fn new(home: &Home, notice: Notice, troubles: &Troubles) -> Result<Announcement, Fault> {
        let token = match kept_token(home) {
            Some(token) => token,
            None => fresh_token()?,
        };
        Ok(Announcement { home: home.clone(), token, notice, is_published: false, said: None, troubles: troubles.clone() })
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn is_published(&self) -> bool {
        self.is_published
    }

    /// Writes both files, unless they are.
    pub(super) fn publish(&mut self) -> Result<(), Fault> {
        if self.is_published {
            return Ok(());
        }
        if kept_token(&self.home).as_ref() != Some(&self.token) {
            written(&token_path(&self.home), &self.token)?;
        }
        let notice = serde_json::to_string(&self.notice).expect("numbers and texts are JSON");
        written(&notice_path(&self.home), &notice)?;
        self.is_published = true;
        Ok(())
    }

    /// Says in the warnings why nobody finds the engine, or no longer.
    pub(super) fn tell(&mut self, fault: Option<Fault>) {
        let text = fault.map(|fault| format!("the control API cannot be found by commands: {fault}; {}", fault.hint));
        if text == self.said {
            return;
        }
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = &self.said {
            troubles.retain(|trouble| trouble != said);
        }
        if let Some(text) = &text {
            crate::diagnostics::note(text);
            troubles.push(text.clone());
        }
        drop(troubles);
        self.said = text;
    }
}

/// Takes the notice away. One that cannot be removed points to nobody.
pub(super) fn withdraw(home: &Home) {
    let _ = fs::remove_file(notice_path(home));
}

fn written(path: &Path, content: &str) -> Result<(), Fault> {
    write_private(path, content).map_err(|error: io::Error| {
        Fault::new(
            FaultCode::Storage,
            format!("cannot write {}: {error}", path.display()),
            "check that the folder belongs to you and has room",
        )
    })
}

/// The token of this home: 64 hex digits. A file that others can read holds none.
fn kept_token(home: &Home) -> Option<String> {
    let path = token_path(home);
    let token = fs::read_to_string(&path).ok()?.trim().to_owned();
    (token.len() == 2 * TOKEN_BYTES && is_private(&path)).then_some(token)
}

fn fresh_token() -> Result<String, Fault> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Fault::new(FaultCode::Internal, format!("no random numbers: {error}"), ""))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).is_ok_and(|file| file.mode().trailing_zeros() >= 6)
}

#[cfg(not(unix))]
fn is_private(_path: &Path) -> bool {
    true
}
