//! Logs of another make: what gateways, libraries and programs of the user's own write, a row for each call, as JSON or CSV.
//!
//! Where a row says what is told by a [`Map`]: one of the user's, or one of those in `shapes.rs` by the row's shape. What a row does not say is not
//! zero: of a row that counts one side only the other is unknown, and one that counts nothing is passed over and told of.

mod map;
mod shapes;

use super::{json, lines::Lines, row, table};
use crate::regular::{RegularFile, open_regular};
use events::{
    Certainty, Project, ProjectBy, RequestKey, Sighting, Source, Timestamp, Tokens, Usage,
    query::{Fault, FaultCode},
};
use std::{
    collections::HashMap,
    io::{self, Read},
    path::Path,
};

pub use map::{Field, Map, Place};

/// How many sightings are handed over at once.
const BATCH_SIGHTINGS_MAX: usize = super::BATCH_SIGHTINGS_MAX;
/// The largest table or document that is read; it is held in memory.
const WHOLE_BYTES_MAX: u64 = 256 << 20;

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A JSON object on every line
    Jsonl,
    /// One JSON object over several lines, or a list of them
    Json,
    /// Comma-separated values with a head
    Csv,
}

/// Whoever takes the calls.
pub type Sink<'s> = dyn FnMut(Vec<Sighting>) -> Result<(), Fault> + 's;

/// What was in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows that tell of a call.
    pub calls: usize,
    /// Bytes.
    pub bytes: u64,
    /// Rows that are none: no JSON object.
    pub broken: u64,
    /// Rows in which nothing counts tokens, or of calls that no provider answered.
    pub uncounted: u64,
}

/// The longest file that is read line by line.
const FILE_BYTES_MAX: u64 = 64 << 30;

/// Reads a file and hands its calls to `sink`. Without a map, every row is read by its shape.
pub fn read(path: &Path, format: Format, map: Option<&Map>, sink: &mut Sink<'_>) -> Result<Found, Fault> {
    let unreadable = |error: io::Error| {
        let hint = "name a file of JSON lines, or with --format json or csv a document or a table";
        Fault::new(FaultCode::NotFound, format!("cannot read {}: {error}", path.display()), hint)
    };
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut reader = Reader { map, file_name, at: None, copies: HashMap::new(), found: Vec::new(), done: Found::default() };
    let file = open_regular(path).and_then(|file| file.at_most(FILE_BYTES_MAX)).map_err(unreadable)?;
    match format {
        Format::Jsonl => {
            let mut lines = Lines::new(file, 0, Vec::new());
            while let Some((_, line)) = lines.next_with(&[]).map_err(unreadable)? {
                reader.row(&json::text(line));
                reader.hand_over(BATCH_SIGHTINGS_MAX, sink)?;
            }
            reader.row(&json::text(lines.rest().1));
            reader.done.bytes = lines.bytes_read();
            reader.done.broken += lines.too_long();
        }
        Format::Json => {
            let bytes = whole(file).map_err(unreadable)?;
            let text = json::text(&bytes);
            reader.done.bytes = bytes.len() as u64;
            let rows: Vec<&str> = match json::Json::parse(&text) {
                Some(list) if list.raw().starts_with('[') => list.items().map(json::Json::raw).collect(),
                Some(row) => vec![row.raw()],
                // Lines under another ending.
                None => text.lines().collect(),
            };
            for row in rows {
                reader.row(row);
                reader.hand_over(BATCH_SIGHTINGS_MAX, sink)?;
            }
        }
        Format::Csv => {
            let bytes = whole(file).map_err(unreadable)?;
            reader.done.bytes = bytes.len() as u64;
            for line in table::rows(&json::text(&bytes)) {
                reader.row(&line);
                reader.hand_over(BATCH_SIGHTINGS_MAX, sink)?;
            }
        }
    }
    reader.hand_over(1, sink)?;
    Ok(reader.done)
}

fn whole(file: RegularFile) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(WHOLE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > WHOLE_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {} MiB; cut it into several", WHOLE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

struct Reader<'a> {
    map: Option<&'a Map>,
    file_name: String,
    /// The last time that a row named.
    at: Option<Timestamp>,
    /// How often rows without an id were met.
    copies: HashMap<[u8; 16], u64>,
    found: Vec<Sighting>,
    done: Found,
}

impl Reader<'_> {
    fn row(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        if !text.starts_with('{') || json::Json::parse(text).is_none() {
            self.done.broken += 1;
            return;
        }
        let usages = match self.map {
            Some(map) => of_map(map, text, "import").into_iter().collect(),
            None => shapes::read(text),
        };
        self.done.uncounted += u64::from(usages.is_empty());
        usages.into_iter().for_each(|usage| self.take(usage, text));
    }

    fn take(&mut self, mut usage: Usage, text: &str) {
        let has_time = usage.at != Timestamp::default();
        if has_time {
            self.at = Some(usage.at);
        }
        // A row without a time has its neighbour's, never the clock's.
        usage.at = self.at.unwrap_or_default();
        if usage.call_id.is_none() {
            usage.call_id = Some(self.own_id(&usage, text, has_time));
        }
        self.done.calls += 1;
        self.found.push(Sighting::from(usage));
    }

    /// An id for a row without one: what it says, and the how-manieth row of the file it is that says so. So it stays the same wherever
    /// the file goes and however it grows. Rows without a time may well say the same in two files, and are told apart by the files' names.
    fn own_id(&mut self, usage: &Usage, text: &str, has_time: bool) -> String {
        let place = if has_time { "" } else { &self.file_name };
        let digest = RequestKey::of(place, text);
        let copy = self.copies.entry(digest.0).or_default();
        *copy += 1;
        format!("{}:{digest}:{copy}", usage.client.as_deref().unwrap_or("import"))
    }

    fn hand_over(&mut self, least: usize, sink: &mut Sink<'_>) -> Result<(), Fault> {
        if self.found.len() >= least { sink(std::mem::take(&mut self.found)) } else { Ok(()) }
    }
}

/// The call that a row tells of by a map; `None` where nothing in it counts tokens.
fn of_map(map: &Map, text: &str, client: &str) -> Option<Usage> {
    let word = |field| map.word(field, text);
    let count = |field| map.count(field, text);
    let model = word(Field::Model);
    // Gateways name the maker before the model.
    let maker = || row::maker(model.as_deref().and_then(|model| model.rsplit('/').next())).to_owned();
    let provider = word(Field::Provider).unwrap_or_else(maker);
    let family = row::family(&provider);
    let (input, output) = (count(Field::Input), count(Field::Output));
    let cost = map.usd(Field::Cost, text).filter(|cost| *cost > events::Usd::default());
    if input.or(output).or(count(Field::CacheRead)).is_none() && cost.is_none() {
        return None;
    }
    let some = |field| count(field).unwrap_or(0);
    let (read, write_1h) = (some(Field::CacheRead), some(Field::CacheWrite1h));
    // Of a sum of cache writes, those of an hour and of five minutes are parts; some tell the parts and no sum, or a sum of nothing.
    let write = some(Field::CacheWrite).saturating_sub(write_1h).max(some(Field::CacheWrite5m));
    let within = map.input_includes_cache.unwrap_or(family != "anthropic");
    let mut fresh = input.unwrap_or(0);
    if within {
        fresh = fresh.saturating_sub(read).saturating_sub(write).saturating_sub(write_1h);
    }
    let reasoning = count(Field::Reasoning).unwrap_or(0);
    // Google counts thoughts beside the output (provider-usage, Gemini).
    let beside = map.reasoning_is_beside.unwrap_or(family == "gemini");
    let output_all = output.unwrap_or(0).saturating_add(if beside { reasoning } else { 0 });
    let tokens = Tokens {
        input: fresh,
        cache_read: read,
        cache_write_5m: write,
        cache_write_1h: write_1h,
        output: output_all,
        reasoning,
        ..Tokens::default()
    };
    if tokens.total() == 0 && cost.is_none() {
        return None;
    }
    let certainty = match (input, output) {
        (Some(_), Some(_)) => Certainty::Reported,
        (None, None) => Certainty::Unknown,
        (Some(_), None) | (None, Some(_)) => Certainty::Partial,
    };
    let client = word(Field::Client).unwrap_or_else(|| client.to_owned());
    Some(Usage {
        at: map.time(Field::At, text).unwrap_or_default(),
        family: family.to_owned(),
        call_id: word(Field::Id).map(|id| if is_providers(family, &id) { id } else { format!("{client}:{id}") }),
        client: Some(client),
        project: word(Field::Project).map(|name| Project { by: ProjectBy::Header, name }),
        session: word(Field::Session),
        tier: word(Field::Tier),
        model: model.map(|model| model.strip_prefix(&format!("{provider}/")).map_or(model.clone(), str::to_owned)),
        provider,
        tokens,
        certainty,
        reported_cost: cost,
        sources: Source::Log.into(),
        ..Usage::default()
    })
}

/// Whether an id is one that a provider of the family gives; a gateway's or library's own is no key of a call that the proxy carried.
fn is_providers(family: &str, id: &str) -> bool {
    // What gateways make themselves: 8-4-4-4-12 digits.
    let is_uuid = id.len() == 36 && id.bytes().all(|sign| sign.is_ascii_hexdigit() || sign == b'-') && id.matches('-').count() == 4;
    match family {
        "anthropic" => id.starts_with("msg_"),
        _ => !is_uuid && !["run-", "run--", "lc_run-", "lc_"].iter().any(|own| id.starts_with(own)),
    }
}

#[cfg(test)]
mod tests;
