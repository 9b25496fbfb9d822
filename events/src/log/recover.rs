//! What makes a log whole again: the store and the key index from the journal, and the journal from the store.
//!
//! The journal is what is trusted. Everything else may be lost at any time, and is made from it again.

use super::{
    BATCH_FACTS_MAX, Finished, Log, LogError, Snapshot,
    folder::set_aside,
    journal::{Gap, JournalError, LineRef, Mended},
    keys::KeyIndex,
    store::{Store, StoreError},
};
use crate::{Entry, Event, Seq, Timestamp};
use std::{fs, io, path::Path, sync::Arc};

/// Opens the store, or a fresh one if it does not open. One that cannot be used at all, as on a full disk, is closed: the journal has
/// everything, and the store is made again once there is room.
pub(super) fn open_store(folder: &Path, mended: &mut Vec<String>) -> Store {
    let error = match Store::open(folder) {
        Ok(store) => return store,
        Err(error) => error,
    };
    if error.is_no_room() {
        mended.push(format!("the store did not open ({error}); calls are read from the journal until there is room"));
        return Store::closed(folder);
    }
    let opened = set_aside(folder).map_err(|error| error.to_string()).and_then(|aside| match Store::open(folder) {
        Ok(store) => Ok((store, aside)),
        Err(error) => Err(error.to_string()),
    });
    match opened {
        Ok((store, aside)) => {
            let why = if matches!(error, StoreError::Layout) { "is laid out in an older way" } else { "did not open" };
            mended.push(format!("the store {why} ({error}); it was moved to {} and made again from the journal", aside.display()));
            store
        }
        Err(again) => {
            mended.push(format!("the store did not open ({error}; {again}); calls are read from the journal until it can be made again"));
            Store::closed(folder)
        }
    }
}

impl Log {
    /// Completes the store and the key index from the journal, and the journal from the store.
    pub(super) fn catch_up(&mut self) -> Result<(), LogError> {
        self.agree()?;
        self.last = self.journal.last().max(self.store.now().last());
        self.restore_journal()?;
        self.restore_months()?;
        let stored = self.store.now().last();
        self.complete_store()?;
        let missing = self.store.now().last().0 - stored.0;
        if missing > 0 {
            self.mend(format!("the store lacked the newest {missing} entries; they were taken from the journal"));
        }
        self.last = self.journal.last().max(self.store.now().last());
        if !self.complete_keys()? {
            // The store counts calls that nobody would know again: they would be counted twice.
            self.mend(
                "calls that the journal lost were taken out of the store, because the key index lost them as well; \
                       import them again, or merge a backup with `tollbar ledger merge`"
                    .to_owned(),
            );
            self.rebuild()?;
        }
        Ok(())
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
        self.fresh_store("the store did not agree with the journal");
        Ok(())
    }

    /// Puts what the store lacks. Damage in the journal costs the entries in it, is said, and stops nothing.
    fn complete_store(&mut self) -> Result<(), LogError> {
        if !self.store.works() {
            return Ok(());
        }
        let now = self.now();
        let mut lines = now.journaled(self.store.now().last())?;
        let mut batch = Vec::with_capacity(BATCH_FACTS_MAX);
        for entry in lines.by_ref() {
            batch.push(Arc::new(entry?));
            if batch.len() >= BATCH_FACTS_MAX {
                self.store.put(batch.drain(..));
            }
        }
        self.store.put(batch.into_iter());
        let damage = lines.take_damage();
        let is_damaged = !damage.is_empty();
        damage.into_iter().for_each(|damage| self.mend(damage.to_string()));
        // What later entries tell of lost ones goes back at once: the store will not have it whole for ever.
        if is_damaged && now.tells_of_lost() { self.mend_journal().map(drop) } else { Ok(()) }
    }

    /// Adds to the key index what came after it was written last. `false` where the journal lost entries that the store still counts, so
    /// that nothing is left by which their calls are known.
    fn complete_keys(&mut self) -> Result<bool, LogError> {
        if self.keys.covered() >= self.last {
            return Ok(true);
        }
        let now = self.now();
        // Most of what it lacks is new, and in the store; the rest is read from the journal.
        let mut expected = self.keys.covered().next();
        let mut is_all = true;
        let whole_from = now.store.entries_after(self.keys.covered()).next().and_then(Result::ok).map(|entry| entry.seq);
        if whole_from != Some(expected) {
            let until = whole_from.unwrap_or(self.last.next());
            for line in self.journal.lines_after(self.keys.covered())? {
                match line {
                    Ok(line) if line.entry.seq >= until => break,
                    Ok(line) => self.keys.add(&line.entry)?,
                    Err(JournalError::Damaged { after, next, .. }) => {
                        let end = next.unwrap_or(until).min(until);
                        is_all &= !now.counts_between(after, end);
                    }
                    Err(error) => return Err(error.into()),
                }
                expected = self.keys.covered().next();
            }
        }
        for entry in now.store.entries_after(Seq(expected.0 - 1)) {
            let Ok(entry) = entry else { break };
            self.keys.add(&entry)?;
        }
        // Where the store cannot be read, the journal can.
        if self.keys.covered() < self.last {
            for entry in now.journaled(self.keys.covered())? {
                self.keys.add(&entry?)?;
            }
        }
        self.keys.cover(self.last);
        Ok(is_all)
    }

    /// Makes the key index anew.
    pub(super) fn fresh_keys(&mut self) -> Result<(), LogError> {
        let folder = self.folder.join("keys");
        remove_folder(&folder)?;
        self.keys = KeyIndex::open(&folder, self.last)?;
        if !self.complete_keys()? {
            self.rebuild()?;
        }
        Ok(())
    }

    /// A store ahead of its journal means that the end of the journal is gone. What the store and the key index have goes back.
    fn restore_journal(&mut self) -> Result<(), LogError> {
        let now = self.now();
        let mut reached = self.journal.last();
        let (mut restored, mut lost) = (0, 0);
        while reached < self.last {
            let (mut entries, until) = now.rescue(reached, self.last.next());
            lost += until.0 - reached.0 - 1;
            reached = Seq(until.0 - 1);
            entries.retain(|entry| entry.event != Event::Lost);
            for entries in entries.chunk_by(|one, next| one.seq.next() == next.seq).flat_map(|run| run.chunks(BATCH_FACTS_MAX)) {
                let lines: Vec<LineRef<'_>> = entries.iter().map(|entry| LineRef { entry, said: None, rescued: true }).collect();
                self.write(&lines, entries[0].recorded_at)?;
                restored += entries.len() as u64;
            }
        }
        lost -= restored;
        if restored > 0 {
            self.mend(format!("the journal lacked {restored} entries that the store had; they were written to it again"));
        }
        if lost > 0 {
            self.mend(format!(
                "the journal lost {lost} entries that the store does not have either; `tollbar ledger merge` of a backup or `tollbar import` \
                 brings them back"
            ));
        }
        if self.journal.last() < self.last {
            // Nothing is left of the end. Its numbers are not given to other entries, and what the store counts of it goes.
            let end = Entry { seq: self.last, recorded_at: Timestamp::default(), key: None, event: Event::Lost };
            self.write(&[LineRef { entry: &end, said: None, rescued: true }], end.recorded_at)?;
            self.fresh_store("the store held what neither it nor the journal can tell any more");
        }
        Ok(())
    }

    /// Writes the entries of a month whose file is gone back into the journal.
    fn restore_months(&mut self) -> Result<(), LogError> {
        let now = self.now();
        let is_known = |gap: &Gap| {
            let rescued = now.rescue(gap.after, gap.next).0.iter().any(|entry| entry.event != Event::Lost);
            rescued || now.counts_between(gap.after, gap.next)
        };
        if self.journal.gaps_between_months()?.iter().any(is_known) && self.mend_journal()? > 0 {
            // What the store counts beyond that, nobody would know again.
            self.rebuild()?;
        }
        Ok(())
    }

    /// Reads the whole journal, and writes back what is missing and known from elsewhere. Returns how many entries are missing still.
    fn mend_journal(&mut self) -> Result<u64, LogError> {
        let now = self.now();
        let Some(mending) = self.journal.mending()? else { return Ok(0) };
        let mended = mending.run(&|after, next| now.rescue(after, next))?;
        let missing = mended.missing;
        self.finish_mending(mended)?;
        Ok(missing)
    }

    /// Puts mended files of the journal in place, and says what became of them.
    pub(super) fn finish_mending(&mut self, mended: Mended) -> Result<(), LogError> {
        let Mended { rescued, missing, .. } = mended;
        if !self.journal.finish_mending(mended)? {
            return Ok(());
        }
        if rescued > 0 {
            self.mend(format!("the journal lacked {rescued} entries that the store had; they were written back where they were"));
        }
        if missing > 0 {
            self.mend(format!(
                "the journal lost {missing} entries that nothing else has; `tollbar ledger merge` of a backup or `tollbar import` brings \
                 them back"
            ));
        }
        Ok(())
    }

    /// Whether the store failed or fell behind, and there is room to make it anew: work for any thread ([`Log::rebuilding`]).
    pub fn is_to_be_healed(&self) -> bool {
        self.is_store_lacking() && self.store.has_room()
    }

    /// Whether the store failed or fell behind. Calls are recorded all the same.
    pub fn is_store_lacking(&self) -> bool {
        self.store.is_lacking(self.last)
    }

    /// What keeps the store from being used, if anything does, and what can be done.
    pub fn store_trouble(&self) -> Option<(&'static str, &'static str)> {
        if !self.is_store_lacking() {
            return None;
        }
        Some(if self.store.has_room() {
            ("the store failed and is made again from the journal; calls are recorded", "wait a moment")
        } else {
            (
                "the disk has no room for the store; calls are recorded in the journal, and questions take longer",
                "make room on the disk, in bytes and in files; the store is then made again",
            )
        })
    }

    /// Whether the store is the one that a snapshot reads.
    pub fn has_store_of(&self, snapshot: &Snapshot) -> bool {
        self.stores == snapshot.stores
    }

    /// Makes the store and the key index anew, and writes back into the journal what it lost and they have. Returns when all is done; a
    /// writer that others wait for uses [`Log::rebuilding`].
    pub fn rebuild(&mut self) -> Result<(), LogError> {
        let rebuilt = self.rebuilding(true).run()?;
        match self.finish_rebuild(rebuilt)? {
            Finished::Done => Ok(()),
            Finished::Behind(_) => Err(StoreError::Closed.into()),
        }
    }

    /// Lets go of the store and begins an empty one. sled's own files stay locked while it is open, so a new one needs a new folder.
    fn fresh_store(&mut self, why: &str) {
        let folder = self.folder.join("store");
        self.store.abandon();
        self.opened = Arc::default();
        self.stores += 1;
        let aside = set_aside(&folder);
        self.store = Store::open(&folder).unwrap_or_else(|_| Store::closed(&folder));
        // It was a copy of the journal; what is damaged in it helps nobody.
        let kept = aside.ok().filter(|aside| fs::remove_dir_all(aside).is_err());
        let kept = kept.map(|aside| format!(" (what was left is in {})", aside.display())).unwrap_or_default();
        self.mend(format!("{why}; it was made again from the journal{kept}"));
    }
}

/// Removes a folder that may be gone already.
pub(super) fn remove_folder(folder: &Path) -> Result<(), LogError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::Io { path: folder.to_owned(), source: error }),
        Ok(()) | Err(_) => Ok(()),
    }
}
