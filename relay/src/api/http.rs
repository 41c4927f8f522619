//! The HTTP side: `/healthz`, `/readyz`, `/metrics`, and what [`super::api`] adds. For operators and their
//! machines; it listens on this machine only unless it is told otherwise.

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

use super::routes::{self, Api, Peer};
use crate::ops::Ops;
use tribune_relay_core::query::Readiness;

/// Connections at the same time: a few scrapers and a few people. Further ones wait in the backlog.
pub const MAX_HTTP_CONNECTIONS: usize = 64;
/// How long a connection may be quiet: longer than the usual minute between two scrapes.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long one connection may live, so that no peer keeps a place for ever by a byte now and then.
pub const HTTP_LIFETIME: Duration = Duration::from_secs(3600);
/// Pause after `accept` fails for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

const INDEX: &str = "tribune-relay\n\n\
    /healthz            whether the process runs\n\
    /readyz             whether participants should be sent here\n\
    /metrics            Prometheus metrics\n\
    /api/status         this relay\n\
    /api/tree           all relays of the tree\n\
    /api/rooms          rooms on this relay, ?limit=50\n\
    /api/rooms/NAME     one of them\n\
    /api/rooms/NAME/listeners     who hears worst, ?worst=20&by=concealed; for operators\n\
    /api/rooms/NAME/listeners/ID  one participant; for operators\n\
    POST /drain         ends the relay, ?to=HOST:PORT&within=30s; for operators\n";

/// Answers until `shutdown` is done, then finishes what has begun.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    ops: Arc<Ops>,
    api: Api,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MAX_HTTP_CONNECTIONS));
    let listener = BoundedListener { listener, places, idle_timeout: HTTP_IDLE_TIMEOUT };
    let service = routes(ops, api).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

fn routes(ops: Arc<Ops>, api: Api) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ops)
        .merge(routes::routes(api))
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
pub(super) struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_timeout: Duration,
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
                Ok((stream, peer)) => {
                    return (BoundedStream::new(stream, place, self.idle_timeout), peer);
                }
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
pub(super) struct BoundedStream {
    stream: TcpStream,
    idle_timeout: Duration,
    idle: Pin<Box<Sleep>>,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, idle_timeout: Duration) -> Self {
        let now = Instant::now();
        let idle = Box::pin(sleep_until(now + idle_timeout));
        Self { stream, idle_timeout, idle, end: now + HTTP_LIFETIME, _place: place }
    }

    /// Passes a result on and puts the deadline off; an error instead, if the deadline has passed.
    fn within_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(result) => {
                let deadline = self.end.min(Instant::now() + self.idle_timeout);
                self.idle.as_mut().reset(deadline);
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU8;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;
    use crate::api::auth::Entitlement;
    use crate::api::query_channel::desk;
    use crate::metrics::SeriesLimits;

    /// A server on a port of its own.
    struct Server {
        address: SocketAddr,
        ops: Arc<Ops>,
        stop: oneshot::Sender<()>,
        done: tokio::task::JoinHandle<io::Result<()>>,
    }

    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ops = Arc::new(Ops::new(NonZeroU8::MIN, SeriesLimits::default()).unwrap());
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(serve(listener, Arc::clone(&ops), nobody(), async {
            stopped.await.ok();
        }));
        Server { address, ops, stop, done }
    }

    /// A desk at which nobody answers.
    fn nobody() -> Api {
        Api { desk: desk().0, entitlement: Entitlement::default() }
    }

    /// Status line and body of an answer.
    async fn get(address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn health_and_readiness_differ() {
        let server = start().await;
        assert_eq!(get(server.address, "/healthz").await.1, "ok\n");
        for (readiness, status, body) in [
            (Readiness::Starting, "503", "starting\n"),
            (Readiness::Ready, "200", "ready\n"),
            (Readiness::Detached, "503", "not attached to a parent\n"),
            (Readiness::Draining, "503", "draining\n"),
        ] {
            server.ops.set_readiness(readiness);
            let answer = get(server.address, "/readyz").await;
            assert!(answer.0.contains(status), "{answer:?}");
            assert_eq!(answer.1, body);
            assert!(get(server.address, "/healthz").await.0.contains("200"));
        }
    }

    #[tokio::test]
    async fn metrics_and_the_index_and_nothing_else() {
        let server = start().await;
        let (status, body) = get(server.address, "/metrics").await;
        assert!(status.contains("200"), "{status}");
        assert!(body.contains("tribune_relay_build_info{version="), "{body}");
        assert!(get(server.address, "/").await.1.contains("/metrics"));
        assert!(get(server.address, "/other").await.0.contains("404"));
    }

    #[tokio::test]
    async fn it_stops_when_it_is_told() {
        let server = start().await;
        get(server.address, "/healthz").await;
        server.stop.send(()).unwrap();
        server.done.await.unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn quiet_connections_give_their_places_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let idle_timeout = Duration::from_millis(300);
        let places = Arc::new(Semaphore::new(2));
        let listener = BoundedListener { listener, places, idle_timeout };
        let ops = Arc::new(Ops::new(NonZeroU8::MIN, SeriesLimits::default()).unwrap());
        let service = routes(ops, nobody()).into_make_service_with_connect_info::<Peer>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let before = Instant::now();
        let _quiet = TcpStream::connect(address).await.unwrap();
        let _quiet_too = TcpStream::connect(address).await.unwrap();
        // Both places are taken until the timeout.
        let answer = tokio::time::timeout(Duration::from_secs(30), get(address, "/healthz")).await;
        assert_eq!(answer.expect("a place was given back").1, "ok\n");
        assert!(before.elapsed() >= idle_timeout, "{:?}", before.elapsed());
    }
}
