//! What a room can be asked for beyond one's own place in it: requests that the origin decides, the
//! same from a participant's connection (`govern`) and from somebody who does not come in (`errand`).
//! SPEC.md section 8.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::permission::Permission;
use crate::domain::room::{Access, Duplicates, Role, RoomSettings};
use crate::ids::{Note, ParticipantId, Subject};
use crate::quality::report::Ranking;

/// A request that the room's origin decides. Each takes a permission of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Govern {
    /// Lowers the hand of somebody else.
    LowerHand {
        /// Whose.
        participant: ParticipantId,
    },
    /// Gives the right to speak to somebody whose hand is raised.
    Grant {
        /// Whose hand.
        participant: ParticipantId,
    },
    /// Lowers somebody's hand and keeps it down for a while.
    Deny {
        /// Whose hand.
        participant: ParticipantId,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Lowers all hands.
    ClearHands {
        /// For the log.
        #[serde(default)]
        reason: Note,
    },
    /// The queue of hands. Answered by `hands`.
    ListHands {},
    /// Asks somebody to come on the stage; they are asked whether they want to.
    Invite {
        /// Whom.
        target: Target,
    },
    /// Takes an invitation to speak back.
    Uninvite {
        /// Whose.
        target: Target,
    },
    /// Accepts or declines an invitation to speak.
    AnswerInvite {
        /// Whether the stage is taken.
        accept: bool,
    },
    /// Asks somebody on the stage to switch the microphone off. Theirs to follow or not.
    AskMute {
        /// Whom.
        participant: ParticipantId,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Has every relay drop somebody's frames, or lets them pass again. Answered when all relays of
    /// the room do so.
    Silence {
        /// Whom.
        participant: ParticipantId,
        /// Whether frames are dropped.
        on: bool,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// The same for everybody on the stage of lower rank than whoever asks.
    SilenceAll {
        /// Whether frames are dropped.
        on: bool,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Makes a listener of somebody on the stage.
    RemoveFromStage {
        /// Whom.
        participant: ParticipantId,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Removes somebody from the room. This session does not come back, nor does a token that was
    /// issued before.
    Kick {
        /// Whom.
        target: Target,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Removes somebody from the room and keeps them out, in any session.
    Ban {
        /// Whom.
        target: Target,
        /// For how long, in seconds; absent: until it is lifted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_s: Option<u64>,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Lifts a ban or a kick.
    Unban {
        /// Whose.
        target: Target,
        /// For the log.
        #[serde(default)]
        reason: Note,
    },
    /// The bans of the room. Answered by `bans`.
    ListBans {
        /// How many to pass over.
        #[serde(default)]
        after: u32,
    },
    /// Changes the role of somebody, from now on.
    SetRole {
        /// Whose.
        target: Target,
        /// To what.
        role: Role,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Gives or takes a single permission.
    SetPermission {
        /// Whose.
        target: Target,
        /// Which.
        permission: Permission,
        /// Given or taken; absent: as the role has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allow: Option<bool>,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Makes somebody on the stage the host; the host becomes a cohost.
    HandOver {
        /// Who is to be the host.
        participant: ParticipantId,
    },
    /// Makes a room ahead of time. Somebody who may opens it later by joining.
    Create {
        /// How it is set up.
        settings: RoomSettings,
    },
    /// Changes settings of the room.
    Set {
        /// Which, and to what.
        change: RoomChange,
        /// For the log.
        #[serde(default)]
        reason: Note,
    },
    /// How the room is set up, and who is on its stage. Answered by `room`.
    Show {},
    /// Makes an invitation to the room. Answered by `invitation`.
    MakeInvitation {
        /// For whom; absent: for whoever has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<Subject>,
        /// The role that it lets in with.
        role: Role,
        /// For how long, in seconds.
        valid_for_s: u64,
    },
    /// A part of the room's log. Answered by `log`. Somebody without the right to read it gets the
    /// entries about themselves.
    ReadLog {
        /// The first entry wanted, from 1.
        from: u64,
    },
    /// Attaches an appeal to a decision about oneself: one for each.
    Appeal {
        /// The log's entry of the decision.
        entry: u64,
        /// What there is to say.
        text: Note,
    },
    /// Answers an appeal.
    AnswerAppeal {
        /// The log's entry of the appeal.
        entry: u64,
        /// Whether the appeal is right; then the decision is taken back, as far as it still holds.
        uphold: bool,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// How the listeners hear who are worst off. Answered by `listener_reports`.
    ListListeners {
        /// How many at the most, 1 to 30.
        worst: u8,
        /// By what.
        #[serde(default)]
        by: Ranking,
    },
    /// How one participant hears. Answered by `listener_reports`.
    ShowListener {
        /// Who.
        participant: ParticipantId,
    },
    /// Ends the room for everybody.
    EndRoom {},
    /// A request of a later version. Answered by `bad_request`.
    #[serde(other)]
    Unknown,
}

/// Whom a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One stay in the room.
    Participant(ParticipantId),
    /// Somebody, in all sessions.
    Subject(Subject),
    /// Everybody at an address: an IPv4 address, or the first 64 bits of an IPv6 one.
    Address(#[serde(with = "address_as_text")] IpAddr),
}

/// Settings to be changed. What is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoomChange {
    /// See [`RoomSettings::title`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Note>,
    /// See [`RoomSettings::starts_s`]; 0 takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_s: Option<u64>,
    /// See [`RoomSettings::listed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<bool>,
    /// See [`RoomSettings::access`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// See [`RoomSettings::locked`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// See [`RoomSettings::capacity`]; 0 takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// See [`RoomSettings::stage_size`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_size: Option<u8>,
    /// See [`RoomSettings::hands_closed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hands_closed: Option<bool>,
    /// See [`RoomSettings::hand_slow_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_slow_s: Option<u32>,
    /// See [`RoomSettings::reaction_slow_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction_slow_s: Option<u32>,
    /// See [`RoomSettings::duplicates`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
}

/// An address as text in every format: serde by itself takes other forms for CBOR than for JSON.
mod address_as_text {
    use std::net::IpAddr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        address: &IpAddr,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<IpAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("the address is no IP address"))
    }
}
