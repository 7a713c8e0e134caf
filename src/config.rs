//! What a node is told at its start: flags over environment over file over `config/default.toml`.
//!
//! The keys, with unit, range and reason, are in that file, which is part of the binary. Whatever
//! comes later is laid over it; a key that it does not have, or a value that does not fit, is an
//! error that names the key and where it was found.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::rules::Rules;

/// The embedded file.
pub const DEFAULT: &str = include_str!("../config/default.toml");

/// The most nodes of a cluster: all of them hold every row, so more would not help.
const HOSTS_MAX: usize = 64;

/// The configuration of a node: every key is described in [`DEFAULT`], and within its range.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Config {
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub workers: usize,
    pub epoch_ms: u64,
    pub rules: Rules,
    pub log: Log,
    pub checkpoint: Checkpoint,
    pub limits: Limits,
    pub history: History,
    pub live: Live,
    pub worker: Worker,
    pub cluster: Cluster,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Log {
    pub segment_bytes: u64,
}

/// `[checkpoint]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Checkpoint {
    pub events: u64,
    pub seconds: u64,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Limits {
    pub body_bytes: usize,
    pub unpacked_bytes: usize,
    pub line_bytes: usize,
    pub batch_lines: usize,
    pub head_seconds: u64,
    pub body_seconds: u64,
    pub requests: usize,
    pub waiting_bytes: usize,
    pub connections: usize,
    pub idle_seconds: u64,
}

/// `[history]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct History {
    pub changes: usize,
    pub seconds: u64,
    pub bytes: u64,
    pub published_seconds: u64,
    pub published_bytes: u64,
}

/// `[live]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Live {
    pub subscribers: usize,
    pub behind_epochs: usize,
    pub progress_ms: u64,
}

/// `[worker]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Worker {
    pub restart_ms_max: u64,
    pub silent_seconds: u64,
    pub hang_seconds: u64,
    pub epochs_owed: usize,
}

/// `[cluster]`
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Cluster {
    pub hosts: Vec<String>,
    pub process: usize,
    pub listen: String,
    pub name: String,
    pub secret: String,
    pub silent_ms: u64,
    pub adopt: Vec<PathBuf>,
}

impl Cluster {
    /// Whether there are other nodes.
    pub fn is_set(&self) -> bool {
        !self.hosts.is_empty()
    }
}

impl fmt::Debug for Cluster {
    /// The secret stays one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cluster { hosts, process, name, silent_ms, adopt, .. } = self;
        write!(f, "node {process} of {hosts:?} in {name}, {silent_ms} ms, adopting {adopt:?}")
    }
}

/// What the command line says of the top-level keys: it comes before all else.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "config/default.toml describes every key")]
pub struct Flags {
    pub listen: Option<SocketAddr>,
    pub data: Option<PathBuf>,
    pub workers: Option<usize>,
    pub hosts: Option<Vec<String>>,
    pub process: Option<usize>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {place}")]
    Read {
        /// The file.
        place: Place,
        /// Why.
        source: io::Error,
    },
    /// Something in it is no key, no value, or out of range.
    #[error("{place} is wrong: {what}")]
    Wrong {
        /// Where it was found.
        place: Place,
        /// The key, and what is wrong with it.
        what: String,
    },
}

/// Where a value was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `config/default.toml`.
    Embedded,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag.
    CommandLine,
    /// More than one of them.
    All,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Embedded => f.write_str("config/default.toml"),
            Place::File(path) => write!(f, "configuration file {}", path.display()),
            Place::Variable(name) => write!(f, "environment variable {name}"),
            Place::CommandLine => f.write_str("the command line"),
            Place::All => f.write_str("the configuration"),
        }
    }
}

impl Default for Config {
    /// As [`DEFAULT`] says.
    fn default() -> Config {
        read(&embedded(), Place::Embedded).expect("a test reads the embedded file")
    }
}

impl Config {
    /// Reads `file`, then the `variables` that belong to a key (others are not looked at, whatever
    /// they are called: container platforms set `OTKLIK_PORT` and the like of their own), then the
    /// `flags`.
    ///
    /// # Errors
    /// The first of these that is wrong, with the key.
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: Flags,
    ) -> Result<Config, ConfigError> {
        let mut table = embedded();
        if let Some(path) = file {
            let place = Place::File(path.to_owned());
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { place: place.clone(), source })?;
            let found = text.parse().map_err(|error| wrong(&place, error))?;
            overlay(&mut table, found);
            read(&table, place)?;
        }
        for (name, text) in variables {
            if let Some(slot) = named(&mut table, &name) {
                let place = Place::Variable(name);
                *slot = parse_as(slot, &text).map_err(|what| wrong(&place, what))?;
                read(&table, place)?;
            }
        }
        let mut config = read(&table, Place::Embedded)?;
        config.listen = flags.listen.unwrap_or(config.listen);
        config.data = flags.data.unwrap_or(config.data);
        config.workers = flags.workers.unwrap_or(config.workers);
        config.cluster.hosts = flags.hosts.unwrap_or(config.cluster.hosts);
        config.cluster.process = flags.process.unwrap_or(config.cluster.process);
        config.check().map_err(|what| wrong(&Place::CommandLine, what))?;
        // What keys say of each other is looked at when all have been said.
        config.check_cluster().map_err(|what| wrong(&Place::All, what))?;
        Ok(config)
    }

    /// What must be the same on all nodes of a cluster, as text.
    pub fn in_common(&self) -> String {
        let Config { cluster, workers, epoch_ms, rules, .. } = self;
        format!("{:?} {workers} {epoch_ms} {rules:?}", cluster.hosts)
    }

    fn check(&self) -> Result<(), String> {
        match self.ranges().into_iter().find(|(_, value, range)| !range.contains(value)) {
            Some((key, value, range)) => {
                Err(format!("{key} is {value}, not of {}..={}", range.start(), range.end()))
            }
            None => Ok(()),
        }
    }

    fn check_cluster(&self) -> Result<(), String> {
        let Cluster { hosts, process, secret, adopt, .. } = &self.cluster;
        if !self.cluster.is_set() {
            return match adopt.is_empty() {
                true => Ok(()),
                false => Err("cluster.adopt needs cluster.hosts, if only of one node".to_owned()),
            };
        }
        if hosts.len() > HOSTS_MAX {
            return Err(format!("cluster.hosts has {} nodes, more than {HOSTS_MAX}", hosts.len()));
        }
        if *process >= hosts.len() {
            let last = hosts.len() - 1;
            return Err(format!("cluster.process is {process}, not of 0..={last} (cluster.hosts)"));
        }
        let port =
            |host: &str| host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if let Some(host) = hosts.iter().find(|host| port(host).is_none()) {
            return Err(format!("cluster.hosts has {host:?}, which is no HOST:PORT"));
        }
        let name = |host: &String| host.rsplit_once(':').map_or("", |(name, _)| name).to_owned();
        let is_loopback = |name: String| {
            let name = name.trim_matches(['[', ']']);
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        };
        if secret.is_empty() && !hosts.iter().map(name).all(is_loopback) {
            return Err(
                "cluster.secret is empty, and other machines can reach the nodes".to_owned()
            );
        }
        Ok(())
    }

    /// `(key, value, range)` of every number that has a range of its own.
    fn ranges(&self) -> [(&'static str, u64, RangeInclusive<u64>); 30] {
        let Config { limits, checkpoint, history, live, worker, .. } = self;
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        [
            ("workers", self.workers as u64, 1..=64),
            ("epoch_ms", self.epoch_ms, 10..=60_000),
            ("rules.survey_cap", u64::from(self.rules.survey_cap), 0..=u64::from(u32::MAX)),
            ("rules.horizon_days", u64::from(self.rules.horizon_days), 0..=36_500),
            ("log.segment_bytes", self.log.segment_bytes, MIB..=4 * GIB),
            ("checkpoint.events", checkpoint.events, 0..=1_000_000_000_000),
            ("checkpoint.seconds", checkpoint.seconds, 1..=31_536_000),
            ("limits.body_bytes", limits.body_bytes as u64, 1024..=GIB),
            ("limits.unpacked_bytes", limits.unpacked_bytes as u64, 1024..=GIB),
            ("limits.line_bytes", limits.line_bytes as u64, 256..=16 * MIB),
            ("limits.batch_lines", limits.batch_lines as u64, 1..=10_000_000),
            ("limits.head_seconds", limits.head_seconds, 1..=3600),
            ("limits.body_seconds", limits.body_seconds, 1..=3600),
            ("limits.requests", limits.requests as u64, 1..=10_000),
            ("limits.waiting_bytes", limits.waiting_bytes as u64, MIB..=64 * GIB),
            ("limits.connections", limits.connections as u64, 1..=1_000_000),
            ("limits.idle_seconds", limits.idle_seconds, 5..=86_400),
            ("history.changes", history.changes as u64, 1000..=100_000_000),
            ("history.seconds", history.seconds, 1..=31_536_000),
            ("history.bytes", history.bytes, MIB..=1024 * GIB),
            ("history.published_seconds", history.published_seconds, 1..=86_400),
            ("history.published_bytes", history.published_bytes, 16 * MIB..=1024 * GIB),
            ("live.subscribers", live.subscribers as u64, 1..=100_000),
            ("live.behind_epochs", live.behind_epochs as u64, 0..=100_000),
            ("live.progress_ms", live.progress_ms, 100..=3_600_000),
            ("worker.restart_ms_max", worker.restart_ms_max, 100..=600_000),
            ("worker.silent_seconds", worker.silent_seconds, 1..=86_400),
            ("worker.hang_seconds", worker.hang_seconds, 2..=86_400),
            ("cluster.silent_ms", self.cluster.silent_ms, 500..=60_000),
            ("worker.epochs_owed", worker.epochs_owed as u64, 1..=1000),
        ]
    }
}

fn embedded() -> Table {
    DEFAULT.parse().expect("a test reads the embedded file")
}

fn wrong(place: &Place, what: impl fmt::Display) -> ConfigError {
    let what = what.to_string();
    let what = what.trim_end().replace("\nin `", ", in `");
    ConfigError::Wrong { place: place.clone(), what }
}

/// The configuration that a table amounts to; `place` is where the latest of it came from.
fn read(table: &Table, place: Place) -> Result<Config, ConfigError> {
    let config: Config = table.clone().try_into().map_err(|error| wrong(&place, error))?;
    config.check().map_err(|what| wrong(&place, what))?;
    Ok(config)
}

/// Lays `above` over `below`, key by key; what only `above` has is kept, to be found wrong.
fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// The value whose environment variable is `name`.
fn named<'t>(table: &'t mut Table, name: &str) -> Option<&'t mut Value> {
    let path = name.strip_prefix("OTKLIK_")?;
    fn find<'t>(table: &'t mut Table, path: &str) -> Option<&'t mut Value> {
        table.iter_mut().find_map(|(key, value)| {
            let rest = path.strip_prefix(&key.to_uppercase())?;
            match value {
                Value::Table(section) => find(section, rest.strip_prefix('_')?),
                value => rest.is_empty().then_some(value),
            }
        })
    }
    find(table, path)
}

/// `text` as a value of the kind that `like` has.
fn parse_as(like: &Value, text: &str) -> Result<Value, String> {
    match like {
        Value::Integer(_) => {
            text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a number"))
        }
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("node.toml");
        std::fs::write(&path, file).expect("written");
        let variables = variables.iter().map(|(name, text)| (name.to_string(), text.to_string()));
        Config::load(Some(&path), variables, flags).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_precede_environment_precedes_file_precedes_default() {
        let file = "workers = 2\nepoch_ms = 50\ndata = \"file\"\nlisten = \"127.0.0.1:1\"";
        let variables = [("OTKLIK_WORKERS", "3"), ("OTKLIK_DATA", "variable")];
        let flags = Flags { workers: Some(4), ..Flags::default() };
        let config = load(file, &variables, flags).expect("valid");
        let expected = Config {
            workers: 4,
            data: "variable".into(),
            epoch_ms: 50,
            listen: "127.0.0.1:1".parse().expect("an address"),
            ..Config::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn every_key_has_its_variable() {
        let variables = [
            ("OTKLIK_LIMITS_BODY_BYTES", "4096"),
            ("OTKLIK_WORKER_SILENT_SECONDS", "7"),
            ("OTKLIK_RULES_INTEGRAL", "all"),
            ("OTKLIK_CLUSTER_HOSTS", "localhost:7001, 127.0.0.1:7002"),
            ("OTKLIK_CLUSTER_SECRET", "known"),
            ("OTKLIK_PORT", "tcp://10.0.0.1:80"),
            ("WORKERS", "9"),
        ];
        let config = load("", &variables, Flags::default()).expect("valid");
        assert_eq!((config.limits.body_bytes, config.worker.silent_seconds), (4096, 7));
        assert_eq!(config.rules.integral, crate::rules::Integral::All);
        assert_eq!(config.cluster.hosts, ["localhost:7001", "127.0.0.1:7002"]);
        assert!(!format!("{config:?}").contains("known"), "a secret is not shown");
        assert_eq!(config.workers, Config::default().workers);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let file = |text| load(text, &[], Flags::default());
        let variable = |name, text| load("", &[(name, text)], Flags::default());
        let workers = load("", &[], Flags { workers: Some(0), ..Flags::default() });
        let table = [
            (file("epoch = 100"), "node.toml is wrong: unknown field `epoch`"),
            (file("[limits]\nbody = 1"), "in `limits`"),
            (file("[limits]\nbody_bytes = 5"), "limits.body_bytes is 5, not of 1024..=1073741824"),
            (file("[limits]\nbody_bytes = \"5\""), "in `limits.body_bytes`"),
            (file("[rules]\nintegral = \"some\""), "in `rules.integral`"),
            (file("listen = \"nowhere\""), "in `listen`"),
            (file("workers = -1"), "in `workers`"),
            (file("limits = 3"), "in `limits`"),
            (file("workers ="), "line 1"),
            (variable("OTKLIK_EPOCH_MS", "often"), "variable OTKLIK_EPOCH_MS is wrong: \"often\""),
            (
                variable("OTKLIK_EPOCH_MS", "1"),
                "OTKLIK_EPOCH_MS is wrong: epoch_ms is 1, not of 10",
            ),
            (workers, "the command line is wrong: workers is 0, not of 1..=64"),
            (file("[cluster]\nhosts = [\"a:1\", \"b:1\"]"), "cluster.secret is empty"),
            (file("[cluster]\nhosts = [\"[::1]:1\"]\nprocess = 1"), "process is 1, not of 0..=0"),
            (file("[cluster]\nhosts = [\"[::1]\"]"), "which is no HOST:PORT"),
            (file("[cluster]\nadopt = [\"old\"]"), "needs cluster.hosts"),
        ];
        for (found, expected) in table {
            let message = found.expect_err(expected);
            assert!(message.contains(expected), "{message}");
        }
        let missing =
            Config::load(Some(Path::new("nowhere.toml")), [].into_iter(), Flags::default());
        let message = missing.expect_err("no such file").to_string();
        assert_eq!(message, "cannot read configuration file nowhere.toml");
    }

    /// The comment above a key says its range, so what it says is what is checked.
    #[test]
    fn the_embedded_file_describes_every_key() {
        let mut section = String::new();
        let mut comment = String::new();
        let mut described = Vec::new();
        for line in DEFAULT.lines() {
            if line.is_empty() {
                comment.clear();
            } else if let Some(text) = line.strip_prefix("# ") {
                comment.push_str(text);
            } else if let Some(name) = line.strip_prefix('[') {
                section = format!("{}.", name.trim_end_matches(']'));
                comment.clear();
            } else if let Some((key, _)) = line.split_once(" = ") {
                assert!(!comment.is_empty(), "{section}{key} has no comment");
                described.push((format!("{section}{key}"), std::mem::take(&mut comment)));
            }
        }
        for (key, _, range) in Config::default().ranges() {
            let text = &described.iter().find(|(name, _)| name == key).expect(key).1;
            let range = format!("{}..={}", range.start(), range.end());
            assert!(text.contains(&range), "{key}: {range} is not in {text:?}");
        }
    }
}
