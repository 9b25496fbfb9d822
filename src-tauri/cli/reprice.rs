//! `tollbar reprice`

use super::{
    Which, ledger, print, print_json,
    summary::{By, names},
    table,
    table::Table,
};
use crate::words;
use clap::Args;
use events::{
    Timestamp,
    query::{Fault, FaultCode, Reprice as Question, RepriceAsOf, RepriceRow},
};
use std::{fs, path::PathBuf};

/// A price book larger than this is not one.
const BOOK_BYTES_MAX: u64 = 32 << 20;

#[derive(Debug, Args)]
pub(super) struct Reprice {
    /// At today's prices
    #[arg(long, conflicts_with = "as_of")]
    today: bool,
    /// At the prices of a day (its first instant in UTC) or instant, like 2026-06-01 or 2026-06-01T12:00:00Z
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    /// Under the price book in a file; as of each call unless --today or --as-of says otherwise
    #[arg(long, value_name = "FILE")]
    book: Option<PathBuf>,
    /// What to cut by: up to three, in order
    #[arg(long, value_enum, value_delimiter = ',', default_value = "day,model,project")]
    by: Vec<By>,
    #[command(flatten)]
    which: Which,
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

impl Reprice {
    pub(super) fn run(self) -> Result<(), Fault> {
        let as_of = match (&self.as_of, self.today, &self.book) {
            (Some(text), _, _) => RepriceAsOf::Instant(instant(text)?),
            (None, false, Some(_)) => RepriceAsOf::Call,
            (None, _, _) => RepriceAsOf::Today,
        };
        let question = Question {
            as_of,
            book: self.book.as_ref().map(read_book).transpose()?,
            models: Vec::new(),
            tier: None,
            cache_ttl: None,
            first: self.which.since,
            last: self.which.until,
            filter: self.which.filter(),
            by: self.by.iter().map(|by| by.dimension()).collect(),
        };
        let answer = ledger()?.ask(question)?;
        if self.json {
            return print_json(&answer);
        }
        let heads: Vec<&str> = self.by.iter().map(|by| by.word()).chain(["calls", "then", "now", "difference", ""]).collect();
        let mut table = Table::new(self.by.len(), &heads);
        let mut total = vec!["total".to_owned()];
        total.resize(self.by.len(), String::new());
        for (names, row) in answer.rows.iter().map(|row| (names(&row.names, &self.by), row)).chain([(total, &answer.total)]) {
            table.row(names.into_iter().chain(amounts(row)).collect());
        }
        let note = "\nno event was changed: this is what the same calls would cost\n";
        print(&format!("{}\n{}{}", table::dim(&format!("{} to {}", answer.first, answer.last)), table.text(), table::dim(note)))
    }
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

fn read_book(path: &PathBuf) -> Result<String, Fault> {
    let unreadable = |cause: String| {
        Fault::new(
            FaultCode::NotFound,
            format!("cannot read the price book {}: {cause}", path.display()),
            "check the path; the book in force stays",
        )
    };
    let bytes = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if bytes > BOOK_BYTES_MAX {
        return Err(unreadable(format!("{bytes} bytes are more than {BOOK_BYTES_MAX}")));
    }
    fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}
