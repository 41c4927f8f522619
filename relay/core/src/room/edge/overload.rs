//! A relay that has as many participants as it is meant to have: what it tells one more.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;

/// The relay has as many participants as it is meant to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overload {
    /// Where else to go.
    pub to: Option<String>,
}

impl Overload {
    /// Why.
    #[must_use]
    pub fn refusal(&self) -> (ErrorCode, String) {
        let text = match self.to {
            Some(_) => "This relay has as many participants as it takes; another one was named.",
            None => "This relay has as many participants as it takes; another one may have room.",
        };
        (ErrorCode::Overloaded, text.to_owned())
    }

    /// Where to go instead, if that is known.
    #[must_use]
    pub fn moved(&self) -> Option<ToParticipant> {
        self.to.as_ref().map(|to| ToParticipant::Moved { to: Some(to.clone()), within_ms: 0 })
    }
}
