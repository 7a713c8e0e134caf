//! A page of rows as it is written: one JSON object, a JSON object a line, or CSV.

use axum::http::{HeaderMap, header};
use dataflows::domain::Epoch;
use dataflows::views::View;

use super::problem::Problem;
use super::request::Request;
use crate::views::row_json::{plain_columns, write_some, write_text};
use crate::views::{Page, columns};

/// Rows per piece of a body that is being streamed: some tens of kilobytes.
const PIECE_ROWS_MAX: usize = 256;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `{"epoch":…,"rows":[…],"next":…}`.
    Json,
    /// A row a line.
    Lines,
    /// RFC 4180, with the names of the columns first; lists and values as JSON.
    Csv,
}

impl Format {
    /// As asked for by `format`, or else by `Accept`.
    ///
    /// # Errors
    /// 400 for a format that there is not.
    pub fn asked(request: &mut Request, headers: &HeaderMap) -> Result<Format, Problem> {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let accepts = |kind: &str| accept.is_some_and(|accept| accept.contains(kind));
        match request.take("format").as_deref() {
            Some("json") => Ok(Format::Json),
            Some("ndjson") => Ok(Format::Lines),
            Some("csv") => Ok(Format::Csv),
            Some(_) => Err(Problem::bad("bad_value", "format is json, ndjson or csv")),
            None if accepts("application/x-ndjson") => Ok(Format::Lines),
            None if accepts("text/csv") => Ok(Format::Csv),
            None => Ok(Format::Json),
        }
    }

    /// As it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Lines => "ndjson",
            Format::Csv => "csv",
        }
    }

    /// As it is announced.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Lines => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// The pieces of a body, none of which holds more than some rows.
pub struct Written {
    view: View,
    epoch: Epoch,
    page: Page,
    format: Format,
    /// By place of the column.
    fields: Vec<bool>,
    /// Rows written.
    rows: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Rows,
    Ended,
}

impl Written {
    /// Of the columns that `fields` says by their place.
    pub fn new(view: View, epoch: Epoch, page: Page, format: Format, fields: Vec<bool>) -> Written {
        Written { view, epoch, page, format, fields, rows: 0, stage: Stage::Opening }
    }

    fn open(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => {
                out.extend_from_slice(format!("{{\"epoch\":{},\"rows\":[", self.epoch).as_bytes());
            }
            Format::Csv => {
                let named = columns::columns(self.view).zip(&self.fields);
                let names = named.filter(|(_, wanted)| **wanted).map(|(column, _)| column.name);
                write_record(names, out);
            }
            Format::Lines => {}
        }
    }

    fn close(&self, out: &mut Vec<u8>) {
        if self.format == Format::Json {
            out.extend_from_slice(b"],\"next\":");
            match &self.page.next {
                Some(cursor) => write_text(cursor, out),
                None => out.extend_from_slice(b"null"),
            }
            out.push(b'}');
        }
    }
}

impl Iterator for Written {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self.stage {
            Stage::Opening => self.open(&mut out),
            Stage::Rows => {}
            Stage::Ended => return None,
        }
        self.stage = Stage::Rows;
        for row in self.page.rows.iter().skip(self.rows).take(PIECE_ROWS_MAX) {
            match self.format {
                Format::Json => {
                    if self.rows > 0 {
                        out.push(b',');
                    }
                    write_some(row, &self.fields, &mut out);
                }
                Format::Lines => {
                    write_some(row, &self.fields, &mut out);
                    out.push(b'\n');
                }
                Format::Csv => write_record(plain_columns(row, &self.fields), &mut out),
            }
            self.rows += 1;
        }
        if self.rows == self.page.rows.len() {
            self.close(&mut out);
            self.stage = Stage::Ended;
        }
        Some(out)
    }
}

fn write_record<C: AsRef<[u8]>>(columns: impl IntoIterator<Item = C>, out: &mut Vec<u8>) {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    writer.write_record(columns).expect("a buffer takes it");
}
