//! `tollbar log`

use super::{ledger, print, print_json};
use crate::clock;
use clap::Args;
use events::{
    CallUuid, Certainty, Fees, Project, ProjectBy, Sighting, Source, Timestamp, Tokens, Usage, Usd,
    query::{Fault, FaultCode},
};

#[derive(Debug, Args)]
pub(super) struct Log {
    /// The model that answered
    #[arg(long)]
    model: String,
    /// Who was called
    #[arg(long, default_value = "openai")]
    provider: String,
    /// Uncached input tokens
    #[arg(long, default_value_t = 0)]
    input: u64,
    /// Output tokens, reasoning included
    #[arg(long, default_value_t = 0)]
    output: u64,
    /// Cached input tokens
    #[arg(long, default_value_t = 0)]
    cache_read: u64,
    /// Tokens written to a cache of five minutes
    #[arg(long, default_value_t = 0)]
    cache_write_5m: u64,
    /// Tokens written to a cache of one hour
    #[arg(long, default_value_t = 0)]
    cache_write_1h: u64,
    /// Web searches that the provider ran
    #[arg(long, default_value_t = 0)]
    web_search: u32,
    /// What the call was made for
    #[arg(long)]
    project: Option<String>,
    /// When it was made, like 2026-11-22T08:30:00Z; now if not named
    #[arg(long)]
    at: Option<String>,
    /// The provider's id of the answer; the same id twice is one call
    #[arg(long)]
    call_id: Option<String>,
    /// The cost that the provider named, in dollars
    #[arg(long)]
    cost: Option<Usd>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Log {
    pub(super) fn run(self) -> Result<(), Fault> {
        let at = match &self.at {
            None => clock::now(),
            Some(text) => Timestamp::parse(text)
                .ok_or_else(|| Fault::refused(format!("{text:?} is no time"), "write it like 2026-11-22T08:30:00Z"))?,
        };
        let random = || getrandom::u64().map_err(|error| Fault::new(FaultCode::Internal, format!("no random numbers: {error}"), ""));
        // A call with an id is known by it. Without one, it is a call of its own.
        let carried = match self.call_id {
            Some(_) => None,
            None => Some(CallUuid(u128::from(random()?) << 64 | u128::from(random()?))),
        };
        let family = match self.provider.as_str() {
            "anthropic" => "anthropic",
            "gemini" | "vertex" => "gemini",
            _ => "openai",
        };
        let usage = Usage {
            at,
            family: family.into(),
            provider: self.provider,
            model: Some(self.model),
            call_id: self.call_id,
            carried,
            project: self.project.map(|name| Project { by: ProjectBy::Hand, name }),
            tokens: Tokens {
                input: self.input,
                output: self.output,
                cache_read: self.cache_read,
                cache_write_5m: self.cache_write_5m,
                cache_write_1h: self.cache_write_1h,
                ..Tokens::default()
            },
            fees: Fees::of_searches(self.web_search),
            certainty: Certainty::Reported,
            reported_cost: self.cost,
            sources: Source::Manual.into(),
            ..Usage::default()
        };
        let told = ledger()?.tell(events::Command::LogUsage { sightings: vec![Sighting::from(usage)] })?;
        if told.refused > 0 {
            let cause = format!("a call made at {at} may stand in a summary of this log, which was folded");
            return Err(Fault::refused(cause, "give the time of a later call; a call made so long ago is not recorded any more"));
        }
        match (self.json, told.entries) {
            (true, _) => print_json(&told),
            (false, 0) => print("nothing new: the log has this call already\n"),
            (false, _) => print(&format!("recorded as entry {}\n", told.seq.0)),
        }
    }
}
