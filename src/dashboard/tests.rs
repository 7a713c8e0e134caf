//! What the page consists of, and what it is served with.

use std::path::{Component, PathBuf};

use reqwest::{Client, StatusCode};

use super::*;

/// The text of every file but the licences: `(path, text)`.
fn texts() -> Vec<(String, String)> {
    Files::iter()
        .filter(|path| !path.ends_with(".txt") && !path.ends_with(".md"))
        .map(|path| {
            let file = Files::get(&path).expect("it was listed");
            let text = String::from_utf8(file.data.into_owned()).expect("texts are UTF-8");
            (path.into_owned(), text)
        })
        .collect()
}

fn index_html() -> String {
    let (_, html) = texts().into_iter().find(|(path, _)| path == INDEX).expect("embedded");
    html
}

/// What stands between `before` and the next `after`, wherever it does.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// The path within the folder of what `file` calls `reference`.
fn resolve(file: &str, reference: &str) -> String {
    let mut path = PathBuf::from(file);
    path.pop();
    for part in PathBuf::from(reference).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{file} leaves the folder: {reference}"),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.to_str().expect("paths of the page are UTF-8").to_owned()
}

#[test]
fn every_file_referred_to_is_there() {
    let html = index_html();
    let linked = between(&html, "{assets}/", '"');
    assert!(linked.len() > 5, "the page links {linked:?}");
    let mut wanted: Vec<String> = linked.iter().map(|&path| path.to_owned()).collect();
    for (path, text) in texts() {
        if path.ends_with("js") {
            // Only what is vendored is written without spaces.
            let tight =
                if path.ends_with(".mjs") { ["from\"", "import\""].as_slice() } else { &[] };
            for mark in ["from \"", "import \"", "new URL(\""].iter().chain(tight) {
                wanted.extend(between(&text, mark, '"').iter().map(|name| resolve(&path, name)));
            }
        }
    }
    for path in &wanted {
        assert!(contents(path).is_some(), "there is no {path}");
    }
    let unused: Vec<String> = texts()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path != INDEX && !wanted.contains(path))
        .collect();
    assert!(unused.is_empty(), "nothing refers to {unused:?}");
}

#[test]
fn no_file_names_another_host() {
    // Names of XML namespaces, which nobody fetches, and who wrote a library.
    let harmless = ["http://www.w3.org/", "https://github.com/leeoniya/uPlot"];
    for (path, text) in texts() {
        for (at, _) in text.match_indices("://") {
            let scheme = text[..at].rfind(|c: char| !c.is_ascii_alphabetic()).map_or(0, |n| n + 1);
            let known = harmless.iter().any(|url| text[scheme..].starts_with(url));
            let line = text[..at].lines().count();
            assert!(known, "{path} line {line} names another host");
        }
        assert!(!text.contains("\"//"), "{path} has an address without a scheme");
    }
}

#[test]
fn nothing_needs_more_than_the_policy_allows() {
    let html = index_html();
    assert!(between(&html, "<script", '>').iter().all(|tag| tag.contains("src=\"{assets}/")));
    assert!(!html.contains("<style") && !html.contains("style=") && !html.contains(" on"));
    for (path, text) in texts() {
        for word in ["eval(", "new Function", "innerHTML =", "url(", "@import", "style=\""] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
}

#[test]
fn regions_are_named() {
    let regions: BTreeMap<String, String> =
        serde_json::from_slice(&contents(REGIONS).expect("made")).expect("JSON");
    assert_eq!(regions["92"], "Республика Татарстан");
    assert_eq!(regions.len(), Regions::embedded().iter().count());
}

/// The address of a server of the page.
async fn serve() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, routes()).await });
    format!("http://{address}")
}

#[tokio::test]
async fn files_are_kept_for_good_and_the_page_is_asked_for_again() {
    let (server, client) = (serve().await, Client::new());
    let page = client.get(&server).send().await.expect("answered");
    assert_eq!(page.headers()["cache-control"], ASK_AGAIN);
    let tag = page.headers()["etag"].clone();
    let html = page.text().await.expect("text");
    let again = client.get(&server).header("if-none-match", tag).send().await.expect("answered");
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

    assert!(html.contains("modulepreload") && !html.contains('{'), "{html}");
    for path in between(&html, "\"/assets/", '"') {
        let file = client.get(format!("{server}/assets/{path}")).send().await.expect("answered");
        assert_eq!(
            (file.status(), &file.headers()["cache-control"]),
            (StatusCode::OK, &HeaderValue::from_static(FOR_GOOD))
        );
    }
    for path in ["00000000/main.js", "main.js", &format!("{}/none.js", digest())] {
        let file = client.get(format!("{server}/assets/{path}")).send().await.expect("answered");
        assert_eq!(file.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn all_is_served_under_the_policy_with_its_type() {
    let (server, client) = (serve().await, Client::new());
    let digest = digest();
    for (path, content_type) in [
        ("/".to_owned(), "text/html; charset=utf-8"),
        (format!("/assets/{digest}/main.js"), "text/javascript; charset=utf-8"),
        (format!("/assets/{digest}/vendor/preact.mjs"), "text/javascript; charset=utf-8"),
        (format!("/assets/{digest}/theme.css"), "text/css; charset=utf-8"),
        (format!("/assets/{digest}/icon.svg"), "image/svg+xml"),
        (format!("/assets/{digest}/regions.json"), "application/json"),
        (format!("/assets/{digest}/vendor/LICENSE-htm.txt"), "text/plain; charset=utf-8"),
    ] {
        let answer = client.get(format!("{server}{path}")).send().await.expect("answered");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["content-type"], content_type, "{path}");
        assert_eq!(answer.headers()["content-security-policy"], POLICY, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    assert!(!POLICY.contains("unsafe") && !POLICY.contains("http") && !POLICY.contains('*'));
}
