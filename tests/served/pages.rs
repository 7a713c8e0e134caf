//! Pages of rows, and what is answered when there is nothing to serve.

use std::time::Duration;

use dataflows::id::Id;
use dataflows::views::{Row, Scope, View};
use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fixture::{CONNECTIONS_MAX, NEVER, PATIENCE, all, len, month, node, sample};

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
        ("months?sort=mood", "unknown_column"),
        ("months?fields=k,mood", "unknown_column"),
        ("territories?sort=-scores", "not_filterable"),
        ("months?sort=k&after=unit,a,2018-03", "bad_cursor"),
        ("months?format=xml", "bad_value"),
        ("months?as_of=yesterday", "bad_value"),
        ("months?min_epoch=soon", "bad_value"),
        ("months?wait_seconds=61", "bad_value"),
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

#[tokio::test]
async fn rows_are_sorted_by_any_columns_page_by_page() {
    let node = node(100, NEVER).await;
    let ids = ["a", "a,b", "b%2C"];
    let rows = ids.iter().flat_map(|id| (1..=12).map(|m| month(Scope::Unit, id, m)));
    node.served.replace(8, all(rows));
    let mut expected: Vec<(i64, &str)> = (1..=12).flat_map(|k| ids.map(|id| (-k, id))).collect();
    expected.sort_unstable();
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/views/months?sort=-k&limit=7{after}&fields=id,k");
        let page = node.json(&path).await;
        paged.extend(page["rows"].as_array().expect("rows").clone());
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(len(&page["rows"]), 7);
        after = format!("&after={}", next.replace('%', "%25").replace(',', "%2C"));
    }
    let found: Vec<(i64, &str)> = paged
        .iter()
        .map(|row| {
            assert_eq!(row.as_object().expect("an object").len(), 2);
            (-row["k"].as_i64().expect("k"), row["id"].as_str().expect("an id"))
        })
        .collect();
    assert_eq!(found, expected);

    let column = async |query: &str| -> Vec<Json> {
        let page = node.json(&format!("/v1/views/months?{query}")).await;
        page["rows"].as_array().expect("rows").iter().map(|row| row["month"].clone()).collect()
    };
    let both = column("id=a&id=a,b&sort=month,-id&limit=3").await;
    assert_eq!(both, ["2018-01", "2018-01", "2018-02"]);
    assert_eq!(column("id=a&sort=percent,-month&limit=2").await, ["2018-12", "2018-11"]);
}

/// What is null comes last, up or down.
#[tokio::test]
async fn nothing_is_sorted_behind_everything() {
    let node = node(100, NEVER).await;
    let service = |agency: Option<&str>, service: &str| Row::Service {
        agency: agency.map(Id::of),
        service: Id::of(service),
        spread: Box::default(),
    };
    let rows = [(None, "s1"), (Some("A"), "s2"), (Some("B"), "s3")];
    node.served.replace(8, all(rows.map(|(agency, name)| service(agency, name))));
    for (sort, expected) in [("agency", ["s2", "s3", "s1"]), ("-agency", ["s3", "s2", "s1"])] {
        let mut found = Vec::new();
        let mut after = String::new();
        for _ in 0..3 {
            let page = node.json(&format!("/v1/views/services?sort={sort}&limit=1{after}")).await;
            found.push(page["rows"][0]["service"].clone());
            after = format!("&after={}", page["next"].as_str().unwrap_or_default());
        }
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn rows_come_as_lines_and_as_csv() {
    let node = node(100, NEVER).await;
    let rows = ["a\"b", "a,b"].map(|id| month(Scope::Unit, id, 3));
    node.served.replace(8, all(rows));
    let get = async |query: &str, accept: &str| {
        let url = format!("{}/v1/views/months?{query}", node.url);
        let answer = node.client.get(url).header("accept", accept).send().await.expect("an answer");
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
        };
        let headers = ["content-type", "otklik-epoch", "link"].map(header);
        (headers, answer.text().await.expect("text"))
    };
    let csv = "id,month,k\r\n\"a\"\"b\",2018-03,3\r\n\"a,b\",2018-03,3\r\n";
    for (query, accept) in
        [("fields=k,id,month&format=csv", "*/*"), ("fields=id,k,month", "text/csv")]
    {
        let ([kind, epoch, link], text) = get(query, accept).await;
        assert_eq!(
            (kind.as_str(), epoch.as_str()),
            ("text/csv; charset=utf-8; header=present", "7")
        );
        assert_eq!((text.as_str(), link.as_str()), (csv, ""));
    }
    let ([kind, ..], text) = get("id=nobody&fields=id,k", "text/csv").await;
    assert_eq!((kind.starts_with("text/csv"), text.as_str()), (true, "id,k\r\n"));

    let ([kind, epoch, link], text) = get("fields=id&limit=1&k=3", "application/x-ndjson").await;
    assert_eq!((kind.as_str(), epoch.as_str()), ("application/x-ndjson", "7"));
    assert_eq!(text, "{\"id\":\"a\\\"b\"}\n");
    let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    let next = format!("{}{}&format=ndjson", node.url, next.expect("a link"));
    let text = node.client.get(next).send().await.expect("an answer").text().await.expect("text");
    assert_eq!(text, "{\"id\":\"a,b\"}\n");
}

#[tokio::test]
async fn rows_that_are_known_are_not_sent_again() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([sample("U", 1, 1)]));
    let get = async |query: &str, tag: &str| {
        let url = format!("{}/v1/views/survey_sample{query}", node.url);
        let answer = node.client.get(url).header("if-none-match", tag).send().await;
        let answer = answer.expect("an answer");
        let tag = answer.headers()["etag"].to_str().expect("text").to_owned();
        (answer.status().as_u16(), tag, answer.text().await.expect("text").len())
    };
    let (status, tag, _) = get("", "\"other\"").await;
    assert_eq!(status, 200);
    // Another view changes, and so does the epoch.
    node.served.apply(9, all([month(Scope::Unit, "a", 3)]));
    assert_eq!(get("", &format!("\"x\", {tag}")).await, (304, tag.clone(), 0));
    assert_eq!(get("?format=csv", &tag).await.0, 200);
    node.served.apply(10, vec![(sample("U", 1, 1), -1), (sample("U", 1, 2), 1)]);
    assert_eq!(get("", &tag).await.0, 200);
}

#[tokio::test]
async fn who_has_submitted_waits_for_the_epoch() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([sample("U", 1, 1)]));
    let path = "/v1/views/survey_sample?min_epoch=20";
    let now = format!("{path}&wait_seconds=0");
    node.problem(&now, StatusCode::SERVICE_UNAVAILABLE, "epoch_not_reached").await;
    let applying = async {
        tokio::task::yield_now().await;
        node.served.apply(21, all([sample("U", 2, 1)]));
    };
    let (page, ()) = tokio::join!(node.json(path), applying);
    assert_eq!((&page["epoch"], len(&page["rows"])), (&json!(20), 2));
}

#[tokio::test]
async fn rows_are_told_as_they_were() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([sample("U", 1, 1)]));
    node.served.apply(10, vec![(sample("U", 1, 1), -1), (sample("U", 2, 7), 1)]);
    node.served.apply(12, vec![(sample("U", 2, 7), -1), (sample("U", 2, 8), 1)]);
    let path = "/v1/views/survey_sample";
    // Epochs of a tenth of a second: the seventh was complete when the eighth began.
    let table = [
        ("7", 7, 1),
        ("8", 8, 1),
        ("10", 10, 7),
        ("1970-01-01T00:00:00.85Z", 7, 1),
        ("1970-01-01T03:00:01.05%2B03:00", 9, 7),
        ("2200-01-01T00:00:00Z", 11, 8),
    ];
    for (as_of, epoch, order) in table {
        let page = node.json(&format!("{path}?as_of={as_of}")).await;
        assert_eq!((&page["epoch"], &page["rows"][0]["order"]), (&json!(epoch), &json!(order)));
        assert_eq!(len(&page["rows"]), 1);
    }
    // A view that had no rows then and has none now.
    assert_eq!(
        node.json("/v1/views/months?as_of=9").await,
        json!({"epoch": 9, "rows": [], "next": null})
    );
    for as_of in ["6", "12", "1970-01-01T00:00:00Z"] {
        node.problem(&format!("{path}?as_of={as_of}"), StatusCode::GONE, "forgotten").await;
    }
}

#[tokio::test]
async fn answers_say_which_request_they_are_of() {
    let node = node(100, NEVER).await;
    let get = async |headers: &[(&str, &str)]| {
        let mut request = node.client.get(format!("{}/v1/views/units", node.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        ["x-request-id", "traceparent"].map(|name| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().expect("text").to_owned())
        })
    };
    let ([first, none], [second, _]) = (get(&[]).await, get(&[]).await);
    assert!(first.is_some() && first != second);
    assert_eq!(none, None);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ours = [("x-request-id", "mine-1"), ("traceparent", trace)];
    assert_eq!(get(&ours).await, [Some("mine-1".to_owned()), Some(trace.to_owned())]);
    let long = "x".repeat(65);
    let [id, trace] = get(&[("x-request-id", &long), ("traceparent", "00-1-2-3")]).await;
    assert!(id.is_some_and(|id| id != long) && trace.is_none());
}

/// Those that come later wait, and are answered when another ends.
#[tokio::test]
async fn connections_are_bounded() {
    let node = node(100, NEVER).await;
    node.served.replace(8, Vec::new());
    let address = node.url.strip_prefix("http://").expect("a URL").to_owned();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        held.push(TcpStream::connect(&address).await.expect("it is taken in"));
    }
    let mut late = TcpStream::connect(&address).await.expect("it is in the queue");
    late.write_all(b"GET /v1/views HTTP/1.0\r\n\r\n").await.expect("written");
    let mut byte = [0];
    let waiting = tokio::time::timeout(Duration::from_millis(100), late.read(&mut byte)).await;
    assert!(waiting.is_err(), "it was answered beside {CONNECTIONS_MAX} others");
    held.pop();
    tokio::time::timeout(PATIENCE, late.read_exact(&mut byte))
        .await
        .expect("in time")
        .expect("one");
}
