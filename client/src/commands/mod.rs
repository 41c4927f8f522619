//! One file a command, and what they share.

use std::path::PathBuf;
use std::time::Duration;

use tribune_protocol::control::participant::Join;
use tribune_protocol::domain::room::Role;
use tribune_protocol::ids::{DisplayName, RoomName, SessionKey};

use crate::commands::renewal::Renewal;
use crate::outcome::{CommandError, Exit, sentence};
use crate::output::Output;
use crate::session::address::Address;
use crate::session::errand::{self as errand_session, Errands};
use crate::session::tls::Trust;
use crate::session::{self, Config, Incoming, Session, identity};

pub(crate) mod appeal;
pub(crate) mod ban;
mod errand;
pub(crate) mod hand;
pub(crate) mod join;
mod keys;
pub(crate) mod listen;
pub(crate) mod listeners;
pub(crate) mod log;
pub(crate) mod man;
mod oneself;
pub(crate) mod person;
mod ranking;
mod renewal;
pub(crate) mod role;
pub(crate) mod room;
mod signals;
mod sink_thread;
mod source_thread;
pub(crate) mod speak;
pub(crate) mod stage;
mod talk;
pub(crate) mod times;
pub(crate) mod token;
pub(crate) mod top;

/// What the options say that every command takes.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) addresses: Vec<Address>,
    pub(crate) trust: Trust,
    pub(crate) token: Option<String>,
    /// Where a token is read from, and again when it runs out.
    pub(crate) token_file: Option<PathBuf>,
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
            token: self.token()?.map(Into::into),
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

    /// What asks rooms for something without coming in.
    pub(crate) fn errands(&self, role: Role) -> Result<Errands, CommandError> {
        Ok(Errands::new(errand_session::Config {
            addresses: self.addresses.clone(),
            trust: self.trust.clone(),
            session: self.key()?,
            name: self.display_name(role),
            role,
            token: self.token()?.map(Into::into),
        })?)
    }

    /// What renews the token of a stay in a room.
    pub(crate) fn renewal(&self) -> Result<Renewal, CommandError> {
        Ok(Renewal::new(self.token_file.clone(), self.token()?))
    }

    /// The token of `--token`, or of `--token-file`.
    fn token(&self) -> Result<Option<String>, CommandError> {
        match &self.token_file {
            Some(file) => renewal::read(file).map(Some),
            None => Ok(self.token.clone()),
        }
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

/// What became of a token that ran out.
pub(crate) fn tell_renewed(renewed: &Result<(), String>, output: &mut Output) {
    match renewed {
        Ok(()) => {
            output.json(&serde_json::json!({ "event": "token_renewed" }));
            output.note("Your token is renewed.");
        }
        Err(why) => {
            let message = sentence(why);
            let error = serde_json::json!({ "code": "token_not_renewed", "message": message });
            output.json(&serde_json::json!({ "error": error }));
            output.warn(&message);
        }
    }
}

/// The task of a session has gone without a word, which it never does.
pub(crate) fn session_gone() -> CommandError {
    CommandError::new(Exit::Other, "internal", "The session stopped without saying why.")
}
