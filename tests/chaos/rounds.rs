//! Runs the rounds of one kind of chaos, each from a seed of its own, and reports every fault with the line that repeats it.

use super::{
    chance::Chance,
    fault::{Fault, Kind, Outcome},
};
use libtest_mimic::Failed;
use std::{
    collections::BTreeMap,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A test begins no new round after this time, unless the number of rounds is given.
const SHORT_TEST_MAX: Duration = Duration::from_secs(5);
const USUAL_SEED: u64 = 14;
/// So many rounds or more are a long run, which uses the large template too.
pub const LONG_ROUNDS: u64 = 100;

/// Counts over all rounds of a test.
#[derive(Default)]
pub struct Figures {
    pub kills: AtomicU64,
    pub damages: AtomicU64,
    /// Calls whose rows were compared with what the provider knows.
    pub calls: AtomicU64,
    /// The longest time before a kill at which the reply of a call ended that is not recorded, in microseconds.
    pub worst_loss_us: AtomicU64,
}

impl Figures {
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub fn lost_unacknowledged(&self, before_kill: Duration) {
        self.worst_loss_us.fetch_max(u64::try_from(before_kill.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

/// Runs `round` as often as the environment variable `count` says, else `usual` times or until the test took long enough.
///
/// Round number `n` has the seed `CHAOS_SEED + n`, so one round is repeated by its seed and a count of 1.
pub fn run(test: &str, count: &str, usual: u64, round: impl Fn(&mut Chance, &Figures) -> Outcome) -> Result<(), Failed> {
    let first: u64 = variable("CHAOS_SEED").unwrap_or(USUAL_SEED);
    let wanted: Option<u64> = variable(count);
    let (figures, begun) = (Figures::default(), Instant::now());
    let mut faults: Vec<(u64, Fault)> = Vec::new();
    let mut rounds = 0;
    while rounds < wanted.unwrap_or(usual) && (wanted.is_some() || begun.elapsed() < SHORT_TEST_MAX) {
        let seed = first + rounds;
        rounds += 1;
        let outcome = catch_unwind(AssertUnwindSafe(|| round(&mut Chance::new(seed), &figures)));
        let outcome = outcome.unwrap_or_else(|_| Err(Fault::new(Kind::Exit, "the harness panicked, see above")));
        if let Err(fault) = outcome {
            println!(
                "{test}, seed {seed}: {fault}\n  again: CHAOS_SEED={seed} {count}=1 cargo nextest run --test chaos -E 'test(={test})'"
            );
            faults.push((seed, fault));
        }
    }
    let mut kinds = BTreeMap::<Kind, u64>::new();
    faults.iter().for_each(|(_, fault)| *kinds.entry(fault.kind).or_default() += 1);
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let figures = format!(
        "{test}: {rounds} rounds from seed {first} in {} s, {} kills, {} damages, {} calls compared, worst unacknowledged loss {} ms, faults {kinds:?}",
        begun.elapsed().as_secs(),
        read(&figures.kills),
        read(&figures.damages),
        read(&figures.calls),
        read(&figures.worst_loss_us) / 1_000,
    );
    println!("{figures}");
    if faults.is_empty() { Ok(()) } else { Err(Failed::from(figures)) }
}

/// The value of an environment variable; a value that cannot be read is an error of whoever set it.
pub fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} cannot be read")))
}
