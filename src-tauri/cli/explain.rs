//! `tollbar explain`

use super::{ledger, print, print_json, table, table::Table};
use crate::words;
use clap::Args;
use events::{
    Source,
    query::{CallRow, Explain as Question, ExplainAnswer, Fault, PriceFacts},
};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The call: its key or the beginning of one, or the provider's id of the answer or request (`tollbar export` has them)
    call: String,
    /// As JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Fault> {
        let answer = ledger()?.ask(Question { call: self.call })?;
        if self.json {
            return print_json(&answer);
        }
        let mut text = about(&answer);
        if !answer.lines.is_empty() {
            let mut table = Table::new(1, &["class", "units", "USD per million", "USD", ""]);
            for line in &answer.lines {
                table.row(vec![
                    line.class.clone(),
                    words::grouped(line.units.into()),
                    line.rate.map_or_else(|| "-".into(), |rate| rate.to_string()),
                    line.amount.clone().unwrap_or_else(|| "-".into()),
                    if line.inferred { "by rule".into() } else { String::new() },
                ]);
            }
            for factor in &answer.factors {
                table.row(vec![format!("times {}", factor.factor), String::new(), String::new(), String::new(), factor.why.clone()]);
            }
            if let Some(listed) = answer.listed_usd {
                table.row(vec!["by list".into(), String::new(), String::new(), answer.listed_exact.clone().unwrap_or_default(), listed.to_string()]);
            }
            text += &format!("\n{}", table.text());
        }
        text += "\n";
        if let Some(price) = &answer.price {
            text += &priced(price);
        }
        print(&(text + &seen(&answer)))
    }
}

/// The call, what it costs and whose word that is.
fn about(answer: &ExplainAnswer) -> String {
    let CallRow { key, at, provider, model, tier, cost_usd, reported_cost_usd, client, project, .. } = &answer.call;
    let mut text = format!("{key}  {at}\n{provider} {}", model.as_deref().unwrap_or("no model"));
    let named = [("asked for as", &answer.request_model), ("served as", tier), ("in", &answer.geo), ("by", client), ("for", project)];
    for (what, name) in named.iter().filter_map(|(what, name)| Some((what, name.as_ref()?))) {
        text += &format!(", {what} {name}");
    }
    let cost = cost_usd.map_or_else(|| "unpriced".to_owned(), |usd| format!("{usd} USD"));
    text += &format!("\n{cost}: {}\n", answer.reason);
    if let Some(reported) = reported_cost_usd {
        text += &format!("reported by the provider or client: {reported} USD\n");
    }
    text
}

fn priced(price: &PriceFacts) -> String {
    let PriceFacts { row, why, tier, band_above, book, book_from, back_filled, .. } = price;
    let day = |at: Option<events::Timestamp>, else_: &str| at.map_or_else(|| else_.to_owned(), |at| at.utc().date_naive().to_string());
    let mut text = format!("{why}; tier {}", tier.word());
    if let Some(above) = band_above {
        text += &format!(", for prompts above {} tokens", words::grouped((*above).into()));
    }
    text += &format!("\nvalid from {} until {}", day(row.from, "ever"), day(row.until, "further notice"));
    text += &format!("\nsource: {} ({})", row.source, row.set);
    if let Some(note) = &row.note {
        text += &format!("\nnote: {note}");
    }
    if let Some(book) = book {
        let id: String = book.chars().take(12).collect();
        text += &format!("\nbook {id}, in force from {}", day(*book_from, "ever"));
    }
    if *back_filled {
        text += "\nthe price came after the call, which had none until then";
    }
    text + "\n"
}

fn seen(answer: &ExplainAnswer) -> String {
    let mut table = Table::new(4, &["entry", "written", "seen by", "certainty", "tokens"]);
    for entry in &answer.entries {
        let sources: Vec<&str> = entry.sources.iter().copied().map(Source::word).collect();
        let certainty = serde_json::to_value(entry.certainty).ok().and_then(|word| word.as_str().map(str::to_owned));
        table.row(vec![
            entry.seq.0.to_string(),
            entry.recorded_at.to_string(),
            sources.join(", "),
            certainty.unwrap_or_default(),
            words::grouped(entry.tokens.into()),
        ]);
    }
    if answer.entries.is_empty() { String::new() } else { format!("\n{}", table::dim(&table.text())) }
}
