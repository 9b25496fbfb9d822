use super::*;
use crate::engine::Writer;
use events::{
    Command, Log, PriceBook, Sighting, Timestamp, Tokens, Usage,
    log::BATCH_FACTS_MAX,
    query::{Calls, Dimension, Recent, Reprice, SpendBy, Today, Verify},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use tempfile::TempDir;

/// Enough for some segments.
const CALLS: u64 = 3_000;

fn call(number: u64) -> Sighting {
    Usage {
        at: Timestamp::from_secs(1_700_000_000 + number.cast_signed()),
        provider: "anthropic".into(),
        family: "anthropic".into(),
        model: Some(format!("claude-sonnet-4-{}", number % 3)),
        call_id: Some(format!("msg_{number}")),
        tokens: Tokens { input: 3, output: 10, ..Tokens::default() },
        ..Usage::default()
    }
    .into()
}

fn tell(writer: &WriterHandle, numbers: std::ops::Range<u64>) {
    for first in numbers.clone().step_by(BATCH_FACTS_MAX) {
        let sightings: Vec<Sighting> = (first..numbers.end.min(first + BATCH_FACTS_MAX as u64)).map(call).collect();
        let told = writer.tell(Command::LogUsage { sightings }).expect("it is told");
        assert_eq!(told.seq, Seq(numbers.end.min(first + BATCH_FACTS_MAX as u64)));
    }
}

fn open(folder: &Path) -> Writer {
    let (log, projections) = Log::open_folded(folder, "test", PriceBook::bundled()).expect("the log opens");
    Writer::start(log, projections, Zone::default(), Vec::new())
}

/// A writer of a log with [`CALLS`].
fn writer() -> (TempDir, Writer) {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = open(folder.path());
    tell(writer.handle(), 0..CALLS);
    (folder, writer)
}

/// What a question waits for that has begun.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_open: bool,
    inside: usize,
    most_inside: usize,
}

impl Gate {
    const fn new() -> Gate {
        Gate { state: Mutex::new(GateState { is_open: false, inside: 0, most_inside: 0 }), changed: Condvar::new() }
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("whole");
        state.inside += 1;
        state.most_inside = state.most_inside.max(state.inside);
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| !state.is_open).expect("whole");
        state.inside -= 1;
    }

    fn wait_for(&self, inside: usize) {
        drop(self.changed.wait_while(self.state.lock().expect("whole"), |state| state.inside < inside).expect("whole"));
    }

    fn open(&self) {
        self.state.lock().expect("whole").is_open = true;
        self.changed.notify_all();
    }
}

static GATES: [Gate; 4] = [const { Gate::new() }; 4];

/// How many calls there are, counted in every way once a gate is open.
#[derive(Serialize, Deserialize)]
struct Held {
    gate: usize,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    folded: u64,
    replayed: u64,
    read: u64,
    verified_up_to: u64,
    /// The newest call, looked up.
    newest: Option<String>,
}

impl Query for Held {
    const NAME: &'static str = "held";
    type Answer = Counted;

    fn answer(&self, view: &View<'_>, now: Timestamp) -> Result<Counted, Fault> {
        GATES[self.gate].pass();
        let by = vec![Dimension::Day, Dimension::Model];
        let verified = Verify::default().answer(view, now)?;
        assert_eq!(verified.findings, [] as [String; 0], "journal, store and keys agree at every entry");
        Ok(Counted {
            folded: SpendBy { by: by.clone(), ..SpendBy::default() }.answer(view, now)?.rows.iter().map(|row| row.spend.calls).sum(),
            replayed: Calls::default().answer(view, now)?.calls.len() as u64,
            read: Reprice { by, ..Reprice::default() }.answer(view, now)?.total.calls,
            verified_up_to: verified.up_to.0,
            newest: Recent { limit: 1 }.answer(view, now)?.calls.into_iter().next().and_then(|call| call.call_id),
        })
    }
}

fn all(calls: u64) -> Counted {
    Counted { folded: calls, replayed: calls, read: calls, verified_up_to: calls, newest: Some(format!("msg_{}", calls - 1)) }
}

#[test]
fn what_is_told_is_acknowledged_while_a_question_is_answered_and_the_answer_is_whole() {
    let (_folder, writer) = writer();
    let handle = writer.handle();
    let asked = thread::spawn({
        let handle = handle.clone();
        move || handle.ask_for(None, &Held { gate: 0 })
    });
    GATES[0].wait_for(1);
    // The question is not answered before the gate opens, and each of these returns before.
    tell(handle, CALLS..3 * CALLS);
    handle.seen(vec![call(3 * CALLS)]);
    assert_eq!(handle.health().expect("answers").entries, 3 * CALLS + 1);
    assert_eq!(handle.ask(SpendBy { by: vec![Dimension::Model], ..SpendBy::default() }).expect("answers").rows.len(), 3);
    GATES[0].open();
    assert_eq!(asked.join().expect("ends").expect("answers"), (Seq(CALLS), all(CALLS)), "as of the entry at which it was asked");
    assert_eq!(handle.ask(Held { gate: 0 }).expect("answers"), all(3 * CALLS + 1), "what was told before it was asked is in it");
}

#[test]
fn of_long_questions_two_are_answered_at_once_and_quick_ones_do_not_wait_for_them() {
    let (_folder, writer) = writer();
    let ask = || {
        let handle = writer.handle().clone();
        thread::spawn(move || handle.ask(Held { gate: 1 }))
    };
    let asked: Vec<_> = (0..5).map(|_| ask()).collect();
    GATES[1].wait_for(LONG_AT_ONCE);
    assert_eq!(writer.handle().ask(Today::default()).expect("answers").today.calls, 0);
    assert_eq!(writer.handle().health().expect("answers").calls, CALLS);
    GATES[1].open();
    asked.into_iter().for_each(|asked| assert_eq!(asked.join().expect("ends").expect("answers"), all(CALLS)));
    assert_eq!(GATES[1].state.lock().expect("whole").most_inside, LONG_AT_ONCE);
}

#[test]
fn every_answer_is_whole_while_much_is_told() {
    const BATCH: u64 = 700;
    let (_folder, writer) = writer();
    GATES[3].open();
    let told = AtomicU64::new(CALLS);
    thread::scope(|scope| {
        for _ in 0..LONG_AT_ONCE {
            scope.spawn(|| {
                while told.load(Ordering::SeqCst) < 5 * CALLS {
                    let before = told.load(Ordering::SeqCst);
                    let (seq, counted) = writer.handle().ask_for(None, &Held { gate: 3 }).expect("answers");
                    assert!(seq.0 >= before, "what was acknowledged is in it");
                    assert_eq!(counted, all(seq.0));
                }
            });
        }
        for first in (CALLS..5 * CALLS).step_by(BATCH as usize) {
            tell(writer.handle(), first..(first + BATCH).min(5 * CALLS));
            told.store((first + BATCH).min(5 * CALLS), Ordering::SeqCst);
        }
    });
}

#[test]
fn for_an_asker_who_is_gone_nothing_more_is_read() {
    let (_folder, writer) = writer();
    let asker = Arc::new(());
    let asked = thread::spawn({
        let (handle, asker) = (writer.handle().clone(), Arc::downgrade(&asker));
        move || (handle.ask_for(Some(&asker), &Held { gate: 2 }), handle.ask_for(Some(&asker), &Held { gate: 2 }))
    });
    GATES[2].wait_for(1);
    drop(asker);
    GATES[2].open();
    let (begun, waiting) = asked.join().expect("ends");
    assert!(begun.is_err_and(|fault| fault.message.contains("nobody waits")));
    assert!(waiting.is_err_and(|fault| fault.message.contains("nobody waits")), "nor is it begun");
}

#[test]
fn a_writer_that_stops_lets_go_of_the_log_once_the_last_question_is_answered() {
    static GATE: Gate = Gate::new();
    #[derive(Serialize, Deserialize)]
    struct Waiting {}
    impl Query for Waiting {
        const NAME: &'static str = "waiting";
        type Answer = u64;
        fn answer(&self, view: &View<'_>, _now: Timestamp) -> Result<u64, Fault> {
            GATE.pass();
            Ok(view.log.last().0)
        }
    }
    let (folder, writer) = writer();
    let handle = writer.handle().clone();
    let asked = thread::spawn(move || handle.ask(Waiting {}));
    GATE.wait_for(1);
    drop(writer);
    let refused = Log::open(folder.path(), "test").err().expect("somebody reads of it");
    assert!(matches!(refused, events::LogError::Held { .. }), "{refused}");
    GATE.open();
    assert_eq!(asked.join().expect("ends").expect("answers"), CALLS);
    assert_eq!(Log::open(folder.path(), "test").expect("opens").last(), Seq(CALLS));
}

#[test]
fn a_store_that_a_question_cannot_read_is_made_anew_and_the_question_answered() {
    // So many that opening reads but a part of the store: what it holds of sixteen segments and fewer is one page of sled's.
    const CALLS: u64 = 24_000;
    let folder = tempfile::tempdir().expect("a folder");
    tell(open(folder.path()).handle(), 0..CALLS);
    // With a checkpoint nothing is folded from it either.
    let (mut log, mut projections) = Log::open_folded(folder.path(), "test", PriceBook::bundled()).expect("opens");
    log.checkpoint(&mut projections).expect("a checkpoint");
    drop(log);
    let writer = open(folder.path());
    let mut file = fs::OpenOptions::new().read(true).write(true).open(folder.path().join("store/db")).expect("sled's file");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("read");
    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    file.seek(SeekFrom::Start(0)).expect("sought");
    file.write_all(&bytes).expect("written");
    let answer = writer.handle().ask(Reprice { by: vec![Dimension::Model], ..Reprice::default() }).expect("answers");
    assert_eq!(answer.total.calls, CALLS);
    // The question was answered from the journal; the store is made anew beside the writer.
    let is_made_anew = || {
        let health = writer.handle().health().expect("answers");
        health.mended.iter().any(|mended| mended.contains("made again from the journal"))
    };
    let begun = std::time::Instant::now();
    while !is_made_anew() {
        assert!(begun.elapsed().as_secs() < 30, "the store is made anew");
        thread::sleep(std::time::Duration::from_millis(20));
    }
    tell(writer.handle(), CALLS..CALLS + 1);
    assert_eq!(writer.handle().ask(Calls::default()).expect("answers").calls.len() as u64, CALLS + 1);
}

#[test]
fn calls_are_recorded_while_store_is_rebuilt() {
    let (folder, writer) = writer();
    tell(writer.handle(), CALLS..6 * CALLS);
    let rebuilding = thread::spawn({
        let handle = writer.handle().clone();
        move || handle.tell(Command::Rebuild {})
    });
    let mut told = 6 * CALLS;
    let mut meanwhile = 0;
    while !rebuilding.is_finished() {
        tell(writer.handle(), told..told + 1);
        told += 1;
        meanwhile += 1;
    }
    rebuilding.join().expect("ends").expect("rebuilt");
    assert!(meanwhile > 1, "calls do not wait for it");
    GATES[3].open();
    assert_eq!(writer.handle().ask(Held { gate: 3 }).expect("answers"), all(told));
    drop(writer);
    assert_eq!(Log::open(folder.path(), "test").expect("opens").last(), Seq(told));
}
