//! `tribune stage`: the right to speak, invitations to it, and silencing.

use clap::{Args, Subcommand};
use serde_json::json;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, RoomInfo};
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::RoomName;

use super::self_actions;
use crate::commands::Context;
use crate::commands::oneshot::{About, Acting, Because, Done, Place, Requests, anywhere, in_room};
use crate::outcome::CommandError;
use crate::output::Output;
use crate::session::subject::{self, Who};

/// Show the stage, invite to it, move off it, silence on it
#[derive(Debug, Args)]
pub(crate) struct Stage {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print who is on the stage
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Ask somebody to come on the stage; `tribune join` and `tribune speak --accept` answer
    Invite {
        #[command(flatten)]
        about: About,
    },
    /// Take an invitation to speak back
    Uninvite {
        #[command(flatten)]
        about: About,
    },
    /// Give one's own right to speak back
    ///
    /// Takes up the place of the session in $XDG_STATE_HOME/tribune/session, or in the file that
    /// --session names, and leaves the room with it.
    Leave {
        /// Which room
        room: RoomName,
    },
    /// Make a listener of somebody on the stage
    Remove {
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        because: Because,
    },
    /// Ask somebody to switch the microphone off; theirs to follow or not
    Mute {
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        because: Because,
    },
    /// Have every relay drop what somebody says; done when all relays do
    Silence {
        #[command(flatten)]
        whom: OneOrAll,
        #[command(flatten)]
        because: Because,
    },
    /// Let somebody be heard again
    Unsilence {
        #[command(flatten)]
        whom: OneOrAll,
        #[command(flatten)]
        because: Because,
    },
}

/// Somebody, or everybody on the stage of lower rank.
#[derive(Debug, Args)]
struct OneOrAll {
    /// Which room
    room: RoomName,
    #[arg(help = subject::HELP, required_unless_present = "all", conflicts_with = "all")]
    subject: Option<Who>,
    /// Everybody on the stage of lower rank than you
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    acting: Acting,
}

impl Stage {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        match self.verb {
            Verb::Show { place } => show(context, output, place).await,
            Verb::Invite { about } => {
                let done = Done::new("invited", "invited to speak:");
                anywhere(context, output, about, done, |target| Govern::Invite { target }).await
            }
            Verb::Uninvite { about } => {
                let done = Done::new("uninvited", "no longer invited to speak:");
                anywhere(context, output, about, done, |target| Govern::Uninvite { target }).await
            }
            Verb::Leave { room } => {
                self_actions::ask(context, room, FromParticipant::LeaveStage {}).await?;
                output.json(&json!({ "event": "left_stage" }));
                output.result("left the stage");
                Ok(())
            }
            Verb::Remove { about, because: Because { reason } } => {
                let done = Done::new("removed_from_stage", "moved off the stage:");
                in_room(context, output, about, done, |participant| Govern::RemoveFromStage {
                    participant,
                    reason,
                })
                .await
            }
            Verb::Mute { about, because: Because { reason } } => {
                let done = Done::new("asked_to_mute", "asked to mute:");
                in_room(context, output, about, done, |participant| Govern::AskMute {
                    participant,
                    reason,
                })
                .await
            }
            Verb::Silence { whom, because } => whom.silence(context, output, true, because).await,
            Verb::Unsilence { whom, because } => {
                whom.silence(context, output, false, because).await
            }
        }
    }
}

impl OneOrAll {
    async fn silence(
        self,
        context: &Context,
        output: &Output,
        on: bool,
        because: Because,
    ) -> Result<(), CommandError> {
        let Self { room, subject, acting, .. } = self;
        let reason = because.reason;
        let Some(subject) = subject else {
            let (event, phrase) = if on {
                ("all_silenced", "silenced everybody of lower rank")
            } else {
                ("all_unsilenced", "everybody is heard again")
            };
            let mut requests = Requests::open(context, &room, acting.role)?;
            let act = Govern::SilenceAll { on, reason };
            let result = requests.act(output, None, Done::new(event, phrase), act).await;
            return requests.close(result).await;
        };
        let done = if on {
            Done::new("silenced", "silenced")
        } else {
            Done::new("unsilenced", "no longer silenced:")
        };
        in_room(context, output, About { room, subject, acting }, done, |participant| {
            Govern::Silence { participant, on, reason }
        })
        .await
    }
}

async fn show(context: &Context, output: &Output, place: Place) -> Result<(), CommandError> {
    let mut requests = Requests::open(context, &place.room, place.acting.role)?;
    let result = requests.show().await;
    let RoomInfo { stage, listeners, .. } = requests.close(result).await?;
    for entry in &stage {
        output.json(&entry_json(entry));
        output.result(&entry_line(entry));
    }
    output.json(&json!({ "on_stage": stage.len(), "listeners": listeners }));
    output.result(&format!("{} on the stage, {listeners} listening", stage.len()));
    Ok(())
}

/// Stage entry for programs.
pub(super) fn entry_json(entry: &StageEntry) -> serde_json::Value {
    json!({
        "participant": entry.participant.to_string(),
        "name": entry.name,
        "role": entry.role,
        "track": entry.track,
        "silenced": entry.silenced,
        "muted": entry.muted,
        "away": entry.away,
    })
}

/// Stage entry for people.
pub(super) fn entry_line(entry: &StageEntry) -> String {
    let flags = [(entry.silenced, "silenced"), (entry.muted, "muted"), (entry.away, "away")];
    let flags: Vec<&str> = flags.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag).collect();
    let line = format!(
        "{}  {:8}  {}  {}",
        entry.participant,
        entry.role.as_str(),
        entry.name,
        flags.join(", ")
    );
    line.trim_end().to_owned()
}
