//! What makes a log whole again: the store and the key index from the journal, and the journal from the store.
//!
//! The journal is what is trusted. Everything else may be lost at any time, and is made from it again.

use super::{
    BATCH_FACTS_MAX, Log, LogError, Snapshot,
    folder::set_aside,
    journal::{JournalError, LineRef},
    keys::KeyIndex,
    store::{Store, StoreError},
};
use crate::{Entry, Event, Seq};
use std::{fs, path::Path, sync::Arc};

/// How often a store that failed is made anew before the next start: a disk that fails again and again is not helped by more.
const HEALINGS_MAX: u32 = 16;

/// Opens the store, or a fresh one if it does not open. A full disk is no reason to give it up.
pub(super) fn open_store(folder: &Path, mended: &mut Vec<String>) -> Result<Store, LogError> {
    match Store::open(folder) {
        Ok(store) => Ok(store),
        Err(error) if error.is_no_room() => Err(error.into()),
        Err(error) => {
            let aside = set_aside(folder)?;
            let why = if matches!(error, StoreError::Layout) { "is laid out in an older way" } else { "did not open" };
            mended.push(format!("the store {why} ({error}); it was moved to {} and made again from the journal", aside.display()));
            Ok(Store::open(folder)?)
        }
    }
}

impl Log {
    /// Completes the store and the key index from the journal, and a journal that lost its end from the store.
    pub(super) fn catch_up(&mut self) -> Result<(), LogError> {
        self.agree()?;
        if self.store.now().last() > self.journal.last() {
            self.restore_journal()?;
        }
        let stored = self.store.now().last();
        self.complete_store()?;
        let missing = self.store.now().last().0 - stored.0;
        if missing > 0 {
            self.mend(format!("the store lacked the newest {missing} entries; they were taken from the journal"));
        }
        self.last = self.store.now().last();
        self.complete_keys()
    }

    /// A store that tells otherwise than the journal is of another history, as after a folder was put back from a backup: the journal wins.
    fn agree(&mut self) -> Result<(), LogError> {
        let both = self.store.now().last().min(self.journal.last());
        if both == Seq(0) {
            return Ok(());
        }
        let line = self.journal.lines_after(Seq(both.0 - 1))?.find_map(Result::ok);
        let Some(line) = line.filter(|line| line.entry.seq == both) else { return Ok(()) };
        if self.store.now().differing(&[line.entry]).is_ok_and(|differing| differing.is_empty()) {
            return Ok(());
        }
        self.fresh_store("the store did not agree with the journal")
    }

    /// Puts what the store lacks. Damage in the journal costs the entries in it, is said, and stops nothing.
    fn complete_store(&mut self) -> Result<(), LogError> {
        let mut batch = Vec::with_capacity(BATCH_FACTS_MAX);
        let mut lines = self.journal.lines_after(self.store.now().last())?;
        let mut last = self.store.now().last();
        loop {
            let line = match lines.next() {
                Some(Ok(line)) => line,
                Some(Err(error @ JournalError::Damaged { .. })) => {
                    self.mend(error.to_string());
                    continue;
                }
                Some(Err(error)) => return Err(error.into()),
                None => break,
            };
            while last.next() < line.entry.seq {
                last = last.next();
                let lost = || Entry { seq: last, recorded_at: line.entry.recorded_at, key: None, event: Event::Lost };
                batch.push(self.rescued.remove(&last).unwrap_or_else(lost));
            }
            if line.entry.seq == last.next() {
                last = line.entry.seq;
                batch.push(line.entry);
            }
            if batch.len() >= BATCH_FACTS_MAX {
                self.store.put(batch.drain(..).map(Arc::new));
            }
        }
        self.store.put(batch.into_iter().map(Arc::new));
        Ok(())
    }

    /// Adds to the key index what came after it was written last.
    fn complete_keys(&mut self) -> Result<(), LogError> {
        if self.keys.covered() >= self.last {
            return Ok(());
        }
        // Most of what it lacks is new, and in the store; the rest is read from the journal.
        let mut expected = self.keys.covered().next();
        let stored = self.store.now().entries_after(self.keys.covered()).next().transpose()?.map(|entry| entry.seq);
        if stored != Some(expected) {
            let until = stored.unwrap_or(self.last.next());
            for line in self.journal.lines_after(self.keys.covered())? {
                match line {
                    Ok(line) if line.entry.seq >= until => break,
                    Ok(line) => self.keys.add(&line.entry)?,
                    Err(JournalError::Damaged { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                expected = self.keys.covered().next();
            }
        }
        let stored: Vec<_> = self.store.now().entries_after(Seq(expected.0 - 1)).collect::<Result<_, _>>()?;
        for entry in &stored {
            self.keys.add(entry)?;
        }
        self.keys.cover(self.last);
        Ok(())
    }

    /// Makes the key index anew.
    pub(super) fn fresh_keys(&mut self) -> Result<(), LogError> {
        let folder = self.folder.join("keys");
        match fs::remove_dir_all(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(LogError::Io { path: folder, source }),
        }
        self.keys = KeyIndex::open(&folder, self.last)?;
        self.complete_keys()
    }

    /// A store ahead of its journal means that the end of the journal is gone. What the store has whole goes back; of what is older it has
    /// the counts, which stay in every sum.
    fn restore_journal(&mut self) -> Result<(), LogError> {
        let journaled = self.journal.last();
        let entries: Vec<Entry> = self.store.now().entries_after(journaled).collect::<Result<_, _>>()?;
        for entries in entries.chunks(BATCH_FACTS_MAX) {
            let lines: Vec<LineRef<'_>> = entries.iter().map(|entry| LineRef { entry, said: None }).collect();
            self.write(&lines, entries[0].recorded_at)?;
        }
        self.mend(format!("the journal lacked {} entries that the store had; they were written to it again", entries.len()));
        if let Some(first) = entries.first().filter(|first| first.seq > journaled.next()) {
            let gone = first.seq.0 - journaled.next().0;
            self.mend(format!(
                "the journal lost {gone} entries before those; their counts are kept in the store, and `tollbar ledger merge` of a backup \
                 or `tollbar import` cannot count them twice"
            ));
        }
        Ok(())
    }

    /// Makes the store anew if it failed, as after a full disk, once there is room.
    pub fn heal(&mut self) -> Result<(), LogError> {
        if self.store.works() || !self.store.has_room() {
            return Ok(());
        }
        if self.healings >= HEALINGS_MAX {
            return Err(StoreError::Closed.into());
        }
        self.healings += 1;
        self.fresh_store("the store failed")?;
        self.catch_up()
    }

    /// Replaces the store by a fresh one made from the journal. Recovery, when reading fails.
    pub fn rebuild(&mut self) -> Result<(), LogError> {
        // What damage took from the journal may be in the store that goes.
        let damage = self.journal.lines_after(Seq(0))?.filter_map(Result::err);
        let before = self.now();
        self.rescued = damage.flat_map(|damage| before.kept(&damage).0).map(|entry| (entry.seq, entry)).collect();
        self.fresh_store("the store was damaged or asked for anew")?;
        self.catch_up()?;
        self.rescued.clear();
        self.fresh_keys()
    }

    /// Makes the store anew that a reader of a snapshot could not read, unless that was done since. Whether it is another one now, so that
    /// what was asked is worth asking again.
    pub fn rebuild_if_damaged(&mut self, snapshot: &Snapshot, is_readable: bool) -> Result<bool, LogError> {
        if self.stores == snapshot.stores && !is_readable {
            self.rebuild()?;
        }
        Ok(self.stores != snapshot.stores)
    }

    /// Moves the store aside and begins an empty one. sled's own files stay locked while it is open, so a new one needs a new folder.
    fn fresh_store(&mut self, why: &str) -> Result<(), LogError> {
        let folder = self.folder.join("store");
        self.store.abandon();
        self.opened = Arc::default();
        let aside = set_aside(&folder)?;
        self.store = Store::open(&folder)?;
        self.stores += 1;
        // It was a copy of the journal; what is damaged in it helps nobody.
        let removed = fs::remove_dir_all(&aside).is_ok();
        let kept = if removed { String::new() } else { format!(" (what was left is in {})", aside.display()) };
        self.mend(format!("{why}; it was made again from the journal{kept}"));
        Ok(())
    }
}
