//! Disks without room: a small tmpfs holds `data/`, at times `state/` too. Its bytes or inodes are used up under load, or before the engine
//! starts; or it is read-only.

use super::{
    chance::Chance,
    fault::{Kind, Outcome, ensure},
    home::{GRACE, Home, copy_folder},
    rounds::Figures,
    template::{Size, Template, log_arguments},
    traffic::Load,
    truth::Truth,
};
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// Set in the process that has a mount namespace of its own.
const INSIDE: &str = "CHAOS_MAY_MOUNT";
const INODES: u64 = 120;

/// What a disk runs out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Bytes,
    Inodes,
    /// It is read-only before the engine starts.
    Writing,
}

/// A small disk in memory.
struct Disk {
    folder: PathBuf,
    lack: Lack,
}

impl Disk {
    fn mount(folder: PathBuf, lack: Lack, chance: &mut Chance) -> Disk {
        fs::create_dir_all(&folder).unwrap();
        let room =
            if lack == Lack::Inodes { format!("size=64m,nr_inodes={INODES}") } else { format!("size={}k", chance.between(5_000, 12_000)) };
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("{room},mode=700"), "chaos"]).arg(&folder).status().unwrap();
        assert!(mounted.success(), "this process may mount");
        Disk { folder, lack }
    }

    /// Uses up all that is left but at most `spared` bytes.
    fn fill(&self, spared: usize) {
        if self.lack == Lack::Writing {
            return self.remount("ro");
        }
        let filler = self.folder.join("filler");
        if self.lack == Lack::Inodes {
            fs::create_dir_all(&filler).unwrap();
            let _full = (0..INODES).map(|number| File::create(filler.join(number.to_string()))).find(Result::is_err);
            return;
        }
        let mut file = File::create(&filler).unwrap();
        let mut written: u64 = 0;
        while let Ok(bytes) = file.write(&[0; 4096]) {
            written += bytes as u64;
        }
        file.set_len(written.saturating_sub(spared as u64)).unwrap();
    }

    fn free(&self) {
        if self.lack == Lack::Writing {
            self.remount("rw");
        }
        let filler = self.folder.join("filler");
        let _ = if filler.is_dir() { fs::remove_dir_all(&filler) } else { fs::remove_file(&filler) };
    }

    fn remount(&self, how: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.folder).status().unwrap();
        assert!(status.success(), "remounted {how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the engine may have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

/// The words that begin a command in a mount namespace of its own; `None` where that is not allowed.
pub fn namespace() -> Option<&'static [&'static str]> {
    const WAYS: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-Urm"]];
    WAYS.into_iter().find(|way| {
        let tried = Command::new(way[0]).args(&way[1..]).args(["mount", "-t", "tmpfs", "chaos", "/mnt"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

/// Runs a test of this program again where it may mount, or here if this is such a process.
pub fn where_mounting_is_allowed(test: &str, run: impl Fn() -> Result<(), libtest_mimic::Failed>) -> Result<(), libtest_mimic::Failed> {
    if std::env::var_os(INSIDE).is_some() {
        return run();
    }
    let way = namespace().expect("the test is ignored where there is no way");
    let this = std::env::current_exe().unwrap();
    let status =
        Command::new(way[0]).args(&way[1..]).arg(this).args(["--exact", test, "--include-ignored"]).env(INSIDE, "1").status().unwrap();
    if status.success() { Ok(()) } else { Err("see above".into()) }
}

pub fn without_bytes(chance: &mut Chance, figures: &Figures) -> Outcome {
    round(Lack::Bytes, chance, figures)
}

pub fn without_inodes(chance: &mut Chance, figures: &Figures) -> Outcome {
    round(Lack::Inodes, chance, figures)
}

pub fn read_only(chance: &mut Chance, figures: &Figures) -> Outcome {
    round(Lack::Writing, chance, figures)
}

fn round(lack: Lack, chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (home, truth) = template.copy();
    let home = &mut { home };
    let disk = Disk::mount(home.path("disk"), lack, chance);
    // The notice and the token of the engine may be on the same disk.
    let on_disk: &[&str] = if chance.percent(40) { &["data", "state"] } else { &["data"] };
    for name in on_disk {
        copy_folder(&home.path(name), &home.path("disk").join(name));
        fs::remove_dir_all(home.path(name)).unwrap();
        symlink(home.path("disk").join(name), home.path(name)).unwrap();
    }
    let outcome = if lack == Lack::Writing || chance.percent(30) {
        full_at_start(home, &disk, &truth, chance)
    } else {
        full_under_load(home, &disk, &truth, chance, figures)
    };
    outcome?;
    disk.free();
    {
        let mut truth = truth.lock().unwrap();
        truth.settle();
        if home.is_running() {
            truth.compare_in_time(home, figures)?;
            unobserved(home, &mut truth)?;
        }
        let seen = truth.compare(home, figures)?;
        ensure(seen.lost.len() as u64 <= truth.unobserved, Kind::Lost, || {
            format!("{} calls, {} are said to be: {}", seen.lost.len(), truth.unobserved, seen.said)
        })?;
    }
    if home.is_running() {
        home.stop()?;
    }
    let seen = truth.lock().unwrap().compare(home, figures)?;
    let unobserved = truth.lock().unwrap().unobserved;
    ensure(seen.lost.len() as u64 <= unobserved, Kind::Lost, || {
        format!("after a stop, {} calls, {unobserved} are said to be", seen.lost.len())
    })
}

/// Adds the calls that the engine says it did not record.
fn unobserved(home: &Home, truth: &mut Truth) -> Outcome {
    let status = home.json(&["status"])?;
    truth.unobserved += status["engine"]["proxy"]["unobserved"].as_u64().unwrap_or(0);
    Ok(())
}

/// The engine starts on a full disk: it passes calls from the first moment, and records when it can.
fn full_at_start(home: &mut Home, disk: &Disk, truth: &Arc<Mutex<Truth>>, chance: &mut Chance) -> Outcome {
    disk.fill(usize::try_from(chance.below(100_000)).unwrap());
    for command in [&["today"][..], &["export"], &["status"]] {
        home.out(command)?;
    }
    home.run(&["ledger", "verify"])?;
    home.start()?;
    let load = Load::start(home, truth, 2, chance);
    thread::sleep(chance.millis(50, 500));
    load.end()?;
    disk.free();
    let load = Load::start(home, truth, 2, chance);
    thread::sleep(chance.millis(50, 300));
    load.end()
}

/// The disk fills up while the engine works; then there is room again, or the engine is killed.
fn full_under_load(home: &mut Home, disk: &Disk, truth: &Arc<Mutex<Truth>>, chance: &mut Chance, figures: &Figures) -> Outcome {
    home.start()?;
    let load = Load::start(home, truth, 3, chance);
    thread::sleep(chance.millis(20, 400));
    let full_since = Instant::now();
    disk.fill(usize::try_from(chance.below(30_000)).unwrap());
    thread::sleep(chance.millis(100, 900));
    if chance.percent(50) {
        let (id, arguments) = log_arguments(&mut truth.lock().unwrap());
        let ran = home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        if ran.code == Some(0) {
            truth.lock().unwrap().acknowledge([&id]);
        }
    }
    if chance.percent(40) {
        home.run(chance.one_of(&[&["today"][..], &["ledger", "rebuild"], &["status"], &["ledger", "verify"], &["remeter", "--apply"]]))?;
    }
    if chance.percent(40) {
        disk.free();
        thread::sleep(chance.millis(0, 400));
    }
    if chance.percent(30) {
        load.may_fail();
        let killed_at = Instant::now();
        home.kill()?;
        load.end()?;
        // What was carried while there was no room is lost with the process.
        let mut truth = truth.lock().unwrap();
        truth.unrecorded_since(full_since - *GRACE);
        truth.settle_after_kill(killed_at, *GRACE);
        Figures::add(&figures.kills, 1);
        return Ok(());
    }
    load.end()
}
