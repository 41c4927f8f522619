//! What somebody does in a room by a command of its own, in the session that a file keeps: takes up
//! the place, asks for one thing, leaves.

use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{RoomName, SessionKey};

use crate::commands::Context;
use crate::commands::context::Entry;
use crate::commands::notices::session_gone;
use crate::outcome::CommandError;
use crate::session::{Event, Incoming, Session, identity};

/// Takes up the place that an earlier command left, asks, and leaves again.
pub(super) async fn ask(
    context: &Context,
    room: RoomName,
    message: FromParticipant,
) -> Result<(), CommandError> {
    let (session, mut incoming) = start(context, room, true)?;
    loop {
        match incoming.events.recv().await.ok_or_else(session_gone)? {
            Event::Joined { .. } => break,
            Event::Message(_) | Event::Retrying { .. } => {}
            Event::Ended(end) => {
                return Err(CommandError::of_end(end).unwrap_or_else(session_gone));
            }
        }
    }
    let result = request(&session, &mut incoming, message).await;
    leave(&session, &mut incoming).await;
    result
}

/// Begins a stay as a listener, or goes on with an earlier one.
pub(super) fn start(
    context: &Context,
    room: RoomName,
    returning: bool,
) -> Result<(Session, Incoming), CommandError> {
    let role = Role::Listener;
    context.start(Entry { room, role, key: key(context)?, returning, waits_for_room: false })
}

/// Sends a request while events are taken off their queue, which else could hold up its answer.
pub(super) async fn request(
    session: &Session,
    incoming: &mut Incoming,
    message: FromParticipant,
) -> Result<(), CommandError> {
    let answer = session.request(message);
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(answer?),
            Some(event) = incoming.events.recv() => {
                if let Event::Ended(end) = event {
                    return Err(CommandError::of_end(end).unwrap_or_else(session_gone));
                }
            }
            Some(_) = incoming.frames.recv() => {}
        }
    }
}

/// Leaves, and waits until that is done.
pub(super) async fn leave(session: &Session, incoming: &mut Incoming) {
    session.leave().await;
    while incoming.events.recv().await.is_some() {}
}

/// What is one's own across runs needs a session that is kept, so it is always in a file.
fn key(context: &Context) -> Result<SessionKey, CommandError> {
    let file = match &context.session_file {
        Some(file) => file.clone(),
        None => identity::default_file()?,
    };
    Ok(identity::load_or_create(&file)?)
}
