//! The shim between a program and its disk (`shim.c`): compiled once, and set before a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The compiled shim.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/shim.c");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Under a name of its own first: another test may be compiling or using it.
        let own = directory.join(format!("shim-{}.so", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&own, &source])
            .output()
            .expect("a C compiler, as Rust needs one for linking");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let library = directory.join("shim.so");
        std::fs::rename(&own, &library).expect("one directory");
        library
    })
}

/// Sets the shim before a process that will use the data directory: `fault` happens, as `shim.c`
/// has it, and every call is written to `trace`.
pub fn set(command: &mut Command, data: &Path, fault: Option<&str>, trace: Option<&Path>) {
    // The kernel names files by where they really are.
    std::fs::create_dir_all(data).expect("room");
    let directory = data.canonicalize().expect("it is there");
    command.env("LD_PRELOAD", library()).env("FAULT_DIR", directory);
    if let Some(fault) = fault {
        command.env("FAULT", fault);
    }
    if let Some(trace) = trace {
        command.env("FAULT_TRACE", trace);
    }
}
