//! Bytes from anywhere, given to each decoder: none panics, hangs or takes memory without bound.
//!
//! The fuzz targets (`fuzz/`) and the gate (`log_damage/arbitrary.rs`) run the same functions. Where
//! a checksum would turn everything away, there is a second function that makes it fit.

use std::path::Path;

use otklik::checkpoint::{Checkpoint, CheckpointError, FORMAT};
use otklik::event::Event;
use otklik::log::{Options, ReadError, Whole, Writer, inspect};
use tempfile::TempDir;

const LOG: u64 = 0x6f74_6b6c_696b;

/// A decoder's name, as of its corpus, and what tries it.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 7] = [
    ("line", line),
    ("frame", frame),
    ("segment", segment),
    ("watermark", watermark),
    ("manifest", manifest),
    ("packed", packed),
    ("checkpoint", checkpoint),
];

/// A line as a sender writes it. What is accepted is logged and read as it was.
pub fn line(bytes: &[u8]) {
    if let Ok(event) = Event::parse(bytes) {
        let mut frame = otklik::log::FrameBuilder::new();
        frame.push(&event).expect("a line is shorter than a frame");
        let data = log_of(&[&segment_header()[..], &sealed(1, frame.payload())].concat());
        let mut whole = Whole::open(data.path()).expect("sound");
        let read = whole.next_frame().expect("sound").expect("one");
        assert_eq!(read.events().next().expect("one").expect("sound"), event);
    }
}

/// The payload of a frame whose checksums fit; the first byte says how many events it claims.
pub fn frame(bytes: &[u8]) {
    let (count, payload) = bytes.split_first().map_or((1, bytes), |(n, rest)| (*n, rest));
    let sealed = sealed(u32::from(count.max(1)), payload);
    read_all(&[&segment_header()[..], &sealed].concat());
}

/// What stands after the header of a segment; and the same as a whole file.
pub fn segment(bytes: &[u8]) {
    read_all(bytes);
    read_all(&[&segment_header()[..], bytes].concat());
}

/// The watermark's file beside a sound segment.
pub fn watermark(bytes: &[u8]) {
    let data = log_of(&segment_header());
    put(&data.path().join("log/watermark"), bytes);
    open_every_way(data.path());
}

/// The manifest of an archive that is not there; and the same with a head that fits.
pub fn manifest(bytes: &[u8]) {
    for head in [String::new(), checked(format!("otklik archive, format 1, of log {LOG:016x}"))] {
        let data = log_of(&segment_header());
        std::fs::create_dir(data.path().join("log/archive")).expect("room");
        put(&data.path().join("log/archive/manifest"), &[head.as_bytes(), bytes].concat());
        open_every_way(data.path());
    }
}

/// A packed segment that the manifest lists with this length.
pub fn packed(bytes: &[u8]) {
    let data = log_of(&segment_header());
    let log = data.path().join("log");
    std::fs::rename(log.join("00000001.seg"), log.join("00000002.seg")).expect("room");
    std::fs::create_dir(log.join("archive")).expect("room");
    put(&log.join("archive/00000001.seg.zst"), bytes);
    let head = checked(format!("otklik archive, format 1, of log {LOG:016x}"));
    let entry = checked(format!(
        "segment 00000001 bytes 1000 sha256 {} packed {} frames 1 events 1 sequence 0 epochs 1 1",
        "00".repeat(32),
        bytes.len()
    ));
    put(&log.join("archive/manifest"), format!("{head}{entry}").as_bytes());
    assert!(Whole::open(data.path()).and_then(|mut whole| drain(&mut whole)).is_err());
    open_every_way(data.path());
}

/// A checkpoint; and the same bytes as a block, packed and with a checksum that fits: as its head, and
/// as what comes after a head and a text of an id.
pub fn checkpoint(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let mut rest = Checkpoint::read(bytes)?.1;
        while rest.next_part()?.is_some() {}
        Ok::<(), CheckpointError>(())
    };
    let _ = read(bytes);
    let _ = read(&blocks(&[bytes]));
    let head = include_bytes!("../../fuzz/corpus/checkpoint/head");
    // Of the second kind, one text, of one byte.
    let before: [&[u8]; 2] = [head, &[1, 1, 1, b'U']];
    read(&blocks(&before)).expect("they are sound");
    let _ = read(&blocks(&[before[0], before[1], bytes]));
}

/// A checkpoint of these blocks.
fn blocks(plain: &[&[u8]]) -> Vec<u8> {
    let mut out = [&b"otklikcp"[..], &FORMAT.to_le_bytes()].concat();
    let mut block = |words: [u32; 3], packed: &[u8]| {
        let words = words.map(u32::to_le_bytes).concat();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&words);
        hasher.update(packed);
        out.extend([&words[..], &hasher.finalize().to_le_bytes(), packed].concat());
    };
    for (number, plain) in (0..).zip(plain) {
        let packed = zstd::bulk::compress(plain, 1).expect("memory");
        block([number, packed.len() as u32, plain.len() as u32], &packed);
    }
    block([plain.len() as u32, u32::MAX, plain.len() as u32], &[]);
    out
}

/// A line of a manifest.
fn checked(text: String) -> String {
    format!("{text} crc {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// A log of one segment with these bytes, without a watermark.
fn log_of(bytes: &[u8]) -> TempDir {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let data = tempfile::tempdir_in(base).expect("a directory");
    std::fs::create_dir(data.path().join("log")).expect("room");
    put(&data.path().join("log/00000001.seg"), bytes);
    data
}

fn put(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("room");
}

fn read_all(segment: &[u8]) {
    open_every_way(log_of(segment).path());
}

/// For reading, for people, and for writing, which must say of a log what reading says of it.
fn open_every_way(data: &Path) {
    let read = Whole::open(data).and_then(|mut whole| drain(&mut whole));
    let _ = inspect(data, |_, _| {});
    let written = Writer::open(data, Options::default(), None, |_, _| {});
    if let (Ok(frames), Ok((_, opened))) = (&read, &written) {
        assert_eq!(*frames, opened.frames);
    }
    assert!(read.is_ok() || written.is_err(), "{read:?}, but {written:?}");
}

/// How many frames there are; what is in them may be no events.
fn drain(whole: &mut Whole) -> Result<u64, ReadError> {
    let mut frames = 0;
    while let Some(frame) = whole.next_frame()? {
        let events = frame.events().count() as u64;
        assert!(events <= u64::from(frame.count) + 1);
        frames += 1;
    }
    Ok(frames)
}

fn segment_header() -> Vec<u8> {
    let mut bytes = b"otkliklg".to_vec();
    bytes.extend([1_u32, 1].map(u32::to_le_bytes).concat());
    bytes.extend([LOG, 0, 0].map(u64::to_le_bytes).concat());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// A frame around a payload, of the first number.
fn sealed(events: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xffotk".to_vec();
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.extend([0_u64, 1].map(u64::to_le_bytes).concat());
    bytes.extend(events.to_le_bytes());
    bytes.extend(crc32fast::hash(payload).to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&LOG.to_le_bytes());
    hasher.update(&bytes);
    bytes.extend(hasher.finalize().to_le_bytes());
    bytes.extend(payload);
    bytes
}
