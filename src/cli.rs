//! The command line: which commands there are, and how they end.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::compute::{self, ComputeArgs};
use crate::demo::{self, DemoArgs};
use crate::generate::{self, GenerateArgs};
use crate::log_command::{self, LogArgs};
use crate::node::{self, ServeArgs};
use crate::replay::{self, CompareArgs, ReplayArgs};
use crate::verify::{self, VerifyArgs};
use crate::watch::{self, WatchArgs};
use crate::{checkpoint, telemetry, worker};

/// Satisfaction values of public services, live and exact, under Order N 120 of the Ministry of
/// Economic Development of Russia.
#[derive(Parser, Debug)]
#[command(name = "otklik", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show the whole at work: events are made, a node is started, ratings come in live
    Demo(DemoArgs),
    /// Compute every view of files of events
    Compute(ComputeArgs),
    /// Make events of realistic shape, the same for the same seed
    Generate(GenerateArgs),
    /// Run a node: ingest, log, dataflow, live outputs
    Serve(ServeArgs),
    /// Send recorded events to a node, and measure how long it takes them
    Replay(ReplayArgs),
    /// Show a view of a node, kept up to date
    Watch(WatchArgs),
    /// Tell whether two reports of replays differ by more than noise
    Compare(CompareArgs),
    /// Recompute every view by a plain program, and compare
    Verify(VerifyArgs),
    /// Look into the log of a node
    Log(LogArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Run the dataflow for a node, which starts this by itself
    #[command(hide = true)]
    Worker,
    /// Make a checkpoint for a node, which starts this by itself
    #[command(hide = true)]
    Checkpoint,
}

/// Runs the program: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Compute(args) => compute::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Serve(args) => telemetry::init(None).and_then(|()| node::run(args)),
        Command::Demo(args) => telemetry::init(Some("warn")).and_then(|()| demo::run(args)),
        Command::Replay(args) => replay::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Compare(args) => replay::run_compare(args),
        Command::Verify(args) => verify::run(args),
        Command::Log(args) => log_command::run(args),
        Command::Worker => worker::run(),
        Command::Checkpoint => checkpoint::run(),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "otklik", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("otklik: {error:#}");
            ExitCode::FAILURE
        }
    }
}
