//! Message of a control stream, as an event for the hub.

use std::time::Instant;

use serde::de::DeserializeOwned;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::control::{ControlError, Envelope, decode};
use tribune_protocol::limits::JOIN_TIMEOUT;

use super::connection::{Peer, PeerKind};
use crate::messages::ShardEvent;

/// The event of a message, by the kind of its peer, or the way to close the connection.
pub(super) fn event_of(
    peer: &mut Peer,
    now: Instant,
    body: &[u8],
) -> Result<Option<ShardEvent>, (CloseCode, String)> {
    let (link, transport, remote) = (peer.link, peer.transport(), peer.remote());
    let event = match &mut peer.kind {
        PeerKind::Participant { announced } => {
            if !peer.messages.take(now) {
                let code = CloseCode::RateLimited;
                return Err((code, code.to_string()));
            }
            let Envelope { id: request, message } = parse(body)?;
            *announced = true;
            // After a one-shot request there is as long for the next one.
            if peer.speak_by.is_some() && matches!(message, FromParticipant::OneShot(_)) {
                peer.speak_by = Some(now + JOIN_TIMEOUT);
            }
            ShardEvent::FromParticipant { link, remote, transport, request, message }
        }
        PeerKind::Child { announced, certified } => {
            let Envelope { id: _, message } = parse(body)?;
            *announced = true;
            peer.speak_by = None;
            let certified = *certified;
            ShardEvent::FromChild { link, remote, certified, message: Box::new(message) }
        }
        PeerKind::Parent(_) => {
            let Envelope { id: _, message } = parse(body)?;
            ShardEvent::FromParent { link, message }
        }
        PeerKind::Arriving | PeerKind::Dialling(_) => return Ok(None),
    };
    Ok(Some(event))
}

/// Reads a message, or says how to close the connection.
fn parse<M: DeserializeOwned>(body: &[u8]) -> Result<Envelope<M>, (CloseCode, String)> {
    decode(body).map_err(|error| {
        let code = match error {
            ControlError::TooLong(_) => CloseCode::MessageTooLong,
            ControlError::NotCbor | ControlError::DoesNotFit(_) => CloseCode::ProtocolViolation,
        };
        // A close reason has to fit a packet.
        (code, error.to_string().chars().take(200).collect())
    })
}
