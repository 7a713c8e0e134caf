//! What the messages of a record come to (order-120 § 2).
//!
//! Everything about one record is a function of the *set* of its messages, so nothing depends on
//! the order in which fact, SMS and survey arrive (D2). [`outcomes`] is that function; the operator
//! [`records`] keeps each record's messages and, when some arrive, puts out the difference between
//! what they came to and what they come to now.

use std::cmp::Ordering;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Broadcast;

use crate::calendar::{Day, Hour, Moment};
use crate::domain::{
    Body, Channel, Criterion, Epoch, Form, Message, Outcome as CallOutcome, Place, Record, Score,
    Scores,
};
use crate::epochs::{Keeper, Output, Rows, exchange, gather, in_parts, make_room};
use crate::graph::Base;
use crate::id::Id;
use crate::ledger::{self, Horizon, Ledger};
use crate::tally::{Aspect, Detail, Replaced};
use crate::views::{DeadlineKind, RefusalCode};
use crate::world::{Attribution, Integral, Switches};

/// One thing that a record's messages come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// A rating message was logged.
    Accepted,
    /// It is the copy of another.
    Duplicate,
    /// It was withdrawn (D5).
    Retracted(Channel),
    /// It lost against another or says nothing: judged without knowing the place.
    Refused(RefusalCode, Channel),
    /// A review of the site: stored, shown apart, never in R (9.5).
    Apart,
    /// It rates a record of which no fact is known.
    NoRecord(Channel),
    /// Ratings at a place: counted, pending or not listed, as the place turns out.
    Rated(Place, Day, Ratings),
    /// The record's SMS or survey was given for the first place, its kiosk rating for the second:
    /// where both count in one region it is still one record.
    Twice(Place, Place),
    /// The standing fact names this unit.
    Fact(Id),
    /// A clock of 7.4 or 9.5 runs (or ran) from a moment; done at the second, µs.
    Due(DeadlineKind, Record, Option<Id>, Moment, Option<i64>),
    /// A negative SMS reply of a day: a candidate for the phone centre's sample (7.8).
    Negative(Place, Day, Record),
    /// Calls were made to the record.
    Called(Record, Calls),
    /// A fact, call, answer or withdrawal came after its record was closed. (A rating that did is
    /// refused.)
    Late,
    /// A message that was refused, at the place and date for which it would have counted: it is
    /// judged without them, and shown beside what did count there.
    Lost(Place, Day, RefusalCode, Channel),
}

impl Outcome {
    /// Whether it stays when its record retires. Clocks do not: nobody will be late any more.
    pub fn outlives_record(&self) -> bool {
        self.part() != Part::Due
    }

    /// Who reads it.
    pub fn part(&self) -> Part {
        match self {
            Outcome::Rated(..)
            | Outcome::Fact(_)
            | Outcome::Twice(..)
            | Outcome::Lost(..)
            | Outcome::Negative(..) => Part::AtPlace,
            Outcome::Due(..) => Part::Due,
            Outcome::Accepted
            | Outcome::Duplicate
            | Outcome::Retracted(_)
            | Outcome::Refused(..)
            | Outcome::Apart
            | Outcome::NoRecord(_)
            | Outcome::Called(..)
            | Outcome::Late => Part::Plain,
        }
    }
}

/// The outcomes that have the same readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// At a place or unit.
    AtPlace,
    /// The clocks of offers and reviews.
    Due,
    /// What is judged without a place, and calls.
    Plain,
}

/// The ratings of one place and date that come from one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ratings {
    /// Of an SMS reply, a survey, or both (7.6, 7.10).
    Reply {
        /// The digit of the reply that counts.
        digit: Option<Score>,
        /// What the survey replaces it with, criterion by criterion.
        survey: Scores,
        /// Whether the digit counts once more as the integral rating.
        integral: bool,
    },
    /// Of a terminal (8.1).
    Kiosk(Scores),
    /// Of the ЕПГУ form (9.3).
    Epgu(Scores),
}

impl Ratings {
    /// The ratings, added up: of a reply one per criterion, the survey's where it answered (7.6,
    /// 7.10), and the integral; of a form one per score given.
    pub fn detail(&self) -> Detail {
        let mut detail = Detail::default();
        match *self {
            Ratings::Reply { digit, survey, integral } => {
                for criterion in Criterion::COMMON {
                    let aspect = Aspect::Criterion(criterion);
                    match (survey.get(criterion), digit) {
                        (Some(score), _) => detail.rate(Channel::Survey, aspect, score),
                        (None, Some(digit)) => detail.rate(Channel::Sms, aspect, digit),
                        (None, None) => {}
                    }
                }
                if let (Some(digit), true) = (digit, integral) {
                    detail.rate(Channel::Sms, Aspect::Integral, digit);
                }
            }
            Ratings::Kiosk(scores) => rate_all(&mut detail, Channel::Kiosk, scores),
            Ratings::Epgu(scores) => rate_all(&mut detail, Channel::Epgu, scores),
        }
        detail
    }

    /// What the survey replaced of the SMS (7.10); `None` where it replaced nothing.
    pub fn replaced(&self) -> Option<Replaced> {
        let Ratings::Reply { digit: Some(digit), survey, .. } = *self else { return None };
        let positive = |score: Score| i32::from(score.is_positive());
        let mut replaced = Replaced { records: [1], ..Replaced::default() };
        for (_, score) in survey.iter() {
            replaced.values[0] += 1;
            replaced.before[0] += positive(digit);
            replaced.after[0] += positive(score);
        }
        (!survey.is_empty()).then_some(replaced)
    }

    /// Whether they came by ЕПГУ, which p. 12 and p. 16 leave out.
    pub fn electronic(&self) -> bool {
        matches!(self, Ratings::Epgu(_))
    }

    /// The messages they are of.
    pub fn channels(&self) -> impl Iterator<Item = Channel> {
        let (first, second) = match *self {
            Ratings::Reply { digit, survey, .. } => {
                (digit.map(|_| Channel::Sms), (!survey.is_empty()).then_some(Channel::Survey))
            }
            Ratings::Kiosk(_) => (Some(Channel::Kiosk), None),
            Ratings::Epgu(_) => (Some(Channel::Epgu), None),
        };
        first.into_iter().chain(second)
    }
}

fn rate_all(detail: &mut Detail, channel: Channel, scores: Scores) {
    for (criterion, score) in scores.iter() {
        detail.rate(channel, Aspect::Criterion(criterion), score);
    }
}

/// The calls to a record, as far as the clocks and the draw ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Calls {
    /// The first call, and whether it settled the matter (completed or refused).
    pub first: (Moment, bool),
    /// When the second was made.
    pub second: Option<i64>,
    /// Two calls without an answer and no survey: the next in order replaces it.
    pub exhausted: bool,
}

/// What the operator hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Heard {
    Message(Record, Message),
    Hour(Hour),
    /// A time of receipt, microseconds.
    Received(i64),
}

/// What each record's messages come to.
///
/// - in: messages by record, inserted only; hours told; the latest times of receipt, where there
///   is a horizon
/// - out: [`Outcome`]s with how many of each, by [`Part`]
/// - state: the [`Ledger`]; a message costs those of its record, an hour at which a day more is beyond
///   the horizon what it retires
/// - rule: Order 120 p. 7.5–7.10, 8.1–8.3, 9.3–9.5; D1–D6
pub fn records<'s>(
    messages: Rows<'s, (Record, Message)>,
    hours: Rows<'s, Hour>,
    latest: Rows<'s, i64>,
    switches: &Switches,
    base: &Base,
) -> [Rows<'s, Outcome>; 3] {
    let switches = switches.clone();
    let messages = exchange(messages, |(record, _)| ledger::route(*record));
    let mut heard = messages.map(|(record, message)| Heard::Message(record, message));
    if switches.horizon_days > 0 {
        let times = hours.map(Heard::Hour).concat(latest.map(Heard::Received));
        heard = heard.concat(times.inner.broadcast().as_collection());
    }
    let mut horizon = Horizon::new(switches.horizon_days);
    if let Some(cut) = base.cut {
        horizon.cut_before(cut);
    }
    let judge = Judge {
        switches,
        ledger: Ledger::new(base.open, Arc::clone(&base.closed)),
        horizon,
        struck: false,
        restored: base.epoch,
        at_hand: None,
        changed: false,
        accepted: 0,
        duplicates: 0,
        facts: Vec::new(),
        held: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
    };
    in_parts(heard, "Records", judge, |outcome| outcome.part() as usize)
}

/// Puts out how what records come to changes.
struct Judge {
    switches: Switches,
    ledger: Ledger,
    horizon: Horizon,
    /// Whether an hour was told in this epoch.
    struck: bool,
    /// The epoch in which the past was put in: no hour strikes in it.
    restored: Option<Epoch>,
    /// The record at hand, if its messages are `held`, and what they came to `before`.
    at_hand: Option<Record>,
    /// Whether it has new ones.
    changed: bool,
    /// Of this epoch, over all records.
    accepted: isize,
    duplicates: isize,
    /// Of this epoch, how many more facts there are at units: a list, which costs less than a look
    /// into a table for each.
    facts: Vec<(Id, isize)>,
    /// Without a record at hand of no meaning; kept for their room.
    held: Vec<Message>,
    before: Vec<Outcome>,
    after: Vec<Outcome>,
}

impl Keeper<Heard, isize, Outcome, isize> for Judge {
    fn foresee(&self, updates: &[(Heard, Epoch, isize)]) {
        self.ledger.foresee(updates.iter().filter_map(|(heard, ..)| match heard {
            Heard::Message(record, _) => Some(*record),
            Heard::Received(_) | Heard::Hour(_) => None,
        }));
    }

    fn take(
        &mut self,
        epoch: Epoch,
        heard: &mut Heard,
        diff: &isize,
        output: &mut Output<Outcome, isize>,
    ) {
        match heard {
            Heard::Message(record, message) => self.judge(*record, message, epoch, output),
            Heard::Received(received) => self.horizon.see(*received),
            Heard::Hour(hour) if *diff > 0 => {
                self.horizon.strike(*hour);
                self.struck = true;
            }
            Heard::Hour(_) => {}
        }
    }

    /// Puts out what is counted over all records; and if the hour struck, records retire.
    fn close(&mut self, epoch: Epoch, output: &mut Output<Outcome, isize>) {
        self.leave(epoch, output);
        let counts = [
            (Outcome::Accepted, std::mem::take(&mut self.accepted)),
            (Outcome::Duplicate, std::mem::take(&mut self.duplicates)),
        ];
        consolidate(&mut self.facts);
        let facts = self.facts.iter().map(|(unit, count)| (Outcome::Fact(*unit), *count));
        let some = counts.into_iter().filter(|(_, count)| *count != 0).chain(facts);
        output.extend(some.map(|(outcome, count)| (outcome, epoch, count)));
        make_room(&mut self.facts);
        if !std::mem::take(&mut self.struck) || self.restored == Some(epoch) {
            return;
        }
        let Some(cut) = self.horizon.cut() else { return };
        let Judge { ledger, switches, before, .. } = self;
        ledger.retire(cut, |record, messages| {
            // It is closed: what does not outlive it is taken back.
            before.clear();
            outcomes(record, messages, switches, before);
            let ended = before.drain(..).filter(|outcome| !outcome.outlives_record());
            output.extend(ended.map(|outcome| (outcome, epoch, -1)));
        });
    }
}

impl Judge {
    /// Takes a message. Its record is judged when another one's comes: several often come together.
    fn judge(
        &mut self,
        record: Record,
        message: &Message,
        epoch: Epoch,
        output: &mut Output<Outcome, isize>,
    ) {
        if self.at_hand != Some(record) {
            self.leave(epoch, output);
            if !self.ledger.messages(record, &mut self.held) {
                let outcome = closed(message);
                self.accepted += isize::from(outcome != Outcome::Late);
                output.push((outcome, epoch, 1));
                return;
            }
            self.before.clear();
            outcomes(record, &self.held, &self.switches, &mut self.before);
            self.at_hand = Some(record);
        }
        let rating = isize::from(is_rating(message));
        self.accepted += rating;
        let is_new = ledger::add(&mut self.held, message);
        self.changed |= is_new;
        self.duplicates += if is_new { 0 } else { rating };
    }

    /// Puts out how the record at hand has changed.
    fn leave(&mut self, epoch: Epoch, output: &mut Output<Outcome, isize>) {
        let Some(record) = self.at_hand.take() else { return };
        if std::mem::take(&mut self.changed) {
            self.after.clear();
            outcomes(record, &self.held, &self.switches, &mut self.after);
            let Judge { before, after, facts, .. } = self;
            difference(before, after, |outcome, diff| match outcome {
                Outcome::Fact(unit) => gather(facts, (*unit, diff)),
                _ => output.push((*outcome, epoch, diff)),
            });
            // Last: what is just written would have to wait, to be read, for these far writes.
            self.ledger.keep(record, &self.held);
        }
    }
}

/// What a message comes to that came after its record was closed.
pub fn closed(message: &Message) -> Outcome {
    match channel(message) {
        Some(channel) if is_rating(message) => Outcome::Refused(RefusalCode::Closed, channel),
        _ => Outcome::Late,
    }
}

/// Says what is in `after` but not in `before` (+1), and the other way round (-1).
fn difference(before: &[Outcome], after: &mut Vec<Outcome>, mut say: impl FnMut(&Outcome, isize)) {
    for old in before {
        match after.iter().position(|new| new == old) {
            Some(same) => drop(after.swap_remove(same)),
            None => say(old, -1),
        }
    }
    after.iter().for_each(|new| say(new, 1));
}

/// Whether conservation counts the message: ratings, not facts, calls, answers or withdrawals.
pub fn is_rating(message: &Message) -> bool {
    channel(message).is_some_and(|_| !matches!(message.body, Body::Call(_)))
}

/// The channel a message speaks in; facts, answers and withdrawals speak in none.
fn channel(message: &Message) -> Option<Channel> {
    match message.body {
        Body::Sms { .. } => Some(Channel::Sms),
        Body::Survey { .. } | Body::Call(_) => Some(Channel::Survey),
        Body::Form { kind, .. } => Some(kind.channel()),
        Body::Fact { .. } | Body::Answer | Body::Retract(_) => None,
    }
}

/// The standing messages of a record.
#[derive(Default)]
struct Standing<'a> {
    fact: Option<&'a Message>,
    sms: Option<&'a Message>,
    survey: Option<&'a Message>,
    kiosk: Option<&'a Message>,
    epgu: Option<&'a Message>,
    site: Option<&'a Message>,
}

/// All that `messages` (distinct, of one record) come to, appended to `out`.
pub fn outcomes(record: Record, messages: &[Message], switches: &Switches, out: &mut Vec<Outcome>) {
    if messages.is_empty() {
        return;
    }
    let mut standing = Standing { fact: standing_fact(messages), ..Standing::default() };
    let mut retracted_until = [i64::MIN; 5];
    for message in messages {
        if let Body::Retract(channel) = message.body {
            let until = &mut retracted_until[channel as usize];
            *until = (*until).max(message.received.micros());
        }
    }
    let stands = |message: &Message, channel: Channel| {
        message.received.micros() > retracted_until[channel as usize]
    };
    for message in messages {
        let Some(channel) = channel(message) else { continue };
        if !stands(message, channel) {
            if is_rating(message) {
                out.push(Outcome::Retracted(channel));
            }
            continue;
        }
        let Some((code, loser)) = standing.take(message) else { continue };
        out.push(Outcome::Refused(code, channel));
        if let Some((place, provided)) = standing.place(loser) {
            let day = date(switches, loser.received, provided);
            out.push(Outcome::Lost(place, day, code, channel));
        }
    }
    let group = standing.reply_group(record, switches, out);
    standing.forms(switches, group, out);
    standing.clocks(record, messages, stands, out);
}

/// Of several facts of a record the earliest by time of receipt stands (then by content, so that
/// the order of arrival does not matter).
fn standing_fact(messages: &[Message]) -> Option<&Message> {
    let facts = messages.iter().filter(|message| matches!(message.body, Body::Fact { .. }));
    facts.min_by(|a, b| {
        let by_text = |message: &Message| match message.body {
            Body::Fact { place, provided, phone } => {
                let mfc = place.mfc.map(Id::text);
                Some((place.unit.text(), place.service.text(), mfc, provided, phone))
            }
            _ => None,
        };
        earlier(a.received, b.received).then_with(|| by_text(a).cmp(&by_text(b)))
    })
}

/// By moment; written in another offset, the lesser offset first.
fn earlier(a: Moment, b: Moment) -> Ordering {
    (a.micros(), a.offset_minutes()).cmp(&(b.micros(), b.offset_minutes()))
}

/// The digit of an SMS.
fn digit(message: &Message) -> Option<Score> {
    match message.body {
        Body::Sms { digit, .. } => digit,
        _ => None,
    }
}

/// The scores of a survey.
fn scores(message: &Message) -> Scores {
    match message.body {
        Body::Survey { scores } => scores,
        _ => Scores::NONE,
    }
}

/// Puts a message in the place of the one that is there, if it comes before that one. Yields the other.
fn contest<'a>(
    holder: &mut Option<&'a Message>,
    challenger: &'a Message,
    order: impl Fn(&Message, &Message) -> Ordering,
) -> Option<&'a Message> {
    let wins = holder.is_none_or(|held| order(challenger, held) == Ordering::Less);
    if wins { holder.replace(challenger) } else { Some(challenger) }
}

impl<'a> Standing<'a> {
    /// Takes one that was not withdrawn. Says why one says nothing or lost, and which.
    fn take(&mut self, message: &'a Message) -> Option<(RefusalCode, &'a Message)> {
        match message.body {
            Body::Sms { digit: None, .. } => Some((RefusalCode::BadText, message)),
            // D1: the earliest valid reply counts (equal times: the lower digit).
            Body::Sms { digit: Some(_), .. } => {
                let rank =
                    |m: &Message| (m.received.micros(), digit(m), m.received.offset_minutes());
                let loser = contest(&mut self.sms, message, |a, b| rank(a).cmp(&rank(b)));
                loser.map(|loser| (RefusalCode::LateReply, loser))
            }
            // D3: the latest completed survey wins (equal times: the lower sum).
            Body::Survey { .. } => {
                let rank = |m: &Message| {
                    let (at, scores) = (m.received, scores(m));
                    (-at.micros(), scores.sum(), at.offset_minutes(), scores)
                };
                let loser = contest(&mut self.survey, message, |a, b| rank(a).cmp(&rank(b)));
                loser.map(|loser| (RefusalCode::Superseded, loser))
            }
            // D5: the earliest message of a channel stands (equal times: the lower sum); another one
            // for the record is a conflict.
            Body::Form { kind, .. } => {
                let holder = match kind {
                    Form::Kiosk => &mut self.kiosk,
                    Form::Epgu => &mut self.epgu,
                    Form::Site => &mut self.site,
                };
                let loser = contest(holder, message, form_order);
                loser.map(|loser| (RefusalCode::Conflict, loser))
            }
            Body::Fact { .. } | Body::Call(_) | Body::Answer | Body::Retract(_) => None,
        }
    }

    /// The place and date of the standing fact.
    fn fact(&self) -> Option<(&'a Place, Day)> {
        match &self.fact?.body {
            Body::Fact { place, provided, .. } => Some((place, *provided)),
            _ => None,
        }
    }

    /// The place that a message rates and the date of the service, as far as they are known: a
    /// form's own, else the fact's.
    fn place(&self, message: &Message) -> Option<(Place, Day)> {
        match message.body {
            Body::Form { .. } => self.own_or_fact(message).map(|(place, day, _)| (place, day)),
            _ => self.fact().map(|(place, provided)| (*place, provided)),
        }
    }

    /// The ratings of SMS and survey, and the place they were given for.
    fn reply_group(
        &self,
        record: Record,
        switches: &Switches,
        out: &mut Vec<Outcome>,
    ) -> Option<Place> {
        // 7.10: the survey's date is the SMS's, where there is one.
        let received = self.sms.or(self.survey)?.received;
        let Some((&place, provided)) = self.fact() else {
            out.extend(self.sms.map(|_| Outcome::NoRecord(Channel::Sms)));
            out.extend(self.survey.map(|_| Outcome::NoRecord(Channel::Survey)));
            return None;
        };
        let digit = self.sms.and_then(digit);
        let ratings = Ratings::Reply {
            digit,
            survey: self.survey.map_or(Scores::NONE, scores),
            integral: digit.is_some() && integral_counts(switches, self.survey.is_some()),
        };
        out.push(Outcome::Rated(place, date(switches, received, provided), ratings));
        if digit.is_some_and(|digit| !digit.is_positive()) {
            out.push(Outcome::Negative(place, received.day(), record));
        }
        Some(place)
    }

    /// The ratings of kiosk and ЕПГУ, and the review of the site.
    fn forms(&self, switches: &Switches, group: Option<Place>, out: &mut Vec<Outcome>) {
        for (message, channel) in [(self.kiosk, Channel::Kiosk), (self.epgu, Channel::Epgu)] {
            let Some(message) = message else { continue };
            let Some((place, provided, scores)) = self.own_or_fact(message) else {
                out.push(Outcome::NoRecord(channel));
                continue;
            };
            let electronic = channel == Channel::Epgu;
            let ratings = if electronic { Ratings::Epgu(scores) } else { Ratings::Kiosk(scores) };
            out.push(Outcome::Rated(place, date(switches, message.received, provided), ratings));
            if let (Some(group), false) = (group, electronic) {
                out.push(Outcome::Twice(group, place));
            }
        }
        out.extend(self.site.map(|_| Outcome::Apart));
    }

    /// A form's own place, service and date; what it leaves out is the registered fact's, the МФЦ
    /// with the unit. `None` where something is missing and no fact is known.
    fn own_or_fact(&self, message: &Message) -> Option<(Place, Day, Scores)> {
        let Body::Form { scores, unit, service, mfc, provided, .. } = message.body else {
            return None;
        };
        let fact = self.fact();
        let place = Place {
            unit: unit.or(fact.map(|(place, _)| place.unit))?,
            service: service.or(fact.map(|(place, _)| place.service))?,
            mfc: mfc.or(if unit.is_none() { fact.and_then(|(p, _)| p.mfc) } else { None }),
        };
        Some((place, provided.or(fact.map(|(_, provided)| provided))?, scores))
    }

    /// The clocks that run for the record (7.4, 7.9, 9.5).
    fn clocks(
        &self,
        record: Record,
        messages: &[Message],
        stands: impl Fn(&Message, Channel) -> bool,
        out: &mut Vec<Outcome>,
    ) {
        let first = |wanted: fn(&Body) -> bool, of: Option<Channel>| {
            let held = messages
                .iter()
                .filter(|m| wanted(&m.body) && of.is_none_or(|channel| stands(m, channel)));
            held.map(|m| m.received.micros()).min()
        };
        if let Some(&Message { body: Body::Fact { ref place, phone, .. }, received }) = self.fact {
            out.push(Outcome::Fact(place.unit));
            if phone {
                // The log does not hold the offer itself; the first reply proves it was made.
                let done = first(|body| matches!(body, Body::Sms { .. }), Some(Channel::Sms));
                out.push(Outcome::Due(DeadlineKind::Sms, record, Some(place.unit), received, done));
            }
        }
        if let Some(message) = self.site {
            let unit = match message.body {
                Body::Form { unit, .. } => unit.or(self.fact().map(|(place, _)| place.unit)),
                _ => None,
            };
            let done = first(|body| matches!(body, Body::Answer), None);
            out.push(Outcome::Due(DeadlineKind::Review, record, unit, message.received, done));
        }
        let calls = calls(messages.iter().filter(|m| stands(m, Channel::Survey)));
        out.extend(calls.map(|calls| Outcome::Called(record, calls)));
    }
}

/// D4: whether the digit counts once more as the integral rating.
fn integral_counts(switches: &Switches, surveyed: bool) -> bool {
    match switches.integral {
        Integral::Surveyed => surveyed,
        Integral::All => true,
    }
}

/// D6: the date of a rating.
fn date(switches: &Switches, received: Moment, provided: Day) -> Day {
    match switches.attribution {
        Attribution::Received => received.day(),
        Attribution::Provided => provided,
    }
}

/// D5's order of forms; by content in the end, so that the order of arrival does not matter.
fn form_order(a: &Message, b: &Message) -> Ordering {
    let by_content = |message: &Message| match message.body {
        Body::Form { unit, service, mfc, provided, text, scores, .. } => Some((
            unit.map(Id::text),
            service.map(Id::text),
            mfc.map(Id::text),
            provided,
            text,
            scores,
        )),
        _ => None,
    };
    let sum = |message: &Message| match message.body {
        Body::Form { scores, .. } => scores.sum(),
        _ => 0,
    };
    (a.received.micros(), sum(a), a.received.offset_minutes())
        .cmp(&(b.received.micros(), sum(b), b.received.offset_minutes()))
        .then_with(|| by_content(a).cmp(&by_content(b)))
}

/// 7.9: the calls to a record, in the order they were made.
fn calls<'a>(messages: impl Iterator<Item = &'a Message>) -> Option<Calls> {
    let (mut unanswered, mut completed) = (0, false);
    let mut made: Vec<(i64, bool, i32, Moment)> = Vec::new();
    for message in messages {
        let settled = match message.body {
            Body::Survey { .. } => {
                completed = true;
                true
            }
            Body::Call(outcome) => {
                unanswered += u32::from(outcome == CallOutcome::NoAnswer);
                outcome == CallOutcome::Refused
            }
            _ => continue,
        };
        let at = message.received;
        made.push((at.micros(), settled, at.offset_minutes(), at));
    }
    made.sort_unstable();
    let &(_, settled, _, first) = made.first()?;
    Some(Calls {
        first: (first, settled),
        second: made.get(1).map(|call| call.0),
        exhausted: unanswered >= 2 && !completed,
    })
}
