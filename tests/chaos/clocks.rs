//! A wall clock that jumps under the engine, by libfaketime.

use super::{
    chance::Chance,
    fault::Outcome,
    home::GRACE,
    rounds::Figures,
    template::{Size, Template},
    traffic::Load,
};
use std::{fs, path::PathBuf, thread, time::Instant};

/// Jumps while one engine runs, at most.
const JUMPS_MAX: u64 = 6;
const JUMPS: [&str; 10] = ["+0", "-1h", "+1h", "-3d", "+40d", "-400d", "+400d", "-20y", "+20y", "+70y"];

/// The library that fakes the time, where it is installed.
pub fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders.iter().map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

/// The clock jumps while calls are made; each is recorded once.
pub fn round(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (mut home, truth) = template.copy();
    let clock = home.made("clock");
    fs::write(&clock, "+0").unwrap();
    home.set("LD_PRELOAD", library().expect("the test is ignored without it").to_str().unwrap());
    home.set("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap());
    home.set("FAKETIME_NO_CACHE", "1");
    // Only the wall clock jumps; the monotonic one never does.
    home.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    home.set("DONT_FAKE_MONOTONIC", "1");
    for _ in 0..2 {
        home.start()?;
        let load = Load::start(&home, &truth, 2, chance);
        for _ in 0..chance.between(1, JUMPS_MAX) {
            thread::sleep(chance.millis(20, 150));
            let fresh = clock.with_extension("new");
            fs::write(&fresh, chance.one_of(&JUMPS)).unwrap();
            fs::rename(&fresh, &clock).unwrap();
        }
        thread::sleep(chance.millis(0, 100));
        if chance.percent(40) {
            load.may_fail();
            let killed_at = Instant::now();
            home.kill()?;
            load.end()?;
            truth.lock().unwrap().settle_after_kill(killed_at, *GRACE);
            Figures::add(&figures.kills, 1);
        } else {
            load.end()?;
            home.stop()?;
            truth.lock().unwrap().settle();
        }
    }
    let truth = truth.lock().unwrap();
    truth.compare_in_time(&home, figures)?;
    truth.all_there(&home, figures)
}
