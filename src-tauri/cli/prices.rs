//! `tollbar prices set|unset|multiply|list|missing`

mod list;
mod missing;
mod set;

pub(super) use set::Served;

use clap::Subcommand;
use events::query::Fault;

#[derive(Debug, Subcommand)]
pub(super) enum Prices {
    /// Price a model as you agreed with a provider, or found out
    Set(set::Set),
    /// Take a price of yours away
    Unset(set::Unset),
    /// Multiply a provider's list prices: a relay's surcharge, or a discount
    Multiply(set::Multiply),
    /// Your own prices, and the books in force
    List(list::List),
    /// Models without a price, and what they might be called
    Missing(missing::Missing),
}

impl Prices {
    pub(super) fn run(self) -> Result<(), Fault> {
        match self {
            Prices::Set(command) => command.run(),
            Prices::Unset(command) => command.run(),
            Prices::Multiply(command) => command.run(),
            Prices::List(command) => command.run(),
            Prices::Missing(command) => command.run(),
        }
    }
}
