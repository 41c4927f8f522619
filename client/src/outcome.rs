//! How a command ends when it does not end well: the exit code, a code for programs, a sentence.

use serde::Serialize;
use tribune_protocol::codes::ErrorCode;

use crate::audio::AudioError;
use crate::session::RequestError;
use crate::session::identity::IdentityError;
use crate::session::reconnect::End;
use crate::session::tls::TlsSetupError;

/// The exit codes, as `--help` and the man page print them.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  another failure, such as a file that cannot be written
  2  wrong usage
  3  no relay can be reached, or none is to be trusted
  4  refused by the room, or by a moderator (a hand denied)
  5  removed by a moderator, or replaced by another connection of the same session
  6  no such room, or it ended before anything was heard
  7  trouble with an audio device or an audio file";

/// What an exit code stands for; see [`EXIT_CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
    Removed = 5,
    NoRoom = 6,
    Audio = 7,
}

/// A command that did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CommandError {
    #[serde(skip)]
    pub(crate) exit: Exit,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl CommandError {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into() }
    }

    pub(crate) fn refused(code: ErrorCode, message: &str) -> Self {
        let exit = if code == ErrorCode::RoomNotFound { Exit::NoRoom } else { Exit::Refused };
        Self::new(exit, code.as_str(), format!("The room refuses ({code}): {message}"))
    }

    /// What the end of a session means for a command that had more to do.
    pub(crate) fn of_end(end: End) -> Option<Self> {
        match end {
            End::Left => None,
            End::Unreachable(why) => {
                Some(Self::new(Exit::Unreachable, "unreachable", sentence(&why)))
            }
            End::Tls(why) => Some(Self::new(Exit::Unreachable, "tls", sentence(&why))),
            End::Refused { code, message } => Some(Self::refused(code, &message)),
            End::RoomNotFound(message) => {
                Some(Self::new(Exit::NoRoom, "room_not_found", sentence(&message)))
            }
            End::RoomEnded => Some(Self::new(Exit::NoRoom, "room_ended", "The room is over.")),
            End::Kicked(reason) => {
                let message = match reason.as_str() {
                    "" => "A moderator removed you from the room.".to_owned(),
                    reason => format!("A moderator removed you from the room: {reason}"),
                };
                Some(Self::new(Exit::Removed, "kicked", message))
            }
            End::Replaced => {
                let message = "The same session joined from another place; that one goes on.";
                Some(Self::new(Exit::Removed, "replaced", message))
            }
            End::Violation(why) => Some(Self::new(Exit::Other, "protocol", sentence(&why))),
        }
    }
}

impl From<AudioError> for CommandError {
    fn from(error: AudioError) -> Self {
        Self::new(Exit::Audio, "audio", sentence(&error.to_string()))
    }
}

impl From<IdentityError> for CommandError {
    fn from(error: IdentityError) -> Self {
        Self::new(Exit::Other, "session_file", sentence(&error.to_string()))
    }
}

impl From<TlsSetupError> for CommandError {
    fn from(error: TlsSetupError) -> Self {
        Self::new(Exit::Unreachable, "tls", sentence(&error.to_string()))
    }
}

impl From<RequestError> for CommandError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused { code, message } => Self::refused(code, &message),
            RequestError::TimedOut => {
                Self::new(Exit::Unreachable, "timed_out", sentence(&error.to_string()))
            }
            RequestError::Offline => {
                Self::new(Exit::Unreachable, "offline", sentence(&error.to_string()))
            }
            RequestError::Busy => Self::new(Exit::Other, "busy", sentence(&error.to_string())),
        }
    }
}

/// A clause as a sentence.
pub(crate) fn sentence(clause: &str) -> String {
    let mut chars = clause.trim().chars();
    let head: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if clause.trim_end().ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{head}{}{end}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_their_documented_exit_codes() {
        let exit = |end| CommandError::of_end(end).map(|error| error.exit as u8);
        assert_eq!(exit(End::Left), None);
        assert_eq!(exit(End::Unreachable("x".into())), Some(3));
        assert_eq!(exit(End::Tls("x".into())), Some(3));
        let refused = |code| End::Refused { code, message: "No.".into() };
        assert_eq!(exit(refused(ErrorCode::Barred)), Some(4));
        assert_eq!(exit(refused(ErrorCode::RoomNotFound)), Some(6));
        assert_eq!(exit(End::Kicked(String::new())), Some(5));
        assert_eq!(exit(End::Replaced), Some(5));
        assert_eq!(exit(End::RoomEnded), Some(6));
        assert_eq!(exit(End::Violation("x".into())), Some(1));
    }

    #[test]
    fn clauses_become_sentences() {
        assert_eq!(sentence("cannot reach x"), "Cannot reach x.");
        assert_eq!(sentence("No."), "No.");
        assert_eq!(sentence(""), ".");
    }
}
