//! Ratings over any span of dates (5.2 «а»), from scratch: what answers to questions are compared
//! with.

use std::collections::BTreeMap;

use dataflows::domain::Channel;
use jiff::civil::Date;

use super::judge::{Judgement, Sheet};
use super::reference::{Offices, Reference};
use super::sums::answering;

/// Whose ratings, and of which dates.
#[derive(Clone, Debug)]
pub struct Span {
    /// `tenure`, `manager`, `unit`, `unit_pooled`, `agency`, `region`, `mfc` or `service`.
    pub scope: &'static str,
    /// Of what.
    pub id: String,
    /// First date.
    pub from: Date,
    /// The date after the last.
    pub until: Date,
}

/// K positive of N.
pub type Share = (u64, u64);

/// What the ratings of a span come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By criterion 1..8, or 9 for the integral, and channel.
    pub crossed: BTreeMap<(usize, &'static str), Share>,
    /// By the unit rated.
    pub units: BTreeMap<String, Share>,
    /// By МФЦ, `""` for none.
    pub mfcs: BTreeMap<String, Share>,
    /// By service.
    pub services: BTreeMap<String, Share>,
    /// By month, `2018-03`.
    pub months: BTreeMap<String, Share>,
    /// Records, values, positive before, positive after: what surveys replaced.
    pub replaced: [u64; 4],
    /// What is not counted, by reason and channel: ratings, or messages where they were refused.
    pub beside: BTreeMap<(&'static str, &'static str), u64>,
    /// Ratings of days on which the unit rated had no head, and those for which nobody answers.
    pub vacant: [Share; 2],
}

impl Counts {
    /// Adds what the messages of one record come to.
    pub fn add(
        &mut self,
        span: &Span,
        judgement: &Judgement,
        reference: &Reference,
        offices: &Offices<'_>,
    ) {
        for sheet in &judgement.sheets {
            if span.has(sheet, reference, offices) {
                self.sheet(sheet, reference, offices);
                if let (Channel::Survey, Some((_, digit))) = (sheet.channel, judgement.reply) {
                    self.replace(sheet, digit);
                }
            }
        }
        for (reason, sheet) in &judgement.aside {
            if span.has(sheet, reference, offices) {
                let ratings = sheet.scores.iter().filter(|score| **score > 0).count() as u64;
                let is_message =
                    ["bad_text", "late_reply", "superseded", "conflict"].contains(reason);
                let count = if is_message { 1 } else { ratings };
                let channel = sheet.channel.of_message();
                if count > 0 {
                    *self.beside.entry((reason, channel)).or_default() += count;
                }
            }
        }
    }

    fn sheet(&mut self, sheet: &Sheet, reference: &Reference, offices: &Offices<'_>) {
        let vacant = offices.holder(sheet.unit, sheet.date).is_none();
        let answering = answering(sheet, reference, offices);
        let nobodys = answering.iter().all(|unit| offices.holder(*unit, sheet.date).is_none());
        let month = format!("{:04}-{:02}", sheet.date.year(), sheet.date.month());
        for (question, score) in (1..).zip(sheet.scores).filter(|(_, score)| *score > 0) {
            let add = |sum: &mut Share| *sum = (sum.0 + u64::from(score >= 4), sum.1 + 1);
            add(self.crossed.entry((question, sheet.channel.of_rating())).or_default());
            add(self.units.entry(sheet.unit.to_string()).or_default());
            add(self.services.entry(sheet.service.to_string()).or_default());
            let mfc = sheet.mfc.map(|mfc| mfc.to_string()).unwrap_or_default();
            add(self.mfcs.entry(mfc).or_default());
            add(self.months.entry(month.clone()).or_default());
            if vacant {
                add(&mut self.vacant[0]);
            }
            if vacant && nobodys {
                add(&mut self.vacant[1]);
            }
        }
    }

    /// 7.10: each criterion that the survey answered had the digit.
    fn replace(&mut self, survey: &Sheet, digit: u8) {
        self.replaced[0] += 1;
        for score in survey.scores.into_iter().filter(|score| *score > 0) {
            self.replaced[1] += 1;
            self.replaced[2] += u64::from(digit >= 4);
            self.replaced[3] += u64::from(score >= 4);
        }
    }
}

impl Span {
    /// Whether what a sheet says is the span's.
    fn has(&self, sheet: &Sheet, reference: &Reference, offices: &Offices<'_>) -> bool {
        let id = self.id.as_str();
        let held = |wanted: &dyn Fn(&super::reference::Tenure) -> bool| {
            let units = answering(sheet, reference, offices);
            units.iter().any(|unit| offices.holder(*unit, sheet.date).is_some_and(wanted))
        };
        let is_its = match self.scope {
            "tenure" => held(&|tenure| tenure.id.text() == id),
            "manager" => held(&|tenure| tenure.manager.text() == id),
            "unit" => sheet.unit.text() == id,
            "unit_pooled" | "mfc" => {
                answering(sheet, reference, offices).iter().any(|unit| unit.text() == id)
            }
            "agency" => reference.agency(sheet.unit).is_some_and(|agency| agency.text() == id),
            "region" => {
                let unit = reference.units.get(&sheet.unit);
                sheet.channel != Channel::Epgu && unit.is_some_and(|u| u.region.text() == id)
            }
            "service" => sheet.service.text() == id,
            other => unreachable!("{other} is no scope"),
        };
        is_its && self.from <= sheet.date && sheet.date < self.until
    }
}
