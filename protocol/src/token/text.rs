//! A token as it travels, whole and unread.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Text of a token, a bearer credential. `Debug` hides it, and it has no `Display`, so that a message with
/// one in it can be logged. Its length is bounded by its carriers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenText(String);

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(hidden)")
    }
}

impl Deref for TokenText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for TokenText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for TokenText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<TokenText> for String {
    fn from(token: TokenText) -> Self {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::command::Govern;
    use crate::control::participant::{FromParticipant, Join, OneShot, ToParticipant};
    use crate::control::trunk::ToParent;
    use crate::domain::role::Role;
    use crate::ids::{RelayId, SessionKey};

    #[test]
    fn what_is_logged_of_a_message_has_no_secret() {
        const TOKEN: &str = "eyJ0.eyJzdWIi.c2ln";
        let token = || Some(TokenText::from(TOKEN));
        let session = || SessionKey([0xab; 16]);
        let (room, name) = ("stage".parse().unwrap(), "Ada".parse().unwrap());
        let one_shot = OneShot {
            room,
            session: session(),
            name,
            role: Role::Host,
            token: token(),
            act: Govern::Show {},
        };
        let join = Join {
            room: one_shot.room.clone(),
            session: session(),
            name: one_shot.name.clone(),
            role: Role::Host,
            token: token(),
            returning: false,
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: None,
            share: None,
            stay_s: None,
        };
        let name = one_shot.name.clone();
        let hello = ToParent::Hello { relay: RelayId(1), name, height: 1, token: token() };
        for shown in [
            format!("{:?}", FromParticipant::Join(join)),
            format!("{:?}", FromParticipant::OneShot(one_shot)),
            format!("{:?}", FromParticipant::RenewToken { token: TOKEN.into() }),
            format!("{:?}", ToParticipant::Invitation { token: TOKEN.into() }),
            format!("{hello:?}"),
        ] {
            assert!(!shown.contains(TOKEN), "{shown}");
            assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
        }
    }
}
