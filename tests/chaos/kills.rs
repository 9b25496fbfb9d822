//! kill -9 at random instants: of every command that works on the log by itself, and of the engine under load with a command beside it.

use super::{
    chance::Chance,
    damage::remove_derived,
    fault::{Kind, Outcome, ensure},
    home::{GRACE, HANG, Home, Job},
    rounds::{self, Figures, LONG_ROUNDS},
    template::{Size, Template, log_arguments, path, write_client_log},
    traffic::Load,
    truth::{Call, Known, Truth},
};
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// Kills of one home between two comparisons.
const KILLS_MAX: u64 = 3;
/// The longest load before a kill.
const LOAD_MS_MAX: u64 = 900;
/// The engine does what waits for a quiet moment two seconds after the last call.
const QUIET_MS: [u64; 2] = [1_900, 2_700];

/// A command that is killed, or during which the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    Log,
    Import,
    Budget,
    Remeter,
    Reprice,
    Verify,
    Rebuild,
    Backup,
    Merge,
    Fold,
    Reset,
    Today,
    Export,
}

const ALL: [Deed; 13] = [
    Deed::Log,
    Deed::Import,
    Deed::Budget,
    Deed::Remeter,
    Deed::Reprice,
    Deed::Verify,
    Deed::Rebuild,
    Deed::Backup,
    Deed::Merge,
    Deed::Fold,
    Deed::Reset,
    Deed::Today,
    Deed::Export,
];

/// What holds once the command was acknowledged by exit code 0.
enum Effect {
    Nothing,
    Calls(Vec<String>),
    Budget(String),
    Restated(Vec<String>),
    Backup(PathBuf),
}

impl Deed {
    /// The command and its effect; the calls that it records are begun.
    fn prepare(self, template: &Template, home: &Home, truth: &mut Truth, chance: &mut Chance) -> (Vec<String>, Effect) {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let with = |text: &str, file: &Path| [words(text), vec![path(file).to_owned()]].concat();
        match self {
            Deed::Log => {
                let (id, arguments) = log_arguments(truth);
                (arguments, Effect::Calls(vec![id]))
            }
            Deed::Import => {
                let root = home.made("claude");
                let name = root.file_name().unwrap().to_str().unwrap().to_owned();
                let (root, ids) = write_client_log(&root, truth, &name, chance.between(1, 2_500), "2026-11-1");
                (with("import --client claude-code --root", &root), Effect::Calls(ids))
            }
            Deed::Budget => {
                let name = format!("b{}", super::home::unique());
                (words(&format!("budget set {name} 5 --period week")), Effect::Budget(name))
            }
            Deed::Remeter => (words("remeter --apply"), Effect::Restated(truth.to_be_restated())),
            Deed::Reprice => {
                let book = home.made("book.json");
                let rate = chance.between(1, 50);
                let row = format!(
                    r#"{{"provider":"openai","model":"gpt-4.1","rates":{{"input":"{rate}","output":"9"}},"source":"chaos","set":"chaos"}}"#
                );
                fs::write(&book, format!(r#"{{"format":"tollbar-prices/1","rows":[{row}]}}"#)).unwrap();
                (with("reprice --adopt --book", &book), Effect::Nothing)
            }
            Deed::Verify => (words("ledger verify"), Effect::Nothing),
            Deed::Rebuild => (words("ledger rebuild"), Effect::Nothing),
            Deed::Backup => {
                let folder = home.made("backup");
                (with("ledger backup", &folder), Effect::Backup(folder))
            }
            Deed::Merge => {
                for (id, call) in &template.other_truth.calls {
                    truth.calls.entry(id.clone()).or_insert_with(|| Call { known: Known::Begun, ..call.clone() });
                }
                (with("ledger merge", &template.other), Effect::Calls(template.other_truth.calls.keys().cloned().collect()))
            }
            Deed::Fold => (words("ledger fold --older-than 12m --yes"), Effect::Nothing),
            Deed::Reset => (words("reset --yes"), Effect::Nothing),
            Deed::Today => (words("today"), Effect::Nothing),
            Deed::Export => (words("export"), Effect::Nothing),
        }
    }

    fn spawn(self, template: &Template, home: &Home, truth: &mut Truth, chance: &mut Chance) -> (Job, Effect) {
        let (arguments, effect) = self.prepare(template, home, truth, chance);
        (home.spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>()), effect)
    }

    /// How long the command takes when nobody kills it, found out once.
    fn duration(self, template: &Template) -> Outcome<Duration> {
        static FOUND: Mutex<Option<HashMap<Deed, Duration>>> = Mutex::new(None);
        if let Some(found) = FOUND.lock().unwrap().get_or_insert_default().get(&self) {
            return Ok(*found);
        }
        let (home, truth) = template.copy();
        let begun = Instant::now();
        self.spawn(template, &home, &mut truth.lock().unwrap(), &mut Chance::new(1)).0.wait(*HANG)?;
        FOUND.lock().unwrap().get_or_insert_default().insert(self, begun.elapsed());
        Ok(begun.elapsed())
    }
}

impl Effect {
    fn acknowledge(&self, truth: &mut Truth) {
        match self {
            Effect::Calls(ids) => truth.acknowledge(ids),
            Effect::Budget(name) => drop(truth.budgets.insert(name.clone())),
            Effect::Restated(ids) => truth.restate(ids),
            Effect::Nothing | Effect::Backup(_) => {}
        }
    }
}

/// A command without an engine is killed, up to three times in a row on one home.
pub fn of_commands(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(chance.one_of(&[Size::Small, Size::Small, Size::Small, Size::Middle]));
    let (mut home, truth) = template.copy();
    let mut is_folded = false;
    for _ in 0..chance.between(1, KILLS_MAX) {
        let mut deed = chance.one_of(&ALL);
        // What was folded cannot be merged again, which the program says.
        if is_folded && matches!(deed, Deed::Reset | Deed::Backup) {
            deed = Deed::Today;
        }
        is_folded |= deed == Deed::Fold;
        let mut truth = truth.lock().unwrap();
        let time = chance.time_below(deed.duration(template)?.mul_f64(1.1));
        let (job, effect) = deed.spawn(template, &home, &mut truth, chance);
        match job.kill_after(time)? {
            // A refusal is right where another command left nothing to do.
            Some(ran) if ran.code == Some(0) => effect.acknowledge(&mut truth),
            Some(_) => {}
            None => Figures::add(&figures.kills, 1),
        }
        if let Effect::Backup(folder) = &effect {
            backup_is_whole(&home, folder, &truth, figures)?;
        }
        if deed == Deed::Reset {
            take_archives_back(&home)?;
            truth.budgets = template.truth.budgets.clone();
            truth.forget_restatements();
        }
    }
    if chance.percent(30) {
        home.start()?;
    }
    truth.lock().unwrap().all_there(&home, figures)?;
    if !home.is_running() && chance.percent(30) {
        remove_derived(&home, chance);
        truth.lock().unwrap().all_there(&home, figures)?;
    }
    Ok(())
}

/// Reset keeps everything in archives; merged, they are the log again. Budgets begin anew.
fn take_archives_back(home: &Home) -> Outcome {
    let archives: Vec<PathBuf> = fs::read_dir(home.path("data/archive")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    for archive in archives {
        home.out(&["ledger", "merge", path(&archive)])?;
    }
    for (name, dollars, period) in [("month", "1000000", "month"), ("tiny", "0.01", "day")] {
        home.out(&["budget", "set", name, dollars, "--period", period])?;
    }
    Ok(())
}

/// A backup that was killed leaves nothing in the way of the next into the same folder, and what is there then is whole.
fn backup_is_whole(home: &Home, folder: &Path, truth: &Truth, figures: &Figures) -> Outcome {
    let again = home.run(&["ledger", "backup", path(folder)])?;
    let elsewhere = Home::new("");
    let merged = elsewhere.run(&["ledger", "merge", path(folder)])?;
    ensure(merged.code == Some(0), Kind::Refused, || format!("backup: {again:?}, merged: {merged:?}"))?;
    let mut truth = Truth { budgets: BTreeSet::new(), ..truth.clone() };
    truth.forget_restatements();
    truth
        .all_there(&elsewhere, figures)
        .map_err(|fault| super::fault::Fault::new(fault.kind, format!("in a backup ({again:?}): {}", fault.text)))
}

/// The engine is killed under load with a command beside it, up to three times in a row on one home.
pub fn of_the_engine(chance: &mut Chance, figures: &Figures) -> Outcome {
    // Rebuilding a large log takes so long that calls come meanwhile. Making one takes too long for a short run.
    let is_large = rounds::variable::<u64>("CHAOS_KILLS").is_some_and(|rounds| rounds >= LONG_ROUNDS) && chance.percent(10);
    let template = Template::of(if is_large { Size::Large } else { chance.one_of(&[Size::Small, Size::Small, Size::Middle]) });
    let (mut home, truth) = template.copy();
    for _ in 0..chance.between(1, KILLS_MAX) {
        if chance.percent(15) {
            let starting = chance.time_below(Duration::from_millis(300));
            home.spawn(&["serve", "--port", "0"]).kill_after(starting)?;
            Figures::add(&figures.kills, 1);
            continue;
        }
        home.start()?;
        under_load(template, &mut home, &truth, chance)?;
        Figures::add(&figures.kills, 1);
    }
    if chance.percent(50) {
        home.start()?;
    }
    truth.lock().unwrap().all_there(&home, figures)?;
    if !home.is_running() && chance.percent(30) {
        remove_derived(&home, chance);
        truth.lock().unwrap().all_there(&home, figures)?;
    }
    Ok(())
}

fn under_load(template: &Template, home: &mut Home, truth: &Arc<Mutex<Truth>>, chance: &mut Chance) -> Outcome {
    let load = Load::start(home, truth, chance.between(1, 4), chance);
    let beside = chance.percent(70).then(|| {
        thread::sleep(chance.millis(0, 300));
        // Fold and reset want the engine stopped first; once it is killed, they work.
        chance.one_of(&ALL[..9]).spawn(template, home, &mut truth.lock().unwrap(), chance)
    });
    thread::sleep(chance.millis(20, LOAD_MS_MAX));
    let is_quiet = chance.percent(15);
    let load = if is_quiet {
        load.end()?;
        thread::sleep(chance.millis(QUIET_MS[0], QUIET_MS[1]));
        None
    } else {
        load.may_fail();
        Some(load)
    };
    let killed_at = Instant::now();
    home.kill()?;
    load.map_or(Ok(()), Load::end)?;
    truth.lock().unwrap().settle_after_kill(killed_at, *GRACE);
    if let Some((job, effect)) = beside
        && job.wait(*HANG)?.code == Some(0)
    {
        effect.acknowledge(&mut truth.lock().unwrap());
    }
    Ok(())
}
