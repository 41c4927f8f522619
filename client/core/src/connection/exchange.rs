//! Inputs and outputs of a connection: path, arrivals, answers, failures of requests.

use std::time::Duration;

use bytes::Bytes;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::ids::RequestId;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::media::datagram::MediaDatagram;
use tribune_protocol::token::TokenText;

use crate::reconnect::Failure;

/// Failure of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The room refuses.
    #[error("{message}")]
    Refused {
        /// Reason, for programs.
        code: ErrorCode,
        /// Reason, for people.
        message: String,
    },
    /// No answer came within 10 s.
    #[error("the relay did not answer within 10 s")]
    TimedOut,
    /// There is no connection at the moment.
    #[error("there is no connection to the room at the moment")]
    Offline,
    /// 32 requests wait for their answers.
    #[error("32 requests wait for their answers already")]
    Busy,
}

/// State of the path below, as QUIC knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// QUIC's own estimate of the round trip.
    pub round_trip: Duration,
    /// Largest datagram that the path and the relay take, in bytes.
    pub datagram_bytes: usize,
    /// UDP datagrams that have come in.
    pub received_udp: u64,
    /// Packets sent, and those of them that are taken for lost.
    pub sent_packets: u64,
    /// See [`Self::sent_packets`].
    pub lost_packets: u64,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            round_trip: Duration::ZERO,
            datagram_bytes: MAX_DATAGRAM_BYTES,
            received_udp: 0,
            sent_packets: 0,
            lost_packets: 0,
        }
    }
}

/// A message that came in, and the request that it answers.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub envelope: Envelope<ToParticipant>,
    /// The answer in it, if this connection waits for one.
    pub answer: Option<Answer>,
}

/// An answer that was waited for.
#[derive(Debug)]
pub enum Answer {
    /// To the join. `Ok`: the message is `joined`.
    Join(Result<(), Failure>),
    /// To a request.
    Request {
        /// The request.
        id: RequestId,
        /// Its outcome.
        result: Result<(), RequestError>,
        /// The token that the relay has accepted with it.
        token: Option<TokenText>,
    },
}

/// The part of a datagram that concerns the participant.
#[derive(Debug)]
pub enum Arrival {
    /// Frames.
    Media(MediaDatagram),
    /// The clock estimate has been renewed.
    Clock,
    /// The relay misses frames of the own track: this is to be sent.
    Repair(Bytes),
    /// Nothing.
    Nothing,
}

/// A request that was not sent.
#[derive(Debug)]
pub enum Unsent {
    /// [`RequestError::Busy`]
    Busy,
    /// The message cannot be written; the connection is of no use.
    Failed(Failure),
}
