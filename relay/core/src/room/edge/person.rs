//! Who somebody at this relay is: what they have shown at the door, the keys that the origin's rulings
//! know them by, and what follows from both. Used by the door, by errands and by members.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tribune_protocol::control::trunk::Credentials;
use tribune_protocol::domain::access;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::room::Role;
use tribune_protocol::ids::{DisplayName, ParticipantId, RoomName, Subject};
use tribune_protocol::log::LogPublicKey;
use tribune_protocol::token::{Entitlement, Parts, TokenError};

use crate::auth::Pass;
use crate::auth::invitation::{INVITATION_KEY_NAME, verify_invitation};
use crate::clock::WallClock;
use crate::room::context::INVITED;

/// What somebody shows who wants in, or wants something done.
#[derive(Debug, Clone)]
pub enum Shown {
    /// What this relay can judge by itself.
    Pass(Pass),
    /// An invitation: a token that the room's origin has signed. It is checked when the origin's key
    /// is known, with the room's state.
    Invitation(String),
}

/// What has been shown, checked.
#[derive(Debug, Clone)]
pub(in crate::room) enum Proof {
    /// Nothing.
    Guest,
    /// Nothing, to a relay for development.
    Dev,
    /// A token.
    Token(Entitlement),
    /// An invitation.
    Invitation(Entitlement),
}

/// Who somebody is, for as long as they are here.
#[derive(Debug, Clone)]
pub(in crate::room) struct Person {
    /// `None`: a guest, whose subject is made of the participant id.
    subject: Option<Subject>,
    pub(in crate::room) keys: Keys,
    /// The highest role that they may come in as.
    pub(in crate::room) highest: Role,
    pub(in crate::room) may_open: bool,
    /// Whether they are anything that they ask to be.
    pub(in crate::room) is_dev: bool,
    /// Whether the token lets them hear the room.
    pub(in crate::room) may_listen: bool,
    /// When the token was made and until when it is valid, in seconds since 1970; `None` without one.
    pub(in crate::room) token: Option<TokenTimes>,
}

/// The times of a token, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::room) struct TokenTimes {
    pub(in crate::room) issued_at_s: u64,
    pub(in crate::room) expires_at_s: u64,
}

/// The keys by which the origin's rulings know somebody.
#[derive(Debug, Clone, Copy)]
pub(in crate::room) struct Keys {
    pub(in crate::room) participant: PersonKey,
    pub(in crate::room) subject: PersonKey,
    pub(in crate::room) address: PersonKey,
}

impl Shown {
    /// Tells an invitation from other tokens, by the name of its key. Nothing is believed of it yet.
    #[must_use]
    pub fn invitation(token: Option<&str>) -> Option<Self> {
        let token = token?;
        let parts = Parts::of(token).ok()?;
        (parts.key_name == INVITATION_KEY_NAME).then(|| Self::Invitation(token.to_owned()))
    }

    /// Checks what can only be checked with the room's state.
    pub(in crate::room) fn check(
        &self,
        room: &RoomName,
        key: Option<LogPublicKey>,
        now_s: u64,
    ) -> Result<Proof, TokenError> {
        match self {
            Self::Pass(Pass::Guest) => Ok(Proof::Guest),
            Self::Pass(Pass::Dev) => Ok(Proof::Dev),
            Self::Pass(Pass::Token(entitlement)) => Ok(Proof::Token(entitlement.clone())),
            Self::Invitation(token) => {
                let unknown = || TokenError::UnknownKey(INVITATION_KEY_NAME.to_owned());
                let key = key.ok_or_else(unknown)?;
                let claims = verify_invitation(token, &key.0, room, now_s)?;
                Ok(Proof::Invitation(claims.entitlement()))
            }
        }
    }
}

impl Proof {
    /// What the token calls its bearer.
    pub(in crate::room) const fn name(&self) -> Option<&DisplayName> {
        match self {
            Self::Guest | Self::Dev => None,
            Self::Token(entitlement) | Self::Invitation(entitlement) => entitlement.name.as_ref(),
        }
    }

    /// As the room's rule of access takes it.
    pub(in crate::room) const fn for_access(&self) -> access::Credentials<'_> {
        match self {
            Self::Guest => access::Credentials::Guest,
            Self::Dev => access::Credentials::Dev,
            Self::Token(entitlement) => access::Credentials::Token(&entitlement.attributes),
            Self::Invitation(entitlement) => {
                access::Credentials::Invitation(&entitlement.attributes)
            }
        }
    }

    /// Who that is, as this participant, from this address. Without a token, a relay for development
    /// takes everybody as what they ask for.
    pub(in crate::room) fn person(
        self,
        who: ParticipantId,
        address: IpAddr,
        asked: Role,
    ) -> Person {
        let is_dev = matches!(self, Self::Dev);
        let (highest, entitlement) = match self {
            Self::Guest => (Role::Listener, None),
            Self::Dev => (asked, None),
            Self::Token(entitlement) | Self::Invitation(entitlement) => {
                (entitlement.role, Some(entitlement))
            }
        };
        // An invitation for whoever has it says nothing of who that is.
        let says_who = |subject: &Subject| subject.as_str() != INVITED;
        let subject = entitlement.as_ref().map(|entitlement| entitlement.subject.clone());
        let subject = subject.filter(says_who);
        let key = match &subject {
            Some(subject) => PersonKey::of_subject(subject),
            None => PersonKey::of_subject(&Subject::guest(who)),
        };
        let keys = Keys {
            participant: PersonKey::of_participant(who),
            subject: key,
            address: PersonKey::of_address(address),
        };
        Person {
            subject,
            keys,
            highest,
            is_dev,
            may_open: entitlement.as_ref().map_or(is_dev, |entitlement| entitlement.may_open),
            may_listen: entitlement.as_ref().is_none_or(|entitlement| entitlement.may_listen),
            token: entitlement.map(|entitlement| TokenTimes {
                issued_at_s: entitlement.issued_at_s,
                expires_at_s: entitlement.expires_at_s,
            }),
        }
    }
}

impl Person {
    /// Whether a token vouches for the subject.
    pub(in crate::room) const fn is_vouched_for(&self) -> bool {
        self.subject.is_some()
    }

    /// Who, over all sessions.
    pub(in crate::room) fn subject(&self, who: ParticipantId) -> Subject {
        self.subject.clone().unwrap_or_else(|| Subject::guest(who))
    }

    /// What the origin is told with an action.
    pub(in crate::room) fn credentials(
        &self,
        who: ParticipantId,
        name: &DisplayName,
        barred: bool,
    ) -> Credentials {
        let (subject, name, role) = (self.subject(who), name.clone(), self.highest);
        Credentials { subject, name, role, may_open: self.may_open, barred }
    }
}

impl Keys {
    pub(in crate::room) const fn all(&self) -> [PersonKey; 3] {
        [self.participant, self.subject, self.address]
    }
}

/// When that second of Unix time is; `None` if it is out of reach.
pub(in crate::room) fn instant_of(wall: &WallClock, unix_s: u64) -> Option<Instant> {
    let since = Duration::from_secs(unix_s).saturating_sub(Duration::from_micros(wall.unix_us));
    wall.at.checked_add(since)
}
