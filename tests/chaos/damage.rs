//! Damage of every file and folder below `data/` and `state/`: while nothing runs, and under a working engine.

use super::{
    chance::Chance,
    fault::{Kind, Outcome, ensure},
    home::{GRACE, Home, below, copy_folder},
    rounds::{self, Figures, LONG_ROUNDS},
    template::{Size, Template, log, path, write_client_log},
    traffic::Load,
    truth::Truth,
};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

const DAMAGES_MAX: u64 = 3;
/// What the program may remove or lose at any time, below `data/log`.
const DERIVED: [&str; 3] = ["store", "keys", "checkpoint"];
/// Garbage that is appended, at most.
const GARBAGE_BYTES_MAX: u64 = 5_000;
/// Words of which one is in every report of damage.
const WORDS_OF_LOSS: [&str; 8] = ["lost", "lack", "damage", "missing", "gone", "skip", "not whole", "cannot be read"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    FlipBit,
    Cut,
    Append,
    Remove,
    Empty,
    /// Replaced by what was there before the newest calls.
    Older,
}

const OF_FILES: [How; 6] = [How::FlipBit, How::Cut, How::Append, How::Remove, How::Empty, How::Older];
const OF_FOLDERS: [How; 3] = [How::Remove, How::Empty, How::Older];

/// One damage that was done.
#[derive(Clone, Debug)]
struct Damage {
    path: PathBuf,
    how: How,
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} of {}", self.how, self.path.display())
    }
}

impl Damage {
    /// Damages a random file or folder.
    fn random(home: &Home, template: &Template, chance: &mut Chance) -> Damage {
        let mut places: Vec<PathBuf> = ["data", "state"].iter().flat_map(|folder| below(&home.path(folder))).collect();
        // A file of the journal is as likely as one of the store, which has more of them.
        let journal: Vec<PathBuf> = places.iter().filter(|path| is_journal(path)).cloned().collect();
        if chance.percent(40) && !journal.is_empty() {
            places = journal;
        }
        let place = places[chance.index(places.len())].clone();
        let how = if place.is_dir() { chance.one_of(&OF_FOLDERS) } else { chance.one_of(&OF_FILES) };
        let root = home.path("");
        let relative = place.strip_prefix(&root).unwrap().to_owned();
        how.apply(&place, &template.older.join(&relative), chance);
        Damage { path: relative, how }
    }

    /// Whether only what can be made again was damaged, so that no call may be lost.
    fn is_of_derived(&self) -> bool {
        !is_journal(&self.path) && !self.is_of_all()
    }

    /// Whether the journal and all that could mend it went, or became older together: nothing is left that could tell.
    fn is_of_all(&self) -> bool {
        self.path == Path::new("data/log")
    }
}

fn is_journal(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "journal")
}

impl How {
    fn apply(self, place: &Path, older: &Path, chance: &mut Chance) {
        match self {
            How::FlipBit => {
                let bytes = fs::read(place).unwrap_or_default();
                if !bytes.is_empty() {
                    let at = chance.index(bytes.len());
                    let flipped = [bytes[at] ^ (1 << chance.below(8))];
                    // In place, as a disk does it: whoever has the file open reads it.
                    OpenOptions::new().write(true).open(place).unwrap().write_all_at(&flipped, at as u64).unwrap();
                }
            }
            How::Cut => {
                let length = fs::metadata(place).map_or(0, |found| found.len());
                OpenOptions::new().write(true).open(place).unwrap().set_len(chance.below(length)).unwrap();
            }
            How::Append => {
                let garbage: Vec<u8> = (0..chance.between(1, GARBAGE_BYTES_MAX)).map(|_| chance.next().to_le_bytes()[0]).collect();
                OpenOptions::new().append(true).open(place).unwrap().write_all(&garbage).unwrap();
            }
            How::Remove => remove(place),
            How::Empty if place.is_dir() => {
                remove(place);
                fs::create_dir_all(place).unwrap();
            }
            How::Empty => drop(File::create(place).unwrap()),
            How::Older => {
                remove(place);
                if older.is_dir() { copy_folder(older, place) } else { drop(fs::copy(older, place)) }
            }
        }
    }
}

fn remove(place: &Path) {
    // The engine may have removed it at the same time.
    let _ = if place.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) };
}

/// Removes some of what can be made again from the journal.
pub fn remove_derived(home: &Home, chance: &mut Chance) {
    DERIVED.iter().filter(|_| chance.percent(70)).for_each(|name| remove(&home.path("data/log").join(name)));
}

/// Files are damaged while nothing runs.
pub fn at_rest(chance: &mut Chance, figures: &Figures) -> Outcome {
    let sizes = [Size::Small, Size::Small, Size::Small, Size::Middle];
    let large = rounds::variable::<u64>("CHAOS_DAMAGE").is_some_and(|rounds| rounds >= LONG_ROUNDS) && chance.percent(4);
    let template = Template::of(if large { Size::Large } else { chance.one_of(&sizes) });
    let (mut home, truth) = template.copy();
    let count = if chance.percent(60) { 1 } else { chance.between(2, DAMAGES_MAX) };
    let damages: Vec<Damage> = (0..count).map(|_| Damage::random(&home, template, chance)).collect();
    Figures::add(&figures.damages, count);
    let judge = Judge { may_lose_journal: large, damages, truth };
    judge.explain(judge.use_damaged(&mut home, chance, figures))
}

/// Files are damaged under a working engine.
pub fn under_load(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (mut home, truth) = template.copy();
    home.start()?;
    let load = Load::start(&home, &truth, 2, chance);
    thread::sleep(chance.millis(0, 300));
    let damages: Vec<Damage> = (0..chance.between(1, 2)).map(|_| Damage::random(&home, template, chance)).collect();
    Figures::add(&figures.damages, damages.len() as u64);
    let judge = Judge { may_lose_journal: true, damages, truth };
    judge.explain(judge.go_on(&mut home, load, chance, figures))
}

/// The damages of a round, and what may be lost by them.
struct Judge {
    /// The store no longer keeps all calls whole, or an engine worked on while the journal was damaged.
    may_lose_journal: bool,
    damages: Vec<Damage>,
    truth: Arc<Mutex<Truth>>,
}

impl Judge {
    fn explain(&self, outcome: Outcome) -> Outcome {
        let damages: Vec<String> = self.damages.iter().map(Damage::to_string).collect();
        outcome.map_err(|fault| super::fault::Fault::new(fault.kind, format!("after {}: {}", damages.join(" and "), fault.text)))
    }

    /// Runs commands over the damage in any order, then compares.
    fn use_damaged(&self, home: &mut Home, chance: &mut Chance, figures: &Figures) -> Outcome {
        let mut said = String::new();
        for _ in 0..chance.between(1, 4) {
            let command: &[&str] = chance.one_of(&[
                &["today"],
                &["summary"],
                &["status"],
                &["export"],
                &["budget", "list"],
                &["doctor"],
                &["ledger", "verify"],
                &["ledger", "rebuild"],
                &["remeter"],
                &["import", "--client", "claude-code"],
                &["stop"],
            ]);
            let ran = home.run(command)?;
            let may_fail = matches!(command, ["stop"] | ["ledger", "verify"]);
            ensure(may_fail || ran.code == Some(0), Kind::Refused, || format!("tollbar {}: {ran:?}", command.join(" ")))?;
            said += &(ran.out + &ran.err);
        }
        if chance.percent(50) {
            home.start()?;
            self.new_calls(home, chance)?;
        }
        log(home, &mut self.truth.lock().unwrap())?;
        if chance.percent(50) {
            let root = home.made("claude");
            let mut truth = self.truth.lock().unwrap();
            let (root, ids) = write_client_log(&root, &mut truth, &format!("after-{}", super::home::unique()), 50, "2026-11-1");
            home.out(&["import", "--client", "claude-code", "--root", path(&root)])?;
            truth.acknowledge(&ids);
        }
        self.compare(home, said, chance, figures)
    }

    fn new_calls(&self, home: &Home, chance: &mut Chance) -> Outcome {
        let load = Load::start(home, &self.truth, 2, chance);
        thread::sleep(chance.millis(10, 200));
        load.end()
    }

    /// The engine goes on over the damage for a while, then is killed or stopped.
    fn go_on(&self, home: &mut Home, load: Load, chance: &mut Chance, figures: &Figures) -> Outcome {
        let mut said = String::new();
        if chance.percent(40) {
            let command = chance.one_of(&[&["ledger", "rebuild"][..], &["status"], &["today"], &["ledger", "verify"], &["export"]]);
            let ran = home.run(command)?;
            said += &(ran.out + &ran.err);
        }
        thread::sleep(chance.millis(0, 600));
        if chance.percent(50) {
            load.may_fail();
            let killed_at = Instant::now();
            home.kill()?;
            load.end()?;
            self.truth.lock().unwrap().settle_after_kill(killed_at, *GRACE);
        } else {
            load.end()?;
            // An engine whose notice was damaged cannot be asked to stop.
            if home.run(&["stop"])?.code == Some(0) {
                home.stopped()?;
            } else {
                home.signal("TERM");
                home.stopped()?;
            }
            self.truth.lock().unwrap().settle();
        }
        self.compare(home, said, chance, figures)
    }

    fn compare(&self, home: &mut Home, said: String, chance: &mut Chance, figures: &Figures) -> Outcome {
        self.truth.lock().unwrap().settle();
        let truth = self.truth.lock().unwrap();
        let seen = if self.nothing_may_be_lost() { truth.compare_in_time(home, figures)? } else { truth.compare(home, figures)? };
        if self.nothing_may_be_lost() {
            seen.nothing_lost()?;
        }
        let said = format!("{said} {}", seen.said).to_lowercase();
        let is_said = WORDS_OF_LOSS.iter().any(|word| said.contains(word));
        let nothing_could_tell = self.damages.iter().any(Damage::is_of_all) || self.damages.len() > 1;
        ensure(seen.lost.is_empty() || is_said || nothing_could_tell, Kind::Unsaid, || {
            format!("{} calls are lost: {said}", seen.lost.len())
        })?;
        if home.is_running() {
            home.stop()?;
        }
        // Whatever was mended is mended in the journal: the rest may go at any time.
        remove_derived(home, chance);
        let later = truth.compare(home, figures)?;
        ensure(later.calls == seen.calls, Kind::Lost, || {
            format!("{} calls, and {} once the store, the keys or the checkpoint were removed: {}", seen.calls, later.calls, later.said)
        })
    }

    /// One damage of the journal is mended from the store.
    fn nothing_may_be_lost(&self) -> bool {
        let derived = self.damages.iter().all(Damage::is_of_derived);
        derived || self.damages.len() == 1 && !self.damages[0].is_of_all() && !self.may_lose_journal
    }
}
