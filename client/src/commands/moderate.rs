//! One-shot moderation for scripts: join as cohost, act, leave.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::control::room::Role;
use tribune_protocol::ids::{Note, ParticipantId, RoomName};

use super::{Context, Entry, session_gone};
use crate::outcome::{CommandError, Exit, sentence};
use crate::output::Output;
use crate::session::reconnect::End as SessionEnd;
use crate::session::room_view::{ResolveError, RoomView};
use crate::session::{Event, Incoming, Session};

/// How long a subject may take to show up: the queue of hands comes after the answer to the join.
const SUBJECT_TIMEOUT: Duration = Duration::from_secs(2);

macro_rules! about {
    ($what:literal) => {
        concat!(
            $what,
            "\n\nJoins as cohost for a moment, under a session of its own. Where the relay asks for \
             a token, it takes one of that role, given with --token or TRIBUNE_TOKEN."
        )
    };
}

/// Whom a command is about.
#[derive(Debug, Args)]
struct Target {
    /// Which room
    room: RoomName,
    /// The name of somebody on the stage or with a hand up, or anybody's id of 16 digits
    subject: String,
}

/// Grant the right to speak to somebody with a hand up
#[derive(Debug, Args)]
#[command(long_about = about!("Grant the right to speak to somebody with a hand up"))]
pub(crate) struct Grant {
    #[command(flatten)]
    target: Target,
}

/// Lower somebody's hand and keep it down for a while
#[derive(Debug, Args)]
#[command(long_about = about!("Lower somebody's hand and keep it down for a while"))]
pub(crate) struct Deny {
    #[command(flatten)]
    target: Target,
    /// Why; they see it
    #[arg(long, default_value = "")]
    reason: Note,
}

/// Ask somebody to switch the microphone off
#[derive(Debug, Args)]
#[command(long_about = about!("Ask somebody to switch the microphone off; theirs to follow or not"))]
pub(crate) struct Mute {
    #[command(flatten)]
    target: Target,
    /// Why; they see it
    #[arg(long, default_value = "")]
    reason: Note,
}

/// Have every relay drop what somebody says
#[derive(Debug, Args)]
#[command(long_about = about!("Have every relay drop what somebody says. Done when all relays do"))]
pub(crate) struct Silence {
    #[command(flatten)]
    target: Target,
    /// Why; they see it
    #[arg(long, default_value = "")]
    reason: Note,
}

/// Let somebody be heard again
#[derive(Debug, Args)]
#[command(long_about = about!("Let somebody be heard again"))]
pub(crate) struct Unsilence {
    #[command(flatten)]
    target: Target,
    /// Why; they see it
    #[arg(long, default_value = "")]
    reason: Note,
}

/// Remove somebody from the room and keep them out
#[derive(Debug, Args)]
#[command(long_about = about!("Remove somebody from the room and keep them out"))]
pub(crate) struct Kick {
    #[command(flatten)]
    target: Target,
    /// Why; they see it
    #[arg(long, default_value = "")]
    reason: Note,
}

/// End the room for everybody
///
/// Only the host may do that: give this command the --session FILE that the host speaks or joins
/// with. It takes the host's place for the moment, so the host's own connection ends with the room.
#[derive(Debug, Args)]
pub(crate) struct End {
    /// Which room
    room: RoomName,
}

impl Grant {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        act(context, output, self.target, "granted", |participant| FromParticipant::Grant {
            participant,
        })
        .await
    }
}

impl Deny {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        let reason = self.reason;
        act(context, output, self.target, "denied", |participant| FromParticipant::Deny {
            participant,
            reason,
        })
        .await
    }
}

impl Mute {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        let reason = self.reason;
        act(context, output, self.target, "asked_to_mute", |participant| FromParticipant::AskMute {
            participant,
            reason,
        })
        .await
    }
}

impl Silence {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        let reason = self.reason;
        act(context, output, self.target, "silenced", |participant| FromParticipant::Silence {
            participant,
            on: true,
            reason,
        })
        .await
    }
}

impl Unsilence {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        let reason = self.reason;
        act(context, output, self.target, "unsilenced", |participant| FromParticipant::Silence {
            participant,
            on: false,
            reason,
        })
        .await
    }
}

impl Kick {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        let reason = self.reason;
        act(context, output, self.target, "kicked", |participant| FromParticipant::Kick {
            participant,
            reason,
        })
        .await
    }
}

impl End {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        let (session, mut incoming, _) = enter(context, self.room.clone(), Role::Host).await?;
        end_room(&session, &mut incoming).await?;
        output.json(&serde_json::json!({ "event": "ended", "room": self.room }));
        output.result(&format!("ended {}", self.room));
        Ok(())
    }
}

/// Joins to moderate. Whoever joins so in a room that is not there would open it, which is not what
/// anybody wants of a moderation: the room is ended again at once.
pub(super) async fn enter(
    context: &Context,
    room: RoomName,
    role: Role,
) -> Result<(Session, Incoming, RoomView), CommandError> {
    let missing = format!("There is no room {room}.");
    let entry = Entry {
        room,
        role,
        key: context.key()?,
        // With the session of somebody who is in the room, their place is taken up.
        returning: context.session_file.is_some(),
        waits_for_room: false,
    };
    let (session, mut incoming) = context.start(entry)?;
    let mut view = RoomView::default();
    loop {
        match incoming.events.recv().await.ok_or_else(session_gone)? {
            Event::Joined { joined, .. } => {
                view.handle_joined(&joined);
                let you = &joined.you;
                let is_alone = joined.stage.iter().all(|e| e.participant == you.participant);
                if you.role == Role::Host && is_alone && context.session_file.is_none() {
                    end_room(&session, &mut incoming).await?;
                    return Err(CommandError::new(Exit::NoRoom, "room_not_found", missing));
                }
                return Ok((session, incoming, view));
            }
            Event::Message(_) | Event::Retrying { .. } => {}
            Event::Ended(end) => {
                return Err(CommandError::of_end(end).unwrap_or_else(session_gone));
            }
        }
    }
}

/// Ends the room. That closes the connection too, maybe before the answer is read.
async fn end_room(session: &Session, incoming: &mut Incoming) -> Result<(), CommandError> {
    match request(session, incoming, FromParticipant::EndRoom {}).await {
        Ok(()) => {
            leave(session, incoming).await;
            Ok(())
        }
        Err(error) if error.code == "room_ended" => Ok(()),
        Err(error) if error.code == "offline" => {
            while let Some(event) = incoming.events.recv().await {
                match event {
                    Event::Ended(SessionEnd::RoomEnded) => return Ok(()),
                    Event::Ended(_) | Event::Retrying { .. } => break,
                    Event::Joined { .. } | Event::Message(_) => {}
                }
            }
            Err(error)
        }
        Err(error) => {
            leave(session, incoming).await;
            Err(error)
        }
    }
}

/// Leaves, and waits until that is done.
pub(super) async fn leave(session: &Session, incoming: &mut Incoming) {
    session.leave().await;
    while incoming.events.recv().await.is_some() {}
}

async fn act(
    context: &Context,
    output: &Output,
    target: Target,
    done: &str,
    message: impl FnOnce(ParticipantId) -> FromParticipant,
) -> Result<(), CommandError> {
    let (session, mut incoming, view) = enter(context, target.room, Role::Cohost).await?;
    let result = async {
        let participant = resolve(&mut incoming, view, &target.subject).await?;
        let asked_unix_ms = unix_ms();
        request(&session, &mut incoming, message(participant)).await?;
        Ok::<_, CommandError>((participant, asked_unix_ms, unix_ms()))
    }
    .await;
    leave(&session, &mut incoming).await;
    let (participant, asked_unix_ms, acknowledged_unix_ms) = result?;
    output.json(&serde_json::json!({
        "event": done,
        "participant": participant.to_string(),
        "subject": target.subject,
        "asked_unix_ms": asked_unix_ms,
        "acknowledged_unix_ms": acknowledged_unix_ms,
    }));
    output.result(&format!("{} {} ({participant})", done.replace('_', " "), target.subject));
    Ok(())
}

/// The time as a program reads it that compares it with a listener's `last_received_unix_ms`.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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

/// The participant that a name stands for, as soon as the room's messages tell.
async fn resolve(
    incoming: &mut Incoming,
    mut view: RoomView,
    subject: &str,
) -> Result<ParticipantId, CommandError> {
    let deadline = tokio::time::Instant::now() + SUBJECT_TIMEOUT;
    loop {
        let error = match view.resolve(subject) {
            Ok(participant) => return Ok(participant),
            Err(error) => error,
        };
        let code = match error {
            ResolveError::Nobody(_) => "no_such_participant",
            ResolveError::Several { .. } => "ambiguous_name",
        };
        let unresolved = || CommandError::new(Exit::Refused, code, sentence(&error.to_string()));
        match tokio::time::timeout_at(deadline, incoming.events.recv()).await {
            Err(_) => return Err(unresolved()),
            Ok(None) => return Err(session_gone()),
            Ok(Some(Event::Message(message))) => {
                view.handle_message(&message);
            }
            Ok(Some(Event::Joined { .. } | Event::Retrying { .. })) => {}
            Ok(Some(Event::Ended(end))) => {
                return Err(CommandError::of_end(end).unwrap_or_else(session_gone));
            }
        }
    }
}
