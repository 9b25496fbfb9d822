//! `tollbar models`

use super::{ledger, print, print_json, reprice::instant, table, table::Table};
use clap::{Args, ValueEnum};
use events::{
    Rate, Timestamp,
    query::{Fault, Models as Question},
};

#[derive(Debug, Args)]
pub(super) struct Models {
    /// Only models whose name or alias has this in it
    name: Option<String>,
    /// Only this provider's
    #[arg(long)]
    provider: Option<String>,
    /// The prices of a day (its first instant in UTC) or instant, like 2026-06-01
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    /// Only prices that begin later
    #[arg(long)]
    upcoming: bool,
    /// Of how many tokens the prices are
    #[arg(long, value_enum, default_value = "1m")]
    per: Per,
    /// As JSON: the book's rows, with every rate and source
    #[arg(long)]
    json: bool,
}

impl Models {
    pub(super) fn run(self) -> Result<(), Fault> {
        let as_of = self.as_of.as_deref().map(instant).transpose()?;
        let question = Question { name: self.name, provider: self.provider, as_of, upcoming: self.upcoming };
        let answer = ledger()?.ask(question)?;
        if self.json {
            return print_json(&answer.rows);
        }
        if answer.rows.is_empty() {
            return Err(Fault::refused("the book has no such price", "leave out a part of the name, or look at `tollbar models`"));
        }
        let mut table = Table::new(3, &["provider", "model", "tier", "input", "cache read", "write 5m", "output", "from", "until", ""]);
        for price in &answer.rows {
            let row = &price.row;
            let rates = [row.rates.input, row.rates.cache_read, row.rates.cache_write_5m, row.rates.output].map(|rate| self.per.shown(rate));
            let provider = if row.provider.is_empty() { "every" } else { &row.provider };
            let names = [provider.to_owned(), row.model.clone(), row.tier.word().to_owned()];
            let note = match (price.custom, price.multiplier) {
                (true, _) => "yours".to_owned(),
                (false, Some(factor)) => format!("times {factor}"),
                (false, None) => String::new(),
            };
            table.row(names.into_iter().chain(rates).chain([row.from, row.until].map(day)).chain([note]).collect());
        }
        let note = format!(
            "USD per {} tokens, before larger prompts, regions and hours of the day; --json has all of a price and its source, per million\n",
            self.per.word()
        );
        print(&format!("{}\n{}", table.text(), table::dim(&note)))
    }
}

/// Of how many tokens a price is shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Per {
    /// A thousand
    #[value(name = "1k")]
    Thousand,
    /// A million
    #[value(name = "1m")]
    Million,
}

impl Per {
    fn word(self) -> &'static str {
        match self {
            Per::Thousand => "thousand",
            Per::Million => "million",
        }
    }

    /// A class without a rate is not free, so it is not shown as zero.
    fn shown(self, rate: Option<Rate>) -> String {
        let Some(rate) = rate else { return "-".into() };
        match self {
            // A rate shows itself per million: a thousandth of it so is what a thousand cost.
            Per::Thousand => Rate::from_atto(rate.atto() / 1_000).to_string(),
            Per::Million => rate.to_string(),
        }
    }
}

fn day(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| at.utc().date_naive().to_string())
}
