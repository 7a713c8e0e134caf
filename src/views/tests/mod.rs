//! The served state against plain maps and texts.

mod kept;
mod laws;
mod written;

use dataflows::views::Row;

fn json(write: impl Fn(&Row, &mut Vec<u8>), row: &Row) -> String {
    let mut out = Vec::new();
    write(row, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}
