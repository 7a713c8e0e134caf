//! Requests that are wrong, each in one way, made from a seed.

use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// What the client does after it has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Reads until the node ends it.
    Open,
    /// Says that it sends nothing more, and reads.
    Half,
    /// Ends it at once, so that the node's answer is refused.
    Reset,
}

/// A wrong request.
pub struct Wrong {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub end: End,
}

type Make = fn(&mut ChaCha8Rng) -> (Vec<u8>, End);

impl Wrong {
    /// All ways.
    pub const KINDS: [(&'static str, Make); 16] = [
        ("request line", request_line),
        ("no text at all", noise),
        ("head too long", long_head),
        ("too many headers", many_headers),
        ("target too long", long_target),
        ("length", length),
        ("chunks", chunks),
        ("gzip", gzip),
        ("zstd", zstd),
        ("bomb", bomb),
        ("UTF-8", utf8),
        ("JSON", json),
        ("parameters", parameters),
        ("WebSocket", websocket),
        ("half a request", half),
        ("reset", reset),
    ];

    pub fn any(random: &mut ChaCha8Rng) -> Wrong {
        let (name, make) = Wrong::KINDS[random.random_range(0..Wrong::KINDS.len())];
        let (bytes, end) = make(random);
        Wrong { name, bytes, end }
    }
}

fn one<T: Copy>(random: &mut ChaCha8Rng, of: &[T]) -> T {
    of[random.random_range(0..of.len())]
}

fn bytes(random: &mut ChaCha8Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(1..=most)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A batch, with what its head says beside the host.
fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST /v1/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    request
}

fn post_of_length(headers: &str, body: &[u8]) -> Vec<u8> {
    post(&format!("content-length: {}\r\n{headers}", body.len()), body)
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").into_bytes()
}

fn request_line(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let line = one(
        random,
        &[
            "GET /",
            "GET / HTTP/9.9",
            "GET  /v1/views HTTP/1.1",
            "G\0T / HTTP/1.1",
            "GET /\x01 HTTP/1.1",
            " / HTTP/1.1",
            "GET / HTTP/1.1 HTTP/1.1",
            "GET http://[::1 HTTP/1.1",
            "ПОЛУЧИ / HTTP/1.1",
            "GET \\ HTTP/1.1",
            "PRI * HTTP/2.0",
            "",
        ],
    );
    (format!("{line}\r\nhost: a\r\n\r\n").into_bytes(), End::Half)
}

fn noise(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    (bytes(random, 2000), End::Half)
}

fn long_head(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let value = "x".repeat(random.random_range(70_000..200_000));
    (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {value}\r\n\r\n").into_bytes(), End::Half)
}

fn many_headers(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let headers = "a: b\r\n".repeat(random.random_range(200..5000));
    (format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n").into_bytes(), End::Half)
}

fn long_target(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let length = random.random_range(66_000..200_000);
    (get(&format!("/v1/views/units?unit={}", "u".repeat(length))), End::Half)
}

fn length(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let headers = one(
        random,
        &[
            "content-length: 1000\r\n",
            "content-length: -5\r\n",
            "content-length: 5\r\ncontent-length: 7\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "content-length: 99999999999999999999999\r\n",
            "content-length: 1000000000000000\r\n",
            "content-length: five\r\n",
        ],
    );
    (post(headers, b"{\"a\":1}\n"), End::Half)
}

fn chunks(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let body = one(
        random,
        &[
            "zz\r\n{}\r\n0\r\n\r\n",
            "5\r\n{}\r\n0\r\n\r\n",
            "-1\r\n{}\r\n",
            "ffffffffffffffffff\r\n{}\r\n",
            "ffffffff\r\n{}\r\n",
            "2\r\n{}0\r\n\r\n",
            "2\r\n{}\r\n",
            "2;a=\0\r\n{}\r\n0\r\nx\r\n\r\n",
        ],
    );
    (post("transfer-encoding: chunked\r\n", body.as_bytes()), End::Half)
}

fn zipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

/// Breaks what is packed in one way.
fn broken(random: &mut ChaCha8Rng, mut packed: Vec<u8>) -> Vec<u8> {
    match random.random_range(0..3) {
        0 => bytes(random, 300),
        1 => {
            packed.truncate(packed.len() / 2);
            packed
        }
        _ => {
            let at = packed.len() / 2;
            packed[at] ^= 0x55;
            packed.truncate(packed.len() - 1);
            packed
        }
    }
}

const UNKNOWN: &[u8] = b"{\"type\":\"nothing\"}\n{\"type\":\"nothing\",\"a\":[1,2,3]}\n";

fn gzip(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let body = broken(random, zipped(UNKNOWN));
    (post_of_length("content-encoding: gzip\r\n", &body), End::Open)
}

fn zstd(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let body = broken(random, zstd::encode_all(UNKNOWN, 3).expect("memory"));
    (post_of_length("content-encoding: zstd\r\n", &body), End::Open)
}

/// What unpacks to more than is taken; one in twenty, for it costs the node its unpacking.
fn bomb(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| zipped(&vec![b' '; 80 << 20]));
    match random.random_range(0..20) {
        0 => (post_of_length("content-encoding: gzip\r\n", &BOMB), End::Open),
        _ => (post_of_length("content-encoding: br\r\n", b"{}"), End::Open),
    }
}

fn utf8(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    match random.random_range(0..3) {
        0 => (post_of_length("", &bytes(random, 3000)), End::Open),
        1 => (get("/v1/views/units?unit=%ff%fe"), End::Open),
        _ => (get("/v1/views/%ff/live"), End::Open),
    }
}

fn json(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let body = match random.random_range(0..6) {
        0 => "[".repeat(60_000),
        1 => r#"{"type":"#.repeat(8000),
        2 => format!(r#"{{"type":"sms","record":{}}}"#, "9".repeat(5000)),
        3 => r#"{"type":"sms","record":1e400,"text":"\ud800"}"#.to_owned(),
        4 => "{\n".repeat(2000),
        _ => format!("\"{}\"", "\\u0000".repeat(9000)),
    };
    (post_of_length("", body.as_bytes()), End::Open)
}

fn parameters(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let target = one(
        random,
        &[
            "/v1/views/units?limit=-1",
            "/v1/views/units?limit=99999999999999999999",
            "/v1/views/manager_periods?after=%2C%2C%2C%2C%00",
            "/v1/views/manager_periods?period=x",
            "/v1/views/units?as_of=18446744073709551615",
            "/v1/views/units?as_of=-262144-01-01T00:00:00Z",
            "/v1/views/units?sort=-,-,-",
            "/v1/views/units?fields=,",
            "/v1/views/units/live?up_to=0",
            "/v1/views/units/live?as_of=18446744073709551614",
            "/v1/digests?epoch=18446744073709551615",
            "/v1/sources?from=-009999-01-01T00:00:00Z",
            "/v1/live",
        ],
    );
    (get(target), End::Open)
}

fn websocket(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let mut request = b"GET /v1/live HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    let masked = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    };
    let frame: Vec<u8> = match random.random_range(0..8) {
        0 => vec![0x81, 0x02, b'{', b'}'], // not masked
        1 => masked(0x83, b"{}"),          // no such kind
        2 => vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        3 => masked(0x09, b"ping in pieces"),
        4 => masked(0x81, &[0xff, 0xfe]),
        5 => masked(0x80, b"goes on from nothing"),
        6 => masked(0xf1, b"bits that mean nothing"),
        _ => [masked(0x81, br#"{"type":"subscribe","view":3}"#), bytes(random, 100)].concat(),
    };
    request.extend(frame);
    (request, End::Half)
}

fn half(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let whole = match random.random_range(0..2) {
        0 => get("/v1/views/units"),
        _ => post("content-length: 50\r\n", &[b' '; 50]),
    };
    let length = random.random_range(1..whole.len());
    (whole[..length].to_vec(), End::Half)
}

fn reset(random: &mut ChaCha8Rng) -> (Vec<u8>, End) {
    let target = one(random, &["/v1/views/manager_periods/live", "/v1/views/units", "/metrics"]);
    (get(target), End::Reset)
}
