//! WebSockets, for browsers in networks without UDP: the last resort, with the head-of-line blocking of TCP and twice
//! the work. Each is carried to the shards by a connection of this relay to its own UDP port, so that they have
//! one kind of connection only; [`tribune_relay_core::link::bridge`] says whose it is.
//!
//! A message's first byte says what it is: 0 a datagram, 1 bytes of the control stream. SPEC.md section 2.5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ApplicationClose, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use tokio::time::timeout;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::limits::{MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES};
use tribune_relay_core::link::bridge::{ALPN_BRIDGE, BridgeKey};

use crate::tls::{ServerTrust, client_crypto};

/// Subprotocol of these sockets. The digit is the protocol's major version.
pub const SUBPROTOCOL: &str = "tribune.1";
/// Close codes of a socket begin here: ours are added (RFC 6455 section 7.4.2 leaves 4000 to 4999 to applications).
const CLOSE_CODES_FROM: u16 = 4_000;
/// Close code for a peer that breaks the rules of WebSocket, and for a relay that is out of order (RFC 6455
/// section 7.4.1).
const POLICY_VIOLATION: u16 = 1_008;
const INTERNAL_ERROR: u16 = 1_011;
/// First byte of a message that is a datagram.
const DATAGRAM: u8 = 0;
/// First byte of a message with bytes of the control stream.
const CONTROL: u8 = 1;

/// Time for the handshake with the own port: it is on this machine.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a browser may take nothing: what waits is old then.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read of the control stream at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Datagrams that wait while the browser takes nothing, oldest dropped first: two seconds of one talker.
const WAITING_DATAGRAMS: usize = 100;
/// Bytes of a socket's buffer for sending. TCP has its own besides.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// Way from WebSockets to the shards.
#[derive(Debug)]
pub struct Bridge {
    endpoint: Endpoint,
    relay: SocketAddr,
    key: BridgeKey,
}

impl Bridge {
    /// A bridge to the relay that listens at that UDP address. To be called inside a tokio runtime, in which it
    /// goes on.
    ///
    /// # Errors
    /// A sentence about what the system does not give.
    pub fn new(listen: SocketAddr, key: BridgeKey) -> Result<Self> {
        let own = |address: IpAddr| match address {
            IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            IpAddr::V4(_) | IpAddr::V6(_) => address,
        };
        let relay = SocketAddr::new(own(listen.ip()), listen.port());
        let from = match relay.ip() {
            IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        let mut endpoint = Endpoint::client(from).context("no UDP socket for WebSockets")?;
        // The packets do not leave this machine, and the certificate may be replaced at any time.
        let crypto = client_crypto(ALPN_BRIDGE, ServerTrust::Anything, None)?;
        let mut client = quinn::ClientConfig::new(crypto);
        let mut transport = quinn::TransportConfig::default();
        transport
            .keep_alive_interval(Some(Duration::from_secs(5)))
            .datagram_receive_buffer_size(Some(WAITING_DATAGRAMS * MAX_DATAGRAM_BYTES))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .mtu_discovery_config(None);
        client.transport_config(Arc::new(transport));
        endpoint.set_default_client_config(client);
        Ok(Self { endpoint, relay, key })
    }

    /// Answers a request for a socket from `browser`, and carries it until it ends.
    pub fn accept(self: &Arc<Self>, upgrade: WebSocketUpgrade, browser: IpAddr) -> Response {
        let bridge = Arc::clone(self);
        upgrade
            .protocols([SUBPROTOCOL])
            .max_message_size(MAX_MESSAGE_BYTES + 1)
            .max_frame_size(MAX_MESSAGE_BYTES + 1)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES)
            .on_upgrade(move |socket| async move {
                if let Err(error) = bridge.carry(socket, browser).await {
                    tracing::debug!(%browser, error = format!("{error:#}"), "a WebSocket has ended");
                }
            })
    }

    async fn carry(&self, mut socket: WebSocket, browser: IpAddr) -> Result<()> {
        let conn = self.endpoint.connect(self.relay, "localhost")?;
        let conn = match timeout(DIAL_TIMEOUT, conn).await {
            Ok(Ok(conn)) => conn,
            Ok(Err(error)) => {
                close(&mut socket, INTERNAL_ERROR, "The relay takes no connection.").await;
                return Err(error.into());
            }
            Err(_) => bail!("the own port does not answer"),
        };
        let (mut send, mut receive) = conn.open_bi().await?;
        send.write_all(&self.key.preamble(browser)).await?;
        loop {
            tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(message)) => {
                        if !pass_on(message, &conn, &mut send).await? {
                            close(&mut socket, POLICY_VIOLATION, "A message has to be binary, and to begin with 0 or 1.").await;
                            break;
                        }
                    }
                    Some(Err(_)) | None => break,
                },
                datagram = conn.read_datagram() => match datagram {
                    Ok(datagram) => give(&mut socket, DATAGRAM, &datagram).await?,
                    Err(error) => return end(&mut socket, &error).await,
                },
                chunk = read(&mut receive) => match chunk {
                    Some(chunk) => give(&mut socket, CONTROL, &chunk).await?,
                    None => {
                        let error = conn.closed().await;
                        return end(&mut socket, &error).await;
                    }
                },
            }
        }
        conn.close(VarInt::from_u32(0), &[]);
        Ok(())
    }
}

/// Whether a request for a socket comes from a page of this relay: a page of anybody else could act in the name of
/// whoever looks at it where no token is needed.
#[must_use]
pub fn is_from_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(host), Some(origin)) = (text(HOST), text(ORIGIN)) else { return false };
    let of_origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    of_origin.is_some_and(|of_origin| of_origin.eq_ignore_ascii_case(host))
}

/// Passes a browser's message on. Returns whether it keeps to the rules.
async fn pass_on(
    message: Message,
    conn: &quinn::Connection,
    send: &mut SendStream,
) -> Result<bool> {
    let bytes = match message {
        Message::Binary(bytes) => bytes,
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(true),
        Message::Text(_) => return Ok(false),
    };
    match bytes.split_first() {
        // What QUIC does not take is lost, as on any network.
        Some((&DATAGRAM, _)) => drop(conn.send_datagram(bytes.slice(1..))),
        Some((&CONTROL, control)) => send.write_all(control).await?,
        Some(_) | None => return Ok(false),
    }
    Ok(true)
}

/// The next bytes of the control stream; `None` at its end.
async fn read(receive: &mut RecvStream) -> Option<Bytes> {
    receive.read_chunk(CHUNK_BYTES, true).await.ok().flatten().map(|chunk| chunk.bytes)
}

async fn give(socket: &mut WebSocket, kind: u8, content: &[u8]) -> Result<()> {
    let mut message = BytesMut::with_capacity(content.len() + 1);
    message.put_u8(kind);
    message.put_slice(content);
    let sent = timeout(SEND_TIMEOUT, socket.send(Message::Binary(message.freeze())));
    sent.await.context("the browser takes nothing")?.context("the browser is gone")
}

/// Ends a socket as the relay has ended the connection behind it.
async fn end(socket: &mut WebSocket, error: &ConnectionError) -> Result<()> {
    let (code, reason) = match error {
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, reason }) => {
            let code = CloseCode::from_wire(error_code.into_inner()).to_wire();
            let code = u16::try_from(code).unwrap_or(0).min(999);
            (CLOSE_CODES_FROM + code, String::from_utf8_lossy(reason).into_owned())
        }
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => (INTERNAL_ERROR, error.to_string()),
    };
    close(socket, code, &reason).await;
    Ok(())
}

async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    /// Bytes of a reason at most (RFC 6455 section 5.5).
    const REASON_BYTES: usize = 123;

    let ends = reason.char_indices().map(|(at, char)| at + char.len_utf8());
    let fits = ends.take_while(|end| *end <= REASON_BYTES).last().unwrap_or(0);
    let frame = CloseFrame { code, reason: reason[..fits].into() };
    // Whoever is gone needs no reason; and the browser's answer is waited for by nobody.
    let _ = timeout(SEND_TIMEOUT, socket.send(Message::Close(Some(frame)))).await;
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_socket_is_for_pages_of_this_relay() {
        let from = |host: Option<&'static str>, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(host.map(|host| (HOST, HeaderValue::from_static(host))));
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            is_from_own_page(&headers)
        };
        assert!(from(Some("localhost:8080"), Some("http://localhost:8080")));
        assert!(from(Some("Relay.example.org"), Some("https://relay.example.org")));
        assert!(!from(Some("localhost:8080"), Some("http://localhost:8081")));
        assert!(!from(Some("localhost:8080"), Some("https://evil.example")));
        assert!(!from(Some("localhost:8080"), Some("null")));
        assert!(!from(Some("localhost:8080"), None), "not a page");
        assert!(!from(None, Some("http://localhost:8080")));
    }
}
