//! TCP connections of the HTTP side with bounds: on the number, the quiet time and the age of operators', on the
//! quiet time of browsers'.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Connections at the same time: a few scrapers and a few people. Further ones wait in the backlog.
pub(super) const MAX_HTTP_CONNECTIONS: usize = 64;
/// Longest silence of a connection: longer than the usual minute between two scrapes.
pub(super) const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest life of a connection, so that no peer keeps a place for ever by a byte now and then.
const HTTP_LIFETIME: Duration = Duration::from_secs(3600);
/// Pause after `accept` fails for want of descriptors or memory.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Address that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(SocketAddr);

impl Peer {
    /// The far end of a connection.
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// The address without the port.
    pub(super) const fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Accepts while there are places.
pub(super) struct BoundedListener {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_timeout: Duration,
}

impl BoundedListener {
    /// Bounds a listener.
    pub(super) fn new(listener: TcpListener, places: usize, idle_timeout: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)), idle_timeout }
    }
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

/// A connection that gives its place back, at the latest when it has been quiet or, where there is an end, open
/// for too long.
pub(super) struct BoundedStream<P = OwnedSemaphorePermit> {
    stream: TcpStream,
    idle_timeout: Duration,
    idle: Pin<Box<Sleep>>,
    end: Option<Instant>,
    _place: P,
}

impl BoundedStream {
    /// A connection of questions and answers, which ends after a while in any case.
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, idle_timeout: Duration) -> Self {
        let end = Some(Instant::now() + HTTP_LIFETIME);
        Self { end, ..Self::lasting(stream, place, idle_timeout) }
    }
}

impl<P> BoundedStream<P> {
    /// A connection that may last for as long as it is used. It keeps its place when it is upgraded.
    pub(super) fn lasting(stream: TcpStream, place: P, idle_timeout: Duration) -> Self {
        let idle = Box::pin(sleep_until(Instant::now() + idle_timeout));
        Self { stream, idle_timeout, idle, end: None, _place: place }
    }

    /// Passes a result on and puts the deadline off; an error instead, if the deadline has passed.
    fn within_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(result) => {
                let quiet = Instant::now() + self.idle_timeout;
                let deadline = self.end.map_or(quiet, |end| end.min(quiet));
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

impl<P: Unpin> AsyncRead for BoundedStream<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.within_time(cx, result)
    }
}

impl<P: Unpin> AsyncWrite for BoundedStream<P> {
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
