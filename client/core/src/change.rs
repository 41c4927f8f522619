//! Changes of a room, each as one line for people or one JSON object for programs.
//!
//! Pure. Made by [`crate::room_view`], for every command that shows a room.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use tribune_protocol::domain::audience_text::{Question, QuestionId, TextId};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, TrackId};

use crate::words;

mod about_you;

use about_you::sentence_about_you;

/// Something about the room that has changed. Written as one line for people (`Display`) or as a
/// JSON object with the key `event` (`Serialize`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// Somebody may speak from now on.
    JoinedStage {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Their role.
        role: Role,
        /// The track they speak on.
        track: TrackId,
    },
    /// Somebody may no longer speak.
    LeftStage {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The track they spoke on.
        track: TrackId,
    },
    /// Somebody on the stage has another role.
    RoleChanged {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The new role.
        role: Role,
    },
    /// A moderator silenced somebody, or lets them be heard again.
    Silenced {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether the silence is on.
        on: bool,
    },
    /// Somebody switched the own microphone off or on.
    Muted {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether it is off.
        on: bool,
    },
    /// Somebody's connection is gone, or back.
    Away {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether it is gone.
        on: bool,
    },
    /// A hand went up, or its note changed.
    HandRaised {
        /// Their owner.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Their note; may be empty.
        note: Note,
    },
    /// A hand is down: lowered, granted, denied, or its owner is gone.
    HandDown {
        /// Their owner.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
    },
    /// One's own role has changed.
    YourRole {
        /// The new role.
        role: Role,
        /// The track to speak on, if it speaks.
        track: Option<TrackId>,
        /// Why; may be empty.
        reason: Note,
    },
    /// One's own place in the queue of hands has changed.
    YourHand {
        /// The place from 1; `None` if the hand is down.
        place: Option<u32>,
        /// Why; may be empty.
        reason: Note,
    },
    /// One is silenced, or heard again.
    YouSilenced {
        /// Whether the silence is on.
        on: bool,
        /// Why; may be empty.
        reason: Note,
    },
    /// Frames come by another profile.
    Profile {
        /// The profile.
        profile: Profile,
    },
    /// A moderator asks to switch the microphone off.
    PleaseMute {
        /// The moderator.
        by: DisplayName,
        /// Why; may be empty.
        reason: Note,
    },
    /// Another number of people listens.
    Listeners {
        /// How many in the whole tree.
        count: u64,
    },
    /// A decision about us, in the words of the room's log.
    Moderated(Moderated),
    /// Single permissions were given or taken, while the role stays.
    YouMay {
        /// Permissions gained.
        gained: Vec<Permission>,
        /// Permissions lost.
        lost: Vec<Permission>,
    },
    /// Somebody asks one to come on the stage, or no longer does.
    Invited {
        /// The inviter; `None` if the invitation is answered or taken back.
        by: Option<DisplayName>,
    },
    /// The room is set up in another way.
    Setting {
        /// Which setting.
        setting: &'static str,
        /// Its new value, in words.
        value: String,
    },
    /// Reactions in the room since the last such line.
    Reactions {
        /// How many of each.
        counts: BTreeMap<Reaction, u32>,
    },
    /// Somebody writes to the stage.
    Text {
        /// The message.
        #[serde(serialize_with = "as_text")]
        message: TextId,
        /// Its writer.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The text.
        text: Note,
    },
    /// A moderator hid a message.
    TextHidden {
        /// The message.
        #[serde(serialize_with = "as_text")]
        message: TextId,
    },
    /// More messages have been written.
    TextTotal {
        /// Messages in the whole run.
        total: u64,
    },
    /// Somebody asks the stage something.
    Asked {
        /// The question.
        question: QuestionId,
        /// Its writer.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The text.
        text: Note,
    },
    /// The stage has answered a question.
    Answered {
        /// The question.
        question: QuestionId,
        /// Its text.
        text: Note,
    },
    /// Open questions, votes and reactions of the run have changed.
    Totals {
        /// Open questions.
        open: u32,
        /// Votes in the run.
        votes: u64,
        /// Reactions in the run, by kind.
        reactions: BTreeMap<Reaction, u64>,
        /// The questions with the most votes.
        #[serde(serialize_with = "as_questions")]
        questions: Vec<Question>,
    },
    /// The token runs out soon, and the connection with it.
    TokenExpires {
        /// Seconds until then.
        in_s: u32,
    },
    /// The relay will close the connection.
    Moving {
        /// Where to go on, if it says.
        to: Option<String>,
        /// Milliseconds until it closes.
        within_ms: u32,
    },
}

impl Change {
    /// Whether it is a count that goes on all the time: a screen has a place of its own for it.
    #[must_use]
    pub const fn is_count(&self) -> bool {
        matches!(self, Self::Listeners { .. } | Self::TextTotal { .. } | Self::Totals { .. })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |reason: &Note| match reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        match self {
            Self::JoinedStage { name, role, .. } => write!(f, "{name} is on the stage ({role})"),
            Self::LeftStage { name, .. } => write!(f, "{name} left the stage"),
            Self::RoleChanged { name, role, .. } => write!(f, "{name} is {role} now"),
            Self::Silenced { name, on: true, .. } => write!(f, "{name} is silenced"),
            Self::Silenced { name, on: false, .. } => write!(f, "{name} is no longer silenced"),
            Self::Muted { name, on: true, .. } => write!(f, "{name} is muted"),
            Self::Muted { name, on: false, .. } => write!(f, "{name} is no longer muted"),
            Self::Away { name, on: true, .. } => write!(f, "{name} lost the connection"),
            Self::Away { name, on: false, .. } => write!(f, "{name} is back"),
            Self::HandRaised { name, note, .. } => {
                write!(f, "{name} raises a hand{}", because(note))
            }
            Self::HandDown { name, .. } => write!(f, "{name}'s hand is down"),
            Self::YourRole { role, reason, .. } => {
                write!(f, "your role is {role} now{}", because(reason))
            }
            Self::YourHand { place: Some(place), reason } => {
                write!(f, "your hand is up, number {place} in the queue{}", because(reason))
            }
            Self::YourHand { place: None, reason } => {
                write!(f, "your hand is down{}", because(reason))
            }
            Self::Profile { profile } => f.write_str(heard_by(*profile)),
            Self::YouSilenced { on: true, reason } => {
                write!(f, "you are silenced by a moderator{}", because(reason))
            }
            Self::YouSilenced { on: false, reason } => {
                write!(f, "you are no longer silenced{}", because(reason))
            }
            Self::PleaseMute { by, reason } => {
                write!(f, "{by} asks you to mute{}", because(reason))
            }
            Self::Listeners { count: 1 } => write!(f, "1 listener"),
            Self::Listeners { count } => write!(f, "{count} listeners"),
            Self::Moderated(moderated) => f.write_str(&sentence_about_you(moderated)),
            Self::YouMay { gained, lost } => write_rights(f, gained, lost),
            Self::Invited { by: Some(by) } => write!(f, "{by} invites you to speak"),
            Self::Invited { by: None } => write!(f, "the invitation to speak is over"),
            Self::Setting { setting, value } => write!(f, "the room is set to {setting}: {value}"),
            Self::Reactions { counts } => write_reactions(f, counts),
            Self::Text { name, text, .. } => write!(f, "{name} writes: {text}"),
            Self::TextHidden { message } => write!(f, "message {message} is hidden"),
            Self::TextTotal { total: 1 } => write!(f, "1 message in all"),
            Self::TextTotal { total } => write!(f, "{total} messages in all"),
            Self::Asked { question, name, text, .. } => {
                write!(f, "{name} asks (question {question}): {text}")
            }
            Self::Answered { question, text } => {
                write!(f, "question {question} is answered: {text}")
            }
            Self::Totals { open, votes, .. } => write!(f, "{open} open questions, {votes} votes"),
            Self::TokenExpires { in_s } => {
                write!(f, "your token runs out in {in_s} s, and the connection with it")
            }
            Self::Moving { to: Some(to), .. } => write!(f, "the relay moves us to {to}"),
            Self::Moving { to: None, within_ms } => {
                write!(f, "the relay stops within {} s", within_ms.div_ceil(1_000))
            }
        }
    }
}

fn write_reactions(f: &mut fmt::Formatter<'_>, counts: &BTreeMap<Reaction, u32>) -> fmt::Result {
    let each = counts.iter().map(|(kind, count)| format!("{} × {count}", words::reaction(*kind)));
    write!(f, "reactions: {}", each.collect::<Vec<_>>().join(", "))
}

fn write_rights(
    f: &mut fmt::Formatter<'_>,
    gained: &[Permission],
    lost: &[Permission],
) -> fmt::Result {
    let list =
        |set: &[Permission]| set.iter().map(|one| one.infinitive()).collect::<Vec<_>>().join(", ");
    match (gained.is_empty(), lost.is_empty()) {
        (false, true) => write!(f, "you may {} now", list(gained)),
        (true, _) => write!(f, "you may no longer {}", list(lost)),
        (false, false) => write!(f, "you may {} now, and no longer {}", list(gained), list(lost)),
    }
}

/// How the room is heard by a profile.
const fn heard_by(profile: Profile) -> &'static str {
    match profile {
        Profile::Live | Profile::Unknown => "you hear the room live now",
        Profile::Audience => "you hear the room a little later now, as its audience does",
        Profile::Reliable => "you hear the room over streams now, whole and later",
    }
}

fn as_text<S: Serializer>(id: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn as_questions<S: Serializer>(questions: &[Question], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Line<'a> {
        question: QuestionId,
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        name: &'a DisplayName,
        text: &'a Note,
        votes: u64,
        answered: bool,
    }
    serializer.collect_seq(questions.iter().map(
        |Question { question, participant, name, text, votes, answered }| Line {
            question: *question,
            participant: *participant,
            name,
            text,
            votes: *votes,
            answered: *answered,
        },
    ))
}

#[cfg(test)]
mod tests {
    use tribune_protocol::log::LogAction;

    use super::*;

    #[test]
    fn a_decision_says_who_what_until_when_why_and_how_to_appeal() {
        let ban = Moderated {
            action: Some(LogAction::Banned),
            by: Some("Ada".parse().unwrap()),
            reason: "spam".parse().unwrap(),
            entry: 12,
            until_s: 1_800_000_000,
        };
        let change = Change::Moderated(ban.clone());
        assert_eq!(
            change.to_string(),
            "Ada banned you from the room until 2027-01-15 08:00:00 UTC: spam \
             (log entry 12; `tribune appeal create` can appeal against it)"
        );
        let json = serde_json::to_value(&change).unwrap();
        assert_eq!((&json["event"], &json["action"]), (&"moderated".into(), &"banned".into()));
        assert_eq!((&json["entry"], &json["by"]), (&12.into(), &"Ada".into()));
        let bare = Moderated { by: None, reason: Note::default(), entry: 0, until_s: 0, ..ban };
        assert_eq!(Change::Moderated(bare).to_string(), "the relay banned you from the room");
    }

    #[test]
    fn permissions_and_reactions_are_sentences() {
        let may = Change::YouMay { gained: vec![Permission::Kick], lost: vec![Permission::React] };
        assert_eq!(
            may.to_string(),
            "you may remove somebody from the room now, and no longer send a reaction"
        );
        let counts = BTreeMap::from([(Reaction::Clap, 12), (Reaction::Wow, 1)]);
        let reactions = Change::Reactions { counts };
        assert_eq!(reactions.to_string(), "reactions: clap × 12, wow × 1");
        let json = serde_json::to_string(&reactions).unwrap();
        assert_eq!(json, r#"{"event":"reactions","counts":{"clap":12,"wow":1}}"#);
    }

    #[test]
    fn what_the_audience_writes_is_a_line_and_an_object() {
        let (participant, name) = (ParticipantId(5), "Eve".parse::<DisplayName>().unwrap());
        let text: Note = "why trees?".parse().unwrap();
        let written = Change::Text {
            message: TextId(255),
            participant,
            name: name.clone(),
            text: text.clone(),
        };
        assert_eq!(written.to_string(), "Eve writes: why trees?");
        let json = serde_json::to_value(&written).unwrap();
        assert_eq!(json["message"], "00000000000000ff");
        let (votes, answered) = (7, false);
        let question =
            Question { question: QuestionId(3), participant, name, text, votes, answered };
        let (open, reactions) = (2, BTreeMap::new());
        let totals = Change::Totals { open, votes: 9, reactions, questions: vec![question] };
        assert_eq!(totals.to_string(), "2 open questions, 9 votes");
        assert!(totals.is_count());
        let json = serde_json::to_value(&totals).unwrap();
        assert_eq!(json["questions"][0]["participant"], "0000000000000005");
        assert_eq!((&json["questions"][0]["votes"], &json["event"]), (&7.into(), &"totals".into()));
    }

    #[test]
    fn ids_are_text_in_json() {
        let change =
            Change::HandDown { participant: ParticipantId(255), name: "Eve".parse().unwrap() };
        let json = serde_json::to_string(&change).unwrap();
        let expected = r#"{"event":"hand_down","participant":"00000000000000ff","name":"Eve"}"#;
        assert_eq!(json, expected);
    }
}
