//! Several views over one WebSocket.

use dataflows::views::PendingReason;
use futures::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::fixture::{NEVER, Node, PATIENCE, all, free, node, pending, sample};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(node: &Node) -> Socket {
        let url = format!("{}/v1/live", node.url.replace("http", "ws"));
        Socket(connect_async(url).await.expect("a socket").0)
    }

    async fn say(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.expect("it is open");
    }

    /// The next message; `None` at the end.
    async fn hear(&mut self) -> Option<Json> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time")? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(_)) => return None,
                other => drop(other.expect("an open socket")),
            }
        }
    }

    async fn expect(&mut self, name: &str, event: &str) -> Json {
        let said = self.hear().await.expect("a message");
        assert_eq!((&said["name"], &said["event"]), (&json!(name), &json!(event)), "{said}");
        said
    }
}

#[tokio::test]
async fn a_socket_carries_several_views() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([pending(PendingReason::NoUnit, 2), sample("U1", 1, 1)]));
    let mut socket = Socket::open(&node).await;
    socket.say(json!({"type": "subscribe", "name": "a", "view": "pending"})).await;
    let snapshot = socket.expect("a", "snapshot").await;
    assert_eq!(snapshot["data"]["rows"], json!([{"reason": "no_unit", "count": 2}]));
    let conditions = json!({"unit": ["U1", "U2"], "order": "1"});
    let subscribe = json!({"type": "subscribe", "name": "b", "view": "survey_sample",
        "where": conditions});
    socket.say(subscribe).await;
    assert_eq!(socket.expect("b", "snapshot").await["data"]["total"], 1);
    assert_eq!(node.live.subscribers(), 2);

    node.served.apply(9, all([sample("U2", 2, 1), sample("U2", 3, 2)]));
    let changes = socket.expect("b", "changes").await;
    assert_eq!(changes["data"]["changes"].as_array().expect("a list").len(), 1);
    node.served.apply(10, all([pending(PendingReason::NoRecord, 1)]));
    let changes = socket.expect("a", "changes").await;
    assert_eq!(changes["data"]["after"], snapshot["id"]);

    socket.say(json!({"type": "unsubscribe", "name": "b"})).await;
    assert_eq!(socket.expect("b", "end").await["data"]["reason"], "unsubscribed");
    assert_eq!(node.live.subscribers(), 1);
    let after = changes["id"].clone();
    let resume = json!({"type": "subscribe", "name": "c", "view": "pending", "after": after});
    socket.say(resume).await;
    assert_eq!(socket.expect("c", "progress").await["id"], after);

    node.shutdown.cancel();
    for _ in 0..2 {
        let end = socket.hear().await.expect("a message");
        assert_eq!((&end["event"], &end["data"]["reason"]), (&json!("end"), &json!("stopping")));
    }
    assert_eq!(socket.hear().await, None);
    free(&node.live, 0).await;
}

#[tokio::test]
async fn frames_wait_until_the_client_has_those_before() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let mut socket = Socket::open(&node).await;
    let subscribe = json!({"type": "subscribe", "name": "a", "view": "survey_sample", "window": 1});
    socket.say(subscribe).await;
    let snapshot = socket.expect("a", "snapshot").await;
    for epoch in 1..=40 {
        node.served.apply(epoch + 1, all([sample("U", epoch, 1)]));
    }
    // One is under way, so the others are merged behind it.
    socket.say(json!({"type": "ack", "name": "b", "id": "0"})).await;
    assert_eq!(socket.hear().await.expect("it")["data"]["code"], "unknown_subscription");
    socket.say(json!({"type": "ack", "name": "a", "id": snapshot["id"]})).await;
    let merged = socket.expect("a", "changes").await;
    assert_eq!((&merged["data"]["merged"], &merged["data"]["epoch"]), (&json!(40), &json!(40)));
    assert_eq!(merged["data"]["after"], snapshot["id"]);
}

#[tokio::test]
async fn wrong_messages_are_answered_and_change_nothing() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let mut socket = Socket::open(&node).await;
    let subscribe = |more: Json| {
        let mut message = json!({"type": "subscribe", "name": "a", "view": "pending"});
        let fields = message.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        message
    };
    let wrong = [
        (json!([]), "bad_message"),
        (json!({"type": "sing"}), "bad_message"),
        (subscribe(json!({"colour": "red"})), "bad_message"),
        (subscribe(json!({"view": "moods"})), "unknown_view"),
        (subscribe(json!({"where": {"colour": "red"}})), "unknown_column"),
        (subscribe(json!({"name": ""})), "bad_value"),
        (subscribe(json!({"after": "soon"})), "bad_value"),
        (subscribe(json!({"on_slow": "wait"})), "bad_value"),
        (subscribe(json!({"as_of": 70})), "forgotten"),
        (json!({"type": "unsubscribe", "name": "a"}), "unknown_subscription"),
    ];
    for (message, code) in wrong {
        socket.say(message.clone()).await;
        let answer = socket.hear().await.expect("an answer");
        assert_eq!(
            (&answer["event"], &answer["data"]["code"]),
            (&json!("error"), &json!(code)),
            "{message}"
        );
    }
    for name in ["a", "b"] {
        socket.say(subscribe(json!({"name": name}))).await;
        socket.expect(name, "snapshot").await;
    }
    socket.say(subscribe(json!({}))).await;
    assert_eq!(socket.expect("a", "error").await["data"]["code"], "bad_value");
    socket.say(subscribe(json!({"name": "c"}))).await;
    assert_eq!(socket.expect("c", "error").await["data"]["code"], "too_many_subscribers");
}

/// Browsers let every page open a socket, so it is the node that must say no.
#[tokio::test]
async fn pages_of_other_hosts_are_turned_away() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let url = format!("{}/v1/live", node.url.replace("http", "ws"));
    for (origin, is_ours) in [(node.url.as_str(), true), ("http://elsewhere.example", false)] {
        let mut request = url.as_str().into_client_request().expect("a request");
        request.headers_mut().insert("origin", origin.parse().expect("a header"));
        match connect_async(request).await {
            Ok(_) => assert!(is_ours, "{origin}"),
            Err(Error::Http(answer)) => {
                assert_eq!((is_ours, answer.status().as_u16()), (false, 403))
            }
            Err(error) => panic!("{error}"),
        }
    }
    node.problem("/v1/live", reqwest::StatusCode::UPGRADE_REQUIRED, "upgrade_required").await;
}
