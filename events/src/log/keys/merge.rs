//! How a run is written: from keys in memory and older runs, line by line, with little memory beside its prefixes.

use super::{
    KeysError,
    prefixes::PrefixesBuilder,
    print::Mark,
    private_options,
    run::{CRC_BYTES, Header, RECORDS_PER_BLOCK, Run, Shape, WINDOW_BYTES, damaged, io_fault},
    sync_folder,
};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

/// How much is written at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Lines in order, from one place.
pub(super) struct Source<'a> {
    rest: Box<dyn Iterator<Item = Result<Mark, KeysError>> + 'a>,
}

impl<'a> Source<'a> {
    pub(super) fn filed(run: &'a Run) -> Source<'a> {
        Source { rest: Box::new(run.marks()) }
    }

    pub(super) fn fresh(marks: Vec<Mark>) -> Source<'a> {
        Source { rest: Box::new(marks.into_iter().map(Ok)) }
    }
}

/// Writes the run of everything in `sources`, oldest source first, and opens it. When it returns, the disk has it.
pub(super) fn merge(header: Header, sources: Vec<Source<'_>>, unfinished: &Path, path: &Path) -> Result<Run, KeysError> {
    let shape = Shape::of(&header).ok_or_else(|| damaged(path, "it would have too many keys for this machine"))?;
    let io = |source| io_fault(unfinished, source);
    let file = private_options().read(true).write(true).create(true).truncate(true).open(unfinished).map_err(io)?;
    let mut writer = RunWriter::new(file, &header, shape).map_err(io)?;
    let mut heads = Vec::with_capacity(sources.len());
    for Source { mut rest } in sources {
        if let Some(head) = rest.next().transpose()? {
            heads.push((head, rest));
        }
    }
    // Few sources: looking at each is faster than keeping a heap. Of equal lines the older source's is less.
    while let Some(least) = (0..heads.len()).min_by_key(|&place| heads[place].0) {
        let (head, rest) = &mut heads[least];
        if writer.pushed == header.count {
            return Err(damaged(path, "what it is merged from has more keys than it says"));
        }
        writer.push(*head).map_err(io)?;
        match rest.next().transpose()? {
            Some(next) => *head = next,
            None => drop(heads.remove(least)),
        }
    }
    let (file, prefixes) = writer.finish().map_err(io)?;
    let prefixes = prefixes.finish().ok_or_else(|| damaged(path, "what it is merged from has fewer keys than it says"))?;
    let crc = shape.block_crc(header.count.div_ceil(RECORDS_PER_BLOCK), prefixes.bytes());
    (&file).write_all(prefixes.bytes()).and_then(|()| (&file).write_all(&crc.to_le_bytes())).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(unfinished, path).map_err(io)?;
    path.parent().map_or(Ok(()), sync_folder).map_err(|source| io_fault(path, source))?;
    Ok(Run::written(path, file, header, shape, prefixes))
}

/// A run in the making, up to its prefixes.
struct RunWriter {
    file: BufWriter<File>,
    shape: Shape,
    prefixes: PrefixesBuilder,
    block: Vec<u8>,
    pushed: u64,
}

impl RunWriter {
    fn new(file: File, header: &Header, shape: Shape) -> io::Result<RunWriter> {
        let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
        file.write_all(&header.encode())?;
        let block = vec![0; shape.block_bytes() + WINDOW_BYTES];
        Ok(RunWriter { file, shape, prefixes: PrefixesBuilder::new(shape.prefixes), block, pushed: 0 })
    }

    fn push(&mut self, mark: Mark) -> io::Result<()> {
        self.prefixes.push(mark.print);
        self.shape.put(&mut self.block, self.pushed % RECORDS_PER_BLOCK, mark);
        self.pushed += 1;
        if self.pushed.is_multiple_of(RECORDS_PER_BLOCK) { self.write_block() } else { Ok(()) }
    }

    fn write_block(&mut self) -> io::Result<()> {
        let number = (self.pushed - 1) / RECORDS_PER_BLOCK;
        let len = self.shape.block_bytes();
        let crc = self.shape.block_crc(number, &self.block[..len]);
        self.block[len..len + CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all(&self.block[..len + CRC_BYTES])?;
        self.block.fill(0);
        Ok(())
    }

    /// Writes what is left of the last block.
    fn finish(mut self) -> io::Result<(File, PrefixesBuilder)> {
        if !self.pushed.is_multiple_of(RECORDS_PER_BLOCK) {
            self.write_block()?;
        }
        Ok((self.file.into_inner().map_err(io::IntoInnerError::into_error)?, self.prefixes))
    }
}
