//! Looks for newer prices once a day, where the user switched that on.

use super::{Proposal, adopt, fetch, propose};
use crate::{
    clock,
    config::{Config, Home},
    engine::{Told, WriterHandle, write_private},
};
use events::{Command, Zone, query::Fault};
use std::{
    fs,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(24 * 3_600);
/// A clock that was set is noticed so soon; a sleeping machine looks when it wakes.
const GLANCE: Duration = Duration::from_secs(3_600);

/// The thread that looks. It ends when this is dropped; nobody waits for it, since a server may be slow.
pub struct Daily {
    _stop: Sender<()>,
}

impl Daily {
    /// Begins to look, if the configuration says so. `say` is told what is wrong.
    pub fn start(home: &Home, config: &Config, writer: &WriterHandle, say: impl Fn(String) + Send + 'static) -> Option<Daily> {
        if !config.price_updates.daily {
            return None;
        }
        let (stop, stopped) = channel();
        let (home, config, writer) = (home.clone(), config.clone(), writer.clone());
        let run = move || look_daily(&stopped, &home, &config, &writer, &say);
        match thread::Builder::new().name("tollbar-prices".into()).spawn(run) {
            Ok(_) => Some(Daily { _stop: stop }),
            // So few threads are left that others will say so too.
            Err(_) => None,
        }
    }
}

fn look_daily(stopped: &Receiver<()>, home: &Home, config: &Config, writer: &WriterHandle, say: &dyn Fn(String)) {
    let looked = home.state.join("prices").join("looked");
    loop {
        if is_due(&looked) {
            // Also after a failure: whoever is offline or asks too often is not helped by asking again at once.
            if let Err(error) = write_private(&looked, clock::now().to_string()) {
                say(format!("prices are not updated: cannot write {}: {error}", looked.display()));
            } else if let Err(fault) = look(home, config, writer) {
                say(format!("prices are not updated: {fault}; {}", fault.hint));
            }
        }
        match stopped.recv_timeout(GLANCE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn is_due(looked: &PathBuf) -> bool {
    let Ok(written) = fs::metadata(looked).and_then(|file| file.modified()) else { return true };
    // A time in the future is of a clock that was wrong.
    clock::since(written).is_none_or(|since| since >= PERIOD)
}

fn look(home: &Home, config: &Config, writer: &WriterHandle) -> Result<Option<Told>, Fault> {
    const STAYS: &str = "the book in force stays";
    let refused = |cause: String| Fault::refused(cause, STAYS);
    let fetched = fetch(&config.price_updates.sources, &config.outgoing, &home.state).map_err(|cause| refused(cause.to_string()))?;
    if fetched.newer == 0 {
        return Ok(None);
    }
    let in_force = super::in_force_of(writer)?;
    let today = Zone::default().day_span(Zone::default().day(clock::now())).from;
    let proposal = propose(&in_force, &fetched.folder.sets(), today).map_err(|cause| refused(cause.to_string()))?;
    let large = proposal.large().count();
    if large > 0 {
        return Err(Fault::refused(
            format!("{large} prices would change by more than ten times"),
            "look at them with `tollbar prices update`; the book in force stays",
        ));
    }
    fetched.keep(&home.state).map_err(|error| refused(format!("cannot keep what was fetched: {error}")))?;
    let from = proposal.from();
    let Proposal { book, changes, .. } = proposal;
    if changes.is_empty() { Ok(None) } else { adopt(&|command: Command| writer.tell(command), book, from).map(Some) }
}
