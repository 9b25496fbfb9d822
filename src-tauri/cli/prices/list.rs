//! `tollbar prices list`

use super::super::{ledger, print, print_json, table, table::Table};
use clap::Args;
use events::{
    Rate, Timestamp,
    query::{Fault, Models},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// As JSON, with exact rates
    #[arg(long)]
    json: bool,
}

impl List {
    pub(in crate::cli) fn run(self) -> Result<(), Fault> {
        // The book's own prices are what `tollbar models` shows.
        let mut answer = ledger()?.ask(Models { provider: Some(String::new()), ..Models::default() })?;
        answer.rows.clear();
        if self.json {
            return print_json(&serde_json::json!({ "own": answer.own, "multipliers": answer.multipliers, "books": answer.books }));
        }
        let mut text = String::new();
        if answer.own.is_empty() {
            text += "no prices of your own; set one with `tollbar prices set MODEL --input 3 --output 15`\n";
        } else {
            let mut own = Table::new(3, &["model", "provider", "tier", "input", "cache read", "write 5m", "write 1h", "output", "from", "until"]);
            for row in &answer.own {
                let rates = [row.rates.input, row.rates.cache_read, row.rates.cache_write_5m, row.rates.cache_write_1h, row.rates.output].map(rate);
                let provider = if row.provider.is_empty() { "every" } else { &row.provider };
                let names = [row.model.clone(), provider.to_owned(), row.tier.word().to_owned()];
                own.row(names.into_iter().chain(rates).chain([row.from, row.until].map(when)).collect());
            }
            text += &own.text();
        }
        if !answer.multipliers.is_empty() {
            let mut multipliers = Table::new(1, &["list prices of", "times", "from"]);
            for multiplier in &answer.multipliers {
                multipliers.row(vec![multiplier.provider.clone(), multiplier.factor.to_string(), when(multiplier.from)]);
            }
            text += &format!("\n{}", multipliers.text());
        }
        let mut books = Table::new(2, &["book", "", "prices", "from"]);
        for book in &answer.books {
            let id: String = book.id.chars().take(12).collect();
            books.row(vec![id, if book.bundled { "bundled" } else { "adopted" }.into(), book.rows.to_string(), when(book.from)]);
        }
        print(&format!("{text}\n{}{}", books.text(), table::dim("USD per million tokens; `tollbar models` shows the book's\n")))
    }
}

fn rate(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "-".into(), |rate| rate.to_string())
}

/// A day where it is the whole of one, else the instant.
fn when(at: Option<Timestamp>) -> String {
    let Some(at) = at else { return String::new() };
    let text = at.to_string();
    text.strip_suffix("T00:00:00.000000Z").map_or_else(|| text.replace(".000000Z", "Z"), str::to_owned)
}
