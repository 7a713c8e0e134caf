//! Connections: how many there may be, how long one may be held open for nothing, and how long and
//! how large the head of a request may be.
//!
//! What is sent and read after a head is bounded elsewhere.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::Limits;

/// How long an address may be another's. Of a node that was killed while it started a process, the
/// socket stays with that child until it has become another program, some milliseconds later.
const PATIENCE: Duration = Duration::from_secs(1);
/// Until it is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Listens on an address; waits a moment if it is another's.
///
/// # Errors
/// The operating system refused it, or it is another's still.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                sleep(PAUSE).await;
            }
            bound => return bound,
        }
    }
}
/// Bytes of the head of a request: more is answered with 431.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Accepts connections while there is place; those that come later wait in the system's queue.
#[derive(Debug)]
pub struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_max: Duration,
    head_max: Duration,
}

/// A connection that ends when nothing has come or gone for too long: a client that is gone without
/// a word, that never finishes its request, or that does not read what it asked for.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    idle_max: Duration,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Bounded {
    /// With the limits of the configuration.
    pub fn new(listener: TcpListener, limits: &Limits) -> Bounded {
        let places = Arc::new(Semaphore::new(limits.connections));
        let [idle_max, head_max] =
            [limits.idle_seconds, limits.head_seconds].map(Duration::from_secs);
        Bounded { listener, places, idle_max, head_max }
    }
}

/// Serves until `stop` is cancelled, and returns when all connections have ended then: those that
/// are in a request after its answer.
///
/// As `axum::serve`, which has no way to bound the head of a request.
pub async fn serve(mut listener: Bounded, routes: Router, stop: CancellationToken) {
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new());
    http.http1().header_read_timeout(listener.head_max).max_buf_size(HEAD_BYTES_MAX);
    let connections = TaskTracker::new();
    loop {
        let (connection, address) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let routes = TowerToHyperService::new(routes.clone());
        let (http, stop) = (http.clone(), stop.clone());
        connections.spawn(async move {
            let connection = TokioIo::new(connection);
            let mut served = pin!(http.serve_connection_with_upgrades(connection, routes));
            let ended = tokio::select! {
                ended = served.as_mut() => ended,
                () = stop.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            if let Err(error) = ended {
                debug!("the connection of {address} broke off: {error}");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.expect("it is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // A frame is written at once, and is not to wait for the answer to the one before.
        if let Err(error) = stream.set_nodelay(true) {
            warn!("a connection of {address} will be slow: {error}");
        }
        let (idle_max, idle) = (self.idle_max, Box::pin(sleep(self.idle_max)));
        (Connection { stream, idle_max, idle, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    /// Passes on what the stream says, and lets it rest no longer than it may.
    fn moved<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.idle.as_mut().reset(Instant::now() + self.idle_max);
            return polled;
        }
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.moved(context, polled)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.moved(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
