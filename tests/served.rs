//! The served views over real sockets: pages, live streams, and what is answered when there is
//! nothing to serve.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataflows::calendar::{Day, Month};
use dataflows::id::Id;
use dataflows::tally::Spread;
use dataflows::views::{PendingReason, Row, Scope, View};
use otklik::http::{live::Live, problem, routes};
use otklik::views::Served;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);
/// What is waited for comes sooner, or the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    served: Arc<Served>,
    live: Arc<Live>,
    shutdown: CancellationToken,
    url: String,
    client: Client,
}

/// A server on a free port, with places for two subscribers.
async fn node(history_changes_max: usize, progress_interval: Duration) -> Node {
    let served = Arc::new(Served::new(history_changes_max));
    let shutdown = CancellationToken::new();
    let live = Arc::new(Live::new(2, progress_interval, shutdown.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let app = routes(served.clone(), live.clone()).fallback(problem::not_found);
    tokio::spawn(axum::serve(listener, app).into_future());
    Node { served, live, shutdown, url, client: Client::new() }
}

impl Node {
    async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url)).send();
        tokio::time::timeout(PATIENCE, request).await.expect("in time").expect("an answer")
    }

    async fn json(&self, path: &str) -> Json {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.json().await.expect("JSON")
    }

    async fn problem(&self, path: &str, status: StatusCode, code: &str) -> Json {
        let response = self.get(path).await;
        assert_eq!(response.status(), status, "{path}");
        let retry_after = response.headers().contains_key("retry-after");
        assert_eq!(retry_after, status == StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Json = response.json().await.expect("JSON");
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status.as_u16())));
        assert_eq!(problem["type"], format!("urn:otklik:problem:{code}"));
        assert!(problem["title"].is_string());
        problem
    }

    async fn follow(&self, path: &str, last_event_id: Option<u64>) -> Events {
        let mut request = self.client.get(format!("{}{path}", self.url));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Events { response, text: Vec::new() }
    }
}

struct Events {
    response: Response,
    text: Vec<u8>,
}

#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: u64,
    data: Json,
}

impl Events {
    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let text: Vec<u8> = self.text.drain(..end + 2).collect();
                return Some(Event::parse(std::str::from_utf8(&text).expect("UTF-8")));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            match chunk.expect("an event in time").expect("an open stream") {
                Some(chunk) => self.text.extend_from_slice(&chunk),
                None => return None,
            }
        }
    }

    async fn expect(&mut self, name: &str, id: u64) -> Json {
        let event = self.next().await.expect("an event");
        assert_eq!((event.name.as_str(), event.id), (name, id));
        assert_eq!(event.data["epoch"], id);
        event.data
    }
}

impl Event {
    fn parse(text: &str) -> Event {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
        };
        let data = serde_json::from_str(&field("data")).expect("data are JSON");
        Event { name: field("event"), id: field("id").parse().expect("an epoch"), data }
    }
}

fn pending(reason: PendingReason, count: i64) -> Row {
    Row::Pending { reason, count }
}

fn sample(unit: &str, record: u64, order: u32) -> Row {
    Row::SurveySample { unit: Id::of(unit), day: Day(0), record, order }
}

fn month(scope: Scope, id: &str, month: i32) -> Row {
    let spread = Spread { scores: [0, 0, 0, 0, month], records: [1], facts: [1] };
    let spread = Box::new(spread);
    Row::Month { scope, id: Id::of(id), month: Month(2018 * 12 + month - 1), spread }
}

fn all(rows: impl IntoIterator<Item = Row>) -> Vec<(Row, i64)> {
    rows.into_iter().map(|row| (row, 1)).collect()
}

fn len(list: &Json) -> usize {
    list.as_array().expect("a list").len()
}

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

#[tokio::test]
async fn a_stream_is_a_snapshot_and_then_the_changes() {
    use PendingReason::{NoRecord, NoUnit};
    let node = node(100, NEVER).await;
    let path = "/v1/views/pending/live";
    node.served.replace(8, all([pending(NoUnit, 2)]));
    let mut events = node.follow(path, None).await;
    let snapshot = events.expect("snapshot", 7).await;
    assert_eq!(snapshot, json!({"epoch": 7, "rows": [{"reason": "no_unit", "count": 2}]}));

    node.served.apply(10, vec![(pending(NoRecord, 1), 1), (pending(NoUnit, 2), -1)]);
    let (no_record, no_unit) = (json!({"reason": "no_record"}), json!({"reason": "no_unit"}));
    assert_eq!(
        events.expect("changes", 9).await["changes"],
        json!([
            {"op": "upsert", "key": no_record, "row": {"reason": "no_record", "count": 1}},
            {"op": "delete", "key": no_unit, "row": null},
        ])
    );
    // Epochs that change nothing here are no event.
    node.served.apply(11, all([sample("U", 1, 1)]));
    node.served.apply(12, vec![(pending(NoRecord, 1), -1), (pending(NoRecord, 5), 1)]);
    assert_eq!(events.expect("changes", 11).await["changes"][0]["row"]["count"], 5);
    drop(events);

    // What was missed between 9 and 11, and nothing else; then, that there is no more.
    let mut events = node.follow(path, Some(9)).await;
    assert_eq!(len(&events.expect("changes", 11).await["changes"]), 1);
    drop(events);
    let mut events = node.follow(&format!("{path}?last_event_id=11"), None).await;
    events.expect("progress", 11).await;
}

#[tokio::test]
async fn an_id_that_cannot_be_resumed_gets_a_snapshot() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([pending(PendingReason::NoUnit, 2)]));
    for id in ["0", "6", "8", "18446744073709551615", "soon", ""] {
        let path = format!("/v1/views/pending/live?last_event_id={id}");
        let mut events = node.follow(&path, None).await;
        events.expect("snapshot", 7).await;
        drop(events);
        free(&node.live, 0).await;
    }
}

/// Waits until the server has noticed that clients went away.
async fn free(live: &Live, subscribers: usize) {
    let freed = async {
        while live.subscribers() > subscribers {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the place is free again");
}

#[tokio::test]
async fn a_filtered_stream_sees_rows_come_and_go() {
    let node = node(100, NEVER).await;
    node.served.replace(1, all([sample("U1", 1, 1), sample("U1", 2, 2), sample("U2", 3, 2)]));
    let mut events = node.follow("/v1/views/survey_sample/live?order=2&unit=U1", None).await;
    assert_eq!(len(&events.expect("snapshot", 0).await["rows"]), 1);
    let changes = vec![
        (sample("U1", 1, 1), -1),
        (sample("U1", 1, 2), 1),
        (sample("U1", 2, 2), -1),
        (sample("U1", 2, 1), 1),
        (sample("U2", 3, 2), -1),
        (sample("U1", 4, 1), 1),
    ];
    node.served.apply(2, changes);
    let changes = &events.expect("changes", 1).await["changes"];
    assert_eq!(len(changes), 2);
    assert_eq!((&changes[0]["op"], &changes[0]["row"]["record"]), (&json!("upsert"), &json!(1)));
    assert_eq!((&changes[1]["op"], &changes[1]["key"]["record"]), (&json!("delete"), &json!(2)));
}

#[tokio::test]
async fn a_silent_stream_says_how_old_it_is() {
    let node = node(100, Duration::from_millis(20)).await;
    node.served.replace(8, Vec::new());
    let mut events = node.follow("/v1/views/pending/live", None).await;
    events.expect("snapshot", 7).await;
    events.expect("progress", 7).await;
    node.served.apply(9, all([sample("U", 1, 1)]));
    loop {
        let event = events.next().await.expect("progress");
        assert_eq!((event.name.as_str(), &event.data["epoch"]), ("progress", &json!(event.id)));
        if event.id == 8 {
            break;
        }
    }
}

/// The kernel's buffers hold some megabytes; what does not fit waits merged, not queued.
#[tokio::test]
async fn a_slow_reader_gets_merged_epochs_and_the_right_rows() {
    const ROWS: u64 = 1000;
    const EPOCHS: u64 = 150;
    let node = node(usize::MAX, NEVER).await;
    node.served.replace(1, all((0..ROWS).map(|record| sample("U", record, 0))));
    let mut events = node.follow("/v1/views/survey_sample/live", None).await;
    for epoch in 1..=EPOCHS {
        let order = epoch as u32;
        let changes = (0..ROWS).flat_map(|record| {
            [(sample("U", record, order - 1), -1), (sample("U", record, order), 1)]
        });
        node.served.apply(epoch + 1, changes.collect());
        tokio::task::yield_now().await;
    }
    let mut rows = BTreeMap::new();
    let (mut seen, mut sets) = (0, 0);
    while seen < EPOCHS {
        let event = events.next().await.expect("more");
        let list = event.data.get("rows").or(event.data.get("changes")).expect("rows or changes");
        for item in list.as_array().expect("a list") {
            let row = item.get("row").unwrap_or(item);
            rows.insert(row["record"].as_u64(), row["order"].as_u64());
        }
        assert!(rows.values().all(|order| *order == Some(event.id)), "all of one epoch");
        assert!(event.id > seen || event.name == "snapshot");
        seen = event.id;
        sets += 1;
    }
    assert_eq!(rows.len() as u64, ROWS);
    assert!(sets < EPOCHS, "{sets} events were queued");
}

#[tokio::test]
async fn a_reader_the_history_has_left_behind_is_cut_off_with_its_position() {
    let node = node(1, NEVER).await;
    node.served.replace(1, Vec::new());
    let path = "/v1/views/survey_sample/live";
    let mut events = node.follow(path, None).await;
    events.expect("snapshot", 0).await;
    // One thread: the stream is not asked for more between these.
    for epoch in 1..4 {
        node.served.apply(epoch + 1, all([sample("U", epoch, 1)]));
    }
    events.expect("lagged", 0).await;
    assert_eq!(events.next().await, None);
    let mut events = node.follow(path, Some(0)).await;
    assert_eq!(len(&events.expect("snapshot", 3).await["rows"]), 3);
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let path = "/v1/views/pending/live";
    let mut first = node.follow(path, None).await;
    let mut second = node.follow(path, None).await;
    first.expect("snapshot", 0).await;
    second.expect("snapshot", 0).await;
    node.problem(path, StatusCode::SERVICE_UNAVAILABLE, "too_many_subscribers").await;
    assert_eq!(node.live.subscribers(), 2);
    drop(first);
    free(&node.live, 1).await;
    node.follow(path, None).await.expect("snapshot", 0).await;
}

#[tokio::test]
async fn streams_end_with_the_node() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let mut events = node.follow("/v1/views/pending/live", None).await;
    events.expect("snapshot", 0).await;
    node.shutdown.cancel();
    assert_eq!(events.next().await, None);
}

/// Every path that is described under `views` answers, and its answer is JSON or a stream of it.
#[tokio::test]
async fn what_the_description_says_is_there() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let document = node.json("/openapi.json").await;
    let paths = document["paths"].as_object().expect("paths");
    let of_views = paths.iter().filter(|(_, methods)| methods["get"]["tags"][0] == "views");
    let mut answered = Vec::new();
    for (path, _) in of_views {
        for view in View::ALL {
            let path = path.replace("{view}", view.name());
            if path.ends_with("/live") {
                node.follow(&path, None).await.expect("snapshot", 0).await;
                free(&node.live, 0).await;
            } else {
                assert!(node.json(&path).await.is_object());
            }
        }
        answered.push(path.as_str());
    }
    let expected = ["/openapi.json", "/v1/views", "/v1/views/{view}", "/v1/views/{view}/live"];
    answered.sort_unstable();
    assert_eq!(answered, expected);
    assert_references(&document, &document);
    let catalogue = node.json("/v1/views").await;
    let views = catalogue["views"].as_array().expect("views");
    let names: Vec<&Json> = views.iter().map(|view| &view["name"]).collect();
    assert_eq!(json!(names), document["components"]["schemas"]["View"]["enum"]);
}

/// Every `$ref` within `part` is to something.
fn assert_references(document: &Json, part: &Json) {
    if let Some(reference) = part["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let children: Vec<&Json> = match part {
        Json::Object(fields) => fields.values().collect(),
        Json::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    children.iter().for_each(|child| assert_references(document, child));
}
