//! Noticing at once that a process was killed, however much memory it has.
//!
//! The kernel frees the memory of a killed process before it closes its files. Whoever waits for the
//! end of a connection therefore waits for that: 6 ms with 50 MB, 72 with 800, most of a second for a
//! large state. But a thread that has a table of files of its own (`unshare(2)`) loses it as it ends,
//! and only the last thread of a process to end has its memory to free. So two threads hold one end
//! of a pair of sockets each, in such tables: one at least is not the last.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use tracing::info;

/// Threads that hold an end.
pub const ENDS: usize = 2;

static TIED: OnceLock<Vec<OwnedFd>> = OnceLock::new();

/// Ties whoever is given [`ends`] to this process. To be called before anything is opened: what is
/// open is held until the process ends. Where it is not allowed, as in some containers, there are no
/// ends, and connections must do.
pub fn tie() -> &'static [OwnedFd] {
    TIED.get_or_init(|| {
        (0..ENDS).map(|_| hold()).collect::<io::Result<_>>().unwrap_or_else(|error| {
            info!("processes that are killed are noticed by their connections only: {error}");
            Vec::new()
        })
    })
}

/// What is closed on the other side as soon as this process is killed; nothing if it is not tied.
pub fn ends() -> &'static [OwnedFd] {
    TIED.get().map_or(&[], Vec::as_slice)
}

/// Waits until one of these is closed on the other side, and yields its place; for ever if there are
/// none.
pub fn wait<E: AsFd>(ends: &[E]) -> usize {
    let mut polled: Vec<_> = ends.iter().map(|end| PollFd::new(end, PollFlags::RDHUP)).collect();
    loop {
        retry_on_intr(|| poll(&mut polled, None)).expect("what is open can be waited for");
        if let Some(closed) = polled.iter().position(|end| !end.revents().is_empty()) {
            return closed;
        }
    }
}

/// One end, the other of which a thread has for itself.
fn hold() -> io::Result<OwnedFd> {
    let (held, given) = UnixStream::pair()?;
    let (done, is_done) = mpsc::channel();
    thread::Builder::new().name("tether".to_owned()).spawn(move || {
        let unshared = unshare(CloneFlags::CLONE_FILES);
        // From now on its copy of the end is nobody's, and open until it ends.
        let (Ok(()), Ok(())) = (unshared, done.send(unshared)) else { return };
        loop {
            thread::park();
        }
    })?;
    is_done.recv().map_err(io::Error::other)??;
    // In the table of all other threads.
    drop(held);
    Ok(given.into())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::mesh::hand;

    #[test]
    fn an_end_is_open_while_the_process_lives_and_noticed_when_it_does_not() {
        let held = hold().expect("a thread and a pair");
        let mut polled = [PollFd::new(&held, PollFlags::RDHUP)];
        let soon = Duration::from_millis(50).try_into().expect("a time");
        assert_eq!(poll(&mut polled, Some(&soon)).expect("it can be waited for"), 0);

        let (other, end) = UnixStream::pair().expect("a pair");
        let began = Instant::now();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(other);
        });
        assert_eq!(wait(&[held.as_fd(), end.as_fd()]), 1);
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    /// The process of the next test: says nothing, has memory to free, and does not end.
    #[test]
    fn is_tied_and_large() {
        if std::env::var_os("OTKLIK_TIED").is_none() {
            return;
        }
        let stdin = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().expect("open"));
        hand::send(&stdin, tie()).expect("sent");
        let memory = std::hint::black_box(vec![1_u8; 256 << 20]);
        hand::send(&stdin, [&stdin]).expect("sent");
        thread::sleep(Duration::from_secs(600));
        drop(memory);
    }

    /// With two ends; a machine that has something else to do may hide it now and then.
    #[test]
    fn a_killed_process_is_noticed_before_its_memory_is_free() {
        let mut earlier = 0;
        for _ in 0..5 {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            let mut child = Command::new(std::env::current_exe().expect("this program"))
                .args(["--exact", "tether::tests::is_tied_and_large"])
                .env("OTKLIK_TIED", "1")
                .stdin(OwnedFd::from(theirs))
                .stdout(Stdio::null())
                .spawn()
                .expect("it starts");
            let ends = hand::receive(&ours).expect("received");
            assert_eq!(ends.len(), ENDS);
            // Its own end of the connection, which it has no more.
            drop(hand::receive(&ours).expect("received"));
            child.kill().expect("it runs");
            wait(&ends);
            let mut polled = [PollFd::new(&ours, PollFlags::RDHUP)];
            let now = Duration::ZERO.try_into().expect("a time");
            earlier += usize::from(poll(&mut polled, Some(&now)).expect("it can be asked") == 0);
            child.wait().expect("it ends");
        }
        assert!(earlier > 0, "the connection was closed as soon as the ends were");
    }
}
