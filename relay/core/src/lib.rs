//! `tribune-relay-core`: live audio rooms, one relay of a tree.
//!
//! **The path of a frame**, one way, no turning back, no lock, no hub and no store on it:
//!
//! ```text
//!  shard::socket ─ recvmmsg
//!    └ shard::Shard::handle_packet      QUIC (quinn-proto), on the shard that owns the connection
//!        └ shard::intake                kind of datagram, rate
//!            └ media::fanout::RoomMedia
//!                ├ media::ingress       whose track, from which side, silenced, seen before
//!                │   └ media::ring      the last 2 s
//!                ├ media::select        the N loudest, and who leads
//!                ├ media::bundle        per view: what leaves together, and when
//!                └ one datagram a view, the same bytes for each connection
//!    └ shard::Shard::poll_transmit      seal
//!  shard::socket ─ sendmmsg
//! ```
//!
//! **The path of a decision**: everything else.
//!
//! ```text
//!  shard::intake ─ stream bytes → message
//!    └ shard_message::ShardEvent             bounded channel
//!        └ hub::Hub
//!            ├ tree                     parent, children, loops, depth
//!            └ room::Room               who is here; on the origin room::authority decides
//!                └ outbox::Outbox       effects, in order
//!    └ shard_message::ShardCommand           bounded channel
//!  shard ─ messages, closes, new routes
//! ```
//!
//! Both paths are plain state machines that are told the time. The drivers in the crate `tribune-relay` are the
//! only places with threads and sockets on them; the simulated network in `tests/` runs the same
//! machines without either.

pub mod auth;
pub mod clock;
pub mod counters;
pub mod hub;
pub mod media;
pub mod messages;
pub mod outbox;
pub mod quality;
pub mod query;
pub mod room;
pub mod shard;
pub mod store;
pub mod tree;
