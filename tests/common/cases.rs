//! Cases of the rules: files that a lawyer can read and a program can check.
//!
//! A case is prose with blocks between fences, taken from top to bottom:
//!
//! - `rules`: switches, as in a configuration file; at most once, first
//! - `events`: an epoch of events, one a line; `clock 2018-03-01T10:00:00+03:00` says what hour it
//!   is at the end of the epoch
//! - `door`: lines that are refused at the door, each after the code it is refused with
//! - `rows VIEW [COLUMN=VALUE …]`: all rows of the view that have these values, as a table; columns
//!   that are not in the table may say anything
//!
//! With `UPDATE_CASES=1` in the environment the tables are rewritten instead of checked. Read the
//! difference before it is committed: the table is the rule.

#![allow(dead_code, reason = "each test takes of it what it needs")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use otklik::event::Event;
use otklik::rules::Rules;
use otklik::verify::{Row, Views};
use serde_json::Value;

/// Events of one epoch as lines of NDJSON, and the clock at its end, hours since 1970 UTC.
#[derive(Clone, Debug)]
pub struct Step {
    pub lines: Vec<String>,
    pub clock: Option<i64>,
}

/// The files of all cases, by name.
pub fn all() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(directory).expect("the cases are there");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut cases: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "case")).collect();
    cases.sort();
    cases
}

/// Checks a case, or rewrites it: `compute` gives the views after some steps. What does not hold is
/// one line each.
pub fn check(path: &Path, compute: impl Fn(&Rules, &[Step]) -> Views) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a case is text");
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut case = Case { rules: Rules::default(), steps: Vec::new(), views: None };
    let (mut rewritten, mut wrong) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(rewritten, "{line}");
        let Some(kind) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let is = case.run(kind, &block, &compute);
        for line in &is {
            let _ = writeln!(rewritten, "{line}");
        }
        rewritten.push_str("```\n");
        wrong.extend(differences(&block, &is).map(|line| format!("{name}: {kind}: {line}")));
    }
    if std::env::var_os("UPDATE_CASES").is_some() && rewritten != text {
        std::fs::write(path, rewritten).expect("the cases can be written");
        wrong.clear();
    }
    wrong
}

/// What is read of a case so far.
struct Case {
    rules: Rules,
    steps: Vec<Step>,
    /// Of these steps.
    views: Option<Views>,
}

impl Case {
    /// What the lines of a block should be.
    fn run(
        &mut self,
        kind: &str,
        block: &[&str],
        compute: &impl Fn(&Rules, &[Step]) -> Views,
    ) -> Vec<String> {
        let words: Vec<&str> = kind.split(' ').collect();
        match words.as_slice() {
            ["rules"] => {
                self.rules = toml::from_str(&block.join("\n")).expect("switches of the rules");
            }
            ["events"] => {
                self.steps.push(step(block));
                self.views = None;
            }
            ["door"] => return block.iter().map(|line| refused(line)).collect(),
            ["rows", view, filters @ ..] => {
                let views = self.views.get_or_insert_with(|| compute(&self.rules, &self.steps));
                let rows = views.get(view).unwrap_or_else(|| panic!("there is no view {view}"));
                let heading = block.first().expect("a table has a heading");
                let chosen = rows.values().filter(|row| filters.iter().all(|f| has(row, f)));
                return table(heading, chosen);
            }
            _ => panic!("a case has no block {kind:?}"),
        }
        block.iter().map(|line| (*line).to_owned()).collect()
    }
}

fn step(block: &[&str]) -> Step {
    let clock = block.last().and_then(|line| line.strip_prefix("clock "));
    let events = &block[..block.len() - usize::from(clock.is_some())];
    let hour = |text: &str| {
        let at: Timestamp = text.parse().expect("RFC 3339");
        at.as_second() / 3600
    };
    Step { lines: events.iter().map(|line| (*line).to_owned()).collect(), clock: clock.map(hour) }
}

/// The line with the code it is refused with.
fn refused(line: &str) -> String {
    let (_, event) = line.split_once(' ').expect("a code and an event");
    match Event::parse(event.as_bytes()) {
        Ok(_) => format!("accepted {event}"),
        Err(refusal) => format!("{} {event}", refusal.code),
    }
}

/// `COLUMN=VALUE`.
fn has(row: &Row, filter: &str) -> bool {
    let (column, value) = filter.split_once('=').expect("COLUMN=VALUE");
    cell(row, column) == value
}

/// The rows as a table with the columns of its heading.
fn table<'a>(heading: &str, rows: impl Iterator<Item = &'a Row>) -> Vec<String> {
    let columns: Vec<&str> = heading.split('|').map(str::trim).filter(|c| !c.is_empty()).collect();
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let rule = format!("|{}", "---|".repeat(columns.len()));
    let mut lines = vec![format!("| {} |", columns.join(" | ")), rule];
    lines.extend(rows.map(|row| line(columns.iter().map(|column| cell(row, column)).collect())));
    lines
}

/// Texts as they are, nothing for null, other values as JSON.
fn cell(row: &Row, column: &str) -> String {
    match row.get(column) {
        None => panic!("there is no column {column}"),
        Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// Line by line what is there and what should be.
fn differences(block: &[&str], is: &[String]) -> impl Iterator<Item = String> {
    let lines = block.len().max(is.len());
    (0..lines).filter_map(move |n| match (block.get(n), is.get(n)) {
        (Some(expected), Some(is)) if expected == is => None,
        (Some(expected), Some(is)) => Some(format!("{is}, should be {expected}")),
        (Some(expected), None) => Some(format!("missing {expected}")),
        (None, Some(is)) => Some(format!("unexpected {is}")),
        (None, None) => None,
    })
}
