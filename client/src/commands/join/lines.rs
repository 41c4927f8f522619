//! Commands to `tribune join` over a pipe: one a line. Pure.

use tribune_protocol::ids::ParticipantId;

use crate::session::room_view::RoomView;
use crate::tui::model::Action;

/// What the help says about them.
pub(super) const LINES: &str = "\
Over a pipe there is no screen: events are printed as lines, or as JSON with --json, and standard
input takes commands, one a line:
  raise [NOTE] · lower · talk · quiet · mute · unmute
  grant NAME · deny NAME · mute NAME (asks) · silence NAME · unsilence NAME · kick NAME
  quit
The end of standard input does not end it.";

/// Reads a line. `None` for an empty one; otherwise an action, or a sentence about what is wrong.
pub(super) fn parse(line: &str, view: &RoomView) -> Option<Result<Action, String>> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some(action(word, rest.trim(), view))
}

fn action(word: &str, rest: &str, view: &RoomView) -> Result<Action, String> {
    let subject = || -> Result<ParticipantId, String> {
        if rest.is_empty() {
            return Err(format!("{word} whom? A name or an id is missing"));
        }
        view.resolve(rest).map_err(|error| error.to_string())
    };
    let alone = |action: Action| {
        if rest.is_empty() { Ok(action) } else { Err(format!("{word} takes nothing: {rest:?}")) }
    };
    match word {
        "raise" => rest.parse().map(Action::Raise).map_err(|error| format!("the {error}")),
        "lower" => alone(Action::Lower),
        "talk" => alone(Action::Talk(true)),
        "quiet" => alone(Action::Talk(false)),
        "mute" if rest.is_empty() => Ok(Action::Mute(true)),
        "mute" => subject().map(Action::AskMute),
        "unmute" => alone(Action::Mute(false)),
        "grant" => subject().map(Action::Grant),
        "deny" => subject().map(Action::Deny),
        "silence" => subject().map(|id| Action::Silence(id, true)),
        "unsilence" => subject().map(|id| Action::Silence(id, false)),
        "kick" => subject().map(Action::Kick),
        "quit" => alone(Action::Quit),
        _ => Err(format!("{word:?} is no command; see tribune join --help")),
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::control::room::Role;

    use super::*;
    use crate::tui::model::tests::view;

    #[test]
    fn lines_are_actions() {
        let host = view(Role::Host, None);
        let (bob, eve) = (ParticipantId(2), ParticipantId(5));
        for (line, expected) in [
            ("raise about  trees ", Action::Raise("about  trees".parse().unwrap())),
            ("raise", Action::Raise("".parse().unwrap())),
            (" lower", Action::Lower),
            ("grant Eve", Action::Grant(eve)),
            ("deny eve", Action::Deny(eve)),
            ("silence 0000000000000002", Action::Silence(bob, true)),
            ("unsilence Bob", Action::Silence(bob, false)),
            ("kick Bob", Action::Kick(bob)),
            ("mute", Action::Mute(true)),
            ("mute Bob", Action::AskMute(bob)),
            ("unmute", Action::Mute(false)),
            ("quit", Action::Quit),
        ] {
            assert_eq!(parse(line, &host), Some(Ok(expected)), "{line}");
        }
        assert_eq!(parse("  ", &host), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let host = view(Role::Host, None);
        for (line, named) in [
            ("dance", "dance"),
            ("kick", "kick whom"),
            ("kick Zoe", "Zoe"),
            ("quit now", "now"),
            (&format!("raise {}", "x".repeat(201)), "200 bytes"),
        ] {
            let error = parse(line, &host).unwrap().unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
