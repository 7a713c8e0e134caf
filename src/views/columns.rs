//! What the columns of the views are: their types, the words they may hold, and what they mean.
//!
//! The names and their order are those of [`View`]; here is what `GET /v1/views` and the OpenAPI
//! document say of them, and how a query's text is read as a column's value.

use dataflows::views::View;
use serde_json::{Value as Json, json};

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An id or a name.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A count or a number.
    Integer,
    /// A number with so many decimals at most.
    Decimal(u32),
    /// `true` or `false`.
    Flag,
    /// `YYYY-MM-DD`.
    Day,
    /// `YYYY-MM`.
    Month,
    /// `YYYYQn`.
    Quarter,
    /// RFC 3339 with an offset.
    Time,
    /// `{k, n, percent}`.
    Value,
    /// `[{criterion, k, n}]`.
    Criteria,
    /// `[{channel, k, n}]`.
    Channels,
    /// `[n1, n2, n3, n4, n5]`.
    Scores,
}

impl Kind {
    /// Whether a column holds one value, which can be compared and sorted by.
    pub fn is_single(self) -> bool {
        !matches!(self, Kind::Value | Kind::Criteria | Kind::Channels | Kind::Scores)
    }
}

/// A column of a view.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// As in [`View::key`] or [`View::columns`].
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it says.
    pub about: &'static str,
}

/// The columns of a view: of its key, then the others, in the order in which they are written.
pub fn columns(view: View) -> impl Iterator<Item = Column> {
    let names = view.key().iter().chain(view.columns());
    names.map(move |name| {
        let exception = EXCEPTIONS.iter().find(|(of, (other, ..))| *of == view && other == name);
        let entry = exception.map(|(_, entry)| entry);
        let entry = entry.or_else(|| COLUMNS.iter().find(|(other, ..)| other == name));
        let (name, kind, nullable, about) = *entry.expect("every column is described: tested");
        Column { name, kind, nullable, about }
    })
}

/// What a view is of, in one sentence.
pub fn about(view: View) -> &'static str {
    match view {
        View::ManagerPeriods => {
            "satisfaction value of each manager by accounting period (p. 12-17)"
        }
        View::Agencies => {
            "pooled ratings of each agency and the running mean of its managers (p. 14)"
        }
        View::AgencyQuarters => "mean of the managers whose periods became complete in the quarter",
        View::Territories => "ratings by subject of the federation and agency; no EPGU (p. 16)",
        View::Units => "ratings of each unit, its own and pooled with the units below (p. 15)",
        View::Services => "ratings by service and the agency of the unit rated",
        View::Mfcs => "ratings of each MFC pooled over those it coordinates; no EPGU",
        View::Months => "ratings by month of each unit, agency, region and service",
        View::Rankings => "monthly ranking of units, agencies, regions and services by exact value",
        View::SurveySample => "the records drawn for the phone survey, by unit and day (7.8)",
        View::SurveyLists => "the size of each day's survey list and how it came about (7.8)",
        View::Deadlines => "what is due: SMS offers, calls, answers to reviews (7.4, 7.9, 9.5)",
        View::Pending => "rating messages that wait for something unknown yet, by reason",
        View::Refused => "what the rules refuse, by code and channel",
        View::Conservation => "one row: every accepted rating message is in one of six columns",
        View::Directory => "reference data as they stand: names beside ids",
    }
}

const SCOPES: &[&str] = &["unit", "agency", "region", "service"];
const STATUSES: &[&str] =
    &["met", "not_met", "below_first", "no_value", "in_progress", "cut_short"];
const REASONS: &[&str] = &["no_record", "no_unit", "no_service"];
const CODES: &[&str] =
    &["bad_text", "late_reply", "superseded", "conflict", "not_listed", "cycle", "closed"];
const SUBJECTS: &[&str] = &["sms", "survey", "kiosk", "epgu", "site", "unit"];
const DEADLINES: &[&str] = &["sms", "call", "review"];
const STATES: &[&str] = &["open", "overdue", "met", "missed"];
const THINGS: &[&str] = &["agency", "unit", "service", "manager"];
const UNIT_KINDS: &[&str] = &["territorial", "subdivision", "mfc"];

/// Name, type, whether it may be null, and meaning.
type Entry = (&'static str, Kind, bool, &'static str);

/// Columns that mean something else than elsewhere, or are null where elsewhere they are not.
#[rustfmt::skip] // a table reads by its columns
const EXCEPTIONS: &[(View, Entry)] = &[
    (View::Deadlines, ("kind", Kind::Word(DEADLINES), false, "which clock runs")),
    (View::Deadlines, ("unit", Kind::Text, true, "the unit rated, where it is known")),
    (View::Directory, ("kind", Kind::Word(UNIT_KINDS), true, "the kind of a unit")),
    (View::Directory, ("id", Kind::Text, false, "its id")),
    (View::Directory, ("agency", Kind::Text, true, "the agency of a unit or service")),
    (View::Directory, ("region", Kind::Text, true, "the subject of the federation a unit lies in")),
    (View::ManagerPeriods, ("agency", Kind::Text, true, "the unit's agency; null for an MFC")),
    (View::Services, ("agency", Kind::Text, true, "the agency of the unit rated, where it has one")),
    (View::Territories, ("agency", Kind::Text, false, "the agency; empty for all of them")),
    (View::Conservation, ("pending", Kind::Integer, false, "waiting for something unknown yet")),
    (View::Conservation, ("refused", Kind::Integer, false, "refused by the rules")),
    (View::Agencies, ("mean", Kind::Decimal(6), true, "running Rf, per cent (p. 14)")),
    (View::Agencies, ("managers", Kind::Integer, false, "Sn: serving heads that have a value")),
];

/// What a column means in all other views.
#[rustfmt::skip] // a table reads by its columns
const COLUMNS: &[Entry] = &[
    ("mean", Kind::Decimal(6), false, "Rf formed in the quarter, per cent (p. 14)"),
    ("managers", Kind::Integer, false, "Sn: managers whose values it is the mean of"),
    ("tenure", Kind::Text, false, "manager x unit x time in office"),
    ("period", Kind::Integer, false, "0, 1, ...: which twelve months of the tenure (p. 17)"),
    ("manager", Kind::Text, false, "the person in office"),
    ("unit", Kind::Text, false, "the office"),
    ("agency", Kind::Text, false, "the body whose units give services"),
    ("region", Kind::Text, false, "the subject of the federation: its OKATO prefix"),
    ("service", Kind::Text, false, "the state service"),
    ("from", Kind::Day, false, "first day of the period"),
    ("until", Kind::Day, false, "first day after the period, or after the tenure if earlier"),
    ("complete", Kind::Flag, false, "whether its twelve months have passed in office"),
    ("k", Kind::Integer, false, "positive ratings (4 and 5)"),
    ("n", Kind::Integer, false, "all ratings"),
    ("percent", Kind::Decimal(2), true, "100 k / n, rounded half up; null without ratings"),
    ("pooled_k", Kind::Integer, false, "k with the units below"),
    ("pooled_n", Kind::Integer, false, "n with the units below"),
    ("pooled_percent", Kind::Decimal(2), true, "percent with the units below"),
    ("average", Kind::Decimal(2), true, "mean score, rounded half up; null without ratings"),
    ("criteria", Kind::Criteria, false, "the same by criterion 1..8 and the integral"),
    ("channels", Kind::Channels, false, "the same by channel"),
    ("previous", Kind::Value, true, "the unit's value over the 12 months before"),
    ("target", Kind::Decimal(6), true, "the target set for the period, per cent"),
    ("status", Kind::Word(STATUSES), false, "whether the target was met (6.1)"),
    ("quarter", Kind::Quarter, false, "the quarter"),
    ("month", Kind::Month, false, "the month the ratings were received in"),
    ("facts", Kind::Integer, false, "standing facts of services given"),
    ("records", Kind::Integer, false, "records with a counted rating"),
    ("scores", Kind::Scores, false, "ratings by score 1..5"),
    ("scope", Kind::Word(SCOPES), false, "what the id is of"),
    ("id", Kind::Text, false, "the unit, agency, region or service"),
    ("rank", Kind::Integer, false, "1 is the highest exact value; equal values share a rank"),
    ("day", Kind::Day, false, "the working day of the list"),
    ("record", Kind::Integer, false, "the record id of IAS MKGU, 63 bits"),
    ("order", Kind::Integer, false, "the place in the list, from 1"),
    ("replies", Kind::Integer, false, "negative SMS replies of the day"),
    ("wanted", Kind::Integer, false, "5 % of them, rounded up"),
    ("drawn", Kind::Integer, false, "how many were drawn, after the cap"),
    ("due_at", Kind::Time, false, "the moment by which it is to be done"),
    ("state", Kind::Word(STATES), false, "where it stands"),
    ("reason", Kind::Word(REASONS), false, "the first that applies"),
    ("code", Kind::Word(CODES), false, "the rule that says no"),
    ("channel", Kind::Word(SUBJECTS), false, "of the message, or a unit in a circle of parents"),
    ("count", Kind::Integer, false, "how many"),
    ("accepted", Kind::Integer, false, "logged rating messages: the sum of the other columns"),
    ("counted", Kind::Integer, false, "in the figures"),
    ("apart", Kind::Integer, false, "site reviews, shown apart"),
    ("duplicate", Kind::Integer, false, "identical copies"),
    ("retracted", Kind::Integer, false, "withdrawn by a retract"),
    ("of", Kind::Word(THINGS), false, "what the name is of"),
    ("name", Kind::Text, false, "its name"),
    ("parent", Kind::Text, true, "the parent of a unit"),
    ("listed", Kind::Flag, true, "whether a service is in the list of Decree 1284"),
];

impl Column {
    /// The column as JSON Schema.
    pub fn schema(&self) -> Json {
        let counts = |first: &str, of: Json| {
            json!({"type": "object", "required": [first, "k", "n"],
                "properties": {first: of, "k": {"type": "integer"}, "n": {"type": "integer"}}})
        };
        let mut schema = match self.kind {
            Kind::Text => json!({"type": "string"}),
            Kind::Word(words) => json!({"type": "string", "enum": words}),
            Kind::Integer => json!({"type": "integer"}),
            Kind::Decimal(_) => json!({"type": "number"}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::Day => json!({"type": "string", "format": "date"}),
            Kind::Month => json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}),
            Kind::Quarter => json!({"type": "string", "pattern": "^[0-9]{4}Q[1-4]$"}),
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            Kind::Value => json!({"type": "object", "required": ["k", "n", "percent"],
                "properties": {"k": {"type": "integer"}, "n": {"type": "integer"},
                    "percent": {"type": ["number", "null"]}}}),
            Kind::Criteria => json!({"type": "array", "items":
                counts("criterion", json!({"enum": [1, 2, 3, 4, 5, 6, 7, 8, "integral"]}))}),
            Kind::Channels => json!({"type": "array", "items":
                counts("channel", json!({"enum": ["sms", "phone", "kiosk", "epgu"]}))}),
            Kind::Scores => json!({"type": "array", "items": {"type": "integer"},
                "minItems": 5, "maxItems": 5}),
        };
        if self.nullable {
            schema["type"] = json!([schema["type"], "null"]);
            if let Some(words) = schema.get_mut("enum").and_then(Json::as_array_mut) {
                words.push(Json::Null);
            }
        }
        schema["description"] = self.about.into();
        schema
    }
}

/// The views, their keys and their columns, as `GET /v1/views` answers.
pub fn catalogue() -> Json {
    let views = View::ALL.map(|view| {
        let columns: Vec<Json> = columns(view)
            .map(|column| {
                let mut schema = column.schema();
                schema["name"] = column.name.into();
                schema
            })
            .collect();
        json!({"name": view.name(), "description": about(view), "key": view.key(), "columns": columns})
    });
    json!({ "views": views })
}
