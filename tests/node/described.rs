//! What the description says of a whole node is so, and what it does not say is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dataflows::views::View;
use otklik::http::openapi::openapi;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
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
    for path in ["/v1/digests?epoch=soon", "/v1/subscribers?limit=x", "/v1/sources?from=now"] {
        let (status, ..) = after.problem(after.client.get(after.url(path))).await;
        assert_eq!(status, 400, "{path}");
    }
    let (status, ..) = after.problem(after.client.get(after.url("/v1/nothing"))).await;
    assert_eq!(status, 404);
}

/// Every route in the program's text is described, and every path described is a route; but for the
/// pages, which are for browsers.
#[test]
fn every_route_is_described() {
    let mut routes: BTreeSet<String> = BTreeSet::new();
    let mut parameters = BTreeSet::new();
    texts(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut |text| {
        routes.extend(quoted(text, ".route(\""));
        for taking in ["request.take(\"", "request.number(\"", "request.flag(\"", "self.take(\""] {
            parameters.extend(quoted(text, taking));
        }
    });
    let pages = ["/", "/assets/{digest}/{*file}", "/docs", "/docs/{file}"];
    for page in pages {
        assert!(routes.remove(page), "{page} is no route any more");
    }
    let document = openapi();
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(routes, paths.keys().cloned().collect());
    // And what requests are asked for.
    let described: BTreeSet<String> = paths
        .values()
        .flat_map(|methods| methods.as_object().expect("methods").values())
        .flat_map(|method| parameters_of(&document, method).into_keys())
        .collect();
    assert!(parameters.len() > 10, "{parameters:?}");
    let unknown: Vec<_> = parameters.difference(&described).collect();
    assert!(unknown.is_empty(), "{unknown:?} are taken and not described");
}

/// A path answers to the methods that are described and to no others; every parameter that is
/// described is taken, and none that is not, where there are any.
#[tokio::test(flavor = "multi_thread")]
async fn methods_and_parameters_are_those_described() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::with_worker(config(directory.path())).await;
    let epoch = node.submit("").await["epoch"].as_u64().expect("an epoch");
    node.running.served.wait_for(epoch).await;
    let document = openapi();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let at = |query: &str| node.url(&path.replace("{view}", "manager_periods")) + query;
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if methods[method.as_str().to_lowercase()].is_null() {
                let (status, code, _) = node.problem(node.client.request(method, at(""))).await;
                assert_eq!((status, code.as_str()), (405, "method_not_allowed"), "{path}");
            }
        }
        let parameters = parameters_of(&document, &methods["get"]);
        for (name, schema) in &parameters {
            let value = match name.as_str() {
                "min_epoch" | "as_of" | "epoch" => epoch.to_string(),
                "up_to" => (epoch + 1_000_000).to_string(),
                "after" if path.ends_with("/live") => epoch.to_string(),
                "last_event_id" => epoch.to_string(),
                "after" => "T1,0".to_owned(),
                "fields" | "sort" => "percent".to_owned(),
                "since" => epoch.to_string(),
                "from" if path != "/v1/sources" => "2026-11-26".to_owned(),
                "until" => "2026-11-27".to_owned(),
                "from" => "2026-11-26T00:00:00%2B03:00".to_owned(),
                _ if needed(path, name).is_some_and(|needed| needed.contains(name)) => {
                    String::new()
                }
                _ => example(schema),
            };
            if let Some(needed) = needed(path, name) {
                // All of it is understood: only what is asked about is not there.
                let is_there = needed.contains(&format!("{name}="));
                let more = if is_there { String::new() } else { format!("&{name}={value}") };
                let asked = node.client.get(at(&format!("?{needed}{more}")));
                let (status, code, _) = node.problem(asked).await;
                let absent = ["unknown_id", "unknown_row"].contains(&code.as_str());
                assert!(status == 404 && absent, "{path}?{needed}{more}: {status} {code}");
                continue;
            }
            // Of a stream that does not end its beginning is enough.
            let answer = node.client.get(at(&format!("?{name}={value}"))).send().await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK, "{path}?{name}={value}");
        }
        if !parameters.is_empty() {
            let needed = needed(path, "").map(|needed| format!("{needed}&")).unwrap_or_default();
            let asked = node.client.get(at(&format!("?{needed}no_such_parameter=1")));
            let (status, ..) = node.problem(asked).await;
            assert_eq!(status, 400, "{path} takes what is not described");
        }
    }
}

/// What a question must say besides a parameter, about something that there is not.
fn needed(path: &str, parameter: &str) -> Option<&'static str> {
    match (path, parameter) {
        ("/v1/values", _) => Some("scope=agency&id=none"),
        ("/v1/explain/manager_periods", "manager" | "from") => Some("manager=none&from=2026-01-01"),
        ("/v1/explain/manager_periods", _) => Some("tenure=none&period=0"),
        ("/v1/explain/agencies", _) => Some("agency=none"),
        _ => None,
    }
}

/// The parameters of queries, by name, with their schemas.
fn parameters_of(document: &Value, method: &Value) -> BTreeMap<String, Value> {
    let parameters = method["parameters"].as_array().into_iter().flatten();
    let resolved = parameters.map(|parameter| match parameter["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("it is there"),
        None => parameter,
    });
    resolved
        // Those that stand for columns have the names of columns.
        .filter(|parameter| parameter["in"] == "query" && parameter["name"] != "columns")
        .map(|parameter| {
            let name = parameter["name"].as_str().expect("a name").to_owned();
            (name, parameter["schema"].clone())
        })
        .collect()
}

/// A value that a schema allows.
fn example(schema: &Value) -> String {
    match (schema["enum"][0].as_str(), schema["type"].as_str()) {
        (Some(word), _) => word.to_owned(),
        (None, Some("integer")) => schema["minimum"].to_string(),
        (None, Some("boolean")) => "true".to_owned(),
        _ => panic!("say here what may stand for {schema}"),
    }
}

/// The texts of the program, one by one.
fn texts(directory: &Path, each: &mut impl FnMut(&str)) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            texts(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&std::fs::read_to_string(&path).expect("text"));
        }
    }
}

/// What stands in quotes after a mark.
fn quoted(text: &str, mark: &str) -> Vec<String> {
    let after = text.split(mark).skip(1);
    after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}
