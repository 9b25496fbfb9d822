//! The calls under way, named in a small file, so that the next engine can say which were lost if this one is killed.
//!
//! Written by the meter's thread, after each batch, without fsync: what a process wrote survives its own death, though not the machine's.
//! A call that begins and ends within one batch is never written.

use crate::words;
use events::{CallUuid, Timestamp};
use rustc_hash::FxHashMap;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// A file that grew to this is written anew, with the calls that are still under way.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How much of a file that was left behind is read.
const READ_BYTES_MAX: u64 = 4 << 20;
/// A token of English is about so many bytes; a request has more bytes to a token.
const BYTES_PER_TOKEN: u64 = 4;

/// The file and what is to be written to it.
pub(super) struct UnderWay {
    path: PathBuf,
    /// `None` until the first call, and after an error.
    file: Option<fs::File>,
    bytes: u64,
    /// The calls under way, with their line, and whether that is written.
    calls: FxHashMap<CallUuid, (String, bool)>,
    /// The ends of calls whose line is written.
    ends: String,
    changed: bool,
}

impl UnderWay {
    pub(super) fn new(path: PathBuf) -> UnderWay {
        UnderWay { path, file: None, bytes: 0, calls: FxHashMap::default(), ends: String::new(), changed: false }
    }

    /// A call has begun.
    pub(super) fn begun(&mut self, call: CallUuid, at: Timestamp, upstream: &str, sent_bytes: u64) {
        let line = format!("+ {:032x} {} {sent_bytes} {upstream}\n", call.0, at.micros());
        self.calls.insert(call, (line, false));
        self.changed = true;
    }

    /// A call has ended, in whatever way.
    pub(super) fn ended(&mut self, call: CallUuid) {
        if let Some((_, true)) = self.calls.remove(&call) {
            // Writing to a text does not fail.
            let _ = writeln!(self.ends, "- {:032x}", call.0);
        }
        self.changed = true;
    }

    /// Writes what has changed. A file that cannot be written is given up until it is needed again: nothing else depends on it.
    pub(super) fn write(&mut self) {
        if std::mem::take(&mut self.changed) && self.try_write().is_err() {
            (self.file, self.bytes) = (None, 0);
            self.ends.clear();
            self.calls.values_mut().for_each(|(_, written)| *written = false);
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.calls.is_empty() && self.file.is_none() {
            return Ok(());
        }
        let anew = self.file.is_none() || self.bytes > FILE_BYTES_MAX || self.calls.is_empty();
        let mut text = std::mem::take(&mut self.ends);
        if anew {
            text.clear();
        }
        for (line, written) in self.calls.values_mut() {
            if anew || !*written {
                text.push_str(line);
                *written = true;
            }
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(fs::OpenOptions::new().create(true).append(true).open(&self.path)?),
        };
        if anew {
            file.set_len(0)?;
            self.bytes = 0;
        }
        self.bytes += text.len() as u64;
        file.write_all(text.as_bytes())
    }
}

/// What an engine that was killed left under way, in one line; `None` where there is nothing. The file is removed.
pub(crate) fn left_behind(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(READ_BYTES_MAX).read_to_string(&mut text).ok()?;
    // One that cannot be removed is truncated by the first call.
    let _ = fs::remove_file(path);
    said(&text)
}

fn said(text: &str) -> Option<String> {
    let mut calls: BTreeMap<&str, (i64, u64, &str)> = BTreeMap::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["+", call, at, sent, upstream] => {
                calls.insert(call, (at.parse().unwrap_or(0), sent.parse().unwrap_or(0), upstream));
            }
            ["-", call] => {
                calls.remove(call);
            }
            // The last line may be torn.
            _ => {}
        }
    }
    let (last, sent) = calls.values().fold((0, 0_u64), |(last, sent), (at, bytes, _)| (last.max(*at), sent.saturating_add(*bytes)));
    let mut by: BTreeMap<&str, u64> = BTreeMap::new();
    calls.values().for_each(|(_, _, upstream)| *by.entry(upstream).or_default() += 1);
    let by: Vec<String> = by.into_iter().map(|(upstream, calls)| format!("{calls} to {upstream}")).collect();
    let under_way = words::counted(u64::try_from(calls.len()).unwrap_or(u64::MAX), "call was", "calls were");
    (!calls.is_empty()).then(|| {
        format!(
            "the engine ended without being stopped, after {}: {under_way} under way ({}), with at most {} tokens sent, and may lack in the ledger",
            Timestamp::from_micros(last),
            by.join(", "),
            sent.div_ceil(BYTES_PER_TOKEN)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn calls_without_an_end_are_left_behind_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls");
        let mut under_way = UnderWay::new(path.clone());
        for call in 1..=4 {
            under_way.begun(CallUuid(call), at(60), if call == 1 { "anthropic" } else { "openai" }, 400);
        }
        under_way.ended(CallUuid(4));
        under_way.write();
        under_way.ended(CallUuid(3));
        under_way.write();
        let line = left_behind(&path).expect("two calls");
        assert!(line.contains("2 calls were under way (1 to anthropic, 1 to openai), with at most 200 tokens sent"), "{line}");
        assert!(line.contains("after 1970-01-01T00:01:00"), "{line}");
        assert_eq!(left_behind(&path), None);
    }

    #[test]
    fn file_is_empty_once_all_calls_have_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls");
        let mut under_way = UnderWay::new(path.clone());
        for call in 0..50_000 {
            under_way.begun(CallUuid(call), at(1), "openai", 0);
            under_way.write();
            assert!(under_way.bytes <= FILE_BYTES_MAX + 200, "bounded");
            under_way.ended(CallUuid(call));
        }
        under_way.write();
        assert_eq!(fs::metadata(&path).map(|file| file.len()).ok(), Some(0));
        assert_eq!(left_behind(&path), None);
    }

    #[test]
    fn torn_or_foreign_text_is_passed_over() {
        assert_eq!(said("+ 01 x y\n\u{0}\n- 02\n+ 0"), None);
        assert!(said("+ 01 60000000 9 openai\n- 0").is_some_and(|line| line.contains("1 call was under way")));
    }
}
