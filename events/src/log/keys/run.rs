//! A run: the keys of a range of entries, sorted, in one immutable file.
//!
//! ```text
//! header    magic, version, first and last entry, number of keys, origin; crc32
//! blocks    RECORDS_PER_BLOCK records each: the rest of a print and the place of its entry after the first; crc32
//! prefixes  the first bits of every print (prefixes.rs); crc32
//! ```
//!
//! Numbers are little-endian. The checksum of a block starts from that of the header and the block's number, so that a block
//! of another file or place fails it. How long the file is follows from the header.

use super::{
    KeysError,
    prefixes::{Layout, Prefixes},
    print::{Mark, Print},
};
use crate::Seq;
use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

/// How the name of a run ends.
pub(super) const EXTENSION: &str = "keys";
/// A lookup reads and checks one block; a smaller one spends more on checksums than it saves on reading.
pub(super) const RECORDS_PER_BLOCK: u64 = 64;
/// How many blocks merging reads at once.
const BLOCKS_AT_ONCE: u64 = 128;
pub(super) const CRC_BYTES: usize = 4;
/// A record is read and written in a window of 16 bytes, which may reach beyond the end of its block.
pub(super) const WINDOW_BYTES: usize = 16;
const MAGIC: [u8; 8] = *b"tollkeys";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 4 * 8 + CRC_BYTES;

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The first entry whose key is here, and the last.
    pub(super) first: Seq,
    pub(super) last: Seq,
    /// How many keys there are; at least one, at most one per entry.
    pub(super) count: u64,
    /// The first key of the whole index.
    pub(super) origin: Print,
}

impl Header {
    /// The name of the file.
    pub(super) fn name(&self) -> String {
        format!("{:012}-{:012}.{EXTENSION}", self.first.0, self.last.0)
    }

    pub(super) fn read(path: &Path) -> Result<Header, KeysError> {
        let mut bytes = [0; HEADER_BYTES];
        let mut file = File::open(path).map_err(|source| io_fault(path, source))?;
        file.read_exact(&mut bytes).map_err(|source| io_fault(path, source))?;
        Header::decode(&bytes).ok_or_else(|| damaged(path, "its header is no header of a run"))
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        for (place, number) in [self.first.0, self.last.0, self.count, self.origin.0].into_iter().enumerate() {
            bytes[12 + place * 8..][..8].copy_from_slice(&number.to_le_bytes());
        }
        let (said, crc) = bytes.split_at_mut(HEADER_BYTES - CRC_BYTES);
        crc.copy_from_slice(&crc32fast::hash(said).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let number = |place: usize| bytes.get(12 + place * 8..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let header = Header { first: Seq(number(0)?), last: Seq(number(1)?), count: number(2)?, origin: Print::read(number(3)?)? };
        let entries = header.last.0.checked_sub(header.first.0)?.checked_add(1)?;
        // Magic, version and checksum all at once: there is one way to write a header.
        (header.encode() == *bytes && header.first > Seq(0) && (1..=entries).contains(&header.count)).then_some(header)
    }

    /// From which the checksums of the blocks start.
    pub(super) fn crc(&self) -> u32 {
        let bytes = self.encode();
        bytes.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
    }
}

/// Where the parts of a run lie. All of it follows from the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) prefixes: Layout,
    first: Seq,
    rest_bits: u32,
    record_bits: usize,
    blocks: u64,
    crc: u32,
}

impl Shape {
    /// `None` for a run that is too great for this machine.
    pub(super) fn of(header: &Header) -> Option<Shape> {
        let prefixes = Layout::of(header.count)?;
        let rest_bits = prefixes.rest_bits();
        let seq_bits = u64::BITS - (header.last.0 - header.first.0).leading_zeros();
        Some(Shape {
            prefixes,
            first: header.first,
            rest_bits,
            record_bits: (rest_bits + seq_bits) as usize,
            blocks: header.count.div_ceil(RECORDS_PER_BLOCK),
            crc: header.crc(),
        })
    }

    /// The bytes of a block without its checksum.
    pub(super) fn block_bytes(&self) -> usize {
        self.record_bits * RECORDS_PER_BLOCK as usize / 8
    }

    fn block_at(&self, block: u64) -> u64 {
        HEADER_BYTES as u64 + block * (self.block_bytes() + CRC_BYTES) as u64
    }

    fn file_bytes(&self) -> u64 {
        self.block_at(self.blocks) + (self.prefixes.bytes() + CRC_BYTES) as u64
    }

    pub(super) fn block_crc(&self, block: u64, bytes: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new_with_initial(self.crc.wrapping_add(block as u32));
        crc.update(bytes);
        crc.finalize()
    }

    /// Puts a record into a block of zeros. `record` counts within the block.
    pub(super) fn put(&self, block: &mut [u8], record: u64, mark: Mark) {
        let rest = mark.print.0 & ((1 << self.rest_bits) - 1);
        let value = u128::from(mark.seq.0 - self.first.0) << self.rest_bits | u128::from(rest);
        let bit = record as usize * self.record_bits;
        let window = &mut block[bit / 8..][..WINDOW_BYTES];
        let mut bytes = [0; WINDOW_BYTES];
        bytes.copy_from_slice(window);
        window.copy_from_slice(&(u128::from_le_bytes(bytes) | value << (bit % 8)).to_le_bytes());
    }

    /// The last bits of a print, and its entry. `record` counts within the block; `None` beyond its end.
    fn get(&self, block: &[u8], record: u64) -> Option<(u64, Seq)> {
        let bit = record as usize * self.record_bits;
        let window = block.get(bit / 8..)?.first_chunk::<WINDOW_BYTES>()?;
        let value = u128::from_le_bytes(*window) >> (bit % 8) & ((1 << self.record_bits) - 1);
        let rest = value as u64 & ((1 << self.rest_bits) - 1);
        Some((rest, Seq(self.first.0.checked_add((value >> self.rest_bits) as u64)?)))
    }

    fn rest(&self, print: Print) -> u64 {
        print.0 & ((1 << self.rest_bits) - 1)
    }
}

/// A run, open: its prefixes in memory, its records on the disk.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    file: File,
    header: Header,
    shape: Shape,
    prefixes: Prefixes,
}

impl Run {
    /// Opens a run whose header was read. The records are not looked at.
    pub(super) fn open(path: &Path, header: Header) -> Result<Run, KeysError> {
        let shape = Shape::of(&header).ok_or_else(|| damaged(path, "it has too many keys for this machine"))?;
        let file = File::open(path).map_err(|source| io_fault(path, source))?;
        // The length first: it bounds what is allocated for the prefixes.
        if file.metadata().map_err(|source| io_fault(path, source))?.len() != shape.file_bytes() {
            return Err(damaged(path, "it is longer or shorter than its header says"));
        }
        let mut bytes = vec![0; shape.prefixes.bytes() + CRC_BYTES];
        read_exact_at(&file, &mut bytes, shape.block_at(shape.blocks)).map_err(|source| io_fault(path, source))?;
        let crc = bytes.split_off(shape.prefixes.bytes());
        if crc != shape.block_crc(shape.blocks, &bytes).to_le_bytes() {
            return Err(damaged(path, "its prefixes fail their checksum"));
        }
        let prefixes = Prefixes::new(shape.prefixes, bytes).ok_or_else(|| damaged(path, "its prefixes are cut short"))?;
        Ok(Run { path: path.to_owned(), file, header, shape, prefixes })
    }

    /// A run that was just written.
    pub(super) fn written(path: &Path, file: File, header: Header, shape: Shape, prefixes: Prefixes) -> Run {
        Run { path: path.to_owned(), file, header, shape, prefixes }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// The entries under a print, newest first.
    pub(super) fn candidates(&self, print: Print) -> impl Iterator<Item = Result<Seq, KeysError>> + '_ {
        let (places, fault) = match self.prefixes.find(print) {
            Some(places) => (places, None),
            None => (0..0, Some(Err(damaged(&self.path, "its prefixes contradict themselves")))),
        };
        let rest = self.shape.rest(print);
        let mut blocks = Blocks::none(1);
        let found = places.rev().filter_map(move |place| match self.record(&mut blocks, place) {
            Ok((other, seq)) => (other == rest).then_some(Ok(seq)),
            Err(error) => Some(Err(error)),
        });
        fault.into_iter().chain(found)
    }

    /// Everything, in order.
    pub(super) fn marks(&self) -> impl Iterator<Item = Result<Mark, KeysError>> + '_ {
        let mut blocks = Blocks::none(BLOCKS_AT_ONCE);
        self.prefixes.iter().zip(0..self.header.count).map(move |(prefix, place)| {
            let (rest, seq) = self.record(&mut blocks, place)?;
            Ok(Mark { print: Print(prefix | rest), seq })
        })
    }

    fn record(&self, blocks: &mut Blocks, place: u64) -> Result<(u64, Seq), KeysError> {
        let number = place / RECORDS_PER_BLOCK;
        if !blocks.numbers.contains(&number) {
            self.read(blocks, number)?;
        }
        let at = (number - blocks.numbers.start) as usize * (self.shape.block_bytes() + CRC_BYTES);
        let record = self.shape.get(blocks.bytes.get(at..).unwrap_or_default(), place % RECORDS_PER_BLOCK);
        record.filter(|(_, seq)| *seq <= self.header.last).ok_or_else(|| damaged(&self.path, "a record lies outside the run"))
    }

    /// Reads a block, and as many after it as are wanted at once.
    fn read(&self, blocks: &mut Blocks, number: u64) -> Result<(), KeysError> {
        let len = self.shape.block_bytes();
        let end = self.shape.blocks.min(number + blocks.at_once);
        blocks.numbers = 0..0;
        let bytes = end.saturating_sub(number) as usize * (len + CRC_BYTES);
        blocks.bytes.resize(bytes + WINDOW_BYTES, 0);
        let read = &mut blocks.bytes[..bytes];
        read_exact_at(&self.file, read, self.shape.block_at(number)).map_err(|source| io_fault(&self.path, source))?;
        for (number, block) in (number..end).zip(read.chunks_exact(len + CRC_BYTES)) {
            let (records, crc) = block.split_at(len);
            if *crc != self.shape.block_crc(number, records).to_le_bytes() {
                return Err(damaged(&self.path, "a block fails its checksum"));
            }
        }
        blocks.numbers = number..end;
        Ok(())
    }
}

/// The blocks that were read last.
struct Blocks {
    numbers: Range<u64>,
    bytes: Vec<u8>,
    at_once: u64,
}

impl Blocks {
    fn none(at_once: u64) -> Blocks {
        Blocks { numbers: 0..0, bytes: Vec::new(), at_once }
    }
}

/// What a failed read or write means. A file that ends too early is damaged; the system is well.
// Kinds of errors are the system's, and more may come.
#[allow(clippy::wildcard_enum_match_arm)]
pub(super) fn io_fault(path: &Path, source: io::Error) -> KeysError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, "it is cut short"),
        _ => KeysError::Io { path: path.to_owned(), source },
    }
}

pub(super) fn damaged(path: &Path, reason: &'static str) -> KeysError {
    KeysError::Damaged { path: path.to_owned(), reason }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                at += read as u64;
            }
        }
    }
    Ok(())
}
