//! Tables for a terminal: the first columns to the left, amounts to the right.

use super::colours_wanted;
use crate::words;
use events::{names, query::Spend};
use std::io::{self, IsTerminal as _};

/// Rows of cells; the widest of each column sets its width.
pub(super) struct Table {
    left_columns: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The first `left_columns` columns are names, the others amounts.
    pub(super) fn new(left_columns: usize, heads: &[&str]) -> Table {
        Table { left_columns, rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| one_line(cell)).collect());
    }

    /// The table as text, its head and what is marked `dim` quiet where the reader is a terminal.
    pub(super) fn text(&self) -> String {
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                let space = " ".repeat(width - cell.chars().count());
                if column < self.left_columns { format!("{cell}{space}") } else { format!("{space}{cell}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            text += &if number == 0 { dim(line) } else { line.to_owned() };
            text.push('\n');
        }
        text
    }
}

/// A cell without anything that moves a cursor or ends the line, but for one of our own styles around all of it.
fn one_line(cell: &str) -> String {
    const END: &str = "\x1b[0m";
    let styles = ["\x1b[2m", "\x1b[31m", "\x1b[33m"];
    let styled = styles.into_iter().find_map(|style| Some((style, cell.strip_prefix(style)?.strip_suffix(END)?)));
    match styled {
        Some((style, text)) => format!("{style}{}{END}", names::shown(text, false)),
        None => names::shown(cell, false).into_owned(),
    }
}

/// Quiet text, where the reader is a terminal with colours.
pub(super) fn dim(text: &str) -> String {
    if coloured() { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
}

/// Text in the colour of "near" (amber) or "over" (red), where the reader is a terminal with colours.
pub(super) fn warned(text: &str, over: bool) -> String {
    let colour = if over { "31" } else { "33" };
    if coloured() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

fn coloured() -> bool {
    io::stdout().is_terminal() && colours_wanted()
}

/// What a sum does not hold, in words: nothing where it holds everything.
pub(super) fn gaps(spend: &Spend) -> String {
    let mut gaps = Vec::new();
    if spend.unpriced_calls > 0 {
        gaps.push(format!("+ {} unpriced ({} tokens)", words::grouped(spend.unpriced_calls.into()), words::tokens(spend.unpriced_tokens)));
    }
    if spend.unknown_calls > 0 {
        gaps.push(format!("+ {} of unknown size", words::grouped(spend.unknown_calls.into())));
    }
    if spend.estimated_calls > 0 {
        gaps.push(format!("{} of it estimated or cut short", words::dollars(spend.estimated_usd)));
    }
    gaps.join(", ")
}
