//! The head of a request: how long a client may take over it, and how large it may be.

use std::time::{Duration, Instant};

use otklik::config::Config;
use otklik::http::listen::{self, Bounded};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A server of nothing, which lets a client take a second over a head; and what stops it.
async fn serve() -> (String, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let mut limits = Config::default().limits;
    limits.head_seconds = 1;
    let stop = CancellationToken::new();
    let routes = axum::Router::new().fallback(otklik::http::problem::not_found);
    let served = tokio::spawn(listen::serve(Bounded::new(listener, &limits), routes, stop.clone()));
    (address, stop, served)
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    // A connection that is reset has ended as well.
    let _ = read.await.expect("it ends");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_head_that_comes_by_the_byte_is_not_waited_for() {
    let (address, ..) = serve().await;
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    let started = Instant::now();
    let mut sent = stream.write_all(b"GET / HTTP/1.1\r\nx: ").await;
    while sent.is_ok() && started.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sent = stream.write_all(b"y").await;
    }
    assert!(started.elapsed() < Duration::from_secs(10), "it was held for {:?}", started.elapsed());

    // Neither is one that never comes, after a request that was answered.
    let mut stream = TcpStream::connect(&address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it is open");
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (address, ..) = serve().await;
    for head in [format!("x: {}\r\n", "y".repeat(100_000)), "x: y\r\n".repeat(101)] {
        let mut stream = TcpStream::connect(&address).await.expect("it listens");
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{head}\r\n");
        // It may be answered before all of it is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = answer(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_what_is_idle() {
    let (address, stop, served) = serve().await;
    let mut idle = TcpStream::connect(&address).await.expect("it listens");
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it is open");
    let mut byte = [0];
    idle.read_exact(&mut byte).await.expect("an answer");
    stop.cancel();
    tokio::time::timeout(Duration::from_millis(900), served).await.expect("soon").expect("ends");
    answer(&mut idle).await;
    assert!(TcpStream::connect(&address).await.is_err(), "nobody listens");
}
