//! Global options of the command line, and the sessions that they describe.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tribune_protocol::control::participant::Join;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{DisplayName, RoomName, SessionKey};

use super::renewal::{self, Renewal};
use crate::outcome::{CommandError, Exit};
use crate::session::address::Address;
use crate::session::oneshot::{self as one_shot_session, OneShotClient};
use crate::session::tls::Trust;
use crate::session::{self, Config, Incoming, Session, identity};
use crate::times::parse_playout_delay;

/// Options that every command takes.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) addresses: Vec<Address>,
    pub(crate) trust: Trust,
    pub(crate) token: Option<String>,
    /// File of the token; read again before the token expires.
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) name: Option<DisplayName>,
    pub(crate) session_file: Option<PathBuf>,
}

/// Parameters of a join.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) room: RoomName,
    pub(crate) role: Role,
    pub(crate) key: SessionKey,
    pub(crate) returning: bool,
    pub(crate) waits_for_room: bool,
    pub(crate) delivery: DeliveryArgs,
}

/// Options about how frames come.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct DeliveryArgs {
    /// Delivery of the sound: live, with the least delay; audience, later and with a third of the packets; reliable, on streams, nothing lost. Without it the room's size decides
    #[arg(long)]
    profile: Option<Profile>,
    /// Delay of playout in the profiles audience and reliable, 200ms to 2s; without it the room's, or 2s for reliable
    #[arg(long, value_name = "TIME", value_parser = parse_playout_delay)]
    playout_delay: Option<Duration>,
}

impl DeliveryArgs {
    /// Refuses a delay where there is none.
    ///
    /// # Errors
    /// Wrong usage, in a sentence.
    pub(crate) fn check(self) -> Result<(), CommandError> {
        let is_live = self.profile.is_some_and(|profile| profile.is_live());
        if is_live && self.playout_delay.is_some() {
            let message = "--playout-delay is for the profiles audience and reliable: live is as \
                           late as the network asks for.";
            return Err(CommandError::new(Exit::Usage, "usage", message));
        }
        Ok(())
    }

    /// Delay of playout, if one is given.
    pub(crate) const fn playout_delay(self) -> Option<Duration> {
        self.playout_delay
    }
}

impl Context {
    /// Key of `--session`, or a new one: without the option every run is another participant.
    pub(crate) fn key(&self) -> Result<SessionKey, CommandError> {
        match &self.session_file {
            Some(file) => Ok(identity::load_or_create(file)?),
            None => Ok(identity::new_key()),
        }
    }

    /// Starts a session.
    pub(crate) fn start(&self, entry: Entry) -> Result<(Session, Incoming), CommandError> {
        let join = Join {
            room: entry.room,
            session: entry.key,
            name: self.display_name(entry.role),
            role: entry.role,
            token: self.token()?.map(Into::into),
            returning: entry.returning,
            heard: Vec::new(),
            profile: entry.delivery.profile,
            redundancy: true,
            way: None,
            share: None,
            stay_s: None,
        };
        Ok(session::start(Config {
            addresses: self.addresses.clone(),
            trust: self.trust.clone(),
            join,
            waits_for_room: entry.waits_for_room,
            playout_delay: entry.delivery.playout_delay,
        })?)
    }

    /// Sender of one-shot requests, which need no join.
    pub(crate) fn one_shots(&self, role: Role) -> Result<OneShotClient, CommandError> {
        Ok(OneShotClient::new(one_shot_session::Config {
            addresses: self.addresses.clone(),
            trust: self.trust.clone(),
            session: self.key()?,
            name: self.display_name(role),
            role,
            token: self.token()?.map(Into::into),
        })?)
    }

    /// Token renewal for a session.
    pub(crate) fn renewal(&self) -> Result<Renewal, CommandError> {
        Ok(Renewal::new(self.token_file.clone(), self.token()?))
    }

    /// Token of `--token` or `--token-file`.
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
