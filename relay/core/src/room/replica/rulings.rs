//! What the origin has ruled about persons, as every relay of a room holds it, and what an edge does
//! by it: those who are barred go, those whose role or permissions change are told. Used by
//! [`crate::room::Room`].
//!
//! Rulings come before the state of their revision and are in force with it, so that the confirmation
//! of a state covers them too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::{Moderated, ToParticipant};
use tribune_protocol::control::trunk::{Action, ToChild};
use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::room::{Role, Ruling};
use tribune_protocol::ids::{Channel, DisplayName, Note, ParticipantId};
use tribune_protocol::limits::{MAX_LIFTED_A_MESSAGE, MAX_RULINGS, MAX_RULINGS_A_MESSAGE};
use tribune_protocol::log::utc;

use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::edge::person::{Keys, TokenTimes};
use crate::room::{Place, Room};

/// Bytes of rulings in one message: what is left of its 16 KiB beside the envelope.
const PAGE_BYTES: usize = 15 * 1024;
/// Bytes of a ruling without its texts: the keys of its map, numbers and its person's key.
const RULING_BYTES: usize = 160;

/// Bytes of what has just been done, without its texts.
const NEWS_BYTES: usize = 96;

/// The rulings of a room; at most [`MAX_RULINGS`], which its origin keeps to.
#[derive(Debug, Default)]
pub(in crate::room) struct Rulings {
    held: BTreeMap<PersonKey, Ruling>,
    /// What was held before the parent began to say everything anew. It counts until the state comes,
    /// so that nobody slips in between two parts.
    before: BTreeMap<PersonKey, Ruling>,
    /// TreeQuery whom there is something new since the last state.
    touched: BTreeSet<PersonKey>,
}

/// More rulings than an origin makes: whoever sends them is none to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyRulings;

/// All that is ruled about one person.
#[derive(Debug, Default)]
pub(in crate::room) struct Standing {
    /// They may not be in the room.
    pub(in crate::room) bar: Option<Bar>,
    /// The role that they have instead of the one that they have shown.
    pub(in crate::room) role: Option<Role>,
    pub(in crate::room) allow: PermissionSet,
    pub(in crate::room) deny: PermissionSet,
    pub(in crate::room) invited_by: Option<DisplayName>,
    /// What has just been done.
    news: Vec<Moderated>,
}

/// Why somebody may not be in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::room) struct Bar {
    entry: u64,
    until_s: u64,
}

impl Rulings {
    /// Takes what is new.
    ///
    /// # Errors
    /// [`TooManyRulings`]; what is over the limit is not kept.
    fn take(&mut self, rulings: &[Ruling], lifted: &[PersonKey]) -> Result<(), TooManyRulings> {
        for who in lifted {
            self.held.remove(who);
            self.touched.insert(*who);
        }
        for ruling in rulings {
            let is_known = self.held.contains_key(&ruling.who);
            if !is_known && self.held.len() >= MAX_RULINGS {
                return Err(TooManyRulings);
            }
            self.held.insert(ruling.who, ruling.clone());
            self.touched.insert(ruling.who);
        }
        Ok(())
    }

    /// Everything is about to be said anew.
    fn reset(&mut self) {
        self.before = std::mem::take(&mut self.held);
        self.touched.extend(self.before.keys().copied());
    }

    pub(in crate::room) fn len(&self) -> usize {
        self.held.len()
    }

    /// What is ruled about somebody with these keys and that token.
    pub(in crate::room) fn standing(&self, keys: &Keys, token: Option<TokenTimes>) -> Standing {
        let mut standing = Standing::default();
        // The last one that bars says until when: a ban of a subject lasts longer than a kick.
        for key in keys.all() {
            let ruling = self.held.get(&key).or_else(|| self.before.get(&key));
            let Some(ruling) = ruling else { continue };
            let outdated = token.is_some_and(|token| {
                ruling.tokens_after_s > 0 && token.issued_at_s <= ruling.tokens_after_s
            });
            if ruling.barred || outdated {
                standing.bar = Some(Bar { entry: ruling.entry, until_s: ruling.until_s });
            }
            standing.role = standing.role.or(ruling.role);
            standing.allow = standing.allow.union(ruling.allow);
            standing.deny = standing.deny.union(ruling.deny);
            standing.invited_by = standing.invited_by.or_else(|| ruling.invited_by.clone());
            // One decision can have a ruling for each key; it is told once.
            let known = |news: &&Moderated| !standing.news.contains(news);
            standing.news.extend(ruling.news.as_ref().filter(known).cloned());
        }
        standing
    }

    /// TreeQuery whom there is something new, now that the state has come that it belongs to.
    fn take_touched(&mut self) -> BTreeSet<PersonKey> {
        self.before.clear();
        std::mem::take(&mut self.touched)
    }

    /// Forgets news that have been told, and rulings that said nothing else.
    fn forget_news(&mut self, touched: &BTreeSet<PersonKey>) {
        for who in touched {
            let Some(ruling) = self.held.get_mut(who) else { continue };
            ruling.news = None;
            if is_void(ruling) {
                self.held.remove(who);
            }
        }
    }
}

impl Standing {
    /// What somebody of that role may do, who stands like this.
    pub(in crate::room) const fn may(&self, by_role: PermissionSet) -> PermissionSet {
        by_role.union(self.allow).minus(self.deny)
    }
}

impl Bar {
    /// What to tell somebody who is not let in.
    pub(in crate::room) fn sentence(&self) -> String {
        let until = match self.until_s {
            0 => String::new(),
            until_s => format!(" until {}", utc(until_s.saturating_mul(1_000))),
        };
        let appeal = match self.entry {
            0 => String::new(),
            entry => format!(" It is entry {entry} of the room's log, and one appeal can be made."),
        };
        format!("A moderator keeps you out of this room{until}.{appeal}")
    }
}

impl Room {
    /// The parent says what is ruled about persons. It is in force with the next state.
    ///
    /// # Errors
    /// [`TooManyRulings`]: what the parent says is not to be followed.
    pub fn handle_rulings(
        &mut self,
        reset: bool,
        rulings: &[Ruling],
        lifted: &[PersonKey],
        out: &mut Outbox,
    ) -> Result<(), TooManyRulings> {
        if reset {
            self.rulings.reset();
        }
        self.rulings.take(rulings, lifted)?;
        for (link, child) in &self.children {
            let channel = child.channel;
            send_pages(*link, channel, reset, rulings.iter(), lifted, out);
        }
        Ok(())
    }

    /// As [`Self::handle_rulings`], from the authority beside.
    pub(in crate::room) fn rule(
        &mut self,
        rulings: &[Ruling],
        lifted: &[PersonKey],
        out: &mut Outbox,
    ) {
        debug_assert!(matches!(self.place, Place::Origin(_)));
        if self.handle_rulings(false, rulings, lifted, out).is_err() {
            tracing::error!(room = %self.name(), "the origin has made more rulings than it may");
        }
    }

    /// Everything that is ruled, to a child that has just subscribed.
    pub(in crate::room) fn send_rulings(&self, link: LinkId, channel: Channel, out: &mut Outbox) {
        send_pages(link, channel, true, self.rulings.held.values(), &[], out);
    }

    /// Rulings about persons that are held here.
    #[must_use]
    pub fn rulings(&self) -> usize {
        self.rulings.len()
    }

    /// Acts by what is new, with the state that it belongs to: those who are barred go, the others
    /// are told where they stand.
    pub(in crate::room) fn follow_rulings(&mut self, now: Instant, out: &mut Outbox) {
        let touched = self.rulings.take_touched();
        let mut members = BTreeSet::new();
        for key in &touched {
            let all = (*key, ParticipantId(0))..=(*key, ParticipantId(u64::MAX));
            members.extend(self.persons.range(all).map(|(_, who)| *who));
        }
        for who in members {
            let Some(member) = self.members.get(&who).filter(|member| member.is_in()) else {
                continue; // a join under way is judged anew, with this state
            };
            let standing = self.standing(&member.person);
            let link = member.link();
            for news in &standing.news {
                out.to_participant(link, None, &ToParticipant::Moderated(news.clone()));
            }
            let reason = standing.news.last().map(|news| news.reason.clone()).unwrap_or_default();
            if standing.bar.is_some() {
                self.expel(now, who, &reason, out);
            } else {
                self.follow_stage(who, out);
                self.tell_place(who, reason, out);
            }
        }
        self.rulings.forget_news(&touched);
    }

    fn expel(&mut self, now: Instant, who: ParticipantId, reason: &Note, out: &mut Outbox) {
        let Some(member) = self.members.get(&who) else { return };
        let (link, acted) = (member.link(), member.acted);
        self.remove(now, who, out);
        if acted {
            // Who is behind an address, or has an old token, the origin does not know.
            self.act(now, who, None, None, Action::Left {}, out);
        }
        let code = CloseCode::Kicked;
        let reason = match reason.as_str() {
            "" => code.to_string(),
            reason => reason.to_owned(),
        };
        out.close(link, code, reason);
    }
}

/// Rulings in as many messages as they take; at least one if `reset` has to be said.
fn send_pages<'a>(
    link: LinkId,
    channel: Channel,
    mut reset: bool,
    rulings: impl Iterator<Item = &'a Ruling>,
    lifted: &[PersonKey],
    out: &mut Outbox,
) {
    let mut send = |rulings: Vec<Ruling>, lifted: Vec<PersonKey>| {
        if reset || !rulings.is_empty() || !lifted.is_empty() {
            let reset = std::mem::take(&mut reset);
            out.to_child(link, &ToChild::Rulings { channel, reset, rulings, lifted });
        }
    };
    let (mut page, mut bytes) = (Vec::new(), 0);
    for ruling in rulings {
        let more = bytes_of(ruling);
        if page.len() == MAX_RULINGS_A_MESSAGE || bytes + more > PAGE_BYTES {
            send(std::mem::take(&mut page), Vec::new());
            bytes = 0;
        }
        bytes += more;
        page.push(ruling.clone());
    }
    send(page, Vec::new());
    for lifted in lifted.chunks(MAX_LIFTED_A_MESSAGE) {
        send(Vec::new(), lifted.to_vec());
    }
}

/// Whether a ruling leaves everything as it is for others.
fn is_void(ruling: &Ruling) -> bool {
    let Ruling { entry, until_s, .. } = *ruling;
    *ruling == Ruling { entry, until_s, ..Ruling::about(ruling.who) }
}

/// An upper bound of a ruling's size on the wire.
fn bytes_of(ruling: &Ruling) -> usize {
    let words = ruling.allow.iter().chain(ruling.deny.iter());
    let words: usize = words.map(|permission| permission.as_str().len() + 2).sum();
    let invited = ruling.invited_by.as_ref().map_or(0, |name| name.as_str().len());
    let role = ruling.role.map_or(0, |role| role.as_str().len());
    let news = ruling.news.as_ref().map_or(0, |news| {
        let by = news.by.as_ref().map_or(0, |name| name.as_str().len());
        NEWS_BYTES + news.reason.as_str().len() + by
    });
    RULING_BYTES + words + invited + role + news
}
