//! `tribune role` and `tribune permission`: roles and single permissions of a participant.

use clap::{Args, Subcommand};
use serde_json::json;
use tribune_protocol::control::command::Govern;
use tribune_protocol::domain::permission::Permission as RoomPermission;
use tribune_protocol::domain::role::Role as RoomRole;

use crate::commands::Context;
use crate::commands::oneshot::{About, Because, Done, anywhere};
use crate::outcome::CommandError;
use crate::output::Output;

/// Change somebody's role
#[derive(Debug, Args)]
pub(crate) struct Role {
    #[command(subcommand)]
    verb: RoleVerb,
}

#[derive(Debug, Subcommand)]
enum RoleVerb {
    /// Give somebody another role, from now on, whatever their token says
    Set {
        #[command(flatten)]
        about: About,
        /// Which: cohost, speaker, listener, or one that the relay's operator has defined
        role: RoomRole,
        #[command(flatten)]
        because: Because,
    },
}

/// Give or take single permissions
#[derive(Debug, Args)]
pub(crate) struct Permission {
    #[command(subcommand)]
    verb: PermissionVerb,
}

#[derive(Debug, Subcommand)]
enum PermissionVerb {
    /// Let somebody do one thing more than their role
    Allow(Single),
    /// Keep somebody from one thing that their role may do
    Deny(Single),
    /// Leave it to their role again
    Reset(Single),
}

#[derive(Debug, Args)]
struct Single {
    #[command(flatten)]
    about: About,
    #[arg(help = permission_help())]
    permission: RoomPermission,
    #[command(flatten)]
    because: Because,
}

impl Role {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let RoleVerb::Set { about, role, because: Because { reason } } = self.verb;
        let phrase = format!("{role} from now on:");
        let done = Done::new("role_set", &phrase).with(json!({ "role": role }));
        anywhere(context, output, about, done, |target| Govern::SetRole { target, role, reason })
            .await
    }
}

impl Permission {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let (event, verb, allow, single) = match self.verb {
            PermissionVerb::Allow(single) => ("permission_allowed", "may now", Some(true), single),
            PermissionVerb::Deny(single) => {
                ("permission_denied", "may no longer", Some(false), single)
            }
            PermissionVerb::Reset(single) => {
                ("permission_reset", "as the role has it:", None, single)
            }
        };
        let Single { about, permission, because: Because { reason } } = single;
        let phrase = format!("{verb} {}:", permission.infinitive());
        let done = Done::new(event, &phrase).with(json!({ "permission": permission }));
        anywhere(context, output, about, done, |target| Govern::SetPermission {
            target,
            permission,
            allow,
            reason,
        })
        .await
    }
}

fn permission_help() -> String {
    let words: Vec<&str> = RoomPermission::ALL.iter().map(|one| one.as_str()).collect();
    format!("Which: {}", words.join(", "))
}
