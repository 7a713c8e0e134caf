//! `otklik log` on sound and damaged logs, and the way to repair one from a copy.

use super::golden::golden;
use super::*;
use otklik::log::archive;
use std::fs;

fn run(command: &str, data: &Path, more: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_otklik"));
    let program = program.args(["log", command, "--data"]).arg(data).args(more);
    super::run(program).expect("the program starts")
}

/// Standard output of a run that ends well.
fn said(command: &str, data: &Path, more: &[&str]) -> String {
    let output = run(command, data, more);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn inspect_and_check_say_what_is_there() {
    for (name, first, archived) in
        [("log-v1", "00000001.seg ", 0), ("archive-v1", "00000001.seg.zst ", 1)]
    {
        let text = said("inspect", &golden(name), &[]);
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with(first)), "{text}");
        assert!(text.contains("1..7") && text.contains("7..4000000000"), "{text}");
        assert!(text.contains("sound up to byte "), "{text}");
        let hours = text.lines().filter(|line| line.contains(":00")).count();
        assert_eq!(hours, 1, "one segment tells an hour: {text}");
        let text = said("check", &golden(name), &[]);
        assert!(text.starts_with(&format!("sound: 2 segments ({archived} archived), ")), "{text}");
    }
}

/// What is exported is the same from the archive, and can be had by epochs.
#[test]
fn export_reads_the_archive_and_takes_epochs() {
    let all = said("export", &golden("log-v1"), &[]);
    assert_eq!(said("export", &golden("archive-v1"), &[]), all);
    let early = said("export", &golden("archive-v1"), &["--to-epoch", "7"]);
    let late = said("export", &golden("archive-v1"), &["--from-epoch", "8"]);
    assert!(!early.is_empty() && !late.is_empty());
    assert_eq!(early + &late, all);
}

/// The documented way: take the segment that is named from a copy, and check.
#[test]
fn a_damaged_log_is_repaired_from_a_copy() {
    let frames: Vec<_> = (1..=4).map(|epoch| written(epoch, 3)).collect();
    for archived in [0, 3] {
        let (data, backup) = (data(), data());
        write(data.path(), 10, &frames);
        let second = data.path().join("second");
        fs::copy(segment(data.path(), 2), &second).expect("room");
        archive(data.path(), archived).expect("undamaged");
        for directory in ["log", "log/archive"] {
            fs::create_dir_all(backup.path().join(directory)).expect("room");
            for file in data.path().join(directory).read_dir().into_iter().flatten() {
                let file = file.expect("there");
                if file.path().is_file() {
                    let to = backup.path().join(directory).join(file.file_name());
                    fs::copy(file.path(), to).expect("room");
                }
            }
        }
        let damaged = match archived {
            0 => "log/00000002.seg",
            _ => "log/archive/00000002.seg.zst",
        };
        let mut bad = bytes(&data.path().join(damaged));
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        put(&data.path().join(damaged), bad);
        for command in ["check", "inspect", "export"] {
            let output = run(command, data.path(), &[]);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command}");
            let place = "otklik: log segment 0002 is corrupt at byte ";
            assert!(errors.starts_with(place), "{command}: {errors}");
        }
        if archived > 0 {
            // The segment itself does as well as the packed one, and is packed again.
            fs::copy(&second, segment(data.path(), 2)).expect("room");
            assert!(said("check", data.path(), &[]).starts_with("sound: 4 segments (1 archived)"));
            archive(data.path(), 3).expect("undamaged");
            assert!(said("check", data.path(), &[]).starts_with("sound: 4 segments (2 archived)"));
        }
        fs::copy(backup.path().join(damaged), data.path().join(damaged)).expect("room");
        let text = said("check", data.path(), &[]);
        assert!(text.starts_with("sound: 4 segments"), "{text}");
        assert_eq!(read(data.path(), &frames).expect("undamaged"), 4);

        // Not any log will do.
        let other = super::data();
        write(other.path(), 10, &frames);
        fs::copy(segment(other.path(), 2), segment(data.path(), 2)).expect("room");
        let refused = run("check", data.path(), &[]);
        assert_eq!(refused.status.code(), Some(1), "a segment of another log is no copy");
    }
}
