//! The node that is watched: what it says of the view, and its stream, as often as it takes.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde_json::Value as Json;

use super::WatchArgs;
use super::held::{Frame, Held};
use super::screen::Screen;

/// A stream that is silent for so long is dead; a node says something every second by default.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// The first pause before coming back.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Bytes of a frame.
const LINE_BYTES_MAX: usize = 256 << 20;

/// A view of a node.
pub struct Node {
    client: Client,
    live: Url,
    view: View,
    held: Held,
}

#[derive(Debug, Deserialize)]
struct Catalogue {
    views: Vec<View>,
}

#[derive(Debug, Deserialize)]
struct View {
    name: String,
    key: Vec<String>,
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type", default)]
    kind: Json,
}

/// How a connection ended.
enum Ended {
    /// The epoch that was asked for is over.
    Done,
    /// It may be opened again.
    Lost(String),
}

impl Node {
    /// Asks the node for its views.
    ///
    /// # Errors
    /// It cannot be reached, or has no such view.
    pub async fn find(args: &WatchArgs) -> anyhow::Result<Node> {
        let client = Client::builder().read_timeout(SILENT_MAX).build()?;
        let url = args.url.join("v1/views").context("not the URL of a node")?;
        let answer = client.get(url).send().await.context("cannot reach the node")?;
        let Catalogue { views } = answer.error_for_status()?.json().await?;
        let names: Vec<String> = views.iter().map(|view| view.name.clone()).collect();
        let view = views.into_iter().find(|view| view.name == args.view);
        let view = view.with_context(|| {
            format!("there is no view {:?}; the views are {}", args.view, names.join(", "))
        })?;
        let mut live = args.url.join(&format!("v1/views/{}/live", view.name))?;
        live.query_pairs_mut().append_pair("format", "ndjson").extend_pairs(&args.conditions);
        if let Some(up_to) = args.up_to {
            live.query_pairs_mut().append_pair("up_to", &up_to.to_string());
        }
        let held = Held::new(view.key.clone(), args.conditions.is_empty());
        Ok(Node { client, live, view, held })
    }

    /// The columns to show: those named, or all of single values.
    ///
    /// # Errors
    /// There is no such column.
    pub fn columns(&self, named: &[String]) -> anyhow::Result<Vec<String>> {
        let all = &self.view.columns;
        if let Some(name) = named.iter().find(|name| all.iter().all(|c| c.name != **name)) {
            bail!("{} has no column {name:?}", self.view.name);
        }
        if !named.is_empty() {
            return Ok(named.to_vec());
        }
        let is_single = |column: &&Column| {
            let kind = column.kind.to_string();
            !kind.contains("array") && !kind.contains("object")
        };
        Ok(all.iter().filter(is_single).map(|column| column.name.clone()).collect())
    }

    /// Follows until the epoch that was asked for.
    ///
    /// # Errors
    /// The node refuses, a frame does not fit, or the screen is gone.
    pub async fn follow(&mut self, screen: &mut dyn Screen) -> anyhow::Result<()> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.connect(screen, &mut pause).await? {
                Ended::Done => return Ok(()),
                Ended::Lost(cause) => screen.lost(&cause)?,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One connection; the pause after it is short again once a frame has come.
    async fn connect(
        &mut self,
        screen: &mut dyn Screen,
        pause: &mut Duration,
    ) -> anyhow::Result<Ended> {
        let mut live = self.live.clone();
        if let Some(id) = self.held.id() {
            live.query_pairs_mut().append_pair("after", id);
        }
        let mut answer = match self.client.get(live).send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Ended::Lost(error.without_url().to_string())),
        };
        if !answer.status().is_success() {
            return refused(answer).await;
        }
        let mut text = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => text.extend_from_slice(&piece),
                Ok(None) => return Ok(Ended::Lost("the node ended the stream".to_owned())),
                Err(error) => return Ok(Ended::Lost(error.without_url().to_string())),
            }
            let mut lines = text.split_inclusive(|byte| *byte == b'\n');
            let mut taken = 0;
            for line in lines.by_ref().filter(|line| line.ends_with(b"\n")) {
                taken += line.len();
                let frame: Frame<'_> = serde_json::from_slice(line).context("not a frame")?;
                let is_current = self.held.take(&frame)?;
                screen.frame(&frame, line, &self.held, is_current)?;
                *pause = PAUSE_MIN;
                if (frame.event, frame.data.reason) == ("end", Some("up_to")) {
                    return Ok(Ended::Done);
                }
            }
            text.drain(..taken);
            if text.len() > LINE_BYTES_MAX {
                bail!("a frame of more than {LINE_BYTES_MAX} bytes");
            }
        }
    }
}

/// A node that is not ready may be asked again; one that does not understand may not.
async fn refused(answer: Response) -> anyhow::Result<Ended> {
    let status = answer.status();
    let problem: Json = answer.json().await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("no reason given").to_owned();
    if status.is_client_error() && status.as_u16() != 429 {
        bail!("the node says {status}: {detail}");
    }
    Ok(Ended::Lost(detail))
}
