//! What the node and its worker say to each other, over one Unix socket.
//!
//! The node starts the worker with one end of a socket pair as its standard input, so nobody else
//! can connect and either side sees at once that the other is gone. Each message is a length
//! (`u32`, little-endian) and that many bytes of bincode 1.3; the two are always the same build.
//! In what the worker says ([`Teller`], [`Listener`]) ids are numbers: their texts are told once.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use bincode::Options;
use dataflows::ask::{Answer, Ask};
use dataflows::calendar::Hour;
use dataflows::domain::Epoch;
use dataflows::id::{Id, numbered};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::log::Position;
use crate::rules::Rules;
use crate::views::Update;

/// Room kept from message to message: those of a first state are larger.
const ROOM_BYTES: usize = 4 << 20;
/// Ids told in one message.
const IDS_MAX: usize = 1 << 16;

/// Node → worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The first message, once: what to compute, and from which logs.
    Start {
        /// The node's data directory.
        data: PathBuf,
        /// Data directories of nodes that are no more, and where their logs end.
        adopted: Vec<(PathBuf, Position)>,
        /// Timely workers, as threads.
        workers: usize,
        /// The switches of the rules.
        rules: Rules,
        /// The worker owes a [`Report::Closed`] of this `upper` before all others, so that what was
        /// told of that epoch can be gone on from. It is below the epoch of the first
        /// [`Command::Advance`].
        first: Option<Epoch>,
        /// Its place among the workers of a cluster, whose sockets come over standard output. The first
        /// [`Command::Advance`] is then not below its `until`.
        seat: Option<Seat>,
    },
    /// Everything before `end` is on disk, and no later frame will be of an epoch below `epoch`: the
    /// worker reads up to `end` what is below `epoch`, and owes a [`Report::Closed`] whose
    /// `upper` is `epoch`, or that of a later command where it takes several together because it
    /// is behind. Both rise from message to message, the epoch strictly.
    Advance {
        /// Where to stop reading.
        end: Position,
        /// The first epoch that is still open.
        epoch: Epoch,
        /// The hours that were told since the last command, each with its epoch. The first command
        /// has all that are in the logs.
        hours: Vec<(Epoch, Hour)>,
    },
    /// A question about the figures: the worker owes a [`Report::Answer`] as of an epoch that it was
    /// told to close before, or after where it takes several commands together. Not before the
    /// first [`Report::Closed`].
    Ask {
        /// Its number, which the answer gives back.
        number: u64,
        /// The question.
        ask: Ask,
    },
    /// No more will come: finish and exit 0. The end of the stream means the same.
    Stop,
}

/// A worker's place in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Its number.
    pub process: usize,
    /// How many there are.
    pub processes: usize,
    /// Below this epoch all of them may take epochs together, but for the `breaks`. From it on each is
    /// fed by itself, because any of them may be what another process reports.
    pub until: Epoch,
    /// Epochs that all of them close by themselves, because some node goes on from there, or some
    /// reader; `until` too. In order.
    pub breaks: Vec<Epoch>,
}

/// Worker → node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// It begins with a checkpoint: so much of it is read, for a progress bar.
    Restoring {
        /// The epoch it is of.
        epoch: Epoch,
        /// Bytes of the file read.
        bytes: u64,
        /// Of how many.
        of: u64,
    },
    /// While it reads what was there before it started: events so far, for a progress bar.
    Reading {
        /// Events read, those that a checkpoint stands for among them.
        events: u64,
    },
    /// Every second: the process is not stopped.
    Alive,
    /// A part of the changes of the [`Report::Closed`] that comes next, where they are many.
    Part {
        /// As there.
        changes: Vec<Update>,
    },
    /// All epochs below `upper` are computed. The changes are what became of each key since the `upper`
    /// of the report before; with the first report of a worker therefore comes every row there is. A worker
    /// that is far behind reports on the way to what it owes. In a cluster there is one
    /// besides those owed for each epoch that changed something and that all compute by itself: so
    /// all nodes know the rows of the same epochs.
    Closed {
        /// The first epoch not included.
        upper: Epoch,
        /// The changes are of later epochs than this: what was told before holds for it too.
        after: Epoch,
        /// In no particular order, each key once.
        changes: Vec<Update>,
        /// The digests of all rows there are then.
        chain: Box<Chain>,
    },
    /// The answer to a question, as of the [`Report::Closed`] before it. Answers of several workers
    /// as of the same epoch add up.
    Answer {
        /// The number of the question.
        number: u64,
        /// The answer.
        answer: Box<Answer>,
    },
}

/// What goes from a [`Teller`] to a [`Listener`].
#[derive(Serialize, Deserialize)]
enum Told<R> {
    /// The texts of the ids that come next in number.
    Ids(Vec<String>),
    Report(R),
}

/// The worker's way to its node.
#[derive(Debug)]
pub struct Teller<W> {
    stream: W,
    /// So many ids have been told.
    ids: usize,
    /// Room for a message.
    bytes: Vec<u8>,
}

impl<W: Write> Teller<W> {
    /// To one who has been told nothing yet.
    pub fn new(stream: W) -> Teller<W> {
        Teller { stream, ids: 0, bytes: Vec::new() }
    }

    /// Writes one message.
    ///
    /// # Errors
    /// As [`send`].
    pub fn say(&mut self, report: &Report) -> io::Result<()> {
        let new = Id::texts(self.ids);
        self.ids += new.len();
        for texts in new.chunks(IDS_MAX) {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            send_by(&mut self.bytes, &mut self.stream, &Told::<&Report>::Ids(texts))?;
        }
        let Teller { stream, bytes, .. } = self;
        numbered(&mut Vec::new(), || send_by(bytes, stream, &Told::Report(report)))
    }
}

/// The node's end of that.
#[derive(Debug)]
pub struct Listener<R> {
    stream: R,
    ids: Vec<Id>,
    /// Room for a message.
    bytes: Vec<u8>,
}

impl<R: Read> Listener<R> {
    /// To one who has told nothing yet.
    pub fn new(stream: R) -> Listener<R> {
        Listener { stream, ids: Vec::new(), bytes: Vec::new() }
    }

    /// Reads one message; `None` where the stream ends before one begins.
    ///
    /// # Errors
    /// As [`receive`].
    pub fn hear(&mut self) -> io::Result<Option<Report>> {
        loop {
            let Listener { stream, ids, bytes } = self;
            match numbered(ids, || receive_by(bytes, stream))? {
                Some(Told::Ids(texts)) => self.ids.extend(Id::of_all(&texts)),
                Some(Told::Report(report)) => return Ok(Some(report)),
                None => return Ok(None),
            }
        }
    }
}

/// Writes one message.
///
/// # Errors
/// Of the stream; a message that is larger than four gigabytes.
pub fn send<M: Serialize>(stream: &mut impl Write, message: &M) -> io::Result<()> {
    send_by(&mut Vec::new(), stream, message)
}

fn send_by<M: Serialize>(
    bytes: &mut Vec<u8>,
    stream: &mut impl Write,
    message: &M,
) -> io::Result<()> {
    bytes.clear();
    bytes.extend([0; 4]);
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .serialize_into(&mut *bytes, message)
        .map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(bytes)?;
    bytes.clear();
    bytes.shrink_to(ROOM_BYTES);
    Ok(())
}

/// Reads one message; `None` where the stream ends before one begins.
///
/// # Errors
/// Of the stream; bytes that are no message.
pub fn receive<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<M>> {
    receive_by(&mut Vec::new(), stream)
}

fn receive_by<M: DeserializeOwned>(
    bytes: &mut Vec<u8>,
    stream: &mut impl Read,
) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length) as usize;
    bytes.clear();
    stream.by_ref().take(length as u64).read_to_end(bytes)?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let message = bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .deserialize(bytes)
        .map_err(io::Error::other)?;
    bytes.clear();
    bytes.shrink_to(ROOM_BYTES);
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::Held;
    use dataflows::tally::Value;
    use dataflows::views::Row;

    /// The text of an id goes once, before what speaks of it first.
    #[test]
    fn ids_are_told_once() {
        let report = |name: &str| {
            let row = Row::Mfc { unit: Id::of(name), value: Value { k: 1, n: 2 } };
            Report::Part { changes: vec![Update::Comes(Held::from(row))] }
        };
        let name = "A unit of which nobody has spoken before";
        let mut teller = Teller::new(Vec::new());
        let mut bytes = Vec::new();
        for report in [report("U"), report(name), report("U"), report(name), Report::Alive] {
            teller.say(&report).expect("memory");
            bytes.append(&mut teller.stream);
        }
        let told = bytes.windows(name.len()).filter(|text| *text == name.as_bytes()).count();
        assert_eq!(told, 1);
        let mut listener = Listener::new(&bytes[..]);
        for expected in [report("U"), report(name), report("U"), report(name)] {
            let heard = listener.hear().expect("as written").expect("there are more");
            let (Report::Part { changes }, Report::Part { changes: said }) = (heard, expected)
            else {
                panic!("only parts were said");
            };
            assert_eq!(changes, said);
        }
        assert!(matches!(listener.hear(), Ok(Some(Report::Alive))));
        assert!(matches!(listener.hear(), Ok(None)));
    }
}
