//! How long a node takes to answer questions about its figures, beside whatever else it does.
//!
//! ```sh
//! cargo run --release --example questions -- http://127.0.0.1:8140 30
//! ```
//!
//! Asks one question after another for so many seconds: values of each scope over the days of random periods, and
//! explanations of random rows. Prints count, median, 99th percentile and maximum of each kind, in
//! milliseconds from the request to the last byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Client;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let node = arguments.next().context("the first argument is the address of a node")?;
    let seconds: u64 = arguments.next().map_or(Ok(30), |text| text.parse())?;
    let client = Client::new();
    let rows = async |view: &str| -> anyhow::Result<Vec<Value>> {
        let address = format!("{node}/v1/views/{view}?limit=100000");
        let mut answer: Value = client.get(address).send().await?.json().await?;
        match answer["rows"].take() {
            Value::Array(rows) => Ok(rows),
            other => bail!("{view} has no rows: {other}"),
        }
    };
    let (periods, directory) = (rows("manager_periods").await?, rows("directory").await?);
    let of =
        |kind: &str| -> Vec<&Value> { directory.iter().filter(|row| row["of"] == kind).collect() };
    let (units, services, agencies) = (of("unit"), of("service"), of("agency"));
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut times: BTreeMap<&str, Histogram<u64>> = BTreeMap::new();
    let over = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < over {
        let text = |row: Option<&&Value>, column: &str| -> String {
            row.and_then(|row| row[column].as_str()).unwrap_or_default().to_owned()
        };
        let period = periods.choose(&mut random).context("there are no rows")?;
        // Twelve months for which there are ratings.
        let [from, until] = ["from", "until"].map(|column| text(Some(&period), column));
        let span = format!("from={from}&until={until}");
        let unit = units.choose(&mut random);
        let (kind, question) = match random.random_range(0..8) {
            0 => ("values, unit_pooled", format!("unit_pooled&id={}", text(unit, "id"))),
            1 => ("values, tenure", format!("tenure&id={}", text(Some(&period), "tenure"))),
            2 => ("values, region", format!("region&id={}", text(unit, "region"))),
            3 => {
                let service = services.choose(&mut random);
                ("values, service", format!("service&id={}", text(service, "id")))
            }
            4 => {
                let agency = agencies.choose(&mut random);
                ("values, agency", format!("agency&id={}", text(agency, "id")))
            }
            5 => {
                let agency = agencies.choose(&mut random);
                ("explain, agencies", format!("agency={}", text(agency, "id")))
            }
            _ => {
                let tenure = text(Some(&period), "tenure");
                let question = format!("tenure={tenure}&period={}", period["period"]);
                ("explain, manager_periods", question)
            }
        };
        let path = match kind {
            "explain, agencies" => format!("/v1/explain/agencies?{question}"),
            "explain, manager_periods" => format!("/v1/explain/manager_periods?{question}"),
            _ => format!("/v1/values?scope={question}&{span}"),
        };
        let began = Instant::now();
        let answer = client.get(format!("{node}{path}")).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        // Not every agency has ratings.
        if !status.is_success() && status.as_u16() != 404 {
            bail!("{path} is answered with {status}: {}", String::from_utf8_lossy(&body));
        }
        let took = began.elapsed().as_micros() as u64;
        let histogram = || Histogram::new(3).expect("three digits are allowed");
        times.entry(kind).or_insert_with(histogram).record(took)?;
    }
    let ms = |micros: u64| micros as f64 / 1000.0;
    println!("{:26} {:>7} {:>8} {:>8} {:>8}", "question", "count", "p50, ms", "p99, ms", "max, ms");
    for (kind, times) in times {
        let [half, most] = [0.5, 0.99].map(|share| ms(times.value_at_quantile(share)));
        let (count, max) = (times.len(), ms(times.max()));
        println!("{kind:26} {count:>7} {half:>8.1} {most:>8.1} {max:>8.1}");
    }
    Ok(())
}
