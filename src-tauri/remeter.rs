//! Runs today's meters over the past: over what providers and clients said, as it stands in the journal.
//!
//! Pure: lines of the journal in, usages out; what becomes of them is for the log to say. It never guesses: where what was kept does not
//! show how to read it, or nothing in it is counted, a call stays as it is.
//!
//! [`Usage::merged`] cannot state a correction, because of two counts it takes the greater one, and a corrected meter may count less. So
//! the log restates `before` as `after` exactly, and writes [`mark`] beside it: of such an entry, nobody saw anything.

use crate::{logs, meter};
use events::{Said, Source, Usage};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Whose word [`mark`] is, in the field in which a reply's surface stands.
const MARK: &str = "remeter";

/// One line of the journal that speaks of a call.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The call as the log knew it from this line on: the usage of `Used`, or the `after` of `Restated`.
    pub after: &'a Usage,
    /// What was said by the sighting that the line is of.
    pub said: Option<&'a Said>,
}

/// What stands in the place of [`events::Sighting::said`] beside an entry that restates a call because it was metered again.
pub fn mark() -> Said {
    Said::from(&Value::from_iter([("surface", MARK)]))
}

/// The usage of one sighting as today's meter or reader makes it of what was said; `None` where that cannot be told surely.
///
/// Who, when and for what stay, and so do the sources. What was said names the dialect: a reply's surface or a client stands in it, and without
/// either it is a usage object of Claude Code's log, the only one that is kept bare. It is believed only where the usage agrees: in its family, and
/// in its source.
///
/// For a call of more than one line, see [`call`]: to the usage of a later line, other sightings have contributed.
pub fn again(usage: &Usage, said: &Said) -> Option<Usage> {
    match surface(said)? {
        Some(surface) => match surface.parse::<logs::Client>() {
            Ok(client) => logs::again(client, usage, said),
            Err(_) => meter::again(usage, serde_json::from_str::<Map<String, Value>>(said.text()).ok()?),
        },
        None => {
            let in_log = usage.sources.has(Source::Log) && usage.family == "anthropic";
            // Of a call that others saw as well, the client may be their word.
            let by_client = usage.sources != Source::Log.into() || usage.client.as_deref() == Some(logs::Client::ClaudeCode.name());
            (in_log && by_client).then(|| logs::claude_code::again(usage, said))?
        }
    }
}

/// The usage of a call as today's meters and readers would have left it, from all lines of the journal that speak of it, in their order;
/// `None` where none of them can be read. Equal to the last line's where nothing is to be corrected.
///
/// The journal keeps what a sighting said, but of its usage only what it made of the call. So each sighting is taken from what changed at
/// its line, and metered again ([`again`]):
/// - The tokens, and how far they can be trusted, are those of the line at which they changed last. Its sighting won, by a rank that what
///   is kept does not tell of the others; so it stays the winner, and only its counts are corrected. The greatest of all counts would keep
///   those that an old meter took too high, and those of a reply that was cut.
/// - Model, tier and place are those of the line at which they changed last; if it names none today, of the first that does.
/// - Fees and reported cost are the greatest that any line tells, as in [`Usage::merged`].
/// - Everything else is no meter's, and stays.
///
/// A line with [`mark`] is passed over, but for being what the next line changed. So a second run reads the same sightings and changes
/// nothing, however many runs there were, and whatever was seen after them. A sighting without words stands as it was recorded.
pub fn call(lines: &[Line<'_>]) -> Option<Usage> {
    let current = lines.last()?.after;
    let before = std::iter::once(None).chain(lines.iter().map(|line| Some(line.after)));
    let mut is_read = false;
    let sightings: Vec<Sighting<'_>> = before
        .zip(lines)
        .filter(|(_, line)| !line.said.is_some_and(is_mark))
        .map(|(before, line)| {
            let seen = seen(before, line.after);
            let again = line.said.and_then(|said| again(&seen, said));
            is_read |= again.is_some();
            Sighting { before, after: line.after, seen: again.unwrap_or(seen) }
        })
        .collect();
    if !is_read {
        return None;
    }
    let counted = winner(&sightings, |usage| (usage.tokens, usage.certainty));
    let model = name(&sightings, |usage| usage.model.clone());
    let request_model = current.request_model.clone().filter(|asked| model == current.model || model.as_ref() != Some(asked));
    Some(Usage {
        tokens: counted.map_or(current.tokens, |seen| seen.tokens),
        certainty: counted.map_or(current.certainty, |seen| seen.certainty),
        model,
        request_model,
        tier: name(&sightings, |usage| usage.tier.clone()),
        geo: name(&sightings, |usage| usage.geo.clone()),
        fees: sightings.iter().map(|it| it.seen.fees).max().unwrap_or(current.fees),
        reported_cost: sightings.iter().filter_map(|it| it.seen.reported_cost).max(),
        ..current.clone()
    })
}

/// A sighting, as far as its line shows it.
struct Sighting<'a> {
    /// The call without it.
    before: Option<&'a Usage>,
    /// The call with it.
    after: &'a Usage,
    /// What it saw, metered again where that can be done.
    seen: Usage,
}

/// What a sighting saw: of what meters conclude, that which the call had not before it. The rest it may have from the others.
fn seen(before: Option<&Usage>, after: &Usage) -> Usage {
    let Some(before) = before else { return after.clone() };
    Usage {
        model: after.model.clone().filter(|_| after.model != before.model),
        tier: after.tier.clone().filter(|_| after.tier != before.tier),
        geo: after.geo.clone().filter(|_| after.geo != before.geo),
        fees: if after.fees == before.fees { events::Fees::default() } else { after.fees },
        reported_cost: after.reported_cost.filter(|_| after.reported_cost != before.reported_cost),
        ..after.clone()
    }
}

/// The sighting at which a part of the call changed last, or came to be.
fn winner<'s, T: PartialEq>(sightings: &'s [Sighting<'_>], part: impl Fn(&Usage) -> T) -> Option<&'s Usage> {
    let changed = |it: &&Sighting<'_>| it.before.is_none_or(|before| part(before) != part(it.after));
    sightings.iter().rev().find(changed).map(|it| &it.seen)
}

/// A name that the winner gives, or else the first sighting that gives one.
fn name(sightings: &[Sighting<'_>], part: impl Fn(&Usage) -> Option<String>) -> Option<String> {
    winner(sightings, &part).and_then(&part).or_else(|| sightings.iter().find_map(|it| part(&it.seen)))
}

fn is_mark(said: &Said) -> bool {
    surface(said).flatten().is_some_and(|surface| surface == MARK)
}

/// The surface that stands in what was said, if one does; `None` where it cannot be read.
fn surface(said: &Said) -> Option<Option<String>> {
    #[derive(Deserialize)]
    struct Kept {
        surface: Option<String>,
    }
    serde_json::from_str::<Kept>(said.text()).ok().map(|kept| kept.surface)
}

#[cfg(test)]
mod tests;
