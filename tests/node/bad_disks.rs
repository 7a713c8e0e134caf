//! Disks that are full or lie, and directories that somebody else has.

use std::path::Path;
use std::process::Command;

use otklik::node::start;

use super::fixture::{Node, SMS, config, logged};

/// A small file system, unmounted in the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, and the reason printed, where one may not mount.
    fn mount() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(directory.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(directory));
        }
        eprintln!("not tested: a file system cannot be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "unmounted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_turns_batches_away_until_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let node = Node::on(config(&disk.0.path().join("data"))).await;
    assert_eq!(node.submit(SMS).await["accepted"], 1);

    let ballast = disk.0.path().join("ballast");
    // More than there is: what can be written is.
    std::fs::write(&ballast, vec![0; 1 << 20]).expect_err("it does not fit");
    let batch = format!("{SMS}\n").repeat(1000);
    let (status, code, _) = node.problem(node.post(batch.clone())).await;
    assert_eq!((status, code.as_str()), (503, "disk_full"));
    assert_eq!(node.get("/healthz").await.0, 200, "everything else goes on");
    assert!(node.get("/metrics").await.1.contains("otklik_log_full 1"));

    std::fs::remove_file(&ballast).expect("removed");
    while node.post(batch.clone()).send().await.expect("it answers").status() != 200 {}
    assert!(node.get("/metrics").await.1.contains("otklik_log_full 0"));
    assert_eq!(node.stop().await, 1001);
}

fn last_segment(data: &Path) -> std::path::PathBuf {
    let segments = std::fs::read_dir(data.join("log")).expect("a log");
    let paths = segments.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "seg")).max().expect("a segment")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_named_and_the_node_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::on(config(directory.path())).await;
    node.submit(format!("{SMS}\n").repeat(100)).await;
    node.submit(SMS).await;
    assert_eq!(node.stop().await, 101);

    let path = last_segment(directory.path());
    let sound = std::fs::read(&path).expect("read");
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, &bytes).expect("written");
    let running = start(config(directory.path()), "false".into()).await.expect("it listens");
    let error = running.ended().await.expect_err("it does not go on").to_string();
    assert!(error.contains("is corrupt at byte"), "{error}");
    assert!(error.contains("log segment 0001"), "{error}");
    assert_eq!(std::fs::read(&path).expect("read"), bytes, "nothing of it is changed");

    std::fs::write(&path, sound).expect("written");
    let node = Node::on(config(directory.path())).await;
    assert_eq!(node.stop().await, 101, "all is there again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_frame_at_the_end_is_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::on(config(directory.path())).await;
    node.submit(SMS).await;
    assert_eq!(node.stop().await, 1);
    let path = last_segment(directory.path());
    let mut bytes = std::fs::read(&path).expect("read");
    // The begin of a frame, as a process leaves it that is killed while it writes.
    let begun = bytes[bytes.len() / 2..][..40].to_vec();
    bytes.extend(begun);
    std::fs::write(&path, bytes).expect("written");
    let node = Node::on(config(directory.path())).await;
    node.submit(SMS).await;
    assert_eq!(node.stop().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_directory_ends_and_harms_nothing() {
    let node = Node::start().await;
    let second = start(config(&node.data), "false".into()).await.expect("another port");
    let error = second.ended().await.expect_err("the directory is taken").to_string();
    assert!(error.contains("is in use by process"), "{error}");
    assert!(error.contains(&node.data.display().to_string()), "{error}");
    assert_eq!(node.submit(SMS).await["accepted"], 1);
    assert_eq!(node.stop().await, 1);
}

/// As of a node that was killed just now.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_becomes_free_in_a_moment_is_waited_for() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("one is free");
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path());
    config.listen = taken.local_addr().expect("bound");
    let starting = tokio::spawn(start(config, "false".into()));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!starting.is_finished(), "it waits");
    drop(taken);
    let running = starting.await.expect("no panic").expect("the port is free");
    running.stop.cancel();
    running.ended().await.expect("it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let node = Node::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path());
    config.listen = node.running.address;
    let error = start(config, "false".into()).await.expect_err("the port is taken");
    assert_eq!(error.to_string(), format!("cannot listen on {}", node.running.address));
    assert!(!directory.path().join("log").exists(), "nothing is begun");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_however_the_node_ends() {
    let node = Node::start().await;
    assert_eq!(node.submit(SMS).await["accepted"], 1);
    // Read beside the running node: an answer means that it is on disk.
    assert_eq!(logged(&node.data), 1);
    node.stop().await;
}
