//! Requests that a room's origin decides, and the table of what each takes: permission, effect, verb.
//! The same from a participant's connection (`govern`) and without joining (`errand`). SPEC.md
//! section 8.

use serde::{Deserialize, Serialize};

pub use super::room_change::RoomChange;

use crate::domain::audience_text::{QuestionId, TextId};
use crate::domain::permission::Permission;
use crate::domain::role::Role;
use crate::domain::settings::RoomSettings;
use crate::domain::share::ShareTag;
use crate::domain::target::Target;
use crate::ids::{Note, ParticipantId, Subject};
use crate::quality::report::Ranking;
use crate::statistics::StatisticsWanted;

/// A request that the room's origin decides. Each takes a permission of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Govern {
    /// Lowers the hand of another participant.
    LowerHand {
        /// Owner of the hand.
        participant: ParticipantId,
    },
    /// Gives the right to speak to a participant whose hand is raised.
    Grant {
        /// Owner of the hand.
        participant: ParticipantId,
    },
    /// Lowers a participant's hand and keeps it down for a while.
    Deny {
        /// Owner of the hand.
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
    /// Invites a person to the stage; they are asked whether they want to.
    Invite {
        /// The target.
        target: Target,
    },
    /// Takes an invitation to speak back.
    Uninvite {
        /// The target.
        target: Target,
    },
    /// Accepts or declines an invitation to speak.
    AnswerInvite {
        /// Whether the stage is taken.
        accept: bool,
    },
    /// Asks a participant on the stage to switch the microphone off. They may ignore it.
    AskMute {
        /// The target.
        participant: ParticipantId,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Has every relay drop a participant's frames, or lets them pass again. Answered when all relays of
    /// the room do so.
    Silence {
        /// The target.
        participant: ParticipantId,
        /// Whether frames are dropped.
        on: bool,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// The same for everybody on the stage of lower rank than the sender.
    SilenceAll {
        /// Whether frames are dropped.
        on: bool,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Makes a listener of a participant on the stage.
    RemoveFromStage {
        /// The target.
        participant: ParticipantId,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Removes a person from the room. This session does not come back, nor does a token that was
    /// issued before.
    Kick {
        /// The target.
        target: Target,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Removes a person from the room and keeps them out, in any session.
    Ban {
        /// The target.
        target: Target,
        /// Duration in seconds; absent: until it is lifted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_s: Option<u64>,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Lifts a ban or a kick.
    Unban {
        /// The target.
        target: Target,
        /// For the log.
        #[serde(default)]
        reason: Note,
    },
    /// The bans of the room. Answered by `bans`.
    ListBans {
        /// Number of bans to skip.
        #[serde(default)]
        after: u32,
    },
    /// Changes a person's role, from now on.
    SetRole {
        /// The target.
        target: Target,
        /// The new role.
        role: Role,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Gives or takes a single permission.
    SetPermission {
        /// The target.
        target: Target,
        /// The permission.
        permission: Permission,
        /// Given or taken; absent: as the role has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allow: Option<bool>,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Makes a participant on the stage the host; the host becomes a cohost.
    HandOver {
        /// The new host.
        participant: ParticipantId,
    },
    /// Creates a room ahead of time. A participant with the permission opens it later by joining.
    Create {
        /// Settings of the room.
        settings: RoomSettings,
    },
    /// Changes settings of the room.
    Set {
        /// Settings to change.
        change: RoomChange,
        /// For the log.
        #[serde(default)]
        reason: Note,
    },
    /// Shows the settings of the room and its stage. Answered by `room`.
    Show {},
    /// Makes an invitation to the room. Answered by `invitation`.
    MakeInvitation {
        /// Subject that it is for; absent: any bearer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<Subject>,
        /// Role that it admits with.
        role: Role,
        /// Validity in seconds.
        valid_for_s: u64,
    },
    /// Reads a part of the room's log. Answered by `log`. A sender without the permission gets the
    /// entries about themselves.
    ReadLog {
        /// The first entry wanted, from 1.
        from: u64,
    },
    /// Attaches an appeal to a decision about the sender: one for each.
    Appeal {
        /// The log's entry of the decision.
        entry: u64,
        /// Text of the appeal.
        text: Note,
    },
    /// Answers an appeal.
    AnswerAppeal {
        /// The log's entry of the appeal.
        entry: u64,
        /// Whether the appeal is upheld; then the decision is undone, as far as it still holds.
        uphold: bool,
        /// Shown to them.
        #[serde(default)]
        reason: Note,
    },
    /// Lists the listeners with the worst reception. Answered by `listener_reports`.
    ListListeners {
        /// Listeners at most, 1 to 30.
        worst: u8,
        /// Measure that ranks them.
        #[serde(default)]
        by: Ranking,
    },
    /// Shows the reception of one participant. Answered by `listener_reports`.
    ShowListener {
        /// The participant.
        participant: ParticipantId,
    },
    /// Makes a share link of the sender's. Answered by `share`.
    MakeShare {
        /// Where it is shared.
        #[serde(default, skip_serializing_if = "ShareTag::is_empty")]
        tag: ShareTag,
    },
    /// Asks to be told of an announced room, or takes that back. Each person counts once.
    TellMe {
        /// Whether they want to be told.
        on: bool,
    },
    /// Hides a message of the audience from those who see it.
    HideText {
        /// The message.
        text: TextId,
        /// Its writer.
        participant: ParticipantId,
        /// For the log.
        #[serde(default)]
        reason: Note,
    },
    /// Closes a question: it has been answered, or is hidden.
    CloseQuestion {
        /// The question.
        question: QuestionId,
        /// Whether it has been answered.
        answered: bool,
        /// For the log, where it is hidden.
        #[serde(default)]
        reason: Note,
    },
    /// Reads a part of the statistics of a run. Answered by `statistics`.
    ReadStatistics {
        /// The run; absent: the present one, or the last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<u32>,
        /// The part.
        #[serde(default)]
        part: StatisticsWanted,
    },
    /// Ends the room for everybody.
    EndRoom {},
    /// A request of a later version. Answered by `bad_request`.
    #[serde(other)]
    Unknown,
}

/// Properties of a request, as [`Govern::traits`] has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandTraits {
    /// Permission that the request takes. `None`: the decision itself checks, because it depends on
    /// the target.
    pub permission: Option<Permission>,
    /// Effect on the room.
    pub effect: CommandEffect,
    /// Verb for people, as clients show it.
    pub verb: &'static str,
}

/// Effect of a request on the room and its log. What only reads is never logged: no value says both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandEffect {
    /// Only reads: it can be sent twice without doing anything twice.
    Reads,
    /// Changes the room, but never adds an entry to the log.
    Changes,
    /// May add entries to the log: the answer waits until they are durable.
    Logs,
}

impl CommandTraits {
    /// Whether the request only reads.
    #[must_use]
    pub const fn only_reads(self) -> bool {
        matches!(self.effect, CommandEffect::Reads)
    }

    /// Whether the request may add entries to the log.
    #[must_use]
    pub const fn is_logged(self) -> bool {
        matches!(self.effect, CommandEffect::Logs)
    }
}

impl Govern {
    /// The table of requests: the one place that classifies them.
    #[must_use]
    pub const fn traits(&self) -> CommandTraits {
        use CommandEffect::{Changes, Logs, Reads};
        use Permission as P;

        let (permission, effect, verb) = match self {
            Self::LowerHand { .. } => (P::LowerHand, Changes, "lower"),
            Self::Grant { .. } => (P::Grant, Logs, "grant"),
            Self::Deny { .. } => (P::Deny, Logs, "deny"),
            Self::ClearHands { .. } => (P::ClearHands, Logs, "clear the hands"),
            Self::ListHands {} => (P::SeeHands, Reads, "list the hands"),
            Self::Invite { .. } => (P::Invite, Logs, "invite"),
            Self::Uninvite { .. } => (P::Invite, Changes, "uninvite"),
            Self::AnswerInvite { accept: true } => (P::AnswerInvite, Changes, "accept"),
            Self::AnswerInvite { accept: false } => (P::AnswerInvite, Changes, "decline"),
            Self::AskMute { .. } => (P::AskMute, Logs, "ask to mute"),
            Self::Silence { on: true, .. } => (P::Silence, Logs, "silence"),
            Self::Silence { on: false, .. } => (P::Silence, Logs, "unsilence"),
            Self::SilenceAll { on: true, .. } => (P::SilenceAll, Logs, "silence all"),
            Self::SilenceAll { on: false, .. } => (P::SilenceAll, Logs, "unsilence all"),
            Self::RemoveFromStage { .. } => (P::RemoveFromStage, Logs, "remove from the stage"),
            Self::Kick { .. } => (P::Kick, Logs, "kick"),
            Self::Ban { .. } => (P::Ban, Logs, "ban"),
            Self::Unban { .. } => (P::Ban, Logs, "unban"),
            Self::ListBans { .. } => (P::SeeBans, Reads, "list the bans"),
            Self::SetRole { .. } => (P::SetRole, Logs, "set the role"),
            Self::SetPermission { .. } => (P::SetPermission, Logs, "set the permission"),
            Self::HandOver { .. } => (P::HandOver, Logs, "hand over"),
            Self::Create { .. } => (P::OpenRoom, Logs, "create"),
            Self::Set { change, .. } => (change.permission(), Logs, "set"),
            Self::Show {} => (P::ShowRoom, Reads, "show"),
            Self::MakeInvitation { .. } => (P::MakeInvitation, Logs, "make an invitation"),
            // Everybody can read what the log says about themselves.
            Self::ReadLog { .. } => {
                return CommandTraits { permission: None, effect: Reads, verb: "read the log" };
            }
            Self::Appeal { .. } => (P::Appeal, Logs, "appeal"),
            Self::AnswerAppeal { .. } => (P::AnswerAppeal, Logs, "answer the appeal"),
            Self::ListListeners { .. } => (P::SeeListeners, Reads, "see how listeners hear"),
            Self::ShowListener { .. } => (P::SeeListeners, Reads, "see how a listener hears"),
            Self::MakeShare { .. } => (P::Share, Reads, "share"),
            Self::TellMe { on: true } => (P::ShowRoom, Changes, "ask to be told"),
            Self::TellMe { on: false } => (P::ShowRoom, Changes, "ask not to be told"),
            Self::HideText { .. } => (P::HideText, Logs, "hide the message"),
            Self::CloseQuestion { answered: true, .. } => {
                (P::HideText, Changes, "mark the question as answered")
            }
            Self::CloseQuestion { answered: false, .. } => (P::HideText, Logs, "hide the question"),
            Self::ReadStatistics { .. } => (P::SeeStatistics, Reads, "read the statistics"),
            Self::EndRoom {} => (P::EndRoom, Logs, "end the room"),
            // Of what it would do nothing is known, so it is not taken for a read.
            Self::Unknown => {
                return CommandTraits { permission: None, effect: Changes, verb: "unknown" };
            }
        };
        CommandTraits { permission: Some(permission), effect, verb }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// One of each variant.
    fn every() -> Vec<Govern> {
        let (participant, reason) = (ParticipantId(1), Note::default());
        let target = Target::Participant(participant);
        let note = || reason.clone();
        let whom = || target.clone();
        vec![
            Govern::LowerHand { participant },
            Govern::Grant { participant },
            Govern::Deny { participant, reason: note() },
            Govern::ClearHands { reason: note() },
            Govern::ListHands {},
            Govern::Invite { target: whom() },
            Govern::Uninvite { target: whom() },
            Govern::AnswerInvite { accept: true },
            Govern::AskMute { participant, reason: note() },
            Govern::Silence { participant, on: true, reason: note() },
            Govern::SilenceAll { on: true, reason: note() },
            Govern::RemoveFromStage { participant, reason: note() },
            Govern::Kick { target: whom(), reason: note() },
            Govern::Ban { target: whom(), duration_s: None, reason: note() },
            Govern::Unban { target: whom(), reason: note() },
            Govern::ListBans { after: 0 },
            Govern::SetRole { target: whom(), role: Role::Speaker, reason: note() },
            Govern::SetPermission {
                target: whom(),
                permission: Permission::Speak,
                allow: None,
                reason: note(),
            },
            Govern::HandOver { participant },
            Govern::Create { settings: RoomSettings::default() },
            Govern::Set { change: RoomChange::default(), reason: note() },
            Govern::Show {},
            Govern::MakeInvitation { subject: None, role: Role::Listener, valid_for_s: 1 },
            Govern::ReadLog { from: 1 },
            Govern::Appeal { entry: 1, text: note() },
            Govern::AnswerAppeal { entry: 1, uphold: true, reason: note() },
            Govern::ListListeners { worst: 1, by: Ranking::default() },
            Govern::ShowListener { participant },
            Govern::MakeShare { tag: ShareTag::default() },
            Govern::TellMe { on: true },
            Govern::HideText { text: TextId(1), participant, reason: note() },
            Govern::CloseQuestion { question: QuestionId(1), answered: true, reason: note() },
            Govern::ReadStatistics { run: None, part: StatisticsWanted::Numbers },
            Govern::EndRoom {},
            Govern::Unknown,
        ]
    }

    #[test]
    fn every_request_has_its_own_entry() {
        let verbs: BTreeSet<_> = every().iter().map(|act| act.traits().verb).collect();
        assert_eq!(verbs.len(), every().len());
        assert!(verbs.iter().all(|verb| !verb.is_empty()));
    }

    #[test]
    fn reads_are_never_logged_and_what_is_logged_takes_a_permission() {
        for act in every() {
            let traits = act.traits();
            assert!(!(traits.only_reads() && traits.is_logged()), "{act:?}");
            assert!(!traits.is_logged() || traits.permission.is_some(), "{act:?}");
        }
        let reads = every().iter().filter(|act| act.traits().only_reads()).count();
        assert_eq!(reads, 8);
    }
}
