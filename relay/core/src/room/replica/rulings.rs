//! Copy of the origin's rulings about persons, held by every relay of a room and passed on to its
//! children. Part of [`crate::room::replica::Replica`].
//!
//! Rulings come before the state of their revision and are in force with it, so that the confirmation
//! of a state covers them too.

use std::collections::{BTreeMap, BTreeSet};

use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::Channel;
use tribune_protocol::limits::{MAX_LIFTED_A_MESSAGE, MAX_RULINGS, MAX_RULINGS_A_MESSAGE};

use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::person_rulings::PersonRulings;

/// Bytes of rulings in one message: the rest of its 16 KiB beside the envelope.
const PAGE_BYTES: usize = 15 * 1024;
/// Bytes of a ruling without its texts: the keys of its map, numbers and its person's key.
const RULING_BYTES: usize = 160;
/// Bytes of a ruling's news without its texts.
const NEWS_BYTES: usize = 96;

/// Rulings of a room; at most [`MAX_RULINGS`], the origin's own limit.
#[derive(Debug, Default)]
pub(crate) struct RulingsCopy {
    held: BTreeMap<PersonKey, Ruling>,
    /// Rulings held before the parent began to send everything anew. They count until the state
    /// comes, so that nobody slips in between two parts.
    before: BTreeMap<PersonKey, Ruling>,
    /// Persons with a changed ruling since the last state.
    touched: BTreeSet<PersonKey>,
}

/// More rulings than an origin makes. The relay that sends them is not to be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyRulings;

impl RulingsCopy {
    /// Takes new and lifted rulings. `reset`: they replace everything held so far.
    ///
    /// # Errors
    /// [`TooManyRulings`]; rulings over the limit are not kept.
    pub(crate) fn take(
        &mut self,
        reset: bool,
        rulings: &[Ruling],
        lifted: &[PersonKey],
    ) -> Result<(), TooManyRulings> {
        if reset {
            self.before = std::mem::take(&mut self.held);
            self.touched.extend(self.before.keys().copied());
        }
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

    /// Number of rulings held.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Rulings about the person with these keys, whose token was issued at that second of Unix time.
    pub(crate) fn about(
        &self,
        keys: [PersonKey; 3],
        token_issued_at_s: Option<u64>,
    ) -> PersonRulings {
        let mut sum = PersonRulings::default();
        for key in keys {
            let ruling = self.held.get(&key).or_else(|| self.before.get(&key));
            let Some(ruling) = ruling else { continue };
            let outdated = token_issued_at_s.is_some_and(|issued_at_s| {
                ruling.tokens_after_s > 0 && issued_at_s <= ruling.tokens_after_s
            });
            sum.add(ruling, outdated);
        }
        sum
    }

    /// Persons with a changed ruling, once the state has come that the change belongs to.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<PersonKey> {
        self.before.clear();
        std::mem::take(&mut self.touched)
    }

    /// Forgets news that have been told, and rulings that said nothing else.
    pub(crate) fn forget_news(&mut self, touched: &BTreeSet<PersonKey>) {
        for who in touched {
            let Some(ruling) = self.held.get_mut(who) else { continue };
            ruling.news = None;
            if is_void(ruling) {
                self.held.remove(who);
            }
        }
    }

    /// Sends all rulings to a child that has just subscribed.
    pub(crate) fn send_all(&self, link: LinkId, channel: Channel, out: &mut Outbox) {
        send_pages(link, channel, true, self.held.values(), &[], out);
    }
}

/// Sends rulings to a child in as many messages as they take; at least one if `reset` has to be said.
pub(crate) fn send_pages<'a>(
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

/// Whether a ruling without its news says nothing.
fn is_void(ruling: &Ruling) -> bool {
    let Ruling { entry, until_s, .. } = *ruling;
    *ruling == Ruling { entry, until_s, ..Ruling::about(ruling.who) }
}

/// Upper bound of a ruling's size on the wire.
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
