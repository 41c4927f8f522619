//! The wire of Tribune, `tribune/1`: ids, limits, datagrams, control messages, close codes.
//!
//! `SPEC.md` beside this crate is normative; this crate is its reference. There is no I/O here, no
//! clock and no async: bytes in, values out, and back. Relays, clients, benches and tests share it.
//!
//! * [`media`] — QUIC datagrams (RFC 9221): media, repair requests, time probes
//! * [`control`] — messages of the control stream: length-prefixed CBOR maps (RFC 8949)
//! * [`domain`] — the terms that messages and decisions share: rooms, roles, permissions, access, persons
//! * [`quality`] — reports of how a room is heard, in a form that adds up
//! * [`statistics`] — what a host reads about a run of a room, and tallies of relays
//! * [`time`] — the estimate of the origin's clock that probes feed
//! * [`log`] — the moderation log: entries, their chain and signatures, exports
//! * [`token`] — claims of a token, and the role that they entitle to
//! * [`ids`], [`limits`], [`codes`] — identifiers, bounds, error and close codes

pub mod codes;
pub mod control;
pub mod domain;
pub mod ids;
pub mod limits;
pub mod log;
pub mod media;
pub mod quality;
pub mod statistics;
mod text;
pub mod time;
pub mod token;
pub mod varint;
mod wellformed;

/// ALPN of a participant's connection (RFC 7301). The digit is the protocol's major version.
pub const ALPN_PARTICIPANT: &[u8] = b"tribune/1";
/// ALPN of a trunk: a connection between two relays.
pub const ALPN_TRUNK: &[u8] = b"tribune-trunk/1";
/// ALPN of a browser's connection: HTTP/3 (RFC 9114) with one WebTransport session in it.
pub const ALPN_WEB: &[u8] = b"h3";
/// Path of the session's URL.
pub const WEB_PATH: &str = "/tribune";
