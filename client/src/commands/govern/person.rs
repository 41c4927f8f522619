//! `tribune person`: removal of a participant from the room.

use clap::{Args, Subcommand};
use tribune_protocol::control::command::Govern;

use crate::commands::Context;
use crate::commands::oneshot::{About, Because, Done, anywhere};
use crate::outcome::CommandError;
use crate::output::Output;

/// Remove somebody from the room
#[derive(Debug, Args)]
pub(crate) struct Person {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Remove somebody; their session does not come back, nor does a token issued before
    ///
    /// `tribune ban lift` takes it back. `tribune ban create` keeps somebody out in any session.
    Kick {
        #[command(flatten)]
        about: About,
        #[command(flatten)]
        because: Because,
    },
}

impl Person {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let Verb::Kick { about, because: Because { reason } } = self.verb;
        let done = Done::new("kicked", "kicked");
        anywhere(context, output, about, done, |target| Govern::Kick { target, reason }).await
    }
}
