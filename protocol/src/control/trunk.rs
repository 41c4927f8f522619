//! Messages between a child and its parent. SPEC.md section 4.4.
//!
//! Upwards go subscriptions, counts and the actions of participants; downwards go the rooms' states,
//! counts, and messages to single participants. Silent listeners are a number here and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::action::Action;
pub use super::credentials::Credentials;
use super::participant::{Heard, Questions, ToParticipant};
use super::query::{TreeAnswer, TreeQuery};
use crate::domain::audience_text::{AudienceText, TextId};
use crate::domain::person::PersonKey;
use crate::domain::protection::Protection;
use crate::domain::reaction::Reaction;
use crate::domain::room::{Listing, RoomState};
use crate::domain::ruling::Ruling;
use crate::ids::{
    ByteString, Channel, DisplayName, ParticipantId, RelayId, RequestId, Revision, RoomName,
    TrackId,
};
use crate::quality::Quality;
use crate::statistics::tally::RelayTally;
use crate::token::TokenText;

/// From a child to its parent. The first is `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "a message is read, acted on and dropped; none is kept"
)]
pub enum ToParent {
    /// Asks to be a child. Answered by `welcome`, or by a close.
    Hello {
        /// The child.
        relay: RelayId,
        /// The child's name.
        name: DisplayName,
        /// Relays from the asking one down to its deepest leaf, both counted.
        height: u8,
        /// The relay token, where no client certificate speaks for the child; at most 4 KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<TokenText>,
    },
    /// A relay has been attached below, or has gone: the depth of the tree below.
    Height {
        /// As in `hello`.
        height: u8,
    },
    /// Subscribes to a room's state and audio. Answered by `state`, now and at each change.
    Subscribe {
        /// The number of the room on this trunk from now on.
        channel: Channel,
        /// The room.
        room: RoomName,
        /// The last frame of each track, so that the parent can go on from there; at most 32.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        heard: Vec<Heard>,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// The room.
        channel: Channel,
    },
    /// The number of participants without a role at and below the child. At most once a second.
    Audience {
        /// The room.
        channel: Channel,
        /// The count.
        listeners: u64,
    },
    /// The room's state of that revision is in force at the child and everywhere below it.
    Applied {
        /// The room.
        channel: Channel,
        /// The revision.
        revision: Revision,
    },
    /// A participant at or below the child does something that the origin decides.
    Act {
        /// The room.
        channel: Channel,
        /// The participant.
        participant: ParticipantId,
        /// The request to be answered, as the edge numbered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// Credentials that the edge has checked; absent in `present`, `away` and `left`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Credentials>,
        /// The action.
        action: Action,
    },
    /// Reactions at and below the child since the last such message. At most once a second.
    Reactions {
        /// The room.
        channel: Channel,
        /// The count of each.
        counts: BTreeMap<Reaction, u32>,
    },
    /// Asks for the public rooms. Answered by `rooms`, in the order of the questions.
    ListRooms {
        /// The last room of the part before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<RoomName>,
    },
    /// Reception quality of participants at and below the child since the last such message. At most
    /// once in two seconds.
    Quality {
        /// The room.
        channel: Channel,
        /// Their reports, folded.
        quality: Quality,
    },
    /// Tally of one relay at or below the child: the child's own at most once in 750 ms, others as they come.
    Tally {
        /// The room.
        channel: Channel,
        /// The tally.
        tally: RelayTally,
    },
    /// Sketch of distinct persons at and below the child, when it has changed; at most once in 30 seconds.
    Sketch {
        /// The room.
        channel: Channel,
        /// A HyperLogLog sketch; at most 8 KiB.
        sketch: ByteString,
    },
    /// Voice activity of speakers at one relay in one second.
    Talk {
        /// The room.
        channel: Channel,
        /// The second, by the origin's clock, since the Unix epoch.
        at_s: u64,
        /// Frame periods of the second in which each track speaks: the first is bit 0.
        tracks: BTreeMap<TrackId, u64>,
    },
    /// Messages of the audience at and below the child since the last such message; at most once in 750 ms.
    Texts {
        /// The room.
        channel: Channel,
        /// Those with the smallest ids; at most 8.
        texts: Vec<AudienceText>,
    },
    /// Queries the whole tree. Answered by `seen`.
    #[serde(rename = "look")]
    Query {
        /// The query's number on this trunk, in this direction.
        number: u32,
        /// The query.
        about: TreeQuery,
    },
    /// Answers the parent's `look`: the child and the relays below it.
    #[serde(rename = "seen")]
    Answer {
        /// The query's number.
        number: u32,
        /// A part of the answer.
        #[serde(rename = "sight")]
        answer: TreeAnswer,
        /// Whether more parts follow.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// A type of a later version. Passed over.
    #[serde(other)]
    Unknown,
}

kinds!(ToParent {
    Self::Hello { .. } => "hello",
    Self::Height { .. } => "height",
    Self::Subscribe { .. } => "subscribe",
    Self::Unsubscribe { .. } => "unsubscribe",
    Self::Audience { .. } => "audience",
    Self::Applied { .. } => "applied",
    Self::Act { .. } => "act",
    Self::Reactions { .. } => "reactions",
    Self::ListRooms { .. } => "list_rooms",
    Self::Quality { .. } => "quality",
    Self::Tally { .. } => "tally",
    Self::Sketch { .. } => "sketch",
    Self::Talk { .. } => "talk",
    Self::Texts { .. } => "texts",
    Self::Query { .. } => "look",
    Self::Answer { .. } => "seen",
    Self::Unknown => "unknown",
});

/// From a parent to its child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToChild {
    /// The child is attached.
    Welcome {
        /// The relays from the origin down to the parent, both included.
        path: Vec<RelayId>,
        /// The parent's name.
        name: DisplayName,
    },
    /// The parent's own place in the tree has changed. Empty while it has no way to the origin.
    Path {
        /// As in `welcome`.
        path: Vec<RelayId>,
    },
    /// The state of a room.
    State {
        /// The room.
        channel: Channel,
        /// The revision of the state.
        revision: Revision,
        /// The whole of it.
        state: RoomState,
    },
    /// Rulings of the origin about persons. They come before the `state` of the revision that they belong
    /// to, and are in force with it.
    Rulings {
        /// The room.
        channel: Channel,
        /// Earlier rulings are void.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reset: bool,
        /// New and changed ones; at most 40, and as many as fit.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rulings: Vec<Ruling>,
        /// Those that are taken back; at most 200.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lifted: Vec<PersonKey>,
    },
    /// Reactions in the whole tree since the last such message. At most once a second.
    Reactions {
        /// The room.
        channel: Channel,
        /// The count of each.
        counts: BTreeMap<Reaction, u32>,
    },
    /// The answer to `list_rooms`.
    Rooms {
        /// By name; at most 64, and as many as fit.
        rooms: Vec<Listing>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// Messages of the audience in the whole tree. At most once in 750 ms.
    Texts {
        /// The room.
        channel: Channel,
        /// As in the participant's message.
        total: u64,
        /// As in the participant's message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        texts: Vec<AudienceText>,
        /// As in the participant's message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hidden: Vec<TextId>,
    },
    /// Open questions and totals of the whole tree. At most once in 750 ms.
    Questions {
        /// The room.
        channel: Channel,
        /// The questions.
        questions: Questions,
    },
    /// The number of listeners in the whole tree. At most once a second.
    Listeners {
        /// The room.
        channel: Channel,
        /// The count.
        count: u64,
    },
    /// Losses that the room's speakers are to protect against: before the first `state` unless there are
    /// none, and at each change.
    Protect {
        /// The room.
        channel: Channel,
        /// The losses.
        protection: Protection,
    },
    /// Something for one participant at or below the child.
    Deliver {
        /// The room.
        channel: Channel,
        /// The recipient.
        participant: ParticipantId,
        /// The request that this answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// The message.
        message: ToParticipant,
    },
    /// The same session has come in elsewhere: the participant's connection here is the older one.
    Replaced {
        /// The room.
        channel: Channel,
        /// The participant.
        participant: ParticipantId,
    },
    /// Queries the child and the relays below it. Answered by `seen`.
    #[serde(rename = "look")]
    Query {
        /// The query's number on this trunk, in this direction.
        number: u32,
        /// The query.
        about: TreeQuery,
    },
    /// Answers the child's `look`.
    #[serde(rename = "seen")]
    Answer {
        /// The query's number.
        number: u32,
        /// A part of the answer.
        #[serde(rename = "sight")]
        answer: TreeAnswer,
        /// Whether more parts follow.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// The parent stops soon; the child moves to another one, and stays until it has.
    GoAway {
        /// The new parent, as `host:port`; at most [`MAX_PLACE_BYTES`](crate::limits::MAX_PLACE_BYTES). The
        /// child chooses if it is absent, or no place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// Milliseconds until the parent closes the trunk.
        within_ms: u32,
    },
    /// A type of a later version. Passed over.
    #[serde(other)]
    Unknown,
}

kinds!(ToChild {
    Self::Welcome { .. } => "welcome",
    Self::Path { .. } => "path",
    Self::State { .. } => "state",
    Self::Rulings { .. } => "rulings",
    Self::Reactions { .. } => "reactions",
    Self::Rooms { .. } => "rooms",
    Self::Texts { .. } => "texts",
    Self::Questions { .. } => "questions",
    Self::Listeners { .. } => "listeners",
    Self::Protect { .. } => "protect",
    Self::Deliver { .. } => "deliver",
    Self::Replaced { .. } => "replaced",
    Self::Query { .. } => "look",
    Self::Answer { .. } => "seen",
    Self::GoAway { .. } => "go_away",
    Self::Unknown => "unknown",
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::command::Govern;
    use crate::control::{Envelope, decode, encode, tests::spec_vector};

    #[test]
    fn vectors_of_the_specification() {
        let subscribe = ToParent::Subscribe {
            channel: Channel(3),
            room: "stage".parse().unwrap(),
            heard: vec![Heard { track: crate::ids::TrackId(7), seq: crate::ids::Seq(500) }],
        };
        check("trunk-subscribe", &subscribe);
        let act = ToParent::Act {
            channel: Channel(3),
            participant: ParticipantId(1),
            request: Some(RequestId(4)),
            by: None,
            action: Action::Govern { act: Govern::Grant { participant: ParticipantId(2) } },
        };
        check("trunk-act", &act);
        let state = ToChild::State {
            channel: Channel(3),
            revision: Revision(12),
            state: RoomState::absent("stage".parse().unwrap()),
        };
        check("trunk-state", &state);
        let ok = ToParticipant::Ok {};
        let deliver = ToChild::Deliver {
            channel: Channel(3),
            participant: ParticipantId(1),
            request: Some(RequestId(4)),
            message: ok,
        };
        check("trunk-deliver", &deliver);
    }

    fn check<M>(name: &str, message: &M)
    where
        M: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug + Clone,
    {
        let bytes = encode(None, message).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes[..], spec_vector(name), "{name} is {hex}");
        let mut body = &bytes[..];
        crate::varint::take(&mut body).unwrap();
        assert_eq!(decode::<M>(body).unwrap(), Envelope { id: None, message: message.clone() });
    }
}
