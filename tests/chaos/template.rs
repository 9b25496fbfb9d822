//! A home with a past, made once and copied for every round.

use super::{
    chance::Chance,
    fault::{Kind, Outcome, ensure},
    home::{HANG, Home, copy_folder},
    traffic::{Told, WHOLE, call, provider},
    truth::Truth,
};
use crate::house::upstream::Upstream;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

/// A home with a past, and what is known of it.
pub struct Template {
    pub home: Home,
    pub truth: Truth,
    /// A copy of `data/` from before the newest calls.
    pub older: PathBuf,
    /// A backup of another machine's log, and its calls.
    pub other: PathBuf,
    pub other_truth: Truth,
    _provider: Upstream,
}

/// How long a past is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// 1,400 calls: two sealed segments at most.
    Small,
    /// 9,500 calls: a checkpoint exists.
    Middle,
    /// 70,000 calls: more than the store keeps whole.
    Large,
}

static MADE: [OnceLock<Template>; 3] = [const { OnceLock::new() }; 3];

/// Removes the folders of all templates, at the end of the program.
pub fn remove_all() {
    MADE.iter().filter_map(OnceLock::get).for_each(|template| drop(fs::remove_dir_all(template.home.path(""))));
}

impl Template {
    /// The template of this size. It is made when it is first asked for.
    pub fn of(size: Size) -> &'static Template {
        let make = || Template::make(size).unwrap_or_else(|fault| panic!("the template: {fault}"));
        MADE[size as usize].get_or_init(make)
    }

    /// A copy for one round.
    pub fn copy(&self) -> (Home, Arc<Mutex<Truth>>) {
        (self.home.copy(), Arc::new(Mutex::new(self.truth.clone())))
    }

    fn make(size: Size) -> Outcome<Template> {
        let provider = provider();
        let mut home = Home::new(&provider.config(&["openai", "anthropic"]));
        let mut truth = Truth::default();
        let mut chance = Chance::new(1);
        let many = match size {
            Size::Small => 500,
            Size::Middle => 8_600,
            Size::Large => 69_000,
        };
        import(&home, &mut truth, "old", 300, "2024-03-0")?;
        import(&home, &mut truth, "many", many, "2026-10-0")?;
        home.out(&["budget", "set", "month", "1000000", "--period", "month"])?;
        home.out(&["budget", "set", "tiny", "0.01", "--period", "day"])?;
        truth.budgets.extend(["month".to_owned(), "tiny".to_owned()]);
        let older = home.path("older");
        copy_folder(&home.path("data"), &older.join("data"));
        copy_folder(&home.path("state"), &older.join("state"));

        import(&home, &mut truth, "late", 300, "2026-11-0")?;
        home.start()?;
        let truth = Mutex::new(truth);
        for is_wrong in [true, false, true, false] {
            let told = Told::new(&mut chance, is_wrong);
            told.begin(&mut truth.lock().unwrap());
            // The engine is ready before its log is open.
            let is_told = eventually(*HANG, || Ok(home.tell(&told.command(WHOLE)).is_some()))?;
            ensure(is_told, Kind::Refused, || "the control API".into())?;
            told.acknowledge(&mut truth.lock().unwrap());
        }
        for _ in 0..30 {
            call(home.proxy(), &truth, &mut chance).expect("the proxy answers")?;
        }
        home.stop()?;
        let mut truth = truth.into_inner().unwrap();
        truth.settle();
        log(&home, &mut truth)?;

        let elsewhere = Home::new("");
        let mut other_truth = Truth::default();
        import(&elsewhere, &mut other_truth, "elsewhere", 400, "2026-09-0")?;
        let other = home.path("other");
        elsewhere.out(&["ledger", "backup", path(&other)])?;
        let template = Template { home, truth, older, other, other_truth, _provider: provider };
        template.truth.all_there(&template.home, &super::rounds::Figures::default())?;
        Ok(template)
    }
}

/// Logs one call by hand.
pub fn log(home: &Home, truth: &mut Truth) -> Outcome {
    let (id, arguments) = log_arguments(truth);
    home.out(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
    truth.acknowledge([&id]);
    Ok(())
}

/// A new call to be logged by hand, begun, and the command for it.
pub fn log_arguments(truth: &mut Truth) -> (String, Vec<String>) {
    let id = format!("logged-{}", super::home::unique());
    truth.begin(&id, 1_000, 7);
    let arguments = ["log", "--model", "gpt-4.1", "--input", "1000", "--output", "7", "--call-id", &id];
    let arguments = arguments.map(str::to_owned).to_vec();
    (id, arguments)
}

fn import(home: &Home, truth: &mut Truth, name: &str, count: u64, day: &str) -> Outcome {
    let (root, ids) = write_client_log(&home.path(name), truth, name, count, day);
    home.out(&["import", "--client", "claude-code", "--root", path(&root)])?;
    truth.acknowledge(&ids);
    Ok(())
}

/// Writes a log of Claude Code with `count` calls on nine days that begin like `day`. They are begun, not acknowledged.
pub fn write_client_log(root: &Path, truth: &mut Truth, name: &str, count: u64, day: &str) -> (PathBuf, Vec<String>) {
    let folder = root.join("projects/-home-dev-shop");
    fs::create_dir_all(&folder).unwrap();
    let (mut text, mut ids) = (String::new(), Vec::new());
    for number in 0..count {
        let id = format!("msg_{name}_{number}");
        let (input, output) = (10 + number, 5 + number % 7);
        let at = format!("{day}{}T{:02}:{:02}:00.000Z", 1 + number % 9, number % 24, number % 60);
        writeln!(
            text,
            r#"{{"type":"assistant","timestamp":"{at}","sessionId":"s-{name}","cwd":"/home/dev/shop","message":{{"id":"{id}","model":"claude-sonnet-4-5","usage":{{"input_tokens":{input},"output_tokens":{output}}}}}}}"#
        )
        .unwrap();
        truth.begin(&id, input, output);
        truth.calls.get_mut(&id).unwrap().is_old = day.starts_with("2024");
        ids.push(id);
    }
    fs::write(folder.join("session.jsonl"), text).unwrap();
    (root.to_owned(), ids)
}

/// Waits until something holds, at most for a time.
pub fn eventually(limit: Duration, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome<bool> {
    let begun = Instant::now();
    while !holds()? {
        if begun.elapsed() > limit {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(true)
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
