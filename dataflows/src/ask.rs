//! Questions about ratings over any span of dates, answered from what a worker knows of places.
//!
//! Each worker answers for the places it has; the sum of their answers is the answer, so that it
//! does not depend on how many there are. Nothing is kept for it: a question costs a look at the
//! cells it is about, and it is asked while nothing is under way, so all of it is of one epoch.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::difference::Semigroup;
use serde::{Deserialize, Serialize};

use crate::attribute::{Role, Span, period_of};
use crate::calendar::{Day, Month};
use crate::domain::{Channel, Place, UnitKind};
use crate::id::Id;
use crate::places::{AtPlace, Places};
use crate::reference::{Head, Location, Placing};
use crate::tally::{Detail, Replaced, Value};
use crate::views::{PendingReason, RefusalCode};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// What `id` is of.
    pub scope: Scope,
    /// As a client wrote it: it may be of nothing.
    pub id: String,
    /// Over which days.
    pub days: Days,
    /// Whether to say too what is beside the ratings ([`Answer::beside`] and the fields after it).
    pub explain: bool,
}

/// Whose ratings are asked for (5.2 "а"; who sees what: p. 15, 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Those that belong to a tenure.
    Tenure,
    /// Those that belong to any tenure of a person, each once.
    Manager,
    /// A unit's own.
    Unit,
    /// Those the head of a unit answers for (p. 15).
    UnitPooled,
    /// Those of an agency's units.
    Agency,
    /// Those on a territory, without ЕПГУ (p. 16).
    Region,
    /// Those the head of an МФЦ answers for, without ЕПГУ (16 "б").
    Mfc,
    /// Those of a service, in all agencies.
    Service,
}

impl Scope {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Scope); 8] = [
        ("tenure", Scope::Tenure),
        ("manager", Scope::Manager),
        ("unit", Scope::Unit),
        ("unit_pooled", Scope::UnitPooled),
        ("agency", Scope::Agency),
        ("region", Scope::Region),
        ("mfc", Scope::Mfc),
        ("service", Scope::Service),
    ];
}

/// Over which days a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Days {
    /// `from <= day < until`.
    Between(Day, Day),
    /// Those of an accounting period of a tenure (p. 17).
    Period(i32),
}

/// A value by something; what has no ratings is not there.
pub type Sums<K> = BTreeMap<K, Value>;

/// The answer of one worker, or the sum of some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the reference data know what is asked for. Every worker says the same.
    pub known: bool,
    /// The ratings: without ЕПГУ, and of ЕПГУ.
    pub ratings: [Detail; 2],
    /// What surveys replaced among them.
    pub replaced: Replaced,
    /// By the unit rated.
    pub units: Sums<Id>,
    /// By the МФЦ through which the service was given, or none.
    pub mfcs: Sums<Option<Id>>,
    /// By service.
    pub services: Sums<Id>,
    /// By month.
    pub months: Sums<Month>,
    /// Beside them, what is not counted and why: ratings that wait or are not listed, and messages
    /// that were refused.
    pub beside: BTreeMap<(Reason, Channel), i64>,
    /// Of them, by the unit rated: those of days on which that unit had no head.
    pub vacant: Sums<Id>,
    /// Of them, those for which nobody answers: no unit above had a head either.
    pub nobodys: Value,
    /// Of a tenure: the unit's ratings of the same days that belong to another tenure or to none.
    pub others: Sums<Option<Id>>,
    /// Of an agency: by the tenures that serve today, each with its unit and the period it is in
    /// (p. 14).
    pub serving: Sums<(Id, Id, i32)>,
}

/// Why something is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Ratings that wait for what they name.
    Pending(PendingReason),
    /// Ratings of a service that is not in the Перечень (p. 12, 13).
    NotListed,
    /// Messages that say nothing, or lost against another.
    Lost(RefusalCode),
}

impl Answer {
    /// Adds the answer of another worker.
    pub fn add(&mut self, other: Answer) {
        self.known |= other.known;
        for (sum, part) in self.ratings.iter_mut().zip(&other.ratings) {
            sum.plus_equals(part);
        }
        self.replaced.plus_equals(&other.replaced);
        merge(&mut self.units, other.units);
        merge(&mut self.mfcs, other.mfcs);
        merge(&mut self.services, other.services);
        merge(&mut self.months, other.months);
        for (what, count) in other.beside {
            *self.beside.entry(what).or_default() += count;
        }
        merge(&mut self.vacant, other.vacant);
        plus(&mut self.nobodys, other.nobodys);
        merge(&mut self.others, other.others);
        merge(&mut self.serving, other.serving);
    }
}

fn merge<K: Ord>(sums: &mut Sums<K>, others: Sums<K>) {
    others.into_iter().for_each(|(key, value)| give(sums, key, value));
}

/// Adds to a sum, where there is something to add.
fn give<K: Ord>(sums: &mut Sums<K>, key: K, value: Value) {
    if value.n != 0 {
        plus(sums.entry(key).or_default(), value);
    }
}

fn plus(sum: &mut Value, part: Value) {
    sum.k += part.k;
    sum.n += part.n;
}

/// What is asked for, found among the reference data.
enum Subject {
    Own(Id),
    Pooled(Id),
    Agency(Id),
    Region(Id),
    Service(Id),
    /// The days on which posts are held.
    Held(Vec<Stretch>),
}

/// Days for which the head of a unit answers.
#[derive(Clone, Copy)]
struct Stretch {
    head: Id,
    from: Day,
    until: Day,
}

/// Who answers for the ratings of one side of a place, and where it is, as far as that is known.
struct Answering<'a> {
    place: &'a Place,
    electronic: bool,
    location: Option<Location>,
    heads: Vec<Head>,
}

impl Subject {
    /// The days of `from..until` whose ratings of a side of a place are the subject's.
    fn days(&self, of: &Answering<'_>, from: Day, until: Day) -> Vec<(Day, Day)> {
        let has_head = |unit: Id| of.heads.iter().any(|head| head.unit == unit);
        let whole = match self {
            Subject::Held(stretches) => {
                let of_heads = stretches.iter().filter(|stretch| has_head(stretch.head));
                let cut = of_heads.map(|s| (s.from.max(from), s.until.min(until)));
                return cut.filter(|(from, until)| from < until).collect();
            }
            Subject::Own(unit) => of.place.unit == *unit,
            Subject::Pooled(unit) => has_head(*unit),
            Subject::Agency(agency) => of.location.is_some_and(|at| at.agency == Some(*agency)),
            Subject::Region(region) => {
                !of.electronic && of.location.is_some_and(|at| at.subject == *region)
            }
            Subject::Service(service) => of.place.service == *service,
        };
        if whole { vec![(from, until)] } else { Vec::new() }
    }
}

impl Places {
    /// What this worker's places say to a question.
    ///
    /// - cost: a look at the cells of those days at the places that may be meant
    /// - rule: Order 120 p. 5.2 "а", 12, 13, 15, 16
    pub fn answer(&self, ask: &Ask) -> Answer {
        let mut answer = Answer::default();
        let Some(id) = Id::known(&ask.id) else { return answer };
        let Some((from, until)) = self.range(id, ask.days) else { return answer };
        let Some(subject) = self.subject(ask.scope, id) else { return answer };
        answer.known = true;
        for number in self.candidates(&subject) {
            let at = &self.places[number];
            for electronic in [false, true] {
                let placing = self.offices.placing(&at.place);
                let answering = self.answering(&at.place, &placing, electronic);
                let days = subject.days(&answering, from, until);
                let is_counted = placing.counted(electronic).is_some();
                if is_counted {
                    self.count(at, &answering, &days, ask.explain, &mut answer);
                }
                if ask.explain {
                    set_aside(at, &placing, electronic, &days, &mut answer);
                    if let (true, Subject::Held(stretches)) = (is_counted, &subject) {
                        let dates = (from, until);
                        self.others(at, &answering, stretches, dates, &mut answer.others);
                    }
                }
            }
        }
        if let (true, Subject::Agency(agency)) = (ask.explain, &subject) {
            self.serving(*agency, &mut answer.serving);
        }
        answer
    }

    /// The days of a question; `None` where it is about a tenure that there is not.
    fn range(&self, id: Id, days: Days) -> Option<(Day, Day)> {
        match days {
            Days::Between(from, until) => Some((from, until)),
            Days::Period(period) => {
                let tenure = self.tenures.get(&id)?;
                let (from, end) = months_of(tenure.from, period);
                Some((from, end.min(tenure.until)))
            }
        }
    }

    fn subject(&self, scope: Scope, id: Id) -> Option<Subject> {
        let mut locations = self.offices.standings().map(|(_, standing)| standing.location);
        let kind = self.offices.location(id).map(|at| at.kind);
        match scope {
            Scope::Tenure => {
                let held = self.held(id)?;
                Some(Subject::Held(held))
            }
            Scope::Manager => {
                let tenures = self.tenures.values().filter(|tenure| tenure.manager == id);
                let held: Vec<_> = tenures.map(|tenure| self.held(tenure.id)).collect();
                let is_known = !held.is_empty();
                is_known.then(|| Subject::Held(held.into_iter().flatten().flatten().collect()))
            }
            Scope::Unit => kind.map(|_| Subject::Own(id)),
            Scope::UnitPooled => kind.map(|_| Subject::Pooled(id)),
            Scope::Mfc => (kind == Some(UnitKind::Mfc)).then_some(Subject::Pooled(id)),
            Scope::Agency => {
                locations.any(|at| at.agency == Some(id)).then_some(Subject::Agency(id))
            }
            Scope::Region => locations.any(|at| at.subject == id).then_some(Subject::Region(id)),
            Scope::Service => self.offices.knows_service(id).then_some(Subject::Service(id)),
        }
    }

    /// The days on which a tenure holds its post (D7).
    fn held(&self, tenure: Id) -> Option<Vec<Stretch>> {
        let head = self.tenures.get(&tenure)?.unit;
        let spans = self.posts.at(head).iter();
        let own = spans.filter(|span| span.role == Role::Own && span.tenure == tenure);
        Some(own.map(|span| Stretch { head, from: span.from, until: span.until }).collect())
    }

    /// The places that may have ratings of the subject, each once.
    fn candidates(&self, subject: &Subject) -> BTreeSet<usize> {
        let units_where = |wanted: &dyn Fn(&Location) -> bool| -> Vec<Id> {
            let standings = self.offices.standings();
            let wanted = standings.filter(|(_, standing)| wanted(&standing.location));
            wanted.map(|(unit, _)| unit).collect()
        };
        let below = |head: &Id| self.below.get(head).into_iter().flatten().copied();
        let named: Vec<Id> = match subject {
            Subject::Own(id) | Subject::Service(id) => vec![*id],
            Subject::Pooled(unit) => below(unit).collect(),
            Subject::Agency(agency) => units_where(&|at| at.agency == Some(*agency)),
            Subject::Region(region) => units_where(&|at| at.subject == *region),
            Subject::Held(stretches) => {
                let heads: BTreeSet<Id> = stretches.iter().map(|s| s.head).collect();
                heads.iter().flat_map(below).collect()
            }
        };
        named.iter().filter_map(|id| self.naming.get(id)).flatten().copied().collect()
    }

    /// Who answers, or would answer, for ratings of a side.
    fn answering<'a>(
        &self,
        place: &'a Place,
        placing: &Placing<'_>,
        electronic: bool,
    ) -> Answering<'a> {
        let location = self.offices.location(place.unit).copied();
        let heads = match placing {
            Placing::Known(seat) => seat.heads(electronic).copied().collect(),
            Placing::Pending(_) => {
                let through = place.mfc.filter(|_| !electronic);
                let units = [Some(place.unit), through].into_iter().flatten();
                let standings = units.filter_map(|unit| self.offices.standing(unit));
                let heads = standings.flat_map(|standing| standing.heads.iter().copied());
                heads.filter(|head| !(electronic && head.mfc)).collect()
            }
        };
        Answering { place, electronic, location, heads }
    }

    /// Adds the ratings of some days at a place where they count.
    fn count(
        &self,
        at: &AtPlace,
        of: &Answering<'_>,
        days: &[(Day, Day)],
        explain: bool,
        answer: &mut Answer,
    ) {
        let mut total = Detail::default();
        let mut of_month: Option<(Month, Value)> = None;
        let posts: Vec<&[Span]> = of.heads.iter().map(|head| self.posts.at(head.unit)).collect();
        for (day, detail) in cells(at, of.electronic, days) {
            total.plus_equals(&detail);
            let (month, value) = (day.month(), detail.value());
            match &mut of_month {
                Some((same, sum)) if *same == month => plus(sum, value),
                _ => {
                    if let Some((month, sum)) = of_month.replace((month, value)) {
                        give(&mut answer.months, month, sum);
                    }
                }
            }
            if explain && holder(self.posts.at(of.place.unit), day).is_none() {
                give(&mut answer.vacant, of.place.unit, value);
                if posts.iter().all(|spans| holder(spans, day).is_none()) {
                    plus(&mut answer.nobodys, value);
                }
            }
        }
        if let Some((month, sum)) = of_month {
            give(&mut answer.months, month, sum);
        }
        let value = total.value();
        answer.ratings[usize::from(of.electronic)].plus_equals(&total);
        give(&mut answer.units, of.place.unit, value);
        give(&mut answer.mfcs, of.place.mfc, value);
        give(&mut answer.services, of.place.service, value);
        if !of.electronic {
            for (_, replaced) in at.rated.replaced.iter().filter(|(day, _)| covers(days, **day)) {
                answer.replaced.plus_equals(replaced);
            }
        }
    }

    /// Adds what the same post's ratings of `dates` belong to, if not to these stretches.
    fn others(
        &self,
        at: &AtPlace,
        of: &Answering<'_>,
        stretches: &[Stretch],
        (from, until): (Day, Day),
        others: &mut Sums<Option<Id>>,
    ) {
        let Some(head) = stretches.first().map(|stretch| stretch.head) else { return };
        if !of.heads.iter().any(|h| h.unit == head) {
            return;
        }
        for (day, detail) in cells(at, of.electronic, &[(from, until)]) {
            if !stretches.iter().any(|stretch| stretch.from <= day && day < stretch.until) {
                give(others, holder(self.posts.at(head), day), detail.value());
            }
        }
    }

    /// p. 14: the values that the running mean of an agency is of.
    fn serving(&self, agency: Id, sums: &mut Sums<(Id, Id, i32)>) {
        let Some(today) = self.today else { return };
        let standings = self.offices.standings();
        let of_agency = standings.filter(|(_, standing)| {
            standing.location.agency == Some(agency) && standing.location.kind != UnitKind::Mfc
        });
        for (unit, _) in of_agency {
            let spans = self.posts.at(unit).iter().filter(|span| span.role == Role::Own);
            let serves = spans.clone().find(|span| span.covers(today));
            let Some(&Span { tenure, start, .. }) = serves else { continue };
            let period = period_of(start, today);
            let (from, until) = months_of(start, period);
            let stretches = spans.filter(|span| span.tenure == tenure);
            let stretches = stretches.map(|s| Stretch { head: unit, from: s.from, until: s.until });
            let subject = Subject::Held(stretches.collect());
            let mut sum = Value::default();
            for number in self.candidates(&subject) {
                let at = &self.places[number];
                let placing = self.offices.placing(&at.place);
                for electronic in [false, true] {
                    if placing.counted(electronic).is_some() {
                        let of = self.answering(&at.place, &placing, electronic);
                        let days = subject.days(&of, from, until);
                        let cells = cells(at, electronic, &days);
                        cells.for_each(|(_, detail)| plus(&mut sum, detail.value()));
                    }
                }
            }
            give(sums, (unit, tenure, period), sum);
        }
    }
}

/// The twelve months of a period, before they are cut: [from, until). D8.
fn months_of(start: Day, period: i32) -> (Day, Day) {
    (start.plus_months(12 * period), start.plus_months(12 * (period + 1)))
}

/// Adds what is at a place in some days and does not count.
fn set_aside(
    at: &AtPlace,
    placing: &Placing<'_>,
    electronic: bool,
    days: &[(Day, Day)],
    answer: &mut Answer,
) {
    let why = match placing {
        Placing::Pending(reason) => Some(Reason::Pending(*reason)),
        Placing::Known(seat) if !seat.counts(electronic) => Some(Reason::NotListed),
        Placing::Known(_) => None,
    };
    if let Some(why) = why {
        for (_, detail) in cells(at, electronic, days) {
            for (channel, value) in detail.tally(electronic).shares.channels() {
                *answer.beside.entry((why, channel)).or_default() += value.n;
            }
        }
    }
    for ((day, code, channel), messages) in &at.lost {
        if (*channel == Channel::Epgu) == electronic && covers(days, *day) {
            let what = (Reason::Lost(*code), *channel);
            *answer.beside.entry(what).or_default() += *messages as i64;
        }
    }
}

/// The cells of one side on some days, each once.
fn cells(
    at: &AtPlace,
    electronic: bool,
    days: &[(Day, Day)],
) -> impl Iterator<Item = (Day, Detail)> {
    let from = days.iter().map(|(from, _)| *from).min().unwrap_or(Day::NEVER);
    let until = days.iter().map(|(_, until)| *until).max().unwrap_or(Day::BEFORE_ALL);
    let within = at.rated.cells.range(from, until);
    let wanted = within.filter(move |(day, side, _)| *side == electronic && covers(days, *day));
    wanted.map(|(day, _, detail)| (day, detail))
}

fn covers(days: &[(Day, Day)], day: Day) -> bool {
    days.iter().any(|(from, until)| *from <= day && day < *until)
}

/// Who holds a post on a day (D7).
fn holder(spans: &[Span], day: Day) -> Option<Id> {
    spans.iter().find(|s| s.role == Role::Own && s.covers(day)).map(|span| span.tenure)
}
