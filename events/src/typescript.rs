//! Writes the types that cross to the window as TypeScript, so that the two sides cannot drift.

use crate::{
    Command,
    query::{
        Advice, AdviceAnswer, Budgets, BudgetsAnswer, Calls, CallsAnswer, Explain, ExplainAnswer, Fault, Health, HealthAnswer, Missing,
        MissingAnswer, Models, ModelsAnswer, Plans, PlansAnswer, Query, Recent, RecentAnswer, Reprice, RepriceAnswer, SpendBy,
        SpendByAnswer, Today, TodayAnswer,
    },
};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};
use ts_rs::{Config, TS, TypeVisitor};

const FILE: &str = "../ui/src/api/types.ts";

struct Declarations<'a> {
    config: &'a Config,
    found: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if T::output_path().is_none() || self.found.contains_key(&T::ident(self.config)) {
            return;
        }
        let docs = T::docs().unwrap_or_default();
        self.found.insert(T::ident(self.config), format!("{docs}export {}\n", T::decl(self.config)));
        T::visit_dependencies(self);
    }
}

#[test]
fn the_types_of_the_window_are_those_of_the_ledger() {
    let config = Config::new().with_large_int("number");
    let mut all = Declarations { config: &config, found: BTreeMap::new() };
    let mut questions = String::new();
    macro_rules! question {
        ($($question:ty => $answer:ty),+ $(,)?) => {$(
            all.visit::<$question>();
            all.visit::<$answer>();
            let (question, answer) = (<$question>::ident(&config), <$answer>::ident(&config));
            writeln!(questions, "  {}: {{ question: {question}; answer: {answer} }};", <$question as Query>::NAME).expect("a string takes it");
        )+};
    }
    question!(Today => TodayAnswer, SpendBy => SpendByAnswer, Budgets => BudgetsAnswer, Recent => RecentAnswer, Health => HealthAnswer,
        Reprice => RepriceAnswer, Calls => CallsAnswer, Models => ModelsAnswer, Missing => MissingAnswer, Explain => ExplainAnswer,
        Advice => AdviceAnswer, Plans => PlansAnswer);
    all.visit::<Command>();
    all.visit::<Fault>();

    let declarations: Vec<_> = all.found.into_values().collect();
    let text = format!(
        "// Generated from the Rust types by `UPDATE_TYPES=1 cargo test -p events typescript`. Do not edit.\n\n{}\n\
         /** Every question, by its name in `POST /ask/<name>`. */\nexport type Questions = {{\n{questions}}};\n",
        declarations.join("\n"),
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_TYPES").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, &text).expect("written");
    }
    let there = fs::read_to_string(&path).expect("the window's types are there");
    assert!(there == text, "{} is out of date; run UPDATE_TYPES=1 cargo test -p events typescript", path.display());
}
