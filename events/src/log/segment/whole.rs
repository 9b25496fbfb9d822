//! Both values of a segment read together: its entries, exactly as they were.

use super::{
    Columns, SegmentError, Side, Unpacker,
    bytes::Reader,
    columns::read_places,
    frame::{self, Part},
    texts::Texts,
};
use crate::{CallUuid, Entry, Event, Fees, RequestKey, Seq, Timestamp, Tokens, Usage, Usd};

/// A segment, read: any of its entries at the price of making it.
#[derive(Debug)]
pub(in crate::log) struct Whole {
    first: Seq,
    places: Vec<Place>,
    /// A usage with all that a profile says, by number of the profile.
    profiles: Vec<Usage>,
    profile: Vec<u32>,
    at: Vec<i64>,
    tokens: Vec<Tokens>,
    fees: Vec<Fees>,
    requests: Vec<Option<u32>>,
    latency_ms: Vec<Option<u32>>,
    reported_cost: Vec<Option<Usd>>,
    others: Vec<Entry>,
    cold: Cold,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Used {
        call: u32,
        row: u32,
    },
    /// The row of `before`; `after` is the next one.
    Restated {
        call: u32,
        row: u32,
    },
    Other {
        other: u32,
    },
}

/// What the cold value says, by call or by row.
#[derive(Debug)]
struct Cold {
    recorded_at: Vec<i64>,
    /// The keys that are not those of their usage, by call in ascending order.
    keys: Vec<(usize, Option<RequestKey>)>,
    sessions: Vec<String>,
    /// The number of the session and 1, or 0 for none.
    session: Vec<u32>,
    call_id: Texts,
    request_id: Texts,
    /// By row in ascending order.
    carried: Vec<(usize, CallUuid)>,
}

impl Whole {
    /// Reads the two values of one segment.
    pub(in crate::log) fn read(unpacker: &mut Unpacker, hot: &[u8], cold: &[u8]) -> Result<Whole, SegmentError> {
        let mut body = Vec::new();
        let bounds = unpacker.unpack(Part::Hot, hot, &mut body)?;
        let columns = Columns::read(&body)?;
        let places = places(&columns);
        let calls = places.len() - columns.others.len();
        let mut cold_body = Vec::new();
        if unpacker.unpack(Part::Cold, cold, &mut cold_body)? != bounds {
            return Err(SegmentError::Damaged("its two values are not of one segment"));
        }
        let cold = Cold::read(&cold_body, calls, columns.entry.len())?;
        Ok(Whole::of(columns, places, cold))
    }

    /// Reads a hot value whose cold one is gone: entries without ids, sessions and keys, recorded when their calls were made.
    pub(in crate::log) fn read_without_ids(unpacker: &mut Unpacker, hot: &[u8]) -> Result<Whole, SegmentError> {
        let mut body = Vec::new();
        unpacker.unpack(Part::Hot, hot, &mut body)?;
        let columns = Columns::read(&body)?;
        let places = places(&columns);
        let recorded_at = places.iter().filter_map(|place| match *place {
            Place::Used { row, .. } | Place::Restated { row, .. } => Some(columns.at[row as usize]),
            Place::Other { .. } => None,
        });
        let recorded_at: Vec<i64> = recorded_at.collect();
        let cold = Cold {
            keys: (0..recorded_at.len()).map(|call| (call, None)).collect(),
            recorded_at,
            sessions: Vec::new(),
            session: vec![0; columns.entry.len()],
            call_id: Texts::default(),
            request_id: Texts::default(),
            carried: Vec::new(),
        };
        Ok(Whole::of(columns, places, cold))
    }

    fn of(columns: Columns<'_>, places: Vec<Place>, cold: Cold) -> Whole {
        let rows = columns.entry.len();
        let fees = (0..rows).map(|row| columns.fees(row)).collect();
        let requests = (0..rows).map(|row| columns.requests(row)).collect();
        Whole {
            first: columns.first,
            places,
            profiles: columns.profiles.iter().map(|profile| profile.usage()).collect(),
            profile: columns.profile,
            at: columns.at,
            tokens: columns.tokens,
            fees,
            requests,
            latency_ms: columns.latency_ms,
            reported_cost: columns.reported_cost,
            others: columns.others,
            cold,
        }
    }

    /// How many entries there are.
    pub(in crate::log) fn len(&self) -> usize {
        self.places.len()
    }

    /// The entry at a place from 0 on; `None` behind the last.
    pub(in crate::log) fn entry(&self, index: usize) -> Option<Entry> {
        let (call, now, event) = match *self.places.get(index)? {
            Place::Other { other } => return self.others.get(other as usize).cloned(),
            Place::Used { call, row } => {
                let usage = self.usage(row as usize);
                (call as usize, usage.key(), Event::Used { usage: Box::new(usage) })
            }
            Place::Restated { call, row } => {
                let (before, after) = (self.usage(row as usize), self.usage(row as usize + 1));
                (call as usize, after.key(), Event::Restated { before: Box::new(before), after: Box::new(after) })
            }
        };
        Some(Entry {
            seq: Seq(self.first.0 + index as u64),
            recorded_at: Timestamp::from_micros(self.cold.recorded_at[call]),
            key: found(&self.cold.keys, call).unwrap_or(now),
            event,
        })
    }

    fn usage(&self, row: usize) -> Usage {
        let cold = &self.cold;
        let session = cold.session[row].checked_sub(1).map(|session| cold.sessions[session as usize].clone());
        Usage {
            at: Timestamp::from_micros(self.at[row]),
            call_id: cold.call_id.get(row).map(str::to_owned),
            request_id: cold.request_id.get(row).map(str::to_owned),
            carried: found(&cold.carried, row),
            session,
            tokens: self.tokens[row],
            fees: self.fees[row],
            requests: self.requests[row],
            reported_cost: self.reported_cost[row],
            latency_ms: self.latency_ms[row],
            ..self.profiles[self.profile[row] as usize].clone()
        }
    }
}

fn found<T: Copy>(sparse: &[(usize, T)], place: usize) -> Option<T> {
    sparse.binary_search_by_key(&place, |(place, _)| *place).ok().map(|found| sparse[found].1)
}

/// Where each entry is: what has no row is one of the others.
fn places(columns: &Columns<'_>) -> Vec<Place> {
    let mut places = Vec::with_capacity(columns.entries as usize);
    let (mut row, mut call, mut other) = (0u32, 0u32, 0u32);
    for entry in 0..columns.entries {
        let has_row = columns.entry.get(row as usize) == Some(&entry);
        if !has_row {
            places.push(Place::Other { other });
            other += 1;
            continue;
        }
        match columns.side[row as usize] {
            Side::Added => {
                places.push(Place::Used { call, row });
                row += 1;
            }
            Side::Taken => {
                places.push(Place::Restated { call, row });
                row += 2;
            }
        }
        call += 1;
    }
    places
}

impl Cold {
    fn read(body: &[u8], calls: usize, rows: usize) -> Result<Cold, SegmentError> {
        let (_, mut reader) = frame::begin_body(body)?;
        let mut recorded_at = Vec::with_capacity(calls);
        reader.instants(calls, &mut recorded_at)?;
        let keys = read_keys(&mut reader, calls)?;
        let mut sessions = Vec::new();
        for _ in 0..reader.count(rows)? {
            sessions.push(reader.text()?.to_owned());
        }
        let mut session = Vec::with_capacity(rows);
        for _ in 0..rows {
            let number = reader.small()?;
            if number as usize > sessions.len() {
                return Err(SegmentError::Damaged("a row has a session that is not there"));
            }
            session.push(number);
        }
        let call_id = Texts::read(&mut reader, rows)?;
        let request_id = Texts::read(&mut reader, rows)?;
        let mut carried = Vec::new();
        for row in read_places(&mut reader, rows)? {
            carried.push((row, CallUuid(u128::from_be_bytes(reader.array()?))));
        }
        reader.end()?;
        Ok(Cold { recorded_at, keys, sessions, session, call_id, request_id, carried })
    }
}

fn read_keys(reader: &mut Reader<'_>, calls: usize) -> Result<Vec<(usize, Option<RequestKey>)>, SegmentError> {
    let mut keys = Vec::new();
    for call in read_places(reader, calls)? {
        let is_some = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(SegmentError::Damaged("a key is neither there nor not")),
        };
        let key = RequestKey(reader.array()?);
        keys.push((call, is_some.then_some(key)));
    }
    Ok(keys)
}
