//! Mending: what damage took from the journal, and is known from elsewhere, is written back where it was.
//!
//! Each file that lacks entries is written anew beside the old one: whole frames as they are, and in the place of the damage frames whose
//! lines say `"rescued":true`. Damaged bytes that are not needed any more are kept in a file beside the journal. Damage of which not
//! everything is known stays where it is, so that reading goes on to report it.

use super::{
    Batch, Encoder, Journal, JournalError, LineRef, SUFFIX, Tidied,
    frame::{Decoder, NOTE_BYTES, Note},
    line::ends,
    months,
    scan::{Piece, Scan},
};
use crate::{
    Entry, Event, Seq,
    log::{BATCH_FACTS_MAX, at::At, private_options},
};
use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

const LEFT_OVER: &str = ".mend";

/// Entries that a journal lacks: those after `after` and before `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Gap {
    pub(in crate::log) after: Seq,
    pub(in crate::log) next: Seq,
}

/// The damage in a journal, found by reading all of it.
#[derive(Debug)]
pub(in crate::log) struct Mending {
    files: Vec<Survey>,
    swaps: u64,
    last: Seq,
}

/// The files that stand ready to take the place of damaged ones.
#[derive(Debug, Default)]
pub(in crate::log) struct Mended {
    files: Vec<Tidied>,
    swaps: u64,
    /// How many entries were written back.
    pub(in crate::log) rescued: u64,
    /// How many are still missing.
    pub(in crate::log) missing: u64,
}

/// What one file holds.
#[derive(Debug)]
struct Survey {
    path: PathBuf,
    file: Arc<File>,
    until: u64,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// Frames that decode and follow each other.
    Whole {
        from: u64,
        to: u64,
        first: Seq,
        last: Seq,
    },
    Damaged {
        from: u64,
        to: u64,
    },
}

impl Journal {
    /// The gaps between the files, found by reading the ends of each: a month that is gone.
    pub(in crate::log) fn gaps_between_months(&self) -> Result<Vec<Gap>, JournalError> {
        let mut gaps = Vec::new();
        let mut last = Some(Seq(0));
        for month in months(&self.folder)? {
            let path = self.path(&month);
            let (first, end) = File::open(&path)
                .and_then(|file| {
                    let mut file = At::beginning(Arc::new(file));
                    let until = file.file_bytes()?;
                    let end = Note::before(&mut file, until)?.map(|note| note.last);
                    Ok((super::first_seq(file, until)?, end))
                })
                .map_err(|source| JournalError::Io { path, source })?;
            if let (Some(after), Some(next)) = (last, first)
                && next > after.next()
            {
                gaps.push(Gap { after, next });
            }
            last = end;
        }
        Ok(gaps)
    }

    /// Reads the whole journal; `None` where nothing is missing.
    pub(in crate::log) fn mending(&self) -> Result<Option<Mending>, JournalError> {
        let mut files = Vec::new();
        for month in months(&self.folder)? {
            let path = self.path(&month);
            let io = |source| JournalError::Io { path: path.clone(), source };
            let current = self.current.as_ref().filter(|current| current.month == month);
            let (file, until) = match current {
                Some(current) => (current.file.clone(), current.bytes),
                None => {
                    let file = File::open(&path).map_err(io)?;
                    let until = file.metadata().map_err(io)?.len();
                    (Arc::new(file), until)
                }
            };
            let parts = survey(&At::beginning(file.clone()), until).map_err(io)?;
            files.push(Survey { path, file, until, parts });
        }
        let mending = Mending { files, swaps: self.swaps, last: self.last };
        Ok((!mending.is_whole()).then_some(mending))
    }

    /// Puts mended files in place, with what was appended meanwhile behind them. `false` where a file was replaced since: then nothing is done.
    pub(in crate::log) fn finish_mending(&mut self, mended: Mended) -> Result<bool, JournalError> {
        if mended.swaps != self.swaps {
            mended.files.iter().for_each(Tidied::discard);
            return Ok(false);
        }
        mended.files.into_iter().try_for_each(|file| self.swap(file))?;
        Ok(true)
    }
}

impl Mending {
    fn is_whole(&self) -> bool {
        let mut reached = Seq(0);
        let follow = |part: &Part| match *part {
            Part::Whole { first, last, .. } => std::mem::replace(&mut reached, last).next() == first,
            Part::Damaged { .. } => false,
        };
        self.files.iter().flat_map(|file| &file.parts).all(follow) && reached >= self.last
    }

    /// The first entry of the whole frames from a part on.
    fn next_whole(&self, file: usize, part: usize) -> Seq {
        let rest = self.files[file].parts[part..].iter().chain(self.files[file + 1..].iter().flat_map(|file| &file.parts));
        let first = |part: &Part| match *part {
            Part::Whole { first, .. } => Some(first),
            Part::Damaged { .. } => None,
        };
        rest.filter_map(first).next().unwrap_or(self.last.next())
    }

    /// Writes the files anew that lack entries of which `rescue` knows some. It is asked for the entries after one and before another, and
    /// answers with some of them and up to where it looked.
    pub(in crate::log) fn run(self, rescue: &dyn Fn(Seq, Seq) -> (Vec<Entry>, Seq)) -> Result<Mended, JournalError> {
        let mut mended = Mended { swaps: self.swaps, ..Mended::default() };
        let mut reached = Seq(0);
        for number in 0..self.files.len() {
            let rescued_before = mended.rescued;
            let is_last = number + 1 == self.files.len();
            let file = &self.files[number];
            if let [Part::Whole { first, last, .. }] = file.parts[..]
                && reached.next() == first
                && (!is_last || last >= self.last)
            {
                reached = last;
                continue;
            }
            let mut writer = Writer::begin(file)?;
            let mut is_changed = false;
            for (place, part) in file.parts.iter().enumerate() {
                let next = self.next_whole(number, place);
                let missing = if next > reached.next() { writer.rescue(Gap { after: reached, next }, rescue, &mut mended)? } else { 0 };
                reached = reached.max(Seq(next.0.saturating_sub(1)));
                match *part {
                    Part::Whole { from, to, last, .. } => {
                        writer.copy(from, to)?;
                        reached = reached.max(last);
                    }
                    Part::Damaged { from, to } => {
                        is_changed |= missing == 0;
                        if missing == 0 { writer.set_aside(from, to)? } else { writer.copy_bytes(from, to)? }
                    }
                }
            }
            if is_last && reached < self.last {
                writer.rescue(Gap { after: reached, next: self.last.next() }, rescue, &mut mended)?;
            }
            if is_changed || mended.rescued > rescued_before {
                mended.files.push(writer.finish()?);
            } else {
                writer.discard();
            }
        }
        Ok(mended)
    }
}

/// Writes one file anew.
struct Writer<'s> {
    survey: &'s Survey,
    new_path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    entries: u64,
    encoder: Encoder,
    /// The damaged bytes to be kept beside.
    aside: Vec<(u64, u64)>,
}

impl<'s> Writer<'s> {
    fn begin(survey: &'s Survey) -> Result<Writer<'s>, JournalError> {
        let new_path = survey.path.with_extension(format!("zst{LEFT_OVER}"));
        let file = private_options().read(true).write(true).create(true).truncate(true).open(&new_path);
        let file = file.map_err(|source| JournalError::Io { path: new_path.clone(), source })?;
        let file = BufWriter::new(file);
        Ok(Writer { survey, new_path, file, bytes: 0, entries: 0, encoder: Encoder::default(), aside: Vec::new() })
    }

    fn io(&self) -> impl Fn(io::Error) -> JournalError + use<> {
        let path = self.new_path.clone();
        move |source| JournalError::Io { path: path.clone(), source }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.bytes += bytes.len() as u64;
        let io = self.io();
        self.file.write_all(bytes).map_err(io)
    }

    /// Copies whole frames. Each counts as an append of its own, because the file is synced as one.
    fn copy(&mut self, from: u64, to: u64) -> Result<(), JournalError> {
        let io = self.io();
        let mut scan = Scan::new(At::beginning(self.survey.file.clone()), from, to).map_err(&io)?;
        while let Some(piece) = scan.next().map_err(&io)? {
            let (bytes, first, last) = match piece {
                Piece::Noted { bytes, note, .. } => (bytes, note.first, note.last),
                Piece::Bare { offset, end, text } => {
                    let Some((first, last)) = ends(&text) else { continue };
                    (read_bytes(&self.survey.file, offset, end).map_err(&io)?, first, last)
                }
                Piece::Damage { reason, .. } => return Err(io(io::Error::other(reason))),
            };
            let Ok(frame_bytes) = u32::try_from(bytes.len()) else { return Err(io(io::Error::other("a frame that is too long"))) };
            self.put(&bytes)?;
            self.put(&Note { frame_bytes, append_bytes: frame_bytes + NOTE_BYTES as u32, first, last }.bytes())?;
            self.entries += last.0 + 1 - first.0;
        }
        Ok(())
    }

    fn copy_bytes(&mut self, from: u64, to: u64) -> Result<(), JournalError> {
        let bytes = read_bytes(&self.survey.file, from, to).map_err(self.io())?;
        self.put(&bytes)
    }

    fn set_aside(&mut self, from: u64, to: u64) -> Result<(), JournalError> {
        self.aside.push((from, to));
        Ok(())
    }

    /// Writes what is known of the entries in a gap; returns how many are not.
    fn rescue(&mut self, gap: Gap, rescue: &dyn Fn(Seq, Seq) -> (Vec<Entry>, Seq), mended: &mut Mended) -> Result<u64, JournalError> {
        let mut reached = gap.after;
        let mut missing = gap.next.0 - gap.after.0 - 1;
        while reached.next() < gap.next {
            let (mut entries, until) = rescue(reached, gap.next);
            entries.retain(|entry| entry.event != Event::Lost);
            for entries in entries.chunk_by(|one, next| one.seq.next() == next.seq).flat_map(|run| run.chunks(BATCH_FACTS_MAX)) {
                let lines: Vec<LineRef<'_>> = entries.iter().map(|entry| LineRef { entry, said: None, rescued: true }).collect();
                if let Some(Batch { bytes, .. }) = self.encoder.encode(&lines)? {
                    self.put(&bytes)?;
                }
            }
            let rescued = entries.len() as u64;
            missing -= rescued;
            mended.rescued += rescued;
            self.entries += rescued;
            // An answer that looked nowhere ends the search.
            reached = Seq(until.0.saturating_sub(1)).max(reached.next());
        }
        mended.missing += missing;
        Ok(missing)
    }

    /// Syncs the file and reads it back.
    fn finish(self) -> Result<Tidied, JournalError> {
        let io = self.io();
        let aside_path = self.survey.path.with_extension("damaged");
        let aside_io = |source| JournalError::Io { path: aside_path.clone(), source };
        if !self.aside.is_empty() {
            let mut aside = private_options().append(true).create(true).open(&aside_path).map_err(aside_io)?;
            for (from, to) in &self.aside {
                let bytes = read_bytes(&self.survey.file, *from, *to).map_err(aside_io)?;
                aside.write_all(&bytes).map_err(aside_io)?;
            }
            aside.sync_all().map_err(aside_io)?;
        }
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error).map_err(&io)?;
        file.sync_all().map_err(&io)?;
        let entries = |part: &Part| match *part {
            Part::Whole { first, last, .. } => last.0 + 1 - first.0,
            Part::Damaged { .. } => 0,
        };
        let read_back: u64 = survey(&At::beginning(Arc::new(file)), self.bytes).map_err(&io)?.iter().map(entries).sum();
        if read_back != self.entries {
            return Err(io(io::Error::other("it does not read back as it was written")));
        }
        Ok(Tidied::of(self.survey.path.clone(), self.new_path, self.survey.until, self.bytes))
    }

    fn discard(self) {
        // What stays is removed at the next opening.
        let _ = std::fs::remove_file(&self.new_path);
    }
}

/// Whether a file is one that mending did not finish.
pub(super) fn is_left_over(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(&format!("{SUFFIX}{LEFT_OVER}")))
}

/// The whole frames and the damage of a file, in order.
fn survey(file: &At, until: u64) -> io::Result<Vec<Part>> {
    let mut scan = Scan::new(file.clone(), 0, until)?;
    let mut decoder = Decoder::new();
    let mut parts: Vec<Part> = Vec::new();
    while let Some(piece) = scan.next()? {
        let (offset, range, to) = match piece {
            Piece::Noted { offset, bytes, note } => {
                (offset, decoder.text(&bytes).is_ok().then_some((note.first, note.last)), scan.position())
            }
            Piece::Bare { offset, end, text } => (offset, ends(&text), end),
            Piece::Damage { offset, .. } => (offset, None, scan.position()),
        };
        match (parts.last_mut(), range) {
            (Some(Part::Whole { to: before, last, .. }), Some((first, end))) if last.next() == first => (*before, *last) = (to, end),
            (_, Some((first, last))) => parts.push(Part::Whole { from: offset, to, first, last }),
            (Some(Part::Damaged { to: before, .. }), None) => *before = to,
            (_, None) => parts.push(Part::Damaged { from: offset, to }),
        }
    }
    Ok(parts)
}

fn read_bytes(file: &Arc<File>, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut at = At::beginning(file.clone());
    at.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    at.take(to - from).read_to_end(&mut bytes)?;
    Ok(bytes)
}
