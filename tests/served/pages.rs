//! Pages of rows, and what is answered when there is nothing to serve.

use dataflows::views::{Scope, View};
use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use super::fixture::{NEVER, all, len, month, node, sample};

#[tokio::test]
async fn before_the_first_epoch_there_is_nothing_to_serve() {
    let node = node(100, NEVER).await;
    for path in ["/v1/views/units", "/v1/views/units/live"] {
        node.problem(path, StatusCode::SERVICE_UNAVAILABLE, "not_ready").await;
    }
    assert_eq!(node.live.subscribers(), 0);
    node.served.replace(1, Vec::new());
    assert_eq!(node.json("/v1/views/units").await, json!({"epoch": 0, "rows": [], "next": null}));
}

#[tokio::test]
async fn wrong_requests_are_answered_with_what_would_be_right() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let problem = node.problem("/v1/views/moods", StatusCode::NOT_FOUND, "unknown_view").await;
    assert_eq!(len(&problem["views"]), View::ALL.len());
    node.problem("/v1/views/moods/live", StatusCode::NOT_FOUND, "unknown_view").await;
    node.problem("/v2", StatusCode::NOT_FOUND, "not_found").await;
    let wrong = [
        ("pending?colour=red", "unknown_column"),
        ("pending/live?colour=red", "unknown_column"),
        ("pending?count=many", "bad_value"),
        ("pending?reason=laziness", "bad_value"),
        ("territories?scores=1", "not_filterable"),
        ("pending?limit=0", "bad_limit"),
        ("pending?limit=100001", "bad_limit"),
        ("pending?after=no_unit,1", "bad_cursor"),
        ("months?after=unit", "bad_cursor"),
        ("%ff", "bad_request"),
    ];
    for (path, code) in wrong {
        node.problem(&format!("/v1/views/{path}"), StatusCode::BAD_REQUEST, code).await;
    }
    let posted = node.client.post(format!("{}/v1/views", node.url)).send().await;
    let posted = posted.expect("an answer");
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn rows_come_in_pages_that_add_up() {
    let node = node(100, NEVER).await;
    let ids = ["a", "a,b", "b%2C", "МФЦ-0"];
    let rows = ids.iter().flat_map(|id| (1..=12).map(|m| month(Scope::Unit, id, m)));
    node.served.replace(8, all(rows.chain([month(Scope::Agency, "a", 3)])));

    let whole = node.json("/v1/views/months").await;
    assert_eq!((&whole["epoch"], &whole["next"]), (&json!(7), &Json::Null));
    let rows = whole["rows"].as_array().expect("rows");
    assert_eq!((rows.len(), &rows[0]["scope"]), (49, &json!("agency")));
    let mut paged = Vec::new();
    let mut path = "/v1/views/months?limit=5".to_owned();
    loop {
        let page = node.json(&path).await;
        paged.extend(page["rows"].as_array().expect("rows").clone());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        assert_eq!(len(&page["rows"]), 5);
        let next = next.replace('%', "%25").replace(',', "%2C");
        path = format!("/v1/views/months?limit=5&after={next}");
    }
    assert_eq!(&paged, rows);
    let exact = node.json("/v1/views/months?limit=49").await;
    assert_eq!((len(&exact["rows"]), &exact["next"]), (49, &Json::Null));

    let count =
        async |query: &str| len(&node.json(&format!("/v1/views/months?{query}")).await["rows"]);
    assert_eq!(count("scope=unit&id=a").await, 12);
    assert_eq!(count("id=a").await, 13);
    assert_eq!(count("id=a,b&id=b%252C&scope=unit").await, 24);
    assert_eq!(count("month=2018-03&month=2018-04").await, 9);
    assert_eq!(count("scope=unit&id=nobody").await, 0);
    assert_eq!(count("percent=100&average=5.0&k=12").await, 4);
    let some = node.json("/v1/views/months?scope=unit&id=%D0%9C%D0%A4%D0%A6-0&limit=1").await;
    assert_eq!((&some["next"], &some["rows"][0]["k"]), (&json!("unit,МФЦ-0,2018-01"), &json!(1)));
}

#[tokio::test]
async fn answers_are_compressed_for_who_accepts_it() {
    let node = node(100, NEVER).await;
    node.served.replace(1, all((0..1000).map(|record| sample("U", record, 1))));
    let get = async |path: &str| {
        let request = node.client.get(format!("{}/v1/views/survey_sample{path}", node.url));
        request.header("Accept-Encoding", "gzip").send().await.expect("an answer")
    };
    let pages = get("").await;
    assert_eq!(pages.headers()["content-encoding"], "gzip");
    assert!(pages.bytes().await.expect("a body").len() < 20_000);
    assert!(!get("/live").await.headers().contains_key("content-encoding"));
}
