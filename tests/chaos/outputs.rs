//! Standard output and standard error that are closed, full, broken or unread.

use super::{
    chance::Chance,
    fault::{Fault, Kind, Outcome, ensure},
    home::{HANG, Home, checked, no_panic, unique},
    rounds::Figures,
    template::{Size, Template, eventually, log_arguments},
    traffic::call,
};
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io::{PipeReader, Write},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// The bytes that a pipe takes before a writer waits (pipe(7)).
const PIPE_BYTES: usize = 65_536;
/// The exit code of a command that a broken pipe ended, as a shell shows SIGPIPE.
const BROKEN_PIPE: i32 = 141;
/// Enough for an alert after a call.
const ALERT_TIME: Duration = Duration::from_millis(300);

/// Where a stream of output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    File,
    Closed,
    /// `/dev/full`: every write fails.
    Full,
    /// A pipe that nobody has open for reading.
    Broken,
    /// A full pipe that nobody reads.
    Unread,
}

const ENDS: [End; 5] = [End::File, End::Closed, End::Full, End::Broken, End::Unread];

/// A stream for a process, and what must stay open beside it.
struct Stream {
    stdio: Stdio,
    _reader: Option<PipeReader>,
    file: Option<std::path::PathBuf>,
}

impl End {
    fn open(self, home: &Home) -> Stream {
        let made = |stdio: Stdio| Stream { stdio, _reader: None, file: None };
        match self {
            End::File => {
                let path = home.path("outputs").join(format!("{}.text", unique()));
                Stream { stdio: File::create(&path).unwrap().into(), _reader: None, file: Some(path) }
            }
            // The shell closes it.
            End::Closed => made(Stdio::null()),
            End::Full => made(OpenOptions::new().write(true).open("/dev/full").unwrap().into()),
            End::Broken => made(std::io::pipe().unwrap().1.into()),
            End::Unread => {
                let (reader, mut writer) = std::io::pipe().unwrap();
                writer.write_all(&[b' '; PIPE_BYTES]).unwrap();
                Stream { stdio: writer.into(), _reader: Some(reader), file: None }
            }
        }
    }
}

/// Starts a command with these streams.
fn spawn(home: &Home, arguments: &[&str], out: End, err: End) -> (Child, Stream, Stream) {
    let program = home.command(arguments);
    let closing =
        format!("exec \"$0\" \"$@\"{}{}", if out == End::Closed { " >&-" } else { "" }, if err == End::Closed { " 2>&-" } else { "" });
    let mut shell = Command::new("sh");
    shell.args(["-c", &closing]).arg(program.get_program()).args(program.get_args()).env_clear().stdin(Stdio::null());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (mut out, mut err) = (out.open(home), err.open(home));
    let child =
        shell.stdout(std::mem::replace(&mut out.stdio, Stdio::null())).stderr(std::mem::replace(&mut err.stdio, Stdio::null())).spawn();
    (child.unwrap(), out, err)
}

/// The engine raises alerts with nobody at the other end; it lives, and records.
pub fn of_the_engine(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (home, truth) = template.copy();
    let (out, err) = (chance.one_of(&ENDS), chance.one_of(&ENDS));
    let (mut child, _out, stderr) = spawn(&home, &["serve", "--port", "0"], out, err);
    let outcome = use_engine(&home, &mut child, &truth, chance, figures);
    let _ = child.kill();
    let _ = child.wait();
    let text = stderr.file.map(|path| fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    let explained = |fault: Fault| Fault::new(fault.kind, format!("stdout {out:?}, stderr {err:?}: {} {text}", fault.text));
    no_panic("serve", &text).and(outcome).map_err(explained)
}

fn use_engine(home: &Home, child: &mut Child, truth: &Mutex<super::truth::Truth>, chance: &mut Chance, figures: &Figures) -> Outcome {
    let mut proxy = None;
    eventually(*HANG, || {
        let notice: Option<Value> =
            fs::read_to_string(home.path("state/engine.json")).ok().and_then(|text| serde_json::from_str(&text).ok());
        proxy =
            notice.filter(|it| it["pid"] == child.id()).and_then(|it| Some(it["proxy"].as_str()?.trim_start_matches("http://").to_owned()));
        Ok(proxy.is_some() || child.try_wait().unwrap().is_some())
    })?;
    let ended = |child: &mut Child| child.try_wait().unwrap().map(|status| status.to_string());
    let proxy = proxy.ok_or_else(|| Fault::new(Kind::Refused, format!("serve did not start: {:?}", ended(child))))?;
    // Any call crosses the tiny budget of the template; a new budget is crossed by the next.
    for _ in 0..chance.between(1, 4) {
        let name = format!("b{}", unique());
        home.out(&["budget", "set", &name, "0.000001", "--period", "day"])?;
        let (id, arguments) = log_arguments(&mut truth.lock().unwrap());
        home.out(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        truth.lock().unwrap().acknowledge([&id]);
        let passed = call(&proxy, truth, chance);
        thread::sleep(ALERT_TIME);
        passed.map_err(|error| Fault::new(Kind::Refused, format!("a call: {error}, serve: {:?}", ended(child))))??;
    }
    ensure(ended(child).is_none(), Kind::Exit, || "serve ended by itself".into())?;
    truth.lock().unwrap().settle();
    let truth = truth.lock().unwrap();
    truth.compare_in_time(home, figures)?;
    truth.all_there(home, figures)?;
    home.out(&["stop"])?;
    eventually(*HANG, || Ok(child.try_wait().unwrap().is_some()))?;
    ensure(child.try_wait().unwrap().is_some_and(|status| status.success()), Kind::Hang, || "serve did not end well".into())?;
    truth.all_there(home, figures)
}

/// Every command ends by itself, whatever its outputs are; only one whose reader is there but does not read may wait for him.
pub fn of_commands(chance: &mut Chance, figures: &Figures) -> Outcome {
    let template = Template::of(Size::Small);
    let (mut home, truth) = template.copy();
    if chance.percent(30) {
        home.start()?;
    }
    for _ in 0..4 {
        let (out, err) = (chance.one_of(&ENDS[..4]), chance.one_of(&ENDS[..4]));
        let (id, logging) = log_arguments(&mut truth.lock().unwrap());
        let logging: Vec<&str> = logging.iter().map(String::as_str).collect();
        let command = chance.one_of(&[
            &logging[..],
            &["today"],
            &["export"],
            &["summary"],
            &["status"],
            &["doctor"],
            &["budget", "list"],
            &["ledger", "verify"],
            &["ledger", "rebuild"],
            &["import", "--client", "claude-code"],
            &["remeter", "--apply"],
            &["models"],
            &["frobnicate"],
            &["--help"],
        ]);
        let (mut child, _out, stderr) = spawn(&home, command, out, err);
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() && begun.elapsed() < *HANG {
            thread::sleep(Duration::from_millis(2));
        }
        let what = format!("tollbar {} with stdout {out:?}, stderr {err:?}", command.join(" "));
        let Some(status) = child.try_wait().unwrap() else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Fault::new(Kind::Hang, what));
        };
        let text = stderr.file.map(|path| fs::read_to_string(path).unwrap());
        let is_seen = text.is_some();
        let text = text.unwrap_or_default();
        // Where nobody sees the error, it cannot be judged. A closed pipe may end a command by its signal.
        let seen = super::home::Ran { code: None, out: String::new(), err: if is_seen { text } else { "error: hint: ".into() } };
        let is_broken = out == End::Broken || err == End::Broken;
        if !(is_broken && status.code() == Some(BROKEN_PIPE)) {
            checked(status, seen, &what, is_broken)?;
        }
        if status.success() {
            if command[0] == "log" {
                truth.lock().unwrap().acknowledge([&id]);
            }
            if command[0] == "remeter" {
                let mut truth = truth.lock().unwrap();
                let restated = truth.to_be_restated();
                truth.restate(&restated);
            }
        }
    }
    truth.lock().unwrap().all_there(&home, figures)
}
