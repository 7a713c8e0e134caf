//! The ratings added up: every sum of the contract's views, from the sheets of one record at a time
//! (order-120 § 3; p. 12, 13, 15, 16; D6, D7).

use std::collections::{BTreeMap, HashMap, HashSet};

use dataflows::domain::{Channel, UnitKind};
use dataflows::id::Id;
use jiff::civil::Date;

use super::horizon::Horizon;
use super::judge::{Judgement, QUESTIONS, Sheet, Verdict};
use super::reference::{Offices, Reference};
use super::time;

/// How many ratings there are of each score, 1 first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub [u64; 5]);

impl Tally {
    fn add(&mut self, scores: impl IntoIterator<Item = u8>) {
        for score in scores {
            if score > 0 {
                self.0[usize::from(score) - 1] += 1;
            }
        }
    }

    /// All ratings.
    pub fn n(&self) -> u64 {
        self.0.iter().sum()
    }

    /// p. 3: those of 4 and 5.
    pub fn k(&self) -> u64 {
        self.0[3] + self.0[4]
    }

    /// The sum of the scores.
    pub fn sum(&self) -> u64 {
        self.0.iter().zip(1..).map(|(count, score)| count * score).sum()
    }
}

/// The ratings of a manager's period.
#[derive(Clone, Default)]
pub struct Period {
    pub questions: [Tally; QUESTIONS],
    /// In the order of [`Channel::ALL`].
    pub channels: [Tally; 5],
}

/// The ratings on a territory.
#[derive(Clone, Copy, Default)]
pub struct Territory {
    pub tally: Tally,
    pub facts: u64,
    pub records: u64,
}

/// What a month's sum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Unit,
    Agency,
    Region,
    Service,
}

/// All sums. Keys without ratings are not there.
#[derive(Default)]
pub struct Sums {
    /// By the unit rated.
    pub own: HashMap<Id, Tally>,
    /// By every unit whose head answers for the rating (p. 15).
    pub pooled: HashMap<Id, Tally>,
    /// The same by date, `(k, n)`.
    pub pooled_days: HashMap<Id, BTreeMap<Date, (u64, u64)>>,
    /// By tenure and number of the period.
    pub periods: HashMap<Id, BTreeMap<i64, Period>>,
    pub agencies: HashMap<Id, Tally>,
    /// By subject, and agency or all.
    pub territories: HashMap<(Id, Option<Id>), Territory>,
    /// By agency and service.
    pub services: HashMap<(Option<Id>, Id), Tally>,
    /// By scope, id, and the month's first day.
    pub months: HashMap<(Scope, Id, Date), Tally>,
    pub pending: HashMap<&'static str, u64>,
    pub refused: HashMap<(&'static str, Channel), u64>,
    /// What else than ratings came for closed records.
    pub late_others: u64,
    pub conservation: Conservation,
}

/// What became of the rating messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conservation {
    pub accepted: u64,
    pub counted: u64,
    pub apart: u64,
    pub pending: u64,
    pub refused: u64,
    pub duplicate: u64,
    pub retracted: u64,
}

impl Sums {
    /// Adds what the messages of one record come to.
    pub fn add(&mut self, judgement: &Judgement, reference: &Reference, offices: &Offices<'_>) {
        for &(channel, verdict) in &judgement.verdicts {
            self.add_verdict(channel, verdict);
        }
        for sheet in &judgement.sheets {
            self.add_sheet(sheet, reference);
            self.pool_sheet(sheet, reference, offices);
        }
        self.add_record(judgement, reference);
    }

    fn add_verdict(&mut self, channel: Channel, verdict: Verdict) {
        let total = &mut self.conservation;
        total.accepted += 1;
        match verdict {
            Verdict::Counted => total.counted += 1,
            Verdict::Apart => total.apart += 1,
            Verdict::Pending(reason) => {
                total.pending += 1;
                *self.pending.entry(reason).or_default() += 1;
            }
            Verdict::Refused(code) => {
                total.refused += 1;
                *self.refused.entry((code, channel)).or_default() += 1;
            }
            Verdict::Duplicate => total.duplicate += 1,
            Verdict::Retracted => total.retracted += 1,
        }
    }

    /// The sums of the unit rated, its agency, its territory, and the service. 16: a region sees
    /// no ЕПГУ.
    fn add_sheet(&mut self, sheet: &Sheet, reference: &Reference) {
        if sheet.scores == [0; QUESTIONS] {
            return;
        }
        let agency = reference.agency(sheet.unit);
        let region = reference.units[&sheet.unit].region;
        let month = sheet.date.first_of_month();
        self.own.entry(sheet.unit).or_default().add(sheet.scores);
        self.services.entry((agency, sheet.service)).or_default().add(sheet.scores);
        let mut add_month = |scope, id| {
            self.months.entry((scope, id, month)).or_default().add(sheet.scores);
        };
        add_month(Scope::Unit, sheet.unit);
        add_month(Scope::Service, sheet.service);
        if let Some(agency) = agency {
            add_month(Scope::Agency, agency);
            self.agencies.entry(agency).or_default().add(sheet.scores);
        }
        if sheet.channel != Channel::Epgu {
            add_month(Scope::Region, region);
            for key in territories(region, agency) {
                self.territories.entry(key).or_default().tally.add(sheet.scores);
            }
        }
    }

    /// The sums of every unit whose head answers for the sheet, and of the period he is in (D7).
    fn pool_sheet(&mut self, sheet: &Sheet, reference: &Reference, offices: &Offices<'_>) {
        let mut scores = Tally::default();
        scores.add(sheet.scores);
        for unit in answering(sheet, reference, offices) {
            self.pooled.entry(unit).or_default().add(sheet.scores);
            let day = self.pooled_days.entry(unit).or_default().entry(sheet.date).or_default();
            *day = (day.0 + scores.k(), day.1 + scores.n());
            let Some(tenure) = offices.holder(unit, sheet.date) else {
                continue;
            };
            let periods = self.periods.entry(tenure.id).or_default();
            let period = periods.entry(time::period_of(tenure.from, sheet.date)).or_default();
            for (question, score) in period.questions.iter_mut().zip(sheet.scores) {
                question.add([score]);
            }
            period.channels[sheet.channel as usize].add(sheet.scores);
        }
    }

    /// What a territory counts by records: the standing fact, and that there is a rating.
    fn add_record(&mut self, judgement: &Judgement, reference: &Reference) {
        let fact = judgement.fact.map(|(_, fact)| fact.unit);
        if let Some((id, unit)) = fact.and_then(|id| Some((id, reference.units.get(&id)?))) {
            for key in territories(unit.region, reference.agency(id)) {
                self.territories.entry(key).or_default().facts += 1;
            }
        }
        let rated = judgement.sheets.iter().filter(|sheet| sheet.channel != Channel::Epgu);
        let rated: HashSet<(Id, Option<Id>)> = rated
            .filter(|sheet| sheet.scores != [0; QUESTIONS])
            .flat_map(|sheet| {
                let region = reference.units[&sheet.unit].region;
                territories(region, reference.agency(sheet.unit))
            })
            .collect();
        for key in rated {
            self.territories.entry(key).or_default().records += 1;
        }
    }

    /// `(k, n)` of all that the head of a unit answers for, over a range of dates.
    pub fn pooled_between(&self, unit: Id, from: Date, until: Date) -> (u64, u64) {
        let Some(days) = self.pooled_days.get(&unit) else {
            return (0, 0);
        };
        days.range(from..until).fold((0, 0), |sum, (_, day)| (sum.0 + day.0, sum.1 + day.1))
    }

    /// Drops the territories that have facts but no rating, and adds what came too late.
    pub fn finish(&mut self, horizon: &Horizon) {
        for (channel, count) in &horizon.late_ratings {
            self.conservation.accepted += count;
            self.conservation.refused += count;
            *self.refused.entry(("closed", *channel)).or_default() += count;
        }
        self.late_others = horizon.late_others;
        self.territories.retain(|_, territory| territory.tally.n() > 0);
    }
}

/// The territory as a whole, and the part of it that is the agency's.
fn territories(region: Id, agency: Option<Id>) -> impl Iterator<Item = (Id, Option<Id>)> {
    let part = agency.map(|agency| (region, Some(agency)));
    [(region, None)].into_iter().chain(part)
}

/// p. 15: the units whose heads answer for a sheet: the unit rated and those above it; the МФЦ and
/// those above it, but not for what came by the ЕПГУ form (12; 16 «б»). Each once.
pub fn answering(sheet: &Sheet, reference: &Reference, offices: &Offices<'_>) -> HashSet<Id> {
    let through = sheet.mfc.filter(|_| sheet.channel != Channel::Epgu);
    let chains = [Some(sheet.unit), through].into_iter().flatten();
    let units = chains.flat_map(|unit| offices.chain(unit)).copied();
    let sees =
        |unit: &Id| sheet.channel != Channel::Epgu || reference.units[unit].kind != UnitKind::Mfc;
    units.filter(sees).collect()
}
