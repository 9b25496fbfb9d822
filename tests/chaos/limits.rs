//! Limits of the system: open files, memory, file size.

use super::{
    chance::Chance,
    fault::Outcome,
    rounds::Figures,
    template::{Size, Template, log_arguments},
    traffic::Load,
};
use std::{thread, time::Instant};

/// The engine and commands run under a limit. They may fail, but lose nothing that they acknowledged.
pub fn round(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (mut home, truth) = template.copy();
    let begun = Instant::now();
    let kind = chance.below(3);
    home.limits = match kind {
        0 => format!("-n {}", chance.between(12, 60)),
        1 => format!("-v {}", chance.between(150_000, 1_200_000)),
        // In blocks of 512 bytes.
        _ => format!("-f {}", chance.between(1, 1_500)),
    };
    home.may_abort = kind == 1;
    let is_of_size = kind == 2;
    for _ in 0..2 {
        let (id, arguments) = log_arguments(&mut truth.lock().unwrap());
        let ran = home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        if ran.code == Some(0) {
            truth.lock().unwrap().acknowledge([&id]);
        }
        home.run(chance.one_of(&[&["today"][..], &["export"], &["status"], &["ledger", "verify"], &["ledger", "rebuild"], &["doctor"]]))?;
    }
    if home.try_start()?.is_none() {
        let load = Load::start(&home, &truth, 3, chance);
        if !is_of_size {
            load.may_fail();
        }
        thread::sleep(chance.millis(50, 600));
        load.may_fail();
        home.kill()?;
        load.end()?;
        Figures::add(&figures.kills, 1);
        // Under a limit only what was acknowledged is sure.
        truth.lock().unwrap().unrecorded_since(begun);
    }
    home.limits.clear();
    home.may_abort = false;
    let truth = truth.lock().unwrap();
    truth.compare_in_time(&home, figures)?;
    truth.all_there(&home, figures)
}
