//! The named moments at which a process is killed, as data for the shim (`common/shim.c`).

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub name: &'static str,
    /// How the life before ends, where the step needs something that is left over.
    pub before: Option<&'static str>,
    /// Call and pattern of the path.
    pub at: &'static str,
    /// The k-th such call, of `1..=k_max`, at random.
    pub k_max: u64,
    pub act: &'static str,
    /// How many checkpoints there must be, or it cannot be reached.
    pub checkpoints: usize,
}

/// All of them. One that is not reached is told with no kills.
pub const STEPS: &[Step] = &[
    step("before a frame is written", "write log/*.seg", 12, "kill-before"),
    step("mid-frame", "write log/*.seg", 12, "kill-half"),
    step("after a frame, before its sync", "write log/*.seg", 12, "kill-after"),
    step("after the sync, before the answer", "sync log/*.seg", 12, "kill-after"),
    step("before the watermark", "write log/watermark", 12, "kill-before"),
    step("after the watermark, before the answer", "write log/watermark", 12, "kill-after"),
    step("rotation: the next segment half made", "write log/*.seg.tmp", 2, "kill-half"),
    step("rotation: made, not durable", "sync log/*.seg.tmp", 2, "kill-before"),
    step("rotation: not renamed", "rename log/*.seg", 2, "kill-before"),
    step("rotation: renamed, directory not durable", "rename log/*.seg", 2, "kill-after"),
    after(TORN, "recovery: before the tail is cut", "truncate log/*.seg", "kill-before"),
    after(TORN, "recovery: cut, not durable", "truncate log/*.seg", "kill-after"),
    after(DOUBT, "recovery: the copy half made", "write log/*.seg.tmp", "kill-half"),
    after(DOUBT, "recovery: the copy not durable", "sync log/*.seg.tmp", "kill-before"),
    after(DOUBT, "recovery: renamed, directory not durable", "rename log/*.seg", "kill-after"),
    after(DOUBT, "recovery: before the watermark", "write log/watermark", "kill-before"),
    step("checkpoint: before it is made", "create checkpoint/*.tmp", 1, "kill-before"),
    step("checkpoint: half written", "write checkpoint/*.tmp", 1, "kill-half"),
    step("checkpoint: written, not durable", "sync checkpoint/*.tmp", 1, "kill-before"),
    step("checkpoint: proved, not renamed", "rename checkpoint/*.ckpt", 1, "kill-before"),
    step("checkpoint: renamed, directory not durable", "rename checkpoint/*.ckpt", 1, "kill-after"),
    old("checkpoint: before an old one is removed", "remove checkpoint/*.ckpt", "kill-before"),
    old("checkpoint: an old one removed", "remove checkpoint/*.ckpt", "kill-after"),
    old("archive: half packed", "write log/archive/*.seg.zst.tmp", "kill-half"),
    old("archive: packed, not listed", "rename log/archive/*.seg.zst", "kill-after"),
    old("archive: the manifest half written", "write log/archive/manifest.tmp", "kill-half"),
    old("archive: listed, the original there", "remove log/*.seg", "kill-before"),
    old("archive: the original removed, not durable", "remove log/*.seg", "kill-after"),
];

/// A frame of which half is there.
const TORN: &str = "write log/*.seg 3 kill-half";
/// A frame that is there, and not known to be durable.
const DOUBT: &str = "write log/*.seg 3 kill-after";

const fn step(name: &'static str, at: &'static str, k_max: u64, act: &'static str) -> Step {
    Step { name, before: None, at, k_max, act, checkpoints: 0 }
}

const fn after(
    before: &'static str,
    name: &'static str,
    at: &'static str,
    act: &'static str,
) -> Step {
    Step { name, before: Some(before), at, k_max: 1, act, checkpoints: 0 }
}

/// What happens only when all checkpoints that are kept are there.
const fn old(name: &'static str, at: &'static str, act: &'static str) -> Step {
    Step { name, before: None, at, k_max: 1, act, checkpoints: 3 }
}
