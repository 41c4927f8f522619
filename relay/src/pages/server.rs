//! Listener of the pages, with TLS or without.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Site, routes};
use crate::api::listener::{BoundedListener, BoundedStream};
use crate::tls::web_tls;

/// Connections at the same time: a page is some forty small files over a few connections, which are then free, so
/// this is some hundred people who come in the same moment. Further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 1_024;
/// Longest silence of a connection.
const IDLE: Duration = Duration::from_secs(30);
/// Longest life of a connection.
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// Time for a TLS handshake: three round trips around the world, and a slow phone.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections whose handshake is done and that wait to be served.
const READY: usize = 16;

/// Serves the pages for as long as the relay runs. `with_tls`: by the relay's own certificate.
///
/// # Errors
/// Those of the listener, and of TLS.
pub async fn serve(listener: TcpListener, site: Arc<Site>, with_tls: bool) -> io::Result<()> {
    let tls = with_tls.then(|| web_tls(Arc::clone(&site.certificates)));
    let tls = tls.transpose().map_err(io::Error::other)?.map(TlsAcceptor::from);
    let inner = BoundedListener::new(listener, MAX_CONNECTIONS, IDLE, LIFETIME);
    let (done, ready) = mpsc::channel(READY);
    axum::serve(WebListener { inner, tls, done, ready }, routes(site)).await
}

/// See the module's documentation. Handshakes go on side by side.
struct WebListener {
    inner: BoundedListener,
    tls: Option<TlsAcceptor>,
    done: mpsc::Sender<(WebStream, SocketAddr)>,
    ready: mpsc::Receiver<(WebStream, SocketAddr)>,
}

impl Listener for WebListener {
    type Io = WebStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (WebStream, SocketAddr) {
        loop {
            tokio::select! {
                // There is a sender here, so that it is not closed.
                Some(ready) = self.ready.recv() => return ready,
                (stream, peer) = self.inner.accept() => {
                    let Some(tls) = &self.tls else { return (WebStream::Plain(stream), peer) };
                    let (handshake, done) = (tls.accept(stream), self.done.clone());
                    tokio::spawn(async move {
                        match timeout(HANDSHAKE, handshake).await {
                            Ok(Ok(stream)) => {
                                // Nobody takes it when the relay ends.
                                let _ = done.send((WebStream::Tls(Box::new(stream)), peer)).await;
                            }
                            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                        }
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection of a browser.
enum WebStream {
    Plain(BoundedStream),
    Tls(Box<TlsStream<BoundedStream>>),
}

impl AsyncRead for WebStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for WebStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
