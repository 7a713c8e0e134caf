//! What the program says of itself while it runs: lines for people, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Starts writing: lines at and above the level `filter` names, which is of the form `info` or
/// `warn,otklik::door=debug`; without one, what `OTKLIK_LOG` says; without that, `info`.
///
/// # Errors
/// A filter that is none, or a second call.
pub fn init(filter: Option<&str>) -> anyhow::Result<()> {
    let from_environment = std::env::var("OTKLIK_LOG").ok();
    let directives = filter.or(from_environment.as_deref()).unwrap_or("info");
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| anyhow::anyhow!("log level {directives:?} is none: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging is already set up: {error}"))
}
