//! Claude Code's session files: one JSON object a line, one line per content block of a reply, each with the usage of the whole call.
//!
//! Pure: bytes of a line in, sightings out. Only counts, names, ids and times leave this file; content is skipped unparsed.
//! The format and its traps are in `reference/log-formats.md`, section 1; "rule" below is its dedup rule.

mod usage;

use super::{
    Line,
    fields::{Broken, Fields, items},
    json::word,
    kept,
    row::maker,
};
use events::{Certainty, Fees, Project, Said, Sighting, Source, Timestamp, Usage};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::LazyLock};
use usage::{UsageObject, Within, fees, geo, name, tier, tokens};

/// Raised when this reader sees more in the same bytes than before: files read by an older one are read again.
pub(super) const VERSION: u32 = 1;

/// How many iterations of one message are looked at.
const ITERATIONS_MAX: usize = 1024;

/// What stands in every line that is read, once a line has named a time.
static NEEDLES: LazyLock<[memmem::Finder<'static>; 1]> = LazyLock::new(|| [memmem::Finder::new("\"usage\"")]);

/// The reader of one file, and all that it remembers from line to line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reader {
    /// The last time that a line named. A call without a time gets its neighbour's, which stays the same however often the file is read;
    /// one before any time in the file has the epoch. Never the clock's, nor the file's.
    last_at: Option<Timestamp>,
    #[serde(skip)]
    told: Told,
}

/// What was read of the lines that told of the last call. Most lines of a call say the same at a later time, of which the earlier counts, or
/// count a reply that has grown.
#[derive(Debug, Default)]
struct Told {
    names: Vec<u8>,
    usage: Vec<u8>,
    at: Option<Timestamp>,
}

/// What a row says beyond those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Nothing,
    /// Another usage object, of the call that was told last.
    Usage,
    Call,
}

/// A copy goes to a cursor, after which nothing was told yet.
impl Clone for Told {
    fn clone(&self) -> Told {
        Told::default()
    }
}

impl Reader {
    /// What a line must have one of to be read; every line is where there are none.
    pub(super) fn needles(&self) -> &'static [memmem::Finder<'static>] {
        if self.last_at.is_some() { &*NEEDLES } else { &[] }
    }

    /// Reads one line. Lines without usage, and bytes that are no JSON, yield nothing.
    ///
    /// The same call comes with each of its lines; which sighting of it counts is for [`Usage::merged`] to say (rule 2: largest output).
    /// Where a line only counts the last call of `found` again, that sighting is kept up.
    pub fn line(&mut self, line: Line<'_>, projects: &mut dyn FnMut(&str) -> Option<Project>, found: &mut Vec<Sighting>) {
        let Ok(row) = Row::read(line.bytes) else { return };
        let at = row.timestamp.and_then(word).and_then(|text| Timestamp::parse(&text));
        self.last_at = at.or(self.last_at);
        // `data.message` of a progress line tells the main session of a subagent's reply while it runs. It is a copy of a row in the
        // subagent's own file, often of an early snapshot, and is left to that file.
        let Some(raw) = row.usage else { return };
        let is_told = match self.news(&row, raw) {
            News::Nothing => true,
            News::Usage => found.last_mut().is_some_and(|last| is_counted_again(last, &row, raw)),
            News::Call => false,
        };
        if !is_told {
            let before = found.len();
            self.call(&row, line, projects, found);
            self.told.at = self.last_at;
            if found.len() == before {
                self.told = Told::default();
            }
        }
    }

    /// What the row says beyond the lines before it, no earlier than they did.
    fn news(&mut self, row: &Row<'_>, raw: &[u8]) -> News {
        if row.id.is_none() {
            self.told = Told::default();
            return News::Call;
        }
        let Told { names, usage, at } = &mut self.told;
        let said = [
            row.id,
            row.request_id,
            row.model,
            row.session_id,
            row.cwd,
            row.git_branch,
            row.advisor_model,
            row.is_api_error_message,
            row.cost_usd,
        ];
        let mut rest = &names[..];
        let is_same = said.iter().all(|field| {
            let field = field.unwrap_or_default();
            let same = rest.strip_prefix(field).and_then(|rest| rest.strip_prefix(b"\n"));
            rest = same.unwrap_or_default();
            same.is_some()
        });
        let is_known = is_same && *at <= self.last_at;
        if is_known && usage == raw {
            return News::Nothing;
        }
        usage.clear();
        usage.extend_from_slice(raw);
        if is_known {
            return News::Usage;
        }
        names.clear();
        for field in said {
            names.extend_from_slice(field.unwrap_or_default());
            names.push(b'\n');
        }
        News::Call
    }

    /// The call that a row tells of, with its advisors.
    fn call(&self, row: &Row<'_>, line: Line<'_>, projects: &mut dyn FnMut(&str) -> Option<Project>, found: &mut Vec<Sighting>) {
        let Some(raw) = row.usage else { return };
        let Some(counted) = UsageObject::read(raw) else { return };
        let Some(own_tokens) = tokens(&counted) else { return };
        let model = name(row.model);
        // Written by the client itself in the place of a reply: no call was billed.
        if row.is_api_error_message == Some(b"true") || model.as_deref() == Some("<synthetic>") {
            return;
        }
        let request_id = name(row.request_id);
        // Rule 1, and rule 3: the request's id is no part of the key, because other servers omit it and side chains change it.
        let call_id = name(row.id)
            .or_else(|| request_id.clone())
            .or_else(|| name(row.uuid))
            .unwrap_or_else(|| format!("{}:{}", line.file, line.offset));
        let usage = Usage {
            at: self.last_at.unwrap_or_default(),
            provider: provider(&call_id, model.as_deref()).to_owned(),
            family: "anthropic".to_owned(),
            model,
            call_id: Some(call_id),
            request_id,
            client: Some("claude-code".to_owned()),
            project: row.cwd.and_then(word).and_then(|cwd| projects(&cwd)),
            session: name(row.session_id),
            branch: name(row.git_branch).filter(|branch| branch != "HEAD"),
            tier: tier(&counted).map(Cow::into_owned),
            geo: geo(&counted).map(Cow::into_owned),
            tokens: own_tokens,
            fees: fees(&counted),
            certainty: Certainty::Reported,
            reported_cost: row
                .cost_usd
                .and_then(|raw| std::str::from_utf8(raw).ok()?.parse().ok())
                .filter(|cost| *cost >= events::Usd::default()),
            sources: Source::Log.into(),
            ..Usage::default()
        };
        // Rule 7. What an advisor and a compaction by the server consumed is not in the sum above it: calls of their own, numbered by kind
        // and named as the proxy names them (provider-usage, section 3, `iterations[]`).
        let (mut advisors, mut compactions) = (0, 0);
        for raw in counted.iterations.into_iter().flat_map(items).take(ITERATIONS_MAX) {
            let Some(part) = UsageObject::read(raw) else { continue };
            let Some(kind) = part.within() else { continue };
            let (number, model) = match kind {
                // Another model's, which is not guessed where it is not named.
                Within::Advisor => (&mut advisors, name(row.advisor_model)),
                Within::Compaction => (&mut compactions, usage.model.clone()),
            };
            let id = usage.call_id.as_ref().map(|id| format!("{id}:{}:{number}", kind.word()));
            *number += 1;
            let Some(tokens) = tokens(&part) else { continue };
            let model = name(part.model).or(model);
            let usage = Box::new(Usage { model, call_id: id, tokens, fees: Fees::default(), reported_cost: None, ..usage.clone() });
            // How the whole was served, its parts were, and they do not say so themselves.
            let shared = [("service_tier", counted.service_tier), ("speed", counted.speed), ("inference_geo", counted.inference_geo)];
            found.push(Sighting { usage, said: kept::with(raw, &shared) });
        }
        found.push(Sighting { usage: Box::new(usage), said: kept::whole(raw) });
    }
}

/// Whether a row that names the same as the rows of the last call before it says no more than how much that call consumed by now; if so, the
/// better count stays.
fn is_counted_again(last: &mut Sighting, row: &Row<'_>, raw: &[u8]) -> bool {
    let Sighting { usage, said } = last;
    let Some(counted) = UsageObject::read(raw).filter(|counted| counted.iterations.is_none()) else { return false };
    let Some(own_tokens) = tokens(&counted) else { return false };
    let is_same = row.id.and_then(word).as_deref() == usage.call_id.as_deref()
        && tier(&counted).as_deref() == usage.tier.as_deref()
        && geo(&counted).as_deref() == usage.geo.as_deref()
        && fees(&counted) == usage.fees;
    if is_same && own_tokens.cmp_as_counts(&usage.tokens).is_gt() {
        usage.tokens = own_tokens;
        *said = kept::whole(raw);
    }
    is_same
}

/// What the reader makes today of a call that it recorded, from the usage object that it kept; `None` where nothing is counted in that.
///
/// What is not in the object stays: who, when, for what, and the cost, which stands beside it in the row. So does a tier or a place that
/// the object does not name: the rows of a call are one sighting, of which the last one's object is kept, and an earlier one may have
/// named it.
pub(crate) fn again(usage: &Usage, said: &Said) -> Option<Usage> {
    let counted = UsageObject::read(said.text().as_bytes())?;
    let within = counted.within().filter(|kind| usage.call_id.as_deref().is_some_and(|id| id.contains(&format!(":{}:", kind.word()))));
    let (model, fees) = match within {
        Some(Within::Advisor | Within::Compaction) => (name(counted.model).or_else(|| usage.model.clone()), usage.fees),
        None => (usage.model.clone(), if counted.server_tool_use.is_some() { fees(&counted) } else { usage.fees }),
    };
    Some(Usage {
        tokens: tokens(&counted)?,
        tier: tier(&counted).map(Cow::into_owned).or_else(|| usage.tier.clone()),
        geo: geo(&counted).map(Cow::into_owned).or_else(|| usage.geo.clone()),
        model,
        fees,
        ..usage.clone()
    })
}

/// A line and the message in it, every field unparsed, so that a field of an unforeseen type costs that field and not the line (rule 10).
#[derive(Debug, Default)]
struct Row<'a> {
    timestamp: Option<&'a [u8]>,
    request_id: Option<&'a [u8]>,
    uuid: Option<&'a [u8]>,
    session_id: Option<&'a [u8]>,
    cwd: Option<&'a [u8]>,
    git_branch: Option<&'a [u8]>,
    advisor_model: Option<&'a [u8]>,
    is_api_error_message: Option<&'a [u8]>,
    /// Until version 1.0.8.
    cost_usd: Option<&'a [u8]>,
    /// Of the message.
    id: Option<&'a [u8]>,
    model: Option<&'a [u8]>,
    usage: Option<&'a [u8]>,
}

impl<'a> Row<'a> {
    fn read(bytes: &'a [u8]) -> Result<Row<'a>, Broken> {
        let mut row = Row::default();
        let mut fields = Fields::of(bytes)?;
        while let Some(name) = fields.name()? {
            let field = match name {
                b"message" if fields.is_object() => {
                    row.message(&mut fields)?;
                    continue;
                }
                b"timestamp" => &mut row.timestamp,
                b"requestId" => &mut row.request_id,
                b"uuid" => &mut row.uuid,
                b"sessionId" => &mut row.session_id,
                b"cwd" => &mut row.cwd,
                b"gitBranch" => &mut row.git_branch,
                b"advisorModel" => &mut row.advisor_model,
                b"isApiErrorMessage" => &mut row.is_api_error_message,
                b"costUSD" => &mut row.cost_usd,
                _ => {
                    fields.value()?;
                    continue;
                }
            };
            *field = Some(fields.value()?);
        }
        fields.end()?;
        Ok(row)
    }

    fn message(&mut self, fields: &mut Fields<'a>) -> Result<(), Broken> {
        fields.enter()?;
        while let Some(name) = fields.name()? {
            let value = fields.value()?;
            match name {
                b"id" => self.id = Some(value),
                b"model" => self.model = Some(value),
                b"usage" => self.usage = Some(value),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The provider that served the call: by its id (log-formats 1, "Fields"), or the maker of a model that is not Anthropic's. Other servers
/// of the same API cannot be told apart here; where the proxy saw the call too, it knows better.
fn provider(call_id: &str, model: Option<&str>) -> &'static str {
    let maker = maker(model);
    if !matches!(maker, "anthropic" | "unknown") {
        maker
    } else if call_id.starts_with("msg_bdrk_") {
        "bedrock"
    } else if call_id.starts_with("msg_vrtx_") {
        "vertex"
    } else {
        "anthropic"
    }
}
