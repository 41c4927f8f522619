//! Entries and verdicts, for people and for programs.

use serde_json::{Value, json};
use tribune_protocol::log::{Entry, Party, SignedEntry, Verified, utc};

use crate::output::Output;

/// Prints one entry.
pub(super) fn print_entry(signed: &SignedEntry, output: &Output) {
    if output.is_json() {
        output.json(&entry_json(signed));
    } else {
        output.result(&signed.entry.sentence());
    }
}

/// Prints that a log verifies, and against which key.
pub(super) fn print_verified(verified: &Verified, output: &Output) {
    let Verified { room, entries, as_of_ms, key, pinned } = verified;
    output.json(&json!({
        "event": "verified",
        "room": room,
        "entries": entries,
        "as_of_ms": as_of_ms,
        "key": key.to_string(),
        "pinned": pinned,
    }));
    let whose = if *pinned {
        "by the key that you gave".to_owned()
    } else {
        format!("all by one key, {key}: compare it with one that you trust")
    };
    output.result(&format!(
        "verified: {entries} entries of {room}, whole and unchanged as of {}, signed {whose}",
        utc(*as_of_ms)
    ));
}

fn entry_json(signed: &SignedEntry) -> Value {
    let Entry { number, room, at_ms, actor, action, target, reason, duration_s, about, detail } =
        &signed.entry;
    json!({
        "number": number,
        "room": room,
        "at_ms": at_ms,
        "actor": party_json(actor),
        "action": action,
        "target": target.as_ref().map(party_json),
        "reason": reason,
        "duration_s": duration_s,
        "about": about,
        "detail": detail,
        "statement": signed.entry.statement(),
        "hash": signed.hash.to_string(),
    })
}

fn party_json(party: &Party) -> Value {
    let Party { subject, name, role, participant, address } = party;
    json!({
        "subject": subject,
        "name": name,
        "role": role,
        "participant": participant.map(|id| id.to_string()),
        "address": address,
    })
}
