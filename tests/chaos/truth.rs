//! Every call that was made, what it used, and whether it must be recorded. What the program says is compared with it.

use super::{
    fault::{Fault, Kind, Outcome, ensure},
    home::{HANG, Home},
    rounds::Figures,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    thread,
    time::{Duration, Instant},
};

const SETTLING_STEP: Duration = Duration::from_millis(50);

/// A span that holds every call, also those of a clock that jumped.
const ALWAYS: [&str; 4] = ["--since", "1970-01-02", "--until", "2199-12-31"];

#[derive(Clone, Debug)]
pub struct Call {
    pub input: u64,
    pub output: u64,
    /// The input that `remeter --apply` makes of it, where it was told wrongly on purpose.
    pub restated_input: Option<u64>,
    /// Whether a `remeter --apply` was acknowledged that began after it was recorded.
    pub is_restated: bool,
    /// The output of its first sighting, where it is told twice.
    pub first_output: Option<u64>,
    /// Whether a `ledger fold` of this test may take it.
    pub is_old: bool,
    pub known: Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It may be recorded, or not.
    Begun,
    /// Its reply ended at this time; whether it must be recorded depends on the next kill.
    Ended(Instant),
    /// Its reply ended so long before a kill: it may be lost.
    EndedBeforeKill(Duration),
    /// It must be recorded.
    Recorded,
}

/// The calls by id, and the names of the budgets that were acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub calls: BTreeMap<String, Call>,
    pub budgets: BTreeSet<String>,
    /// The calls that the proxy says it did not record.
    pub unobserved: u64,
}

/// What the program says.
#[derive(Debug, Default)]
pub struct Seen {
    /// The calls that must be recorded and are not.
    pub lost: Vec<String>,
    /// The calls in all rows.
    pub calls: u64,
    /// What `ledger verify` and `status` find, in words.
    pub said: String,
    /// What `ledger verify` finds.
    pub findings: Vec<String>,
}

impl Truth {
    pub fn begin(&mut self, id: &str, input: u64, output: u64) {
        let call = Call { input, output, restated_input: None, is_restated: false, first_output: None, is_old: false, known: Known::Begun };
        self.calls.insert(id.to_owned(), call);
    }

    pub fn end(&mut self, id: &str) {
        self.know(id, Known::Ended(Instant::now()));
    }

    pub fn acknowledge<'a>(&mut self, ids: impl IntoIterator<Item = &'a String>) {
        ids.into_iter().for_each(|id| self.know(id, Known::Recorded));
    }

    /// The recorded calls that a `remeter --apply` from now on restates.
    pub fn to_be_restated(&self) -> Vec<String> {
        let wrong = self.calls.iter().filter(|(_, call)| call.restated_input.is_some() && call.known == Known::Recorded);
        wrong.map(|(id, _)| id.clone()).collect()
    }

    pub fn restate(&mut self, ids: &[String]) {
        ids.iter().for_each(|id| self.calls.get_mut(id).expect("it was recorded").is_restated = true);
    }

    /// Calls that were merged from a journal count what its first sightings counted, or what they were restated to.
    pub fn forget_restatements(&mut self) {
        self.calls.values_mut().for_each(|call| call.is_restated = false);
    }

    fn know(&mut self, id: &str, known: Known) {
        self.calls.get_mut(id).expect("a call begins before it ends").known = known;
    }

    /// The engine was killed: calls whose replies ended less than `grace` before may be lost.
    pub fn settle_after_kill(&mut self, killed_at: Instant, grace: Duration) {
        for call in self.calls.values_mut() {
            if let Known::Ended(at) = call.known {
                let before = killed_at.saturating_duration_since(at);
                call.known = if before > grace { Known::Recorded } else { Known::EndedBeforeKill(before) };
            }
        }
    }

    /// Nothing could be recorded since then: calls whose replies ended later may be lost at a kill.
    pub fn unrecorded_since(&mut self, since: Instant) {
        for call in self.calls.values_mut() {
            if matches!(call.known, Known::Ended(at) if at >= since) {
                call.known = Known::Begun;
            }
        }
    }

    /// The engine ended well or had time: every call whose reply ended is recorded.
    pub fn settle(&mut self) {
        for call in self.calls.values_mut() {
            if let Known::Ended(_) = call.known {
                call.known = Known::Recorded;
            }
        }
    }

    /// Compares all rows with the calls, and all questions with the rows. Lost calls are for the caller to judge.
    pub fn compare(&self, home: &Home, figures: &Figures) -> Outcome<Seen> {
        let rows = rows(&home.out(&["export"])?)?;
        let mut seen = self.compare_rows(&rows, figures)?;
        self.compare_sums(home, &rows, &mut seen)?;
        home.no_panic_in_logs()?;
        Ok(seen)
    }

    /// As [`Truth::compare`], with nothing lost and nothing found.
    pub fn all_there(&self, home: &Home, figures: &Figures) -> Outcome {
        let seen = self.compare(home, figures)?;
        seen.nothing_lost()?;
        ensure(seen.findings.is_empty(), Kind::Disagree, || format!("ledger verify: {}", seen.said))?;
        let budgets = home.json(&["budget", "list"])?;
        let names: HashSet<&str> = budgets["budgets"].as_array().unwrap().iter().filter_map(|it| it["budget"]["name"].as_str()).collect();
        let missing: Vec<&String> = self.budgets.iter().filter(|name| !names.contains(name.as_str())).collect();
        ensure(missing.is_empty(), Kind::Lost, || format!("the budgets {missing:?}"))
    }

    /// Compares until nothing is lost and all agree, as an engine records a moment after it forwarded.
    pub fn compare_in_time(&self, home: &Home, figures: &Figures) -> Outcome<Seen> {
        let begun = Instant::now();
        loop {
            let seen = self.compare(home, figures);
            let is_settled = seen.as_ref().is_ok_and(|seen| seen.lost.is_empty());
            let may_settle = seen.as_ref().map_or_else(|fault| fault.kind == Kind::Disagree, |seen| !seen.lost.is_empty());
            if is_settled || !may_settle || !home.may_be_running() || begun.elapsed() > *HANG {
                return seen;
            }
            thread::sleep(SETTLING_STEP);
        }
    }

    fn compare_rows(&self, rows: &[Value], figures: &Figures) -> Outcome<Seen> {
        let mut there = HashSet::new();
        let (mut summed, mut nameless) = (0, 0);
        for row in rows {
            if row["summary"] == true {
                summed += number(row, "calls");
                continue;
            }
            let Some(id) = row["call_id"].as_str() else {
                nameless += 1;
                continue;
            };
            ensure(there.insert(id), Kind::Double, || format!("two rows of {id}"))?;
            let call = self.calls.get(id).ok_or_else(|| Fault::new(Kind::Double, format!("no such call was made: {row}")))?;
            compare_call(call, row)?;
        }
        let missing = |(_, call): &(&String, &Call)| call.known == Known::Recorded;
        let missing: Vec<_> = self.calls.iter().filter(|(id, _)| !there.contains(id.as_str())).filter(missing).collect();
        let old = missing.iter().filter(|(_, call)| call.is_old).count() as u64;
        let all_old = self.calls.values().filter(|call| call.is_old).count() as u64;
        ensure(summed <= all_old && (summed == 0 || summed == old), Kind::Double, || {
            format!("{summed} calls in sums, {old} old calls are missing")
        })?;
        let lost: Vec<String> = missing.iter().filter(|(_, call)| summed == 0 || !call.is_old).map(|(id, _)| (*id).clone()).collect();
        let unsure = self.calls.values().filter(|call| call.known != Known::Recorded).count();
        ensure(nameless <= unsure + lost.len(), Kind::Double, || format!("{nameless} rows without an id, {unsure} calls that may be one"))?;
        for (id, call) in &self.calls {
            if let Known::EndedBeforeKill(before) = call.known
                && !there.contains(id.as_str())
            {
                figures.lost_unacknowledged(before);
            }
        }
        Figures::add(&figures.calls, rows.len() as u64);
        let calls = rows.iter().map(|row| number(row, "calls")).sum();
        ensure(calls <= self.calls.len() as u64, Kind::Double, || format!("{calls} calls of {}", self.calls.len()))?;
        Ok(Seen { lost, calls, ..Seen::default() })
    }

    fn compare_sums(&self, home: &Home, rows: &[Value], seen: &mut Seen) -> Outcome {
        let disagree = |text: String| Fault::new(Kind::Disagree, text);
        let summary = home.json(&[&["summary"][..], &ALWAYS].concat())?;
        let sum = |class: &str| rows.iter().map(|row| number(row, class)).sum::<u64>();
        let dollars: i128 = rows.iter().filter_map(|row| row["cost_usd"].as_str()).map(pico).sum();
        let exported = (seen.calls, sum("input"), sum("output"), dollars);
        let total = &summary["total"];
        let summed = (number(total, "calls"), number(total, "tokens_in"), number(total, "tokens_out"), pico(text(total, "usd")));
        ensure(exported == summed, Kind::Disagree, || format!("calls, input, output, dollars: export {exported:?}, summary {summed:?}"))?;

        let status = home.json(&["status"])?;
        ensure(status["calls"] == seen.calls, Kind::Disagree, || format!("status {}, export {}", status["calls"], seen.calls))?;

        let budgets = home.json(&["budget", "list"])?;
        for budget in budgets["budgets"].as_array().ok_or_else(|| disagree(budgets.to_string()))? {
            let (from, until) = (text(&budget["period"], "from"), text(&budget["period"], "until"));
            let days = summary["rows"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|day| (&from[..10]..&until[..10]).contains(&day["names"][0].as_str().unwrap()));
            let spent: i128 = days.map(|day| pico(text(&day["spend"], "usd"))).sum();
            ensure(pico(text(budget, "spent")) == spent, Kind::Disagree, || format!("summary {spent} picodollars, {budget}"))?;
        }

        let verified = home.run(&["ledger", "verify", "--json"])?;
        let found: Value = serde_json::from_str(&verified.out).map_err(|error| disagree(format!("verify: {error} in {verified:?}")))?;
        seen.findings = found["findings"].as_array().into_iter().flatten().map(Value::to_string).collect();
        seen.said = format!("{} {} {} {}", verified.out, verified.err, status["mended"], status["engine"]["warnings"]);
        Ok(())
    }
}

fn compare_call(call: &Call, row: &Value) -> Outcome {
    // A reply that was cut is estimated.
    if row["estimated"] == true && call.known == Known::Begun {
        return Ok(());
    }
    let input = number(row, "input");
    let input_is_right = match call.restated_input {
        Some(restated) if call.is_restated => input == restated,
        Some(restated) => input == restated || input == call.input,
        None => input == call.input,
    };
    let output = number(row, "output");
    let first = call.first_output.filter(|_| call.known != Known::Recorded);
    let is_right = input_is_right && (output == call.output || Some(output) == first);
    ensure(is_right, Kind::Wrong, || format!("{call:?} became {row}"))
}

impl Seen {
    pub fn nothing_lost(&self) -> Outcome {
        let some = &self.lost[..self.lost.len().min(5)];
        ensure(self.lost.is_empty(), Kind::Lost, || {
            format!("{} calls, like {some:?}; {} are there; said: {}", self.lost.len(), self.calls, self.said)
        })
    }
}

/// The rows of an export.
pub fn rows(text: &str) -> Outcome<Vec<Value>> {
    let row = |line: &str| serde_json::from_str(line).map_err(|error| Fault::new(Kind::Disagree, format!("export: {error} in {line}")));
    text.lines().map(row).collect()
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// An amount with twelve decimals as picodollars.
fn pico(amount: &str) -> i128 {
    amount.replace('.', "").parse().unwrap_or_else(|_| panic!("{amount:?} is no amount with twelve decimals"))
}
