//! Where the rows are shown: a table that changes in place, or lines for a pipe.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use console::{Term, measure_text_width, style, truncate_str};
use serde_json::{Map, Value as Json};

use super::held::{Frame, Held};

/// An eye follows no more than so often.
const DRAW_INTERVAL: Duration = Duration::from_millis(250);
/// Columns of characters that one column of the table may take.
const COLUMN_CHARS_MAX: usize = 40;

/// What is told of each frame.
pub trait Screen {
    /// A frame came; `is_current` where the rows are those of its epoch.
    ///
    /// # Errors
    /// Nobody reads any more.
    fn frame(
        &mut self,
        frame: &Frame<'_>,
        line: &[u8],
        held: &Held,
        is_current: bool,
    ) -> io::Result<()>;

    /// The node is lost for now.
    ///
    /// # Errors
    /// Nobody reads any more.
    fn lost(&mut self, cause: &str) -> io::Result<()>;
}

/// Each frame on a line, as it came.
pub struct Lines;

impl Screen for Lines {
    fn frame(&mut self, _: &Frame<'_>, line: &[u8], _: &Held, _: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(line)?;
        out.flush()
    }

    fn lost(&mut self, cause: &str) -> io::Result<()> {
        writeln!(io::stderr(), "otklik: coming back: {cause}")
    }
}

/// As many rows as the terminal has place for, and a line that says how current they are.
pub struct Table {
    view: String,
    columns: Vec<String>,
    term: Term,
    lines: usize,
    drawn_at: Option<Instant>,
    status: String,
}

impl Table {
    /// Empty.
    pub fn new(view: &str, columns: Vec<String>) -> Table {
        let term = Term::buffered_stdout();
        let view = view.to_owned();
        Table { view, columns, term, lines: 0, drawn_at: None, status: String::new() }
    }

    fn draw(&mut self, held: &Held) -> io::Result<()> {
        let (height, width) = self.term.size();
        let place = usize::from(height).saturating_sub(3).max(1);
        let rows: Vec<Vec<String>> = held.rows().take(place).map(|row| self.texts(row)).collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|name| name.len()).collect();
        for row in &rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = measure_text_width(text).clamp(*width, COLUMN_CHARS_MAX.max(*width));
            }
        }
        let line = |texts: &[String]| {
            let cells = texts.iter().zip(&widths).map(|(text, width)| {
                let text = truncate_str(text, *width, "…");
                let missing = width.saturating_sub(measure_text_width(&text));
                format!("{text}{}", " ".repeat(missing))
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            truncate_str(&line, usize::from(width), "…").trim_end().to_owned()
        };
        let mut lines = vec![style(line(&self.columns)).bold().to_string()];
        lines.extend(rows.iter().map(|row| line(row)));
        let hidden = held.rows().len() - rows.len();
        let more = if hidden > 0 { format!(", {hidden} more below") } else { String::new() };
        let status = format!("{}: {} rows{more}; {}", self.view, held.rows().len(), self.status);
        lines.push(truncate_str(&status, usize::from(width), "…").into_owned());
        self.term.clear_last_lines(self.lines)?;
        for line in &lines {
            self.term.write_line(line)?;
        }
        self.lines = lines.len();
        self.drawn_at = Some(Instant::now());
        self.term.flush()
    }

    fn texts(&self, row: &str) -> Vec<String> {
        let columns: Map<String, Json> = serde_json::from_str(row).unwrap_or_default();
        let text = |name: &String| match columns.get(name) {
            Some(Json::String(text)) => text.clone(),
            Some(Json::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        self.columns.iter().map(text).collect()
    }
}

impl Screen for Table {
    fn frame(
        &mut self,
        frame: &Frame<'_>,
        _: &[u8],
        held: &Held,
        is_current: bool,
    ) -> io::Result<()> {
        self.status = match frame.event {
            "lagged" => "too long away, from the beginning".to_owned(),
            "end" => format!("ended: {}", frame.data.reason.unwrap_or_default()),
            _ => format!("epoch {}", frame.data.epoch),
        };
        let is_due = self.drawn_at.is_none_or(|at| at.elapsed() >= DRAW_INTERVAL);
        if frame.event == "end" || (is_current && is_due) { self.draw(held) } else { Ok(()) }
    }

    fn lost(&mut self, cause: &str) -> io::Result<()> {
        self.term.write_line(&style(format!("coming back: {cause}")).dim().to_string())?;
        self.lines += usize::from(self.lines > 0);
        self.term.flush()
    }
}
