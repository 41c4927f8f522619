//! One entry of the log, and the sentence it makes. For the origin, for clients and for reports.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::time::{span, utc};
use crate::domain::action::LogAction;
use crate::domain::invalid_text::InvalidText;
use crate::domain::role::Role;
use crate::ids::{DisplayName, Note, ParticipantId, RoomName, Subject};
use crate::limits::{MAX_ADDRESS_BYTES, MAX_DETAIL_BYTES};

/// One decision, as it is written down. Never changed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the room's log: from 1, without gaps.
    pub number: u64,
    /// The room.
    pub room: RoomName,
    /// When it was decided: milliseconds since the Unix epoch, by the origin's clock.
    pub at_ms: u64,
    /// The actor.
    pub actor: Party,
    /// The action.
    pub action: LogAction,
    /// The target, where it is a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// Why; may be empty.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub reason: Note,
    /// The duration, in seconds; `None`: until it is lifted, or the action has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u64>,
    /// The entry that this one answers: of an appeal the action's, of an answer the appeal's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<u64>,
    /// Details; may be empty.
    #[serde(default, skip_serializing_if = "Detail::is_empty")]
    pub detail: Detail,
}

/// Actor or target, as far as known. Names and roles are those of that moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Party {
    /// The subject, the same over all sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// Their role before the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Their session in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ParticipantId>,
    /// The address, if the action is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

/// More about an action, in plain words such as `speaker → cohost` or `capacity 500`: at most 300
/// bytes without control characters.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Detail(String);

/// A network address or a range of them, as it was compared: 1 to 64 bytes of ASCII without spaces.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Entry {
    /// The entry in plain words, with its time and number in front:
    /// `2026-11-22 20:15:03 UTC  #17  Ada (host) banned Bob (speaker) for 1 h: insults`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}  #{}  {}", utc(self.at_ms), self.number, self.statement())
    }

    /// The entry in plain words: `Ada (host) banned Bob (speaker) for 1 h: insults`.
    #[must_use]
    pub fn statement(&self) -> String {
        let mut text = format!("{} {}", self.actor, self.predicate());
        if let Some(seconds) = self.duration_s {
            text.push_str(&format!(" for {}", span(seconds)));
        }
        if !self.detail.is_empty() {
            text.push_str(&format!(" ({})", self.detail));
        }
        if !is_empty(&self.reason) {
            text.push_str(&format!(": {}", self.reason));
        }
        text
    }

    fn predicate(&self) -> String {
        let whom = self.target.as_ref().map_or_else(|| "somebody".to_owned(), Party::to_string);
        let of = self.target.as_ref().map_or_else(String::new, |target| format!(" of {target}"));
        let about = self.about.map_or_else(|| "an entry".to_owned(), |about| format!("#{about}"));
        match self.action {
            LogAction::RoomCreated => "created the room".to_owned(),
            LogAction::RoomOpened => "opened the room".to_owned(),
            LogAction::RoomEnded => "ended the room".to_owned(),
            LogAction::RoomChanged => "changed the room".to_owned(),
            LogAction::Locked => "locked the room".to_owned(),
            LogAction::Unlocked => "unlocked the room".to_owned(),
            LogAction::AskedToMute => format!("asked {whom} to mute"),
            LogAction::Silenced => format!("silenced {whom}"),
            LogAction::Unsilenced => format!("lifted the silence of {whom}"),
            LogAction::AllSilenced => "silenced everybody".to_owned(),
            LogAction::AllUnsilenced => "lifted the silence of everybody".to_owned(),
            LogAction::RemovedFromStage => format!("removed {whom} from the stage"),
            LogAction::Kicked => format!("put {whom} out of the room"),
            LogAction::Banned => format!("banned {whom}"),
            LogAction::Unbanned => format!("lifted the ban of {whom}"),
            LogAction::BanRanOut => format!("let the ban of {whom} run out"),
            LogAction::HandGranted => format!("gave {whom} the right to speak"),
            LogAction::HandDenied => format!("turned down the hand of {whom}"),
            LogAction::HandsCleared => "lowered all hands".to_owned(),
            LogAction::HandsClosed => "closed the queue of hands".to_owned(),
            LogAction::HandsOpened => "opened the queue of hands".to_owned(),
            LogAction::InvitedToSpeak => format!("invited {whom} to speak"),
            LogAction::RoleChanged => format!("changed the role of {whom}"),
            LogAction::PermissionChanged => format!("changed the permissions of {whom}"),
            LogAction::HostHandedOver => format!("handed the room over to {whom}"),
            LogAction::HostSucceeded => format!("passed the room on to {whom}"),
            LogAction::InvitationMade => "made an invitation".to_owned(),
            LogAction::Appealed => format!("appealed against {about}"),
            LogAction::AppealUpheld => format!("upheld the appeal {about}{of}"),
            LogAction::AppealRejected => format!("rejected the appeal {about}{of}"),
            LogAction::TextHidden => format!("hid a text of {whom}"),
        }
    }
}

impl Party {
    /// The relay itself, where it acts without anybody's order: a host is succeeded, a ban runs out.
    /// Nothing is known of it, so that nobody can take a name that looks like it.
    #[must_use]
    pub const fn relay() -> Self {
        Self { subject: None, name: None, role: None, participant: None, address: None }
    }

    /// Whether it is the relay itself.
    #[must_use]
    pub fn is_relay(&self) -> bool {
        *self == Self::relay()
    }
}

/// As in a sentence: `Ada (host)`; without a role `Ada (ada@example.org)`; the relay is `the relay`.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = match (&self.subject, self.participant) {
            (Some(subject), _) => Some(subject.to_string()),
            (None, Some(participant)) => Some(participant.to_string()),
            (None, None) => self.address.as_ref().map(|address| format!("address {address}")),
        };
        let role = self.role.map(|role| role.to_string());
        match (&self.name, role, id) {
            (Some(name), Some(role), _) => write!(f, "{name} ({role})"),
            (Some(name), None, Some(id)) => write!(f, "{name} ({id})"),
            (Some(name), None, None) => write!(f, "{name} (unidentified)"),
            (None, Some(role), Some(id)) => write!(f, "{id} ({role})"),
            (None, None, Some(id)) => f.write_str(&id),
            (None, Some(role), None) => write!(f, "somebody ({role})"),
            (None, None, None) => f.write_str("the relay"),
        }
    }
}

impl Detail {
    /// The detail as text; may be empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as far as it fits, with spaces for control characters. For what the origin puts
    /// together from parts that are each bounded.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let mut out = String::new();
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if out.len() + c.len_utf8() > MAX_DETAIL_BYTES {
                break;
            }
            out.push(c);
        }
        Self(out)
    }
}

impl TryFrom<String> for Detail {
    type Error = InvalidText;

    fn try_from(value: String) -> Result<Self, InvalidText> {
        if value.len() > MAX_DETAIL_BYTES {
            return Err(InvalidText::new("detail", &value, "is over 300 bytes long"));
        }
        if value.chars().any(char::is_control) {
            return Err(InvalidText::new("detail", &value, "has control characters"));
        }
        Ok(Self(value))
    }
}

impl Address {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().to_string())
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidText;

    fn try_from(value: String) -> Result<Self, InvalidText> {
        if value.is_empty() || value.len() > MAX_ADDRESS_BYTES {
            return Err(InvalidText::new("address", &value, "is not 1 to 64 bytes long"));
        }
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidText::new("address", &value, "has characters of no address"));
        }
        Ok(Self(value))
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl FromStr for $name {
            type Err = InvalidText;
            fn from_str(value: &str) -> Result<Self, InvalidText> {
                Self::try_from(value.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}
text!(Detail, Address);

fn is_empty(note: &Note) -> bool {
    note.as_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, role: Role) -> Party {
        Party {
            subject: Some(format!("{}@example.org", name.to_lowercase()).parse().unwrap()),
            name: Some(name.parse().unwrap()),
            role: Some(role),
            ..Party::relay()
        }
    }

    fn entry(action: LogAction) -> Entry {
        Entry {
            number: 17,
            room: "stage".parse().unwrap(),
            at_ms: 1_795_378_503_000,
            actor: person("Ada", Role::Host),
            action,
            target: Some(person("Bob", Role::Speaker)),
            reason: "insults".parse().unwrap(),
            duration_s: None,
            about: None,
            detail: Detail::default(),
        }
    }

    #[test]
    fn sentences() {
        let banned = Entry { duration_s: Some(3_600), ..entry(LogAction::Banned) };
        assert_eq!(
            banned.sentence(),
            "2026-11-22 20:15:03 UTC  #17  Ada (host) banned Bob (speaker) for 1 h: insults"
        );
        let changed = Entry {
            detail: "speaker → cohost".parse().unwrap(),
            reason: Note::default(),
            ..entry(LogAction::RoleChanged)
        };
        assert_eq!(
            changed.statement(),
            "Ada (host) changed the role of Bob (speaker) (speaker → cohost)"
        );
        let over =
            Entry { actor: Party::relay(), reason: Note::default(), ..entry(LogAction::BanRanOut) };
        assert_eq!(over.statement(), "the relay let the ban of Bob (speaker) run out");
        let upheld = Entry { about: Some(9), ..entry(LogAction::AppealUpheld) };
        assert_eq!(upheld.statement(), "Ada (host) upheld the appeal #9 of Bob (speaker): insults");
    }

    #[test]
    fn every_action_has_words_of_its_own() {
        let mut said: Vec<String> =
            LogAction::ALL.iter().map(|action| entry(*action).statement()).collect();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), LogAction::ALL.len());
    }

    #[test]
    fn nobody_looks_like_the_relay() {
        let name = Some("the relay".parse().unwrap());
        let liar = Party { name, ..Party::relay() };
        assert_eq!(liar.to_string(), "the relay (unidentified)");
        assert!(!liar.is_relay());
        assert!(Party::relay().is_relay());
        assert_eq!(Party::relay().to_string(), "the relay");
        let range = Address::try_from("192.0.2.0/24".to_owned()).unwrap();
        let address = Party { address: Some(range), ..Party::relay() };
        assert_eq!(address.to_string(), "address 192.0.2.0/24");
    }

    #[test]
    fn details_and_addresses_are_bounded() {
        assert!("x".repeat(301).parse::<Detail>().is_err());
        assert!("a\nb".parse::<Detail>().is_err());
        assert_eq!(Detail::cut(&format!("a\n{}", "é".repeat(200))).as_str().len(), 300);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(Address::from(mapped).as_str(), "192.0.2.1");
        for bad in ["", "a b", "é", &"1".repeat(65)] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
