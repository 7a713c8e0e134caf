//! What happens to one record: the fact, the SMS, the calls, the forms, and what goes wrong.
//!
//! A story is told at once, when its first message is due, and its messages wait in the queue.
//! What is likely, [`odds`] says.

use dataflows::calendar::Day;
use dataflows::domain::{Channel, Form, Outcome};

use super::catalogue::{ODD_REPLIES, PADDINGS};
use super::chance::Chance;
use super::lines::{Body, Reply};
use super::offices::{Country, Place};
use super::queue::{Item, Queue, What};
use super::rhythm::Rhythm;
use super::territory::Territory;
use super::{mood, odds};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A citizen's visit.
#[derive(Clone, Copy)]
struct Visit {
    record: u64,
    territory: usize,
    place: Place,
    /// Seconds since 1970 UTC.
    at: i64,
    /// Whether he is content.
    happy: bool,
}

/// Tells stories until `events` messages are planned.
pub struct Teller<'a> {
    country: &'a Country,
    rhythm: &'a Rhythm,
    chance: Chance,
    events: u64,
    /// Messages queued so far, and perhaps sent.
    planned: u64,
    next_record: u64,
}

impl<'a> Teller<'a> {
    /// A teller to whom `planned` lines of the stream are spoken for.
    pub fn new(
        country: &'a Country,
        rhythm: &'a Rhythm,
        chance: Chance,
        events: u64,
        planned: u64,
    ) -> Teller<'a> {
        Teller { country, rhythm, chance, events, planned, next_record: 18_000_000_001 }
    }

    /// Lines of the stream that are queued or sent.
    pub fn planned(&self) -> u64 {
        self.planned
    }

    /// The teller's chance, for who comes when.
    pub fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// Queues the messages of one record, the first of them received at `at`; of very few there is
    /// none.
    pub fn tell(&mut self, queue: &mut Queue, territory: usize, at: i64, open: bool) {
        let record = self.next_record;
        self.next_record += 1 + u64::from(self.chance.below(3));
        let place = self.country.visit(territory, &mut self.chance);
        let happy = self.is_happy(place, self.territory(territory).day(at));
        let mut visit = Visit { record, territory, place, at, happy };
        let [fact, kiosk, epgu] = if open { odds::BEGIN_OPEN } else { odds::BEGIN_CLOSED };
        let drawn = self.chance.below(1000);
        if drawn < fact {
            self.fact(queue, visit);
        } else if drawn < fact + kiosk {
            self.form(queue, visit, Form::Kiosk, at, true);
        } else {
            let form = if drawn < fact + kiosk + epgu { Form::Epgu } else { Form::Site };
            visit.place = self.online_place(visit);
            self.form(queue, visit, form, at, true);
        }
    }

    /// A service rated online: mostly one that is listed, never through an МФЦ.
    fn online_place(&mut self, visit: Visit) -> Place {
        let mut place = visit.place;
        while !self.is_listed(place) && !self.chance.myriad(odds::EPGU_NOT_LISTED) {
            place = self.country.visit(visit.territory, &mut self.chance);
        }
        Place { mfc: None, ..place }
    }

    /// A registered fact and what follows from it. Facts are sent hours after the service; who
    /// rates at the kiosk does so on the spot, so that his rating waits for its fact.
    fn fact(&mut self, queue: &mut Queue, visit: Visit) {
        let Visit { territory, place, at, .. } = visit;
        let rated_on_the_spot = self.chance.myriad(odds::KIOSK_BEFORE_FACT);
        let (provided_at, received) = if rated_on_the_spot {
            self.form(queue, visit, Form::Kiosk, at, false);
            (at, at + 600 + self.chance.span(4 * HOUR))
        } else {
            let hours = if self.chance.myriad(7500) { 3 } else { 20 };
            (at - self.chance.span(hours * HOUR), at)
        };
        let provided = self.territory(territory).day(provided_at);
        let phone = self.chance.myriad(odds::LEFT_PHONE);
        let visit = Visit { at: received, ..visit };
        if !self.chance.myriad(odds::LOST_FACT) {
            self.send(queue, visit, received, Body::Fact { place, provided, phone });
        }
        if self.chance.myriad(odds::OTHER_FACT) {
            let place = self.country.other_service(place);
            let again = received + HOUR + self.chance.span(3 * DAY);
            self.send(queue, visit, again, Body::Fact { place, provided, phone });
        }
        if phone {
            self.sms(queue, visit);
        }
        if self.chance.myriad(odds::EPGU_AFTER_FACT)
            && (self.is_listed(place) || self.chance.myriad(odds::EPGU_NOT_LISTED))
        {
            let at = received + self.chance.span(3 * DAY);
            self.form(queue, visit, Form::Epgu, at, false);
        }
        if self.chance.myriad(odds::SITE_AFTER_FACT) {
            let at = received + self.chance.span(6 * DAY);
            self.form(queue, visit, Form::Site, at, false);
        }
    }

    /// The question by SMS at ten of the next working day, the reply, the calls.
    fn sms(&mut self, queue: &mut Queue, visit: Visit) {
        if !self.chance.myriad(odds::REPLIED) {
            if self.chance.myriad(odds::CALLED_UNASKED) {
                self.calls(queue, visit, visit.at + DAY, visit.happy);
            }
            return;
        }
        let replied = self.reply_at(visit);
        if self.chance.myriad(odds::ODD_REPLY) {
            let odd = self.chance.index(ODD_REPLIES.len()) as u8;
            self.send(queue, visit, replied, Body::Sms(Reply::Odd(odd)));
            if self.chance.myriad(odds::DIGIT_AFTER_ODD) {
                let digit = mood::digit(&mut self.chance, visit.happy);
                let at = replied + 20 + self.chance.span(HOUR);
                self.send(queue, visit, at, Body::Sms(Reply::Digit(digit)));
            }
            return;
        }
        let digit = mood::digit(&mut self.chance, visit.happy);
        let reply = if self.chance.myriad(odds::PADDED_REPLY) {
            Reply::Padded(digit, self.chance.index(PADDINGS.len()) as u8)
        } else {
            Reply::Digit(digit)
        };
        self.send(queue, visit, replied, Body::Sms(reply));
        self.perhaps_retract(queue, visit, replied, Channel::Sms);
        if self.chance.myriad(odds::SECOND_REPLY) {
            let second = mood::digit(&mut self.chance, visit.happy);
            let at = replied + 30 + self.chance.span(3 * DAY);
            self.send(queue, visit, at, Body::Sms(Reply::Digit(second)));
        }
        if digit <= 3 {
            let still_unhappy = self.chance.myriad(7500);
            self.calls(queue, visit, replied, !still_unhappy);
        }
    }

    /// 7.9: a call within two working days, up to two more where nobody answered or at the time
    /// agreed; some citizens are surveyed once more.
    fn calls(&mut self, queue: &mut Queue, visit: Visit, after: i64, happy: bool) {
        let mut day = self.territory(visit.territory).day(after);
        for call in 0..3 {
            let wait = if call == 0 { 1 + self.chance.below(2) } else { 1 };
            day = self.rhythm.calendar.after(day, wait);
            let at = self.in_hours(visit.territory, day, 10, 9);
            let completed = if call == 0 { 55 } else { 60 };
            let outcome = match self.chance.below(100) {
                drawn if drawn < completed => Ok(mood::scores(&mut self.chance, 5, happy)),
                drawn if drawn < completed + 26 => Err(Outcome::NoAnswer),
                drawn if drawn < completed + 35 => Err(Outcome::CallBack),
                _ => Err(Outcome::Refused),
            };
            self.send(queue, visit, at, Body::Survey(outcome));
            match outcome {
                Ok(_) => {
                    self.perhaps_retract(queue, visit, at, Channel::Survey);
                    if !self.chance.myriad(odds::SURVEYED_AGAIN) {
                        return;
                    }
                }
                Err(Outcome::NoAnswer) if call > 0 && self.chance.myriad(8000) => return,
                Err(Outcome::Refused) => return,
                Err(Outcome::NoAnswer | Outcome::CallBack) => {}
            }
        }
    }

    /// A kiosk, ЕПГУ or site message; `own` if it names its place itself.
    fn form(&mut self, queue: &mut Queue, visit: Visit, form: Form, at: i64, own: bool) {
        let criteria = if form == Form::Epgu { 8 } else { 5 };
        let days_since = if form == Form::Kiosk { 0 } else { self.chance.span(4) };
        let provided = self.territory(visit.territory).day(at - days_since * DAY);
        let place = own.then_some((visit.place, provided));
        let happy = visit.happy;
        let scores = mood::scores(&mut self.chance, criteria, happy);
        self.send(queue, visit, at, Body::Form { form, scores, place, happy });
        if self.chance.myriad(odds::CONFLICT) {
            let scores = mood::scores(&mut self.chance, criteria, !happy);
            let again = at + 60 + self.chance.span(2 * DAY);
            self.send(queue, visit, again, Body::Form { form, scores, place, happy });
        }
        self.perhaps_retract(queue, visit, at, form.channel());
        if form == Form::Site && self.chance.myriad(odds::ANSWERED) {
            let late = self.chance.myriad(odds::ANSWERED_LATE);
            let days = if late { 11 + self.chance.below(12) } else { 1 + self.chance.below(10) };
            let day = self.rhythm.calendar.after(self.territory(visit.territory).day(at), days);
            let answered = self.in_hours(visit.territory, day, 9, 9);
            self.send(queue, visit, answered, Body::Answer);
        }
    }

    fn perhaps_retract(&mut self, queue: &mut Queue, visit: Visit, sent: i64, channel: Channel) {
        if self.chance.myriad(odds::RETRACTED) {
            let at = sent + HOUR + self.chance.span(5 * DAY);
            self.send(queue, visit, at, Body::Retract(channel));
        }
    }

    /// Queues a message: on time, or hours to days late; some are sent twice.
    fn send(&mut self, queue: &mut Queue, visit: Visit, received: i64, body: Body) {
        let late = self.chance.myriad(odds::ARRIVES_LATE);
        let delay = if late { HOUR + self.chance.span(5 * DAY) } else { 0 };
        let sent_twice = self.chance.myriad(odds::SENT_TWICE);
        let repeat_after = 5 + self.chance.span(DAY);

        let Visit { record, territory, .. } = visit;
        let in_stream = |at: i64| self.territory(territory).day(at) < self.rhythm.until;
        let arrives = if in_stream(received + delay) { received + delay } else { received };
        if !in_stream(arrives) {
            return;
        }
        let again = arrives + repeat_after;
        let twice = sent_twice && in_stream(again);
        let what = What::Message { territory: territory as u16, record, received, body };
        for arrives in std::iter::once(arrives).chain(twice.then_some(again)) {
            if self.planned < self.events {
                self.planned += 1;
                queue.push(Item { arrives, what });
            }
        }
    }

    /// After the question at ten o'clock: most replies within two hours, some that evening, a few
    /// days later.
    fn reply_at(&mut self, visit: Visit) -> i64 {
        let territory = self.territory(visit.territory);
        let asked = self.rhythm.calendar.after(territory.day(visit.at), 1);
        territory.second(asked, 10)
            + match self.chance.below(100) {
                0..66 => self.chance.span(2 * HOUR).min(self.chance.span(2 * HOUR)),
                66..94 => self.chance.span(11 * HOUR),
                _ => self.chance.span(4 * DAY),
            }
    }

    /// A moment of the `length` hours after `hour` o'clock of a day.
    fn in_hours(&mut self, territory: usize, day: Day, hour: i64, length: i64) -> i64 {
        self.territory(territory).second(day, hour) + self.chance.span(length * HOUR)
    }

    fn territory(&self, territory: usize) -> &'a Territory {
        &self.country.territories[territory]
    }

    fn is_listed(&self, place: Place) -> bool {
        self.country.services[usize::from(place.service)].listed
    }

    fn is_happy(&mut self, place: Place, day: Day) -> bool {
        let elapsed = (day.0 - self.rhythm.from.0).max(0) as u32;
        let length = (self.rhythm.until.0 - self.rhythm.from.0) as u32;
        self.chance.myriad(self.country.quality(place, elapsed, length))
    }
}
