//! `tribune appeal`: appeals against decisions, and their answers.

use clap::{Args, Subcommand};
use serde_json::json;
use tribune_protocol::control::command::Govern;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Note, RoomName};

use crate::commands::Context;
use crate::commands::oneshot::{Because, Done, Place, Requests};
use crate::outcome::CommandError;
use crate::output::Output;

/// Appeal against a decision, or answer an appeal
#[derive(Debug, Args)]
pub(crate) struct Appeal {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say something against a decision about you, once for each
    ///
    /// Works for the banned, too: with the --token of the same identity, or without a token
    /// with the --session that the decision is about. The number of the entry comes with the
    /// decision, and `tribune log` shows it.
    Create {
        /// Which room
        room: RoomName,
        /// The log's entry of the decision
        #[arg(long, value_name = "N")]
        entry: u64,
        /// Text of the appeal; at most 200 bytes
        text: Note,
    },
    /// Uphold an appeal, which takes the decision back, or reject it
    Answer {
        #[command(flatten)]
        place: Place,
        /// The log's entry of the appeal
        #[arg(long, value_name = "N")]
        entry: u64,
        #[command(flatten)]
        outcome: Outcome,
        #[command(flatten)]
        because: Because,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Outcome {
    /// The appeal is right: the decision is taken back, as far as it still holds
    #[arg(long)]
    uphold: bool,
    /// The decision stands
    #[arg(long)]
    reject: bool,
}

impl Appeal {
    pub(crate) async fn run(self, context: &Context, output: &Output) -> Result<(), CommandError> {
        let (room, role, event, phrase, entry, act) = match self.verb {
            Verb::Create { room, entry, text } => {
                let phrase = format!("appealed against entry {entry}");
                (room, Role::Listener, "appealed", phrase, entry, Govern::Appeal { entry, text })
            }
            Verb::Answer { place, entry, outcome, because: Because { reason } } => {
                let Outcome { uphold, reject: _ } = outcome;
                let (event, verb) = if uphold {
                    ("appeal_upheld", "upheld")
                } else {
                    ("appeal_rejected", "rejected")
                };
                let act = Govern::AnswerAppeal { entry, uphold, reason };
                let phrase = format!("{verb} the appeal of entry {entry}");
                (place.room, place.acting.role, event, phrase, entry, act)
            }
        };
        let mut requests = Requests::open(context, &room, role)?;
        let done = Done::new(event, &phrase).with(json!({ "entry": entry }));
        let result = requests.act(output, None, done, act).await;
        requests.close(result).await
    }
}
