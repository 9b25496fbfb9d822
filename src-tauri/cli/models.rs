//! `tollbar models`

use super::{print, print_json, reprice::instant, table, table::Table};
use crate::clock;
use clap::Args;
use events::{PriceBook, Rate, Row, Tier, Timestamp, query::Fault};

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
    /// As JSON: the book's rows, with every rate and source
    #[arg(long)]
    json: bool,
}

impl Models {
    pub(super) fn run(self) -> Result<(), Fault> {
        let at = self.as_of.as_deref().map_or_else(|| Ok(clock::now()), instant)?;
        let rows: Vec<&Row> = PriceBook::bundled().rows().filter(|row| self.wants(row, at)).collect();
        if self.json {
            return print_json(&rows);
        }
        if rows.is_empty() {
            return Err(Fault::refused("the book has no such price", "leave out a part of the name, or look at `tollbar models`"));
        }
        let mut table = Table::new(3, &["provider", "model", "tier", "input", "cache read", "write 5m", "output", "from", "until"]);
        for row in &rows {
            let rates = [row.rates.input, row.rates.cache_read, row.rates.cache_write_5m, row.rates.output].map(rate);
            let names = [row.provider.clone(), row.model.clone(), word(row.tier).to_owned()];
            table.row(names.into_iter().chain(rates).chain([row.from, row.until].map(day)).collect());
        }
        let note =
            "USD per million tokens, before larger prompts, regions and hours of the day; --json has all of a price and its source\n";
        print(&format!("{}\n{}", table.text(), table::dim(note)))
    }

    fn wants(&self, row: &Row, at: Timestamp) -> bool {
        let named = |name: &str| {
            let name = name.to_lowercase();
            std::iter::once(&row.model).chain(&row.aliases).any(|known| known.to_lowercase().contains(&name))
        };
        let dated = if self.upcoming { row.from.is_some_and(|from| from > at) } else { row.span().contains(at) };
        dated && self.name.as_deref().is_none_or(named) && self.provider.as_deref().is_none_or(|provider| row.provider == provider)
    }
}

/// A tier as it is written.
const fn word(tier: Tier) -> &'static str {
    match tier {
        Tier::Standard => "standard",
        Tier::Batch => "batch",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
        Tier::Fast => "fast",
        Tier::Ultrafast => "ultrafast",
    }
}

/// A class without a rate is not free, so it is not shown as zero.
fn rate(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "-".into(), |rate| rate.to_string())
}

fn day(at: Option<Timestamp>) -> String {
    at.map_or_else(String::new, |at| at.utc().date_naive().to_string())
}
