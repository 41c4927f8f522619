//! `tribune hand`: raised hands, and the queue of them.

use clap::{Args, Subcommand};
use serde_json::json;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::stage::Hand as RaisedHand;
use tribune_protocol::ids::{Note, RoomName};

use super::self_actions;
use crate::commands::Context;
use crate::commands::oneshot::{About, Acting, Because, Done, Place, Requests, in_room, no_answer};
use crate::outcome::CommandError;
use crate::output::Output;
use crate::session::oneshot::Answer;
use crate::session::subject::{self, Who};

mod raise;

/// Raise, lower, list, grant and deny hands
#[derive(Debug, Args)]
pub(crate) struct Hand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Raise one's hand and hold it up until it is granted, denied or lowered, or until Ctrl-C
    ///
    /// The hand belongs to the session in $XDG_STATE_HOME/tribune/session, or in the file that
    /// --session names. Once it is granted, the place is kept for 30 s: `tribune speak` with the same
    /// --session takes it up.
    Raise {
        /// Which room
        room: RoomName,
        /// Note with the hand; moderators see it
        #[arg(long, default_value = "")]
        note: Note,
        /// Leave the hand up, for the 30 s that a relay keeps the place of a participant who is gone
        #[arg(long)]
        detach: bool,
    },
    /// Lower the hand that `hand raise --detach` left up, or with a SUBJECT somebody else's
    Lower {
        /// Which room
        room: RoomName,
        #[arg(help = subject::HELP)]
        subject: Option<Who>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Print the queue of hands
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Give the right to speak to somebody with a hand up
    Grant {
        #[command(flatten)]
        about: About,
    },
    /// Lower somebody's hand and keep it down for a while
    Deny {
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        because: Because,
    },
    /// Lower all hands
    Clear {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        because: Because,
    },
    /// Take no hands; those that are up stay up
    Close {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        because: Because,
    },
    /// Take hands again
    Open {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        because: Because,
    },
}

impl Hand {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        match self.verb {
            Verb::Raise { room, note, detach } => {
                raise::raise(context, output, room, note, detach).await
            }
            Verb::Lower { room, subject: None, .. } => {
                self_actions::ask(context, room, FromParticipant::LowerHand {}).await?;
                output.json(&json!({ "event": "lowered" }));
                output.result("lowered");
                Ok(())
            }
            Verb::Lower { room, subject: Some(subject), acting } => {
                let about = About { room, subject, acting };
                let done = Done::new("lowered", "lowered the hand of");
                in_room(context, output, about, done, |participant| Govern::LowerHand {
                    participant,
                })
                .await
            }
            Verb::List { place } => list(context, output, place).await,
            Verb::Grant { about } => {
                let done = Done::new("granted", "granted");
                in_room(context, output, about, done, |participant| Govern::Grant { participant })
                    .await
            }
            Verb::Deny { about, because: Because { reason } } => {
                let done = Done::new("denied", "denied");
                in_room(context, output, about, done, |participant| Govern::Deny {
                    participant,
                    reason,
                })
                .await
            }
            Verb::Clear { place, because: Because { reason } } => {
                let done = Done::new("hands_cleared", "all hands are down");
                queue(context, output, place, done, Govern::ClearHands { reason }).await
            }
            Verb::Close { place, because } => {
                let done = Done::new("hands_closed", "no hands are taken any more");
                queue(context, output, place, done, close(true, because)).await
            }
            Verb::Open { place, because } => {
                let done = Done::new("hands_opened", "hands are taken again");
                queue(context, output, place, done, close(false, because)).await
            }
        }
    }
}

fn close(closed: bool, because: Because) -> Govern {
    let change = RoomChange { hands_closed: Some(closed), ..RoomChange::default() };
    Govern::Set { change, reason: because.reason }
}

async fn queue(
    context: &Context,
    output: &Output,
    place: Place,
    done: Done<'_>,
    act: Govern,
) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &place.room, place.acting.role)?;
    let result = requests.act(output, None, done, act).await;
    requests.close(result).await
}

async fn list(context: &Context, output: &Output, place: Place) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &place.room, place.acting.role)?;
    let result = requests.ask(Govern::ListHands {}).await;
    let Answer::Hands { hands, total } = requests.close(result).await? else {
        return Err(no_answer("hands"));
    };
    for (place, hand) in (1..).zip(&hands) {
        let RaisedHand { participant, name, note, waiting_s } = hand;
        output.json(&json!({
            "place": place,
            "participant": participant.to_string(),
            "name": name,
            "note": note,
            "waiting_s": waiting_s,
        }));
        output.result(&format!("{place:3}  {participant}  {waiting_s:4} s  {name}  {note}"));
    }
    output.json(&json!({ "total": total }));
    let more = (total as usize).saturating_sub(hands.len());
    if more > 0 {
        output.result(&format!("     and {more} more"));
    } else if hands.is_empty() {
        output.result("no hands are up");
    }
    Ok(())
}
