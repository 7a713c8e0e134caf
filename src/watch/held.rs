//! The rows that a reader holds, and the proof that none is missing.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::views::digest::Digest;

/// A frame as it comes.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    /// Its name.
    pub event: &'a str,
    /// Where a reader is that has taken it in.
    pub id: Option<&'a str>,
    /// The rest.
    #[serde(borrow)]
    pub data: Data<'a>,
}

/// The data of any frame: what a kind of frame does not have is empty.
#[derive(Debug, Deserialize)]
pub struct Data<'a> {
    /// The epoch it is of.
    pub epoch: u64,
    part: Option<u64>,
    last: Option<bool>,
    #[serde(borrow, default)]
    rows: Vec<&'a RawValue>,
    after: Option<&'a str>,
    /// How many epochs came together.
    pub merged: Option<usize>,
    #[serde(borrow, default)]
    changes: Vec<Change<'a>>,
    /// Why a reader is behind, or why it ends.
    pub reason: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct Change<'a> {
    key: Map<String, Json>,
    #[serde(borrow)]
    row: Option<&'a RawValue>,
}

/// The rows at the last frame.
#[derive(Debug)]
pub struct Held {
    /// Names of the columns of the key.
    key: Vec<String>,
    /// Whether all rows of the view are followed.
    is_whole: bool,
    rows: BTreeMap<Vec<u8>, Box<str>>,
    digest: Digest,
    id: Option<String>,
}

impl Held {
    /// Nothing, of a view with these key columns.
    pub fn new(key: Vec<String>, is_whole: bool) -> Held {
        Held { key, is_whole, rows: BTreeMap::new(), digest: Digest::default(), id: None }
    }

    /// From where to go on.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The rows as JSON, by key.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &str> {
        self.rows.values().map(|row| &**row)
    }

    /// Of the rows.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Takes a frame in; whether the rows are those of its epoch now.
    ///
    /// # Errors
    /// It does not go on from what is held, or the rows are not those of the node.
    pub fn take(&mut self, frame: &Frame<'_>) -> anyhow::Result<bool> {
        let data = &frame.data;
        match frame.event {
            "snapshot" => {
                if data.part == Some(1) {
                    self.rows.clear();
                    self.digest = Digest::default();
                }
                for row in &data.rows {
                    let columns: Map<String, Json> = serde_json::from_str(row.get())?;
                    self.set(&columns, Some(row.get()));
                }
                if data.last != Some(true) {
                    return Ok(false);
                }
            }
            "changes" | "progress" => {
                let (after, id) = (data.after, self.id.as_deref());
                ensure!(after == id, "a frame goes on from {after:?} where {id:?} is held");
                for change in &data.changes {
                    self.set(&change.key, change.row.map(RawValue::get));
                }
            }
            "lagged" => {
                self.id = None;
                return Ok(false);
            }
            "end" => {
                self.id = frame.id.map(str::to_owned).or(self.id.take());
                return Ok(false);
            }
            other => bail!("a frame {other:?} that this program does not know"),
        }
        let id = frame.id.context("a frame without an id")?;
        let digest = id.split_once('-').and_then(|(_, digest)| digest.parse::<Digest>().ok());
        if self.is_whole {
            let held = self.digest;
            ensure!(digest == Some(held), "the rows of {id} are not those held, which are {held}");
        }
        self.id = Some(id.to_owned());
        Ok(true)
    }

    /// Puts a row in place of the one that has its key, or takes that away.
    fn set(&mut self, columns: &Map<String, Json>, row: Option<&str>) {
        let mut key = Vec::new();
        for name in &self.key {
            key.extend_from_slice(columns.get(name).unwrap_or(&Json::Null).to_string().as_bytes());
            key.push(0);
        }
        let gone = match row {
            Some(row) => {
                self.digest += Digest::of_json(row.as_bytes());
                self.rows.insert(key, row.into())
            }
            None => self.rows.remove(&key),
        };
        if let Some(gone) = gone {
            self.digest -= Digest::of_json(gone.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(held: &mut Held, line: &str) -> anyhow::Result<bool> {
        held.take(&serde_json::from_str(line).expect("a frame"))
    }

    fn digest(rows: &[&str]) -> Digest {
        rows.iter().map(|row| Digest::of_json(row.as_bytes())).sum()
    }

    #[test]
    fn frames_that_do_not_fit_are_errors() {
        let (a1, a2, b) = (r#"{"id":"a","n":1}"#, r#"{"id":"a","n":2}"#, r#"{"id":"b","n":1}"#);
        let snapshot = format!(
            r#"{{"event":"snapshot","id":"5-{}","data":{{"epoch":5,"part":1,"last":true,"rows":[{a1},{b}]}}}}"#,
            digest(&[a1, b])
        );
        let changes = |after: &Digest, id: Digest| {
            format!(
                r#"{{"event":"changes","id":"6-{id}","data":{{"epoch":6,"after":"5-{after}","changes":[{{"op":"upsert","key":{{"id":"a"}},"row":{a2}}},{{"op":"delete","key":{{"id":"b"}},"row":null}}]}}}}"#
            )
        };
        let begin = || {
            let mut held = Held::new(vec!["id".to_owned()], true);
            assert!(take(&mut held, &snapshot).expect("it fits"));
            held
        };
        let (before, after) = (digest(&[a1, b]), digest(&[a2]));
        let mut held = begin();
        assert!(take(&mut held, &changes(&before, after)).expect("it fits"));
        assert!(held.rows().eq([a2]));
        assert_eq!(held.id(), Some(format!("6-{after}").as_str()));
        // A frame is missing before it; a change is missing in it.
        assert!(take(&mut begin(), &changes(&after, after)).is_err());
        assert!(take(&mut begin(), &changes(&before, digest(&[a2, b]))).is_err());
        let lagged = r#"{"event":"lagged","data":{"epoch":5,"reason":"forgotten"}}"#;
        assert!(!take(&mut held, lagged).expect("it fits"));
        assert_eq!(held.id(), None);
    }
}
