//! `tribune hand`: raise, lower and list hands from a script.

use std::time::Duration;

use clap::{Args, Subcommand};
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::room::Role;
use tribune_protocol::ids::{Note, RoomName, SessionKey};

use super::signals::Signals;
use super::{Context, Entry, moderate, note_retrying, session_gone};
use crate::outcome::{CommandError, Exit};
use crate::output::Output;
use crate::session::room_view::{Change, RoomView};
use crate::session::{Event, Incoming, Session, identity};

/// How long the queue of hands may take to come.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);

/// Raise, lower or list hands
#[derive(Debug, Args)]
pub(crate) struct Hand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Raise one's hand and hold it up until it is granted, denied or lowered, or until Ctrl-C
    ///
    /// The hand belongs to the session in $XDG_STATE_HOME/tribune/session, or in the file that
    /// --session names. Once it is granted, the place is kept for 30 s: `tribune speak` with the same
    /// --session takes it up.
    Raise {
        /// Which room
        room: RoomName,
        /// What to say; moderators see it
        #[arg(long, default_value = "")]
        note: Note,
        /// Leave the hand up, for the 30 s that a relay keeps the place of whoever is gone
        #[arg(long)]
        detach: bool,
    },
    /// Lower the hand that `hand raise --detach` left up
    Lower {
        /// Which room
        room: RoomName,
    },
    /// Print the queue of hands; joins as cohost for a moment
    List {
        /// Which room
        room: RoomName,
    },
}

impl Hand {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        match self.action {
            Action::Raise { room, note, detach } => {
                raise(context, output, room, note, detach).await
            }
            Action::Lower { room } => lower(context, output, room).await,
            Action::List { room } => list(context, output, room).await,
        }
    }
}

async fn raise(
    context: &Context,
    output: &mut Output,
    room: RoomName,
    note: Note,
    detach: bool,
) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let (session, mut incoming) = start(context, room, false)?;
    let mut raising = Raising { session, view: RoomView::default(), note: Some(note), detach };
    let result = tokio::select! {
        result = raising.run(&mut incoming, output) => result,
        () = signals.stop() => {
            moderate::leave(&raising.session, &mut incoming).await;
            return Ok(());
        }
    };
    match result {
        Ok(()) => raising.session.detach().await,
        Err(_) => raising.session.leave().await,
    }
    while incoming.events.recv().await.is_some() {}
    result
}

/// A hand that is up, and who holds it.
#[derive(Debug)]
struct Raising {
    session: Session,
    view: RoomView,
    note: Option<Note>,
    detach: bool,
}

impl Raising {
    /// Until there is nothing more to wait for.
    async fn run(
        &mut self,
        incoming: &mut Incoming,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        loop {
            let event = tokio::select! {
                event = incoming.events.recv() => event.ok_or_else(session_gone)?,
                Some(_) = incoming.frames.recv() => continue,
            };
            let changes = match event {
                Event::Joined { joined, .. } => {
                    let changes = self.view.handle_joined(&joined);
                    if let Some(note) = self.note.take() {
                        let raise = FromParticipant::RaiseHand { note };
                        moderate::request(&self.session, incoming, raise).await?;
                        output.json(&serde_json::json!({
                            "event": "raised",
                            "participant": joined.you.participant.to_string(),
                        }));
                        output.note("Your hand is up.");
                        if self.detach {
                            return Ok(());
                        }
                    }
                    changes
                }
                Event::Message(message) => self.view.handle_message(&message),
                Event::Retrying { why, after, was_in_room } => {
                    note_retrying(output, &why, after, was_in_room);
                    Vec::new()
                }
                Event::Ended(end) => {
                    return Err(CommandError::of_end(end).unwrap_or_else(session_gone));
                }
            };
            if self.is_settled(&changes, output)? {
                return Ok(());
            }
        }
    }

    /// Whether the hand has been granted. A hand that is down otherwise is an error.
    fn is_settled(&self, changes: &[Change], output: &mut Output) -> Result<bool, CommandError> {
        let may_speak = self.view.you().is_some_and(|you| you.role.speaks());
        for change in changes {
            match change {
                Change::YourHand { place: None, reason } if !may_speak => {
                    let message = match reason.as_str() {
                        "" => "The hand was lowered or denied by a moderator.".to_owned(),
                        reason => format!("The hand was denied: {reason}"),
                    };
                    return Err(CommandError::new(Exit::Refused, "denied", message));
                }
                Change::YourHand { .. } | Change::YourRole { .. } => {
                    output.json(change);
                    output.note(&format!("{change}."));
                }
                Change::JoinedStage { .. }
                | Change::LeftStage { .. }
                | Change::RoleChanged { .. }
                | Change::Silenced { .. }
                | Change::Muted { .. }
                | Change::Away { .. }
                | Change::HandRaised { .. }
                | Change::HandDown { .. }
                | Change::YouSilenced { .. }
                | Change::PleaseMute { .. }
                | Change::Listeners { .. }
                | Change::Moving { .. } => {}
            }
        }
        Ok(may_speak)
    }
}

async fn lower(context: &Context, output: &Output, room: RoomName) -> Result<(), CommandError> {
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
    let lower = FromParticipant::LowerHand { participant: None };
    let result = moderate::request(&session, &mut incoming, lower).await;
    moderate::leave(&session, &mut incoming).await;
    result?;
    output.json(&serde_json::json!({ "event": "lowered" }));
    output.result("lowered");
    Ok(())
}

async fn list(context: &Context, output: &Output, room: RoomName) -> Result<(), CommandError> {
    let (session, mut incoming, mut view) = moderate::enter(context, room, Role::Cohost).await?;
    // A room without hands need not say so.
    let deadline = tokio::time::Instant::now() + QUEUE_TIMEOUT;
    while view.hands().is_none() {
        match tokio::time::timeout_at(deadline, incoming.events.recv()).await {
            Err(_) => break,
            Ok(None) => return Err(session_gone()),
            Ok(Some(Event::Message(message))) => {
                let is_queue = matches!(message, ToParticipant::Hands { .. });
                view.handle_message(&message);
                if is_queue {
                    break;
                }
            }
            Ok(Some(Event::Joined { .. } | Event::Retrying { .. })) => {}
            Ok(Some(Event::Ended(end))) => {
                return Err(CommandError::of_end(end).unwrap_or_else(session_gone));
            }
        }
    }
    moderate::leave(&session, &mut incoming).await;
    let hands = view.hands().unwrap_or_default();
    for (place, hand) in (1..).zip(hands) {
        let (name, note, waiting_s) = (&hand.name, &hand.note, hand.waiting_s);
        output.json(&serde_json::json!({
            "place": place,
            "participant": hand.participant.to_string(),
            "name": name,
            "note": note,
            "waiting_s": waiting_s,
        }));
        output.result(&format!("{place:3}  {}  {waiting_s:4} s  {name}  {note}", hand.participant));
    }
    output.json(&serde_json::json!({ "total": view.hands_total() }));
    let more = (view.hands_total() as usize).saturating_sub(hands.len());
    if more > 0 {
        output.result(&format!("     and {more} more"));
    } else if hands.is_empty() {
        output.result("no hands are up");
    }
    Ok(())
}

fn start(
    context: &Context,
    room: RoomName,
    returning: bool,
) -> Result<(Session, Incoming), CommandError> {
    let role = Role::Listener;
    context.start(Entry { room, role, key: key(context)?, returning, waits_for_room: false })
}

/// A hand is one's own across runs, so its session is always kept in a file.
fn key(context: &Context) -> Result<SessionKey, CommandError> {
    let file = match &context.session_file {
        Some(file) => file.clone(),
        None => identity::default_file()?,
    };
    Ok(identity::load_or_create(&file)?)
}
