//! HTTP server: `/healthz`, `/readyz`, `/metrics`, and the [`routes`] under them. For operators and their
//! machines; it listens on this machine only unless configured otherwise.

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tribune_relay_core::query::Readiness;

use super::listener::{BoundedListener, HTTP_IDLE_TIMEOUT, MAX_HTTP_CONNECTIONS, Peer};
use super::routes::{self, Api};
use crate::monitor::Monitor;

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

/// Serves until `shutdown` is done, then finishes the requests that have begun.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    monitor: Arc<Monitor>,
    api: Api,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = BoundedListener::new(listener, MAX_HTTP_CONNECTIONS, HTTP_IDLE_TIMEOUT);
    let service = routes(monitor, api).into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

fn routes(monitor: Arc<Monitor>, api: Api) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(monitor)
        .merge(routes::routes(api))
}

async fn readyz(State(monitor): State<Arc<Monitor>>) -> impl IntoResponse {
    let readiness = monitor.readiness();
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::Detached | Readiness::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (status, format!("{}\n", readiness.as_str()))
}

async fn metrics(State(monitor): State<Arc<Monitor>>) -> Response {
    const TEXT: [(header::HeaderName, &str); 1] =
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match monitor.metrics().render() {
        Ok(text) => (TEXT, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroU8;
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;
    use crate::api::auth::OperatorAuth;
    use crate::api::query_channel::query_channel;
    use crate::metrics::SeriesLimits;

    /// A server on a port of its own.
    struct Server {
        address: SocketAddr,
        monitor: Arc<Monitor>,
        stop: oneshot::Sender<()>,
        done: tokio::task::JoinHandle<io::Result<()>>,
    }

    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let monitor = Arc::new(Monitor::new(NonZeroU8::MIN, SeriesLimits::default()).unwrap());
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(serve(listener, Arc::clone(&monitor), nobody(), async {
            stopped.await.ok();
        }));
        Server { address, monitor, stop, done }
    }

    /// Routes whose questions nobody answers.
    fn nobody() -> Api {
        Api { queries: query_channel().0, auth: OperatorAuth::default() }
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
            server.monitor.set_readiness(readiness);
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
        let listener = BoundedListener::new(listener, 2, idle_timeout);
        let monitor = Arc::new(Monitor::new(NonZeroU8::MIN, SeriesLimits::default()).unwrap());
        let service = routes(monitor, nobody()).into_make_service_with_connect_info::<Peer>();
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
