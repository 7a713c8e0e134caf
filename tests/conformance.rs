//! The rules as cases (tests/cases), and the table of docs/rules.md that leads to them.

#[path = "common/cases.rs"]
mod cases;

use std::collections::BTreeSet;

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

/// Every case has its paragraph in docs/rules.md, and every case named there is there.
#[test]
fn every_case_has_its_paragraph() {
    let rules = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md"))
        .expect("docs/rules.md is there");
    let links = rules.split("](../tests/cases/").skip(1);
    let named: BTreeSet<String> =
        links.filter_map(|rest| Some(rest.split_once(".case)")?.0.to_owned())).collect();
    let stem = |path: &std::path::PathBuf| path.file_stem()?.to_str().map(str::to_owned);
    let there: BTreeSet<String> = cases::all().iter().filter_map(stem).collect();
    assert_eq!(named, there);
}
