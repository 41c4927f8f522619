//! Tokens that run out: a member is warned, can show a newer token, and is closed otherwise. Used by
//! [`crate::room::Room`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::room::Role;
use tribune_protocol::ids::{ParticipantId, RequestId};

use crate::outbox::{Noted, Outbox};
use crate::room::Room;
use crate::room::edge::dispatch::answer;
use crate::room::edge::person::{Shown, TokenTimes};

/// How long before its end a token's bearer is warned.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(60);

/// When something is to be done about members' tokens, in seconds since 1970: by time, so that nobody
/// looks through all members. Two entries a member at most.
#[derive(Debug, Default)]
pub(in crate::room) struct Expiries(BTreeSet<(u64, ParticipantId, Step)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Warn,
    Close,
}

impl Expiries {
    fn watch(&mut self, who: ParticipantId, token: TokenTimes) {
        let end_s = token.expires_at_s;
        let warn_s = end_s.saturating_sub(EXPIRY_WARNING.as_secs());
        self.0.insert((warn_s, who, Step::Warn));
        self.0.insert((end_s, who, Step::Close));
    }

    pub(in crate::room) fn forget(&mut self, who: ParticipantId, token: Option<TokenTimes>) {
        let Some(TokenTimes { expires_at_s, .. }) = token else { return };
        let warn_s = expires_at_s.saturating_sub(EXPIRY_WARNING.as_secs());
        self.0.remove(&(warn_s, who, Step::Warn));
        self.0.remove(&(expires_at_s, who, Step::Close));
    }

    fn pop_due(&mut self, now_s: u64) -> Option<(u64, ParticipantId, Step)> {
        let first = *self.0.first().filter(|(at_s, ..)| *at_s <= now_s)?;
        self.0.remove(&first);
        Some(first)
    }
}

impl Room {
    /// A member shows a newer token, which [`Shown::check`] has to find good.
    pub fn handle_renewal(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        shown: &Shown,
        out: &mut Outbox,
    ) {
        let Some(member) = self.members.get(&who).filter(|member| member.is_in()) else { return };
        let link = member.link();
        let result = self.renew(now, who, shown);
        if result.is_ok() {
            out.note(Noted::TokenRenewed);
            self.watch_token(now, who, out);
        }
        answer(link, request, result, out);
    }

    fn renew(
        &mut self,
        now: Instant,
        who: ParticipantId,
        shown: &Shown,
    ) -> Result<(), (ErrorCode, String)> {
        let now_s = self.setup.wall.unix_us(now) / 1_000_000;
        let proof = shown.check(self.name(), self.state.key, now_s);
        let proof = proof.map_err(|error| (error.code(), error.to_string()))?;
        let newer = proof.person(who, std::net::Ipv4Addr::UNSPECIFIED.into(), Role::Listener);
        let Some(member) = self.members.get(&who) else { return Ok(()) };
        if newer.token.is_none() || newer.subject(who) != member.person.subject(who) {
            let text = "The newer token has to be for the subject that has joined.".to_owned();
            return Err((ErrorCode::NotPermitted, text));
        }
        if let Some(bar) = self.rulings.standing(&member.person.keys, newer.token).bar {
            return Err((ErrorCode::Barred, bar.sentence()));
        }
        self.expiries.forget(who, member.person.token);
        let policy = std::sync::Arc::clone(&self.setup.policy);
        let Some(member) = self.members.get_mut(&who) else { return Ok(()) };
        let person = &mut member.person;
        person.token = newer.token;
        // In place nothing is gained; what a newer token gives more counts with the next join.
        if !policy.entitles(newer.highest, person.highest) {
            person.highest = newer.highest;
        }
        person.may_open &= newer.may_open;
        Ok(())
    }

    /// Notes when a member's token runs out.
    pub(in crate::room) fn watch_token(
        &mut self,
        now: Instant,
        who: ParticipantId,
        out: &mut Outbox,
    ) {
        let Some(token) = self.members.get(&who).and_then(|member| member.person.token) else {
            return;
        };
        self.expiries.watch(who, token);
        self.check_tokens(now, out);
    }

    /// Warns those whose tokens run out, and parts with those whose have.
    pub(in crate::room) fn check_tokens(&mut self, now: Instant, out: &mut Outbox) {
        let now_s = self.setup.wall.unix_us(now) / 1_000_000;
        while let Some((at_s, who, step)) = self.expiries.pop_due(now_s) {
            let Some(member) = self.members.get(&who) else { continue };
            let link = member.link();
            match step {
                Step::Warn => {
                    let end_s = at_s + EXPIRY_WARNING.as_secs();
                    let in_s = u32::try_from(end_s.saturating_sub(now_s)).unwrap_or(u32::MAX);
                    out.to_participant(link, None, &ToParticipant::TokenExpires { in_s });
                }
                Step::Close => {
                    out.note(Noted::TokenExpired);
                    out.close(link, CloseCode::TokenExpired, CloseCode::TokenExpired.to_string());
                    self.handle_leave(now, who, false, out);
                }
            }
        }
    }

    pub(in crate::room) fn token_due(&self) -> Option<Instant> {
        let (at_s, ..) = self.expiries.0.first()?;
        crate::room::edge::person::instant_of(&self.setup.wall, *at_s)
    }
}
