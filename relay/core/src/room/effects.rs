//! Effects of the authority, carried out in order, and replies of the store to them: states and rulings to this relay and those below, answers,
//! requests to the store.

use std::time::Instant;

use tribune_protocol::domain::room::Phase;

use super::authority::effect::OriginEffect;
use super::replica::HeldAnswer;
use super::{CLOSING_PATIENCE, Room};
use crate::outbox::{Outbox, RoomRequest};
use crate::store::{LogPage, StatisticsRow, StoreError};

/// Reply of the store to a room at its origin.
#[derive(Debug)]
pub enum RoomReply {
    /// A decision is stored, or is not.
    Decided(Result<(), StoreError>),
    /// Statistics are stored, or are not.
    Kept(Result<(), StoreError>),
    /// A part of the log.
    Log {
        /// Ticket of the read.
        ticket: u64,
        /// The page.
        result: Result<LogPage, StoreError>,
    },
    /// Statistics of an earlier run.
    Statistics {
        /// Ticket of the read.
        ticket: u64,
        /// The statistics; `None`: none are kept.
        result: Result<Option<StatisticsRow>, StoreError>,
    },
}

impl RoomReply {
    /// Whether the store has refused or failed.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Decided(result) | Self::Kept(result) => result.is_err(),
            Self::Log { result, .. } => result.is_err(),
            Self::Statistics { result, .. } => result.is_err(),
        }
    }
}

/// Carries out the authority's effects.
pub(super) fn carry_out(room: &mut Room, now: Instant, out: &mut Outbox) {
    while let Some(authority) = &mut room.authority {
        match authority.poll_effect() {
            None => return,
            Some(OriginEffect::Rule { rulings, lifted }) => {
                if room.handle_rulings(false, &rulings, &lifted, out).is_err() {
                    let name = room.name();
                    tracing::error!(room = %name, "the origin has made more rulings than it may");
                }
            }
            Some(OriginEffect::Publish) => {
                let (revision, state) = (authority.revision(), authority.state().clone());
                room.apply(now, revision, state, out);
            }
            Some(OriginEffect::Write(batch)) => {
                out.store(room.id, RoomRequest::Write(batch));
            }
            Some(OriginEffect::ReadLog { ticket, from, limit }) => {
                out.store(room.id, RoomRequest::ReadLog { ticket, from, limit });
            }
            Some(OriginEffect::Query { to, request, about }) => {
                out.query(room.id, to, request, about);
            }
            Some(OriginEffect::HideText(text)) => room.counting(now).hide_text(text, out),
            Some(OriginEffect::KeepStatistics(row)) => {
                out.store(room.id, RoomRequest::KeepStatistics(row));
            }
            Some(OriginEffect::ReadStatistics { ticket, run }) => {
                out.store(room.id, RoomRequest::ReadStatistics { ticket, run });
            }
            Some(OriginEffect::Displace { who }) => room.handle_replaced(now, who, out),
            Some(OriginEffect::Deliver { to, request, message, after }) => match after {
                Some(revision) if room.replica.in_force() < revision => {
                    room.replica.hold(HeldAnswer { revision, to, request, message });
                }
                Some(_) | None => room.handle_deliver(now, to, request, message, out),
            },
            // The room may have been opened again by what came in between.
            Some(OriginEffect::Finished) if room.state().phase == Phase::Ended => {
                room.closing.get_or_insert(now + CLOSING_PATIENCE);
                room.check_closing(now, out);
            }
            Some(OriginEffect::Finished) => {}
        }
    }
}
