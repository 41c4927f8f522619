//! The bytes that are hashed and signed. SPEC.md section 12.2 states them one by one.

use super::entry::{Entry, Party};
use super::signed::Head;
use crate::domain::key::Hash;

/// Prefix of the bytes that an entry's hash is taken over.
const ENTRY_PREFIX: &[u8] = b"tribune log entry 1\n";
/// Prefix of an entry's signed message: a signature for one purpose is none for another.
const SIGNATURE_PREFIX: &[u8] = b"tribune log signature 1\n";
/// Prefix of a head's signed message.
const HEAD_PREFIX: &[u8] = b"tribune log head 1\n";

/// Bytes that the hash of an entry is taken over.
pub(super) fn entry(entry: &Entry, previous: &Hash) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(ENTRY_PREFIX);
    out.extend_from_slice(&previous.0);
    text(&mut out, entry.room.as_str());
    number(&mut out, entry.number);
    number(&mut out, entry.at_ms);
    party(&mut out, &entry.actor);
    text(&mut out, entry.action.as_str());
    optional(&mut out, entry.target.as_ref(), party);
    text(&mut out, entry.reason.as_str());
    optional(&mut out, entry.duration_s, number);
    optional(&mut out, entry.about, number);
    text(&mut out, entry.detail.as_str());
    out
}

/// Signed message of an entry with this hash.
pub(super) fn signed(hash: &Hash) -> Vec<u8> {
    [SIGNATURE_PREFIX, &hash.0].concat()
}

/// Signed message of a head.
pub(super) fn head(head: &Head) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.extend_from_slice(HEAD_PREFIX);
    text(&mut out, head.room.as_str());
    number(&mut out, head.entries);
    number(&mut out, head.at_ms);
    out.extend_from_slice(&head.hash.0);
    out.extend_from_slice(&head.key.0);
    out
}

fn party(out: &mut Vec<u8>, party: &Party) {
    optional(out, party.subject.as_ref().map(|subject| subject.as_str()), text);
    optional(out, party.name.as_ref().map(|name| name.as_str()), text);
    optional(out, party.role.as_ref().map(|role| role.as_str()), text);
    optional(out, party.participant.map(|participant| participant.0), number);
    optional(out, party.address.as_ref().map(|address| address.as_str()), text);
}

/// A byte that says whether there is a value, then the value.
fn optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// The length in two bytes, then the UTF-8. The limits of all texts are far below 65,536.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}
