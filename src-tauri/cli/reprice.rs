//! `tollbar reprice`

use super::{
    ledger,
    prices::Served,
    print, print_json,
    summary::{By, names},
    table,
    table::Table,
};
use crate::{regular::read_text_bounded, words};
use clap::{Args, ValueEnum};
use events::{
    Command, Day, PriceBook, Row, Timestamp,
    query::{CacheTtl, Fault, FaultCode, Filter, ModelSwap, Reprice as Question, RepriceAnswer, RepriceAsOf, RepriceRow},
};
use std::path::{Path, PathBuf};

/// A price book larger than this is not one.
const BOOK_BYTES_MAX: u64 = 32 << 20;

/// How many kinds of calls are shown with their rates.
const RATES_SHOWN_MAX: usize = 12;

#[derive(Debug, Args)]
pub(super) struct Reprice {
    /// At today's prices
    #[arg(long, conflicts_with_all = ["as_of", "as_known"])]
    today: bool,
    /// At the prices of a day (its first instant in UTC) or instant, as they were known then, like 2026-06-01 or 2026-06-01T12:00:00Z
    #[arg(long, value_name = "DATE", conflicts_with = "as_known")]
    as_of: Option<String>,
    /// Each call at its own time, by what was known of prices at a day or instant: what `tollbar summary` said then
    #[arg(long, value_name = "DATE")]
    as_known: Option<String>,
    /// Under the price book in a file; as of each call unless --today or --as-of says otherwise
    #[arg(long, value_name = "FILE")]
    book: Option<PathBuf>,
    /// Adopt the book from now on, once the difference is shown
    #[arg(long, requires = "book")]
    adopt: bool,
    /// A=B: as if calls of model A had been made of model B (`*=B`: all of them; `A=PROVIDER:B`: by that provider's list). A alone: only calls to this model
    #[arg(long, value_name = "A=B")]
    model: Vec<String>,
    /// As if every call had been served so
    #[arg(long, value_enum)]
    tier: Option<Served>,
    /// As if all that was written to a cache had been written for so long
    #[arg(long, value_name = "TTL")]
    cache_ttl: Option<Ttl>,
    /// What to cut by: up to three, in order
    #[arg(long, value_enum, value_delimiter = ',', default_value = "day,model,project")]
    by: Vec<By>,
    /// The first day, like 2026-11-01
    #[arg(long, value_name = "DAY")]
    since: Option<Day>,
    /// The last day, like 2026-11-22
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
    /// Only calls for this project
    #[arg(long)]
    project: Option<String>,
    /// Only calls to this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only calls by this client
    #[arg(long)]
    client: Option<String>,
    /// Only calls from this machine, by the name of its journal
    #[arg(long)]
    device: Option<String>,
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

/// How long a cache lives, as the command line says it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ttl {
    /// Five minutes
    #[value(name = "5m")]
    FiveMinutes,
    /// One hour
    #[value(name = "1h")]
    OneHour,
}

impl Reprice {
    pub(super) fn run(self) -> Result<(), Fault> {
        let book = self.book.as_ref().map(|path| read_book(path)).transpose()?;
        let question = self.question(book.clone())?;
        let ledger = ledger()?;
        let answer = ledger.ask(question)?;
        let told = match book.filter(|_| self.adopt) {
            Some(book) if self.json => Some(ledger.tell(Command::AdoptPriceBook { book, from: None })?),
            Some(book) => {
                print(&self.text(&answer))?;
                let told = ledger.tell(Command::AdoptPriceBook { book, from: None })?;
                let done = if told.entries == 0 {
                    "nothing to adopt: it says what the book in force says"
                } else {
                    "adopted: calls from now on are priced by it"
                };
                return print(&format!("{done}\n"));
            }
            None => None,
        };
        match (self.json, told) {
            (true, Some(told)) => {
                let mut answer = serde_json::to_value(&answer).expect("answers hold only what JSON can hold");
                answer["adopted"] = (told.entries > 0).into();
                print_json(&answer)
            }
            (true, None) => print_json(&answer),
            (false, _) => print(&self.text(&answer)),
        }
    }

    fn question(&self, book: Option<String>) -> Result<Question, Fault> {
        // What is asked otherwise is asked of each call's own time, unless a time is named.
        let is_swapped = self.model.iter().any(|model| model.contains('=')) || self.tier.is_some() || self.cache_ttl.is_some();
        let as_of = match (&self.as_of, &self.as_known, self.today) {
            (Some(text), _, _) => RepriceAsOf::Instant(instant(text)?),
            (None, Some(text), _) => RepriceAsOf::Known(instant(text)?),
            (None, None, false) if book.is_some() || is_swapped => RepriceAsOf::Call,
            (None, None, _) => RepriceAsOf::Today,
        };
        let (swaps, names): (Vec<&String>, Vec<&String>) = self.model.iter().partition(|model| model.contains('='));
        if names.len() > 1 {
            return Err(Fault::refused(
                format!("calls to {} and {} at once cannot be told apart", names[0], names[1]),
                "name one model, or leave it out",
            ));
        }
        Ok(Question {
            as_of,
            book,
            models: swaps.into_iter().map(|text| swap(text)).collect::<Result<_, _>>()?,
            tier: self.tier.map(Served::tier),
            cache_ttl: self.cache_ttl.map(|ttl| match ttl {
                Ttl::FiveMinutes => CacheTtl::FiveMinutes,
                Ttl::OneHour => CacheTtl::OneHour,
            }),
            first: self.since,
            last: self.until,
            filter: Filter {
                project: self.project.clone(),
                model: names.first().map(|name| (*name).clone()),
                provider: self.provider.clone(),
                client: self.client.clone(),
                device: self.device.clone(),
            },
            by: self.by.iter().map(|by| by.dimension()).collect(),
            also_by: Vec::new(),
        })
    }

    fn text(&self, answer: &RepriceAnswer) -> String {
        let heads: Vec<&str> = self.by.iter().map(|by| by.word()).chain(["calls", "then", "now", "difference", ""]).collect();
        let mut table = Table::new(self.by.len(), &heads);
        let mut total = vec!["total".to_owned()];
        total.resize(self.by.len(), String::new());
        for (names, row) in answer.rows.iter().map(|row| (names(&row.names, &self.by), row)).chain([(total, &answer.total)]) {
            table.row(names.into_iter().chain(amounts(row)).collect());
        }
        let mut rates = Table::new(4, &["provider", "model", "tier", "USD per million", "then", "now"]);
        for kind in answer.rates.iter().take(RATES_SHOWN_MAX) {
            let names =
                [kind.provider.clone(), kind.model.clone().unwrap_or_else(|| "no model".into()), kind.tier.clone().unwrap_or_default()];
            for (nth, (class, then, now)) in shown(&kind.then, &kind.now).into_iter().enumerate() {
                let names = if nth == 0 { names.clone() } else { Default::default() };
                rates.row(names.into_iter().chain([class.to_owned(), then, now]).collect());
            }
        }
        let assumes: String = answer.assumes.iter().map(|assumed| format!("assumed: {assumed}\n")).collect();
        let note = format!("\n{assumes}no event was changed: this is what the same calls would cost\n");
        format!("{}\n{}\n{}{}", table::dim(&format!("{} to {}", answer.first, answer.last)), table.text(), rates.text(), table::dim(&note))
    }
}

/// Each class that has a rate then or now, with all of its rates in the order of their time.
fn shown(then: &[Row], now: &[Row]) -> Vec<(&'static str, String, String)> {
    let of = |rows: &[Row], class: &str| {
        let mut rates: Vec<String> = Vec::new();
        for row in rows {
            let rate = row.rates.iter().find(|(name, _)| *name == class).and_then(|(_, rate)| rate);
            let rate = rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
            if rates.last() != Some(&rate) {
                rates.push(rate);
            }
        }
        if rates.is_empty() { "-".to_owned() } else { rates.join(", ") }
    };
    ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output"]
        .into_iter()
        .map(|class| (class, of(then, class), of(now, class)))
        .filter(|(_, then, now)| then != "-" || now != "-")
        .collect()
}

/// Reads `A=B`, `*=B` and `A=PROVIDER:B`.
fn swap(text: &str) -> Result<ModelSwap, Fault> {
    let wrong = || Fault::refused(format!("{text:?} names no two models"), "write it like claude-opus-5=claude-sonnet-5, or *=gpt-6-sol");
    let (from, to) = text.split_once('=').ok_or_else(wrong)?;
    let (from, to) = (from.trim(), to.trim());
    if from.is_empty() || to.is_empty() {
        return Err(wrong());
    }
    // Names of models have colons too, as `llama3.2:1b`, but no provider is called like the beginning of one of those.
    let is_provider = |name: &&str| PriceBook::bundled().rows().any(|row| row.provider == *name);
    let (provider, to) = match to.split_once(':') {
        Some((provider, model)) if is_provider(&provider) => (Some(provider.to_owned()), model),
        Some(_) | None => (None, to),
    };
    Ok(ModelSwap { from: (from != "*").then(|| from.to_owned()), to: to.to_owned(), provider })
}

fn amounts(row: &RepriceRow) -> [String; 5] {
    let sign = if row.difference_usd.pico() > 0 { "+" } else { "" };
    [
        words::grouped(row.calls.into()),
        words::dollars(row.then_usd),
        words::dollars(row.now_usd),
        format!("{sign}{}", words::dollars(row.difference_usd)),
        if row.unpriced_calls > 0 {
            format!("{} unpriced, in neither sum", words::grouped(row.unpriced_calls.into()))
        } else {
            String::new()
        },
    ]
}

pub(super) fn instant(text: &str) -> Result<Timestamp, Fault> {
    let day = |text: &str| Timestamp::parse(&format!("{text}T00:00:00Z"));
    Timestamp::parse(text)
        .or_else(|| day(text))
        .ok_or_else(|| Fault::refused(format!("{text:?} is no date"), "write it like 2026-06-01 or 2026-06-01T12:00:00Z"))
}

fn read_book(path: &Path) -> Result<String, Fault> {
    let unreadable = |cause: String| {
        Fault::new(
            FaultCode::NotFound,
            format!("cannot read the price book {}: {cause}", path.display()),
            "check the path; the book in force stays",
        )
    };
    read_text_bounded(path, BOOK_BYTES_MAX).map_err(|error| unreadable(error.to_string()))
}
