//! `otklik watch`: a view of a node in the terminal, kept up to date.
//!
//! It comes back by itself when it loses the node, goes on from where it was, and checks every
//! frame: that it goes on from the one before and, where it follows a whole view, that the rows
//! held have the digest the node says. What does not fit ends it with an error.

mod follow;
pub mod held;
mod screen;

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use reqwest::Url;

/// What to watch.
#[derive(Clone, Debug, clap::Args)]
pub struct WatchArgs {
    /// A view: agencies, manager_periods, units, ...
    view: String,
    /// Conditions on columns; several values of one column are alternatives
    #[arg(value_name = "COLUMN=VALUE", value_parser = condition)]
    conditions: Vec<(String, String)>,
    /// The node
    #[arg(long, default_value = "http://127.0.0.1:8140")]
    url: Url,
    /// How to show it [default: table in a terminal, else ndjson]
    #[arg(long)]
    format: Option<Format>,
    /// Columns to show, with commas between [default: all of single values]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    fields: Vec<String>,
    /// End after this epoch
    #[arg(long, value_name = "EPOCH")]
    up_to: Option<u64>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table that changes in place
    Table,
    /// The frames of the node, one a line
    Ndjson,
}

fn condition(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("a condition is COLUMN=VALUE")?;
    Ok((column.to_owned(), value.to_owned()))
}

/// Watches until the epoch asked for, or until it is interrupted.
///
/// # Errors
/// The node says that there is no such view or column; a frame that does not fit; output that
/// cannot be written.
pub fn run(args: &WatchArgs) -> anyhow::Result<()> {
    let in_terminal = io::stdout().is_terminal();
    let fitting = if in_terminal { Format::Table } else { Format::Ndjson };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut node = follow::Node::find(args).await?;
        let columns = node.columns(&args.fields)?;
        let mut screen: Box<dyn screen::Screen> = match args.format.unwrap_or(fitting) {
            Format::Table => Box::new(screen::Table::new(&args.view, columns)),
            Format::Ndjson => Box::new(screen::Lines),
        };
        node.follow(screen.as_mut()).await
    })
}
