//! What the messages of one record come to, in one walk over them.

use dataflows::calendar::{Day, Moment};
use dataflows::domain::{Body, Channel, Criterion, Form, Message, Place, Score, Scores};
use dataflows::id::Id;
use otklik::rules::{Attribution, Integral, Rules};

/// What one rating is of: a criterion by its place from 0, or the integral, 8.
pub type Aspect = usize;

/// The ratings of a record at one place and date.
pub struct Rated {
    /// Where.
    pub place: Place,
    /// Of which date (D6).
    pub day: Day,
    /// Whether by ЕПГУ.
    pub electronic: bool,
    /// Each of them; at most nine.
    pub ratings: Vec<(Channel, Aspect, Score)>,
}

/// A fact in the order in which facts stand: the earliest.
type Fact = (i64, i32, [&'static str; 2], Option<&'static str>, Day, bool, Place);
/// A form in the order in which forms stand: the earliest, then the lower sum.
type FormOrder =
    (i64, u32, i32, [Option<&'static str>; 3], Option<Day>, u32, Scores, [Option<Id>; 3]);

/// The messages that stand.
#[derive(Default)]
struct Standing {
    fact: Option<Fact>,
    sms: Option<(i64, Score, i32)>,
    survey: Option<(std::cmp::Reverse<i64>, u32, i32, Scores)>,
    kiosk: Option<FormOrder>,
    epgu: Option<FormOrder>,
}

/// Replaces what is held if `candidate` comes before it.
fn keep_first<T: Ord>(held: &mut Option<T>, candidate: T) {
    if held.as_ref().is_none_or(|held| candidate < *held) {
        *held = Some(candidate);
    }
}

/// The ratings of a record, appended to `rated`; and the unit of its standing fact.
pub fn judge(messages: &[&Message], rules: &Rules, rated: &mut Vec<Rated>) -> Option<Id> {
    let mut withdrawn = [i64::MIN; 5];
    for message in messages {
        if let Body::Retract(channel) = message.body {
            let until = &mut withdrawn[channel as usize];
            *until = (*until).max(message.received.micros());
        }
    }
    let mut standing = Standing::default();
    for message in messages {
        standing.take(message, &withdrawn);
    }
    standing.replies(rules, rated);
    standing.forms(rules, rated);
    standing.fact.map(|fact| fact.6.unit)
}

impl Standing {
    fn take(&mut self, message: &Message, withdrawn: &[i64; 5]) {
        let (at, offset) = (message.received.micros(), message.received.offset_minutes());
        let stands = |channel: Channel| at > withdrawn[channel as usize];
        match message.body {
            Body::Fact { place, provided, phone } => {
                let texts = [place.unit.text(), place.service.text()];
                let mfc = place.mfc.map(Id::text);
                keep_first(&mut self.fact, (at, offset, texts, mfc, provided, phone, place));
            }
            Body::Sms { digit: Some(digit), .. } if stands(Channel::Sms) => {
                keep_first(&mut self.sms, (at, digit, offset));
            }
            Body::Survey { scores } if stands(Channel::Survey) => {
                let latest = std::cmp::Reverse(at);
                keep_first(&mut self.survey, (latest, scores.sum(), offset, scores));
            }
            Body::Form { kind, scores, unit, service, mfc, provided, text } => {
                let held = match kind {
                    Form::Kiosk => &mut self.kiosk,
                    Form::Epgu => &mut self.epgu,
                    Form::Site => return,
                };
                if stands(kind.channel()) {
                    let ids = [unit, service, mfc];
                    let texts = ids.map(|id| id.map(Id::text));
                    let sum = scores.sum();
                    keep_first(held, (at, sum, offset, texts, provided, text, scores, ids));
                }
            }
            _ => {}
        }
    }

    /// 7.6, 7.10: SMS and survey, criterion by criterion.
    fn replies(&self, rules: &Rules, rated: &mut Vec<Rated>) {
        let Some((.., provided, _, place)) = self.fact else { return };
        let received = self.sms.map(|(at, _, offset)| (at, offset));
        let survey = self.survey.map(|(.., scores)| scores);
        let surveyed = self.survey.map(|(at, _, offset, _)| (at.0, offset));
        let Some((at, offset)) = received.or(surveyed) else { return };
        let mut ratings = Vec::with_capacity(6);
        for (aspect, criterion) in Criterion::COMMON.into_iter().enumerate() {
            match (survey.and_then(|scores| scores.get(criterion)), self.sms) {
                (Some(score), _) => ratings.push((Channel::Survey, aspect, score)),
                (None, Some((_, digit, _))) => ratings.push((Channel::Sms, aspect, digit)),
                (None, None) => {}
            }
        }
        if let Some((_, digit, _)) = self.sms
            && (survey.is_some() || rules.integral == Integral::All)
        {
            ratings.push((Channel::Sms, 8, digit));
        }
        let day = date(rules, at, offset, provided);
        rated.push(Rated { place, day, electronic: false, ratings });
    }

    fn forms(&self, rules: &Rules, rated: &mut Vec<Rated>) {
        for (form, channel) in [(&self.kiosk, Channel::Kiosk), (&self.epgu, Channel::Epgu)] {
            let Some((at, _, offset, _, own_day, _, scores, [unit, service, mfc])) = *form else {
                continue;
            };
            let fact = self.fact.as_ref().map(|(.., provided, _, place)| (*place, *provided));
            let of_fact = unit.is_none().then(|| fact.and_then(|(place, _)| place.mfc)).flatten();
            let (Some(unit), Some(service), Some(provided)) = (
                unit.or(fact.map(|(place, _)| place.unit)),
                service.or(fact.map(|(place, _)| place.service)),
                own_day.or(fact.map(|(_, provided)| provided)),
            ) else {
                continue;
            };
            rated.push(Rated {
                place: Place { unit, service, mfc: mfc.or(of_fact) },
                day: date(rules, at, offset, provided),
                electronic: channel == Channel::Epgu,
                ratings: scores
                    .iter()
                    .map(|(criterion, score)| (channel, usize::from(criterion.get()) - 1, score))
                    .collect(),
            });
        }
    }
}

/// D6.
fn date(rules: &Rules, at: i64, offset: i32, provided: Day) -> Day {
    match rules.attribution {
        Attribution::Received => Moment::new(at, offset).map_or(provided, Moment::day),
        Attribution::Provided => provided,
    }
}
