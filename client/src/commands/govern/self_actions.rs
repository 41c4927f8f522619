//! Actions of the caller's own participant from a script: rejoins with the session key of a file, sends
//! one request, leaves.

use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{RoomName, SessionKey};

use crate::commands::Context;
use crate::commands::context::{DeliveryArgs, Entry};
use crate::commands::notices::session_gone;
use crate::outcome::CommandError;
use crate::session::{Event, Incoming, Session, identity};

/// Takes up the session of an earlier command, sends a request, and leaves again.
pub(super) async fn ask(
    context: &Context,
    room: RoomName,
    message: FromParticipant,
) -> Result<(), CommandError> {
    let (session, mut incoming) = start(context, room, true)?;
    loop {
        match incoming.events.recv().await.ok_or_else(session_gone)? {
            Event::Joined { .. } => break,
            Event::Message(_) | Event::Encoding(_) | Event::Retrying { .. } => {}
            Event::Ended(end) => {
                return Err(CommandError::of_end(end).unwrap_or_else(session_gone));
            }
        }
    }
    let result = request(&session, &mut incoming, message).await;
    leave(&session, &mut incoming).await;
    result
}

/// Starts a session as a listener, or resumes an earlier one.
pub(super) fn start(
    context: &Context,
    room: RoomName,
    returning: bool,
) -> Result<(Session, Incoming), CommandError> {
    let role = Role::Listener;
    let delivery = DeliveryArgs::default();
    context.start(Entry {
        room,
        role,
        key: key(context)?,
        returning,
        waits_for_room: false,
        delivery,
    })
}

/// Sends a request while draining events, which otherwise could block its answer.
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

/// Leaves, and waits for the close.
pub(super) async fn leave(session: &Session, incoming: &mut Incoming) {
    session.leave().await;
    while incoming.events.recv().await.is_some() {}
}

/// Session key. State that outlives a run needs a stable key, so it always comes from a file.
fn key(context: &Context) -> Result<SessionKey, CommandError> {
    let file = match &context.session_file {
        Some(file) => file.clone(),
        None => identity::default_file()?,
    };
    Ok(identity::load_or_create(&file)?)
}
