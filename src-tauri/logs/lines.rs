//! Lines of a file that may be larger than memory, with lines that may be larger than sense.

use std::io::{self, Read};

/// The longest line that is read. Images make lines of many megabytes; a longer one is passed over.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;
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
    /// `buffer[start..end]` is read and not yet given out, and no line ends in `buffer[start..scanned]`.
    start: usize,
    scanned: usize,
    end: usize,
    /// Where in the file `start` lies.
    offset: u64,
    /// The rest of an overlong line is being passed over.
    passing: bool,
    too_long: u64,
    bytes_read: u64,
    line_bytes_max: usize,
}

impl<R: Read> Lines<R> {
    /// `source` stands at `offset`, where a line begins.
    pub(super) fn new(source: R, offset: u64) -> Lines<R> {
        Lines::with_limit(source, offset, LINE_BYTES_MAX)
    }

    fn with_limit(source: R, offset: u64, line_bytes_max: usize) -> Lines<R> {
        let buffer = Vec::new();
        Lines { source, buffer, start: 0, scanned: 0, end: 0, offset, passing: false, too_long: 0, bytes_read: 0, line_bytes_max }
    }

    /// The next whole line and where it begins; `None` at the end of the file.
    pub(super) fn next_whole(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[self.scanned..self.end]) {
                let line = self.start..self.scanned + found;
                let offset = self.offset;
                self.give_out(line.end + 1);
                if std::mem::take(&mut self.passing) {
                    continue;
                }
                return Ok(Some((offset, &self.buffer[line])));
            }
            self.scanned = self.end;
            if self.passing {
                self.give_out(self.end);
            } else if self.end - self.start > self.line_bytes_max {
                self.passing = true;
                self.too_long += 1;
                self.give_out(self.end);
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

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How many lines were passed over.
    pub(super) fn too_long(&self) -> u64 {
        self.too_long
    }

    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    fn give_out(&mut self, until: usize) {
        self.offset += (until - self.start) as u64;
        self.start = until;
        self.scanned = until;
    }

    /// Reads on. `false` at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
        }
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.scanned, self.end) = (0, self.scanned - self.start, self.end - self.start);
            if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
                // Doubled, so that a long line is moved a few times only.
                self.buffer.resize((self.buffer.len() * 2).max(CHUNK_BYTES), 0);
            }
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    self.bytes_read += count as u64;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    fn read(bytes: &[u8], sizes: Vec<usize>, limit: usize) -> Split {
        let mut lines = Lines::with_limit(Pieces(bytes, sizes, 0), 0, limit);
        let mut all = Vec::new();
        while let Some((offset, line)) = lines.next_whole().expect("memory reads") {
            all.push((offset, line.to_vec()));
        }
        (all, lines.rest().1.to_vec(), lines.too_long())
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400),
                                          sizes in proptest::collection::vec(1usize..50, 1..5)) {
            let (lines, rest, _) = read(&bytes, sizes, 1 << 20);
            let mut expected: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            prop_assert_eq!(Some(rest), expected.pop());
            let (offsets, lines): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
            prop_assert_eq!(&lines, &expected);
            for (offset, line) in offsets.into_iter().zip(lines) {
                let at = usize::try_from(offset).expect("small");
                prop_assert_eq!(&bytes[at..at + line.len()], &line[..]);
            }
        }
    }

    #[test]
    fn an_overlong_line_is_passed_over_and_the_next_one_read() {
        let mut bytes = vec![b'x'; 3 << 20];
        bytes.extend_from_slice(b"\nnext\n");
        bytes.extend(vec![b'y'; 3 << 20]);
        let (lines, rest, too_long) = read(&bytes, vec![100_000], 1 << 20);
        assert_eq!(lines, [((3 << 20) + 1, b"next".to_vec())]);
        assert_eq!((rest.len(), too_long), (0, 2));
    }

    #[test]
    fn a_long_line_within_the_limit_is_read_whole() {
        let mut bytes = vec![b'x'; 5 << 20];
        bytes.push(b'\n');
        let (lines, _, too_long) = read(&bytes, vec![70_000], LINE_BYTES_MAX);
        assert_eq!((lines.len(), lines[0].1.len(), too_long), (1, 5 << 20, 0));
    }
}
