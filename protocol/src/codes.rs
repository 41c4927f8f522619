//! Codes of refused requests ([`ErrorCode`]) and of closed connections ([`CloseCode`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The reason of an `err` answer. The connection goes on. A code that this version does not know
/// reads as [`ErrorCode::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The message is understood but a field of it is not valid.
    BadRequest,
    /// The first message has to be `join`, and only the first.
    NotJoined,
    /// The role may not do this; the message says which role may.
    NotPermitted,
    /// No such room; a host opens it by joining.
    RoomNotFound,
    /// No participant of that id is on the stage or in the hand queue.
    NoSuchParticipant,
    /// The room has a host.
    HostTaken,
    /// The stage is full.
    StageFull,
    /// The queue of hands is full.
    QueueFull,
    /// No hand of that participant is raised.
    NoHand,
    /// A hand was denied a moment ago; the message says how long to wait.
    Cooldown,
    /// A kick keeps the participant out of this room.
    Barred,
    /// The room is locked.
    Locked,
    /// The room holds no more.
    RoomFull,
    /// The room's access rule does not let them in; the message names the requirement.
    AccessDenied,
    /// The name could be taken for that of a host or cohost of the room.
    NameTaken,
    /// The subject is in the room already, and the room allows no further session.
    Duplicate,
    /// The queue of hands is closed.
    HandsClosed,
    /// Too soon after the last one; the message says how long to wait.
    SlowMode,
    /// The room is announced, and has not been opened yet.
    NotStarted,
    /// There is an appeal against that decision already.
    AlreadyAppealed,
    /// The origin keeps as many rulings about persons of this room as it can.
    RulingsFull,
    /// The decision could not be stored, and so was not taken. Worth another try.
    NotDurable,
    /// The proof that a relay shows to another is missing or wrong.
    Unauthorised,
    /// This room asks for a token, and none was shown.
    TokenMissing,
    /// The token is not a JWT with the claims of SPEC.md section 13.
    TokenMalformed,
    /// The token's signature does not match: altered, or made with another key.
    TokenInvalid,
    /// The token is over.
    TokenExpired,
    /// The token begins later.
    TokenNotYetValid,
    /// The token is for another room.
    TokenWrongRoom,
    /// The token is signed in another way than its key is for.
    TokenWrongAlgorithm,
    /// The token's key is not known to the relay.
    TokenUnknownKey,
    /// The token does not grant to join a room.
    TokenGrantsNothing,
    /// The relay is draining; the `moved` message says where to go.
    Draining,
    /// The relay has no way to the origin at the moment. Worth another try.
    Unavailable,
    /// The relay has reached a limit of its own; the message names it.
    Overloaded,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// The code as it is written on the wire and in `--json` output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NotJoined => "not_joined",
            Self::NotPermitted => "not_permitted",
            Self::RoomNotFound => "room_not_found",
            Self::NoSuchParticipant => "no_such_participant",
            Self::HostTaken => "host_taken",
            Self::StageFull => "stage_full",
            Self::QueueFull => "queue_full",
            Self::NoHand => "no_hand",
            Self::Cooldown => "cooldown",
            Self::Barred => "barred",
            Self::Locked => "locked",
            Self::RoomFull => "room_full",
            Self::AccessDenied => "access_denied",
            Self::NameTaken => "name_taken",
            Self::Duplicate => "duplicate",
            Self::HandsClosed => "hands_closed",
            Self::SlowMode => "slow_mode",
            Self::NotStarted => "not_started",
            Self::AlreadyAppealed => "already_appealed",
            Self::RulingsFull => "rulings_full",
            Self::NotDurable => "not_durable",
            Self::Unauthorised => "unauthorised",
            Self::TokenMissing => "token_missing",
            Self::TokenMalformed => "token_malformed",
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenWrongRoom => "token_wrong_room",
            Self::TokenWrongAlgorithm => "token_wrong_algorithm",
            Self::TokenUnknownKey => "token_unknown_key",
            Self::TokenGrantsNothing => "token_grants_nothing",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the same request can succeed a little later, at this relay or another.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            Self::RoomNotFound
            | Self::NotStarted
            | Self::NotDurable
            | Self::Draining
            | Self::Unavailable
            | Self::Overloaded => true,
            Self::BadRequest
            | Self::NotJoined
            | Self::NotPermitted
            | Self::NoSuchParticipant
            | Self::HostTaken
            | Self::StageFull
            | Self::QueueFull
            | Self::NoHand
            | Self::Cooldown
            | Self::Barred
            | Self::Locked
            | Self::RoomFull
            | Self::AccessDenied
            | Self::NameTaken
            | Self::Duplicate
            | Self::HandsClosed
            | Self::SlowMode
            | Self::AlreadyAppealed
            | Self::RulingsFull
            | Self::Unauthorised
            | Self::TokenMissing
            | Self::TokenMalformed
            | Self::TokenInvalid
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenWrongRoom
            | Self::TokenWrongAlgorithm
            | Self::TokenUnknownKey
            | Self::TokenGrantsNothing
            | Self::Unknown => false,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The application error code of a QUIC CONNECTION_CLOSE (RFC 9000 section 19.19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The peer is done.
    Done,
    /// A message that is not of this protocol: not CBOR, not a map, a stream too many.
    ProtocolViolation,
    /// A control message over 16 KiB.
    MessageTooLong,
    /// No `join` or `hello` came in time.
    JoinTimeout,
    /// More control messages than the limit allows.
    RateLimited,
    /// The peer does not read its control stream; the messages that wait for it are over the limit.
    TooSlow,
    /// A moderator removed the participant.
    Kicked,
    /// The room is over.
    RoomEnded,
    /// The same session joined again elsewhere; this connection is the older one.
    Replaced,
    /// The token has run out.
    TokenExpired,
    /// The relay is draining.
    Draining,
    /// The relay stops now.
    Shutdown,
    /// The trunk's certificate or token is not accepted.
    TrunkUnauthorised,
    /// The trunk would close a loop.
    TrunkLoop,
    /// The tree would be deeper than 8 relays.
    TreeTooDeep,
    /// The relay on the other side did not confirm a moderation in time.
    TrunkLagging,
    /// A code of a later version, or of another protocol.
    Other(u64),
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u64 {
        match self {
            Self::Done => 0x00,
            Self::ProtocolViolation => 0x01,
            Self::MessageTooLong => 0x02,
            Self::JoinTimeout => 0x03,
            Self::RateLimited => 0x04,
            Self::TooSlow => 0x05,
            Self::Kicked => 0x10,
            Self::RoomEnded => 0x11,
            Self::Replaced => 0x12,
            Self::TokenExpired => 0x13,
            Self::Draining => 0x20,
            Self::Shutdown => 0x21,
            Self::TrunkUnauthorised => 0x30,
            Self::TrunkLoop => 0x31,
            Self::TreeTooDeep => 0x32,
            Self::TrunkLagging => 0x33,
            Self::Other(code) => code,
        }
    }

    /// The code behind a number from the wire.
    #[must_use]
    pub const fn from_wire(code: u64) -> Self {
        match code {
            0x00 => Self::Done,
            0x01 => Self::ProtocolViolation,
            0x02 => Self::MessageTooLong,
            0x03 => Self::JoinTimeout,
            0x04 => Self::RateLimited,
            0x05 => Self::TooSlow,
            0x10 => Self::Kicked,
            0x11 => Self::RoomEnded,
            0x12 => Self::Replaced,
            0x13 => Self::TokenExpired,
            0x20 => Self::Draining,
            0x21 => Self::Shutdown,
            0x30 => Self::TrunkUnauthorised,
            0x31 => Self::TrunkLoop,
            0x32 => Self::TreeTooDeep,
            0x33 => Self::TrunkLagging,
            other => Self::Other(other),
        }
    }

    /// Whether a client should try again, here or at another relay.
    #[must_use]
    pub const fn is_worth_a_retry(self) -> bool {
        match self {
            Self::Draining
            | Self::Shutdown
            | Self::JoinTimeout
            | Self::TooSlow
            | Self::Other(_) => true,
            Self::Done
            | Self::ProtocolViolation
            | Self::MessageTooLong
            | Self::RateLimited
            | Self::Kicked
            | Self::RoomEnded
            | Self::Replaced
            | Self::TokenExpired
            | Self::TrunkUnauthorised
            | Self::TrunkLoop
            | Self::TreeTooDeep
            | Self::TrunkLagging => false,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Done => "done",
            Self::ProtocolViolation => "protocol violation",
            Self::MessageTooLong => "control message too long",
            Self::JoinTimeout => "no join in time",
            Self::RateLimited => "too many control messages",
            Self::TooSlow => "control stream not read",
            Self::Kicked => "removed by a moderator",
            Self::RoomEnded => "the room is over",
            Self::Replaced => "joined again elsewhere",
            Self::TokenExpired => "the token has run out",
            Self::Draining => "the relay is draining",
            Self::Shutdown => "the relay stops",
            Self::TrunkUnauthorised => "trunk not authorised",
            Self::TrunkLoop => "trunk would close a loop",
            Self::TreeTooDeep => "tree too deep",
            Self::TrunkLagging => "trunk did not confirm in time",
            Self::Other(code) => return write!(f, "code {code:#x}"),
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_round_trip() {
        for code in 0..0x100 {
            assert_eq!(CloseCode::from_wire(code).to_wire(), code);
        }
    }
}
