//! The bytes of a checkpoint, drawn in `docs/log-format.md`: a label, then blocks, the last of
//! which says how many there are. Reading is strict: what is not exactly as it was written is
//! damaged, whatever it is.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use bincode::Options as _;
use dataflows::calendar::Hour;
use dataflows::cells::Rated;
use dataflows::domain::{Epoch, Message, Place, Record, Reference};
use dataflows::id::{Id, numbered};
use dataflows::records::Outcome;
use dataflows::views::Row;
use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::log::Position;
use crate::views::digest::Digest;

const MAGIC: [u8; 8] = *b"otklikcp";
/// What this program writes, and all that it reads.
pub const FORMAT: u32 = 3;
/// Bytes of a block before its payload.
const BLOCK_HEADER_BYTES: usize = 16;
/// A block unpacks to at most so many bytes: bounds the memory of a reader.
const BLOCK_BYTES_MAX: u32 = 64 << 20;
/// The number of packed bytes that says "this was the last block".
const END: u32 = u32::MAX;
const LEVEL: i32 = 1;

/// What a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The log.
    pub log: u64,
    /// The rules and the version it was made with ([`super::fingerprint`]).
    pub fingerprint: Digest,
    /// It holds all of this epoch and nothing later.
    pub epoch: Epoch,
    /// Where the log goes on after it.
    pub position: Position,
    /// Events of the log before that.
    pub events: u64,
    /// Open records.
    pub open: u64,
    /// The hour told last.
    pub hour: Option<Hour>,
    /// The latest time of receipt, microseconds since 1970.
    pub latest: i64,
    /// Where the horizon cut last, microseconds since 1970.
    pub cut: Option<i64>,
    /// What it must come to.
    pub chain: Chain,
}

/// What a block holds. They come in this order, the lists in any number of blocks each, those of open
/// records and of ratings by turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// The first block.
    Head(Box<Head>),
    /// The texts of ids, which all that follows has as numbers from 0.
    Ids(Vec<String>),
    /// The rows of `survey_sample` and `survey_lists`.
    Drawn(Vec<Row>),
    /// Ids of closed records, as a serialised `RoaringTreemap`, cut into pieces.
    Closed(Vec<u8>),
    /// Reference data in force.
    References(Vec<Reference>),
    /// Open records with their messages.
    Open(Vec<(Record, Vec<Message>)>),
    /// What the ratings of closed records came to, each place once.
    Rated(Vec<(Place, Rated)>),
    /// What else they came to, and how often.
    Settled(Vec<(Outcome, i64)>),
}

/// A checkpoint cannot be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CheckpointError {
    #[error("it cannot be read")]
    File(#[from] io::Error),
    #[error("it does not begin as a checkpoint does")]
    Magic,
    #[error("it has format {found}, this program reads {FORMAT}")]
    Format { found: u32 },
    #[error("block {block} at byte {byte} is corrupt: {what}")]
    Block { block: u32, byte: u64, what: &'static str },
}

/// Writes a checkpoint, block after block.
pub struct Blocks<W> {
    out: W,
    blocks: u32,
    plain: Vec<u8>,
}

impl<W: Write> Blocks<W> {
    /// Begins with the label.
    pub fn begin(mut out: W) -> io::Result<Blocks<W>> {
        out.write_all(&MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        Ok(Blocks { out, blocks: 0, plain: Vec::new() })
    }

    /// Adds a block.
    pub fn push(&mut self, part: &Part) -> io::Result<()> {
        self.plain.clear();
        let written = numbered(&mut Vec::new(), || {
            bincode::DefaultOptions::new().serialize_into(&mut self.plain, part)
        });
        written.map_err(io::Error::other)?;
        let plain = u32::try_from(self.plain.len()).map_err(io::Error::other)?;
        assert!(plain <= BLOCK_BYTES_MAX, "parts are cut small");
        let packed = zstd::bulk::compress(&self.plain, LEVEL)?;
        let length = u32::try_from(packed.len()).map_err(io::Error::other)?;
        self.write(length, plain, &packed)
    }

    /// Adds the last block, and gives back the writer.
    pub fn end(mut self) -> io::Result<W> {
        self.write(END, self.blocks, &[])?;
        Ok(self.out)
    }

    fn write(&mut self, length: u32, plain: u32, packed: &[u8]) -> io::Result<()> {
        let checksum = checksum(self.blocks, length, plain, packed);
        for word in [self.blocks, length, plain, checksum] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.blocks += 1;
        self.out.write_all(packed)
    }
}

fn checksum(block: u32, length: u32, plain: u32, packed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for word in [block, length, plain] {
        hasher.update(&word.to_le_bytes());
    }
    hasher.update(packed);
    hasher.finalize()
}

/// A checkpoint that is being read.
pub struct Checkpoint<R> {
    input: R,
    block: u32,
    byte: u64,
    ended: bool,
    packed: Vec<u8>,
    ids: Vec<Id>,
}

impl Checkpoint<BufReader<File>> {
    /// Opens a file; yields what it is of.
    ///
    /// # Errors
    /// [`CheckpointError`], if its first block is not whole.
    pub fn open(path: &Path) -> Result<(Head, Self), CheckpointError> {
        Checkpoint::read(BufReader::with_capacity(1 << 20, File::open(path)?))
    }

    /// Reads a whole file and checks every byte; yields what it is of. Unpacks only the first block.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn check(path: &Path) -> Result<Head, CheckpointError> {
        let (head, mut rest) = Checkpoint::open(path)?;
        while rest.block()?.is_some() {}
        Ok(head)
    }
}

impl<R: Read> Checkpoint<R> {
    /// Begins to read; yields what it is of.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn read(mut input: R) -> Result<(Head, Checkpoint<R>), CheckpointError> {
        let mut label = [0; 12];
        input.read_exact(&mut label)?;
        if label[..8] != MAGIC {
            return Err(CheckpointError::Magic);
        }
        let found = u32::from_le_bytes(label[8..].try_into().expect("four bytes"));
        if found != FORMAT {
            return Err(CheckpointError::Format { found });
        }
        let (byte, packed, ids) = (label.len() as u64, Vec::new(), Vec::new());
        let mut checkpoint = Checkpoint { input, block: 0, byte, ended: false, packed, ids };
        match checkpoint.next_part()? {
            Some(Part::Head(head)) => Ok((*head, checkpoint)),
            _ => Err(checkpoint.corrupt("it is not the head")),
        }
    }

    /// The next part, but for the texts of ids, which it keeps; `None` after the last, when every byte
    /// of the file has been checked.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn next_part(&mut self) -> Result<Option<Part>, CheckpointError> {
        loop {
            let (block, byte) = (self.block, self.byte);
            let corrupt = |what| CheckpointError::Block { block, byte, what };
            let Some(plain) = self.block()? else { return Ok(None) };
            let unpacked = zstd::bulk::decompress(&self.packed, plain as usize)
                .map_err(|_| corrupt("it does not unpack"))?;
            if unpacked.len() != plain as usize {
                return Err(corrupt("it unpacks to another length"));
            }
            let options = bincode::DefaultOptions::new().with_limit(u64::from(BLOCK_BYTES_MAX));
            let part = numbered(&mut self.ids, || options.deserialize(&unpacked));
            match part.map_err(|_| corrupt("it is no part"))? {
                Part::Ids(texts) => self.ids.extend(Id::of_all(&texts)),
                part => return Ok(Some(part)),
            }
        }
    }

    /// Bytes of the file read so far.
    pub fn position(&self) -> u64 {
        self.byte
    }

    /// Reads the next block into `packed`; yields the length it unpacks to, or `None` at the end.
    fn block(&mut self) -> Result<Option<u32>, CheckpointError> {
        if self.ended {
            return Ok(None);
        }
        let mut header = [0; BLOCK_HEADER_BYTES];
        self.fill(&mut header)?;
        let word =
            |n: usize| u32::from_le_bytes(header[4 * n..4 * n + 4].try_into().expect("four bytes"));
        let [number, length, plain, expected] = [word(0), word(1), word(2), word(3)];
        let is_last = length == END;
        let bound = zstd::zstd_safe::compress_bound(BLOCK_BYTES_MAX as usize);
        if !is_last && (length as usize > bound || plain > BLOCK_BYTES_MAX) {
            return Err(self.corrupt("it is longer than any block"));
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        if !is_last {
            let read = self.input.by_ref().take(u64::from(length)).read_to_end(&mut packed)?;
            if read < length as usize {
                return Err(self.corrupt("it breaks off"));
            }
        }
        if number != self.block || checksum(number, length, plain, &packed) != expected {
            return Err(self.corrupt("its checksum differs"));
        }
        self.packed = packed;
        if is_last {
            self.ended = true;
            if plain != self.block || self.input.read(&mut [0])? != 0 {
                return Err(self.corrupt("it is not the end"));
            }
            return Ok(None);
        }
        self.block += 1;
        self.byte += (BLOCK_HEADER_BYTES + self.packed.len()) as u64;
        Ok(Some(plain))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CheckpointError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.corrupt("it breaks off"),
            _ => error.into(),
        })
    }

    fn corrupt(&self, what: &'static str) -> CheckpointError {
        CheckpointError::Block { block: self.block, byte: self.byte, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            log: 8,
            fingerprint: Digest::of_json(b"rules"),
            epoch: 7,
            position: Position { segment: 1, offset: 44, sequence: 0 },
            events: 3,
            open: 0,
            hour: Some(Hour(9)),
            latest: 5,
            cut: None,
            chain: Chain::default(),
        }
    }

    fn written() -> Vec<u8> {
        let mut blocks = Blocks::begin(Vec::new()).expect("memory");
        blocks.push(&Part::Head(Box::new(head()))).expect("memory");
        blocks.push(&Part::Closed((0..200).collect())).expect("memory");
        blocks.push(&Part::Settled(vec![(Outcome::Accepted, 12)])).expect("memory");
        blocks.end().expect("memory")
    }

    fn parts(bytes: &[u8]) -> Result<(Head, Vec<Part>), CheckpointError> {
        let (head, mut rest) = Checkpoint::read(bytes)?;
        let mut parts = Vec::new();
        while let Some(part) = rest.next_part()? {
            parts.push(part);
        }
        Ok((head, parts))
    }

    #[test]
    fn a_checkpoint_is_read_as_written() {
        let (read, parts) = parts(&written()).expect("whole");
        assert_eq!(read, head());
        let settled = Part::Settled(vec![(Outcome::Accepted, 12)]);
        assert_eq!(parts, [Part::Closed((0..200).collect()), settled]);
    }

    /// The reader may be another process, in which a text has another number.
    #[test]
    fn an_id_is_a_number_that_stands_for_its_text_in_the_file() {
        let id = Id::of("of the writer");
        let settled = |id| Part::Settled(vec![(Outcome::Fact(id), 1)]);
        let read = |texts: Vec<&str>| {
            let mut blocks = Blocks::begin(Vec::new()).expect("memory");
            blocks.push(&Part::Head(Box::new(head()))).expect("memory");
            let texts = texts.into_iter().map(str::to_owned).collect();
            blocks.push(&Part::Ids(texts)).expect("memory");
            blocks.push(&settled(id)).expect("memory");
            parts(&blocks.end().expect("memory")).map(|(_, parts)| parts)
        };
        let mut texts = Id::texts(0);
        assert_eq!(read(texts.clone()).expect("whole"), [settled(id)]);
        let place = texts.iter().position(|text| *text == id.text()).expect("it is there");
        texts[place] = "of the reader";
        assert_eq!(read(texts.clone()).expect("whole"), [settled(Id::of("of the reader"))]);
        texts.truncate(place);
        assert!(matches!(read(texts), Err(CheckpointError::Block { block: 2, .. })));
    }

    /// Every bit of it, and every place where it may break off.
    #[test]
    fn all_damage_is_noticed() {
        let whole = written();
        for bit in 0..8 * whole.len() {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parts(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(parts(&whole[..length]).is_err(), "{length} bytes");
        }
        assert!(parts(&[&whole[..], &[0]].concat()).is_err(), "a byte more");
        println!("{} bits, {} places", 8 * whole.len(), whole.len());
    }

    proptest::proptest! {
        /// Whatever the bytes are, reading them ends, without a panic.
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, cut in 0_usize..400) {
            let mut spliced = written();
            spliced.truncate(cut);
            spliced.extend(&bytes);
            drop(parts(&spliced));
            drop(parts(&bytes));
        }
    }
}
