//! Many files of an import at once: read on all cores, handed over one after the other.
//!
//! ```text
//! readers (a thread each, every nth file) ── pieces ──► gathering (a thread) ── parcels ──► the sink
//! ```
//!
//! Each waits for the next one where that is slower, so that memory has a bound. What comes out does not depend on who was faster: a file
//! is read by itself, and pieces are taken in the order of the files.

use super::{
    BATCH_SIGHTINGS_MAX, Client, Cursors,
    batch::{Batch, Hashed},
    client::Reader,
    cursor::Cursor,
    kin::Kin,
    reading::{self, Gone},
};
use crate::{attribution::Projects, regular::Stop};
use events::Sighting;
use std::{
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

/// How many sightings of one file are given on at once, at most.
pub(super) const PIECE_SIGHTINGS_MAX: usize = 512;
/// How many pieces may wait behind each reader. What waits when all is read is written while no reader is left to use the other core.
const PIECES_WAITING_MAX: usize = 8;
/// How many parcels may wait for the sink.
const PARCELS_WAITING_MAX: usize = 1;
/// How many files may wait for one parcel to fill; keeps short what an interruption reads again.
const PARCEL_FILES_MAX: usize = 512;
/// More readers would wait for the sink.
const READERS_MAX: usize = 8;

/// What the readers of all files share.
pub(super) struct Reading<'a> {
    pub(super) client: Client,
    pub(super) cursors: &'a Cursors,
    pub(super) kin: &'a Kin,
    pub(super) projects: Mutex<&'a mut Projects>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(client: Client, cursors: &'a Cursors, kin: &'a Kin, projects: &'a mut Projects) -> Reading<'a> {
        Reading { client, cursors, kin, projects: Mutex::new(projects) }
    }

    /// Whether reading is to end.
    pub(super) fn stop(&self) -> &Stop {
        self.cursors.stop()
    }
}

/// What was read of one file at once.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) sightings: Vec<Hashed>,
    /// Where the file is to be read on, once the sightings are taken; `None` where that has not changed.
    pub(super) cursor: Option<Cursor>,
    pub(super) bytes_read: u64,
    /// With the last piece of a file: what is wrong with it, if anything is.
    pub(super) end: Option<Option<String>>,
}

/// What is handed to the sink at once, and what holds once it is taken.
#[derive(Default)]
pub(super) struct Parcel {
    pub(super) sightings: Vec<Sighting>,
    pub(super) files: usize,
    pub(super) bytes_read: u64,
    cursors: Vec<(PathBuf, Cursor)>,
    faults: Vec<(PathBuf, Option<String>)>,
}

/// What became of the files as far as the sink took them.
pub(super) struct Taken<E> {
    pub(super) cursors: Vec<(PathBuf, Cursor)>,
    /// Of every file: what is wrong with it, if anything is.
    pub(super) faults: Vec<(PathBuf, Option<String>)>,
    pub(super) result: Result<(), E>,
}

/// The files in the turns in which they are to be read: first those that tell of calls best, which the readers of others must know.
pub(super) fn in_turns(client: Client, files: &[PathBuf]) -> Vec<Vec<&Path>> {
    let all = files.iter().map(PathBuf::as_path);
    let (first, then): (Vec<&Path>, Vec<&Path>) = match client {
        // A file is packed before its plain sibling is removed, and unpacked before more is added: the plain one is newer.
        Client::Codex => (all.filter(|path| !reading::is_packed(path) || !path.with_extension("").exists()).collect(), Vec::new()),
        Client::CopilotCli => all.partition(|path| path.extension().is_some_and(|ending| ending == "db")),
        Client::Qwen => all.partition(|path| path.components().any(|part| part.as_os_str() == "usage")),
        Client::ClaudeCode
        | Client::GeminiCli
        | Client::OpenCode
        | Client::Kilo
        | Client::Droid
        | Client::Pi
        | Client::Amp
        | Client::Kimi
        | Client::Cline
        | Client::Crush
        | Client::Goose
        | Client::Zed
        | Client::Grok
        | Client::Aider
        | Client::Cursor => (all.collect(), Vec::new()),
    };
    [first, then].into_iter().filter(|turn| !turn.is_empty()).collect()
}

/// What the heads of files that were not read yet tell of them, where a file's reader must know of the others.
pub(super) fn heads(client: Client, files: &[&Path], cursors: &Cursors) -> Vec<Reader> {
    if client != Client::Codex {
        return Vec::new();
    }
    let unknown: Vec<&Path> = files.iter().copied().filter(|path| cursors.get(path).is_none()).collect();
    let share = unknown.len().div_ceil(readers()).max(1);
    thread::scope(|scope| {
        let read = |share: &[&Path]| share.iter().filter_map(|path| reading::head(client, path)).collect::<Vec<_>>();
        let threads: Vec<_> = unknown.chunks(share).map(|share| scope.spawn(move || read(share))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn readers() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(READERS_MAX)
}

/// Reads the files and hands parcels to the sink until it refuses one.
pub(super) fn read<E>(reading: &Reading<'_>, files: &[&Path], sink: &mut dyn FnMut(Parcel) -> Result<(), E>) -> Taken<E> {
    thread::scope(|scope| {
        let readers = readers().min(files.len()).max(1);
        let pieces: Vec<Receiver<Piece>> = (0..readers)
            .map(|reader| {
                let (give, pieces) = sync_channel(PIECES_WAITING_MAX);
                scope.spawn(move || read_some(reading, files.iter().copied().skip(reader).step_by(readers), &give));
                pieces
            })
            .collect();
        let (give, parcels) = sync_channel(PARCELS_WAITING_MAX);
        scope.spawn(move || gather(files, &pieces, &give));
        let mut taken = Taken { cursors: Vec::new(), faults: Vec::new(), result: Ok(()) };
        for mut parcel in parcels {
            let (cursors, faults) = (std::mem::take(&mut parcel.cursors), std::mem::take(&mut parcel.faults));
            // What follows is given to nobody, and the threads end.
            taken.result = sink(parcel);
            if taken.result.is_err() {
                break;
            }
            taken.cursors.extend(cursors);
            taken.faults.extend(faults);
        }
        taken
    })
}

fn read_some<'a>(reading: &Reading<'_>, files: impl Iterator<Item = &'a Path>, give: &SyncSender<Piece>) {
    let mut give = |piece| give.send(piece).map_err(|_| Gone);
    let mut buffer = Vec::new();
    for path in files {
        if reading.stop().is_asked() || reading::file(reading, path, &mut buffer, &mut give).is_err() {
            return;
        }
    }
}

/// Makes parcels of the pieces, file by file.
fn gather(files: &[&Path], readers: &[Receiver<Piece>], give: &SyncSender<Parcel>) {
    let (mut batch, mut parcel) = (Batch::default(), Parcel::default());
    for (path, pieces) in files.iter().zip(readers.iter().cycle()) {
        let mut is_over = false;
        while !is_over {
            // A reader that ends early was stopped, or has panicked, which the scope tells.
            let Ok(piece) = pieces.recv() else { return };
            if batch.len() + piece.sightings.len() > BATCH_SIGHTINGS_MAX && !hand_over(&mut batch, &mut parcel, give) {
                return;
            }
            piece.sightings.into_iter().for_each(|hashed| batch.add_hashed(hashed));
            parcel.bytes_read += piece.bytes_read;
            parcel.cursors.extend(piece.cursor.map(|cursor| ((*path).to_owned(), cursor)));
            if let Some(fault) = piece.end {
                is_over = true;
                parcel.files += 1;
                parcel.faults.push(((*path).to_owned(), fault));
            }
        }
        // Rather between files than within one, so that a call's lines stay together.
        let is_full = batch.len() + PIECE_SIGHTINGS_MAX > BATCH_SIGHTINGS_MAX || parcel.files >= PARCEL_FILES_MAX;
        if is_full && !hand_over(&mut batch, &mut parcel, give) {
            return;
        }
    }
    hand_over(&mut batch, &mut parcel, give);
}

/// `false` where nobody takes it.
fn hand_over(batch: &mut Batch, parcel: &mut Parcel, give: &SyncSender<Parcel>) -> bool {
    parcel.sightings = batch.take().into_iter().map(|(_, sighting)| sighting).collect();
    give.send(std::mem::take(parcel)).is_ok()
}
