//! The program: see `otklik --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    otklik::cli::main()
}
