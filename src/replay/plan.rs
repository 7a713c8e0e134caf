//! What to replay, where to, and how.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use dataflows::calendar::Day;
use reqwest::Url;

use super::schedule::Pace;

/// A replay.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Files of events, one after the other; plain, gzip or zstd.
    pub input: Vec<PathBuf>,
    /// The node.
    pub node: Node,
    /// How fast.
    pub pace: Pace,
    /// How often the files are sent, from 1: each time as later events of other records, and
    /// without the reference data from the second time on.
    pub passes: u32,
    /// The day that the first receipt is moved to, and all other dates with it.
    pub first_day: Option<Day>,
    /// Connections for ratings, from 1; reference data have one more to themselves.
    pub connections: u16,
    /// Events of a batch at most, from 1.
    pub batch_lines: u32,
    /// How long a batch is tried again before the replay gives up.
    pub give_up: Duration,
    /// How long an answer may take before the batch is sent again.
    pub timeout: Duration,
}

impl Plan {
    /// Connections where nothing else is said.
    pub const CONNECTIONS: u16 = 8;
    /// Events of a batch where nothing else is said.
    pub const BATCH_LINES: u32 = 1000;
    /// Seconds to try a batch again where nothing else is said.
    pub const GIVE_UP_S: u32 = 60;
    /// Seconds an answer may take where nothing else is said.
    pub const TIMEOUT_S: u32 = 30;

    /// A plan with defaults for everything else.
    pub fn new(input: Vec<PathBuf>, node: Node, pace: Pace) -> Plan {
        Plan {
            input,
            node,
            pace,
            passes: 1,
            first_day: None,
            connections: Plan::CONNECTIONS,
            batch_lines: Plan::BATCH_LINES,
            give_up: Duration::from_secs(Plan::GIVE_UP_S.into()),
            timeout: Duration::from_secs(Plan::TIMEOUT_S.into()),
        }
    }
}

/// The address of a node, like `http://127.0.0.1:8140`; a path before its own is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node(Url);

impl Node {
    /// Where events are sent to.
    pub fn events(&self) -> Url {
        self.at("/v1/events")
    }

    /// Where `conservation` is followed.
    pub fn live(&self) -> Url {
        self.at("/v1/views/conservation/live")
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }
}

impl FromStr for Node {
    type Err = String;
    fn from_str(text: &str) -> Result<Node, String> {
        let url = Url::parse(text)
            .map_err(|error| format!("{error}; an address is like http://127.0.0.1:8140"))?;
        if url.scheme() != "http" {
            return Err(format!("{}: a node speaks http", url.scheme()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an address has no query and no fragment".to_owned());
        }
        Ok(Node(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_node_or_refused() {
        let events = |text: &str| text.parse::<Node>().map(|node| node.events().to_string());
        let local = Ok("http://127.0.0.1:8140/v1/events".to_owned());
        assert_eq!(events("http://127.0.0.1:8140"), local);
        assert_eq!(events("http://127.0.0.1:8140/"), local);
        assert_eq!(events("http://a.b/otklik/"), Ok("http://a.b/otklik/v1/events".to_owned()));
        for text in ["", "127.0.0.1:8140", "https://a.b", "mailto:a@b", "http://", "http://a/?b"] {
            assert!(events(text).is_err(), "{text}");
        }
    }
}
