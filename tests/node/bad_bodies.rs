//! Bodies of which nothing is accepted, and senders that take too much.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use futures::StreamExt;
use reqwest::RequestBuilder;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::fixture::{Node, SMS};

async fn all(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.read_to_end(&mut bytes).await.expect("memory");
    bytes
}

fn encoded(node: &Node, encoding: &str, body: Vec<u8>) -> RequestBuilder {
    node.post(body).header("content-encoding", encoding)
}

#[tokio::test(flavor = "multi_thread")]
async fn gzip_and_zstd_are_unpacked_in_one_piece_or_several() {
    let node = Node::start().await;
    let line = format!("{SMS}\n");
    let gzip = all(GzipEncoder::new(line.as_bytes())).await;
    let zstd = all(ZstdEncoder::new(line.as_bytes())).await;
    for (encoding, body, accepted) in [
        ("gzip", gzip.clone(), 1),
        ("GZIP", gzip.repeat(3), 3),
        ("zstd", zstd.clone(), 1),
        ("zstd", zstd.repeat(3), 3),
        ("identity", line.clone().into_bytes(), 1),
    ] {
        let response = encoded(&node, encoding, body).send().await.expect("it answers");
        let answer: serde_json::Value = response.json().await.expect("JSON");
        assert_eq!(answer["accepted"], accepted, "{encoding}");
    }
    assert_eq!(node.stop().await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_its_encoding_is_refused_whole() {
    let node = Node::start().await;
    let lines = format!("{SMS}\n").repeat(10_000);
    let gzip = all(GzipEncoder::new(lines.as_bytes())).await;
    let zstd = all(ZstdEncoder::new(lines.as_bytes())).await;
    let mut flipped = gzip.clone();
    let middle = flipped.len() - 6;
    flipped[middle] ^= 1;
    for (encoding, body, expected) in [
        ("br", b"x".to_vec(), (415, "bad_encoding")),
        ("gzip, zstd", b"x".to_vec(), (415, "bad_encoding")),
        ("gzip", lines.clone().into_bytes(), (400, "broken_body")),
        ("zstd", lines.clone().into_bytes(), (400, "broken_body")),
        ("gzip", gzip[..gzip.len() - 4].to_vec(), (400, "broken_body")),
        ("zstd", zstd[..zstd.len() - 4].to_vec(), (400, "broken_body")),
        ("gzip", flipped, (400, "broken_body")),
        ("gzip", [&gzip[..], b"more"].concat(), (400, "broken_body")),
    ] {
        let (status, code, detail) = node.problem(encoded(&node, encoding, body)).await;
        assert_eq!((status, code.as_str()), expected, "{encoding}: {detail}");
    }
    assert_eq!(node.stop().await, 0);
}

/// A gigabyte of zeros: a megabyte of gzip, some kilobytes of zstd.
#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_not_unpacked_to_their_end() {
    let node = Node::start().await;
    let zeros = || tokio::io::BufReader::with_capacity(1 << 20, tokio::io::repeat(0).take(1 << 30));
    let lines = tokio::io::BufReader::new(tokio::io::repeat(b'\n').take(1 << 26));
    for (encoding, bomb, expected) in [
        ("gzip", all(GzipEncoder::new(zeros())).await, "unpacks to more than 67108864 bytes"),
        ("zstd", all(ZstdEncoder::new(zeros())).await, "unpacks to more than 67108864 bytes"),
        ("gzip", all(GzipEncoder::new(lines)).await, "more than 100000 lines"),
    ] {
        assert!(bomb.len() < 2 << 20, "{encoding} is small");
        let (status, code, detail) = node.problem(encoded(&node, encoding, bomb)).await;
        assert_eq!((status, code.as_str()), (413, "too_large"), "{encoding}");
        assert!(detail.contains(expected), "{detail}");
    }
    assert_eq!(node.submit(SMS).await["accepted"], 1);
    assert_eq!(node.stop().await, 1);
}

/// A frame that wants a window of 128 MB is not given it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_does_not_choose_how_much_memory_unpacking_takes() {
    let node = Node::start().await;
    let window = async_compression::zstd::CParameter::window_log(27);
    let level = async_compression::Level::Default;
    let lines = format!("{SMS}\n").repeat(10_000);
    let body = all(ZstdEncoder::with_quality_and_params(lines.as_bytes(), level, &[window])).await;
    let (status, code, _) = node.problem(encoded(&node, "zstd", body)).await;
    assert_eq!((status, code.as_str()), (400, "broken_body"));
    assert_eq!(node.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused_announced_or_not() {
    let node = Node::with(|config| config.limits.body_bytes = 4096).await;
    let body = format!("{SMS}\n").repeat(100);
    let announced = node.problem(node.post(body.clone())).await;
    let pieces = futures::stream::repeat(body).take(3).map(Ok::<_, std::io::Error>);
    let unannounced = node.problem(node.post(reqwest::Body::wrap_stream(pieces))).await;
    for (status, code, detail) in [announced, unannounced] {
        assert_eq!((status, code.as_str()), (413, "too_large"));
        assert_eq!(detail, "the body is longer than 4096 bytes");
    }
    assert_eq!(node.stop().await, 0);
}

/// The connection is cut in the middle of a batch, in both ways a body can be framed.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_breaks_off_leaves_nothing() {
    let node = Node::start().await;
    let line = format!("{SMS}\n");
    let sized = format!("content-length: {}\r\n\r\n{line}{line}", 3 * line.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{line}\r\n", line.len());
    for rest in [sized, chunked] {
        let mut stream = TcpStream::connect(node.running.address).expect("it listens");
        write!(stream, "POST /v1/events HTTP/1.1\r\nhost: x\r\n{rest}").expect("sent");
        stream.shutdown(Shutdown::Write).expect("shut down");
        // The node closes when it has noticed; what it says before is for nobody.
        stream.read_to_end(&mut Vec::new()).expect("closed");
    }
    assert_eq!(node.submit(SMS).await["accepted"], 1);
    assert_eq!(node.stop().await, 1);
}

/// Begins a body and does not go on.
fn begin(node: &Node) -> TcpStream {
    let mut slow = TcpStream::connect(node.running.address).expect("it listens");
    write!(slow, "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{")
        .expect("sent");
    slow.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    slow
}

/// That it was answered with 408.
fn was_too_slow(mut slow: TcpStream) {
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_takes_its_time_holds_a_place_not_for_long() {
    let node = Node::with(|config| config.limits.body_seconds = 1).await;
    was_too_slow(begin(&node));
    while !node.get("/metrics").await.1.contains("otklik_queue_batches 0\n") {}
    assert_eq!(node.stop().await, 0);
}

/// Slow senders in all places do not shut the door to others.
#[tokio::test(flavor = "multi_thread")]
async fn where_all_places_are_taken_the_slowest_gives_way() {
    let node = Node::with(|config| {
        config.limits.requests = 2;
        config.limits.body_seconds = 3600;
    })
    .await;
    let slow = [begin(&node), begin(&node)];
    while !node.get("/metrics").await.1.contains("otklik_queue_batches 2\n") {}
    // Until they have had their second.
    loop {
        let answer = node.post(SMS).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => break,
            status => assert_eq!(status, 429),
        }
        assert!(answer.headers().contains_key("retry-after"));
    }
    // One has given way, and the other does now that there are two again.
    let third = begin(&node);
    while !node.get("/metrics").await.1.contains("otklik_queue_batches 2\n") {}
    assert_eq!(node.submit(SMS).await["accepted"], 1);
    slow.into_iter().for_each(was_too_slow);
    drop(third);
    assert_eq!(node.stop().await, 2);
}

/// Bounds the memory of the door over all senders.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_would_not_fit_in_memory_are_turned_away() {
    let node = Node::with(|config| config.limits.waiting_bytes = 1 << 20).await;
    let large = format!("{SMS}\n").repeat(90_000);
    let (status, code, _) = node.problem(node.post(large)).await;
    assert_eq!((status, code.as_str()), (503, "no_room"));
    assert_eq!(node.submit(SMS).await["accepted"], 1, "the room is given back");
    assert_eq!(node.stop().await, 1);
}
