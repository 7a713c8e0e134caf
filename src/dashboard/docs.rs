//! `GET /docs`: the description of the interface, for people; a vendored viewer of `/openapi.json`.
//!
//! Its own page, because the viewer is five times the dashboard and needs one thing more of the
//! policy: pictures that are part of its style sheet.

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

use super::{ASK_AGAIN, Files, INDEX, answer, guarded};

/// As the dashboard's, and pictures out of style sheets.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
/// The dashboard's.
const ICON: &str = "icon.svg";

#[derive(RustEmbed)]
#[folder = "src/dashboard/docs"]
struct Viewer;

/// `/docs` and `/docs/{file}`, compressed for who accepts gzip.
pub fn routes() -> Router {
    guarded(Router::new().route("/docs", get(index)).route("/docs/{file}", get(file)), POLICY)
}

async fn index(headers: HeaderMap) -> Response {
    found(&headers, INDEX)
}

async fn file(Path(file): Path<String>, headers: HeaderMap) -> Response {
    match file.as_str() {
        INDEX => StatusCode::NOT_FOUND.into_response(),
        file => found(&headers, file),
    }
}

fn found(headers: &HeaderMap, file: &str) -> Response {
    let embedded = if file == ICON { Files::get(file) } else { Viewer::get(file) };
    match embedded {
        Some(embedded) => answer(headers, file, ASK_AGAIN, Bytes::from(embedded.data.into_owned())),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &str) -> String {
        let embedded = Viewer::get(file).expect("embedded");
        String::from_utf8(embedded.data.into_owned()).expect("texts are UTF-8")
    }

    #[test]
    fn the_page_refers_to_what_is_there_and_to_nothing_else() {
        let html = text(INDEX);
        let mut files: Vec<&str> =
            html.split("\"docs/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for file in &files {
            assert!(*file == ICON || Viewer::get(file).is_some(), "there is no {file}");
        }
        files.extend([INDEX, "VENDORED.md"]);
        let unused: Vec<_> = Viewer::iter()
            .filter(|file| !file.ends_with(".txt") && !files.contains(&file.as_ref()))
            .collect();
        assert!(unused.is_empty(), "nothing refers to {unused:?}");
        for ours in [html.as_str(), &text("docs.js"), &text("docs.css")] {
            assert!(!ours.contains("://") && !ours.contains("<style") && !ours.contains("style="));
        }
        assert!(text("docs.js").contains("validatorUrl: null"));
    }

    #[test]
    fn what_is_vendored_names_its_licence_and_no_source_map() {
        assert!(text("LICENSE-swagger-ui.txt").contains("Apache License"));
        for vendored in ["swagger-ui.js", "swagger-ui.css"] {
            assert!(!text(vendored).contains("sourceMappingURL"), "{vendored}");
        }
        // All it loads from a style sheet is in the style sheet.
        let css = text("swagger-ui.css");
        for url in css.split("url(").skip(1) {
            assert!(url.trim_start_matches(['"', '\'']).starts_with("data:"), "{:.60}", url);
        }
    }
}
