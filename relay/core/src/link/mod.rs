//! Kinds of connections, by their ALPN. To `tribune/1` and `tribune-trunk/1` there is nothing more than QUIC: the
//! dialler's stream is the control stream, and a datagram is one of ours. A browser speaks HTTP/3, and its
//! WebTransport session is what the rest of the relay sees.
//!
//! * [`web_transport`] — the session of a browser, from the streams of its connection
//! * [`qpack`] — the request for it
//! * [`bridge`] — the browser behind a WebSocket
//! * [`capsule`] — the end of a session, in a form in which a page is told the code

pub mod bridge;
mod capsule;
mod qpack;
pub mod web_transport;
