//! One file a command, and what they share.

use std::path::PathBuf;
use std::time::Duration;

use tribune_protocol::control::participant::Join;
use tribune_protocol::control::room::Role;
use tribune_protocol::ids::{DisplayName, RoomName, SessionKey};

use crate::outcome::{CommandError, Exit};
use crate::output::Output;
use crate::session::address::Address;
use crate::session::tls::Trust;
use crate::session::{self, Config, Incoming, Session, identity};

pub(crate) mod hand;
pub(crate) mod join;
pub(crate) mod listen;
pub(crate) mod man;
pub(crate) mod moderate;
mod signals;
mod sink_thread;
mod source_thread;
pub(crate) mod speak;
mod talk;
pub(crate) mod token;

/// What the options say that every command takes.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) addresses: Vec<Address>,
    pub(crate) trust: Trust,
    pub(crate) token: Option<String>,
    pub(crate) name: Option<DisplayName>,
    pub(crate) session_file: Option<PathBuf>,
}

/// How a command wants to enter a room.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) room: RoomName,
    pub(crate) role: Role,
    pub(crate) key: SessionKey,
    pub(crate) returning: bool,
    pub(crate) waits_for_room: bool,
}

impl Context {
    /// The key of `--session`, or a new one: without the option every run is somebody else.
    pub(crate) fn key(&self) -> Result<SessionKey, CommandError> {
        match &self.session_file {
            Some(file) => Ok(identity::load_or_create(file)?),
            None => Ok(identity::new_key()),
        }
    }

    /// Begins a session.
    pub(crate) fn start(&self, entry: Entry) -> Result<(Session, Incoming), CommandError> {
        let join = Join {
            room: entry.room,
            session: entry.key,
            name: self.display_name(entry.role),
            role: entry.role,
            token: self.token.clone(),
            returning: entry.returning,
            heard: Vec::new(),
        };
        Ok(session::start(Config {
            addresses: self.addresses.clone(),
            trust: self.trust.clone(),
            join,
            waits_for_room: entry.waits_for_room,
        })?)
    }

    /// `--name`, or the login name, or the role.
    fn display_name(&self, role: Role) -> DisplayName {
        let login = || std::env::var("USER").ok()?.parse().ok();
        let fallback = || role.as_str().to_owned().try_into();
        match self.name.clone().or_else(login) {
            Some(name) => name,
            None => fallback().unwrap_or_else(|_| unreachable!("a role's name is a valid name")),
        }
    }
}

/// Says that there is no connection, and what happens next.
pub(crate) fn note_retrying(output: &mut Output, why: &str, after: Duration, was_in_room: bool) {
    output.json(&serde_json::json!({
        "event": if was_in_room { "reconnecting" } else { "waiting" },
        "why": why,
        "retry_in_ms": after.as_millis() as u64,
    }));
    let what = if was_in_room { "Reconnecting" } else { "Waiting" };
    output.note(&format!("{what} in {:.1} s: {why}", after.as_secs_f64()));
}

/// A duration on the command line; more than a week is a mistake.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() || duration > LONGEST {
        return Err("a duration is longer than nothing and at most 7 days, such as 20s".to_owned());
    }
    Ok(duration)
}

/// The roles that the command line knows.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RoleArg {
    Host,
    Cohost,
    Speaker,
    Listener,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Host => Self::Host,
            RoleArg::Cohost => Self::Cohost,
            RoleArg::Speaker => Self::Speaker,
            RoleArg::Listener => Self::Listener,
        }
    }
}

/// The task of a session has gone without a word, which it never does.
pub(crate) fn session_gone() -> CommandError {
    CommandError::new(Exit::Other, "internal", "The session stopped without saying why.")
}
