//! The C programs of the tests: the shim between a program and its disk (`shim.c`), and the cut of
//! a file system's power (`cut.c`). Each is compiled once by the tests that use it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Compiles `tests/common/<name>.c`; yields the file made of it.
pub fn compile(name: &str, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/common/{name}.c"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Under a name of its own first: another test may be compiling or using it.
    let own = directory.join(format!("{name}-{}", std::process::id()));
    let compiled = Command::new("cc")
        .args(["-O1", "-Wall", "-Werror", "-o"])
        .args([&own, &source])
        .args(options)
        .output()
        .expect("a C compiler, as Rust needs one for linking");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let made = directory.join(name);
    std::fs::rename(&own, &made).expect("one directory");
    made
}

/// Sets the shim before a process that will use the data directory: `fault` happens, as `shim.c`
/// has it, and every call is written to `trace`.
pub fn set(command: &mut Command, data: &Path, fault: Option<&str>, trace: Option<&Path>) {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    let shim = SHIM.get_or_init(|| compile("shim", &["-shared", "-fPIC"]));
    // The kernel names files by where they really are.
    std::fs::create_dir_all(data).expect("room");
    let directory = data.canonicalize().expect("it is there");
    command.env("LD_PRELOAD", shim).env("FAULT_DIR", directory);
    if let Some(fault) = fault {
        command.env("FAULT", fault);
    }
    if let Some(trace) = trace {
        command.env("FAULT_TRACE", trace);
    }
}
