//! Two engines and many commands on one home at once.

use super::{
    chance::Chance,
    fault::{Kind, Outcome, ensure},
    home::{HANG, Home, Job},
    rounds::Figures,
    template::{Size, Template, log_arguments, path, write_client_log},
    truth::Truth,
};
use std::{thread, time::Duration};

const COMMANDS_MAX: u64 = 8;

/// Two engines start at once on a home where many commands run: one engine wins, everything acknowledged is there.
pub fn round(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (mut home, truth) = template.copy();
    let mut truth = truth.lock().unwrap();
    let mut commands: Vec<(Job, Vec<String>)> = Vec::new();
    let before = chance.below(COMMANDS_MAX);
    for _ in 0..before {
        commands.push(command(&home, &mut truth, chance));
    }
    thread::sleep(chance.time_below(Duration::from_millis(150)));
    let second = home.spawn(&["serve", "--port", "0"]);
    let first = home.try_start()?;
    for _ in before..COMMANDS_MAX {
        commands.push(command(&home, &mut truth, chance));
    }
    for (job, ids) in commands {
        let ran = job.wait(*HANG)?;
        ensure(ran.code == Some(0), Kind::Refused, || format!("one of many commands: {ran:?}"))?;
        truth.acknowledge(&ids);
    }
    // The one that is not ready has ended by now, saying why; or it is the one that runs.
    let second_ran = second.kill_after(Duration::from_millis(if first.is_some() { 50 } else { 5_000 }))?;
    let winners = usize::from(first.is_none()) + usize::from(second_ran.is_none());
    ensure(winners == 1, Kind::Exit, || format!("{winners} engines run: first {first:?}, second {second_ran:?}"))?;
    Figures::add(&figures.kills, u64::from(second_ran.is_none()));
    truth.all_there(&home, figures)?;
    home.kill()?;
    truth.all_there(&home, figures)
}

fn command(home: &Home, truth: &mut Truth, chance: &mut Chance) -> (Job, Vec<String>) {
    match chance.below(4) {
        0 => {
            let root = home.made("claude");
            let name = root.file_name().unwrap().to_str().unwrap().to_owned();
            let (root, ids) = write_client_log(&root, truth, &name, chance.between(1, 300), "2026-11-1");
            (home.spawn(&["import", "--client", "claude-code", "--root", path(&root)]), ids)
        }
        1 => (
            home.spawn(chance.one_of(&[&["today"][..], &["export"], &["ledger", "rebuild"], &["ledger", "verify"], &["status"]])),
            Vec::new(),
        ),
        _ => {
            let (id, arguments) = log_arguments(truth);
            (home.spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>()), vec![id])
        }
    }
}
