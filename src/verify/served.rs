//! What a running node says: its views, page by page, each as of one epoch.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use dataflows::domain::Epoch;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::compare::Comparison;
use super::recompute::VIEWS;

/// Rows of a page: the most that a node gives at once.
const PAGE_ROWS: usize = 100_000;
/// How often a view is begun anew because the node went on between two of its pages.
const ATTEMPTS_MAX: usize = 20;

/// The views of a node as comparisons to be, by the epoch they are of.
pub type ByEpoch = BTreeMap<Epoch, Comparison>;

#[derive(Deserialize)]
struct Page<'a> {
    epoch: Epoch,
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
    next: Option<String>,
}

/// Reads all views of the node at `url`. While it goes on, they are of several epochs.
///
/// # Errors
/// The node cannot be reached, does not speak the contract's language, or goes on faster than one
/// of its views can be read.
pub fn read(url: &Url) -> anyhow::Result<ByEpoch> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::new();
        let mut views = ByEpoch::new();
        for (view, _) in VIEWS {
            let (epoch, rows) =
                read_view(&client, url, view).await.with_context(|| format!("view {view}"))?;
            let comparison = views.entry(epoch).or_default();
            comparison.expect_view(view);
            for row in rows {
                comparison.actual(view, &row)?;
            }
        }
        for (epoch, comparison) in &mut views {
            let digests = read_digests(&client, url, *epoch).await?;
            for (view, _) in VIEWS {
                if let (true, Some(digest)) = (comparison.expects(view), digests.views.get(view)) {
                    comparison.claimed(view, digest.parse()?);
                }
            }
        }
        Ok(views)
    })
}

#[derive(Deserialize)]
struct DigestsOfEpoch {
    views: BTreeMap<String, String>,
}

async fn read_digests(client: &Client, url: &Url, epoch: Epoch) -> anyhow::Result<DigestsOfEpoch> {
    let digests =
        url.join(&format!("v1/digests?epoch={epoch}")).context("not the URL of a node")?;
    let answer = client.get(digests).send().await?.error_for_status()?;
    answer.json().await.context("not the digests of an epoch")
}

async fn read_view(
    client: &Client,
    url: &Url,
    view: &str,
) -> anyhow::Result<(Epoch, Vec<Box<str>>)> {
    for _ in 0..ATTEMPTS_MAX {
        if let Some(read) = read_pages(client, url, view).await? {
            return Ok(read);
        }
    }
    bail!("changed between its pages {ATTEMPTS_MAX} times over: verify when fewer events come")
}

/// The rows of a view, or `None` if its pages are of different epochs.
async fn read_pages(
    client: &Client,
    url: &Url,
    view: &str,
) -> anyhow::Result<Option<(Epoch, Vec<Box<str>>)>> {
    let mut rows = Vec::new();
    let mut epoch = None;
    let mut after: Option<String> = None;
    loop {
        let mut page = url.join(&format!("v1/views/{view}")).context("not the URL of a node")?;
        page.query_pairs_mut().append_pair("limit", &PAGE_ROWS.to_string());
        if let Some(after) = &after {
            page.query_pairs_mut().append_pair("after", after);
        }
        let answer = client.get(page).send().await?.error_for_status()?.bytes().await?;
        let page: Page<'_> = serde_json::from_slice(&answer).context("not a page of rows")?;
        if *epoch.get_or_insert(page.epoch) != page.epoch {
            return Ok(None);
        }
        rows.extend(page.rows.iter().map(|row| Box::from(row.get())));
        after = page.next;
        if after.is_none() {
            return Ok(Some((page.epoch, rows)));
        }
    }
}
