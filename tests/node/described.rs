//! What the description says of a whole node is so.

use dataflows::views::View;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::fixture::{Node, config};

/// Every answer to a `GET` of every path is one that is described, in a form that is described,
/// before the first epoch and after.
#[tokio::test(flavor = "multi_thread")]
async fn every_path_answers_as_it_is_described() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = Node::start().await;
    let after = Node::with_worker(config(directory.path())).await;
    let epoch = after.submit("").await["epoch"].as_u64().expect("an epoch");
    after.running.served.wait_for(epoch).await;
    let document = before.json("/openapi.json").await;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let Some(described) = methods["get"]["responses"].as_object() else { continue };
        for node in [&before, &after] {
            for view in [View::Units, View::Conservation] {
                let path = path.replace("{view}", view.name());
                // A stream would not end, and this is no message of a stream either.
                let path = if path.ends_with("/live") { path + "?up_to=wrong" } else { path };
                let answer = node.client.get(node.url(&path)).send().await.expect("an answer");
                let status = answer.status().as_u16().to_string();
                let response = described.get(&status);
                let response =
                    response.unwrap_or_else(|| panic!("{path} is answered with {status}"));
                let form = answer.headers().get(CONTENT_TYPE);
                let form = form.map_or("", |form| form.to_str().expect("text"));
                let form = form.split(';').next().unwrap_or_default();
                let reference = response["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
                let response =
                    reference.map_or(response, |at| document.pointer(at).expect("there"));
                let forms = response["content"].as_object();
                let is_described = forms.is_none_or(|forms| forms.contains_key(form));
                assert!(is_described, "{path} is answered with {status} as {form:?}");
            }
        }
    }
    let wrong = ["/v1/digests?epoch=soon", "/v1/subscribers?limit=x", "/v1/nothing"];
    for path in wrong {
        let (_, code, _) = after.problem(after.client.get(after.url(path))).await;
        assert!(
            ["bad_request", "bad_limit", "not_found"].contains(&code.as_str()),
            "{path}: {code}"
        );
    }
    let known: Vec<&str> = document["paths"].as_object().into_iter().flatten().map(path).collect();
    for path in ["/v1/events", "/v1/live", "/v1/status", "/v1/digests", "/v1/subscribers"] {
        assert!(known.contains(&path), "{path} is not described");
    }
}

fn path<'a>((path, _): (&'a String, &'a Value)) -> &'a str {
    path
}
