//! Participants of a room that are connected to this relay. Used by [`crate::room::Room`]; the hub
//! makes [`join`]s and [`oneshot`] requests of its messages.
//!
//! * [`join`], [`admission`] — a join, its checks and steps
//! * [`members`], [`person`], [`rights`], [`delivery`] — participants, their identity, role, permissions, and
//!   how frames come to them
//! * [`mod@dispatch`], [`pending`] — requests of members, and those that the origin has not answered
//! * [`oneshot`] — requests of people who do not join
//! * [`counts`] — what is counted here in a run: stays, joins by share link, reactions, messages, votes
//! * [`expiry`], [`overload`], [`refusal`] — tokens that run out, a full relay, refusals

mod admission;
mod answers;
pub(crate) mod counts;
mod delivery;
mod dispatch;
pub mod expiry;
pub mod join;
pub(crate) mod members;
pub mod oneshot;
pub mod overload;
mod pending;
pub mod person;
mod question_pace;
pub mod refusal;
mod reports;
pub(crate) mod rights;
mod stays;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::control::query::TreeQuery;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::room::RoomState;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId};
use tribune_protocol::quality::report::{ListenerReport, Report};

use self::admission::Admissions;
pub(crate) use self::admission::{JoinFacts, JoinStep};
pub(crate) use self::answers::Received;
use self::counts::Counts;
pub(crate) use self::dispatch::{Dispatch, answer, dispatch};
use self::expiry::Expiries;
pub(crate) use self::expiry::TokenStep;
use self::join::Admission;
use self::members::{Member, Members};
use self::oneshot::OneShots;
use self::pending::Pending;
use self::person::Shown;
use self::question_pace::QuestionPace;
use self::refusal::Refusal;
use crate::clock::WallClock;
use crate::messages::{Hears, LinkId, ViewKey};
use crate::outbox::Outbox;
use crate::room::view::RoomView;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Edge {
    members: Members,
    admissions: Admissions,
    pending: Pending,
    one_shots: OneShots,
    expiries: Expiries,
    counts: Counts,
    question_pace: QuestionPace,
}

/// Member that has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) link: LinkId,
    /// Its join was over.
    pub(crate) was_in: bool,
}

impl Edge {
    /// Nobody, and no run that is counted.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            members: Members::default(),
            admissions: Admissions::default(),
            pending: Pending::default(),
            one_shots: OneShots::default(),
            expiries: Expiries::default(),
            counts: Counts::new(now, 0, 0),
            question_pace: QuestionPace::default(),
        }
    }

    /// Sets the number of the next request to the origin.
    pub(crate) const fn number_requests_from(&mut self, first: u32) {
        self.pending.count_from(first);
    }

    /// Whether nobody is here, and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.members.len() == 0 && self.one_shots.is_empty()
    }

    /// Number of members, those about to join included.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Number of members that are in.
    pub(crate) const fn inside(&self) -> u64 {
        self.members.inside()
    }

    /// Number of members that are in and not on the stage.
    pub(crate) fn listeners(&self, state: &RoomState) -> u64 {
        let is_in = |who| self.members.get(who).is_some_and(Member::is_in);
        let on_stage = state.stage.iter().filter(|entry| is_in(entry.participant)).count();
        self.members.inside().saturating_sub(on_stage as u64)
    }

    /// Connections of the stage's participants who are in here. A connection that has not been let in
    /// speaks for nobody.
    pub(crate) fn stage_here(&self, state: &RoomState) -> BTreeMap<ParticipantId, LinkId> {
        let on_stage = state.stage.iter().map(|entry| entry.participant);
        let here = on_stage.filter_map(|who| {
            let member = self.members.get(who).filter(|member| member.is_in())?;
            Some((who, member.link()))
        });
        here.collect()
    }

    /// Connection of a member.
    pub(crate) fn connection(&self, who: ParticipantId) -> Option<LinkId> {
        self.members.get(who).map(Member::link)
    }

    /// Connection of a member that is in.
    pub(crate) fn connection_inside(&self, who: ParticipantId) -> Option<LinkId> {
        self.members.get(who).filter(|member| member.is_in()).map(Member::link)
    }

    /// Connections of those about to join.
    pub(crate) fn joining_links(&self) -> impl Iterator<Item = LinkId> {
        self.members.iter().filter(|(_, member)| !member.is_in()).map(|(_, member)| member.link())
    }

    /// Whether the origin knows of a member.
    pub(crate) fn has_acted(&self, who: ParticipantId) -> bool {
        self.members.get(who).is_some_and(Member::has_acted)
    }

    /// Members that are in and that the origin knows of.
    pub(crate) fn actors(&self) -> impl Iterator<Item = ParticipantId> {
        let actors = self.members.iter().filter(|(_, member)| member.has_acted() && member.is_in());
        actors.map(|(who, _)| who)
    }

    /// Members that are in and known by one of these keys.
    pub(crate) fn by_keys(&self, keys: &BTreeSet<PersonKey>) -> BTreeSet<ParticipantId> {
        keys.iter().flat_map(|key| self.members.by_key(*key)).collect()
    }

    /// Other members with the same subject as a member.
    pub(crate) fn other_sessions(&self, who: ParticipantId) -> Vec<ParticipantId> {
        let member = self.members.get(who);
        member.map(|member| self.members.same_subject(who, member.person())).unwrap_or_default()
    }

    /// Whether a participant was in until a moment ago. Once only.
    pub(crate) fn take_lost(&mut self, now: Instant, who: ParticipantId) -> bool {
        self.members.take_lost(now, who)
    }

    /// Remembers a member whose connection is lost, if it is in.
    pub(crate) fn note_lost(&mut self, now: Instant, who: ParticipantId) {
        if self.connection_inside(who).is_some() {
            self.members.note_lost(now, who);
        }
    }

    /// Lets a member into a room of so many listeners. Gives its join and its view of the room.
    pub(crate) fn let_in(
        &mut self,
        view: RoomView<'_>,
        who: ParticipantId,
        listeners: u64,
    ) -> Option<(Admission, ViewKey)> {
        let delivery = self.members.get_mut(who)?.delivery_mut();
        delivery.choose(&view.state.settings, listeners, view.audience_from);
        let key = rights::view_key(view, who, self.members.get(who));
        Some((self.members.let_in(who, key)?, key))
    }

    /// Takes a member's wish for another profile.
    pub(crate) fn set_profile(&mut self, who: ParticipantId, profile: Option<Profile>) {
        if let Some(member) = self.members.get_mut(who) {
            member.delivery_mut().set_wanted(profile);
        }
    }

    /// Removes a member, and all that waits for it.
    pub(crate) fn remove(&mut self, who: ParticipantId) -> Option<Left> {
        let member = self.members.remove(who)?;
        let (link, was_in) = (member.link(), member.is_in());
        self.pending.forget(link);
        if was_in {
            self.expiries.forget(who, member.person().token());
        }
        Some(Left { link, was_in })
    }

    /// Removes everybody. Gives their connections.
    pub(crate) fn clear(&mut self) -> Vec<LinkId> {
        self.expiries = Expiries::default();
        self.members.clear()
    }

    /// Message that tells a participant its rights.
    pub(crate) fn you(&self, view: RoomView<'_>, who: ParticipantId) -> You {
        rights::you(view, who, self.members.get(who))
    }

    /// Tells a member its rights.
    pub(crate) fn tell_rights(
        &self,
        view: RoomView<'_>,
        who: ParticipantId,
        reason: Note,
        out: &mut Outbox,
    ) {
        let Some(member) = self.members.get(who) else { return };
        let you = You { reason, ..rights::you(view, who, Some(member)) };
        out.to_participant(member.link(), None, &ToParticipant::You(you));
    }

    /// Has a member's view follow its rights. Gives connection and view, if that is a change.
    pub(crate) fn follow_rights(
        &mut self,
        view: RoomView<'_>,
        who: ParticipantId,
    ) -> Option<(LinkId, ViewKey)> {
        let key = rights::view_key(view, who, self.members.get(who));
        let member = self.members.get_mut(who)?;
        member.set_view(key).then(|| (member.link(), key))
    }

    /// Tells a member that is in the news about it. Gives the last reason, and whether it is barred.
    pub(crate) fn tell_news(
        &self,
        view: RoomView<'_>,
        who: ParticipantId,
        out: &mut Outbox,
    ) -> Option<(Note, bool)> {
        let member = self.members.get(who).filter(|member| member.is_in())?;
        let rulings = rights::rulings(view, Some(member));
        for news in &rulings.news {
            out.to_participant(member.link(), None, &ToParticipant::Moderated(news.clone()));
        }
        let reason = rulings.news.last().map(|news| news.reason.clone()).unwrap_or_default();
        Some((reason, rulings.bar.is_some()))
    }

    /// Checks a member's reaction, and notes it with the member.
    ///
    /// # Errors
    /// A refusal.
    pub(crate) fn react(
        &mut self,
        view: RoomView<'_>,
        now: Instant,
        who: ParticipantId,
        reaction: Reaction,
    ) -> Result<(), Refusal> {
        dispatch::react(view, &mut self.members, now, who, reaction)
    }

    /// Takes a member's quality report. `None`: it does not count, for it comes too soon or from a
    /// participant who hears nothing.
    pub(crate) fn take_report(
        &mut self,
        view: RoomView<'_>,
        now: Instant,
        who: ParticipantId,
        report: &Report,
    ) -> Option<Report> {
        let key = rights::view_key(view, who, self.members.get(who));
        let member = self.members.get_mut(who).filter(|member| member.is_in())?;
        let report = Report { is_delayed: !key.profile.is_live(), ..report.bounded() };
        (key.hears != Hears::Nothing && member.take_report(now, report)).then_some(report)
    }

    /// Tells members on the stage what to protect against, as far as they have been told something else.
    pub(crate) fn tell_protection(
        &mut self,
        here: &BTreeMap<ParticipantId, LinkId>,
        protection: Protection,
        out: &mut Outbox,
    ) {
        for (who, link) in here {
            let member = self.members.get_mut(*who);
            if member.is_some_and(|member| member.set_protection(protection)) {
                out.to_participant(*link, None, &ToParticipant::Protect { protection });
            }
        }
    }

    /// Last reports of members, as far as a query asks for them.
    pub(crate) fn reports(
        &self,
        view: RoomView<'_>,
        now: Instant,
        about: &TreeQuery,
        relay: &DisplayName,
    ) -> Vec<ListenerReport> {
        reports::reports(&self.members, view, now, about, relay)
    }

    /// Members, for what is counted of them.
    pub(crate) const fn members(&self) -> &Members {
        &self.members
    }

    /// Members, for what is noted with them.
    pub(crate) const fn members_mut(&mut self) -> &mut Members {
        &mut self.members
    }

    /// Counts of this relay in the present run.
    pub(crate) const fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Counts of this relay in the present run, to be read.
    pub(crate) const fn counted(&self) -> &Counts {
        &self.counts
    }

    /// Pace of questions at this relay.
    pub(crate) const fn question_pace(&mut self) -> &mut QuestionPace {
        &mut self.question_pace
    }

    /// Takes a member's newer token.
    ///
    /// # Errors
    /// A refusal.
    pub(crate) fn renew(
        &mut self,
        view: RoomView<'_>,
        now_s: u64,
        who: ParticipantId,
        shown: &Shown,
    ) -> Result<(), Refusal> {
        let Some(member) = self.members.get_mut(who) else { return Ok(()) };
        let renewed = expiry::renewal(view, now_s, who, member.person(), shown)?;
        self.expiries.forget(who, member.person().token());
        member.renew(renewed);
        Ok(())
    }

    /// Notes when a member's token runs out. Whether it has one.
    pub(crate) fn watch_token(&mut self, who: ParticipantId) -> bool {
        let token = self.members.get(who).and_then(|member| member.person().token());
        if let Some(token) = token {
            self.expiries.watch(who, token);
        }
        token.is_some()
    }

    /// The next step in the expiry of a member's token, with its connection.
    pub(crate) fn pop_expiry(&mut self, now_s: u64) -> Option<(ParticipantId, LinkId, TokenStep)> {
        while let Some((who, step)) = self.expiries.pop_due(now_s) {
            if let Some(link) = self.connection(who) {
                return Some((who, link, step));
            }
        }
        None
    }

    /// One-shot requests.
    pub(crate) const fn one_shots(&mut self) -> &mut OneShots {
        &mut self.one_shots
    }

    /// When something here is given up or runs out next.
    pub(crate) fn due(&self, wall: &WallClock) -> Option<Instant> {
        let due = [self.admissions.due(), self.expiries.due(wall), self.one_shots.due()];
        due.into_iter().flatten().min()
    }
}
