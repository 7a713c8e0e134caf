//! A disk that is full, a write that fails, and a second node.

use super::*;
use otklik::log::AppendError;

/// A small file system, unmounted in the end.
struct SmallDisk(TempDir, #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl SmallDisk {
    /// `None`, and the reason printed, where one may not mount.
    fn mount() -> Option<SmallDisk> {
        let guard = children();
        let directory = tempfile::tempdir().expect("a directory");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(directory.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(SmallDisk(directory, guard)),
            Ok(output) => {
                eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot run mount: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "unmounted");
    }
}

/// A full disk takes nothing away and is no end: with room again, the log goes on.
#[test]
fn a_full_disk_refuses_and_goes_on() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let data = disk.0.path().join("data");
    let frames: Vec<_> = (0..).map(|epoch| written(epoch, 100)).take(200).collect();
    // Once full within a segment, once where a segment must be made.
    for segment_bytes in [1 << 30, 4096] {
        let ballast = disk.0.path().join("ballast");
        put(&ballast, vec![1; 100 << 10]);
        let (mut writer, _) = open_with(&data, segment_bytes).expect("a new log");
        let mut appended = 0;
        let refused = loop {
            let (epoch, lines) = &frames[appended];
            match writer.append(*epoch, &mut frame(lines)) {
                Ok(_) => appended += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, AppendError::Full(_)), "{refused:?}");
        assert!(appended > 3, "some went in");
        assert_eq!(read(&data, &frames).expect("nothing is left of the refused"), appended);
        let (epoch, lines) = &frames[appended];
        let again = writer.append(*epoch, &mut frame(lines));
        assert!(matches!(again, Err(AppendError::Full(_))), "{again:?}");
        drop(writer);
        let (mut writer, opened) = open_with(&data, segment_bytes).expect("full is not damaged");
        assert_eq!((opened.frames, opened.torn), (appended as u64, None));
        std::fs::remove_file(ballast).expect("there");
        writer.append(*epoch, &mut frame(lines)).expect("room again");
        let (epoch, lines) = &frames[appended + 1];
        writer.append(*epoch, &mut frame(lines)).expect("and again");
        assert_eq!(read(&data, &frames).expect("undamaged"), appended + 2);
        drop(writer);
        std::fs::remove_dir_all(&data).expect("there");
    }
}

/// The same writer takes frames again when there is room, without being opened anew.
#[test]
fn a_refused_frame_may_be_tried_again() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let data = disk.0.path().join("data");
    let (_, lines) = written(1, 1000);
    let (mut writer, _) = open(&data).expect("a new log");
    let mut frame = frame(&lines);
    while writer.append(1, &mut frame).is_ok() {}
    let before = (writer.position(), writer.bytes());
    assert_eq!(std::fs::metadata(segment(&data, 1)).expect("there").len(), before.1);
    for _ in 0..3 {
        assert!(matches!(writer.append(1, &mut frame), Err(AppendError::Full(_))));
        assert_eq!((writer.position(), writer.bytes()), before);
    }
    let mut small = super::frame(&lines[..1]);
    writer.append(1, &mut small).expect("a small one has room");
    assert_eq!(writer.position().sequence, before.0.sequence + 1);
}

const CHILD: &str = "OTKLIK_TEST_DATA_OF_CHILD";

/// Runs this test alone in a process whose files may not grow beyond 8 KiB.
#[test]
fn a_failed_write_poisons() {
    if let Some(data) = std::env::var_os(CHILD) {
        return write_until_it_fails(Path::new(&data));
    }
    let (data, _guard) = (data(), children());
    let child = Command::new("sh")
        .arg("-c")
        // Of 512 bytes each; the signal would end the process before the write can fail.
        .arg("trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact room::a_failed_write_poisons")
        .arg(std::env::current_exe().expect("known"))
        .env(CHILD, data.path())
        .output()
        .expect("a shell");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let frames: Vec<_> = (0..).map(|epoch| written(epoch, 30)).take(100).collect();
    let (_, opened) = open(data.path()).expect("what broke off is cut");
    assert!(opened.torn.is_some() && opened.frames > 2);
    assert_eq!(read(data.path(), &frames).expect("undamaged"), opened.frames as usize);
}

fn write_until_it_fails(data: &Path) {
    let (mut writer, _) = open(data).expect("a new log");
    let mut attempts = (0..).map(|epoch| writer.append(epoch, &mut frame(&written(epoch, 30).1)));
    let failed = attempts.find_map(Result::err).expect("there is a limit");
    assert!(matches!(failed, AppendError::Failed(_)), "{failed:?}");
    let after = attempts.next().expect("endless");
    assert!(matches!(after, Err(AppendError::Poisoned)), "{after:?}");
}

#[test]
fn two_nodes_on_one_directory_are_refused() {
    let data = data();
    let first = open(data.path()).expect("a new log");
    let refused = open(data.path()).expect_err("it is in use").to_string();
    let expected = format!(
        "data directory {} is in use by process {}",
        data.path().display(),
        std::process::id()
    );
    assert_eq!(refused, expected);
    drop(first);
    open(data.path()).expect("the lock ends with its holder");
}
