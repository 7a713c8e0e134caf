//! Power cuts: a file system on a loop device is shut down while a child appends to a log on it, so
//! that whatever was not on the disk is gone. All that was answered must be there afterwards.
//!
//! An answer counts when the next one has come too: an `fdatasync` that is under way in the moment
//! of the cut may return although the cut has overtaken it, as no real disk would. The control is a
//! child whose syncs do nothing: it must lose answers, or the method proves nothing.
//!
//! Needs root, loop devices, `mkfs.ext4` and `mkfs.xfs`; without, it says so and is no test.
//! `OTKLIK_POWER_CUTS` asks for more than the gate's few; `OTKLIK_REPORT` gets the outcome.

use super::faults::shim;
use super::*;
use otklik::log::archive;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc;
use std::time::Duration;

const DATA: &str = "OTKLIK_TEST_DATA_OF_POWER";
/// After so many cuts of one log a new one is begun.
const CUTS_PER_LOG: usize = 20;
const SEGMENT_BYTES: u64 = 64 << 10;
const SYNCS_DO_NOTHING: &str = "sync * 1+ skip";

fn numbered(number: u64) -> Written {
    written(number, 1 + number % 40)
}

/// The child: not a test by itself.
#[test]
fn child() {
    let Some(data) = std::env::var_os(DATA) else { return };
    let data = Path::new(&data);
    // The power may be gone before it is open; what the log says then, the parent will see.
    let Ok((mut writer, opened)) = open_with(data, SEGMENT_BYTES) else { return };
    let mut out = std::io::stdout();
    for number in opened.frames + 1.. {
        let (epoch, lines) = numbered(number);
        let appended = writer.append(epoch, &mut frame(&lines));
        // The disk is gone: so is the machine.
        if appended.is_err() || writeln!(out, "appended {number}").is_err() {
            return;
        }
        if number % 50 == 0 {
            archive(data, u32::MAX).ok();
        }
    }
}

/// A file system on a loop device in memory, and where it is mounted.
struct Disk {
    directory: TempDir,
    device: String,
}

/// Runs a program to its end; what it printed, or why it failed.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = super::run(Command::new(program).args(arguments));
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

impl Disk {
    fn make(kind: &str) -> Result<Disk, String> {
        let directory = data();
        let image = directory.path().join("image");
        let bytes = if kind == "xfs" { 320 << 20 } else { 64 << 20 };
        let file = std::fs::File::create(&image).expect("room");
        file.set_len(bytes).expect("sparse");
        let image = image.to_str().expect("UTF-8");
        run(&format!("mkfs.{kind}"), &["-q", image])?;
        let device = run("losetup", &["--find", "--show", image])?;
        std::fs::create_dir(directory.path().join("mount")).expect("room");
        let disk = Disk { directory, device };
        disk.mount()?;
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &[&self.device, self.path().to_str().expect("UTF-8")]).map(drop)
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[self.path().to_str().expect("UTF-8")]).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount().ok();
        run("losetup", &["--detach", &self.device]).ok();
    }
}

/// Lets a child append for a while, cuts the power, and mounts again. Yields the last number that
/// was answered and followed by another answer.
///
/// The while begins with the first answer, or with the start: then the cut may be in a recovery.
fn cut(disk: &Disk, cut: &Path, data: &Path, fault: Option<&str>, life: Life) -> u64 {
    let mut command = Command::new(std::env::current_exe().expect("known"));
    command.args(["--exact", "power::child", "--nocapture"]).env(DATA, data);
    if fault.is_some() {
        shim::set(&mut command, data, fault, None);
    }
    let mut child = spawn(command.stdout(Stdio::piped())).expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (answer, answers) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let numbers = lines.map_while(Result::ok).filter_map(|line| {
            let number: u64 = line.split_once("appended ")?.1.parse().ok()?;
            // Only the first is waited for.
            answer.send(()).ok();
            Some(number)
        });
        numbers.last().unwrap_or(0)
    });
    if life.from_first_answer {
        answers.recv_timeout(Duration::from_secs(20)).expect("the child appends");
    }
    std::thread::sleep(life.length);
    let cut = super::run(Command::new(cut).arg(disk.path())).expect("it starts").status;
    assert!(cut.success(), "the power is cut");
    child.kill().ok();
    child.wait().expect("it ends");
    let last = reader.join().expect("no panic");
    disk.unmount().expect("nobody uses it");
    disk.mount().expect("the file system recovers");
    last.saturating_sub(1)
}

/// How long a child lives.
struct Life {
    length: Duration,
    from_first_answer: bool,
}

/// What a campaign on one kind of file system found.
#[derive(Debug, Default)]
struct Cuts {
    answered: u64,
    torn: usize,
    copied: usize,
    /// Cuts after which an answer was missing, or the log refused to open.
    lossy: usize,
}

fn campaign(disk: &Disk, cuts: usize, fault: Option<&str>, random: &mut ChaCha8Rng) -> Cuts {
    let program = shim::compile("cut", &[]);
    let data = disk.path().join("data");
    let mut found = Cuts::default();
    let mut before = 0;
    for number in 0..cuts {
        if number % CUTS_PER_LOG == 0 || (fault.is_some() && before == 0) {
            std::fs::remove_dir_all(&data).ok();
            std::fs::create_dir(&data).expect("room");
            // A power cut takes a directory that nobody made durable; here it is to be there.
            run("sync", &["--file-system", disk.path().to_str().expect("UTF-8")]).expect("synced");
            before = 0;
        }
        let life = Life {
            length: Duration::from_millis(random.random_range(1..300)),
            from_first_answer: fault.is_some() || random.random_bool(0.8),
        };
        let answered = cut(disk, &program, &data, fault, life);
        found.answered += answered.saturating_sub(before);
        before = match open_with(&data, SEGMENT_BYTES) {
            Ok((_, opened)) if opened.frames >= answered.max(before) => {
                found.torn += usize::from(opened.torn.is_some());
                found.copied += usize::from(opened.copied);
                let frames: Vec<_> = (1..=opened.frames).map(numbered).collect();
                let read = read(&data, &frames).expect("undamaged");
                assert_eq!(read as u64, opened.frames);
                opened.frames
            }
            _ => {
                found.lossy += 1;
                0
            }
        };
        assert!(fault.is_some() || found.lossy == 0, "cut {number}: of {answered} some are lost");
    }
    found
}

#[test]
fn power_cuts_take_nothing_that_was_answered() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let cuts: usize = asked("OTKLIK_POWER_CUTS").map_or(2, |cuts: u64| cuts as usize);
    let seed = asked("OTKLIK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for kind in ["ext4", "xfs"] {
        let disk = match Disk::make(kind) {
            Ok(disk) => disk,
            Err(reason) => {
                eprintln!("not tested: no {kind} on a loop device here: {reason}");
                continue;
            }
        };
        let found = campaign(&disk, cuts, None, &mut random);
        let control = campaign(&disk, 1 + cuts / 10, Some(SYNCS_DO_NOTHING), &mut random);
        assert!(control.lossy > 0, "a log that is never synced loses answers: {control:?}");
        let text = format!(
            "| {kind} | {cuts} | {} | 0 | {} | {} | {} of {} |\n",
            found.answered,
            found.torn,
            found.copied,
            control.lossy,
            1 + cuts / 10
        );
        println!("{text}");
        if let Some(path) = std::env::var_os("OTKLIK_REPORT") {
            let file = std::fs::File::options().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a report");
        }
    }
}
