//! Expiry of tokens: a member is warned, can show a newer token, and is closed otherwise.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::ParticipantId;

use super::person::{Person, Shown, TokenTimes, instant_of};
use super::refusal::Refusal;
use crate::clock::WallClock;
use crate::room::view::RoomView;

/// How long before its end a token's bearer is warned.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(60);

/// Deadlines of members' tokens, in seconds since 1970: by time, so that nobody looks through all
/// members. Two entries a member at most.
#[derive(Debug, Default)]
pub(crate) struct Expiries(BTreeSet<(u64, ParticipantId, Step)>);

/// Step in the expiry of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenStep {
    /// The token runs out in so many seconds.
    Warn { in_s: u32 },
    /// The token has run out.
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Warn,
    Close,
}

impl Expiries {
    /// Notes a member's token.
    pub(crate) fn watch(&mut self, who: ParticipantId, token: TokenTimes) {
        let end_s = token.expires_at_s;
        let warn_s = end_s.saturating_sub(EXPIRY_WARNING.as_secs());
        self.0.insert((warn_s, who, Step::Warn));
        self.0.insert((end_s, who, Step::Close));
    }

    /// Forgets a member's token.
    pub(crate) fn forget(&mut self, who: ParticipantId, token: Option<TokenTimes>) {
        let Some(TokenTimes { expires_at_s, .. }) = token else { return };
        let warn_s = expires_at_s.saturating_sub(EXPIRY_WARNING.as_secs());
        self.0.remove(&(warn_s, who, Step::Warn));
        self.0.remove(&(expires_at_s, who, Step::Close));
    }

    /// The next step whose time has come.
    pub(crate) fn pop_due(&mut self, now_s: u64) -> Option<(ParticipantId, TokenStep)> {
        let first = *self.0.first().filter(|(at_s, ..)| *at_s <= now_s)?;
        self.0.remove(&first);
        let (at_s, who, step) = first;
        let step = match step {
            Step::Warn => {
                let end_s = at_s + EXPIRY_WARNING.as_secs();
                let in_s = u32::try_from(end_s.saturating_sub(now_s)).unwrap_or(u32::MAX);
                TokenStep::Warn { in_s }
            }
            Step::Close => TokenStep::Close,
        };
        Some((who, step))
    }

    /// When [`Self::pop_due`] has something next.
    pub(crate) fn due(&self, wall: &WallClock) -> Option<Instant> {
        let (at_s, ..) = self.0.first()?;
        instant_of(wall, *at_s)
    }
}

/// The person of a newer token, if it renews that of `person`.
///
/// # Errors
/// A refusal: a bad token, another subject, or a person barred meanwhile.
pub(crate) fn renewal(
    view: RoomView<'_>,
    now_s: u64,
    who: ParticipantId,
    person: &Person,
    shown: &Shown,
) -> Result<Person, Refusal> {
    let proof = shown.check(&view.state.room, view.state.key, now_s)?;
    let newer = proof.person(who, std::net::Ipv4Addr::UNSPECIFIED.into(), Role::Listener);
    let token = newer.token().filter(|_| newer.subject(who) == person.subject(who));
    let Some(token) = token else {
        let text = "The newer token has to be for the subject that has joined.";
        return Err(Refusal::new(ErrorCode::NotPermitted, text));
    };
    if let Some(bar) = person.rulings_with(token, view).bar {
        return Err(Refusal::new(ErrorCode::Barred, bar.sentence()));
    }
    let mut renewed = person.clone();
    renewed.renew(&newer, view.policy);
    Ok(renewed)
}
