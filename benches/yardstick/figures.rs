//! The sums of what is judged, and the rows made of them (order-120 §§ 4, 5).

use std::collections::HashMap;

use dataflows::calendar::Day;
use dataflows::domain::{Channel, Input, Message, Place, Record, Score};
use dataflows::id::Id;
use dataflows::tally::{Shares, Spread, Value};
use dataflows::views::{AgencyRow, ManagerPeriod, Row, Status};
use dataflows::world::World;
use otklik::rules::Rules;

use crate::judge::{Aspect, Rated, judge};
use crate::offices::{Offices, Seat};

/// All that was read, judged when the reading is over: only then a record is known whole.
pub struct Yardstick {
    rules: Rules,
    world: &'static World,
    offices: Offices,
    messages: Vec<Message>,
    /// `(record, place in messages)`.
    records: Vec<(Record, u32)>,
}

/// A tally by aspect and by channel, `(positive, all)`.
#[derive(Clone, Default)]
struct Tally {
    aspects: [[i32; 2]; 9],
    channels: [[i32; 2]; 4],
}

/// A tenure's periods, by number.
#[derive(Default)]
struct Periods {
    /// First day of each period met so far, and one more.
    starts: Vec<Day>,
    tallies: Vec<Tally>,
}

#[derive(Default)]
struct Sums {
    own: Vec<Spread>,
    /// Of each head, `(day, positive, all)` of its days with ratings, in no order.
    days: Vec<Vec<(Day, i64, i64)>>,
    periods: Vec<Periods>,
    agencies: HashMap<Id, Spread>,
    territories: HashMap<(Id, Option<Id>), Spread>,
}

impl Yardstick {
    /// Nothing read yet.
    pub fn new(rules: Rules) -> Yardstick {
        let (offices, messages, records) = (Offices::default(), Vec::new(), Vec::new());
        Yardstick { rules, world: otklik::world::world(), offices, messages, records }
    }

    /// Takes in one event.
    pub fn take(&mut self, input: Input) {
        match input {
            Input::Reference(key, row) => self.offices.set(key, row),
            Input::Message(record, message) => {
                let number = u32::try_from(self.messages.len()).expect("fewer than 2^32 messages");
                self.records.push((record, number));
                self.messages.push(message);
            }
            Input::Clock(_) => {}
        }
    }

    /// The rows of the four views.
    pub fn rows(mut self, as_of: Day) -> Vec<Row> {
        self.offices.settle(self.world);
        self.records.sort_unstable();
        let mut sums = Sums::of(&self.offices);
        let mut seats: HashMap<Place, Option<Seat>> = HashMap::new();
        let (mut group, mut rated) = (Vec::new(), Vec::new());
        for of_record in self.records.chunk_by(|(a, _), (b, _)| a == b) {
            group.clear();
            group.extend(of_record.iter().map(|(_, number)| &self.messages[*number as usize]));
            let fact = judge(&group, &self.rules, &mut rated);
            sums.fact(&self.offices, fact);
            let mut counted_in = Vec::new();
            for rated in rated.drain(..) {
                let seat =
                    seats.entry(rated.place).or_insert_with_key(|place| self.offices.seat(place));
                if let Some(seat) =
                    seat.as_ref().filter(|s| s.counts[usize::from(rated.electronic)])
                {
                    sums.add(&self.offices, seat, &rated, &mut counted_in);
                }
            }
        }
        let mut rows = sums.manager_periods(&self.offices, as_of);
        sums.others(&self.offices, &mut rows);
        rows
    }
}

/// The territories of a unit: its subject as a whole, and the part of it that is its agency's.
fn territories(offices: &Offices, unit: usize) -> impl Iterator<Item = (Id, Option<Id>)> {
    let office = &offices.units[unit];
    let part = office.agency.map(|agency| (office.subject, Some(agency)));
    [(office.subject, None)].into_iter().chain(part)
}

impl Sums {
    fn of(offices: &Offices) -> Sums {
        let mut sums = Sums::default();
        sums.own.resize(offices.units.len(), Spread::default());
        sums.days.resize_with(offices.units.len(), Vec::new);
        sums.periods.resize_with(offices.tenures.len(), Periods::default);
        sums
    }

    fn fact(&mut self, offices: &Offices, unit: Option<Id>) {
        let Some(unit) = offices.number(unit) else { return };
        for territory in territories(offices, unit) {
            self.territories.entry(territory).or_default().facts[0] += 1;
        }
    }

    /// Adds ratings that count to all they belong to; `counted_in` are the territories that have
    /// their record already.
    fn add(
        &mut self,
        offices: &Offices,
        seat: &Seat,
        rated: &Rated,
        counted_in: &mut Vec<(Id, Option<Id>)>,
    ) {
        let mut spread = Spread::default();
        for (.., score) in &rated.ratings {
            spread.scores[usize::from(score.get()) - 1] += 1;
        }
        let add = |sum: &mut Spread| {
            sum.scores.iter_mut().zip(spread.scores).for_each(|(sum, part)| *sum += part);
        };
        add(&mut self.own[seat.unit]);
        if let Some(agency) = offices.units[seat.unit].agency {
            add(self.agencies.entry(agency).or_default());
        }
        if !rated.electronic {
            for territory in territories(offices, seat.unit) {
                let sum = self.territories.entry(territory).or_default();
                add(sum);
                if !counted_in.contains(&territory) {
                    sum.records[0] += 1;
                    counted_in.push(territory);
                }
            }
        }
        let Value { k, n } = spread.value();
        for &head in &seat.heads[usize::from(rated.electronic)] {
            match self.days[head].last_mut() {
                Some((day, ks, ns)) if *day == rated.day => (*ks, *ns) = (*ks + k, *ns + n),
                _ => self.days[head].push((rated.day, k, n)),
            }
            let stretches = &offices.units[head].stretches;
            let next = stretches.partition_point(|stretch| stretch.from <= rated.day);
            let Some(held) = next.checked_sub(1).map(|held| &stretches[held]) else { continue };
            if rated.day < held.until {
                let start = offices.tenures[held.tenure].from;
                self.periods[held.tenure].at(start, rated.day).add(&rated.ratings);
            }
        }
    }

    /// p. 12, 13, 17; § 5.
    fn manager_periods(&mut self, offices: &Offices, today: Day) -> Vec<Row> {
        for days in &mut self.days {
            days.sort_unstable_by_key(|(day, ..)| *day);
        }
        let mut rows = Vec::new();
        for (number, tenure) in offices.tenures.iter().enumerate() {
            let Some(unit) = offices.number(Some(tenure.unit)) else { continue };
            let (office, periods) = (&offices.units[unit], &self.periods[number]);
            for period in 0.. {
                let start = |period: i32| tenure.from.plus_months(12 * period);
                let (from, end) = (start(period), start(period + 1));
                let place = usize::try_from(period).expect("counted from zero");
                if from >= tenure.until || (place >= periods.tallies.len() && end > today) {
                    break;
                }
                let tally = periods.tallies.get(place).cloned().unwrap_or_default();
                let own = Shares::new(tally.aspects, tally.channels);
                let value = own.value();
                let cut = tenure.until < end;
                let complete = !cut && end <= today;
                if value.n == 0 && !complete {
                    continue;
                }
                let previous = self.between(unit, start(period - 1), from);
                let target = offices.targets.get(&(tenure.unit, from)).copied();
                let status = match (complete, cut && tenure.until <= today) {
                    (true, _) => judged(value, previous, target),
                    (false, true) => Status::CutShort,
                    (false, false) => Status::InProgress,
                };
                rows.push(Row::ManagerPeriod(Box::new(ManagerPeriod {
                    tenure: tenure.id,
                    period: period.unsigned_abs(),
                    manager: tenure.manager,
                    unit: tenure.unit,
                    agency: office.agency,
                    region: office.subject,
                    from,
                    until: end.min(tenure.until),
                    complete,
                    own,
                    previous,
                    target,
                    status,
                })));
            }
        }
        rows.extend(self.agencies(offices, today, &rows));
        rows
    }

    /// The value of a head's unit over some days; `None` without ratings.
    fn between(&self, head: usize, from: Day, until: Day) -> Option<Value> {
        let days = &self.days[head];
        let first = days.partition_point(|(day, ..)| *day < from);
        let within = days[first..].iter().take_while(|(day, ..)| *day < until);
        let value =
            within.fold(Value::default(), |sum, (_, k, n)| Value { k: sum.k + k, n: sum.n + n });
        (value.n > 0).then_some(value)
    }

    /// p. 14: the pooled value, and the running mean over the serving heads.
    fn agencies(&self, offices: &Offices, today: Day, periods: &[Row]) -> Vec<Row> {
        let serving = |row: &ManagerPeriod| {
            let office = offices.number(Some(row.unit)).map(|unit| &offices.units[unit]);
            let held = office.and_then(|office| {
                office.stretches.iter().find(|held| held.from <= today && today < held.until)
            });
            let is_holder = held.is_some_and(|held| offices.tenures[held.tenure].id == row.tenure);
            is_holder && row.from <= today && today < row.until
        };
        let mut running: HashMap<Id, (i64, i64)> = HashMap::new();
        for row in periods {
            if let Row::ManagerPeriod(row) = row
                && let (Some(agency), Some(r)) = (row.agency, row.own.value().millionths())
                && serving(row)
            {
                let (sum, managers) = running.entry(agency).or_default();
                (*sum, *managers) = (*sum + r, *managers + 1);
            }
        }
        let row = |(&agency, spread): (&Id, &Spread)| {
            let (sum, managers) = running.get(&agency).copied().unwrap_or_default();
            let mean = (managers > 0).then(|| (2 * sum + managers) / (2 * managers));
            Row::Agency(Box::new(AgencyRow { agency, value: spread.value(), mean, managers }))
        };
        self.agencies.iter().map(row).collect()
    }

    fn others(&self, offices: &Offices, rows: &mut Vec<Row>) {
        for (&(region, agency), &spread) in &self.territories {
            if spread.value().n > 0 {
                rows.push(Row::Territory { region, agency, spread: Box::new(spread) });
            }
        }
        for ((office, &own), days) in offices.units.iter().zip(&self.own).zip(&self.days) {
            let pooled = days
                .iter()
                .fold(Value::default(), |sum, (_, k, n)| Value { k: sum.k + k, n: sum.n + n });
            let is_office = office.unit.kind != dataflows::domain::UnitKind::Mfc;
            if own.value().n > 0 || (pooled.n > 0 && is_office) {
                rows.push(Row::Unit { unit: office.unit.id, own: Box::new(own), pooled });
            }
        }
    }
}

impl Periods {
    /// The tally of the period, counted from `start`, that `day` lies in.
    fn at(&mut self, start: Day, day: Day) -> &mut Tally {
        while self.starts.last().is_none_or(|last| *last <= day) {
            let next = i32::try_from(self.starts.len()).expect("a few periods");
            self.starts.push(start.plus_months(12 * next));
        }
        let place = self.starts.partition_point(|start| *start <= day) - 1;
        if self.tallies.len() <= place {
            self.tallies.resize(place + 1, Tally::default());
        }
        &mut self.tallies[place]
    }
}

impl Tally {
    fn add(&mut self, ratings: &[(Channel, Aspect, Score)]) {
        for &(channel, aspect, score) in ratings {
            let positive = i32::from(score.is_positive());
            for [k, n] in [&mut self.aspects[aspect], &mut self.channels[channel as usize]] {
                *k += positive;
                *n += 1;
            }
        }
    }
}

/// § 5, of a complete period.
fn judged(value: Value, previous: Option<Value>, target: Option<i64>) -> Status {
    let met = |met: bool| if met { Status::Met } else { Status::NotMet };
    let Value { k, n } = value;
    if n == 0 {
        return Status::NoValue;
    }
    match (target, previous) {
        (Some(target), _) => met(i128::from(k) * 100_000_000 >= i128::from(target) * i128::from(n)),
        (None, None) if 4 * k < 3 * n => Status::BelowFirst,
        (None, None) => Status::Met,
        (None, Some(before)) => {
            let rise = i128::from(k) * i128::from(before.n) - i128::from(before.k) * i128::from(n);
            met(10 * k >= 9 * n || 20 * rise > i128::from(n) * i128::from(before.n))
        }
    }
}
