//! Engines that do not answer: stopped by SIGSTOP, a mute port, a process id that went to another program.

use super::{
    chance::Chance,
    fault::{Kind, Outcome, ensure},
    home::{GRACE, HANG, Home},
    rounds::Figures,
    template::{Size, Template, log_arguments},
    traffic::Load,
};
use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A command that finds no answer says so within this time. Three seconds are promised, one more is for the machine.
const ANSWER_MAX: Duration = Duration::from_secs(4);

const COMMANDS: [&[&str]; 14] = [
    &["today"],
    &["summary"],
    &["status"],
    &["export"],
    &["budget", "list"],
    &["budget", "set", "x", "1"],
    &["ledger", "verify"],
    &["ledger", "rebuild"],
    &["ledger", "size"],
    &["import", "--client", "claude-code"],
    &["remeter"],
    &["doctor"],
    &["coverage"],
    &["serve", "--port", "0"],
];

/// A stopped engine: every command says so in time, nothing is lost once it goes on or is ended.
pub fn engine(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (mut home, truth) = template.copy();
    home.start()?;
    let load = Load::start(&home, &truth, 2, chance);
    thread::sleep(chance.millis(0, 300));
    load.may_fail();
    let stopped_at = Instant::now();
    home.signal("STOP");
    let (logged, logging) = log_arguments(&mut truth.lock().unwrap());
    let logging: Vec<&str> = logging.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let command = if chance.percent(20) { &logging[..] } else { chance.one_of(&COMMANDS) };
        let ran = in_time(&home, command)?;
        ensure(!ran.err.contains("panic"), Kind::Panic, || format!("{ran:?}"))?;
        let pid = home.pid().to_string();
        let is_named = ran.code == Some(0) || ran.err.contains(&pid);
        ensure(is_named, Kind::Refused, || format!("tollbar {} does not name the engine {pid}: {ran:?}", command.join(" ")))?;
        if command == logging && ran.code == Some(0) {
            truth.lock().unwrap().acknowledge([&logged]);
        }
    }
    if chance.percent(50) {
        home.signal("CONT");
        load.end()?;
        home.stop()?;
        truth.lock().unwrap().settle();
    } else {
        let ran = in_time(&home, &["stop"])?;
        ensure(ran.code == Some(0), Kind::Refused, || format!("stop of a stopped engine: {ran:?}"))?;
        home.ended_by_force()?;
        load.end()?;
        // It stood still before it was ended.
        truth.lock().unwrap().settle_after_kill(stopped_at, *GRACE);
    }
    truth.lock().unwrap().all_there(&home, figures)
}

/// A process that does not outlive its test.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A notice that leads to a port that never answers, and to a process that is no engine: that one is left alone.
pub fn notice(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (mut home, truth) = template.copy();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut victim = Victim(Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    fs::create_dir_all(home.path("state")).unwrap();
    let address = mute.local_addr().unwrap();
    let notice = format!(r#"{{"pid":{},"address":"http://{address}","proxy":"http://{address}"}}"#, victim.0.id());
    for _ in 0..2 {
        fs::write(home.path("state/engine.json"), &notice).unwrap();
        let command = if chance.percent(40) { &["stop"][..] } else { chance.one_of(&COMMANDS[..13]) };
        in_time(&home, command)?;
        ensure(victim.0.try_wait().unwrap().is_none(), Kind::Wrong, || {
            format!("tollbar {} ended a process of another program", command.join(" "))
        })?;
    }
    fs::write(home.path("state/engine.json"), &notice).unwrap();
    home.start()?;
    let load = Load::start(&home, &truth, 1, chance);
    thread::sleep(Duration::from_millis(100));
    load.end()?;
    home.stop()?;
    truth.lock().unwrap().settle();
    truth.lock().unwrap().all_there(&home, figures)
}

fn in_time(home: &Home, command: &[&str]) -> Outcome<super::home::Ran> {
    home.spawn(command).wait(ANSWER_MAX.min(*HANG))
}
