//! Overload: a relay at its capacity names another one to the next participant.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;

use super::refusal::Refusal;

/// The relay is at its capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overload {
    /// Relay to go to instead, if one is known.
    pub to: Option<String>,
}

impl Overload {
    /// Refusal of one participant too many.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let text = match self.to {
            Some(_) => "This relay has as many participants as it takes; another one was named.",
            None => "This relay has as many participants as it takes; another one may have room.",
        };
        Refusal::new(ErrorCode::Overloaded, text)
    }

    /// Message that names the other relay.
    #[must_use]
    pub fn moved(&self) -> Option<ToParticipant> {
        self.to.as_ref().map(|to| ToParticipant::Moved { to: Some(to.clone()), within_ms: 0 })
    }
}
