//! One-shot requests: arguments, subject resolution and output shared by the commands that do not join.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{RoomInfo, ToParticipant};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId, RoomName};

use super::Context;
use crate::outcome::{CommandError, Exit, sentence};
use crate::output::Output;
use crate::session::oneshot::{Answer, OneShotClient};
use crate::session::room_view::RoomView;
use crate::session::subject::{self, ResolveError, Who, target_text};

/// Which room, and in which role.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Which room
    pub(crate) room: RoomName,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

/// In which role somebody acts.
#[derive(Debug, Args)]
pub(crate) struct Acting {
    /// The role to act in where no token says which, as at a relay with --dev
    #[arg(long = "as", id = "acting", value_name = "ROLE", default_value = "host")]
    pub(crate) role: Role,
}

/// Person that a command is about.
#[derive(Debug, Args)]
pub(crate) struct About {
    /// Which room
    pub(crate) room: RoomName,
    #[arg(help = subject::HELP)]
    pub(crate) subject: Who,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

/// Why.
#[derive(Debug, Args)]
pub(crate) struct Because {
    /// Why; it is told to whom it is about, and stands in the log
    #[arg(long, default_value = "")]
    pub(crate) reason: Note,
}

/// One-shot requests to one room, over one connection.
#[derive(Debug)]
pub(crate) struct Requests {
    session: OneShotClient,
    room: RoomName,
}

/// Subject of a request: the resolved target, and the text as written.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) target: Target,
    written: String,
}

/// Confirmation of a request: an event name for programs, a phrase for people.
#[derive(Debug)]
pub(crate) struct Done<'a> {
    pub(crate) event: &'static str,
    pub(crate) phrase: &'a str,
    /// Further fields for programs.
    pub(crate) more: Value,
}

impl Requests {
    pub(crate) fn open(
        context: &Context,
        room: &RoomName,
        role: Role,
    ) -> Result<Self, CommandError> {
        Ok(Self { session: context.one_shots(role)?, room: room.clone() })
    }

    pub(crate) async fn ask(&mut self, act: Govern) -> Result<Answer, CommandError> {
        Ok(self.session.ask(&self.room, act).await?)
    }

    /// Settings and stage of the room.
    pub(crate) async fn show(&mut self) -> Result<RoomInfo, CommandError> {
        let Answer::Room(room) = self.ask(Govern::Show {}).await? else {
            return Err(no_answer("room"));
        };
        self.there(room)
    }

    /// Resolves a subject among the participants in the room.
    pub(crate) async fn in_room(&mut self, who: &Who) -> Result<Person, CommandError> {
        let view = self.people(who).await?;
        let participant = who.in_room(&view).map_err(unresolved)?;
        Ok(Person::new(Target::Participant(participant), who))
    }

    /// Resolves a subject that may be absent. A word taken for an identity is reported.
    pub(crate) async fn anywhere(
        &mut self,
        who: &Who,
        output: &mut Output,
    ) -> Result<Person, CommandError> {
        let view = self.people(who).await?;
        let target = who.anywhere(&view).map_err(unresolved)?;
        if let (Who::Word(word), Target::Subject(_)) = (who, &target) {
            output.note(&format!(
                "Nobody on the stage or with a hand up is called {word}: taken as the identity \
                 sub:{word}."
            ));
        }
        Ok(Person::new(target, who))
    }

    /// Sends a request and prints its confirmation.
    pub(crate) async fn act(
        &mut self,
        output: &Output,
        person: Option<&Person>,
        done: Done<'_>,
        act: Govern,
    ) -> Result<(), CommandError> {
        let asked_unix_ms = unix_ms();
        let Answer::Done = self.ask(act).await? else { return Err(no_answer("ok")) };
        let mut line = json!({
            "event": done.event,
            "room": self.room,
            "asked_unix_ms": asked_unix_ms,
            "acknowledged_unix_ms": unix_ms(),
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, done.more) {
            line.extend(more);
        }
        if let Some(person) = person {
            line["subject"] = person.written.clone().into();
            line["target"] = target_text(&person.target).into();
            if let Target::Participant(participant) = person.target {
                line["participant"] = participant.to_string().into();
            }
        }
        output.json(&line);
        match person {
            Some(person) => output.result(&format!("{} {person}", done.phrase)),
            None => output.result(done.phrase),
        }
        Ok(())
    }

    /// Closes the connection and passes the result of the command through.
    pub(crate) async fn close<T>(self, result: Result<T, CommandError>) -> Result<T, CommandError> {
        self.session.close().await;
        result
    }

    /// The room, if it exists: an origin reports an unknown room as absent.
    fn there(&self, room: RoomInfo) -> Result<RoomInfo, CommandError> {
        match room.phase {
            Phase::Absent => {
                let message = format!("There is no room {}.", self.room);
                Err(CommandError::refused(ErrorCode::RoomNotFound, &message))
            }
            Phase::Announced | Phase::Live | Phase::Ended => Ok(room),
        }
    }

    /// Names on the stage and in the queue of hands, as far as the caller may see them.
    async fn people(&mut self, who: &Who) -> Result<RoomView, CommandError> {
        let mut view = RoomView::default();
        if !who.is_word() {
            return Ok(view);
        }
        if let Some(Answer::Room(room)) = self.ask_if_permitted(Govern::Show {}).await? {
            let stage = self.there(room)?.stage;
            view.handle_message(&ToParticipant::Stage { stage });
        }
        if let Some(Answer::Hands { hands, total }) =
            self.ask_if_permitted(Govern::ListHands {}).await?
        {
            view.handle_message(&ToParticipant::Hands { hands, total });
        }
        Ok(view)
    }

    async fn ask_if_permitted(&mut self, act: Govern) -> Result<Option<Answer>, CommandError> {
        match self.ask(act).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.code == ErrorCode::NotPermitted.as_str() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Person {
    pub(crate) fn new(target: Target, who: &Who) -> Self {
        Self { target, written: who.to_string() }
    }

    /// Participant id, for a subject resolved by [`Requests::in_room`].
    pub(crate) fn participant(&self) -> Result<ParticipantId, CommandError> {
        match self.target {
            Target::Participant(participant) => Ok(participant),
            Target::Subject(_) | Target::Address(_) => {
                Err(unresolved(ResolveError::NotInRoom(self.written.clone())))
            }
        }
    }
}

impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let target = target_text(&self.target);
        if target == self.written {
            f.write_str(&target)
        } else {
            write!(f, "{} ({target})", self.written)
        }
    }
}

impl<'a> Done<'a> {
    pub(crate) fn new(event: &'static str, phrase: &'a str) -> Self {
        Self { event, phrase, more: Value::Null }
    }

    pub(crate) fn with(self, more: Value) -> Self {
        Self { more, ..self }
    }
}

/// One request about a participant in the room.
pub(crate) async fn in_room(
    context: &Context,
    output: &Output,
    about: About,
    done: Done<'_>,
    act: impl FnOnce(ParticipantId) -> Govern,
) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &about.room, about.acting.role)?;
    let result = async {
        let person = requests.in_room(&about.subject).await?;
        let act = act(person.participant()?);
        requests.act(output, Some(&person), done, act).await
    }
    .await;
    requests.close(result).await
}

/// One request about a subject in the room or not.
pub(crate) async fn anywhere(
    context: &Context,
    output: &mut Output,
    about: About,
    done: Done<'_>,
    act: impl FnOnce(Target) -> Govern,
) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &about.room, about.acting.role)?;
    let result = async {
        let person = requests.anywhere(&about.subject, output).await?;
        let act = act(person.target.clone());
        requests.act(output, Some(&person), done, act).await
    }
    .await;
    requests.close(result).await
}

pub(crate) fn unresolved(error: ResolveError) -> CommandError {
    let code = match error {
        ResolveError::Nobody(_) => "no_such_participant",
        ResolveError::Several { .. } => "ambiguous_name",
        ResolveError::NotInRoom(_) | ResolveError::NoIdentity(_) => "wrong_subject",
    };
    CommandError::new(Exit::Refused, code, sentence(&error.to_string()))
}

/// Error for an answer of the wrong type.
pub(crate) fn no_answer(wanted: &str) -> CommandError {
    let message = format!("The relay's answer is not {wanted:?}, which was asked for.");
    CommandError::new(Exit::Other, "protocol", message)
}

/// Milliseconds since the Unix epoch, comparable with a listener's `last_received_unix_ms`.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_called_as_written_and_by_what_that_stands_for() {
        let who: Who = "Eve".parse().unwrap();
        let person = Person::new(Target::Participant(ParticipantId(5)), &who);
        assert_eq!(person.to_string(), "Eve (0000000000000005)");
        assert_eq!(person.participant().unwrap(), ParticipantId(5));
        let who: Who = "sub:eve".parse().unwrap();
        let person = Person::new(who.anywhere(&RoomView::default()).unwrap(), &who);
        assert_eq!(person.to_string(), "sub:eve");
        assert_eq!(person.participant().unwrap_err().code, "wrong_subject");
    }
}
