//! Tokens of the simulation, and the key that all its relays check them with. They are
//! optional: without one, a client may join in any role.

use serde_json::json;
use tribune_protocol::domain::role::Role;
use tribune_protocol::token::SigningKey;
use tribune_relay_core::auth::keys::{Key, Keys};

use super::EPOCH_US;
use super::tree::ROOM;

/// Issuer of the tokens.
const ISSUER: &str = "web";
/// Their signing key.
const SECRET: &str = "a secret of the simulated network";
/// Their validity, in seconds.
const VALID_S: u64 = 86_400;

/// A token that was made when the simulation began and lets `subject` into [`ROOM`] in a role.
#[must_use]
pub fn token(subject: &str, role: Role) -> String {
    let now_s = EPOCH_US / 1_000_000;
    let claims = json!({
        "iss": ISSUER, "sub": subject, "role": role.as_str(), "iat": now_s, "exp": now_s + VALID_S,
        "video": { "room": ROOM, "roomJoin": true, "canPublish": true, "canSubscribe": true },
    });
    SigningKey::Secret(SECRET.as_bytes()).sign(&claims).expect("claims that can be signed")
}

/// Keys of every relay.
pub(super) fn keys() -> Keys {
    let mut keys = Keys::default();
    let secret = SECRET.parse().expect("a secret of the simulation is one");
    keys.insert(ISSUER, Key::Secret(secret)).expect("the one key of the simulation");
    keys
}
