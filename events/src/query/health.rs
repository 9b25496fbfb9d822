//! Is everything well?

use super::{Fault, Query, View};
use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// Is everything well?
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Health {}

/// The answer to [`Health`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct HealthAnswer {
    /// The version of the program that holds the log.
    pub version: String,
    /// The calls that are recorded.
    pub calls: u64,
    /// The last call, by its own time.
    pub last_call_at: Option<Timestamp>,
    /// The entries of the log.
    pub entries: u64,
    /// The folder that holds the log.
    pub folder: String,
    /// The bytes of the journal on disk.
    pub journal_bytes: u64,
    /// The price book in force, by the first twelve digits of its hash.
    pub price_book: String,
    /// The zone in which days begin and end.
    pub zone: String,
    /// What the log mended when it was opened, in words.
    pub mended: Vec<String>,
    /// The engine that runs, if one does.
    pub engine: Option<EngineFacts>,
}

/// What only a running engine knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct EngineFacts {
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// The dashboard, without its token.
    pub dashboard: String,
    /// The proxy, if it listens.
    pub proxy: Option<ProxyFacts>,
    /// What the user should know: one line each.
    pub warnings: Vec<String>,
    /// Why calls pass and are not recorded now; `null` while they are recorded.
    #[serde(default)]
    pub not_recording: Option<Fault>,
}

/// How the proxy does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProxyFacts {
    /// Where it listens: `http://127.0.0.1:8655`.
    pub address: String,
    /// Calls that it carried since it started.
    pub carried: u64,
    /// Calls that it carries now.
    pub in_flight: u64,
    /// Calls that could not be observed or recorded.
    pub unobserved: u64,
    /// Calls that may be billed and that no dialect reads, by the shape of their path; the last one stands for all further shapes.
    #[serde(default)]
    pub unmetered: Vec<Unmetered>,
    /// Calls that were recorded without project, branch and program, because their folder or process did not answer in time.
    #[serde(default)]
    pub unplaced: u64,
    /// Whose dialects it knows by name.
    pub upstreams: Vec<String>,
}

/// Calls of one shape that passed and were not metered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Unmetered {
    /// The upstream and the shape: `openai POST /v1/agents`, with a star for each id and without the query.
    pub shape: String,
    /// How many.
    pub calls: u64,
}

impl Query for Health {
    const NAME: &'static str = "health";
    const IS_QUICK: bool = true;
    type Answer = HealthAnswer;

    fn answer(&self, view: &View<'_>, _now: Timestamp) -> Result<HealthAnswer, Fault> {
        const BOOK_DIGITS: usize = 12;
        Ok(HealthAnswer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            calls: view.projections.spend.calls(),
            last_call_at: view.projections.last_call_at(),
            entries: view.log.last().0,
            folder: view.log.folder().display().to_string(),
            journal_bytes: view.log.journal_bytes(),
            price_book: view.projections.tariff().newest().id().chars().take(BOOK_DIGITS).collect(),
            zone: view.zone.to_string(),
            mended: view.log.mended().to_vec(),
            engine: view.engine.cloned(),
        })
    }
}
