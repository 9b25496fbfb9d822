//! What the configuration says of prices becomes facts, and so does the book that the program ships with.

use super::WriterHandle;
use crate::config::Config;
use events::{
    Command, PriceBook, Row,
    query::{Fault, Health, Models},
};

/// Tells what the configuration says of prices, as far as it does not stand like that already. Returns what was refused, in words.
pub(super) fn tell_configured(writer: &WriterHandle, config: &Config) -> Vec<String> {
    let prices = config.prices.iter().map(|price| Command::SetPrice { price: Box::new(price.clone()) });
    let multipliers = config.multipliers.iter().map(|multiplier| Command::MultiplyPrices { multiplier: multiplier.clone() });
    prices.chain(multipliers).filter_map(|command| writer.tell(command).err()).map(|fault| said(&fault)).collect()
}

/// Writes down by which book calls were priced until now, and adopts that of a newer program from now on: an update of the program moves no
/// figure of the past. A log without calls has none, and one whose book the user chose keeps it.
pub(super) fn keep_book(writer: &WriterHandle) -> Vec<String> {
    let keep = || {
        if writer.ask(Health::default())?.calls == 0 {
            return Ok(());
        }
        writer.tell(Command::PinPriceBook {})?;
        let books = writer.ask(Models { provider: Some(String::new()), ..Models::default() })?.books;
        let bundled = PriceBook::bundled();
        if books.last().is_some_and(|newest| newest.bundled && newest.id != bundled.id()) {
            let rows: Vec<Row> = bundled.rows().cloned().collect();
            let book = PriceBook::to_json(bundled.schedules(), &rows);
            writer.tell(Command::AdoptPriceBook { book, from: None })?;
        }
        Ok::<_, Fault>(())
    };
    keep().err().map(|fault| said(&fault)).into_iter().collect()
}

fn said(fault: &Fault) -> String {
    if fault.hint.is_empty() { fault.message.clone() } else { format!("{}; {}", fault.message, fault.hint) }
}
