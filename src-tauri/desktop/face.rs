//! What the tray shows: computed from answers, known to no screen.

use events::{
    Usd,
    query::{BudgetLevel, BudgetState, BudgetsAnswer, Fault, Spend, TodayAnswer},
};
use tollbar_app::words;

/// How many of today's models the menu names.
const MODELS_MAX: usize = 3;
/// How many budgets the menu names; the window shows all.
const BUDGETS_MAX: usize = 8;
/// A longer text in the menu is cut.
const NAME_CHARS_MAX: usize = 40;
const TROUBLE_CHARS_MAX: usize = 100;
const PICO_PER_CENT: u128 = 10_000_000_000;

/// What the tray shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Face {
    /// Beside the icon, where the panel shows text: today's spend.
    pub(crate) title: String,
    /// Where the mouse rests, on systems that show it.
    pub(crate) tooltip: String,
    /// What the icon's colour says.
    pub(crate) mood: Mood,
    /// What is drawn into the icon; nothing below a cent.
    pub(crate) amount: Option<Amount>,
    /// The menu above its buttons.
    pub(crate) rows: Vec<Row>,
}

/// The state of the icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// No budget is near its end.
    Calm,
    /// One is.
    Near,
    /// One is crossed.
    Over,
    /// Nothing is recorded now.
    Paused,
}

/// An amount in two short lines: `$4` over `.20`, `$12` over `.3k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) upper: String,
    pub(crate) lower: String,
}

/// A row of the menu that only informs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Text(String),
    Line,
}

impl Face {
    /// Before the first answer.
    pub(crate) fn starting() -> Face {
        Face::without_figures("Starting …".into(), "")
    }

    /// While there is nothing to ask.
    pub(crate) fn troubled(fault: &Fault) -> Face {
        Face::without_figures(format!("Not recording: {}", fault.message), &fault.hint)
    }

    /// As things stand.
    pub(crate) fn of(today: &TodayAnswer, budgets: &BudgetsAnswer) -> Face {
        let mut rows = vec![
            Row::Text(format!("Today  {}", spent(&today.today))),
            Row::Text(format!("This week  {}", spent(&today.week))),
            Row::Text(format!("This month  {}", spent(&today.month))),
        ];
        section(
            &mut rows,
            today.models.iter().take(MODELS_MAX).map(|row| {
                let name = row.names.first().cloned().flatten().unwrap_or_else(|| "no model".into());
                format!("{}  {}", short(&name, NAME_CHARS_MAX), spent(&row.spend))
            }),
        );
        section(&mut rows, budgets.budgets.iter().take(BUDGETS_MAX).map(budget));
        rows.push(Row::Line);
        let title = amount_or_more(&today.today);
        Face {
            tooltip: format!("Tollbar: {title} today"),
            title,
            mood: budgets.budgets.iter().map(|state| state.level).max().map_or(Mood::Calm, mood),
            amount: Amount::of(today.today.usd),
            rows,
        }
    }

    /// The same while calls pass and are not recorded.
    pub(crate) fn not_recording(mut self, fault: &Fault) -> Face {
        let text = format!("Not recording: {}", fault.message);
        self.tooltip = format!("Tollbar: {text}");
        self.mood = Mood::Paused;
        self.rows.splice(0..0, [Row::Text(short(&text, TROUBLE_CHARS_MAX)), Row::Text(short(&fault.hint, TROUBLE_CHARS_MAX)), Row::Line]);
        self
    }

    fn without_figures(text: String, more: &str) -> Face {
        let mut rows = vec![Row::Text(short(&text, TROUBLE_CHARS_MAX))];
        if !more.is_empty() {
            rows.push(Row::Text(short(more, TROUBLE_CHARS_MAX)));
        }
        rows.push(Row::Line);
        Face { title: String::new(), tooltip: format!("Tollbar: {text}"), mood: Mood::Paused, amount: None, rows }
    }
}

impl Amount {
    /// At most three digits and a unit, rounded to the nearest.
    fn of(usd: Usd) -> Option<Amount> {
        let cents = (u128::try_from(usd.pico()).ok()? + PICO_PER_CENT / 2) / PICO_PER_CENT;
        let amount = |whole: u128, lower: String| {
            // A dollar sign beside three digits is wider than a tray icon.
            let upper = if whole < 100 { format!("${whole}") } else { whole.to_string() };
            Some(Amount { upper, lower })
        };
        match cents {
            0 => None,
            1..100_000 => amount(cents / 100, format!(".{:02}", cents % 100)),
            100_000..100_000_000 => amount(cents / 100_000, format!(".{}k", cents / 10_000 % 10)),
            100_000_000..100_000_000_000 => amount(cents / 100_000_000, format!(".{}M", cents / 10_000_000 % 10)),
            100_000_000_000.. => amount(999, ".9M".into()),
        }
    }
}

/// Rows of one kind, apart from those above.
fn section(rows: &mut Vec<Row>, texts: impl Iterator<Item = String>) {
    let mut texts = texts.peekable();
    if texts.peek().is_some() {
        rows.push(Row::Line);
    }
    rows.extend(texts.map(Row::Text));
}

/// Dollars, and how many calls are not in them: missing is not zero.
fn spent(spend: &Spend) -> String {
    let dollars = words::dollars(spend.usd);
    match unpriced(spend) {
        0 => dollars,
        calls => format!("{dollars} + {} unpriced", words::grouped(calls.into())),
    }
}

/// The same where there is little room: `$4.20+`.
fn amount_or_more(spend: &Spend) -> String {
    words::dollars(spend.usd) + if unpriced(spend) > 0 { "+" } else { "" }
}

fn unpriced(spend: &Spend) -> u64 {
    spend.unpriced_calls + spend.unknown_calls
}

fn budget(state: &BudgetState) -> String {
    let name = short(&state.budget.name, NAME_CHARS_MAX);
    let (spent, limit) = (words::dollars(state.spent), words::dollars(state.budget.limit));
    format!("Budget {name}  {spent} of {limit}, {} %", state.percent)
}

fn mood(level: BudgetLevel) -> Mood {
    match level {
        BudgetLevel::Calm => Mood::Calm,
        BudgetLevel::Near => Mood::Near,
        BudgetLevel::Over => Mood::Over,
    }
}

fn short(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::{Budget, BudgetScope, Period, Span, Timestamp, Zone, query::SpendRow};

    fn spend(dollars: &str, unpriced_calls: u64) -> Spend {
        Spend { usd: dollars.parse().unwrap(), unpriced_calls, ..Spend::default() }
    }

    fn today(dollars: &str, unpriced: u64, models: &[(&str, &str)]) -> TodayAnswer {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        let row = |(name, dollars): &(&str, &str)| SpendRow { names: vec![Some((*name).into())], spend: spend(dollars, 0) };
        TodayAnswer {
            day: Zone::default().day(now),
            zone: "UTC".into(),
            now,
            today: spend(dollars, unpriced),
            yesterday: Spend::default(),
            week: spend("18", 0),
            month: spend("1234.5", 0),
            hours: Vec::new(),
            models: models.iter().map(row).collect(),
            projects: Vec::new(),
        }
    }

    fn month(percent: u32, level: BudgetLevel) -> BudgetState {
        let budget = Budget {
            name: "month".into(),
            period: Period::Month,
            limit: "20".parse().unwrap(),
            scope: BudgetScope::default(),
            alert_percents: vec![80, 100],
        };
        BudgetState {
            budget,
            period: Span::ALWAYS,
            spent: "16.02".parse().unwrap(),
            left: "3.98".parse().unwrap(),
            percent,
            elapsed_percent: 70,
            level,
            unpriced_calls: 0,
            crosses_at: None,
        }
    }

    fn texts(face: &Face) -> Vec<&str> {
        fn text(row: &Row) -> &str {
            match row {
                Row::Text(text) => text,
                Row::Line => "-",
            }
        }
        face.rows.iter().map(text).collect()
    }

    #[test]
    fn the_menu_names_the_dearest_models_and_every_budget() {
        let today = today("4.2", 0, &[("opus", "3"), ("sonnet", "1"), ("haiku", "0.15"), ("mini", "0.05")]);
        let face = Face::of(&today, &BudgetsAnswer { budgets: vec![month(80, BudgetLevel::Near)] });
        assert_eq!(face.title, "$4.20");
        assert_eq!(face.mood, Mood::Near);
        assert_eq!(
            texts(&face),
            [
                "Today  $4.20",
                "This week  $18.00",
                "This month  $1,234.50",
                "-",
                "opus  $3.00",
                "sonnet  $1.00",
                "haiku  $0.15",
                "-",
                "Budget month  $16.02 of $20.00, 80 %",
                "-",
            ]
        );
    }

    #[test]
    fn calls_without_a_price_are_said_beside_the_dollars() {
        let face = Face::of(&today("4.2", 3, &[]), &BudgetsAnswer { budgets: Vec::new() });
        assert_eq!(face.title, "$4.20+");
        assert_eq!(texts(&face)[0], "Today  $4.20 + 3 unpriced");
    }

    #[test]
    fn the_worst_budget_colours_the_icon() {
        let budgets = vec![month(120, BudgetLevel::Over), month(10, BudgetLevel::Calm)];
        assert_eq!(Face::of(&today("0", 0, &[]), &BudgetsAnswer { budgets }).mood, Mood::Over);
    }

    #[test]
    fn face_while_nothing_is_recorded_says_why_above_the_figures() {
        let fault = Fault::refused("the disk is full", "make room");
        let face = Face::of(&today("4.2", 0, &[]), &BudgetsAnswer { budgets: Vec::new() }).not_recording(&fault);
        assert_eq!((face.mood, texts(&face)[0], texts(&face)[1]), (Mood::Paused, "Not recording: the disk is full", "make room"));
        assert_eq!(texts(&face)[3], "Today  $4.20");
    }

    #[test]
    fn every_amount_fits_two_short_lines() {
        let lines = |dollars: &str| Amount::of(dollars.parse().unwrap()).map(|amount| format!("{} {}", amount.upper, amount.lower));
        assert_eq!(lines("0"), None);
        assert_eq!(lines("0.0042"), None);
        assert_eq!(lines("-3"), None);
        assert_eq!(lines("0.005").as_deref(), Some("$0 .01"));
        assert_eq!(lines("4.2").as_deref(), Some("$4 .20"));
        assert_eq!(lines("99.999").as_deref(), Some("100 .00"));
        assert_eq!(lines("123.45").as_deref(), Some("123 .45"));
        assert_eq!(lines("1234.5").as_deref(), Some("$1 .2k"));
        assert_eq!(lines("123456").as_deref(), Some("123 .4k"));
        assert_eq!(lines("2500000").as_deref(), Some("$2 .5M"));
        assert_eq!(lines("99999999999").as_deref(), Some("999 .9M"));
    }
}
