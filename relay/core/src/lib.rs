//! `tribune-relay-core`: live audio rooms, one relay of a tree.
//!
//! **The path of a frame**, one way, no turning back, no lock, no hub and no store on it:
//!
//! ```text
//!  driver ─ recvmmsg                     (crate tribune-relay)
//!    └ shard::Shard::handle_packet       QUIC (quinn-proto), on the shard that owns the connection
//!        └ shard::datagrams              kind of datagram, rate
//!            └ media::fanout::RoomMedia
//!                ├ media::ingress        known track, right side, not silenced, not seen before
//!                │   ├ media::ring       the last 2 s
//!                │   └ Repair            frames found missing, asked for (crate tribune-protocol)
//!                ├ media::select         the N loudest, and the leading one
//!                ├ media::view           connections that need identical bytes
//!                │   └ media::bundle     frames that leave together, and when; some are said again
//!                └ one datagram a view, or part of a stream, the same bytes for each connection
//!    └ shard::Shard::poll_transmit       seal
//!  driver ─ sendmmsg
//! ```
//!
//! **The path of a decision**: everything else.
//!
//! ```text
//!  shard::intake ─ stream bytes → message  (a browser's session: link)
//!    └ messages::ShardEvent              bounded channel
//!        └ hub::Hub
//!            ├ tree                      parent, children, loops, depth
//!            └ room::Room
//!                ├ room::edge            participants connected here
//!                ├ room::authority       at the origin: decides, and commits once it is durable
//!                ├ room::replica         state in force here and below, confirmed upwards
//!                └ outbox::Outbox        effects, in order
//!    └ messages::ShardCommand            bounded channel
//!  shard ─ messages, closes, new routes
//! ```
//!
//! Both paths are plain state machines that take the time as a parameter. The drivers in the crate
//! `tribune-relay` are the only places with threads and sockets on them; the simulated network in `tests/`
//! runs the same machines without either.

pub mod auth;
pub mod clock;
pub mod counters;
pub mod hub;
pub mod link;
pub mod media;
pub mod messages;
pub mod outbox;
pub mod quality;
pub mod query;
pub mod room;
pub mod shard;
pub mod store;
pub mod tree;
