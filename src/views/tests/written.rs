//! What is written of each kind of row, and that it can be asked for.

use dataflows::calendar::{Day, Moment, Month, Quarter};
use dataflows::domain::UnitKind;
use dataflows::id::Id;
use dataflows::tally::{Shares, Spread, Value};
use dataflows::views::*;
use serde_json::Value as Json;

use super::json;
use crate::views::cell::cells;
use crate::views::columns::{Kind, columns};
use crate::views::row_json::{write_key, write_plain, write_row};
use crate::views::{Filter, FilterError};

fn value(k: i64, n: i64) -> Value {
    Value { k, n }
}

fn day(year: i32, month: u32, day: u32) -> Day {
    Day::new(year, month, day).expect("a date")
}

fn period() -> ManagerPeriod {
    let mut criteria = [[0; 2]; 9];
    (criteria[0], criteria[8]) = ([0, 1], [465, 504]);
    let own = Shares::new(criteria, [[1, 1], [464, 504], [0; 2], [0; 2]]);
    ManagerPeriod {
        tenure: Id::of("T1"),
        period: 2,
        manager: Id::of("M1"),
        unit: Id::of("U1"),
        agency: None,
        region: Id::of("45"),
        from: day(2016, 2, 29),
        until: day(2017, 2, 28),
        complete: true,
        own,
        previous: Some(value(1, 3)),
        target: Some(87_500_000),
        status: Status::Met,
    }
}

/// Every variant, and each thing that may be absent both ways; with what is to be written.
fn samples() -> Vec<(Row, &'static str)> {
    let id = Id::of;
    let spread = Spread { scores: [1, 0, 0, 1, 6], records: [3], facts: [4] };
    let none = Spread::default();
    let bare = ManagerPeriod {
        agency: Some(id("A\"1\"")),
        own: Shares::default(),
        previous: None,
        target: None,
        status: Status::NoValue,
        ..period()
    };
    let directory = DirectoryRow {
        of: Thing::Unit,
        id: id("U1"),
        name: id("Отдел № 1,\nпо \"центру\""),
        kind: Some(UnitKind::Subdivision),
        agency: Some(id("A1")),
        parent: Some(id("U0")),
        region: Some(id("45")),
        listed: None,
    };
    let service = DirectoryRow {
        of: Thing::Service,
        kind: None,
        agency: None,
        parent: None,
        region: None,
        listed: Some(false),
        ..directory.clone()
    };
    let at = |micros, offset| Moment::new(micros, offset).expect("fits");
    let deadline = |record, due, unit| Row::Deadline {
        kind: DeadlineKind::Review,
        record,
        due,
        state: DeadlineState::Open,
        unit,
    };
    vec![
        (
            Row::ManagerPeriod(Box::new(period())),
            r#"{"tenure":"T1","period":2,"manager":"M1","unit":"U1","agency":null,"region":"45","from":"2016-02-29","until":"2017-02-28","complete":true,"k":465,"n":505,"percent":92.08,"criteria":[{"criterion":1,"k":0,"n":1},{"criterion":"integral","k":465,"n":504}],"channels":[{"channel":"sms","k":1,"n":1},{"channel":"phone","k":464,"n":504}],"previous":{"k":1,"n":3,"percent":33.33},"target":87.5,"status":"met"}"#,
        ),
        (
            Row::ManagerPeriod(Box::new(bare)),
            r#"{"tenure":"T1","period":2,"manager":"M1","unit":"U1","agency":"A\"1\"","region":"45","from":"2016-02-29","until":"2017-02-28","complete":true,"k":0,"n":0,"percent":null,"criteria":[],"channels":[],"previous":null,"target":null,"status":"no_value"}"#,
        ),
        (
            Row::Agency(Box::new(AgencyRow {
                agency: id("A1"),
                value: value(1, 800),
                mean: Some(90_000_001),
                managers: 2,
            })),
            r#"{"agency":"A1","k":1,"n":800,"percent":0.13,"mean":90.000001,"managers":2}"#,
        ),
        (
            Row::Agency(Box::new(AgencyRow {
                agency: id("A2"),
                value: value(5, 5),
                mean: None,
                managers: 0,
            })),
            r#"{"agency":"A2","k":5,"n":5,"percent":100.00,"mean":null,"managers":0}"#,
        ),
        (
            Row::AgencyQuarter {
                agency: id("A1"),
                quarter: Quarter(2018 * 4 + 1),
                mean: 33_333_333,
                managers: 1,
            },
            r#"{"agency":"A1","quarter":"2018Q2","mean":33.333333,"managers":1}"#,
        ),
        (
            Row::Territory { region: id("05"), agency: None, spread: Box::new(spread) },
            r#"{"region":"05","agency":"","k":7,"n":8,"percent":87.50,"facts":4,"records":3,"average":4.38,"scores":[1,0,0,1,6]}"#,
        ),
        (
            Row::Territory { region: id("05"), agency: Some(id("A1")), spread: Box::new(none) },
            r#"{"region":"05","agency":"A1","k":0,"n":0,"percent":null,"facts":0,"records":0,"average":null,"scores":[0,0,0,0,0]}"#,
        ),
        (
            Row::Unit { unit: id("U1"), own: Box::new(spread), pooled: value(9, 10) },
            r#"{"unit":"U1","k":7,"n":8,"percent":87.50,"pooled_k":9,"pooled_n":10,"pooled_percent":90.00,"average":4.38}"#,
        ),
        (
            Row::Service { agency: None, service: id("S1"), spread: Box::new(spread) },
            r#"{"agency":null,"service":"S1","k":7,"n":8,"percent":87.50,"average":4.38}"#,
        ),
        (
            Row::Service { agency: Some(id("A1")), service: id("S1"), spread: Box::new(spread) },
            r#"{"agency":"A1","service":"S1","k":7,"n":8,"percent":87.50,"average":4.38}"#,
        ),
        (
            Row::Mfc { unit: id("МФЦ-0"), value: value(2, 3) },
            r#"{"unit":"МФЦ-0","k":2,"n":3,"percent":66.67}"#,
        ),
        (
            Row::Month {
                scope: Scope::Region,
                id: id("a,b%2C"),
                month: Month(2018 * 12 + 2),
                spread: Box::new(spread),
            },
            r#"{"scope":"region","id":"a,b%2C","month":"2018-03","k":7,"n":8,"percent":87.50,"average":4.38}"#,
        ),
        (
            Row::Ranking {
                scope: Scope::Service,
                month: Month(2018 * 12 + 11),
                id: id("S1"),
                rank: 3,
                value: value(0, 7),
            },
            r#"{"scope":"service","month":"2018-12","id":"S1","rank":3,"percent":0.00,"n":7}"#,
        ),
        (
            Row::SurveySample {
                unit: id("U1"),
                day: day(1, 1, 1),
                record: (1 << 63) - 1,
                order: 1,
            },
            r#"{"unit":"U1","day":"0001-01-01","record":9223372036854775807,"order":1}"#,
        ),
        (
            Row::SurveyList {
                unit: id("U1"),
                day: day(2018, 3, 1),
                replies: 21,
                wanted: 2,
                drawn: 1,
            },
            r#"{"unit":"U1","day":"2018-03-01","replies":21,"wanted":2,"drawn":1}"#,
        ),
        (
            deadline(7, at(1_519_887_600_000_000, 180), Some(id("U1"))),
            r#"{"kind":"review","record":7,"due_at":"2018-03-01T10:00:00+03:00","state":"open","unit":"U1"}"#,
        ),
        (
            deadline(8, at(-1, -570), None),
            r#"{"kind":"review","record":8,"due_at":"1969-12-31T14:29:59.999999-09:30","state":"open","unit":null}"#,
        ),
        (
            Row::Pending { reason: PendingReason::NoUnit, count: 2 },
            r#"{"reason":"no_unit","count":2}"#,
        ),
        (
            Row::Refused { code: RefusalCode::BadText, channel: Subject::Sms, count: 3 },
            r#"{"code":"bad_text","channel":"sms","count":3}"#,
        ),
        (
            Row::Conservation(Box::new(Conservation {
                accepted: 21,
                counted: 1,
                apart: 2,
                pending: 3,
                refused: 4,
                duplicate: 5,
                retracted: 6,
            })),
            r#"{"accepted":21,"counted":1,"apart":2,"pending":3,"refused":4,"duplicate":5,"retracted":6}"#,
        ),
        (
            Row::Directory(Box::new(directory)),
            r#"{"of":"unit","id":"U1","name":"Отдел № 1,\nпо \"центру\"","kind":"subdivision","agency":"A1","parent":"U0","region":"45","listed":null}"#,
        ),
        (
            Row::Directory(Box::new(service)),
            r#"{"of":"service","id":"U1","name":"Отдел № 1,\nпо \"центру\"","kind":null,"agency":null,"parent":null,"region":null,"listed":false}"#,
        ),
    ]
}

#[test]
fn rows_are_written_as_the_contract_has_them() {
    let mut views = Vec::new();
    for (row, expected) in samples() {
        assert_eq!(json(write_row, &row), expected);
        let view = row.view();
        let parsed: serde_json::Map<String, Json> =
            serde_json::from_str(expected).expect("the sample is JSON");
        let key: serde_json::Map<String, Json> =
            serde_json::from_str(&json(write_key, &row)).expect("a key is JSON");
        assert_eq!(parsed.len(), view.key().len() + view.columns().len());
        assert!(view.key().iter().chain(view.columns()).all(|name| parsed.contains_key(*name)));
        assert_eq!(key.len(), view.key().len());
        assert!(key.iter().all(|(name, value)| parsed[name] == *value));
        views.push(view);
    }
    views.dedup();
    assert_eq!(views, View::ALL);
}

/// The types of columns are true of the rows, and each can be asked for by what is written.
#[test]
fn every_column_can_be_filtered_by_what_it_says() {
    for (row, text) in samples() {
        let view = row.view();
        let mut values = Vec::new();
        cells(&row, &mut |cell| {
            let mut plain = Vec::new();
            write_plain(cell, &mut plain);
            let plain = String::from_utf8(plain).expect("columns are texts");
            values.push(if plain == "null" { String::new() } else { plain });
        });
        for (column, value) in columns(view).zip(values) {
            let filter = Filter::parse(view, [(column.name, value.as_str())].into_iter());
            match column.kind {
                Kind::Value | Kind::Criteria | Kind::Channels | Kind::Scores => {
                    let compound = FilterError::Compound { column: column.name };
                    assert!(value.is_empty() || filter.unwrap_err() == compound);
                }
                _ => assert!(filter.expect("its own value").matches(&row), "{column:?} in {text}"),
            }
        }
    }
}

#[test]
fn words_of_columns_are_all_there_are() {
    use dataflows::views::{RefusalCode as R, Status as S, Subject as C};
    let texts = |words: &[&'static str]| words.to_vec();
    let codes =
        [R::BadText, R::LateReply, R::Superseded, R::Conflict, R::NotListed, R::Cycle, R::Closed];
    let statuses = [S::Met, S::NotMet, S::BelowFirst, S::NoValue, S::InProgress, S::CutShort];
    let subjects = [C::Sms, C::Survey, C::Kiosk, C::Epgu, C::Site, C::Unit];
    let scopes = [Scope::Unit, Scope::Agency, Scope::Region, Scope::Service];
    let reasons = [PendingReason::NoRecord, PendingReason::NoUnit, PendingReason::NoService];
    let deadlines = [DeadlineKind::Sms, DeadlineKind::Call, DeadlineKind::Review];
    use DeadlineState::{Met, Missed, Open, Overdue};
    let things = [Thing::Agency, Thing::Unit, Thing::Service, Thing::Manager];
    let cases = [
        (View::Refused, "code", texts(&codes.map(R::as_str))),
        (View::Refused, "channel", texts(&subjects.map(C::as_str))),
        (View::ManagerPeriods, "status", texts(&statuses.map(S::as_str))),
        (View::Months, "scope", texts(&scopes.map(Scope::as_str))),
        (View::Rankings, "scope", texts(&scopes.map(Scope::as_str))),
        (View::Pending, "reason", texts(&reasons.map(PendingReason::as_str))),
        (View::Deadlines, "kind", texts(&deadlines.map(DeadlineKind::as_str))),
        (View::Deadlines, "state", texts(&[Open, Overdue, Met, Missed].map(DeadlineState::as_str))),
        (View::Directory, "of", texts(&things.map(Thing::as_str))),
    ];
    for (view, name, expected) in cases {
        let column = columns(view).find(|column| column.name == name).expect("a column");
        assert!(matches!(column.kind, Kind::Word(words) if words == expected), "{column:?}");
    }
}

#[test]
fn a_wrong_condition_is_named() {
    let parse = |column, value| {
        let error = Filter::parse(View::Refused, [(column, value)].into_iter()).unwrap_err();
        error.to_string()
    };
    assert_eq!(
        parse("colour", "red"),
        r#"refused has no column "colour"; its columns are code, channel, count"#
    );
    assert_eq!(parse("count", "many"), r#""many" is no value of count, which is an integer"#);
    assert!(
        parse("channel", "fax").starts_with(r#""fax" is no value of channel, which is one of"#)
    );
}
