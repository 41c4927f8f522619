//! Subject of a command: a name, an id, an identity or an address, and its participant in a room.

use std::net::IpAddr;
use std::str::FromStr;

use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{InvalidName, ParticipantId, Subject};

use crate::room_view::RoomView;

/// Its text in `--help`.
pub const HELP: &str = "The name of somebody on the stage or with a hand up, an id of 16 digits, \
     sub:IDENTITY, or an IP address";

/// The subject of a command, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// 16 hexadecimal digits: one stay in a room.
    Participant(ParticipantId),
    /// `sub:IDENTITY`: somebody, in all sessions.
    Subject(Subject),
    /// An IP address, or `addr:` and one: everybody there.
    Address(IpAddr),
    /// Another word: a name, or where nobody has it an identity.
    Word(String),
}

/// A subject that cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nobody on the stage or in the queue of hands is called that.
    #[error(
        "nobody called {0:?} is on the stage or has a hand up; a listener is named by the 16-digit id"
    )]
    Nobody(String),
    /// More than one is.
    #[error("{name:?} is the name of several, so say which by id: {ids}")]
    Several {
        /// The name.
        name: String,
        /// Their ids.
        ids: String,
    },
    /// An identity or an address, where somebody in the room is wanted.
    #[error("this is about somebody in the room, named or by the 16-digit id, and {0} is not one")]
    NotInRoom(String),
    /// A word that is no name in the room and cannot be an identity.
    #[error("nobody in the room is called that, and the {0}")]
    NoIdentity(InvalidName),
}

impl Who {
    /// Somebody in the room.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub fn in_room(&self, view: &RoomView) -> Result<ParticipantId, ResolveError> {
        match self {
            Self::Participant(participant) => Ok(*participant),
            Self::Word(name) => named(view, name),
            Self::Subject(_) | Self::Address(_) => Err(ResolveError::NotInRoom(self.to_string())),
        }
    }

    /// Somebody, in the room or not: a word that names nobody in the room is an identity.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub fn anywhere(&self, view: &RoomView) -> Result<Target, ResolveError> {
        match self {
            Self::Participant(participant) => Ok(Target::Participant(*participant)),
            Self::Subject(subject) => Ok(Target::Subject(subject.clone())),
            Self::Address(address) => Ok(Target::Address(*address)),
            Self::Word(name) => match named(view, name) {
                Ok(participant) => Ok(Target::Participant(participant)),
                Err(ResolveError::Nobody(_)) => {
                    name.parse().map(Target::Subject).map_err(ResolveError::NoIdentity)
                }
                Err(
                    error @ (ResolveError::Several { .. }
                    | ResolveError::NotInRoom(_)
                    | ResolveError::NoIdentity(_)),
                ) => Err(error),
            },
        }
    }

    /// Whether it takes the room's stage and hands to tell who that is.
    #[must_use]
    pub const fn is_word(&self) -> bool {
        matches!(self, Self::Word(_))
    }
}

/// The participant of that name. Upper and lower case count only where they make the difference.
fn named(view: &RoomView, name: &str) -> Result<ParticipantId, ResolveError> {
    let known = view.people();
    let those = |is_it: &dyn Fn(&str) -> bool| -> Vec<ParticipantId> {
        known.iter().filter(|(_, name)| is_it(name.as_str())).map(|(id, _)| *id).collect()
    };
    let mut found = those(&|known| known == name);
    if found.is_empty() {
        found = those(&|known| known.to_lowercase() == name.to_lowercase());
    }
    match found[..] {
        [] => Err(ResolveError::Nobody(name.to_owned())),
        [one] => Ok(one),
        _ => {
            let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
            Err(ResolveError::Several { name: name.to_owned(), ids: ids.join(", ") })
        }
    }
}

/// A target as it is written on the command line.
#[must_use]
pub fn target_text(target: &Target) -> String {
    match target {
        Target::Participant(participant) => participant.to_string(),
        Target::Subject(subject) => format!("sub:{subject}"),
        Target::Address(address) => format!("addr:{address}"),
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(identity) = text.strip_prefix("sub:") {
            return identity.parse().map(Self::Subject).map_err(|error| error.to_string());
        }
        if let Some(address) = text.strip_prefix("addr:") {
            let parsed = address.parse().map(Self::Address);
            return parsed.map_err(|_| format!("{address:?} is not an IP address"));
        }
        if let Ok(participant) = text.parse() {
            return Ok(Self::Participant(participant));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text.trim().is_empty() {
            return Err("a name, an id, sub:IDENTITY or an address is missing".to_owned());
        }
        Ok(Self::Word(text.trim().to_owned()))
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Participant(participant) => write!(f, "{participant}"),
            Self::Subject(subject) => write!(f, "sub:{subject}"),
            Self::Address(address) => write!(f, "addr:{address}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::control::participant::ToParticipant;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::domain::stage::{Hand, StageEntry};
    use tribune_protocol::ids::TrackId;

    use super::*;

    fn view() -> RoomView {
        let entry = |id: u64, name: &str| StageEntry {
            participant: ParticipantId(id),
            name: name.parse().unwrap(),
            role: Role::Speaker,
            track: TrackId(id as u32),
            silenced: false,
            muted: false,
            away: false,
        };
        let stage = [(1, "Ada"), (2, "ada"), (3, "Bob"), (4, "Bob"), (5, "Eve")];
        let stage = stage.map(|(id, name)| entry(id, name)).to_vec();
        let (name, note) = ("Eve".parse().unwrap(), "".parse().unwrap());
        let hands = vec![Hand { participant: ParticipantId(5), name, note, waiting_s: 4 }];
        let mut view = RoomView::default();
        view.handle_message(&ToParticipant::Stage { stage });
        view.handle_message(&ToParticipant::Hands { hands, total: 1 });
        view
    }

    fn who(text: &str) -> Who {
        text.parse().unwrap()
    }

    #[test]
    fn forms_of_a_subject() {
        assert_eq!(who("00000000000000ff"), Who::Participant(ParticipantId(255)));
        assert_eq!(who("sub:ada@example.org"), Who::Subject("ada@example.org".parse().unwrap()));
        assert_eq!(who("192.0.2.7"), Who::Address("192.0.2.7".parse().unwrap()));
        assert_eq!(who("addr:2001:db8::1"), Who::Address("2001:db8::1".parse().unwrap()));
        assert_eq!(who(" Ada L "), Who::Word("Ada L".to_owned()));
        for text in ["00000000000000ff", "sub:a b", "addr:192.0.2.7", "Ada"] {
            assert_eq!(who(&who(text).to_string()), who(text));
        }
        for (text, named) in [("addr:here", "here"), ("sub:", "subject"), ("  ", "missing")] {
            let error = text.parse::<Who>().unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_resolved_by_case_only_where_needed() {
        let view = view();
        let id = |n| Ok(ParticipantId(n));
        assert_eq!(who("Ada").in_room(&view), id(1));
        assert_eq!(who("ada").in_room(&view), id(2));
        assert_eq!(who("EVE").in_room(&view), id(5));
        assert_eq!(who("00000000000000ff").in_room(&view), id(255));
        assert_eq!(who("Zoe").in_room(&view), Err(ResolveError::Nobody("Zoe".into())));
        let several = who("bob").in_room(&view).unwrap_err().to_string();
        assert!(several.contains("0000000000000003, 0000000000000004"), "{several}");
        assert!(matches!(who("ADA").in_room(&view), Err(ResolveError::Several { .. })));
        let identity = who("sub:zoe").in_room(&view).unwrap_err().to_string();
        assert!(identity.contains("sub:zoe"), "{identity}");
    }

    #[test]
    fn a_word_that_names_nobody_is_an_identity_and_an_ambiguous_one_is_not() {
        let view = view();
        assert_eq!(who("Eve").anywhere(&view), Ok(Target::Participant(ParticipantId(5))));
        assert_eq!(who("zoe").anywhere(&view), Ok(Target::Subject("zoe".parse().unwrap())));
        assert!(matches!(who("bob").anywhere(&view), Err(ResolveError::Several { .. })));
        let long = who(&"x".repeat(200)).anywhere(&view);
        assert!(matches!(long, Err(ResolveError::NoIdentity(_))));
    }
}
