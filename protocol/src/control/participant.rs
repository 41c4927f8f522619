//! Messages between a participant and its edge. SPEC.md section 4.3.

mod join;
mod parts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::join::{Heard, Join, OneShot};
pub use self::parts::{Joined, LogPage, Questions, RoomInfo, You};
use super::command::Govern;
use crate::codes::ErrorCode;
use crate::domain::audience_text::{AudienceText, QuestionId, TextId};
use crate::domain::ban::Ban;
use crate::domain::profile::Profile;
use crate::domain::protection::Protection;
use crate::domain::reaction::Reaction;
use crate::domain::room::Listing;
use crate::domain::ruling::Moderated;
use crate::domain::share::ShareText;
use crate::domain::stage::{Hand, StageEntry};
use crate::ids::{DisplayName, Note, RoomName};
pub use crate::quality::report::ListenerReports;
use crate::quality::report::Report;
use crate::statistics::StatisticsPart;
use crate::token::TokenText;

/// From a participant to its edge. The first is `join`; each that carries an id is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromParticipant {
    /// Enters a room. Answered by `joined` or `err`.
    Join(Join),
    /// Leaves the room; the relay closes the connection.
    Leave {},
    /// Raises a hand, or changes its note.
    RaiseHand {
        /// The note on it; may be empty.
        #[serde(default)]
        note: Note,
    },
    /// Lowers one's own hand.
    LowerHand {},
    /// Gives the right to speak back.
    LeaveStage {},
    /// Tells the room the state of one's own microphone.
    OwnMute {
        /// Whether it is off.
        muted: bool,
    },
    /// Sends a reaction. The edge adds them up, and drops the sender.
    React {
        /// The reaction.
        reaction: Reaction,
    },
    /// Writes a message to the stage. Relays add messages up, and pass a sample on.
    Write {
        /// The text; not empty.
        text: Note,
    },
    /// Asks a question that others can vote for.
    #[serde(rename = "ask_question")]
    Ask {
        /// The text; not empty.
        text: Note,
    },
    /// Votes for a question, or takes the vote back.
    Vote {
        /// The question.
        question: QuestionId,
        /// Whether the vote is given.
        on: bool,
    },
    /// Shows a newer token for the same subject and room, before the old one runs out.
    RenewToken {
        /// The token; at most 4 KiB.
        token: TokenText,
    },
    /// A request to the room's origin. Answered by `ok`, `err` or the data asked for.
    Govern {
        /// The request.
        act: Govern,
    },
    /// A request without joining. Several may follow on one connection, but no `join`. A barred subject can
    /// do nothing else.
    #[serde(rename = "errand")]
    OneShot(OneShot),
    /// The public rooms. Needs no `join`. Answered by `rooms`.
    ListRooms {
        /// The last room of the part before; absent: from the start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<RoomName>,
    },
    /// Reception quality since the last report. Every five seconds.
    Report(Report),
    /// Wants frames by another profile from now on.
    SetProfile {
        /// The profile; absent: the room's choice.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<Profile>,
    },
    /// A type of a later version. Passed over, or answered with `bad_request` if it carries an id.
    #[serde(other)]
    Unknown,
}

kinds!(FromParticipant {
    Self::Join(_) => "join",
    Self::Leave {} => "leave",
    Self::RaiseHand { .. } => "raise_hand",
    Self::LowerHand {} => "lower_hand",
    Self::LeaveStage {} => "leave_stage",
    Self::OwnMute { .. } => "own_mute",
    Self::React { .. } => "react",
    Self::Write { .. } => "write",
    Self::Ask { .. } => "ask_question",
    Self::Vote { .. } => "vote",
    Self::RenewToken { .. } => "renew_token",
    Self::Govern { .. } => "govern",
    Self::OneShot(_) => "errand",
    Self::ListRooms { .. } => "list_rooms",
    Self::Report(_) => "report",
    Self::SetProfile { .. } => "set_profile",
    Self::Unknown => "unknown",
});

/// From an edge to its participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToParticipant {
    /// The answer to `join`.
    Joined(Joined),
    /// The request is done, everywhere in the tree where that matters.
    Ok {},
    /// The request is refused.
    Err {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, in a sentence for people.
        message: String,
    },
    /// The stage. Sent at each change.
    Stage {
        /// Participants with the right to speak.
        stage: Vec<StageEntry>,
    },
    /// The number of listeners in the whole tree. Sent at most once a second.
    Listeners {
        /// Participants that are not on the stage.
        count: u64,
    },
    /// One's own place has changed.
    You(You),
    /// The queue of hands, in order. To moderators only.
    Hands {
        /// The first 40.
        hands: Vec<Hand>,
        /// The number of all.
        total: u32,
    },
    /// An action on the participant, in the words of the room's log.
    Moderated(Moderated),
    /// Settings of the room: after a change, and the answer to `show`.
    Room(RoomInfo),
    /// The answer to `list_rooms`.
    Rooms {
        /// By name; at most 64, and as many as fit.
        rooms: Vec<Listing>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// The answer to `list_bans`.
    Bans {
        /// At most 20.
        bans: Vec<Ban>,
        /// The number of all.
        total: u32,
    },
    /// The answer to `read_log`.
    Log(LogPage),
    /// The answer to `make_invitation`.
    Invitation {
        /// To be shown as a token.
        token: TokenText,
    },
    /// The answer to `list_listeners` and `show_listener`.
    ListenerReports(ListenerReports),
    /// Reactions in the whole tree since the last such message. At most once a second.
    Reactions {
        /// The count of each.
        counts: BTreeMap<Reaction, u32>,
    },
    /// Messages of the audience since the last such message: how many there are, and to those who may see them a
    /// sample. At most once in 750 ms.
    Texts {
        /// Messages in the whole run.
        total: u64,
        /// A fair sample of the new ones; at most 8.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        texts: Vec<AudienceText>,
        /// Messages that have been hidden.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hidden: Vec<TextId>,
    },
    /// Open questions, the most votes first, and totals of the run. At most once in 750 ms.
    Questions(Questions),
    /// The answer to `make_share`.
    Share {
        /// Text for the parameter `s` of a link to the room.
        text: ShareText,
    },
    /// The answer to `read_statistics`.
    Statistics {
        /// The part.
        part: StatisticsPart,
    },
    /// The token expires soon, and the connection with it.
    TokenExpires {
        /// Seconds until then.
        in_s: u32,
    },
    /// A moderator asks to switch the microphone off.
    PleaseMute {
        /// The moderator.
        by: DisplayName,
        /// Why; may be empty.
        #[serde(default)]
        reason: Note,
    },
    /// Losses that listeners suffer, for one's encoder to protect against; to those with a track. None
    /// before the first such message.
    Protect {
        /// The losses.
        protection: Protection,
    },
    /// The relay stops soon; it is better to go on elsewhere.
    Moved {
        /// The new relay, as `host:port`; the same address again if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// Milliseconds until the relay closes the connection.
        within_ms: u32,
    },
    /// A type of a later version. Passed over.
    #[serde(other)]
    Unknown,
}

kinds!(ToParticipant {
    Self::Joined(_) => "joined",
    Self::Ok {} => "ok",
    Self::Err { .. } => "err",
    Self::Stage { .. } => "stage",
    Self::Listeners { .. } => "listeners",
    Self::You(_) => "you",
    Self::Hands { .. } => "hands",
    Self::Moderated(_) => "moderated",
    Self::Room(_) => "room",
    Self::Rooms { .. } => "rooms",
    Self::Bans { .. } => "bans",
    Self::Log(_) => "log",
    Self::Invitation { .. } => "invitation",
    Self::ListenerReports(_) => "listener_reports",
    Self::Reactions { .. } => "reactions",
    Self::Texts { .. } => "texts",
    Self::Questions(_) => "questions",
    Self::Share { .. } => "share",
    Self::Statistics { .. } => "statistics",
    Self::TokenExpires { .. } => "token_expires",
    Self::PleaseMute { .. } => "please_mute",
    Self::Protect { .. } => "protect",
    Self::Moved { .. } => "moved",
    Self::Unknown => "unknown",
});

impl ToParticipant {
    /// Whether a request can be answered by this type. `hands` and `room` also arrive unasked.
    #[must_use]
    pub const fn answers_request(&self) -> bool {
        match self {
            Self::Joined(_)
            | Self::Ok {}
            | Self::Err { .. }
            | Self::Hands { .. }
            | Self::Room(_)
            | Self::Rooms { .. }
            | Self::Bans { .. }
            | Self::Log(_)
            | Self::Invitation { .. }
            | Self::ListenerReports(_)
            | Self::Share { .. }
            | Self::Statistics { .. } => true,
            Self::Stage { .. }
            | Self::Listeners { .. }
            | Self::You(_)
            | Self::Moderated(_)
            | Self::Reactions { .. }
            | Self::Texts { .. }
            | Self::Questions(_)
            | Self::TokenExpires { .. }
            | Self::PleaseMute { .. }
            | Self::Protect { .. }
            | Self::Moved { .. }
            | Self::Unknown => false,
        }
    }

    /// The answer to `join`, if it is one.
    #[must_use]
    pub const fn as_joined(&self) -> Option<&Joined> {
        if let Self::Joined(joined) = self { Some(joined) } else { None }
    }

    /// Code and sentence of a refusal, if it is one.
    #[must_use]
    pub fn as_err(&self) -> Option<(ErrorCode, &str)> {
        if let Self::Err { code, message } = self { Some((*code, message)) } else { None }
    }

    /// The recipient's own place: on joining, and at each change.
    #[must_use]
    pub const fn as_you(&self) -> Option<&You> {
        if let Self::Joined(Joined { you, .. }) | Self::You(you) = self { Some(you) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Envelope, decode, encode, tests::spec_vector};
    use crate::domain::permission::PermissionSet;
    use crate::domain::role::Role;
    use crate::ids::{ParticipantId, RequestId, SessionKey, TrackId};

    #[test]
    fn vectors_of_the_specification() {
        let join = FromParticipant::Join(Join {
            room: "stage".parse().unwrap(),
            session: SessionKey([7; 16]),
            name: "Ada".parse().unwrap(),
            role: Role::Speaker,
            token: None,
            returning: false,
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: None,
            share: None,
            stay_s: None,
        });
        check("control-join", Some(RequestId(1)), &join);
        let participant = ParticipantId(0x0123_4567_89ab_cdef);
        let reason = "please stop".parse().unwrap();
        let act = Govern::Silence { participant, on: true, reason };
        let silence = FromParticipant::Govern { act };
        check("control-silence", Some(RequestId(2)), &silence);
        let joined = ToParticipant::Joined(Joined {
            relay: "edge-1".parse().unwrap(),
            depth: 3,
            you: You {
                participant,
                role: Role::Speaker,
                track: Some(TrackId(7)),
                silenced: false,
                hand: None,
                reason: Note::default(),
                may: PermissionSet::NONE,
                invited_by: None,
                profile: Profile::Live,
            },
            stage: vec![StageEntry {
                participant,
                name: "Ada".parse().unwrap(),
                role: Role::Speaker,
                track: TrackId(7),
                silenced: false,
                muted: false,
                away: false,
            }],
            listeners: 40,
            redundancy: false,
        });
        check("control-joined", Some(RequestId(1)), &joined);
        let err = ToParticipant::Err {
            code: ErrorCode::StageFull,
            message: "The stage of this room holds 32.".to_owned(),
        };
        check("control-err", Some(RequestId(2)), &err);
    }

    fn check<M>(name: &str, id: Option<RequestId>, message: &M)
    where
        M: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug + Clone,
    {
        let bytes = encode(id, message).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes[..], spec_vector(name), "{name} is {hex}");
        let mut body = &bytes[..];
        crate::varint::take(&mut body).unwrap();
        assert_eq!(decode::<M>(body).unwrap(), Envelope { id, message: message.clone() });
    }
}
