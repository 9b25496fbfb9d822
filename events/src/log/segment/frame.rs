//! The outside of a segment's two values: a header that can be read without unpacking, and one checksummed zstd frame.

use super::{
    Bounds, SegmentError,
    bytes::{Reader, checksum, put_varint},
};
use crate::{Seq, Span, Timestamp};
use std::io;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound, zstd_sys::ZSTD_EndDirective};

/// The two values, told apart by their first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    Hot = b'H',
    Cold = b'C',
}

const VERSION: u8 = 1;
/// Part, version, first entry, entries, bytes of the body, first and last instant, checksum of all that.
const HEADER_BYTES: usize = 2 + 8 + 4 + 4 + 8 + 8 + 4;
/// The largest body, unpacked. A segment of 8,192 lifelike calls has 0.6 MiB.
pub(super) const BODY_BYTES_MAX: usize = 8 << 20;
/// The most entries in one segment.
pub(super) const ENTRIES_MAX: usize = 32_768;
/// Measured (`segment/sweep.rs`): what higher levels find in ids and counts is not worth their time.
const LEVEL: i32 = 3;
/// Smaller pieces of a body do not repay a block of their own.
const BLOCK_BYTES_MIN: usize = 512;

/// The columns of a part before they are compressed.
#[derive(Default)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Where a column of another nature begins: it gets a block, and so code lengths, of its own.
    cuts: Vec<usize>,
}

impl Body {
    pub(super) fn begin(&mut self, bounds: &Bounds) {
        self.bytes.clear();
        self.cuts.clear();
        put_varint(&mut self.bytes, bounds.first.0);
        put_varint(&mut self.bytes, u64::from(bounds.entries));
    }

    pub(super) fn cut(&mut self) {
        if self.bytes.len() - self.cuts.last().copied().unwrap_or(0) >= BLOCK_BYTES_MIN {
            self.cuts.push(self.bytes.len());
        }
    }
}

/// What compresses; kept, because making it takes longer than a segment.
pub(super) struct Packer(CCtx<'static>);

impl Packer {
    pub(super) fn new() -> Packer {
        let mut context = CCtx::create();
        for parameter in [CParameter::CompressionLevel(LEVEL), CParameter::ChecksumFlag(true)] {
            context.set_parameter(parameter).expect("zstd knows the parameter");
        }
        Packer(context)
    }

    #[cfg(test)]
    pub(super) fn set_level(&mut self, level: i32) {
        self.0.set_parameter(CParameter::CompressionLevel(level)).expect("zstd knows the level");
    }

    pub(super) fn pack(&mut self, part: Part, bounds: &Bounds, body: &Body) -> Result<Vec<u8>, SegmentError> {
        let size = body.bytes.len();
        if size > BODY_BYTES_MAX {
            return Err(SegmentError::TooLarge(size));
        }
        let mut value = Vec::with_capacity(HEADER_BYTES + compress_bound(size) + 64 * body.cuts.len());
        put_header(&mut value, part, bounds, size);
        self.compress(body, &mut value).expect("zstd compresses what fits into memory");
        value.shrink_to_fit();
        Ok(value)
    }

    fn compress(&mut self, body: &Body, value: &mut Vec<u8>) -> Result<(), usize> {
        // The size in the frame lets zstd choose its tables by it, and makes a frame of another size wrong.
        self.0.reset(ResetDirective::SessionOnly)?;
        self.0.set_pledged_src_size(Some(body.bytes.len() as u64))?;
        let mut begin = 0;
        for end in body.cuts.iter().copied().chain([body.bytes.len()]) {
            let is_last = end == body.bytes.len();
            let directive = if is_last { ZSTD_EndDirective::ZSTD_e_end } else { ZSTD_EndDirective::ZSTD_e_flush };
            let mut input = InBuffer::around(&body.bytes[begin..end]);
            loop {
                value.reserve(64 << 10);
                let position = value.len();
                let mut output = OutBuffer::around_pos(value, position);
                if self.0.compress_stream2(&mut output, &mut input, directive)? == 0 {
                    break;
                }
            }
            begin = end;
            if is_last {
                break;
            }
        }
        Ok(())
    }
}

/// What unpacks; kept for the same reason.
pub(in crate::log) struct Unpacker(DCtx<'static>);

impl Unpacker {
    pub(in crate::log) fn new() -> Unpacker {
        Unpacker(DCtx::create())
    }

    /// The body of a part, in place of what was in `body`.
    pub(super) fn unpack(&mut self, part: Part, value: &[u8], body: &mut Vec<u8>) -> Result<Bounds, SegmentError> {
        let (bounds, size, frame) = read_header(part, value)?;
        body.clear();
        body.reserve(size);
        let damaged = |code| SegmentError::Frame(io::Error::other(zstd::zstd_safe::get_error_name(code)));
        let unpacked = self.0.decompress(body, frame).map_err(damaged)?;
        if unpacked != size {
            return Err(SegmentError::Damaged("its body has another size than its header says"));
        }
        if begin_body(body)?.0 != (bounds.first, bounds.entries) {
            return Err(SegmentError::Damaged("its body is another segment's"));
        }
        Ok(bounds)
    }
}

/// What a body says of itself, and the reader of what follows.
pub(super) fn begin_body(body: &[u8]) -> Result<((Seq, u32), Reader<'_>), SegmentError> {
    let mut reader = Reader::new(body);
    let first = Seq(reader.varint()?);
    // Not all of them have a byte in either value: a sum has none among the ids.
    let entries = reader.small()?;
    if entries as usize > ENTRIES_MAX {
        return Err(SegmentError::Damaged("a count is too large"));
    }
    Ok(((first, entries), reader))
}

/// What the header of a part says, without unpacking it.
pub(super) fn bounds(part: Part, value: &[u8]) -> Result<Bounds, SegmentError> {
    Ok(read_header(part, value)?.0)
}

fn put_header(out: &mut Vec<u8>, part: Part, bounds: &Bounds, size: usize) {
    out.extend_from_slice(&[part as u8, VERSION]);
    out.extend_from_slice(&bounds.first.0.to_le_bytes());
    out.extend_from_slice(&bounds.entries.to_le_bytes());
    out.extend_from_slice(&(size as u32).to_le_bytes());
    out.extend_from_slice(&bounds.span.from.micros().to_le_bytes());
    out.extend_from_slice(&bounds.span.until.micros().to_le_bytes());
    out.extend_from_slice(&checksum(out).to_le_bytes());
}

fn read_header(part: Part, value: &[u8]) -> Result<(Bounds, usize, &[u8]), SegmentError> {
    let mut reader = Reader::new(value);
    if reader.byte()? != part as u8 {
        return Err(SegmentError::Damaged("it is no such part of a segment"));
    }
    let version = reader.byte()?;
    if version != VERSION {
        return Err(SegmentError::Version(version));
    }
    let first = Seq(u64::from_le_bytes(reader.array()?));
    let entries = u32::from_le_bytes(reader.array()?);
    let size = u32::from_le_bytes(reader.array()?) as usize;
    let from = Timestamp::from_micros(i64::from_le_bytes(reader.array()?));
    let until = Timestamp::from_micros(i64::from_le_bytes(reader.array()?));
    let sum = checksum(&value[..HEADER_BYTES - 4]);
    if u32::from_le_bytes(reader.array()?) != sum {
        return Err(SegmentError::Damaged("its header has another checksum"));
    }
    let is_sound = entries as usize <= ENTRIES_MAX && size <= BODY_BYTES_MAX && first.0.checked_add(u64::from(entries)).is_some();
    if !is_sound {
        return Err(SegmentError::Damaged("its header exceeds the limits"));
    }
    Ok((Bounds { first, entries, span: Span { from, until } }, size, reader.rest()))
}
