//! Identity of a participant at this relay: the credentials shown, the keys that the origin's rulings
//! know the person by, and what follows from both.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tribune_protocol::control::trunk::Credentials;
use tribune_protocol::domain::access;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{DisplayName, ParticipantId, RoomName, Subject};
use tribune_protocol::log::LogPublicKey;
use tribune_protocol::token::{Entitlement, Parts, TokenError};

use crate::auth::Pass;
use crate::auth::invitation::verify_invitation;
use crate::auth::keys::INVITATION_KEY_NAME;
use crate::clock::WallClock;
use crate::room::authority::policy::Policy;
use crate::room::context::INVITED;
use crate::room::person_rulings::PersonRulings;
use crate::room::view::RoomView;

/// Credentials shown with a join or a one-shot request.
#[derive(Debug, Clone)]
pub enum Shown {
    /// Checked by this relay alone.
    Pass(Pass),
    /// An invitation: a token signed by the room's origin. It is checked when the origin's key is
    /// known, with the room's state.
    Invitation(String),
}

/// Credentials, checked.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// Nothing.
    Guest,
    /// Nothing, to a relay for development.
    Dev,
    /// A token.
    Token(Entitlement),
    /// An invitation.
    Invitation(Entitlement),
}

/// Identity of a participant, for as long as it is connected here.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// `None`: a guest, whose subject is made of the participant id.
    subject: Option<Subject>,
    keys: Keys,
    /// Highest role that it may join as.
    highest: Role,
    may_open: bool,
    /// Credentials of a relay for development, where everybody may be anything.
    is_dev: bool,
    /// The token lets it hear the room.
    may_listen: bool,
    /// `None` without a token.
    token: Option<TokenTimes>,
}

/// Times of a token, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenTimes {
    pub(crate) issued_at_s: u64,
    pub(crate) expires_at_s: u64,
}

/// Keys by which the origin's rulings know a person.
#[derive(Debug, Clone, Copy)]
struct Keys {
    participant: PersonKey,
    subject: PersonKey,
    address: PersonKey,
}

impl Shown {
    /// Tells an invitation from other tokens, by the name of its key. Nothing is believed of it yet.
    #[must_use]
    pub fn invitation(token: Option<&str>) -> Option<Self> {
        let token = token?;
        let parts = Parts::of(token).ok()?;
        (parts.key_name == INVITATION_KEY_NAME).then(|| Self::Invitation(token.to_owned()))
    }

    /// Finishes the check with the room's state.
    pub(crate) fn check(
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
    /// Display name that the token gives its bearer.
    pub(crate) const fn name(&self) -> Option<&DisplayName> {
        match self {
            Self::Guest | Self::Dev => None,
            Self::Token(entitlement) | Self::Invitation(entitlement) => entitlement.name.as_ref(),
        }
    }

    /// Credentials in the form that the room's access rule takes.
    pub(crate) const fn for_access(&self) -> access::Credentials<'_> {
        match self {
            Self::Guest => access::Credentials::Guest,
            Self::Dev => access::Credentials::Dev,
            Self::Token(entitlement) => access::Credentials::Token(&entitlement.attributes),
            Self::Invitation(entitlement) => {
                access::Credentials::Invitation(&entitlement.attributes)
            }
        }
    }

    /// Person behind the credentials, as this participant, from this address. Without a token, a relay
    /// for development gives everybody the role asked for.
    pub(crate) fn person(self, who: ParticipantId, address: IpAddr, asked: Role) -> Person {
        let is_dev = matches!(self, Self::Dev);
        let (highest, entitlement) = match self {
            Self::Guest => (Role::Listener, None),
            Self::Dev => (asked, None),
            Self::Token(entitlement) | Self::Invitation(entitlement) => {
                (entitlement.role, Some(entitlement))
            }
        };
        // An invitation for any bearer does not name a subject.
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
    pub(crate) const fn is_vouched_for(&self) -> bool {
        self.subject.is_some()
    }

    /// Subject over all sessions.
    pub(crate) fn subject(&self, who: ParticipantId) -> Subject {
        self.subject.clone().unwrap_or_else(|| Subject::guest(who))
    }

    /// Keys in the order in which rulings are looked up: participant, subject, address.
    pub(crate) const fn keys(&self) -> [PersonKey; 3] {
        [self.keys.participant, self.keys.subject, self.keys.address]
    }

    pub(crate) const fn subject_key(&self) -> PersonKey {
        self.keys.subject
    }

    pub(crate) const fn highest(&self) -> Role {
        self.highest
    }

    pub(crate) const fn may_listen(&self) -> bool {
        self.may_listen
    }

    pub(crate) const fn token(&self) -> Option<TokenTimes> {
        self.token
    }

    /// Rulings about the person with its present token.
    pub(crate) fn rulings(&self, view: RoomView<'_>) -> PersonRulings {
        view.rulings_about(self.keys(), self.token.map(|token| token.issued_at_s))
    }

    /// Rulings about the person with another token.
    pub(crate) fn rulings_with(&self, token: TokenTimes, view: RoomView<'_>) -> PersonRulings {
        view.rulings_about(self.keys(), Some(token.issued_at_s))
    }

    /// Takes a newer token of the same subject. In place nothing is gained: more rights of a newer
    /// token count with the next join.
    pub(crate) fn renew(&mut self, newer: &Self, policy: &Policy) {
        self.token = newer.token;
        if !policy.entitles(newer.highest, self.highest) {
            self.highest = newer.highest;
        }
        self.may_open &= newer.may_open;
    }

    /// Credentials that the origin is sent with an action.
    pub(crate) fn credentials(
        &self,
        who: ParticipantId,
        name: &DisplayName,
        barred: bool,
    ) -> Credentials {
        let (subject, name, role) = (self.subject(who), name.clone(), self.highest);
        Credentials { subject, name, role, may_open: self.may_open, barred, came_by: None }
    }

    /// Credentials to come on the stage. Where everybody may be anything, they may open the room too,
    /// whatever the role wanted.
    pub(crate) fn credentials_to_enter(
        &self,
        who: ParticipantId,
        name: &DisplayName,
    ) -> Credentials {
        let by = self.credentials(who, name, false);
        if self.is_dev { Credentials { role: Role::Host, ..by } } else { by }
    }
}

/// Time of a second of Unix time; `None` if it is out of reach.
pub(crate) fn instant_of(wall: &WallClock, unix_s: u64) -> Option<Instant> {
    let since = Duration::from_secs(unix_s).saturating_sub(Duration::from_micros(wall.unix_us));
    wall.at.checked_add(since)
}
