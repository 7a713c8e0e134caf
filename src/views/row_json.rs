//! Rows as JSON, written by hand into a buffer: `compute` writes them by the million.

use std::sync::LazyLock;

use dataflows::calendar::{Day, Moment, Month, Quarter};
use dataflows::tally::Value;
use dataflows::views::{Row, View};

use super::cell::{Cell, cells, percent};

/// Writes a row as one JSON object without a line break: its key columns, then the others, in the
/// order of the contract.
pub fn write_row(row: &Row, out: &mut Vec<u8>) {
    write_columns(row, usize::MAX, out);
}

/// Writes the key columns of a row as one JSON object, as [`write_row`] writes them.
pub fn write_key(row: &Row, out: &mut Vec<u8>) {
    write_columns(row, row.view().key().len(), out);
}

/// Writes those columns of a row of which `wanted` says so, by their place.
pub fn write_some(row: &Row, wanted: &[bool], out: &mut Vec<u8>) {
    let mut names = names(row.view()).iter().zip(wanted);
    let mut open = b'{';
    cells(row, &mut |cell| {
        if let Some((name, true)) = names.next() {
            write_named(name, cell, &mut open, out);
        }
    });
    close(open, out);
}

fn write_columns(row: &Row, count: usize, out: &mut Vec<u8>) {
    let mut names = names(row.view()).iter().take(count);
    let mut open = b'{';
    cells(row, &mut |cell| {
        if let Some(name) = names.next() {
            write_named(name, cell, &mut open, out);
        }
    });
    close(open, out);
}

/// The columns of a view as they are written: `,"name":`.
fn names(view: View) -> &'static [String] {
    static NAMES: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
        let written = |name: &&str| format!(",\"{name}\":");
        let of = |view: View| view.key().iter().chain(view.columns()).map(written).collect();
        View::ALL.map(of).to_vec()
    });
    &NAMES[view as usize]
}

fn write_named(name: &str, cell: Cell<'_>, open: &mut u8, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(name.as_bytes());
    out[start] = *open;
    write_cell(cell, out);
    *open = b',';
}

fn close(open: u8, out: &mut Vec<u8>) {
    if open == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// The columns of which `wanted` says so as plain texts: nothing for null, lists and values as JSON.
pub fn plain_columns(row: &Row, wanted: &[bool]) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    let mut wanted = wanted.iter();
    cells(row, &mut |cell| {
        if wanted.next() == Some(&true) {
            let mut text = Vec::new();
            write_plain(cell, &mut text);
            texts.push(text);
        }
    });
    texts
}

fn write_cell(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Text(text) => write_text(text, out),
        Cell::Integer(number) => write_integer(number, out),
        Cell::Decimal(units, places) => write_decimal(units, places, out),
        Cell::Shortest(units, places) => write_shortest(units, places, out),
        Cell::Flag(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        Cell::Day(_) | Cell::Month(_) | Cell::Quarter(_) | Cell::Time(_) => {
            out.push(b'"');
            write_plain(cell, out);
            out.push(b'"');
        }
        Cell::Value(value) => {
            write_counts(b"{", value, out);
            out.extend_from_slice(b",\"percent\":");
            write_cell(percent(value), out);
            out.push(b'}');
        }
        Cell::Criteria(shares) => write_list(shares.criteria(), out, |(criterion, value), out| {
            let name = match criterion {
                9 => Cell::Text("integral"),
                number => Cell::Integer(i64::from(number)),
            };
            out.extend_from_slice(b"{\"criterion\":");
            write_cell(name, out);
            write_counts(b",", value, out);
            out.push(b'}');
        }),
        Cell::Channels(shares) => write_list(shares.channels(), out, |(channel, value), out| {
            out.extend_from_slice(b"{\"channel\":");
            write_text(channel.of_rating(), out);
            write_counts(b",", value, out);
            out.push(b'}');
        }),
        Cell::Scores(scores) => {
            write_list(scores, out, |count, out| write_integer(i64::from(count), out));
        }
    }
}

/// Writes a key's cell without quotes or escapes, as it stands in a cursor or a query: nothing for
/// what is not there. Lists and values, which no key has, are written as JSON.
pub fn write_plain(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => {}
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Day(day) => write_day(day, out),
        Cell::Month(Month(months)) => {
            write_padded(months.div_euclid(12), 4, out);
            out.push(b'-');
            write_padded(months.rem_euclid(12) + 1, 2, out);
        }
        Cell::Quarter(Quarter(quarters)) => {
            write_padded(quarters.div_euclid(4), 4, out);
            out.push(b'Q');
            write_padded(quarters.rem_euclid(4) + 1, 1, out);
        }
        Cell::Time(moment) => write_moment(moment, out),
        other => write_cell(other, out),
    }
}

fn write_list<T>(
    list: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (n, item) in list.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn write_counts(open: &[u8], value: Value, out: &mut Vec<u8>) {
    out.extend_from_slice(open);
    out.extend_from_slice(b"\"k\":");
    write_integer(value.k, out);
    out.extend_from_slice(b",\"n\":");
    write_integer(value.n, out);
}

/// Writes a JSON string.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string is JSON and a buffer takes it");
}

/// Writes a decimal integer.
pub fn write_integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_decimal(units: i64, places: u32, out: &mut Vec<u8>) {
    if units < 0 {
        out.push(b'-');
    }
    let one = 10_u64.pow(places);
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(units.unsigned_abs() / one).as_bytes());
    out.push(b'.');
    // The one in front keeps the zeros that follow it.
    out.extend_from_slice(&digits.format(one + units.unsigned_abs() % one).as_bytes()[1..]);
}

fn write_shortest(units: i64, places: u32, out: &mut Vec<u8>) {
    write_decimal(units, places, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
    if out.last() == Some(&b'.') {
        out.pop();
    }
}

/// `number >= 0` in at least `width <= 4` digits.
fn write_padded(number: i32, width: usize, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number).as_bytes();
    out.extend_from_slice(&b"0000"[..width.saturating_sub(digits.len())]);
    out.extend_from_slice(digits);
}

/// Writes a date, `YYYY-MM-DD`.
pub fn write_day(day: Day, out: &mut Vec<u8>) {
    let (year, month, day) = day.civil();
    write_padded(year, 4, out);
    for part in [month, day] {
        out.push(b'-');
        write_padded(part as i32, 2, out);
    }
}

/// RFC 3339 in the moment's own offset; the fraction only where there is one.
fn write_moment(moment: Moment, out: &mut Vec<u8>) {
    const DAY_SECONDS: i64 = 86_400;
    let local = moment.micros() + i64::from(moment.offset_minutes()) * 60_000_000;
    let (seconds, micros) = (local.div_euclid(1_000_000), local.rem_euclid(1_000_000));
    let time = seconds.rem_euclid(DAY_SECONDS) as i32;
    write_day(moment.day(), out);
    for (mark, part) in [(b'T', time / 3600), (b':', time / 60 % 60), (b':', time % 60)] {
        out.push(mark);
        write_padded(part, 2, out);
    }
    if micros != 0 {
        let mut digits = itoa::Buffer::new();
        out.push(b'.');
        out.extend_from_slice(&digits.format(1_000_000 + micros).as_bytes()[1..]);
    }
    let offset = moment.offset_minutes();
    out.push(if offset < 0 { b'-' } else { b'+' });
    write_padded(offset.abs() / 60, 2, out);
    out.push(b':');
    write_padded(offset.abs() % 60, 2, out);
}
