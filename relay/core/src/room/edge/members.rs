//! Members: participants of one room on this relay, from the join until they leave. A table; decisions
//! about it are made beside it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::share::Share;
use tribune_protocol::ids::{DisplayName, ParticipantId};
use tribune_protocol::limits::{MIN_REPORT_PERIOD, RECONNECT_GRACE, REPORT_PERIOD};
use tribune_protocol::quality::report::Report;

use super::delivery::Delivery;
use super::join::{Admission, Stay};
use super::person::Person;
use crate::messages::{LinkId, ViewKey};

/// Lost connections of a room that are remembered: all of a relay whose network fails.
const MAX_LOST: usize = 10_000;

/// A participant on this relay.
#[derive(Debug)]
pub(crate) struct Member {
    link: LinkId,
    name: DisplayName,
    person: Person,
    joined_as: Role,
    stay: Stay,
    /// The origin knows of it: it has a role, a raised hand, or had.
    acted: bool,
    /// Place in the queue of hands, as the origin said last.
    hand: Option<u32>,
    reacted_at: Option<Instant>,
    wrote_at: Option<Instant>,
    /// Share link by which it came.
    came_by: Option<Share>,
    report: Option<(Instant, Report)>,
    delivery: Delivery,
    /// When the next report would come at the pace of one in each period.
    report_due: Option<Instant>,
    /// Protection that it has been told.
    protection: Protection,
}

/// All members, by id and by the keys of rulings.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_id: BTreeMap<ParticipantId, Member>,
    /// Members that are in, three keys each.
    by_key: BTreeSet<(PersonKey, ParticipantId)>,
    /// Number of members that are in.
    inside: u64,
    lost: Lost,
}

/// Participants whose connection was lost a moment ago, so that a locked or full room takes them back.
#[derive(Debug, Default)]
struct Lost {
    /// Deadlines for coming back, soonest first.
    queue: VecDeque<(Instant, ParticipantId)>,
    until: BTreeMap<ParticipantId, Instant>,
}

impl Member {
    /// A member whose join begins.
    pub(crate) fn joining(admission: Admission, person: Person, acted: bool, was_in: bool) -> Self {
        let delivery = Delivery::new(admission.transport, admission.profile, admission.redundancy);
        Self {
            link: admission.link,
            name: admission.name.clone(),
            person,
            joined_as: admission.role,
            stay: Stay::Joining { admission: Box::new(admission), asked: false, was_in },
            acted,
            hand: None,
            reacted_at: None,
            wrote_at: None,
            came_by: None,
            report: None,
            delivery,
            report_due: None,
            protection: Protection::default(),
        }
    }

    pub(crate) const fn is_in(&self) -> bool {
        match self.stay {
            Stay::In { .. } => true,
            Stay::Joining { .. } => false,
        }
    }

    pub(crate) const fn link(&self) -> LinkId {
        self.link
    }

    pub(crate) const fn name(&self) -> &DisplayName {
        &self.name
    }

    pub(crate) const fn person(&self) -> &Person {
        &self.person
    }

    /// Role of the join: the one off the stage, unless a ruling says otherwise.
    pub(crate) const fn joined_as(&self) -> Role {
        self.joined_as
    }

    pub(crate) const fn stay(&self) -> &Stay {
        &self.stay
    }

    /// The join that is under way.
    pub(crate) fn admission(&self) -> Option<&Admission> {
        match &self.stay {
            Stay::Joining { admission, .. } => Some(admission),
            Stay::In { .. } => None,
        }
    }

    pub(crate) const fn has_acted(&self) -> bool {
        self.acted
    }

    pub(crate) const fn hand(&self) -> Option<u32> {
        self.hand
    }

    /// Last quality report, and its time.
    pub(crate) const fn report(&self) -> Option<(Instant, Report)> {
        self.report
    }

    /// Takes the credentials and the name as checked.
    pub(crate) fn identify(&mut self, person: Person, name: DisplayName) {
        (self.person, self.name) = (person, name);
    }

    /// Takes the credentials of a renewed token.
    pub(crate) fn renew(&mut self, person: Person) {
        self.person = person;
    }

    pub(crate) const fn note_acted(&mut self) {
        self.acted = true;
    }

    pub(crate) const fn set_hand(&mut self, hand: Option<u32>) {
        self.hand = hand;
    }

    /// Notes whether the origin has been asked about a join under way.
    pub(crate) const fn set_asked(&mut self, is_asked: bool) {
        if let Stay::Joining { asked, .. } = &mut self.stay {
            *asked = is_asked;
        }
    }

    /// Profile and redundancy.
    pub(crate) const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Profile and redundancy, to be changed.
    pub(crate) const fn delivery_mut(&mut self) -> &mut Delivery {
        &mut self.delivery
    }

    /// Changes the view of a member that is in. Whether that is a change.
    pub(crate) fn set_view(&mut self, wanted: ViewKey) -> bool {
        match &mut self.stay {
            Stay::In { view } if *view != wanted => {
                *view = wanted;
                true
            }
            Stay::In { .. } | Stay::Joining { .. } => false,
        }
    }

    /// Takes a quality report, unless the last one is too recent. One that is early by the pace of one in
    /// each period counts for as long as that has been made up for: nobody has more than one voice.
    pub(crate) fn take_report(&mut self, now: Instant, report: Report) -> bool {
        let soon = |(at, _): &(Instant, Report)| now < *at + MIN_REPORT_PERIOD;
        let due = self.report_due.unwrap_or(now);
        let early = due.saturating_duration_since(now);
        let counts = !self.report.as_ref().is_some_and(soon)
            && early <= REPORT_PERIOD.saturating_sub(MIN_REPORT_PERIOD);
        if counts {
            self.delivery.handle_report(&report);
            self.report = Some((now, report));
            self.report_due = Some(due.max(now) + REPORT_PERIOD);
        }
        counts
    }

    /// Notes a protection as told. Whether it has been told something else before.
    pub(crate) fn set_protection(&mut self, protection: Protection) -> bool {
        std::mem::replace(&mut self.protection, protection) != protection
    }

    /// Share link by which it came.
    pub(crate) const fn came_by(&self) -> Option<&Share> {
        self.came_by.as_ref()
    }

    /// Notes the share link by which it came.
    pub(crate) fn set_came_by(&mut self, share: Option<Share>) {
        self.came_by = share;
    }

    /// Notes a message or question, unless the last one is less than `pause` ago.
    ///
    /// # Errors
    /// When the next one can be sent.
    pub(crate) fn write(&mut self, now: Instant, pause: Duration) -> Result<(), Instant> {
        match self.wrote_at.map(|last| last + pause).filter(|next| *next > now) {
            Some(next) => Err(next),
            None => {
                self.wrote_at = Some(now);
                Ok(())
            }
        }
    }

    /// Notes a reaction, unless the last one is less than `pause` ago.
    ///
    /// # Errors
    /// When the next one can be sent.
    pub(crate) fn react(&mut self, now: Instant, pause: Duration) -> Result<(), Instant> {
        match self.reacted_at.map(|last| last + pause).filter(|next| *next > now) {
            Some(next) => Err(next),
            None => {
                self.reacted_at = Some(now);
                Ok(())
            }
        }
    }
}

impl Members {
    pub(crate) fn get(&self, who: ParticipantId) -> Option<&Member> {
        self.by_id.get(&who)
    }

    pub(crate) fn get_mut(&mut self, who: ParticipantId) -> Option<&mut Member> {
        self.by_id.get_mut(&who)
    }

    /// All members, those about to join included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ParticipantId, &Member)> {
        self.by_id.iter().map(|(who, member)| (*who, member))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_id.values_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Number of members that are in.
    pub(crate) const fn inside(&self) -> u64 {
        self.inside
    }

    pub(crate) fn insert(&mut self, who: ParticipantId, member: Member) {
        self.by_id.insert(who, member);
    }

    /// Lets a member in. Gives its join.
    pub(crate) fn let_in(&mut self, who: ParticipantId, view: ViewKey) -> Option<Admission> {
        let member = self.by_id.get_mut(&who)?;
        match std::mem::replace(&mut member.stay, Stay::In { view }) {
            Stay::Joining { admission, .. } => {
                self.by_key.extend(member.person.keys().map(|key| (key, who)));
                self.inside += 1;
                Some(*admission)
            }
            stay @ Stay::In { .. } => {
                member.stay = stay;
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, who: ParticipantId) -> Option<Member> {
        let member = self.by_id.remove(&who)?;
        if member.is_in() {
            for key in member.person.keys() {
                self.by_key.remove(&(key, who));
            }
            self.inside -= 1;
        }
        Some(member)
    }

    /// Removes everybody. Gives their connections.
    pub(crate) fn clear(&mut self) -> Vec<LinkId> {
        let links = self.by_id.values().map(Member::link).collect();
        self.by_id.clear();
        self.by_key.clear();
        self.inside = 0;
        links
    }

    /// Members that are in and known by a key.
    pub(crate) fn by_key(&self, key: PersonKey) -> impl Iterator<Item = ParticipantId> {
        let all = (key, ParticipantId(0))..=(key, ParticipantId(u64::MAX));
        self.by_key.range(all).map(|(_, who)| *who)
    }

    /// Other members with the same subject. Guests have one of their own each.
    pub(crate) fn same_subject(&self, who: ParticipantId, person: &Person) -> Vec<ParticipantId> {
        if !person.is_vouched_for() {
            return Vec::new();
        }
        self.by_key(person.subject_key()).filter(|id| *id != who).collect()
    }

    /// Remembers a participant whose connection is lost.
    pub(crate) fn note_lost(&mut self, now: Instant, who: ParticipantId) {
        self.lost.insert(now, who);
    }

    /// Whether a participant was in until a moment ago. Once only.
    pub(crate) fn take_lost(&mut self, now: Instant, who: ParticipantId) -> bool {
        self.lost.until.remove(&who).is_some_and(|until| until > now)
    }
}

impl Lost {
    fn insert(&mut self, now: Instant, who: ParticipantId) {
        while self.queue.front().is_some_and(|(until, _)| *until <= now)
            || self.queue.len() >= MAX_LOST
        {
            let Some((until, who)) = self.queue.pop_front() else { break };
            if self.until.get(&who) == Some(&until) {
                self.until.remove(&who);
            }
        }
        self.queue.push_back((now + RECONNECT_GRACE, who));
        self.until.insert(who, now + RECONNECT_GRACE);
    }
}
