//! A turn: one input being decided. It borrows the parts of the state, each with its own surface, the
//! effects and the time; the decisions are functions over it.

use std::time::Instant;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::log::{Draft, LogAction};

use super::away::Away;
use super::docket::Docket;
use super::drafts::Drafts;
use super::effect::{Effects, Refusal};
use super::hand_queue::HandQueue;
use super::interested::Interested;
use super::occupancy::Occupancy;
use super::people::People;
use super::published::Published;
use super::question_list::QuestionList;
use super::ruling_book::RulingBook;
use super::run_list::RunList;
use super::silenced::SilencedLeavers;
use super::target::Actor;
use crate::room::context::RoomContext;

/// Parts of the state, borrowed for one input.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    pub(super) context: &'a RoomContext,
    pub(super) room: &'a mut Published,
    pub(super) people: &'a mut People,
    pub(super) away: &'a mut Away,
    pub(super) hands: &'a mut HandQueue,
    pub(super) book: &'a mut RulingBook,
    pub(super) docket: &'a mut Docket,
    pub(super) silenced: &'a mut SilencedLeavers,
    pub(super) occupancy: &'a mut Occupancy,
    pub(super) questions: &'a mut QuestionList,
    pub(super) interested: &'a mut Interested,
    pub(super) runs: &'a mut RunList,
    pub(super) drafts: &'a mut Drafts,
    pub(super) out: &'a mut Effects,
}

impl Turn<'_> {
    /// # Errors
    /// [`ErrorCode::NotPermitted`]
    pub(super) fn permit(&self, actor: &Actor, permission: Permission) -> Result<(), Refusal> {
        if actor.may.contains(permission) {
            return Ok(());
        }
        Err(self.context.policy.refusal(permission))
    }

    /// # Errors
    /// [`ErrorCode::RoomNotFound`]
    pub(super) fn require_live(&self) -> Result<(), Refusal> {
        if self.room.phase() == Phase::Live {
            return Ok(());
        }
        Err(self.not_open())
    }

    /// The refusal of a room that has not been opened.
    pub(super) fn not_open(&self) -> Refusal {
        let room = self.room.name();
        let message = format!("Room {room} has not been opened; a host opens it by joining.");
        Refusal::new(ErrorCode::RoomNotFound, message)
    }

    /// The refusal of a request about a participant who has to be on the stage.
    pub(super) fn not_on_stage(&self, who: ParticipantId) -> Refusal {
        let name = self.people.get(who).map(|person| &person.name);
        let whom = name.map_or_else(|| format!("Participant {who}"), ToString::to_string);
        Refusal::new(ErrorCode::NoSuchParticipant, format!("{whom} is not on the stage."))
    }

    /// Drafts an entry of the log, with the time of this turn. Returns the number that it will have.
    pub(super) fn log(&mut self, draft: Draft) -> u64 {
        let at_ms = self.context.wall.unix_us(self.now) / 1_000;
        self.drafts.add(Draft { at_ms, ..draft })
    }

    /// Unix time of this turn, in seconds.
    pub(super) fn now_s(&self) -> u64 {
        self.context.unix_s(self.now)
    }

    /// Whether a participant is on the stage or in the queue of hands.
    pub(super) fn is_known(&self, who: ParticipantId) -> bool {
        self.room.is_on_stage(who) || self.hands.place(who).is_some()
    }

    /// Tells a connected participant of a decision about them.
    pub(super) fn notify(&mut self, who: ParticipantId, news: Moderated) {
        self.out.deliver(who, ToParticipant::Moderated(news));
    }
}

/// Notice of a decision, for those whom it is about.
pub(super) fn news(actor: &Actor, action: LogAction, entry: u64, reason: Note) -> Moderated {
    let by = Some(actor.name.clone());
    Moderated { action: Some(action), by, reason, entry, until_s: 0 }
}
