//! `GET /openapi.json`: the description of all endpoints, for people and for client generators.
//!
//! The document is written by hand; the shapes of rows and the names of views are put in from
//! [`columns`]. That it names every route, method and parameter, and no others, is tested, and a
//! fuzzer holds the answers of a node against it (docs/decisions/0011).

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::response::Response;
use dataflows::views::View;
use serde_json::{Map, Value as Json, json};

use super::api;
use crate::views::columns;

/// `GET /openapi.json`.
pub(super) async fn document() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi().to_string().into_bytes().into());
    api::json(DOCUMENT.clone())
}

/// The document.
pub fn openapi() -> Json {
    let mut document: Json =
        serde_json::from_str(include_str!("openapi.json")).expect("the file is JSON: tested");
    let schemas = &mut document["components"]["schemas"];
    schemas["View"]["enum"] = json!(View::ALL.map(View::name));
    let mut any_row = Vec::new();
    for view in View::ALL {
        let name = format!("{}_row", view.name());
        schemas[&name] = row_schema(view);
        any_row.push(json!({ "$ref": format!("#/components/schemas/{name}") }));
    }
    schemas["Row"]["anyOf"] = any_row.into();
    document
}

fn row_schema(view: View) -> Json {
    let properties: Map<String, Json> =
        columns::columns(view).map(|column| (column.name.to_owned(), column.schema())).collect();
    // No column is required, for `fields` leaves out those that it does not name.
    json!({
        "type": "object",
        "description": columns::about(view),
        "additionalProperties": false,
        "properties": properties,
    })
}
