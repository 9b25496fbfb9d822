//! The command line, one file per command. Every command works whether or not the engine runs.

mod advice;
mod budget;
mod connect;
mod coverage;
mod dashboard;
mod doctor;
mod explain;
mod export;
mod import;
mod ledger;
mod log;
mod manual;
mod models;
mod output;
mod plans;
mod prices;
mod project;
mod remeter;
mod reprice;
mod reset;
mod run;
mod serve;
mod service;
mod status;
mod summary;
mod table;
mod today;
mod version;

use crate::{
    clock,
    config::{Config, Home},
    diagnostics,
    engine::Ledger,
    words,
};
use clap::{Args, Parser, Subcommand};
use events::{
    Day, Zone,
    query::{Fault, Filter},
};
use output::{print, print_json, warn};
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

/// What your LLM calls cost, while they happen and for ever after.
#[derive(Debug, Parser)]
#[command(
    name = "tollbar",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Tollbar {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the engine: the proxy, the dashboard and the watch over clients' logs
    Serve(serve::Serve),
    /// Run a command with its calls going through the proxy
    Run(run::Run),
    /// How AI clients stand to the proxy, and how one is pointed at it
    Connect(connect::Connect),
    /// Let the system keep the engine running
    #[command(subcommand)]
    Service(service::Service),
    /// Say whether the engine runs and whether all is well
    Status(status::Status),
    /// Stop the running engine
    Stop(serve::Stop),
    /// Open the dashboard in a browser
    Dashboard(dashboard::Dashboard),
    /// What today costs, with week and month
    Today(today::Today),
    /// What was spent, by day, model, project, provider or client
    Summary(summary::Summary),
    /// Every call, one row each
    Export(export::Export),
    /// Record a call by hand
    Log(log::Log),
    /// Budgets and how they stand
    #[command(subcommand)]
    Budget(budget::Budget),
    /// Read AI clients' own logs, or logs of another make
    Import(import::Import),
    /// Who saw the calls: clients' own logs, the proxy, or both
    Coverage(coverage::Coverage),
    /// Projects and the names under which they are shown
    #[command(subcommand)]
    Project(project::Project),
    /// What is found here, what is not read and why, and what to do
    Doctor(doctor::Doctor),
    /// Price the recorded calls again: as of today or a date, under another book, as another model, tier or cache
    Reprice(reprice::Reprice),
    /// What would have been cheaper for the recorded calls
    #[command(visible_alias = "whatif")]
    Advice(advice::Advice),
    /// What subscriptions were worth, month by month
    Plans(plans::Plans),
    /// Why one call costs what it costs, line by line
    Explain(explain::Explain),
    /// Your own prices, multipliers and discounts; what has no price; newer prices, and the making of a book
    #[command(subcommand)]
    Prices(prices::Prices),
    /// What models cost, from when to when
    Models(models::Models),
    /// Run today's meters over what providers said in the past, and restate what changed
    Remeter(remeter::Remeter),
    /// Try, rebuild, copy, merge and fold the log
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Archive the log and begin a new one
    Reset(reset::Reset),
    /// Print completions for a shell
    Completions(manual::Completions),
    /// Write the manual pages into a folder
    Man(manual::Man),
    /// Print the version
    Version(version::Version),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Tollbar { command } = Tollbar::parse();
    diagnostics::hide_handled_panics();
    // What a command of the user's writes is as the user wants it, and it inherits what is set here.
    if !matches!(command, Command::Run(_)) {
        crate::keep_files_private();
        diagnostics::survive_file_size_limit();
    }
    let done = match command {
        Command::Run(command) => return command.run(),
        Command::Connect(command) => command.run(),
        Command::Service(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Stop(command) => command.run(),
        Command::Dashboard(command) => command.run(),
        Command::Today(command) => command.run(),
        Command::Summary(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Budget(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Coverage(command) => command.run(),
        Command::Project(command) => command.run(),
        Command::Doctor(command) => match command.run() {
            Ok(is_well) => return if is_well { output::status() } else { ExitCode::FAILURE },
            Err(fault) => Err(fault),
        },
        Command::Reprice(command) => command.run(),
        Command::Advice(command) => command.run(),
        Command::Plans(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Prices(command) => command.run(),
        Command::Models(command) => command.run(),
        Command::Remeter(command) => command.run(),
        Command::Ledger(command) => command.run(),
        Command::Reset(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Version(command) => command.run(),
    };
    let status = match done {
        Ok(()) => output::status(),
        Err(fault) => {
            complain(&fault);
            ExitCode::FAILURE
        }
    };
    diagnostics::finish();
    status
}

/// One line of cause, one line of what to do.
fn complain(fault: &Fault) {
    let (red, plain) = if io::stderr().is_terminal() && colours_wanted() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    warn(format_args!("{red}error:{plain} {}", fault.message));
    if !fault.hint.is_empty() {
        warn(format_args!("hint: {}", fault.hint));
    }
}

/// Whether the user lets programs use colours (no-color.org).
fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The log of this user, wherever it is open.
fn ledger() -> Result<Ledger, Fault> {
    let home = Home::find()?;
    let config = Config::read(&home)?;
    Ledger::open(&home, &config)
}

/// Says what will be done and asks for a word. Without a person to ask, only `--yes` goes on.
fn confirmed(what: &str, word: &str) -> Result<(), Fault> {
    if !io::stdin().is_terminal() {
        return Err(Fault::refused(format!("{what} Nobody is here to confirm it"), "give --yes to go on without asking"));
    }
    // Without a newline, as a prompt stands; who cannot read it does not answer it.
    let _ = io::stderr().write_all(format!("{what}\nType {word:?} to go on: ").as_bytes());
    let mut typed = String::new();
    let read = io::stdin().read_line(&mut typed);
    if read.is_ok() && typed.trim() == word { Ok(()) } else { Err(Fault::refused("nothing was done", format!("type {word:?} to go on"))) }
}

/// What is said of calls that were seen and not recorded, since they may stand in summaries; nothing where there are none.
fn refused(calls: u64) -> String {
    match calls {
        0 => String::new(),
        calls => format!(", {} not taken again: the log was folded and may have them in summaries", words::counted(calls, "call", "calls")),
    }
}

/// A folder for a copy of the log as it is today, that does not exist yet.
fn free_archive(home: &Home) -> PathBuf {
    let day = Zone::default().day(clock::now());
    let named = |number: u32| {
        let name = if number == 1 { format!("log-{day}") } else { format!("log-{day}-{number}") };
        home.data.join("archive").join(name)
    };
    (1..).map(named).find(|folder| !folder.exists()).expect("there are more numbers than folders")
}

/// A bar for long work, on a terminal.
fn progress_bar(unit: &str) -> indicatif::ProgressBar {
    if !io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let style = indicatif::ProgressStyle::with_template(&format!("{{bar:30}} {{human_pos}}/{{human_len}} {unit} {{eta}}"));
    indicatif::ProgressBar::new(0).with_style(style.expect("the template is one that indicatif knows"))
}

/// What turns while work of unknown length goes on, on a terminal.
fn spinner(what: &'static str) -> indicatif::ProgressBar {
    if !io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let spinner = indicatif::ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}

/// Which calls count.
#[derive(Clone, Debug, Default, Args)]
struct Which {
    /// The first day, like 2026-11-01
    #[arg(long, value_name = "DAY")]
    since: Option<Day>,
    /// The last day, like 2026-11-22
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
    /// Only calls for this project
    #[arg(long)]
    project: Option<String>,
    /// Only calls to this model
    #[arg(long)]
    model: Option<String>,
    /// Only calls to this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only calls by this client
    #[arg(long)]
    client: Option<String>,
    /// Only calls from this machine, by the name of its journal
    #[arg(long)]
    device: Option<String>,
}

impl Which {
    fn filter(&self) -> Filter {
        Filter {
            project: self.project.clone(),
            model: self.model.clone(),
            provider: self.provider.clone(),
            client: self.client.clone(),
            device: self.device.clone(),
        }
    }
}
