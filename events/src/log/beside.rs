//! Long work beside the log: the store and the key index made anew, and everything folded again.
//!
//! Each works on a snapshot, in any thread, while the log goes on taking calls, and its owner swaps the result in, with what came since.

use super::{
    BATCH_FACTS_MAX, Log, LogError, Snapshot,
    folder::set_aside,
    journal::Mended,
    keys::KeyIndex,
    recover::remove_folder,
    store::{Store, StoreError},
};
use crate::{Entry, Projections, Seq, Tariff};
use std::{
    fs,
    sync::{Arc, Weak},
};

/// The store that is being made.
const STORE_NEW: &str = "store.new";
/// The key index that is being made.
const KEYS_NEW: &str = "keys.new";
/// How many entries that came meanwhile are added when a new store is swapped in: some milliseconds of work. More are work for the thread
/// that made it.
const CATCH_UP_ENTRIES_MAX: u64 = 8_192;

/// A new store, and perhaps a new key index, to be made from the journal.
pub struct Rebuild {
    log: Snapshot,
    with_keys: bool,
    /// What is in the new store already.
    reached: Seq,
}

/// What [`Rebuild::run`] made. It lies beside the old store until it is swapped in.
pub struct Rebuilt {
    mended: Option<Mended>,
    with_keys: bool,
    reached: Seq,
    /// What the journal has lost, in words.
    damage: Vec<String>,
}

/// What became of a new store.
pub enum Finished {
    /// It is in place.
    Done,
    /// So much was written meanwhile that it is worth going on beside the log.
    Behind(Box<Rebuild>),
}

impl Log {
    /// Begins to make the store anew, and the key index as well if wanted. Nothing changes before [`Log::finish_rebuild`].
    pub fn rebuilding(&self, with_keys: bool) -> Rebuild {
        Rebuild { log: self.snapshot(), with_keys, reached: Seq(0) }
    }

    /// Puts a new store in the place of the old one, with what was written since it was begun.
    ///
    /// After an error the log goes on without a store, and it can be tried again.
    pub fn finish_rebuild(&mut self, rebuilt: Rebuilt) -> Result<Finished, LogError> {
        let Rebuilt { mended, with_keys, reached, damage } = rebuilt;
        if let Some(mended) = mended {
            self.finish_mending(mended)?;
        }
        damage.into_iter().for_each(|damage| self.mend(damage));
        if self.last.0 - reached.0 > CATCH_UP_ENTRIES_MAX {
            return Ok(Finished::Behind(Box::new(Rebuild { log: self.snapshot(), with_keys, reached })));
        }
        let before = self.now();
        self.swap_store()?;
        if with_keys {
            self.swap_keys()?;
        }
        for entry in before.journaled(self.store.now().last())? {
            let entry = Arc::new(entry?);
            if entry.seq > self.keys.covered() {
                let _ = self.keys.add(&entry);
            }
            self.store.put([entry].into_iter());
        }
        let segments = before.store.segments();
        let is_as_before =
            matches!((before.store.digest(segments), self.store.now().digest(segments)), (Ok(one), Ok(other)) if one == other);
        let was_behind = before.store.first_fresh(before.last()) > before.store.sealed().next();
        self.is_to_be_folded |= !is_as_before || was_behind;
        Ok(Finished::Done)
    }

    fn swap_store(&mut self) -> Result<(), LogError> {
        let (folder, new) = (self.folder.join("store"), self.folder.join(STORE_NEW));
        self.store.abandon();
        self.opened = Arc::default();
        self.stores += 1;
        let aside = if folder.exists() { Some(set_aside(&folder)?) } else { None };
        fs::rename(&new, &folder).map_err(|source| LogError::Io { path: new, source })?;
        let tail = self.store.now().clone();
        self.store = match Store::open(&folder) {
            Ok(store) => store,
            Err(error) => {
                self.store = Store::closed_with(&folder, tail);
                return Err(error.into());
            }
        };
        // It was a copy of the journal; what is left of it helps nobody.
        let kept = aside.filter(|aside| fs::remove_dir_all(aside).is_err());
        let kept = kept.map(|aside| format!(" (what was left of the old one is in {})", aside.display())).unwrap_or_default();
        self.mend(format!("the store was made again from the journal{kept}"));
        Ok(())
    }

    fn swap_keys(&mut self) -> Result<(), LogError> {
        let (folder, new) = (self.folder.join("keys"), self.folder.join(KEYS_NEW));
        remove_folder(&folder)?;
        fs::rename(&new, &folder).map_err(|source| LogError::Io { path: new, source })?;
        self.keys = KeyIndex::open(&folder, self.last)?;
        Ok(())
    }

    /// What is to be folded again, if anything is: because entries spoke of prices, or because the store turned out to have other entries
    /// than those that were folded. Work for any thread, then [`Log::refolded_beside`].
    pub fn refolding(&self, projections: &Projections) -> Option<Refolding> {
        let tariff = match projections.next_tariff() {
            Some(tariff) => tariff,
            None if self.is_to_be_folded => projections.tariff().clone(),
            None => return None,
        };
        Some(Refolding { log: self.snapshot(), tariff, stores: self.stores })
    }

    /// What was folded beside the log, with the entries that came since; `None` where the store was made anew meanwhile, so that it is to
    /// be done once more.
    pub fn refolded_beside(&mut self, refolded: Refolded) -> Result<Option<Projections>, LogError> {
        let Refolded { mut projections, stores } = refolded;
        if stores != self.stores {
            return Ok(None);
        }
        let after = projections.up_to();
        self.now().columns(crate::Span::ALWAYS, after, (0, 1), &mut |columns| projections.apply_columns(columns))?;
        self.is_to_be_folded = false;
        Ok(Some(projections))
    }
}

impl Rebuild {
    /// The same, given up once the asker is gone.
    #[must_use]
    pub fn asked_by(self, asker: Weak<()>) -> Rebuild {
        Rebuild { log: self.log.asked_by(Some(asker)), ..self }
    }

    /// Reads the journal and makes the new store beside the old one. The log is not touched.
    pub fn run(self) -> Result<Rebuilt, LogError> {
        let Rebuild { log, with_keys, reached } = self;
        let (store_folder, keys_folder) = (log.folder.join(STORE_NEW), log.folder.join(KEYS_NEW));
        let mut mended = None;
        if reached == Seq(0) {
            remove_folder(&store_folder)?;
            remove_folder(&keys_folder)?;
            if let Some(mending) = log.journal.mending()? {
                mended = Some(mending.run(&|after, next| log.rescue(after, next))?);
            }
        }
        let mut store = Store::open(&store_folder)?;
        let mut keys = if with_keys { Some(KeyIndex::open(&keys_folder, reached)?) } else { None };
        let stored = store.now().last();
        let mut lines = log.journaled(keys.as_ref().map_or(stored, |keys| keys.covered().min(stored)))?;
        let mut batch = Vec::with_capacity(BATCH_FACTS_MAX);
        loop {
            let entry = lines.next().transpose()?;
            let is_end = entry.is_none();
            if let Some(entry) = entry {
                if let Some(keys) = keys.as_mut().filter(|keys| entry.seq > keys.covered()) {
                    keys.add(&entry)?;
                }
                batch.push(Arc::new(entry));
            }
            if is_end || batch.len() == BATCH_FACTS_MAX {
                store.put(batch.drain(..).filter(|entry: &Arc<Entry>| entry.seq > stored));
            }
            if is_end {
                break;
            }
        }
        // What was written back is said with that.
        let is_said = reached > Seq(0) || mended.as_ref().is_some_and(|mended| mended.missing == 0);
        let damage = lines.take_damage().iter().filter(|_| !is_said).map(ToString::to_string).collect();
        store.flush()?;
        if let Some(mut keys) = keys {
            keys.cover(log.last);
            keys.settle()?;
        }
        if !store.works() || store.now().last() != log.last {
            return Err(StoreError::Closed.into());
        }
        Ok(Rebuilt { mended, with_keys, reached: log.last, damage })
    }
}

/// Removes what a making that was broken off has left.
pub(super) fn remove_left_over(folder: &std::path::Path) {
    for name in [STORE_NEW, KEYS_NEW] {
        // What stays is removed when the next one begins.
        let _ = fs::remove_dir_all(folder.join(name));
    }
}

/// Everything to be folded again.
pub struct Refolding {
    log: Snapshot,
    tariff: Arc<Tariff>,
    stores: u32,
}

/// What [`Refolding::run`] folded.
pub struct Refolded {
    projections: Projections,
    stores: u32,
}

impl Refolding {
    /// The same, given up once the asker is gone.
    #[must_use]
    pub fn asked_by(self, asker: Weak<()>) -> Refolding {
        Refolding { log: self.log.asked_by(Some(asker)), ..self }
    }

    /// Folds the log as it stood when it was begun.
    pub fn run(self) -> Result<Refolded, LogError> {
        let mut projections = self.log.fold_under(&self.tariff)?;
        projections.settle();
        Ok(Refolded { projections, stores: self.stores })
    }
}
