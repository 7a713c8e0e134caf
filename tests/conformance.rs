//! The rules as cases (tests/cases), and the table of docs/rules.md that leads to them.

#[path = "common/cases.rs"]
mod cases;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cases::Step;
use dataflows::calendar::Hour;
use otklik::event::Event;
use otklik::rules::Rules;
use otklik::verify::{Recomputation, Views};

fn recomputed(rules: &Rules, steps: &[Step]) -> Views {
    let mut recomputation = Recomputation::new(rules.clone());
    for step in steps {
        for line in &step.lines {
            let event = Event::parse(line.as_bytes());
            recomputation.apply(&event.unwrap_or_else(|refusal| panic!("{line}: {refusal}")));
        }
        if let Some(hour) = step.clock {
            recomputation.apply(&Event::Clock(Hour(hour)));
        }
        recomputation.close_epoch();
    }
    recomputation.views()
}

#[test]
fn every_case_holds_for_the_recomputation() {
    let cases = cases::all();
    assert!(!cases.is_empty());
    let wrong: Vec<String> = cases.iter().flat_map(|path| cases::check(path, recomputed)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every case has its paragraph in docs/rules.md, and every case named there is there.
#[test]
fn every_case_has_its_paragraph() {
    let rules = text("docs/rules.md");
    let links = rules.split("](../tests/cases/").skip(1);
    let named: BTreeSet<String> =
        links.filter_map(|rest| Some(rest.split_once(".case)")?.0.to_owned())).collect();
    let stem = |path: &PathBuf| path.file_stem()?.to_str().map(str::to_owned);
    let there: BTreeSet<String> = cases::all().iter().filter_map(stem).collect();
    assert_eq!(named, there);
}

/// Every function named in docs/rules.md is where it says, as `module::function`.
#[test]
fn every_rule_has_its_function() {
    let rules = text("docs/rules.md");
    let functions = rules.lines().filter_map(|line| line.split('`').nth(1)?.split_once("::"));
    let mut named = 0;
    for (module, function) in functions {
        let file = match module {
            "event" => "src/event.rs".to_owned(),
            module => format!("dataflows/src/{module}.rs"),
        };
        let source = text(&file);
        let is_there = ["(", "<"].map(|next| source.contains(&format!("fn {function}{next}")));
        assert!(is_there.contains(&true), "{file} has no function {function}");
        named += 1;
    }
    assert!(named > 0);
}
