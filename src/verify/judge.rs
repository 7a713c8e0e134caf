//! What the messages of one record come to: a verdict on each, and the ratings that count
//! (order-120 § 2: p. 7.6–9.5, 12, 13; D1–D6).
//!
//! Verdicts fall in the contract's order: duplicate, retracted, bad text, not standing, apart,
//! pending, not listed, counted.

use std::cmp::Reverse;

use dataflows::calendar::Moment;
use dataflows::domain::{Channel, Criterion, Form, Scores};
use dataflows::id::Id;
use jiff::civil::Date;

use super::message::{Body, Fact, Message, Review};
use super::reference::Reference;
use super::time;
use crate::rules::{Attribution, Integral, Rules};

/// Criteria 1..8 in their order and, last, the integral rating.
pub const QUESTIONS: usize = 9;
const INTEGRAL: usize = QUESTIONS - 1;

/// What became of a rating message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Counted,
    /// A review of the site «Ваш контроль» (9.5).
    Apart,
    /// With the reason.
    Pending(&'static str),
    /// With the code.
    Refused(&'static str),
    Duplicate,
    Retracted,
}

/// The ratings of one counted message: who is rated, when, and 0..1 score for each question.
#[derive(Clone, Copy, Debug)]
pub struct Sheet {
    pub unit: Id,
    pub service: Id,
    pub mfc: Option<Id>,
    pub date: Date,
    pub channel: Channel,
    /// 0 where there is no rating.
    pub scores: [u8; QUESTIONS],
}

/// What the messages of a record come to.
#[derive(Default)]
pub struct Judgement {
    /// One for every rating message, copies included.
    pub verdicts: Vec<(Channel, Verdict)>,
    pub sheets: Vec<Sheet>,
    /// What is not counted though it is known what it rates, and why: a sheet with the ratings that
    /// wait or are not listed, or with none where the message itself was refused.
    pub aside: Vec<(&'static str, Sheet)>,
    /// The messages that were refused, and why.
    losers: Vec<(&'static str, Message)>,
    /// The standing fact and when it was received.
    pub fact: Option<(Moment, Fact)>,
    /// The standing SMS, if it is counted: when it was received, and its digit.
    pub reply: Option<(Moment, u8)>,
    /// The standing review of the site and when it was received.
    pub review: Option<(Moment, Review)>,
}

/// Judges all messages of one record.
pub fn judge(messages: &[Message], reference: &Reference, rules: &Rules) -> Judgement {
    let mut judgement = Judgement { fact: standing_fact(messages), ..Judgement::default() };
    let [sms, survey, kiosk, epgu, site] =
        Channel::ALL.map(|channel| judgement.elect(messages, channel));
    if let Some(Message { received, body: Body::Form(review) }) = site {
        judgement.review = Some((received, review));
        judgement.verdicts.push((Channel::Site, Verdict::Apart));
    }
    let fact = judgement.fact.map(|(_, fact)| fact);
    // D6: with an SMS, all that a record has from SMS and phone is of the date of the SMS.
    let replied = sms.or(survey).map(|message| message.received);
    for message in [sms, survey, kiosk, epgu].into_iter().flatten() {
        let channel = message.channel().expect("all four are rating messages");
        let received = match message.body {
            Body::Form(_) => message.received,
            _ => replied.expect("it is one of the two"),
        };
        let scores = scores(&message, survey, rules.integral);
        let sheet = |place: Fact| sheet(place, received, channel, scores, rules);
        let verdict = match place(&message, fact, reference) {
            Err(reason) => {
                let named = named(&message, fact);
                judgement.aside.extend(named.map(|place| (reason, sheet(place))));
                Verdict::Pending(reason)
            }
            Ok((place, listed)) if !may_count(&place, listed, channel) => {
                judgement.aside.push(("not_listed", sheet(place)));
                Verdict::Refused("not_listed")
            }
            Ok((place, _)) => {
                judgement.sheets.push(sheet(place));
                if let Body::Sms { digit: Some(digit), .. } = message.body {
                    judgement.reply = Some((message.received, digit.get()));
                }
                Verdict::Counted
            }
        };
        judgement.verdicts.push((channel, verdict));
    }
    for (code, message) in std::mem::take(&mut judgement.losers) {
        let channel = message.channel().expect("only rating messages are refused");
        let place = named(&message, fact);
        judgement.aside.extend(
            place.map(|place| {
                (code, sheet(place, message.received, channel, [0; QUESTIONS], rules))
            }),
        );
    }
    judgement
}

/// The ratings of a message at its place, with their date (D6).
fn sheet(
    place: Fact,
    received: Moment,
    channel: Channel,
    scores: [u8; QUESTIONS],
    rules: &Rules,
) -> Sheet {
    let date = match rules.attribution {
        Attribution::Received => time::written_date(received),
        Attribution::Provided => place.provided,
    };
    let Fact { unit, service, mfc, .. } = place;
    Sheet { unit, service, mfc, date, channel, scores }
}

impl Judgement {
    /// The message of a channel that stands; the others get their verdict.
    fn elect(&mut self, messages: &[Message], channel: Channel) -> Option<Message> {
        let of_channel = |m: &&Message| m.is_rating() && m.channel() == Some(channel);
        let mut left: Vec<Message> = messages.iter().filter(of_channel).copied().collect();
        let all = left.len();
        left.sort_unstable();
        left.dedup();
        self.push(all - left.len(), channel, Verdict::Duplicate);
        let distinct = left.len();
        let withdrawn = withdrawn(messages, channel);
        left.retain(|message| message.instant() > withdrawn);
        self.push(distinct - left.len(), channel, Verdict::Retracted);
        let is_unread = |message: &Message| matches!(message.body, Body::Sms { digit: None, .. });
        let (unread, left): (Vec<Message>, Vec<Message>) = left.into_iter().partition(is_unread);
        self.push(unread.len(), channel, Verdict::Refused("bad_text"));
        self.losers.extend(unread.into_iter().map(|message| ("bad_text", message)));
        let (standing, code) = match channel {
            Channel::Sms => (left.iter().min_by_key(|m| sms_order(m)), "late_reply"),
            Channel::Survey => (left.iter().min_by_key(|m| survey_order(m)), "superseded"),
            _ => (left.iter().min_by_key(|m| form_order(m)), "conflict"),
        };
        self.push(left.len().saturating_sub(1), channel, Verdict::Refused(code));
        let lost = left.iter().filter(|message| Some(*message) != standing);
        self.losers.extend(lost.map(|message| (code, *message)));
        standing.copied()
    }

    fn push(&mut self, count: usize, channel: Channel, verdict: Verdict) {
        self.verdicts.extend(std::iter::repeat_n((channel, verdict), count));
    }
}

/// D5: a `retract` withdraws every message of its record and channel received at or before it: the
/// instant of the last one, or what is before all instants.
pub fn withdrawn(messages: &[Message], channel: Channel) -> i64 {
    let of_channel = messages.iter().filter(|message| message.body == Body::Retract(channel));
    of_channel.map(Message::instant).max().unwrap_or(i64::MIN)
}

/// Of several facts, the earliest by time of receipt; then whatever has the smaller content.
fn standing_fact(messages: &[Message]) -> Option<(Moment, Fact)> {
    let facts = messages.iter().filter_map(|message| match message.body {
        Body::Fact(fact) => Some((message.received, fact)),
        _ => None,
    });
    facts.min_by_key(|(received, fact)| {
        let texts = (fact.unit.text(), fact.service.text(), fact.mfc.map(Id::text));
        (received.micros(), received.offset_minutes(), texts, fact.provided, fact.phone)
    })
}

/// D1: the earliest stands; at equal times the lower digit; then the smaller content.
fn sms_order(message: &Message) -> impl Ord + use<> {
    let Body::Sms { digit, text } = message.body else { unreachable!("messages of one channel") };
    (message.instant(), digit, message.received.offset_minutes(), text)
}

/// D3: the latest stands; at equal times the lower sum of scores; then the smaller content.
fn survey_order(message: &Message) -> impl Ord + use<> {
    let Body::Survey(scores) = message.body else { unreachable!("messages of one channel") };
    let offset = message.received.offset_minutes();
    (Reverse(message.instant()), scores.sum(), offset, scores)
}

/// D5: the earliest stands; at equal times the lower sum of scores; then the smaller content.
fn form_order(message: &Message) -> impl Ord + use<> {
    let Body::Form(review) = message.body else { unreachable!("messages of one channel") };
    let text = |id: Option<Id>| id.map(Id::text);
    let place = (text(review.unit), text(review.service), text(review.mfc), review.provided);
    let offset = message.received.offset_minutes();
    (message.instant(), review.scores.sum(), offset, review.scores, place, review.text)
}

/// Where and when a message says the service was given: the fact's for SMS and survey; for the
/// others their own fields, the fact's where they are left out.
fn named(message: &Message, fact: Option<Fact>) -> Option<Fact> {
    match message.body {
        Body::Form(Review {
            unit: Some(unit),
            service: Some(service),
            provided: Some(provided),
            mfc,
            ..
        }) => Some(Fact { unit, service, mfc, provided, phone: false }),
        Body::Form(review) => {
            let fact = fact?;
            // Whoever names another unit does not mean the fact's МФЦ.
            let mfc_of_fact = if review.unit.is_none() { fact.mfc } else { None };
            Some(Fact {
                unit: review.unit.unwrap_or(fact.unit),
                service: review.service.unwrap_or(fact.service),
                mfc: review.mfc.or(mfc_of_fact),
                provided: review.provided.unwrap_or(fact.provided),
                phone: false,
            })
        }
        _ => fact,
    }
}

/// The place that a message rates and whether its service is listed, or the first reason why it
/// has to wait.
fn place(
    message: &Message,
    fact: Option<Fact>,
    reference: &Reference,
) -> Result<(Fact, bool), &'static str> {
    let named = named(message, fact).ok_or("no_record")?;
    let is_known = |unit: Id| reference.units.contains_key(&unit);
    if !is_known(named.unit) || !named.mfc.is_none_or(is_known) {
        return Err("no_unit");
    }
    let listed = *reference.services.get(&named.service).ok_or("no_service")?;
    Ok((named, listed))
}

/// 12, last paragraph; 13: a service that is not listed counts only through an МФЦ, and never from
/// the ЕПГУ form.
fn may_count(place: &Fact, listed: bool, channel: Channel) -> bool {
    listed || (place.mfc.is_some() && channel != Form::Epgu.channel())
}

/// The scores that a counted message contributes. 7.7: a digit is entered for all five criteria;
/// 7.10: those the survey answered are the survey's, and the digit counts as the integral (D4).
fn scores(message: &Message, survey: Option<Message>, integral: Integral) -> [u8; QUESTIONS] {
    let mut scores = [0; QUESTIONS];
    match message.body {
        Body::Sms { digit, .. } => {
            let digit = digit.expect("a reply without a digit does not stand").get();
            let answered = match survey {
                Some(Message { body: Body::Survey(answered), .. }) => answered,
                _ => Scores::NONE,
            };
            for criterion in Criterion::COMMON {
                if answered.get(criterion).is_none() {
                    scores[usize::from(criterion.get()) - 1] = digit;
                }
            }
            if integral == Integral::All || survey.is_some() {
                scores[INTEGRAL] = digit;
            }
        }
        Body::Survey(given) | Body::Form(Review { scores: given, .. }) => {
            for (criterion, score) in given.iter() {
                scores[usize::from(criterion.get()) - 1] = score.get();
            }
        }
        _ => unreachable!("only rating messages stand"),
    }
    scores
}
