//! Reading the hot value: what folding needs, and nothing else.

use super::{
    Columns, Kind, Profile, SegmentError, Side, Unpacker,
    bytes::{Reader, unzigzag_wide},
    frame::{self, Part},
    tokens::read_tokens,
};
#[cfg(test)]
use crate::Entry;
use crate::{Pieces, Seq, Usd, wire};

/// Which of the columns that a segment may lack it has.
pub(super) const HAS_WEB_SEARCH: u8 = 1;
pub(super) const HAS_LATENCY: u8 = 2;
pub(super) const HAS_PIECES: u8 = 4;
pub(super) const HAS_REQUESTS: u8 = 8;

impl Unpacker {
    /// The body of a hot value, in place of what was in `body`: what [`Columns::read`] reads.
    pub(in crate::log) fn unpack_hot(&mut self, hot: &[u8], body: &mut Vec<u8>) -> Result<super::Bounds, SegmentError> {
        self.unpack(Part::Hot, hot, body)
    }

    /// Every entry of a segment, exactly as it was.
    #[cfg(test)]
    pub(in crate::log) fn entries(&mut self, segment: &super::Segment) -> Result<Vec<Entry>, SegmentError> {
        let whole = super::Whole::read(self, &segment.hot, &segment.cold)?;
        Ok((0..whole.len()).filter_map(|index| whole.entry(index)).collect())
    }
}

impl<'a> Columns<'a> {
    /// Leaves out the entries up to one, so that a fold can go on where it stopped.
    pub(in crate::log) fn drop_up_to(&mut self, after: Seq) {
        if after < self.first {
            return;
        }
        let row = self.entry.partition_point(|entry| self.first.0 + u64::from(*entry) <= after.0);
        self.drop_rows(0..row);
        self.others.retain(|entry| entry.seq > after);
    }

    /// All that it tells of one entry: its rows, or the entry itself where it speaks of no single call.
    pub(in crate::log) fn told_of(&self, seq: Seq) -> impl PartialEq + use<'_, 'a> {
        let begin = |seq: Seq| self.entry.partition_point(|entry| self.first.0 + u64::from(*entry) < seq.0);
        let row = |row: usize| {
            let profile = self.profiles[self.profile[row] as usize];
            let numbers = (self.at[row], self.tokens[row], self.fees(row), self.latency_ms[row], self.reported_cost[row]);
            (profile, self.side[row], numbers, self.requests(row))
        };
        let rows: Vec<_> = (begin(seq)..begin(seq.next())).map(row).collect();
        (rows, self.others.iter().find(|entry| entry.seq == seq))
    }

    fn drop_rows(&mut self, rows: std::ops::Range<usize>) {
        self.profile.drain(rows.clone());
        self.entry.drain(rows.clone());
        self.side.drain(rows.clone());
        self.at.drain(rows.clone());
        self.tokens.drain(rows.clone());
        self.web_search.drain(rows.clone());
        if !self.pieces.is_empty() {
            self.pieces.drain(rows.clone());
        }
        if !self.requests.is_empty() {
            self.requests.drain(rows.clone());
        }
        self.latency_ms.drain(rows.clone());
        self.reported_cost.drain(rows);
    }

    /// The columns in an unpacked body.
    pub(crate) fn read(body: &'a [u8]) -> Result<Columns<'a>, SegmentError> {
        let ((first, entries), mut reader) = frame::begin_body(body)?;
        let mut columns = Columns { first, entries, ..Columns::default() };
        let others = columns.read_kinds(&mut reader)?;
        let rows = columns.entry.len();
        columns.read_profiles(&mut reader)?;
        columns.at.reserve_exact(rows);
        reader.instants(rows, &mut columns.at)?;
        columns.tokens = read_tokens(&mut reader, &columns.profile, columns.profiles.len())?;
        columns.read_rare(&mut reader)?;
        columns.read_others(&mut reader, &others)?;
        reader.end()?;
        Ok(columns)
    }

    /// What rows there are, and which entries have none.
    fn read_kinds(&mut self, reader: &mut Reader<'a>) -> Result<Vec<u32>, SegmentError> {
        let kinds = reader.bytes(self.entries as usize)?;
        let mut others = Vec::new();
        self.entry.reserve(kinds.len());
        self.side.reserve(kinds.len());
        for (entry, kind) in (0..).zip(kinds) {
            match *kind {
                USED => {
                    self.entry.push(entry);
                    self.side.push(Side::Added);
                }
                RESTATED => {
                    self.entry.extend([entry, entry]);
                    self.side.extend([Side::Taken, Side::Added]);
                }
                OTHER => others.push(entry),
                _ => return Err(SegmentError::Damaged("it has a kind of entry that this program does not know")),
            }
        }
        Ok(others)
    }

    fn read_profiles(&mut self, reader: &mut Reader<'a>) -> Result<(), SegmentError> {
        let rows = self.entry.len();
        for _ in 0..reader.count(rows)? {
            self.profiles.push(Profile::read(reader.counted_bytes()?)?);
        }
        self.profile.reserve_exact(rows);
        for _ in 0..rows {
            let profile = reader.small()?;
            if profile as usize >= self.profiles.len() {
                return Err(SegmentError::Damaged("a row has a profile that is not there"));
            }
            self.profile.push(profile);
        }
        Ok(())
    }

    /// The columns that only some segments have.
    fn read_rare(&mut self, reader: &mut Reader<'a>) -> Result<(), SegmentError> {
        let rows = self.entry.len();
        let present = reader.byte()?;
        if present & !(HAS_WEB_SEARCH | HAS_LATENCY | HAS_PIECES | HAS_REQUESTS) != 0 {
            return Err(SegmentError::Damaged("it has a column that this program does not know"));
        }
        self.web_search = vec![0; rows];
        if present & HAS_WEB_SEARCH != 0 {
            for count in &mut self.web_search {
                *count = reader.small()?;
            }
        }
        self.latency_ms = vec![None; rows];
        if present & HAS_LATENCY != 0 {
            for latency_ms in &mut self.latency_ms {
                *latency_ms = match reader.varint()? {
                    0 => None,
                    more => Some(u32::try_from(more - 1).map_err(|_| SegmentError::Damaged("a number is too large"))?),
                };
            }
        }
        if present & HAS_PIECES != 0 {
            self.pieces = vec![Pieces::default(); rows];
            for _ in 0..reader.count(Pieces::CLASSES)? {
                let class = str::from_utf8(reader.counted_bytes()?).map_err(|_| UNKNOWN_PIECES)?;
                for row in read_places(reader, rows)? {
                    *self.pieces[row].get_mut(class).ok_or(UNKNOWN_PIECES)? = reader.small()?;
                }
            }
        }
        if present & HAS_REQUESTS != 0 {
            self.requests = vec![None; rows];
            for row in read_places(reader, rows)? {
                self.requests[row] = Some(reader.small()?);
            }
        }
        self.reported_cost = vec![None; rows];
        for row in read_places(reader, rows)? {
            self.reported_cost[row] = Some(Usd::from_pico(unzigzag_wide(reader.wide()?)));
        }
        Ok(())
    }

    fn read_others(&mut self, reader: &mut Reader<'a>, others: &[u32]) -> Result<(), SegmentError> {
        for index in others {
            let entry = wire::decode(reader.counted_bytes()?).map_err(|_| SegmentError::Damaged("an entry in it is damaged"))?;
            // The header has seen that the last number does not overflow.
            if entry.seq != Seq(self.first.0.wrapping_add(u64::from(*index))) {
                return Err(SegmentError::Damaged("an entry in it is out of place"));
            }
            self.others.push(entry);
        }
        Ok(())
    }
}

const UNKNOWN_PIECES: SegmentError = SegmentError::Damaged("it has a class of pieces that this program does not know");

const USED: u8 = Kind::Used as u8;
const RESTATED: u8 = Kind::Restated as u8;
const OTHER: u8 = Kind::Other as u8;

/// Which of `count` things have what few of them have.
pub(super) fn read_places(reader: &mut Reader<'_>, count: usize) -> Result<Vec<usize>, SegmentError> {
    let mut places = Vec::new();
    let mut next = 0usize;
    for _ in 0..reader.count(count)? {
        let place = next.saturating_add(reader.small()? as usize);
        if place >= count {
            return Err(SegmentError::Damaged("a row is not there"));
        }
        places.push(place);
        next = place + 1;
    }
    Ok(places)
}
