//! What participants do on its way to where it is decided, and answers on their way back. At the
//! origin: the authority's effects, carried out. Used by [`crate::room::Room`].

use std::time::Instant;

use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{Action, Credentials, ToChild, ToParent};
use tribune_protocol::domain::room::{Listing, Phase};
use tribune_protocol::ids::{ParticipantId, RequestId};

use crate::messages::LinkId;
use crate::outbox::{Outbox, RoomRequest};
use crate::room::authority::commit::Kept;
use crate::room::authority::effect::OriginEffect;
use crate::room::edge::members;
use crate::room::replica::state::Held;
use crate::room::{Place, Room};
use crate::store::{LogPage, StoreError};

impl Room {
    /// Passes on what a participant does, here or below, to where it is decided.
    pub(in crate::room) fn act(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        by: Option<Credentials>,
        action: Action,
        out: &mut Outbox,
    ) {
        match &mut self.place {
            Place::Origin(authority) => {
                authority.handle_action(now, who, request, by, action);
                self.drain_authority(now, out);
            }
            Place::Below { link: Some((_, channel)), .. } => {
                let channel = *channel;
                out.to_parent(&ToParent::Act { channel, participant: who, request, by, action });
            }
            Place::Below { link: None, .. } => {
                if request.is_some() {
                    self.deliver(now, who, request, members::unavailable(), out);
                }
            }
        }
    }

    /// The store has kept what the authority decided, or has not.
    pub fn handle_stored(
        &mut self,
        now: Instant,
        result: Result<(), StoreError>,
        out: &mut Outbox,
    ) {
        if let Place::Origin(authority) = &mut self.place {
            authority.handle_stored(now, result);
        }
        self.drain_authority(now, out);
        self.note_idle(now);
    }

    /// A part of the log that the authority has asked for.
    pub fn handle_log(
        &mut self,
        now: Instant,
        ticket: u64,
        result: Result<LogPage, StoreError>,
        out: &mut Outbox,
    ) {
        if let Place::Origin(authority) = &mut self.place {
            authority.handle_log(now, ticket, result);
        }
        self.drain_authority(now, out);
    }

    /// What is stored of it, at the origin; `None` if nothing is.
    #[must_use]
    pub fn keep(&self) -> Option<Kept> {
        match &self.place {
            Place::Origin(authority) => authority.keep(),
            Place::Below { .. } => None,
        }
    }

    /// What the list of public rooms says of it; `None` if it is not public, or not decided here.
    #[must_use]
    pub fn listing(&self) -> Option<Listing> {
        match &self.place {
            Place::Origin(authority) => authority.listing(),
            Place::Below { .. } => None,
        }
    }

    pub(in crate::room) fn drain_authority(&mut self, now: Instant, out: &mut Outbox) {
        while let Place::Origin(authority) = &mut self.place {
            match authority.poll_effect() {
                None => return,
                Some(OriginEffect::Rule { rulings, lifted }) => {
                    self.rule(&rulings, &lifted, out);
                }
                Some(OriginEffect::Publish) => {
                    let (revision, state) = (authority.revision(), authority.state().clone());
                    self.apply(now, revision, state, out);
                }
                Some(OriginEffect::Write(batch)) => {
                    out.store(self.id, RoomRequest::Write(batch));
                }
                Some(OriginEffect::ReadLog { ticket, from, limit }) => {
                    out.store(self.id, RoomRequest::ReadLog { ticket, from, limit });
                }
                Some(OriginEffect::Look { to, request, about }) => {
                    out.look(self.id, to, request, about);
                }
                Some(OriginEffect::Displace { who }) => self.handle_replaced(now, who, out),
                Some(OriginEffect::Deliver { to, request, message, after }) => match after {
                    Some(revision) if self.in_force() < revision => {
                        self.held.push(Held { revision, to, request, message });
                    }
                    Some(_) | None => self.deliver(now, to, request, message, out),
                },
                // The room may have been opened again by what came in between.
                Some(OriginEffect::Finished) if self.state.phase == Phase::Ended => {
                    out.over(self.id);
                }
                Some(OriginEffect::Finished) => {}
            }
        }
    }

    /// To a participant, here or below.
    pub(in crate::room) fn deliver(
        &mut self,
        now: Instant,
        to: ParticipantId,
        request: Option<RequestId>,
        message: ToParticipant,
        out: &mut Outbox,
    ) {
        if self.members.contains_key(&to) {
            self.deliver_here(now, to, request, message, out);
        } else if let Some(link) = self.homes.get(&to)
            && let Some(child) = self.children.get(link)
        {
            let channel = child.channel;
            out.to_child(*link, &ToChild::Deliver { channel, participant: to, request, message });
        } else {
            self.deliver_errand(to, request, message, out);
            self.note_idle(now);
        }
    }

    /// Notes that a participant is below that child now, or not below any.
    pub(in crate::room) fn set_home(
        &mut self,
        now: Instant,
        who: ParticipantId,
        home: Option<LinkId>,
        out: &mut Outbox,
    ) {
        let before = match home {
            Some(link) => self.homes.insert(who, link),
            None => self.homes.remove(&who),
        };
        if before == home {
            return;
        }
        self.homes_of_stage.note_move(now, who, before);
        if let Some(link) = before
            && let Some(child) = self.children.get(&link)
        {
            let replaced = ToChild::Replaced { channel: child.channel, participant: who };
            out.to_child(link, &replaced);
        }
        if self.state.on_stage(who).is_some() {
            self.send_routes(now, out);
        }
    }
}
