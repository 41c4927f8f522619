//! Failures of a command: the exit code, a code for programs, a sentence.

use serde::Serialize;
use tribune_protocol::codes::ErrorCode;

use crate::audio::AudioError;
use crate::session::RequestError;
use crate::session::identity::IdentityError;
use crate::session::oneshot::OneShotError;
use crate::session::reconnect::End;
use crate::session::tls::TlsSetupError;

/// The exit codes, as `--help` and the man page print them.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  another failure, such as a file that cannot be written
  2  wrong usage
  3  no relay can be reached, or none is to be trusted
  4  refused by the room or the relay, or by a moderator (a hand denied); the token has run out
  5  removed by a moderator, or replaced by another connection of the same session
  6  no such room, or not opened yet, or it ended before anything was heard
  7  trouble with an audio device or an audio file
  8  a log that is not as it was written";

/// Meaning of an exit code; see [`EXIT_CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
    Removed = 5,
    NoRoom = 6,
    Audio = 7,
    Altered = 8,
}

/// A command that did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CommandError {
    #[serde(skip)]
    pub(crate) exit: Exit,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Remedy, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) needs: Option<&'static str>,
}

impl CommandError {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), needs: None }
    }

    pub(crate) fn refused(code: ErrorCode, message: &str) -> Self {
        let is_there = !matches!(code, ErrorCode::RoomNotFound | ErrorCode::NotStarted);
        let exit = if is_there { Exit::Refused } else { Exit::NoRoom };
        let message = format!("The room refuses ({code}): {message}");
        Self { needs: what_it_takes(code), ..Self::new(exit, code.as_str(), message) }
    }

    /// Failure that the end of a session means for a command that had more to do.
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
                let needs = what_it_takes(ErrorCode::Barred);
                Some(Self { needs, ..Self::new(Exit::Removed, "kicked", message) })
            }
            End::Replaced => {
                let message = "The same session joined from another place; that one goes on.";
                Some(Self::new(Exit::Removed, "replaced", message))
            }
            End::TokenExpired => {
                let message = "The token has run out, and the connection with it.";
                let needs = what_it_takes(ErrorCode::TokenExpired);
                let error = Self::new(Exit::Refused, "token_expired", message);
                Some(Self { needs, ..error })
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

impl From<OneShotError> for CommandError {
    fn from(error: OneShotError) -> Self {
        match error {
            OneShotError::Ended(end) => Self::of_end(end).unwrap_or_else(|| {
                Self::new(Exit::Other, "left", "The connection was closed from this side.")
            }),
            OneShotError::Unconfirmed(_) => {
                Self::new(Exit::Unreachable, "unconfirmed", sentence(&error.to_string()))
            }
            OneShotError::Unexpected(_) => {
                Self::new(Exit::Other, "protocol", sentence(&error.to_string()))
            }
        }
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

/// Remedy for a refusal at the command line, where the room's sentence names none.
const fn what_it_takes(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::NotPermitted => Some(
            "It takes a token whose role may do this (--token, --token-file), or with --session FILE \
             the session that may.",
        ),
        ErrorCode::Unauthorised
        | ErrorCode::TokenMissing
        | ErrorCode::TokenMalformed
        | ErrorCode::TokenInvalid
        | ErrorCode::TokenUnknownKey
        | ErrorCode::TokenWrongAlgorithm
        | ErrorCode::TokenGrantsNothing => {
            Some("It takes a token of this relay: --token, --token-file or TRIBUNE_TOKEN.")
        }
        ErrorCode::TokenExpired => {
            Some("It takes a newer token: `tribune token create` makes one.")
        }
        ErrorCode::TokenNotYetValid => Some("`tribune token show` says from when it is valid."),
        ErrorCode::TokenWrongRoom => Some("`tribune token show` says which room it is for."),
        ErrorCode::Barred => Some(
            "`tribune log ROOM` shows the decision to whom it is about, and `tribune appeal create` \
             appeals against it.",
        ),
        ErrorCode::NameTaken => Some("It takes another --name."),
        ErrorCode::RoomNotFound => {
            Some("A host opens a room by joining it; `tribune room list` shows the public ones.")
        }
        ErrorCode::NotStarted => Some("It is opened by whoever may: a host joins it."),
        ErrorCode::NotDurable => Some("Nothing was done. It can be tried again."),
        ErrorCode::BadRequest
        | ErrorCode::NotJoined
        | ErrorCode::NoSuchParticipant
        | ErrorCode::HostTaken
        | ErrorCode::StageFull
        | ErrorCode::QueueFull
        | ErrorCode::NoHand
        | ErrorCode::Cooldown
        | ErrorCode::Locked
        | ErrorCode::RoomFull
        | ErrorCode::AccessDenied
        | ErrorCode::Duplicate
        | ErrorCode::HandsClosed
        | ErrorCode::SlowMode
        | ErrorCode::AlreadyAppealed
        | ErrorCode::RulingsFull
        | ErrorCode::Draining
        | ErrorCode::Unavailable
        | ErrorCode::Overloaded
        | ErrorCode::Unknown => None,
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
        assert_eq!(exit(End::TokenExpired), Some(4));
        assert_eq!(exit(refused(ErrorCode::NotStarted)), Some(6));
        assert_eq!(exit(End::Violation("x".into())), Some(1));
        let lost = OneShotError::Unconfirmed("the relay is gone".into());
        assert_eq!(CommandError::from(lost).exit as u8, 3);
    }

    #[test]
    fn a_refusal_says_what_it_takes() {
        let needs = |code| CommandError::refused(code, "No.").needs;
        assert!(needs(ErrorCode::NotPermitted).is_some_and(|needs| needs.contains("--token")));
        assert!(needs(ErrorCode::NameTaken).is_some_and(|needs| needs.contains("--name")));
        assert_eq!(needs(ErrorCode::StageFull), None, "the room's sentence says it");
    }

    #[test]
    fn clauses_become_sentences() {
        assert_eq!(sentence("cannot reach x"), "Cannot reach x.");
        assert_eq!(sentence("No."), "No.");
        assert_eq!(sentence(""), ".");
    }
}
