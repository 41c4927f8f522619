//! Connections of browsers: accepted while there are places, TLS first, then HTTP/1.1. A handshake, the head of
//! a request, and each read and write have their time, so that nobody keeps a place for nothing.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::places::{Share, Shares};
use super::site::{self, Site};
use crate::api::listener::{ACCEPT_PAUSE, BoundedStream, Peer};
use crate::monitor::Monitor;
use crate::websocket::Bridge;

/// Connections at the same time: a browser opens up to six for a page and keeps them for some seconds, so a few
/// hundred people a second; a listener without UDP keeps one. About 50 KB each.
const MAX_CONNECTIONS: usize = 2_048;
/// Part of the places that one network may have: offices and schools share an address.
const SHARE: usize = 4;
/// Time for TLS: six round trips of a bad mobile network.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time for the head of a request, and between two of them.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Longest silence of a connection in both directions. What follows a request is quicker, and a WebSocket has
/// audio or reports every few seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes of a request's head: cookies have no business here.
const HEAD_BYTES: usize = 16 * 1024;

/// Serving of a relay's pages.
#[derive(Debug)]
pub struct WebServer {
    /// Pages and what they are told.
    pub site: Site,
    /// Way of WebSockets to the shards.
    pub bridge: Arc<Bridge>,
    /// TLS of its connections; `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The relay's metrics.
    pub monitor: Arc<Monitor>,
}

impl WebServer {
    /// Serves until it is dropped. Never done.
    pub async fn serve(self, listener: TcpListener) {
        let Self { site, bridge, tls, monitor } = self;
        let most = places();
        let places = Arc::new(Semaphore::new(most));
        // A proxy's connections all come from one address.
        let shares = Shares::new(if tls.is_some() { most / SHARE } else { most });
        let tls = tls.map(TlsAcceptor::from);
        let routes = site::routes(site, bridge);
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                // Nobody closes the semaphore; if it were closed, nothing could be accepted.
                return std::future::pending().await;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a browser's connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(share) = shares.take(peer.ip()) else {
                monitor.metrics().web().refused.inc();
                continue;
            };
            monitor.metrics().web().connections.inc();
            let place = Place { _permit: place, _share: share, monitor: Arc::clone(&monitor) };
            let stream = BoundedStream::lasting(stream, place, SILENCE);
            let (tls, routes, monitor) = (tls.clone(), routes.clone(), Arc::clone(&monitor));
            tokio::spawn(async move {
                match tls {
                    None => speak(stream, peer, routes, &monitor).await,
                    Some(tls) => {
                        match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                            Ok(Ok(stream)) => speak(stream, peer, routes, &monitor).await,
                            // A scanner, a plain request, a browser that does not like the certificate.
                            Ok(Err(_)) | Err(_) => monitor.metrics().web().failed.inc(),
                        }
                    }
                }
            });
        }
    }
}

/// A connection's place, which a WebSocket keeps. It is given back when it is dropped.
struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Share,
    monitor: Arc<Monitor>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.monitor.metrics().web().connections.dec();
    }
}

/// Speaks HTTP on a connection until it ends.
fn speak<S>(
    stream: S,
    peer: SocketAddr,
    routes: Router,
    monitor: &Monitor,
) -> impl Future<Output = ()> + Send + use<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    monitor.metrics().web().accepted.inc();
    let routes = routes.layer(axum::Extension(ConnectInfo(Peer::new(peer))));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    async move {
        // It ends as it likes: people close pages in the middle of everything.
        let _ = connection.with_upgrades().await;
    }
}

/// Places for connections: at most half of the files that this process may have open, whose other half is the
/// relay's own.
fn places() -> usize {
    let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
    MAX_CONNECTIONS.min(files / 2).max(1)
}
