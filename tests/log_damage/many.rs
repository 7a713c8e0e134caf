//! Many damages at random places of a larger log: bits, and sectors zeroed, swapped and doubled, in
//! its segments, archive, manifest and watermark. Each is refused, or all is there as it was.
//!
//! `OTKLIK_DAMAGES` asks for more than the gate's few hundred, `OTKLIK_SEED` for others.

use super::*;
use otklik::log::archive;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const SECTOR: usize = 512;

/// A log of some 300 KB, three of its segments archived; its files, and the payloads of its frames.
fn larger_log() -> (TempDir, Vec<PathBuf>, Vec<Vec<u8>>) {
    let data = data();
    let frames: Vec<_> = (1..=300).map(|epoch| written(epoch, 10 + epoch % 50)).collect();
    write(data.path(), 48 << 10, &frames);
    archive(data.path(), 4).expect("undamaged");
    let listed = |directory: &str| data.path().join(directory).read_dir().expect("there");
    let mut files: Vec<PathBuf> = listed("log")
        .chain(listed("log/archive"))
        .map(|entry| entry.expect("there").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort_unstable();
    assert!(files.len() >= 7, "{files:?}");
    let payloads = frames.iter().map(|(_, lines)| frame(lines).payload().to_vec()).collect();
    (data, files, payloads)
}

/// Changes bytes in one of four ways; yields its name.
fn damage(bytes: &mut [u8], random: &mut ChaCha8Rng) -> &'static str {
    let sectors = bytes.len() / SECTOR;
    if sectors < 2 || random.random_bool(0.4) {
        let bit = random.random_range(0..bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        return "bit flipped";
    }
    let [one, other] = [(); 2].map(|()| random.random_range(0..sectors) * SECTOR);
    match random.random_range(0..3) {
        0 => {
            bytes[one..one + SECTOR].fill(0);
            "sector zeroed"
        }
        1 => {
            let kept = bytes[one..one + SECTOR].to_vec();
            bytes.copy_within(other..other + SECTOR, one);
            bytes[other..other + SECTOR].copy_from_slice(&kept);
            "sectors swapped"
        }
        _ => {
            bytes.copy_within(other..other + SECTOR, one);
            "sector doubled"
        }
    }
}

/// Whether every frame is read as it was; an error is the other good end.
fn reads_all(data: &Path, payloads: &[Vec<u8>]) -> Result<bool, ReadError> {
    let mut whole = Whole::open(data)?;
    let mut same = true;
    for payload in payloads {
        same &= whole.next_frame()?.is_some_and(|frame| frame.payload() == payload);
    }
    Ok(same && whole.next_frame()?.is_none() && whole.torn().is_none())
}

#[test]
fn no_damage_is_silent() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (damages, seed) = (asked("OTKLIK_DAMAGES").unwrap_or(300), asked("OTKLIK_SEED"));
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (data, files, payloads) = larger_log();
    assert!(reads_all(data.path(), &payloads).expect("undamaged"));
    let good: Vec<_> = files.iter().map(|path| bytes(path)).collect();
    let total: usize = good.iter().map(Vec::len).sum();
    // What was done, and how often: noticed, harmless.
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for _ in 0..damages {
        let mut place = random.random_range(0..total);
        let file = good.iter().position(|good| match place.checked_sub(good.len()) {
            Some(rest) => {
                place = rest;
                false
            }
            None => true,
        });
        let file = file.expect("a place is in a file");
        let mut bad = good[file].clone();
        let how = damage(&mut bad, &mut random);
        put(&files[file], &bad);
        let count = counts.entry(how).or_default();
        match reads_all(data.path(), &payloads) {
            Err(_) => count.0 += 1,
            Ok(all) => {
                assert!(all, "{how} in {} was silent, seed {seed}", files[file].display());
                count.1 += 1;
            }
        }
        put(&files[file], &good[file]);
    }
    println!("{damages} damages, (refused, harmless): {counts:?}");
    assert!(reads_all(data.path(), &payloads).expect("all is back"));
    let refused: u64 = counts.values().map(|(refused, _)| refused).sum();
    // Equal sectors swapped, a sector copied onto itself, a bit that zstd does not use.
    assert!(refused * 10 > damages * 9, "{refused} of {damages} were refused");
}
