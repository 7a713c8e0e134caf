//! The page at `/`: its files, embedded in the program, and the headers they are served with.
//!
//! Owns no figures: the page reads them over `/v1` like everybody else. Every file but the page
//! itself has the digest of all of them in its path, so browsers keep it for good, and a new
//! version of the program never runs with old files.
//!
//! The page is read in this order: `client.js` is the transport, and knows nothing of figures;
//! `rows.js` holds the rows of a view and `order.js` the order of a table; `figures.js` follows each
//! view once for all parts that look at it, and has the one clock by which the page is drawn;
//! `polled.js` asks for what no view has;
//! `status.js` and `intake.js` say how the node stands; `route.js` is the address. `screens/` are
//! what the menu names, `parts/` what they are made of, `words/` what they say.

mod docs;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::regions::Regions;

/// The file served at `/`; `{assets}` in it stands for the folder of the others, `{modules}` for
/// links that have all modules fetched at once, and not one after the other as they name each other.
const INDEX: &str = "index.html";
/// Made from the list of regions: `{"<ОКАТО prefix>": "<name>", …}`.
const REGIONS: &str = "regions.json";

/// What the page may do: load its own files, talk to its own node, and be framed by nobody.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// A file under its digest never changes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// The page itself is asked for again each time, and answered with 304 where it is the same.
const ASK_AGAIN: &str = "no-cache";

#[derive(RustEmbed)]
#[folder = "src/dashboard/page"]
struct Files;

/// `/`, `/assets/{digest}/{file}` and `/docs`, compressed for who accepts gzip.
pub fn routes() -> Router {
    let page = Router::new().route("/", get(index)).route("/assets/{digest}/{*file}", get(asset));
    guarded(page, POLICY).merge(docs::routes())
}

/// The same, with what browsers are told to keep it to.
fn guarded(routes: Router, policy: &'static str) -> Router {
    let set = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    routes
        .layer(set(header::CONTENT_SECURITY_POLICY, policy))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::REFERRER_POLICY, "no-referrer"))
        .layer(CompressionLayer::new())
}

async fn index(headers: HeaderMap) -> Response {
    let file = Files::get(INDEX).expect("the page is embedded: tested");
    let html = String::from_utf8_lossy(&file.data);
    let modules: String = Files::iter()
        .filter(|path| path.ends_with("js") && !html.contains(&format!("{{assets}}/{path}\"")))
        .map(|path| format!("<link rel=\"modulepreload\" href=\"{{assets}}/{path}\">\n  "))
        .collect();
    let html = html.replace("{modules}", modules.trim_end());
    let html = html.replace("{assets}", &format!("/assets/{}", digest()));
    answer(&headers, INDEX, ASK_AGAIN, Bytes::from(html))
}

async fn asset(Path((wanted, file)): Path<(String, String)>, headers: HeaderMap) -> Response {
    if wanted != digest() {
        return StatusCode::NOT_FOUND.into_response();
    }
    match contents(&file) {
        Some(bytes) => answer(&headers, &file, FOR_GOOD, bytes),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A file that the page loads, by its path within the folder.
fn contents(file: &str) -> Option<Bytes> {
    match file {
        INDEX => None,
        REGIONS => Some(regions().clone()),
        _ => Some(Bytes::from(Files::get(file)?.data.into_owned())),
    }
}

fn regions() -> &'static Bytes {
    static REGIONS: LazyLock<Bytes> = LazyLock::new(|| {
        let regions = Regions::embedded();
        let names: BTreeMap<&str, &str> =
            regions.iter().map(|region| (region.okato.as_str(), region.name.as_str())).collect();
        serde_json::to_vec(&names).expect("a map of texts is JSON").into()
    });
    &REGIONS
}

/// Eight hexadecimal digits that differ when any file does.
fn digest() -> String {
    static EMBEDDED: LazyLock<String> = LazyLock::new(digest_of_files);
    // A build for development reads the files from disk, where they may have changed.
    if cfg!(debug_assertions) { digest_of_files() } else { EMBEDDED.clone() }
}

fn digest_of_files() -> String {
    let mut crc = crc32fast::Hasher::new();
    for path in Files::iter() {
        crc.update(path.as_bytes());
        crc.update(&Files::get(&path).expect("it was listed").metadata.sha256_hash());
    }
    crc.update(regions());
    format!("{:08x}", crc.finalize())
}

/// The file, or 304 where the reader has it already.
fn answer(headers: &HeaderMap, file: &str, caching: &'static str, body: Bytes) -> Response {
    // Weak, because the body may be compressed on its way.
    let tag = format!("W/\"{:08x}\"", crc32fast::hash(&body));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let tag = HeaderValue::try_from(tag).expect("hexadecimal digits and quotes");
    let headers = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(file))),
    ];
    if is_known {
        (StatusCode::NOT_MODIFIED, headers, Body::empty()).into_response()
    } else {
        (headers, body).into_response()
    }
}

fn content_type(file: &str) -> &'static str {
    match file.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests;
