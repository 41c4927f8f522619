//! The wire of Tribune, `tribune/1`: ids, limits, datagrams, control messages, close codes.
//!
//! `SPEC.md` beside this crate is normative; this crate is its reference. There is no I/O here, no
//! clock and no async: bytes in, values out, and back. Relays, clients, benches and tests share it.
//!
//! * [`datagram`] — what travels in QUIC datagrams (RFC 9221): media, repair requests, time probes
//! * [`control`] — what travels on the control stream: length-prefixed CBOR maps (RFC 8949)
//! * [`access`] — who may enter a room
//! * [`attributes`] — what a token says about its holder
//! * [`clock`] — the estimate of the origin's clock that probes feed
//! * [`repair`] — which missing frames are worth asking for
//! * [`quality`] — how well a room is heard, in a form that adds up
//! * [`permission`], [`person`] — who may do what, and who somebody is
//! * [`log`] — the moderation log: entries, their chain and signatures, exports
//! * [`token`] — what a token says, and what it lets its bearer come in as
//! * [`ids`], [`limits`], [`codes`] — the small words of the protocol

pub mod access;
pub mod attributes;
pub mod clock;
pub mod codes;
pub mod control;
pub mod datagram;
pub mod ids;
pub mod limits;
pub mod log;
pub mod permission;
pub mod person;
pub mod quality;
pub mod repair;
mod text;
pub mod token;
pub mod varint;

/// ALPN of a participant's connection (RFC 7301). The digit is the protocol's major version.
pub const ALPN_PARTICIPANT: &[u8] = b"tribune/1";
/// ALPN of a trunk: a connection between two relays.
pub const ALPN_TRUNK: &[u8] = b"tribune-trunk/1";
