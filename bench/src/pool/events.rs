//! Events of a pool's clients: datagrams, admission, end of the connection.

use std::time::Instant;

use bytes::Bytes;
use tribune_protocol::ids::TrackId;

/// Number of a client in its pool, from 0 in the order of joins. The number of a client that has left
/// is used again.
pub(crate) type MemberId = usize;

/// A received datagram.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// When it was taken off the socket. The simulated delay of a distant pool comes after that.
    pub(crate) at: Instant,
    /// The receiver.
    pub(crate) member: MemberId,
    /// The datagram.
    pub(crate) datagram: Bytes,
}

/// News of a participant.
#[derive(Debug)]
pub(crate) enum News {
    /// The relay has let it in. Speakers have a track.
    In(MemberId, Option<TrackId>),
    /// Refused, or disconnected against its will, with the reason.
    Gone(MemberId, String),
}
