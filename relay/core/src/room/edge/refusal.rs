//! Refusals of an edge: a code for programs and a sentence for people.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::token::TokenError;

/// Reason why a participant's request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// One sentence for people.
    pub text: String,
}

impl Refusal {
    /// A refusal with that code and sentence.
    #[must_use]
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// Too many requests wait for the origin.
    pub(crate) fn too_many_pending() -> Self {
        let text = "Too many requests of this relay wait for the room's origin.";
        Self::new(ErrorCode::Overloaded, text)
    }

    /// The participant has no right to the role that it wants.
    pub(crate) fn role_above(wanted: Role, highest: Role) -> Self {
        let text = match highest {
            Role::Listener => format!("Coming in as {wanted} takes a token for that role."),
            Role::Host | Role::Cohost | Role::Speaker | Role::Custom(_) => {
                format!("You may not come in as {wanted}; you may as {highest}, or as listener.")
            }
        };
        Self::new(ErrorCode::NotPermitted, text)
    }

    /// The message that says it.
    #[must_use]
    pub fn message(self) -> ToParticipant {
        let Self { code, text } = self;
        ToParticipant::Err { code, message: text }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Answer where the way to the origin is missing.
pub(crate) fn unavailable() -> ToParticipant {
    let text = "This relay has no way to the room's origin at the moment.";
    Refusal::new(ErrorCode::Unavailable, text).message()
}

/// Answer to a request whose way to the origin was lost.
pub(crate) fn lost() -> ToParticipant {
    let text = "The way to the room's origin was lost before it answered.";
    Refusal::new(ErrorCode::Unavailable, text).message()
}
