//! The description of it all.

use dataflows::views::View;
use serde_json::{Value as Json, json};

use super::fixture::{NEVER, free, node};

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
