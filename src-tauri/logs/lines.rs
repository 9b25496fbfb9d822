//! Lines of a file that may be larger than memory, with lines that may be larger than sense.

use super::cursor::TAIL_BYTES;
use memchr::{memchr, memchr2, memmem, memrchr};
use std::{
    io::{self, Read},
    ops::Range,
};

/// The longest line that is read, without its long texts: a longer one is passed over.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;
/// A line that is longer than this and has no end yet loses its long texts.
const WHOLE_LINE_BYTES_MAX: usize = 1 << 20;
/// The longest text that such a line keeps. Names, ids and counts are shorter; what is longer is content.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// What sparse files are full of.
const HOLE: [u8; 4096] = [0; 4096];
/// How much is read at once, and the memory that ordinary lines take.
const CHUNK_BYTES: usize = 256 << 10;

/// One line of a log, without its end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// What it says.
    pub bytes: &'a [u8],
    /// The name of its file, without folder and ending.
    pub file: &'a str,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
}

/// Splits what `source` gives into lines. Only a line with its end counts as whole.
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not yet given out; whole lines end at `whole`, which no other line does.
    start: usize,
    whole: usize,
    end: usize,
    /// How much before `start` is still as it stands in the file.
    kept: usize,
    /// Where in the file `start` lies.
    offset: u64,
    /// Where each of the needles is found next in the whole lines; beyond the buffer where it is not.
    hits: Vec<usize>,
    /// Of the line at `start`, which has no end yet.
    shortened: Option<Shortened>,
    /// The rest of an overlong line is being passed over.
    passing: bool,
    long: u64,
    too_long: u64,
    bytes_read: u64,
    line_bytes_max: usize,
}

/// How far a line was freed of its long texts.
#[derive(Clone, Copy, Debug)]
struct Shortened {
    until: usize,
    /// Where the text begins in which it stopped.
    text: Option<usize>,
    /// That text is long, and is left out.
    is_long: bool,
    /// How many bytes were left out.
    gone: u64,
}

impl<R: Read> Lines<R> {
    /// `source` stands at `offset`, where a line begins. `buffer` is used again from file to file.
    pub(super) fn new(source: R, offset: u64, buffer: Vec<u8>) -> Lines<R> {
        Lines::with_limit(source, offset, buffer, LINE_BYTES_MAX)
    }

    fn with_limit(source: R, offset: u64, buffer: Vec<u8>, line_bytes_max: usize) -> Lines<R> {
        Lines {
            source,
            buffer,
            start: 0,
            whole: 0,
            end: 0,
            kept: 0,
            offset,
            hits: Vec::new(),
            shortened: None,
            passing: false,
            long: 0,
            too_long: 0,
            bytes_read: 0,
            line_bytes_max,
        }
    }

    /// The next whole line that has one of the needles in it, or of all lines where there are none, and where it begins; `None` at the end
    /// of the file.
    pub(super) fn next_with(&mut self, needles: &[memmem::Finder<'_>]) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            if self.whole > self.start {
                if self.passing {
                    let line = self.line_around(self.start);
                    self.give_out(line.end + 1);
                    self.passing = false;
                    continue;
                }
                let Some(found) = self.find(needles) else {
                    self.give_out(self.whole);
                    continue;
                };
                let line = self.line_around(found);
                self.give_out(line.start);
                let offset = self.offset;
                self.give_out(line.end + 1);
                return Ok(Some((offset, &self.buffer[line])));
            }
            if self.passing {
                self.give_out(self.end);
            } else if self.end - self.start > WHOLE_LINE_BYTES_MAX.min(self.line_bytes_max) {
                self.shorten();
                if self.end - self.start > self.line_bytes_max {
                    self.passing = true;
                    self.too_long += 1;
                    self.give_out(self.end);
                }
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// After the end of the file: what stands after the last whole line. Empty where that is the rest of an overlong line.
    pub(super) fn rest(&self) -> (u64, &[u8]) {
        (self.offset, if self.passing { &[] } else { &self.buffer[self.start..self.end] })
    }

    /// Where the first byte lies that was not given out. An overlong line without its end counts as given out.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What stands in the file before [`Lines::offset`], as it was read: as much as a cursor remembers. `None` where it is gone.
    pub(super) fn tail(&self) -> Option<&[u8]> {
        let wanted = usize::try_from(self.offset.min(TAIL_BYTES)).ok()?;
        (self.kept >= wanted).then(|| &self.buffer[self.start - wanted..self.start])
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How many lines were longer than the longest, and read all the same: without their long texts they are not.
    pub(super) fn long(&self) -> u64 {
        self.long
    }

    /// How many lines were passed over.
    pub(super) fn too_long(&self) -> u64 {
        self.too_long
    }

    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// The buffer, for the next file.
    pub(super) fn into_buffer(mut self) -> Vec<u8> {
        self.buffer.truncate(2 * CHUNK_BYTES);
        self.buffer.shrink_to(2 * CHUNK_BYTES);
        self.buffer
    }

    /// The next place of any needle in the whole lines.
    fn find(&mut self, needles: &[memmem::Finder<'_>]) -> Option<usize> {
        if needles.is_empty() {
            return Some(self.start);
        }
        let next =
            |needle: &memmem::Finder<'_>| needle.find(&self.buffer[self.start..self.whole]).map_or(usize::MAX, |found| self.start + found);
        if self.hits.len() != needles.len() {
            self.hits = needles.iter().map(next).collect();
        } else {
            self.hits.iter_mut().zip(needles).filter(|(hit, _)| **hit < self.start).for_each(|(hit, needle)| *hit = next(needle));
        }
        self.hits.iter().min().copied().filter(|hit| *hit < self.whole)
    }

    /// The whole line that has this place in it, without its end.
    fn line_around(&self, place: usize) -> Range<usize> {
        let begin = memrchr(b'\n', &self.buffer[self.start..place]).map_or(self.start, |found| self.start + found + 1);
        let end = memchr(b'\n', &self.buffer[place..self.whole]).map_or(self.whole - 1, |found| place + found);
        begin..end
    }

    fn give_out(&mut self, until: usize) {
        if until == self.start {
            return;
        }
        self.kept += until - self.start;
        self.offset += (until - self.start) as u64;
        if let Some(shortened) = self.shortened.take() {
            self.offset += shortened.gone;
            self.kept = until - self.start.max(shortened.until.min(until));
            self.long += u64::from(shortened.gone > self.line_bytes_max as u64);
        }
        self.start = until;
    }

    /// Leaves the long texts out of the line at `start`, which has no end yet and fills the buffer.
    fn shorten(&mut self) {
        let mut so_far = self.shortened.unwrap_or(Shortened { until: self.start, text: None, is_long: false, gone: 0 });
        let (mut from, mut to) = (so_far.until, so_far.until);
        while from < self.end {
            let Some(text) = so_far.text else {
                if self.buffer[from..self.end].starts_with(&HOLE) {
                    from += HOLE.len();
                    continue;
                }
                let byte = self.buffer[from];
                from += 1;
                // Between the words of JSON nothing of this kind means anything.
                if byte >= b' ' {
                    self.buffer[to] = byte;
                    to += 1;
                }
                if byte == b'"' {
                    so_far.text = Some(to);
                }
                continue;
            };
            let run = memchr2(b'"', b'\\', &self.buffer[from..self.end]).unwrap_or(self.end - from);
            let (sign, is_end) = match self.buffer.get(from + run..self.end) {
                Some([b'"', ..]) => (1, true),
                Some([b'\\', _, ..]) => (2, false),
                // The sign after it is still to be read.
                Some([b'\\']) if run == 0 => break,
                Some(_) | None => (0, false),
            };
            so_far.is_long |= to - text + run > TEXT_BYTES_MAX;
            if so_far.is_long {
                to = text;
                from += run + sign;
                if is_end {
                    self.buffer[to] = b'"';
                    to += 1;
                }
            } else {
                self.buffer.copy_within(from..from + run + sign, to);
                from += run + sign;
                to += run + sign;
            }
            if is_end {
                (so_far.text, so_far.is_long) = (None, false);
            }
        }
        let left = from..self.end;
        so_far.gone += (from - to) as u64;
        so_far.until = to;
        self.end = to + left.len();
        self.buffer.copy_within(left, to);
        self.shortened = Some(so_far);
    }

    /// Reads on. `false` at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        let before = self.start.min(self.kept).min(TAIL_BYTES as usize);
        let from = self.start - before;
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 && from > 0 {
            self.buffer.copy_within(from..self.end, 0);
            self.start -= from;
            self.end -= from;
            if let Some(shortened) = &mut self.shortened {
                shortened.until -= from;
                shortened.text = shortened.text.map(|text| text - from);
            }
            self.kept = before;
        }
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            // Doubled, so that a long line is moved a few times only.
            self.buffer.resize((self.buffer.len() * 2).max(CHUNK_BYTES), 0);
        }
        let read = loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let fresh = self.end..self.end + read;
        self.end = fresh.end;
        self.bytes_read += read as u64;
        self.whole = memrchr(b'\n', &self.buffer[fresh.clone()]).map_or(self.start, |found| fresh.start + found + 1);
        self.hits.clear();
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Gives its bytes in pieces of the given sizes, over and over.
    struct Pieces<'a>(&'a [u8], Vec<usize>, usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.1[self.2 % self.1.len()].min(into.len()).min(self.0.len());
            self.2 += 1;
            into[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    /// Whole lines with their offsets, the rest, and how many lines were too long.
    type Split = (Vec<(u64, Vec<u8>)>, Vec<u8>, u64);

    fn read(bytes: &[u8], sizes: Vec<usize>, limit: usize, needles: &[memmem::Finder<'_>]) -> Split {
        let mut lines = Lines::with_limit(Pieces(bytes, sizes, 0), 0, Vec::new(), limit);
        let mut all = Vec::new();
        while let Some((offset, line)) = lines.next_with(needles).expect("memory reads") {
            all.push((offset, line.to_vec()));
            if let Some(tail) = lines.tail() {
                let offset = usize::try_from(lines.offset()).expect("small");
                assert_eq!(tail, &bytes[offset.saturating_sub(TAIL_BYTES as usize)..offset]);
            }
        }
        (all, lines.rest().1.to_vec(), lines.too_long())
    }

    /// Whether all of a line was read but the long ones of its texts, of which anything may be left.
    fn but_long_texts(read: &Value, line: &Value) -> bool {
        const SHORT_BYTES: usize = 4_000;
        match (read, line) {
            (Value::String(read), Value::String(text)) => read == text || (text.len() > SHORT_BYTES && read.len() <= text.len()),
            (Value::Array(read), Value::Array(items)) => {
                read.len() == items.len() && read.iter().zip(items).all(|(read, item)| but_long_texts(read, item))
            }
            (Value::Object(read), Value::Object(fields)) => {
                let same = |(read, field): ((&String, &Value), (&String, &Value))| read.0 == field.0 && but_long_texts(read.1, field.1);
                read.len() == fields.len() && read.iter().zip(fields).all(same)
            }
            (read, other) => read == other,
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
                                          sizes in proptest::collection::vec(1usize..50, 1..5)) {
            let (lines, rest, _) = read(&bytes, sizes, 1 << 20, &[]);
            let mut expected: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            prop_assert_eq!(Some(rest), expected.pop());
            let (offsets, lines): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
            prop_assert_eq!(&lines, &expected);
            for (offset, line) in offsets.into_iter().zip(lines) {
                let at = usize::try_from(offset).expect("small");
                prop_assert_eq!(&bytes[at..at + line.len()], &line[..]);
            }
        }

        #[test]
        fn lines_with_a_needle_are_those_of_all_that_have_one(text in "[ab\n]{0,200}", sizes in proptest::collection::vec(1usize..50, 1..5)) {
            let needles = ["aa", "bab"];
            let (all, ..) = read(text.as_bytes(), sizes.clone(), 1 << 20, &[]);
            let (found, ..) = read(text.as_bytes(), sizes, 1 << 20, &needles.map(memmem::Finder::new));
            let has_one = |line: &[u8]| needles.iter().any(|needle| memmem::find(line, needle.as_bytes()).is_some());
            prop_assert_eq!(found, all.into_iter().filter(|(_, line)| has_one(line)).collect::<Vec<_>>());
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn a_long_line_is_read_without_its_long_texts(lengths in proptest::collection::vec(prop_oneof![0usize..40, 8180usize..8200, 100_000usize..400_000], 8..14),
                                                     sign in prop_oneof![Just("x"), Just("\""), Just("\\"), Just("é")],
                                                     size in 60_000usize..140_000) {
            let texts: Vec<Value> = lengths.iter().map(|length| sign.repeat(*length).into()).collect();
            let line = serde_json::json!({"a": texts, "b": {"usage": 7, "c": texts}});
            let mut bytes = line.to_string().into_bytes();
            bytes.extend_from_slice(b"\nnext\n");
            let (lines, rest, too_long) = read(&bytes, vec![size], LINE_BYTES_MAX, &[]);
            prop_assert_eq!((lines.len(), rest.len(), too_long), (2, 0, 0));
            prop_assert_eq!(lines[1].clone(), ((bytes.len() - 5) as u64, b"next".to_vec()));
            // A text may have begun to be left out within a sign, and the end of the line may come before the rest of it is.
            let read: Value = serde_json::from_str(&String::from_utf8_lossy(&lines[0].1)).expect("still JSON");
            prop_assert!(but_long_texts(&read, &line));
        }
    }

    #[test]
    fn an_overlong_line_is_passed_over_and_the_next_one_read() {
        let mut bytes = vec![b'x'; 3 << 20];
        bytes.extend_from_slice(b"\nnext\n");
        bytes.extend(vec![b'y'; 3 << 20]);
        let (lines, rest, too_long) = read(&bytes, vec![100_000], 1 << 20, &[]);
        assert_eq!(lines, [((3 << 20) + 1, b"next".to_vec())]);
        assert_eq!((rest.len(), too_long), (0, 2));
    }

    #[test]
    fn a_long_line_within_the_limit_is_read_whole() {
        let mut bytes = vec![b'x'; 5 << 20];
        bytes.push(b'\n');
        let (lines, _, too_long) = read(&bytes, vec![70_000], LINE_BYTES_MAX, &[]);
        assert_eq!((lines.len(), lines[0].1.len(), too_long), (1, 5 << 20, 0));
    }
}
