//! Counts of decisions in one run, from facts that are durable: hands, invitations, moderation, questions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tribune_protocol::domain::action::LogAction;
use tribune_protocol::ids::DisplayName;
use tribune_protocol::statistics::{
    HandStatistics, InvitationStatistics, MarkKind, TextStatistics,
};

/// See the module's documentation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Decided {
    hands: HandStatistics,
    waited_ms: u64,
    invitations: InvitationStatistics,
    moderation: BTreeMap<LogAction, u64>,
    texts: TextStatistics,
}

/// Fact for the statistics, of a decision that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::room) enum Fact {
    /// An entry of the log.
    Logged {
        /// The action.
        action: LogAction,
        /// Its target's name.
        target: Option<DisplayName>,
    },
    /// A hand has been raised.
    HandRaised,
    /// A hand has been granted.
    HandGranted {
        /// How long it was up.
        waited_ms: u64,
    },
    /// An invitation to the stage has been answered.
    InvitationAnswered {
        /// Whether the stage was taken.
        accepted: bool,
    },
    /// A question has been asked.
    Asked,
    /// A question has been answered.
    Answered,
}

impl Fact {
    /// Whether everybody is told of questions anew.
    pub(in crate::room) const fn is_of_questions(&self) -> bool {
        match self {
            Self::Asked | Self::Answered => true,
            Self::Logged { action, .. } => matches!(action, LogAction::TextHidden),
            Self::HandRaised | Self::HandGranted { .. } | Self::InvitationAnswered { .. } => false,
        }
    }
}

impl Decided {
    /// Takes a fact. Gives the mark that it makes on the course, if it makes one.
    pub(super) fn note(&mut self, fact: &Fact) -> Option<(MarkKind, Option<DisplayName>)> {
        match fact {
            Fact::Logged { action, target } => return self.note_action(*action, target.as_ref()),
            Fact::HandRaised => self.hands.raised += 1,
            Fact::HandGranted { waited_ms } => {
                self.hands.granted += 1;
                self.waited_ms += waited_ms;
                self.hands.longest_wait_ms = self.hands.longest_wait_ms.max(*waited_ms);
            }
            Fact::InvitationAnswered { accepted: true } => self.invitations.accepted += 1,
            Fact::InvitationAnswered { accepted: false } => self.invitations.declined += 1,
            Fact::Asked => self.texts.asked += 1,
            Fact::Answered => {
                self.texts.answered += 1;
                return Some((MarkKind::Answered, None));
            }
        }
        None
    }

    /// Hands of the run, with so many that are up.
    pub(super) fn hands(&self, up: u64) -> HandStatistics {
        let hands = &self.hands;
        let counted = hands.granted + hands.denied + up;
        HandStatistics {
            up,
            lowered: hands.raised.saturating_sub(counted),
            wait_ms: self.waited_ms.checked_div(hands.granted).unwrap_or(0),
            ..hands.clone()
        }
    }

    /// Invitations to the stage.
    pub(super) fn invitations(&self) -> InvitationStatistics {
        self.invitations.clone()
    }

    /// Entries of the log, by action.
    pub(super) fn moderation(&self) -> BTreeMap<LogAction, u64> {
        self.moderation.clone()
    }

    /// Texts, with those written and votes as the relays have counted them.
    pub(super) fn texts(&self, written: u64, votes: u64) -> TextStatistics {
        TextStatistics { written, votes, ..self.texts.clone() }
    }

    fn note_action(
        &mut self,
        action: LogAction,
        target: Option<&DisplayName>,
    ) -> Option<(MarkKind, Option<DisplayName>)> {
        *self.moderation.entry(action).or_default() += 1;
        match action {
            LogAction::HandDenied => self.hands.denied += 1,
            LogAction::InvitedToSpeak => self.invitations.made += 1,
            LogAction::TextHidden => self.texts.hidden += 1,
            LogAction::AskedToMute
            | LogAction::Silenced
            | LogAction::AllSilenced
            | LogAction::RemovedFromStage
            | LogAction::Kicked
            | LogAction::Banned => return Some((MarkKind::Moderated, target.cloned())),
            LogAction::RoomCreated
            | LogAction::RoomOpened
            | LogAction::RoomEnded
            | LogAction::RoomChanged
            | LogAction::Locked
            | LogAction::Unlocked
            | LogAction::Unsilenced
            | LogAction::AllUnsilenced
            | LogAction::Unbanned
            | LogAction::BanRanOut
            | LogAction::HandGranted
            | LogAction::HandsCleared
            | LogAction::HandsClosed
            | LogAction::HandsOpened
            | LogAction::RoleChanged
            | LogAction::PermissionChanged
            | LogAction::HostHandedOver
            | LogAction::HostSucceeded
            | LogAction::InvitationMade
            | LogAction::Appealed
            | LogAction::AppealUpheld
            | LogAction::AppealRejected => {}
        }
        None
    }
}
