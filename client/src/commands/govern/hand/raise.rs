//! `tribune hand raise`: the caller's hand, held up until it is settled.

use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::ids::{Note, RoomName};

use crate::commands::Context;
use crate::commands::govern::self_actions;
use crate::commands::notices::{note_retrying, session_gone};
use crate::commands::signals::Signals;
use crate::outcome::{CommandError, Exit};
use crate::output::Output;
use crate::session::change::Change;
use crate::session::room_view::RoomView;
use crate::session::{Event, Incoming, Session};

/// Raises the caller's hand and holds it up until it is granted, denied or lowered, or until Ctrl-C.
pub(super) async fn raise(
    context: &Context,
    output: &mut Output,
    room: RoomName,
    note: Note,
    detach: bool,
) -> Result<(), CommandError> {
    let mut signals = Signals::new()?;
    let (session, mut incoming) = self_actions::start(context, room, false)?;
    let mut raising = Raising { session, view: RoomView::default(), note: Some(note), detach };
    let result = tokio::select! {
        result = raising.run(&mut incoming, output) => result,
        () = signals.stop() => {
            self_actions::leave(&raising.session, &mut incoming).await;
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

/// A raised hand and its session.
#[derive(Debug)]
struct Raising {
    session: Session,
    view: RoomView,
    note: Option<Note>,
    detach: bool,
}

impl Raising {
    /// Waits until the hand is settled.
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
                        self_actions::request(&self.session, incoming, raise).await?;
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
                Event::Encoding(_) => Vec::new(),
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

    /// Whether the hand has been granted. A hand lowered for another reason is an error.
    fn is_settled(&self, changes: &[Change], output: &mut Output) -> Result<bool, CommandError> {
        let may_speak = self.view.may_speak();
        for change in changes {
            match change {
                Change::YourHand { place: None, reason } if !may_speak => {
                    let message = match reason.as_str() {
                        "" => "The hand was lowered or denied by a moderator.".to_owned(),
                        reason => format!("The hand was denied: {reason}"),
                    };
                    return Err(CommandError::new(Exit::Refused, "denied", message));
                }
                Change::YourHand { .. }
                | Change::YourRole { .. }
                | Change::Moderated(_)
                | Change::Invited { .. }
                | Change::TokenExpires { .. } => {
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
                | Change::Profile { .. }
                | Change::YouSilenced { .. }
                | Change::PleaseMute { .. }
                | Change::YouMay { .. }
                | Change::Setting { .. }
                | Change::Reactions { .. }
                | Change::Listeners { .. }
                | Change::Text { .. }
                | Change::TextHidden { .. }
                | Change::TextTotal { .. }
                | Change::Asked { .. }
                | Change::Answered { .. }
                | Change::Totals { .. }
                | Change::Moving { .. } => {}
            }
        }
        Ok(may_speak)
    }
}
