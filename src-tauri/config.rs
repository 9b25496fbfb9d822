//! Where things are, and the one TOML file that says how they shall be. Every key has a default.

mod prices;

use crate::{
    clock,
    engine::foreign,
    outgoing::Outgoing,
    pricebuild::Set,
    priceupdate::Address,
    regular::read_text_bounded,
    upstreams::{UpstreamSection, Upstreams},
};
use events::{
    AgreedPrice, Multiplier, Zone,
    query::{Fault, FaultCode, Plan},
};
use prices::{PlanSection, PriceSection};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The port of the proxy if the configuration does not name another.
pub const PROXY_PORT: u16 = 8655;
/// The port of the dashboard and control API if it is free and the configuration does not name another.
pub const CONTROL_PORT: u16 = 8656;
/// The most months after which the log can be told to fold: a hundred years.
pub const FOLD_MONTHS_MAX: u32 = 1_200;
/// A configuration file larger than this is not one.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The folders of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The configuration file, which need not exist.
    pub config: PathBuf,
    /// What must not be lost: the log.
    pub data: PathBuf,
    /// What may be lost: the token, the running engine's address, cursors.
    pub state: PathBuf,
}

impl Home {
    /// `TOLLBAR_HOME` if it is set, else the platform's usual places.
    pub fn find() -> Result<Home, Fault> {
        if let Some(folder) = env::var_os("TOLLBAR_HOME").filter(|folder| !folder.is_empty()) {
            return Ok(Home::under(Path::new(&folder)));
        }
        let places = directories::ProjectDirs::from("dev", "tollbar", "tollbar")
            .ok_or_else(|| Fault::new(FaultCode::Storage, "this user has no home folder", "set TOLLBAR_HOME to a folder of your choice"))?;
        Ok(Home {
            config: places.config_dir().join("config.toml"),
            data: places.data_dir().to_owned(),
            state: places.state_dir().unwrap_or_else(|| places.data_local_dir()).to_owned(),
        })
    }

    /// Everything under one folder.
    pub fn under(folder: &Path) -> Home {
        Home { config: folder.join("config.toml"), data: folder.join("data"), state: folder.join("state") }
    }

    /// The folder of the log.
    pub fn log(&self) -> PathBuf {
        self.data.join("log")
    }
}

/// What the user wants otherwise than usual.
#[derive(Clone, Debug)]
pub struct Config {
    /// The zone in which days begin and end.
    pub zone: Zone,
    /// Where the proxy listens.
    pub proxy: SocketAddr,
    /// Whether the calls that the proxy carries are metered and recorded.
    pub record: bool,
    /// Where the dashboard and the control API listen; loopback always.
    pub control_port: u16,
    /// Whether the engine reads AI clients' logs and watches them.
    pub watch_logs: bool,
    /// After how many months calls are added up and no longer told apart, when the engine starts; never, if not named.
    pub fold_after_months: Option<u32>,
    /// How prices are kept up to date.
    pub price_updates: PriceUpdates,
    /// Whom the proxy can call.
    pub upstreams: Upstreams,
    /// How other machines are reached.
    pub outgoing: Outgoing,
    /// The names by which the proxy may be called on loopback, beside addresses and `localhost`.
    pub proxy_hosts: Vec<String>,
    /// Subscriptions.
    pub plans: Vec<Plan>,
    /// Prices of the user's own. They become facts of the log when it is opened.
    pub prices: Vec<AgreedPrice>,
    /// By what list prices are multiplied, by upstream. Facts as well.
    pub multipliers: Vec<Multiplier>,
}

/// How prices are kept up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceUpdates {
    /// Whether the engine looks for newer ones once a day.
    pub daily: bool,
    /// Where data sets are, if elsewhere than their makers publish them.
    pub sources: BTreeMap<Set, Address>,
}

/// The file, as it may be written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    zone: Option<String>,
    proxy: ProxySection,
    network: NetworkSection,
    dashboard: DashboardSection,
    logs: LogsSection,
    ledger: LedgerSection,
    prices: PricesSection,
    upstreams: BTreeMap<String, UpstreamSection>,
    plans: BTreeMap<String, PlanSection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProxySection {
    listen: Option<String>,
    record: Option<bool>,
    hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NetworkSection {
    proxy: Option<String>,
    no_proxy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DashboardSection {
    port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogsSection {
    watch: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LedgerSection {
    fold_after_months: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PricesSection {
    update: Option<String>,
    sources: BTreeMap<String, String>,
    /// Everything else is a model of the user's own price.
    #[serde(flatten)]
    models: BTreeMap<String, PriceSection>,
}

impl PricesSection {
    fn read(&self) -> Result<PriceUpdates, String> {
        let daily = match self.update.as_deref() {
            None | Some("off") => false,
            Some("daily") => true,
            Some(other) => return Err(format!("prices.update is {other:?} (write \"daily\" or \"off\")")),
        };
        let source = |(name, address): (&String, &String)| {
            let set = Set::ALL.into_iter().find(|set| set.name() == name).ok_or_else(|| {
                format!("prices.sources names {name:?}, which is no data set (known: {})", Set::ALL.map(Set::name).join(", "))
            })?;
            let address = Address::parse(address).ok_or_else(|| {
                format!("prices.sources.{name:?} is {address:?} (write it like https://..., file:///... or http://127.0.0.1:...)")
            })?;
            Ok((set, address))
        };
        Ok(PriceUpdates { daily, sources: self.sources.iter().map(source).collect::<Result<_, String>>()? })
    }
}

impl Config {
    /// Reads the file, if there is one.
    pub fn read(home: &Home) -> Result<Config, Fault> {
        match read_bounded(&home.config) {
            Ok(text) => Config::parse(&text).map_err(|cause| {
                let message = format!("cannot read the configuration {}: {cause}", home.config.display());
                Fault::new(FaultCode::Refused, message, "mend that line, or move the file aside to go on with the defaults")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Config::parse("").map_err(|cause| Fault::new(FaultCode::Internal, cause, ""))
            }
            Err(error) => {
                let fault = || {
                    Fault::new(
                        FaultCode::Storage,
                        format!("cannot read the configuration {}: {error}", home.config.display()),
                        "make the file readable to you, or move it aside to go on with the defaults",
                    )
                };
                let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
                Err(is_denied.then(|| foreign(home)).flatten().unwrap_or_else(fault))
            }
        }
    }

    /// Reads a configuration's text; the error names the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Config, String> {
        let file: ConfigFile = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            format!("line {line}: {}", error.message())
        })?;
        let zone = match &file.zone {
            Some(name) => name.parse()?,
            None => clock::machine_zone(),
        };
        let proxy = match &file.proxy.listen {
            Some(listen) => {
                listen.parse().map_err(|_| format!("proxy.listen is no address: {listen:?} (write it like 127.0.0.1:{PROXY_PORT})"))?
            }
            None => SocketAddr::from(([127, 0, 0, 1], PROXY_PORT)),
        };
        if let Some(months) = file.ledger.fold_after_months.filter(|months| !(1..=FOLD_MONTHS_MAX).contains(months)) {
            return Err(format!("ledger.fold_after_months is {months} (name 1 to {FOLD_MONTHS_MAX}, or leave it out to keep every call)"));
        }
        let variable = |name: &str| env::var(name).ok();
        let outgoing = Outgoing::new(file.network.proxy.as_deref(), file.network.no_proxy.as_deref(), variable)?;
        Ok(Config {
            zone,
            proxy,
            outgoing,
            proxy_hosts: file.proxy.hosts,
            record: file.proxy.record.unwrap_or(true),
            control_port: file.dashboard.port.unwrap_or(CONTROL_PORT),
            watch_logs: file.logs.watch.unwrap_or(true),
            fold_after_months: file.ledger.fold_after_months,
            price_updates: file.prices.read()?,
            upstreams: Upstreams::new(&file.upstreams)?,
            plans: prices::plans(&file.plans)?,
            prices: prices::prices(&file.prices.models)?,
            multipliers: prices::multipliers(&file.upstreams)?,
        })
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    read_text_bounded(path, CONFIG_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_default_and_a_wrong_one_is_named_with_its_line() {
        let config = Config::parse("").expect("an empty file is a configuration");
        assert_eq!(config.proxy.to_string(), "127.0.0.1:8655");
        let cause = |text| Config::parse(text).expect_err("refused");
        assert!(cause("\n[proxy]\nlisten = \"localhost\"").contains("proxy.listen is no address"));
        assert!(cause("zone = \"Mars/Base\"").contains("no such time zone"));
        assert!(cause("ledger.fold_after_months = 0").contains("ledger.fold_after_months is 0"));
        assert_eq!(
            (config.fold_after_months, Config::parse("ledger.fold_after_months = 24").ok().and_then(|c| c.fold_after_months)),
            (None, Some(24))
        );
        assert!(cause("\n\nsurprise = 1").starts_with("line 3: unknown field `surprise`"));
        assert!(cause("prices.update = \"hourly\"").contains("prices.update is \"hourly\""));
        assert!(cause("[prices.sources]\nprices = \"https://x\"").contains("which is no data set"));
        for address in ["http://example.com/x.json", "ftp://x/y", "file://x", "x.json"] {
            let text = format!("[prices.sources]\nlitellm = {address:?}");
            assert!(Config::parse(&text).is_err_and(|cause| cause.contains(address)));
        }
        assert!(Config::parse("[prices.sources]\nlitellm = \"http://127.0.0.1:1/x\"\n\"models.dev\" = \"file:///x\"").is_ok());
        assert!(cause("[upstreams.a]\nbase_url = \"ftp://x\"").contains("ftp://x"));
        for address in ["https://u:secret@x/v1", "https://secret@x", "u:secret@x", "ftp://u:secret@x y"] {
            let text = format!("[upstreams.a]\nbase_url = {address:?}");
            let cause = Config::parse(&text).expect_err("refused");
            assert!(cause.contains("holds a user name or password") && !cause.contains("secret"), "{cause}");
        }
        assert!(cause("[upstreams.a]\nbase_url = \"http://x\"\ndialect = \"klingon\"").contains("klingon"));
        assert!(cause("[upstreams.a]\nbase_url = \"http://x\"\nmultiplier = \"-1\"").contains("upstreams.a.multiplier"));
        assert!(cause("[plans.max]\nmonthly = \"200\"").contains("covers nothing"));
        assert!(cause("[plans.max]\nmonthly = \"-1\"\nclient = \"codex\"").contains("below zero"));
        assert!(cause("[prices.m]\ninput = \"much\"").contains("prices.m.input"));
        assert!(cause("[upstreams.\"a/b\"]\nbase_url = \"http://x\"").contains("a/b"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(.|\n){0,200}") {
            let _ = Config::parse(&text);
        }
    }
}
