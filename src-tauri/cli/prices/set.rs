//! `tollbar prices set|unset|multiply`: what becomes an event, with what it does to the sums.

use super::super::{ledger, print, print_json, reprice::instant};
use crate::{
    engine::{Ledger, Told},
    words,
};
use clap::{Args, ValueEnum};
use events::{
    AgreedName, AgreedPrice, Command, Factor, Multiplier, Rate, Rates, Tier, Usd,
    query::{Dimension, Fault, Spend, SpendBy},
};
use serde::Serialize;

#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    name: Name,
    /// Dollars per million tokens of input
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true)]
    input: Option<String>,
    /// Dollars per million tokens of output
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true)]
    output: Option<String>,
    /// Dollars per million tokens read from a cache; as input, if not given
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true)]
    cache_read: Option<String>,
    /// Dollars per million tokens written to a cache of minutes; as input, if not given
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true)]
    cache_write: Option<String>,
    /// Dollars per million tokens written to a cache of hours; as input, if not given
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true)]
    cache_write_1h: Option<String>,
    /// Dollars per thousand web searches
    #[arg(long, value_name = "DOLLARS", allow_hyphen_values = true)]
    web_search: Option<String>,
    /// The first day (in UTC) or instant; now if not given, and then for earlier calls too that had no price
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// The first day or instant at which it no longer holds
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Unset {
    #[command(flatten)]
    name: Name,
    /// From that day or instant on; as if it had never been set, if not given
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Multiply {
    /// The provider, by the name of its upstream
    provider: String,
    /// By how much: 1.2 for a surcharge of 20 %, 0.9 for a discount of 10 %, 1 to end it
    factor: String,
    /// From that day or instant on; from now, if not given
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Name {
    /// The model, as calls name it
    model: String,
    /// Only calls to this provider, by the name of its upstream
    #[arg(long)]
    provider: Option<String>,
    /// Only calls that are served so
    #[arg(long, value_enum, default_value = "standard")]
    tier: Served,
}

/// How a call is served, as the command line says it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Served {
    Standard,
    Batch,
    Flex,
    Priority,
    Fast,
    Ultrafast,
}

impl Served {
    pub(in crate::cli) fn tier(self) -> Tier {
        match self {
            Served::Standard => Tier::Standard,
            Served::Batch => Tier::Batch,
            Served::Flex => Tier::Flex,
            Served::Priority => Tier::Priority,
            Served::Fast => Tier::Fast,
            Served::Ultrafast => Tier::Ultrafast,
        }
    }
}

impl Set {
    pub(in crate::cli) fn run(self) -> Result<(), Fault> {
        let rates = Rates {
            input: rate(&self.input)?,
            output: rate(&self.output)?,
            cache_read: rate(&self.cache_read)?,
            cache_write_5m: rate(&self.cache_write)?,
            cache_write_30m: rate(&self.cache_write)?,
            cache_write_1h: rate(&self.cache_write_1h)?,
            cache_write_12h: rate(&self.cache_write_1h)?,
            web_search: rate(&self.web_search)?.map(|rate| Rate::from_atto(rate.atto().saturating_mul(1_000))),
            ..Rates::default()
        };
        let (from, until) = (self.from.as_deref().map(instant).transpose()?, self.until.as_deref().map(instant).transpose()?);
        let name = self.name.name();
        let price = AgreedPrice { name: name.clone(), from, fills: false, until, rates };
        let note = match (&self.cache_read, &self.cache_write) {
            (Some(_), Some(_)) => "",
            (None, _) | (_, None) => "what of the cache has no rate costs as input does\n",
        };
        tell(Command::SetPrice { price: Box::new(price) }, self.json, &format!("{} has the price that you set", name.model), note)
    }
}

impl Unset {
    pub(in crate::cli) fn run(self) -> Result<(), Fault> {
        let (name, from) = (self.name.name(), self.from.as_deref().map(instant).transpose()?);
        let done = match &self.from {
            Some(from) => format!("your price of {} ends at {from}", name.model),
            None => format!("your price of {} is gone", name.model),
        };
        tell(Command::UnsetPrice { name, from }, self.json, &done, "")
    }
}

impl Multiply {
    pub(in crate::cli) fn run(self) -> Result<(), Fault> {
        let factor = Factor::parse(&self.factor).ok_or_else(|| {
            Fault::refused(
                format!("{:?} is no multiplier", self.factor),
                "write it like 1.2 or 0.9: above 0, at most 100, with at most three places",
            )
        })?;
        let multiplier = Multiplier { provider: self.provider.clone(), factor, from: self.from.as_deref().map(instant).transpose()? };
        let note = "your own prices and what providers report are not multiplied\n";
        tell(Command::MultiplyPrices { multiplier }, self.json, &format!("list prices of {} count {factor} times", self.provider), note)
    }
}

impl Name {
    fn name(&self) -> AgreedName {
        AgreedName { model: self.model.clone(), provider: self.provider.clone(), tier: self.tier.tier() }
    }
}

/// What a command about prices did.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    told: Told,
    /// What all calls cost.
    before_usd: Usd,
    after_usd: Usd,
    /// Calls that had no price and have one now, or the other way round.
    newly_priced_calls: i128,
}

/// Tells, and says what it did to the sums: a price never changes them unseen.
fn tell(command: Command, json: bool, what: &str, note: &str) -> Result<(), Fault> {
    let ledger = ledger()?;
    let before = all(&ledger)?;
    let told = ledger.tell(command)?;
    let after = all(&ledger)?;
    let done = Done {
        told,
        before_usd: before.usd,
        after_usd: after.usd,
        newly_priced_calls: i128::from(before.unpriced_calls) - i128::from(after.unpriced_calls),
    };
    if json {
        return print_json(&done);
    }
    if told.entries == 0 {
        return print("it stands like that already\n");
    }
    let mut text = format!("{what}\n{note}");
    match done.newly_priced_calls {
        0 => {}
        calls @ 1.. => {
            text += &format!("{} that had no price: {} now\n", calls_word(calls), if calls == 1 { "has one" } else { "have one" })
        }
        calls => {
            text +=
                &format!("{} no price any more\n", if calls == -1 { "1 call has".into() } else { format!("{} have", calls_word(-calls)) })
        }
    }
    if done.before_usd != done.after_usd {
        text += &format!("all recorded calls: {} before, {} now\n", words::dollars(done.before_usd), words::dollars(done.after_usd));
    }
    print(&text)
}

fn calls_word(calls: i128) -> String {
    words::counted(u64::try_from(calls).unwrap_or(0), "call", "calls")
}

fn all(ledger: &Ledger) -> Result<Spend, Fault> {
    Ok(ledger.ask(SpendBy { by: vec![Dimension::Provider], ..SpendBy::default() })?.total)
}

fn rate(text: &Option<String>) -> Result<Option<Rate>, Fault> {
    let read = |text: &String| {
        let plain = text.trim().strip_prefix('$').unwrap_or(text.trim());
        Rate::per_million(plain)
            .ok_or_else(|| Fault::refused(format!("{text:?} is no rate"), "give dollars per million tokens, like 3 or 0.15"))
    };
    text.as_ref().map(read).transpose()
}
