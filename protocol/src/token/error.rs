//! Reasons to refuse a token.

use crate::codes::ErrorCode;
use crate::ids::RoomName;

/// A token that lets nobody in, with the reason. Its display is one sentence; nothing of the token is
/// quoted except text that its bearer may see anyway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None was shown where one is needed.
    #[error("This room asks for a token.")]
    Missing,
    /// It is not a JWT with the claims of this protocol.
    #[error("The token cannot be read: {0}.")]
    Malformed(String),
    /// Its signature does not match: it was altered, or signed with another key of that name.
    #[error("The token's signature does not match: it was altered, or made with another key.")]
    BadSignature,
    /// It is over.
    #[error("The token has expired, {ago_s} s ago.")]
    Expired {
        /// Seconds since `exp`.
        ago_s: u64,
    },
    /// It begins later.
    #[error("The token is valid only in {in_s} s.")]
    NotYetValid {
        /// Seconds until `nbf`.
        in_s: u64,
    },
    /// It is for another room.
    #[error("The token is for another room: {}.", describe(.0.as_deref()))]
    WrongRoom(Option<String>),
    /// It is signed in another way than its key is for, or not at all.
    #[error("The token is signed with {found:?}, and its key is for {expected}.")]
    WrongAlgorithm {
        /// The algorithm in the token's header, its start.
        found: String,
        /// The algorithm of the key.
        expected: &'static str,
    },
    /// No key of that name is known here.
    #[error("The token's key {0:?} is not known here.")]
    UnknownKey(String),
    /// It has no grant to join a room.
    #[error("The token does not grant to join a room: video.roomJoin is not true.")]
    GrantsNothing,
}

impl TokenError {
    /// The code that goes with it on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Missing => ErrorCode::TokenMissing,
            Self::Malformed(_) => ErrorCode::TokenMalformed,
            Self::BadSignature => ErrorCode::TokenInvalid,
            Self::Expired { .. } => ErrorCode::TokenExpired,
            Self::NotYetValid { .. } => ErrorCode::TokenNotYetValid,
            Self::WrongRoom(_) => ErrorCode::TokenWrongRoom,
            Self::WrongAlgorithm { .. } => ErrorCode::TokenWrongAlgorithm,
            Self::UnknownKey(_) => ErrorCode::TokenUnknownKey,
            Self::GrantsNothing => ErrorCode::TokenGrantsNothing,
        }
    }
}

/// A room's name as a token has it, if it is one; any other text is not repeated.
fn describe(room: Option<&str>) -> String {
    match room.map(str::parse::<RoomName>) {
        Some(Ok(room)) => format!("{room:?}"),
        Some(Err(_)) => "what it names is not a room's name".to_owned(),
        None => "it names none".to_owned(),
    }
}
