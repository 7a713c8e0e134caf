//! `otklik checkpoint`, hidden: the process that makes a checkpoint for a node and ends.
//!
//! A process of its own, at low priority, so that the node and its worker do not notice: it folds
//! the log since the checkpoint before, writes a file under another name, makes it durable, puts
//! what it reads back through a dataflow of its own, and gives the file its name only if the
//! digests are those that were live. Killed at any moment, it leaves a file that means nothing.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dataflows::domain::Epoch;
use dataflows::views::{Row, View};
use serde::{Deserialize, Serialize};

use super::format::{Checkpoint, Head};
use super::past::Past;
use super::{KEPT, choose, directory, fingerprint, list, path, restore};
use crate::chain::Chain;
use crate::log::{self, Position, Reader};
use crate::protocol;
use crate::rules::Rules;
use crate::world::switches;

/// After the node and its worker in the queue for the processor: the least share there is.
const NICENESS: i32 = 19;

/// What a node asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its data directory.
    pub data: PathBuf,
    /// The rules in force.
    pub rules: Rules,
    /// Timely workers to compare with.
    pub workers: usize,
    /// The epoch the checkpoint is to be of: closed, and computed.
    pub epoch: Epoch,
    /// Where the log goes on after it.
    pub position: Position,
    /// The rows of `survey_sample` and `survey_lists` then.
    pub drawn: Vec<Row>,
    /// What was live then.
    pub chain: Chain,
}

/// What was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Events of the log it stands for.
    pub events: u64,
    /// Records that can still change.
    pub open: u64,
    /// Records that cannot.
    pub closed: u64,
    /// Cells with ratings of those: what they are kept as.
    pub cells: u64,
    /// Segments of the log that were archived since all kept checkpoints are beyond them.
    pub archived: u64,
}

/// Runs the command: an [`Order`] on standard input, [`Written`] on standard output.
///
/// # Errors
/// What cannot be read or written; figures that differ from those that were live.
pub fn run() -> anyhow::Result<()> {
    // Without it the checkpoint only takes longer to be right.
    rustix::process::nice(NICENESS).ok();
    let order = protocol::receive(&mut std::io::stdin().lock())?;
    let Some(order) = order else { bail!("checkpoints are made by a node, not by hand") };
    let written = make(&order)?;
    protocol::send(&mut std::io::stdout().lock(), &written)?;
    Ok(())
}

/// Makes the checkpoint that is ordered, and removes what is older than the kept ones.
///
/// # Errors
/// As [`run`]. Nothing of it is left then but, perhaps, a file of another name.
pub fn make(order: &Order) -> anyhow::Result<Written> {
    let mut past = gather(order)?;
    let (open, closed, cells) = past.sizes();
    let events = past.head.events;
    let directory = directory(&order.data);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    sweep(&directory).with_context(|| format!("cannot tidy {}", directory.display()))?;
    let path = path(&order.data, order.epoch);
    let unfinished = path.with_added_extension("tmp");
    let bytes = store(&mut past, &order.drawn, &unfinished)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    // Before the second copy of it all comes into memory.
    drop(past);
    if let Err(error) = prove(order, &unfinished) {
        std::fs::remove_file(&unfinished).ok();
        return Err(error);
    }
    std::fs::rename(&unfinished, &path)
        .and_then(|()| File::open(&directory)?.sync_all())
        .with_context(|| format!("cannot name {}", path.display()))?;
    let archived = tidy(&order.data)?;
    Ok(Written { path, bytes, events, open, closed, cells, archived })
}

/// The past up to the epoch, from the newest checkpoint before it.
fn gather(order: &Order) -> anyhow::Result<Past> {
    let Order { data, rules, epoch, position, .. } = order;
    let log = log::id(data)?;
    let switches = switches(rules);
    let base = choose(data, log, rules)?.filter(|(_, head)| head.epoch < *epoch);
    let (mut past, mut reader) = match base {
        Some((path, _)) => {
            let (head, parts) = Checkpoint::open(&path)?;
            let reader = Reader::open_at(data, head.position)?;
            (Past::load(head, parts, switches)?, reader)
        }
        None => {
            let reader = Reader::open(data)?;
            let head = Head {
                log,
                fingerprint: fingerprint(rules),
                epoch: 0,
                position: reader.position(),
                events: 0,
                open: 0,
                hour: None,
                latest: i64::MIN,
                cut: None,
                chain: Chain::default(),
            };
            (Past::beginning(head, switches), reader)
        }
    };
    past.read(&mut reader, *position)?;
    if past.head.epoch > *epoch {
        bail!("the log has epoch {} before the end of epoch {epoch}", past.head.epoch);
    }
    past.head.epoch = *epoch;
    past.head.chain = order.chain.clone();
    Ok(past)
}

fn store(past: &mut Past, drawn: &[Row], unfinished: &Path) -> std::io::Result<u64> {
    let file = BufWriter::with_capacity(1 << 20, File::create(unfinished)?);
    let file = past.write(drawn, file)?.into_inner()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Restores the file and compares what comes of it with what was live.
fn prove(order: &Order, unfinished: &Path) -> anyhow::Result<()> {
    let restored = restore(unfinished, order.workers, &order.rules, |_, _| ())?;
    let (mut feed, mut results) = (restored.feed, restored.results);
    let proof = std::thread::spawn(move || {
        let mut chain = Chain::default();
        while let Some(closed) = results.next_closed() {
            closed.epochs.values().for_each(|changes| chain.change(changes));
        }
        chain
    });
    feed.close(order.epoch + 1);
    drop(feed);
    let chain = proof.join().expect("a panic ends the process");
    let differing = chain.differing(&order.chain);
    if !differing.is_empty() {
        let names: Vec<&str> = differing.into_iter().map(View::name).collect();
        bail!("the checkpoint comes to other figures than were live: {}", names.join(", "));
    }
    Ok(())
}

/// Removes what was left half made by a process that was killed: only one makes them at a time.
fn sweep(directory: &Path) -> std::io::Result<()> {
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes what is older than the kept ones, and archives the log before all of them.
fn tidy(data: &Path) -> anyhow::Result<u64> {
    let all = list(data)?;
    for old in all.iter().skip(KEPT) {
        std::fs::remove_file(old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    let Some(oldest) = all.get(KEPT - 1) else { return Ok(0) };
    let (head, _) = Checkpoint::open(oldest)?;
    Ok(u64::from(log::archive(data, head.position.segment)?.segments))
}
