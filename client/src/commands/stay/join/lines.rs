//! Parser of the commands that `tribune join` takes over a pipe, one per line. Pure.

use std::time::Duration;

use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId};

use crate::session::room_view::RoomView;
use crate::session::subject::Who;
use crate::session::words::{self, REACTIONS};
use crate::times::parse_span;
use crate::tui::model::Action;

/// Help text of the commands.
pub(super) const LINES: &str = "\
Over a pipe there is no screen: events are printed as lines, or as JSON with --json, and standard
input takes commands, one a line:
  raise [NOTE] · lower · talk · quiet · mute · unmute · leave-stage
  react clap|heart|laugh|agree|disagree|wow · accept · decline (an invitation to speak)
  grant WHO · deny WHO[: REASON] · lower WHO · clear-hands · close-hands · open-hands
  invite WHO · uninvite WHO · mute WHO[: REASON] (asks) · remove WHO[: REASON]
  silence WHO[: REASON] · unsilence WHO · silence-all[: REASON] · unsilence-all
  kick WHO[: REASON] · ban WHO [for TIME][: REASON] · unban WHO
  role ROLE WHO · allow PERMISSION WHO · forbid PERMISSION WHO · reset PERMISSION WHO
  lock · unlock · hand-over WHO · uphold N[: REASON] · reject N[: REASON] (an appeal) · end
  quit
WHO is a name, an id of 16 digits, sub:IDENTITY or addr:ADDRESS; a colon followed by a space begins
the reason. The end of standard input does not end it.";

/// Parses a line. `None` for an empty one; otherwise an action, or a sentence naming the mistake.
pub(super) fn parse(line: &str, view: &RoomView) -> Option<Result<Action, String>> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == ':').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    Some(Words { word, rest, view }.action())
}

/// A line: what to do, and the rest.
struct Words<'a> {
    word: &'a str,
    rest: &'a str,
    view: &'a RoomView,
}

impl Words<'_> {
    fn action(&self) -> Result<Action, String> {
        let rest = self.rest.trim();
        match self.word {
            "raise" => rest
                .trim_start_matches(':')
                .trim()
                .parse()
                .map(Action::Raise)
                .map_err(|error| format!("the {error}")),
            "lower" if rest.is_empty() => Ok(Action::Lower),
            "talk" => self.alone(Action::Talk(true)),
            "quiet" => self.alone(Action::Talk(false)),
            "mute" if rest.is_empty() => Ok(Action::Mute(true)),
            "unmute" => self.alone(Action::Mute(false)),
            "leave-stage" => self.alone(Action::LeaveStage),
            "react" => reaction(rest).map(Action::React),
            "quit" => self.alone(Action::Quit),
            _ => self.govern().map(Action::Govern),
        }
    }

    fn govern(&self) -> Result<Govern, String> {
        let (rest, reason) = self.reason()?;
        let in_room = || self.in_room(rest);
        Ok(match self.word {
            "accept" => self.bare(Govern::AnswerInvite { accept: true })?,
            "decline" => self.bare(Govern::AnswerInvite { accept: false })?,
            "lower" => Govern::LowerHand { participant: in_room()? },
            "grant" => Govern::Grant { participant: in_room()? },
            "deny" => Govern::Deny { participant: in_room()?, reason },
            "clear-hands" => self.bare(Govern::ClearHands { reason })?,
            "close-hands" => self.bare(closed(true, reason))?,
            "open-hands" => self.bare(closed(false, reason))?,
            "invite" => Govern::Invite { target: self.anywhere(rest)? },
            "uninvite" => Govern::Uninvite { target: self.anywhere(rest)? },
            "mute" => Govern::AskMute { participant: in_room()?, reason },
            "remove" => Govern::RemoveFromStage { participant: in_room()?, reason },
            "silence" => Govern::Silence { participant: in_room()?, on: true, reason },
            "unsilence" => Govern::Silence { participant: in_room()?, on: false, reason },
            "silence-all" => self.bare(Govern::SilenceAll { on: true, reason })?,
            "unsilence-all" => self.bare(Govern::SilenceAll { on: false, reason })?,
            "kick" => Govern::Kick { target: self.anywhere(rest)?, reason },
            "ban" => self.ban(rest, reason)?,
            "unban" => Govern::Unban { target: self.anywhere(rest)?, reason },
            "role" => {
                let (role, target) = self.word_and_target(rest)?;
                let role: Role = role.parse().map_err(|error| format!("the {error}"))?;
                Govern::SetRole { target, role, reason }
            }
            "allow" => self.permission(rest, Some(true), reason)?,
            "forbid" => self.permission(rest, Some(false), reason)?,
            "reset" => self.permission(rest, None, reason)?,
            "lock" => self.bare(locked(true, reason))?,
            "unlock" => self.bare(locked(false, reason))?,
            "hand-over" => Govern::HandOver { participant: in_room()? },
            "uphold" => Govern::AnswerAppeal { entry: number(rest)?, uphold: true, reason },
            "reject" => Govern::AnswerAppeal { entry: number(rest)?, uphold: false, reason },
            "end" => self.bare(Govern::EndRoom {})?,
            word => return Err(format!("{word:?} is no command; see tribune join --help")),
        })
    }

    /// Splits off the reason. An id such as `sub:ada` has no space after its colon.
    fn reason(&self) -> Result<(&str, Note), String> {
        let (head, reason) = match self.rest.split_once(": ") {
            Some((head, reason)) => (head, reason),
            None => (self.rest.strip_suffix(':').unwrap_or(self.rest), ""),
        };
        let reason = reason.trim().parse().map_err(|error| format!("the {error}"))?;
        Ok((head.trim(), reason))
    }

    fn alone(&self, action: Action) -> Result<Action, String> {
        match self.rest.trim() {
            "" => Ok(action),
            rest => Err(format!("{} takes nothing: {rest:?}", self.word)),
        }
    }

    /// An act about nobody.
    fn bare(&self, act: Govern) -> Result<Govern, String> {
        match self.reason()? {
            ("", _) => Ok(act),
            (rest, _) => Err(format!("{} takes nobody: {rest:?}", self.word)),
        }
    }

    fn who(&self, text: &str) -> Result<Who, String> {
        if text.is_empty() {
            return Err(format!("{} whom? A name or an id is missing", self.word));
        }
        text.parse()
    }

    fn in_room(&self, text: &str) -> Result<ParticipantId, String> {
        self.who(text)?.in_room(self.view).map_err(|error| error.to_string())
    }

    fn anywhere(&self, text: &str) -> Result<Target, String> {
        self.who(text)?.anywhere(self.view).map_err(|error| error.to_string())
    }

    fn word_and_target<'t>(&self, text: &'t str) -> Result<(&'t str, Target), String> {
        let (word, who) = text.split_once(' ').unwrap_or((text, ""));
        Ok((word, self.anywhere(who.trim())?))
    }

    fn ban(&self, rest: &str, reason: Note) -> Result<Govern, String> {
        let (who, time) = match rest.rsplit_once(" for ") {
            Some((who, time)) => (who, Some(span(time.trim())?)),
            None => (rest, None),
        };
        let duration_s = time.map(|time| time.as_secs());
        Ok(Govern::Ban { target: self.anywhere(who.trim())?, duration_s, reason })
    }

    fn permission(&self, rest: &str, allow: Option<bool>, reason: Note) -> Result<Govern, String> {
        let (word, target) = self.word_and_target(rest)?;
        let permission: Permission = word.parse().map_err(|error| format!("the {error}"))?;
        Ok(Govern::SetPermission { target, permission, allow, reason })
    }
}

fn closed(closed: bool, reason: Note) -> Govern {
    let change = RoomChange { hands_closed: Some(closed), ..RoomChange::default() };
    Govern::Set { change, reason }
}

fn locked(locked: bool, reason: Note) -> Govern {
    let change = RoomChange { locked: Some(locked), ..RoomChange::default() };
    Govern::Set { change, reason }
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|why| format!("{text:?} is no time: {why}"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not the number of an entry of the log"))
}

fn reaction(text: &str) -> Result<Reaction, String> {
    let found = REACTIONS.into_iter().find(|reaction| words::reaction(*reaction) == text);
    found.ok_or_else(|| {
        let known = REACTIONS.map(words::reaction).join(", ");
        format!("{text:?} is no reaction; there are {known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::model::tests::view;

    fn note(text: &str) -> Note {
        text.parse().unwrap()
    }

    #[test]
    fn lines_are_actions() {
        let host = view(Role::Host, None);
        for (line, expected) in [
            ("raise about  trees ", Action::Raise(note("about  trees"))),
            ("raise: now", Action::Raise(note("now"))),
            ("raise", Action::Raise(note(""))),
            (" lower", Action::Lower),
            ("mute", Action::Mute(true)),
            ("unmute", Action::Mute(false)),
            ("leave-stage", Action::LeaveStage),
            ("react heart", Action::React(Reaction::Heart)),
            ("quit", Action::Quit),
        ] {
            assert_eq!(parse(line, &host), Some(Ok(expected)), "{line}");
        }
        assert_eq!(parse("  ", &host), None);
    }

    #[test]
    fn lines_govern() {
        let host = view(Role::Host, None);
        let (bob, eve) = (ParticipantId(2), ParticipantId(5));
        let stay = Target::Participant;
        let zoe = Target::Subject("zoe".parse().unwrap());
        let (on, off, none) = (true, false, note(""));
        for (line, act) in [
            ("grant Eve", Govern::Grant { participant: eve }),
            ("lower eve", Govern::LowerHand { participant: eve }),
            ("deny eve: no time", Govern::Deny { participant: eve, reason: note("no time") }),
            (
                "silence 0000000000000002",
                Govern::Silence { participant: bob, on, reason: none.clone() },
            ),
            ("unsilence Bob", Govern::Silence { participant: bob, on: off, reason: none.clone() }),
            ("silence-all: quiet!", Govern::SilenceAll { on, reason: note("quiet!") }),
            ("mute Bob", Govern::AskMute { participant: bob, reason: none.clone() }),
            ("kick Bob: rude", Govern::Kick { target: stay(bob), reason: note("rude") }),
            (
                "ban Bob for 1h: spam",
                Govern::Ban { target: stay(bob), duration_s: Some(3_600), reason: note("spam") },
            ),
            (
                "ban zoe",
                Govern::Ban { target: zoe.clone(), duration_s: None, reason: none.clone() },
            ),
            ("unban sub:zoe", Govern::Unban { target: zoe.clone(), reason: none.clone() }),
            ("invite zoe", Govern::Invite { target: zoe }),
            (
                "role cohost Bob",
                Govern::SetRole { target: stay(bob), role: Role::Cohost, reason: none.clone() },
            ),
            (
                "forbid react Bob: enough",
                Govern::SetPermission {
                    target: stay(bob),
                    permission: Permission::React,
                    allow: Some(false),
                    reason: note("enough"),
                },
            ),
            ("accept", Govern::AnswerInvite { accept: true }),
            ("lock", locked(true, none.clone())),
            ("open-hands", closed(false, none.clone())),
            ("reject 7: no", Govern::AnswerAppeal { entry: 7, uphold: off, reason: note("no") }),
            ("end", Govern::EndRoom {}),
        ] {
            assert_eq!(parse(line, &host), Some(Ok(Action::Govern(act))), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let host = view(Role::Host, None);
        for (line, named) in [
            ("dance", "dance"),
            ("kick", "kick whom"),
            ("silence Zoe", "Zoe"),
            ("ban Bob for ages", "ages"),
            ("allow fly Bob", "fly"),
            ("react boo", "boo"),
            ("uphold soon", "soon"),
            ("lock Bob", "Bob"),
            ("quit now", "now"),
            (&format!("raise {}", "x".repeat(201)), "200 bytes"),
        ] {
            let error = parse(line, &host).unwrap().unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
