//! The origin's book of rulings about persons: kicks, bans, roles, single permissions, invitations to
//! speak. Every change goes to all relays of the room as a [`Ruling`], by the [`Effects`] passed in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::ban::Ban;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, Subject};
use tribune_protocol::limits::{MAX_BANS_A_MESSAGE, MAX_RULINGS};
use tribune_protocol::log::Party;

use super::effect::{Effects, Refusal};
use super::target::ResolvedTarget;

/// The rulings of one room, by person; at most [`MAX_RULINGS`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::room) struct RulingBook {
    #[serde(with = "as_list")]
    by_key: BTreeMap<PersonKey, BookEntry>,
}

/// A ruling, with target, name and reason, which only the origin keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct BookEntry {
    ruling: Ruling,
    target: Target,
    name: Option<DisplayName>,
    reason: Note,
}

/// All that is ruled about one person, taken together.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct Ruled {
    barred: bool,
    pub(super) role: Option<Role>,
    pub(super) allow: PermissionSet,
    pub(super) deny: PermissionSet,
    pub(super) invited_by: Option<DisplayName>,
}

impl Ruled {
    /// Whether the person is kept out.
    pub(in crate::room) const fn is_barred(&self) -> bool {
        self.barred
    }

    /// Whether the permission has been taken from the person.
    pub(in crate::room) const fn denies(&self, permission: Permission) -> bool {
        self.deny.contains(permission)
    }
}

impl RulingBook {
    /// The ruling under a key.
    pub(super) fn get(&self, key: &PersonKey) -> Option<&Ruling> {
        self.by_key.get(key).map(|entry| &entry.ruling)
    }

    /// All that is ruled about a session and a subject together.
    pub(in crate::room) fn about(
        &self,
        who: Option<ParticipantId>,
        subject: Option<&Subject>,
    ) -> Ruled {
        let session = who.and_then(|who| self.get(&PersonKey::of_participant(who)));
        let subject = subject.and_then(|subject| self.get(&PersonKey::of_subject(subject)));
        session.into_iter().chain(subject).fold(Ruled::default(), |ruled, ruling| Ruled {
            barred: ruled.barred || ruling.barred,
            role: ruled.role.or(ruling.role),
            allow: ruled.allow.union(ruling.allow),
            deny: ruled.deny.union(ruling.deny),
            invited_by: ruled.invited_by.or_else(|| ruling.invited_by.clone()),
        })
    }

    /// All rulings, for a relay that begins with nothing.
    pub(super) fn all(&self) -> Vec<Ruling> {
        self.by_key.values().map(|entry| entry.ruling.clone()).collect()
    }

    /// When the next ban runs out, in seconds since the Unix epoch.
    pub(super) fn next_expiry_s(&self) -> Option<u64> {
        let ends = self.by_key.values().map(|entry| entry.ruling.until_s);
        ends.filter(|until_s| *until_s > 0).min()
    }

    /// A page of the bans, for moderators.
    pub(super) fn page(&self, after: u32) -> ToParticipant {
        let bans = || self.by_key.values().filter(|entry| entry.ruling.barred);
        let ban = |entry: &BookEntry| Ban {
            target: entry.target.clone(),
            name: entry.name.clone(),
            until_s: entry.ruling.until_s,
            reason: entry.reason.clone(),
            entry: entry.ruling.entry,
        };
        ToParticipant::Bans {
            bans: bans().skip(after as usize).take(MAX_BANS_A_MESSAGE).map(ban).collect(),
            total: bans().count() as u32,
        }
    }

    /// Bans that have run out, and their targets as the log names them.
    pub(super) fn expired_bans(&self, now_s: u64) -> Vec<(PersonKey, Party)> {
        let over = self
            .by_key
            .iter()
            .filter(|(_, entry)| entry.ruling.until_s > 0 && entry.ruling.until_s <= now_s);
        over.map(|(key, entry)| (*key, party(entry))).collect()
    }

    /// Makes space for rulings under these keys: refusals of old tokens go, the oldest first.
    ///
    /// # Errors
    /// [`ErrorCode::RulingsFull`]
    pub(super) fn make_space(
        &mut self,
        keys: impl IntoIterator<Item = PersonKey>,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        let more = keys.iter().filter(|key| self.get(key).is_none()).count();
        while self.by_key.len() + more > MAX_RULINGS {
            let Some(key) = self.oldest_of_tokens(&keys) else {
                return Err(Refusal::new(
                    ErrorCode::RulingsFull,
                    format!(
                        "This room keeps {MAX_RULINGS} rulings about persons; lift some first."
                    ),
                ));
            };
            self.by_key.remove(&key);
            out.rule(key, None);
        }
        Ok(())
    }

    /// Changes the ruling about a target, or adds one.
    ///
    /// # Errors
    /// [`ErrorCode::RulingsFull`]
    pub(super) fn rule(
        &mut self,
        found: &ResolvedTarget,
        news: Option<Moderated>,
        out: &mut Effects,
        change: impl FnOnce(&mut Ruling),
    ) -> Result<(), Refusal> {
        self.make_space([found.key], out)?;
        let entry = self.by_key.entry(found.key).or_insert_with(|| BookEntry {
            ruling: Ruling::about(found.key),
            target: found.target.clone(),
            name: found.party.name.clone(),
            reason: Note::default(),
        });
        change(&mut entry.ruling);
        let ruling = Ruling { news, ..entry.ruling.clone() };
        let is_spent = has_no_effect(&entry.ruling);
        if is_spent {
            self.by_key.remove(&found.key);
        }
        // A ruling without effect is sent once more, if there is something to read with it.
        let is_sent = !is_spent || ruling.news.is_some();
        out.rule(found.key, is_sent.then_some(ruling));
        Ok(())
    }

    /// Changes a ruling that is there; nothing, if there is none.
    pub(super) fn amend(
        &mut self,
        key: PersonKey,
        out: &mut Effects,
        change: impl FnOnce(&mut Ruling),
    ) {
        let Some(entry) = self.by_key.get_mut(&key) else { return };
        let before = entry.ruling.clone();
        change(&mut entry.ruling);
        if entry.ruling == before {
            return;
        }
        let ruling = entry.ruling.clone();
        if has_no_effect(&ruling) {
            self.by_key.remove(&key);
            out.rule(key, None);
        } else {
            out.rule(key, Some(ruling));
        }
    }

    /// Lifts the ruling about the role of a session and its subject.
    pub(super) fn forget_role(
        &mut self,
        who: ParticipantId,
        subject: Option<&Subject>,
        out: &mut Effects,
    ) {
        let keys = [Some(PersonKey::of_participant(who)), subject.map(PersonKey::of_subject)];
        for key in keys.into_iter().flatten() {
            self.amend(key, out, |ruling| ruling.role = None);
        }
    }

    /// Lifts every bar on a target. Returns whether there was one.
    pub(super) fn lift_bars(&mut self, found: &ResolvedTarget, out: &mut Effects) -> bool {
        let participants = found.participants.iter().copied().chain(match found.target {
            Target::Participant(who) => Some(who),
            Target::Subject(_) | Target::Address(_) => None,
        });
        let mut keys: Vec<_> = participants.map(PersonKey::of_participant).collect();
        keys.push(found.key);
        // The sessions that were closed with a kick of the same entry.
        let entry = self.get(&found.key).map_or(0, |ruling| ruling.entry);
        keys.extend(self.of_entry(entry));
        self.lift(keys, out)
    }

    /// Lifts the bars of one decision, and of no later one.
    pub(super) fn lift_bars_of(&mut self, entry: u64, out: &mut Effects) {
        self.lift(self.of_entry(entry), out);
    }

    /// Keeps the reason for a ruling, for the list of bans.
    pub(super) fn keep_reason(&mut self, key: PersonKey, reason: &Note) {
        if let Some(entry) = self.by_key.get_mut(&key) {
            entry.reason = reason.clone();
        }
    }

    /// The room ends, and every ruling but the bars with it.
    pub(super) fn end(&mut self, out: &mut Effects) {
        for key in self.by_key.keys().copied().collect::<Vec<_>>() {
            self.amend(key, out, |ruling| {
                ruling.role = None;
                ruling.allow = PermissionSet::NONE;
                ruling.deny = PermissionSet::NONE;
                ruling.invited_by = None;
            });
        }
    }

    /// Fills the book with a kick of that session.
    #[cfg(test)]
    pub(in crate::room) fn fill(&mut self, who: ParticipantId) {
        let ruling = Ruling { barred: true, ..Ruling::about(PersonKey::of_participant(who)) };
        let target = Target::Participant(who);
        let entry = BookEntry { ruling, target, name: None, reason: Note::default() };
        self.by_key.insert(entry.ruling.who, entry);
    }

    fn lift(&mut self, keys: Vec<PersonKey>, out: &mut Effects) -> bool {
        let mut any = false;
        for key in keys {
            let bars = |ruling: &Ruling| ruling.barred || ruling.tokens_after_s > 0;
            if self.get(&key).is_some_and(bars) {
                any = true;
                self.amend(key, out, |ruling| {
                    ruling.barred = false;
                    ruling.tokens_after_s = 0;
                    ruling.until_s = 0;
                    ruling.entry = 0;
                });
            }
        }
        any
    }

    /// The oldest ruling that refuses old tokens and says nothing else, apart from `but`.
    fn oldest_of_tokens(&self, but: &BTreeSet<PersonKey>) -> Option<PersonKey> {
        let only_tokens = |ruling: &Ruling| {
            let Ruling { tokens_after_s, entry, .. } = *ruling;
            *ruling == Ruling { tokens_after_s, entry, ..Ruling::about(ruling.who) }
        };
        let rulings = self.by_key.values().map(|entry| &entry.ruling);
        let old = rulings.filter(|ruling| only_tokens(ruling) && !but.contains(&ruling.who));
        old.min_by_key(|ruling| ruling.tokens_after_s).map(|ruling| ruling.who)
    }

    fn of_entry(&self, number: u64) -> Vec<PersonKey> {
        let of_entry =
            |(_, entry): &(&PersonKey, &BookEntry)| number > 0 && entry.ruling.entry == number;
        self.by_key.iter().filter(of_entry).map(|(key, _)| *key).collect()
    }
}

/// The target of an entry as the log names it.
fn party(entry: &BookEntry) -> Party {
    let mut party = Party { name: entry.name.clone(), ..Party::relay() };
    match &entry.target {
        Target::Participant(who) => party.participant = Some(*who),
        Target::Subject(subject) => party.subject = Some(subject.clone()),
        Target::Address(address) => party.address = address.to_string().parse().ok(),
    }
    party
}

/// Whether a ruling changes nothing for its person, apart from the entry of the log that it names: then
/// the book need not hold it.
fn has_no_effect(ruling: &Ruling) -> bool {
    *ruling == Ruling { entry: ruling.entry, ..Ruling::about(ruling.who) }
}

/// A map with keys of bytes as a list of its values.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};
    use tribune_protocol::domain::person::PersonKey;

    use super::BookEntry;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<PersonKey, BookEntry>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<PersonKey, BookEntry>, D::Error> {
        let list = Vec::<BookEntry>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|entry| (entry.ruling.who, entry)).collect())
    }
}
