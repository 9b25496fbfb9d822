//! The lines of a journal in order, decoded and parsed by threads of their own, with what cannot be read reported in its place.

use super::{
    JournalError, Line,
    frame::Decoder,
    line::{LINE_BYTES_MAX, LineFault, read_line},
    scan::{Piece, Scan},
};
use crate::{Seq, log::at::At};
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    vec::IntoIter,
};

/// How many threads decode and parse.
const PARSERS: usize = 2;
/// How many frames wait before and behind each of them. Bounds memory, with the length of a frame.
const FRAMES_WAITING_MAX: usize = 1;

/// A file to be read, from `from` to `until`.
pub(super) struct Stretch {
    pub(super) path: PathBuf,
    pub(super) file: At,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// A piece on its way to a parser.
struct Raw {
    path: Arc<PathBuf>,
    /// The bytes of all files up to here.
    passed_bytes: u64,
    piece: Result<Piece, JournalError>,
}

/// A piece that was parsed.
struct Parsed {
    path: Arc<PathBuf>,
    offset: u64,
    passed_bytes: u64,
    lines: Result<Vec<Result<Line, LineFault>>, Trouble>,
}

enum Trouble {
    Damage(String),
    Error(JournalError),
}

/// The lines after some entry, oldest first. Damage is an item like a line: reading goes on behind it.
pub(crate) struct Lines {
    parsers: Vec<Receiver<Parsed>>,
    turn: usize,
    path: Arc<PathBuf>,
    offset: u64,
    passed_bytes: u64,
    lines: IntoIter<Result<Line, LineFault>>,
    /// Lines up to here are not asked for.
    after: Seq,
    /// The newest entry that was passed on or reported.
    last: Seq,
    /// Up to here there must be lines.
    until: Seq,
    /// Damage that was met, until it is known what follows it.
    damage: Option<(Arc<PathBuf>, u64, String)>,
    /// A line that waits for the report of what was lost before it.
    held: Option<Result<Line, JournalError>>,
}

impl Lines {
    /// Reads the stretches in order. `after`: the lines up to there are passed over; `until`: the newest that is known to exist.
    pub(super) fn new(stretches: Vec<Stretch>, after: Seq, until: Seq) -> Lines {
        let (mut inputs, mut parsers) = (Vec::new(), Vec::new());
        if !stretches.is_empty() {
            for _ in 0..PARSERS {
                let (input, raw) = sync_channel(FRAMES_WAITING_MAX);
                let (parsed, output) = sync_channel(FRAMES_WAITING_MAX);
                thread::spawn(move || parse(&raw, &parsed));
                inputs.push(input);
                parsers.push(output);
            }
            // All of these threads end when nobody waits for what they make.
            thread::spawn(move || read(stretches, &inputs));
        }
        Lines {
            parsers,
            turn: 0,
            path: Arc::default(),
            offset: 0,
            passed_bytes: 0,
            lines: Vec::new().into_iter(),
            after,
            last: after,
            until,
            damage: None,
            held: None,
        }
    }

    /// The bytes of all files that were read so far.
    pub(in crate::log) fn passed_bytes(&self) -> u64 {
        self.passed_bytes
    }

    fn error(&mut self, next: Option<Seq>) -> Option<JournalError> {
        let (path, offset, reason) = self.damage.take()?;
        Some(JournalError::Damaged { path: path.as_ref().clone(), offset, after: self.last, next, reason })
    }

    fn damaged(&mut self, reason: String) {
        // Of neighbouring faults the first is told; what was lost is told by the entries around it.
        self.damage.get_or_insert_with(|| (Arc::clone(&self.path), self.offset, reason));
    }

    /// Takes the next frame; `false` at the end.
    fn next_frame(&mut self) -> Result<bool, JournalError> {
        let Some(parsed) = self.parsers.get(self.turn).and_then(|parser| parser.recv().ok()) else { return Ok(false) };
        self.turn = (self.turn + 1) % PARSERS;
        (self.path, self.offset, self.passed_bytes) = (parsed.path, parsed.offset, parsed.passed_bytes);
        match parsed.lines {
            Ok(lines) => self.lines = lines.into_iter(),
            Err(Trouble::Damage(reason)) => self.damaged(reason),
            Err(Trouble::Error(error)) => return Err(error),
        }
        Ok(true)
    }

    /// What becomes of the next line of a frame: nothing, or an item.
    fn place(&mut self, line: Result<Line, LineFault>) -> Option<Result<Line, JournalError>> {
        let (seq, line) = match line {
            Ok(line) => (line.entry.seq, Ok(line)),
            Err(LineFault::Later { seq, reason }) => (seq, Err(JournalError::Later { path: self.path.as_ref().clone(), seq, reason })),
            Err(LineFault::Damaged(reason)) => {
                self.damaged(reason);
                return None;
            }
        };
        if seq <= self.after {
            // What was lost before it is not asked for either.
            self.damage = None;
            return None;
        }
        if seq <= self.last {
            self.damaged(format!("entry {} stands where {} is due", seq.0, self.last.next().0));
            return None;
        }
        if seq != self.last.next() {
            self.damaged("entries are missing".into());
        }
        let error = self.error(Some(seq));
        self.last = seq;
        match error {
            Some(error) => {
                self.held = Some(line);
                Some(Err(error))
            }
            None => Some(line),
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Line, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        loop {
            while let Some(line) = self.lines.next() {
                if let Some(item) = self.place(line) {
                    return Some(item);
                }
            }
            match self.next_frame() {
                Ok(true) => {}
                Ok(false) => {
                    if self.last < self.until {
                        self.damaged("the end is missing".into());
                        let error = self.error(None);
                        self.last = self.until;
                        return error.map(Err);
                    }
                    return self.error(None).map(Err);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Hands the pieces of all stretches to the parsers in turn, so that their order is known without numbers.
fn read(stretches: Vec<Stretch>, parsers: &[SyncSender<Raw>]) {
    let mut turns = parsers.iter().cycle();
    let mut before = 0;
    for Stretch { path, file, from, until } in stretches {
        let path = Arc::new(path);
        // Sending fails where nobody listens any more.
        let mut send = |piece: io::Result<Piece>, position: u64| {
            let piece = piece.map_err(|source| JournalError::Io { path: path.as_ref().clone(), source });
            let raw = Raw { path: Arc::clone(&path), passed_bytes: before + position, piece };
            turns.next().is_some_and(|parser| parser.send(raw).is_ok())
        };
        let goes_on = match Scan::new(file, from, until) {
            Err(error) => send(Err(error), until),
            Ok(mut scan) => loop {
                match scan.next() {
                    Ok(None) => break true,
                    Ok(Some(piece)) => {
                        if !send(Ok(piece), scan.position()) {
                            break false;
                        }
                    }
                    Err(error) => break send(Err(error), until),
                }
            },
        };
        if !goes_on {
            return;
        }
        before += until;
    }
}

fn parse(pieces: &Receiver<Raw>, out: &SyncSender<Parsed>) {
    let mut decoder = Decoder::new();
    for Raw { path, passed_bytes, piece } in pieces {
        let (offset, lines) = match piece {
            Err(error) => (0, Err(Trouble::Error(error))),
            Ok(Piece::Damage { offset, reason }) => (offset, Err(Trouble::Damage(reason))),
            Ok(Piece::Bare { offset, text, .. }) => (offset, Ok(lines_of(&text))),
            Ok(Piece::Noted { offset, bytes, .. }) => (offset, decoder.text(&bytes).map(|text| lines_of(&text)).map_err(Trouble::Damage)),
        };
        if out.send(Parsed { path, offset, passed_bytes, lines }).is_err() {
            return;
        }
    }
}

fn lines_of(text: &str) -> Vec<Result<Line, LineFault>> {
    text.lines()
        .map(|line| match line.len() {
            0..=LINE_BYTES_MAX => read_line(line),
            bytes => Err(LineFault::Damaged(format!("a line of {bytes} bytes"))),
        })
        .collect()
}
