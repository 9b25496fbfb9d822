//! What is done to a log now and then: tried, copied, measured, packed better.

use super::{
    LogError, Snapshot, checkpoint_path,
    folder::{bytes_below, make_private_folder, take_lock},
    journal::{Journal, JournalError, Line, Lines, month_files},
};
use crate::{Entry, Event, Said, Seq};
use serde::{Deserialize, Serialize};
use std::{
    fs, io, mem,
    path::{Path, PathBuf},
};

/// More is not listed, only counted: a log that is damaged everywhere is rebuilt, not read about.
const FINDINGS_MAX: usize = 100;

/// What [`Snapshot::verify`] found in a part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Verified {
    /// The entry that was reached.
    pub up_to: Seq,
    /// The newest entry of the log.
    pub last: Seq,
    /// What is not right, one sentence each; at most a hundred.
    pub findings: Vec<String>,
    /// What is not right beyond those.
    pub more_findings: u64,
}

impl Verified {
    fn find(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX { self.findings.push(finding) } else { self.more_findings += 1 }
    }
}

/// How large a log is, and where its bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct LogSize {
    /// Its entries.
    pub entries: u64,
    /// Of those, in sealed segments.
    pub sealed_entries: u64,
    /// The journal.
    pub journal_bytes: u64,
    /// sled.
    pub store_bytes: u64,
    /// The key index.
    pub keys_bytes: u64,
    /// The checkpoint.
    pub checkpoint_bytes: u64,
}

impl Snapshot {
    /// Tries every checksum, reads every line, and compares the journal with the store and the key index, entry by entry:
    /// `entries` of them after `after`, so that whoever asks can show how far it is and others get their turn.
    pub fn verify(&self, after: Seq, entries: u64) -> Verified {
        let until = Seq(after.0.saturating_add(entries).min(self.last.0));
        let mut verified = Verified { up_to: until, last: self.last, ..Verified::default() };
        let mut reached = after;
        let mut segment: Vec<Entry> = Vec::new();
        let lines = self.journal.lines_after(after).map_err(|error| verified.find(error.to_string()));
        for line in lines.into_iter().flatten() {
            let entry = match line {
                Ok(Line { entry, .. }) if entry.seq > until => break,
                Ok(Line { entry, .. }) => entry,
                Err(error) => {
                    verified.find(format!("{error}{}", self.way_out(&error)));
                    continue;
                }
            };
            reached = entry.seq;
            if let Some(key) = entry.key {
                match self.keys.candidates(&key).find(|seq| seq.as_ref().map_or(true, |seq| *seq == reached)) {
                    Some(Ok(_)) => {}
                    None => verified.find(format!("the key index lacks entry {}", reached.0)),
                    Some(Err(error)) => verified.find(error.to_string()),
                }
            }
            if segment.first().is_some_and(|first| self.store.segment_of(first.seq) != self.store.segment_of(entry.seq)) {
                self.verify_store(&mem::take(&mut segment), &mut verified);
            }
            segment.push(entry);
        }
        self.verify_store(&segment, &mut verified);
        if reached < until && verified.findings.is_empty() {
            verified.find(format!("the journal lacks the entries {} to {}", reached.0 + 1, until.0));
        }
        verified
    }

    /// What can be done about damage in the journal.
    fn way_out(&self, damage: &JournalError) -> String {
        let JournalError::Damaged { after, next, .. } = damage else { return String::new() };
        let gone = next.unwrap_or(self.last.next()).0.saturating_sub(after.0 + 1);
        let (mut known, mut reached) = (0, *after);
        while reached.0 < after.0 + gone {
            let (rescued, end) = self.rescue(reached, Seq(after.0 + gone + 1));
            known += rescued.iter().filter(|entry| entry.event != Event::Lost).count() as u64;
            reached = Seq(end.0 - 1);
        }
        if known == gone {
            "; `tollbar ledger rebuild` mends it: nothing is lost".to_owned()
        } else if known > 0 {
            format!("; the store has {known} of {gone}, which `tollbar ledger rebuild` writes back; the others are lost")
        } else {
            "; no other copy is here: `tollbar ledger merge` of a backup or `tollbar import` brings them back".to_owned()
        }
    }

    fn verify_store(&self, entries: &[Entry], verified: &mut Verified) {
        match self.store.differing(entries) {
            Ok(differing) => {
                differing.iter().for_each(|seq| verified.find(format!("entry {} in the store is not what the journal says", seq.0)));
            }
            Err(error) => verified.find(error.to_string()),
        }
    }

    /// How large the log is.
    pub fn size(&self) -> LogSize {
        LogSize {
            entries: self.last.0,
            sealed_entries: self.store.sealed().0,
            journal_bytes: self.journal.bytes(),
            store_bytes: bytes_below(&self.folder.join("store")),
            keys_bytes: bytes_below(&self.folder.join("keys")),
            checkpoint_bytes: fs::metadata(checkpoint_path(&self.folder)).map_or(0, |file| file.len()),
        }
    }
}

/// Moves a whole log to another place, so that a new one can begin where it was. Refused while a process has it open.
pub fn archive(log_folder: &Path, into: &Path) -> Result<(), LogError> {
    let _lock = take_lock(log_folder)?;
    if let Some(parent) = into.parent() {
        make_private_folder(parent)?;
    }
    fs::rename(log_folder, into).map_err(|source| LogError::Io { path: into.to_owned(), source })
}

/// The lines of a journal that need not be ours: entries, and what was said beside them. Changes nothing.
pub struct JournalReader {
    lines: Lines,
    bytes: u64,
}

impl JournalReader {
    /// Opens the journal of one device.
    pub fn open(folder: &Path) -> Result<JournalReader, LogError> {
        Ok(JournalReader { lines: Journal::read_folder(folder)?, bytes: bytes_below(folder) })
    }

    /// The bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes that were read.
    pub fn bytes_read(&self) -> u64 {
        self.lines.passed_bytes()
    }
}

impl Iterator for JournalReader {
    type Item = Result<(Entry, Option<Said>), JournalError>;

    /// The next line, or where the journal is damaged; it goes on behind that.
    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        // What cannot be told of a saying costs the saying only.
        Some(line.map(|line| {
            let said = line.said().ok().flatten();
            (line.entry, said)
        }))
    }
}

/// The journals in the folder of a log, or of a backup of one: a device's name and its folder, by name.
pub fn devices(log_folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut devices = Vec::new();
    for file in fs::read_dir(log_folder.join("journal"))? {
        let file = file?;
        if let (true, Ok(name)) = (file.file_type()?.is_dir(), file.file_name().into_string()) {
            devices.push((name, file.path()));
        }
    }
    devices.sort();
    Ok(devices)
}

/// The devices whose journal in the folder of a log has lines, the one that was written last first.
pub fn journals(log_folder: &Path) -> io::Result<Vec<String>> {
    let all = match devices(log_folder) {
        Ok(all) => all,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut journals = Vec::new();
    for (device, folder) in all {
        let files = month_files(&folder).map_err(io::Error::other)?;
        let written = files.iter().filter_map(|file| fs::metadata(file).ok()).filter(|file| file.len() > 0);
        if let Some(last) = written.map(|file| file.modified().ok()).max() {
            journals.push((last, device));
        }
    }
    journals.sort_by(|one, other| other.cmp(one));
    Ok(journals.into_iter().map(|(_, device)| device).collect())
}
