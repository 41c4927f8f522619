//! Totals of a log: counts, durations, appeals. Numbers only; `html.rs` words them.

use std::collections::BTreeMap;

use crate::domain::action::LogAction;
use crate::log::entry::{Entry, Party};
use crate::log::signed::SignedEntry;

/// The sums of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// Counts of actions, in the order of [`LogAction::ALL`], without those never taken.
    pub(super) by_action: Vec<(LogAction, usize)>,
    /// Reasons of restrictions, the most frequent first; an empty reason is none given.
    pub(super) by_reason: Vec<(String, Actions)>,
    /// Actors, the busiest first. Appeals are no decisions.
    pub(super) by_actor: Vec<(Party, Actions)>,
    /// For how long people were restricted.
    pub(super) durations: Vec<(LogAction, Durations)>,
    /// Every appeal, in order.
    pub(super) appeals: Vec<Appeal>,
}

/// Counts of actions.
pub(super) type Actions = BTreeMap<LogAction, usize>;

/// The durations that were set for one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Durations {
    /// The count of those without: until they are lifted.
    pub(super) open: usize,
    /// The others, in seconds, the shortest first.
    pub(super) set_s: Vec<u64>,
}

/// An appeal and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Appeal {
    /// The appeal's entry.
    pub(super) number: u64,
    /// The entry that it is about.
    pub(super) about: Option<u64>,
    /// The person who appealed.
    pub(super) by: Party,
    /// From the action to the appeal, in whole seconds.
    pub(super) after_s: Option<u64>,
    /// The answer.
    pub(super) answer: Option<Answer>,
}

/// The answer to an appeal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The answer's entry.
    pub(super) number: u64,
    /// Whether the action was taken back.
    pub(super) upheld: bool,
    /// The person who answered.
    pub(super) by: Party,
    /// From the appeal to the answer, in whole seconds.
    pub(super) after_s: u64,
}

impl Report {
    /// Adds up a log.
    pub(super) fn of(entries: &[SignedEntry]) -> Self {
        let entries: Vec<&Entry> = entries.iter().map(|signed| &signed.entry).collect();
        Self {
            by_action: by_action(&entries),
            by_reason: by_reason(&entries),
            by_actor: by_actor(&entries),
            durations: durations(&entries),
            appeals: appeals(&entries),
        }
    }

    /// From appeal to answer, in whole seconds, the shortest first.
    pub(super) fn answered_after_s(&self) -> Vec<u64> {
        let answers = self.appeals.iter().filter_map(|appeal| appeal.answer.as_ref());
        let mut seconds: Vec<u64> = answers.map(|answer| answer.after_s).collect();
        seconds.sort_unstable();
        seconds
    }
}

/// Whether the action takes something from somebody, so that a reason is owed.
const fn restricts(action: LogAction) -> bool {
    match action {
        LogAction::AskedToMute
        | LogAction::Silenced
        | LogAction::AllSilenced
        | LogAction::RemovedFromStage
        | LogAction::Kicked
        | LogAction::Banned
        | LogAction::HandDenied => true,
        LogAction::RoomCreated
        | LogAction::RoomOpened
        | LogAction::RoomEnded
        | LogAction::RoomChanged
        | LogAction::Locked
        | LogAction::Unlocked
        | LogAction::Unsilenced
        | LogAction::AllUnsilenced
        | LogAction::Unbanned
        | LogAction::BanRanOut
        | LogAction::HandGranted
        | LogAction::HandsCleared
        | LogAction::HandsClosed
        | LogAction::HandsOpened
        | LogAction::InvitedToSpeak
        | LogAction::RoleChanged
        | LogAction::PermissionChanged
        | LogAction::HostHandedOver
        | LogAction::HostSucceeded
        | LogAction::InvitationMade
        | LogAction::Appealed
        | LogAction::AppealUpheld
        | LogAction::AppealRejected
        | LogAction::TextHidden => false,
    }
}

fn by_action(entries: &[&Entry]) -> Vec<(LogAction, usize)> {
    let mut counts = Actions::new();
    for entry in entries {
        *counts.entry(entry.action).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn by_reason(entries: &[&Entry]) -> Vec<(String, Actions)> {
    let mut reasons: BTreeMap<&str, Actions> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| restricts(entry.action)) {
        let actions = reasons.entry(entry.reason.as_str()).or_default();
        *actions.entry(entry.action).or_default() += 1;
    }
    let mut reasons: Vec<(String, Actions)> =
        reasons.into_iter().map(|(reason, actions)| (reason.to_owned(), actions)).collect();
    reasons.sort_by_key(|(_, actions)| std::cmp::Reverse(total(actions)));
    reasons
}

/// The same subject is the same person under each name and role; shown as they were last.
fn by_actor(entries: &[&Entry]) -> Vec<(Party, Actions)> {
    let mut actors: BTreeMap<String, (Party, Actions)> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.action != LogAction::Appealed) {
        let actor = &entry.actor;
        let id = match (&actor.subject, actor.participant) {
            (Some(subject), _) => format!("subject {subject}"),
            (None, Some(participant)) => format!("participant {participant}"),
            (None, None) => format!("as {actor}"),
        };
        let (party, actions) = actors.entry(id).or_insert_with(|| (actor.clone(), Actions::new()));
        party.clone_from(actor);
        *actions.entry(entry.action).or_default() += 1;
    }
    let mut actors: Vec<(Party, Actions)> = actors.into_values().collect();
    actors.sort_by_key(|(_, actions)| std::cmp::Reverse(total(actions)));
    actors
}

/// The sum of the counts.
pub(super) fn total(actions: &Actions) -> usize {
    actions.values().sum()
}

fn durations(entries: &[&Entry]) -> Vec<(LogAction, Durations)> {
    let lasting = [LogAction::Silenced, LogAction::Banned].into_iter();
    let of = |action| {
        let taken = entries.iter().filter(|entry| entry.action == action);
        let (set, open): (Vec<_>, Vec<_>) =
            taken.map(|entry| entry.duration_s).partition(Option::is_some);
        let mut set_s: Vec<u64> = set.into_iter().flatten().collect();
        set_s.sort_unstable();
        (action, Durations { open: open.len(), set_s })
    };
    lasting.map(of).filter(|(_, lasts)| lasts.open + lasts.set_s.len() > 0).collect()
}

fn appeals(entries: &[&Entry]) -> Vec<Appeal> {
    let mut appeals: Vec<Appeal> = Vec::new();
    for entry in entries {
        if entry.action == LogAction::Appealed {
            appeals.push(appeal(entries, entry));
        }
        let upheld = entry.action == LogAction::AppealUpheld;
        if !upheld && entry.action != LogAction::AppealRejected {
            continue;
        }
        let Ok(at) = appeals.binary_search_by_key(&entry.about, |appeal| Some(appeal.number))
        else {
            continue;
        };
        let number = appeals[at].number;
        let after_s = seconds(at_ms(entries, number).unwrap_or(entry.at_ms), entry.at_ms);
        let by = entry.actor.clone();
        appeals[at].answer = Some(Answer { number: entry.number, upheld, by, after_s });
    }
    appeals
}

fn appeal(entries: &[&Entry], entry: &Entry) -> Appeal {
    let decided_ms = entry.about.and_then(|about| at_ms(entries, about));
    Appeal {
        number: entry.number,
        about: entry.about,
        by: entry.actor.clone(),
        after_s: decided_ms.map(|decided_ms| seconds(decided_ms, entry.at_ms)),
        answer: None,
    }
}

/// When the entry of that number was written.
fn at_ms(entries: &[&Entry], number: u64) -> Option<u64> {
    let place = usize::try_from(number.checked_sub(1)?).ok()?;
    entries.get(place).map(|entry| entry.at_ms)
}

/// A clock that was set back in between gives no time.
const fn seconds(from_ms: u64, to_ms: u64) -> u64 {
    to_ms.saturating_sub(from_ms) / 1_000
}
