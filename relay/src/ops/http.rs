//! The HTTP side: `/healthz`, `/readyz`, `/metrics`. For operators and their machines; it has no
//! authentication and listens on this machine only unless it is told otherwise.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{Ops, Readiness};

/// Connections at the same time: a few scrapers and a few people. Further ones wait in the backlog.
pub const MAX_HTTP_CONNECTIONS: usize = 64;
/// How long a connection may be quiet: longer than the usual minute between two scrapes.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long one connection may live, so that no peer keeps a place for ever by a byte now and then.
pub const HTTP_LIFETIME: Duration = Duration::from_secs(3600);
/// Pause after `accept` fails for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

const INDEX: &str = "tribune-relay\n\n\
    /healthz  whether the process runs\n\
    /readyz   whether participants should be sent here\n\
    /metrics  Prometheus metrics\n";

/// Answers until `shutdown` is done, then finishes what has begun.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    ops: Arc<Ops>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops);
    let places = Arc::new(Semaphore::new(MAX_HTTP_CONNECTIONS));
    axum::serve(BoundedListener { listener, places }, routes).with_graceful_shutdown(shutdown).await
}

async fn readyz(State(ops): State<Arc<Ops>>) -> impl IntoResponse {
    let readiness = ops.readiness();
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::Detached | Readiness::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (status, format!("{}\n", readiness.as_str()))
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    const TEXT: [(header::HeaderName, &str); 1] =
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match ops.metrics.render() {
        Ok(text) => (TEXT, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Accepts while there are places.
struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BoundedStream, SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                // Nobody closes the semaphore; if it were closed, nothing could be accepted.
                std::future::pending().await
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => return (BoundedStream::new(stream, place), peer),
                Err(error) => {
                    tracing::warn!(%error, "HTTP connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its place back, at the latest when it has been quiet or open for too long.
struct BoundedStream {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        let now = Instant::now();
        let idle = Box::pin(sleep_until(now + HTTP_IDLE_TIMEOUT));
        Self { stream, idle, end: now + HTTP_LIFETIME, _place: place }
    }

    /// Passes a result on and puts the deadline off; an error instead, if the deadline has passed.
    fn within_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(result) => {
                self.idle.as_mut().reset(self.end.min(Instant::now() + HTTP_IDLE_TIMEOUT));
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(self.idle.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.within_time(cx, result)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.within_time(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
