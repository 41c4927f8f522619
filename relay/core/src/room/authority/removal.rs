//! Decisions that keep persons out of the room: kicks, bans, and their end.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::Note;
use tribune_protocol::log::{Draft, LogAction, Party};

use super::docket::Change;
use super::effect::Refusal;
use super::presence::give_up;
use super::rights::{outranks, resolve};
use super::target::{Actor, ResolvedTarget};
use super::turn::{Turn, news};

/// The longest ban with an end. A longer one is better lifted by a person.
const MAX_BAN_S: u64 = 10 * 366 * 24 * 3_600;

/// Removes a person from the room: this session does not come back, nor does a token of theirs that
/// was issued before.
pub(super) fn kick(
    turn: &mut Turn<'_>,
    actor: &Actor,
    target: &Target,
    reason: Note,
) -> Result<(), Refusal> {
    if matches!(target, Target::Address(_)) {
        let message = "An address can be banned, not removed; name a participant or a subject.";
        return Err(Refusal::bad_request(message));
    }
    let found = resolve(turn, target)?;
    refuse_self(actor, &found, "remove")?;
    outranks(turn, actor, &found, Permission::Kick)?;
    let sessions = found.sessions();
    let keys = sessions.iter().map(|who| PersonKey::of_participant(*who)).chain([found.key]);
    turn.book.make_space(keys, turn.out)?;
    let mut draft = Draft::new(0, actor.party(), LogAction::Kicked);
    draft.target = Some(found.party.clone());
    draft.reason = reason.clone();
    let entry = turn.log(draft);
    turn.docket.add(entry, LogAction::Kicked, &found, Change::Other);
    let news = news(actor, LogAction::Kicked, entry, reason.clone());
    let now_s = turn.now_s();
    if found.has_tokens() {
        turn.book.rule(&found, Some(news.clone()), turn.out, |ruling| {
            ruling.tokens_after_s = now_s;
            ruling.entry = entry;
        })?;
    }
    for who in sessions {
        let session = ResolvedTarget { key: PersonKey::of_participant(who), ..found.clone() };
        turn.book.rule(&session, Some(news.clone()), turn.out, |ruling| {
            ruling.barred = true;
            ruling.entry = entry;
        })?;
        turn.book.keep_reason(session.key, &reason);
        give_up(turn, who);
    }
    turn.book.keep_reason(found.key, &reason);
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Removes a person and keeps them out, in any session.
pub(super) fn ban(
    turn: &mut Turn<'_>,
    actor: &Actor,
    target: &Target,
    duration_s: Option<u64>,
    reason: Note,
) -> Result<(), Refusal> {
    if duration_s.is_some_and(|seconds| seconds == 0 || seconds > MAX_BAN_S) {
        let message = "A ban lasts from a second to ten years, or until it is lifted.";
        return Err(Refusal::bad_request(message));
    }
    let found = resolve(turn, target)?;
    refuse_self(actor, &found, "ban")?;
    outranks(turn, actor, &found, Permission::Ban)?;
    turn.book.make_space([found.key], turn.out)?;
    let mut draft = Draft::new(0, actor.party(), LogAction::Banned);
    draft.target = Some(found.party.clone());
    draft.reason = reason.clone();
    draft.duration_s = duration_s;
    let entry = turn.log(draft);
    turn.docket.add(entry, LogAction::Banned, &found, Change::Other);
    let now_s = turn.now_s();
    let until_s = duration_s.map_or(0, |seconds| now_s + seconds);
    let news = news(actor, LogAction::Banned, entry, reason.clone());
    turn.book.rule(&found, Some(Moderated { until_s, ..news }), turn.out, |ruling| {
        ruling.barred = true;
        if found.has_tokens() {
            ruling.tokens_after_s = now_s;
        }
        ruling.until_s = until_s;
        ruling.entry = entry;
        ruling.invited_by = None;
    })?;
    for who in &found.participants {
        give_up(turn, *who);
    }
    turn.book.keep_reason(found.key, &reason);
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Lifts a ban or a kick.
pub(super) fn unban(
    turn: &mut Turn<'_>,
    actor: &Actor,
    target: &Target,
    reason: Note,
) -> Result<(), Refusal> {
    let found = resolve(turn, target)?;
    if !turn.book.lift_bars(&found, turn.out) {
        let message = format!("{} is not banned.", found.party);
        return Err(Refusal::new(ErrorCode::NoSuchParticipant, message));
    }
    let mut draft = Draft::new(0, actor.party(), LogAction::Unbanned);
    draft.target = Some(found.party);
    draft.reason = reason;
    turn.log(draft);
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Takes back the bans that have run out. A token from before stays refused.
pub(super) fn expire(turn: &mut Turn<'_>) {
    for (key, party) in turn.book.expired_bans(turn.now_s()) {
        let mut draft = Draft::new(0, Party::relay(), LogAction::BanRanOut);
        draft.target = Some(party);
        turn.log(draft);
        turn.book.amend(key, turn.out, |ruling| {
            ruling.barred = false;
            ruling.until_s = 0;
        });
    }
}

fn refuse_self(actor: &Actor, found: &ResolvedTarget, what: &str) -> Result<(), Refusal> {
    let is_self = found.subject.as_ref() == Some(&actor.subject)
        || found.target == Target::Participant(actor.asker.id);
    if !is_self {
        return Ok(());
    }
    let message = format!("You cannot {what} yourself; leave the room instead.");
    Err(Refusal::bad_request(message))
}
