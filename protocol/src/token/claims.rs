//! Claims of a token, and the rights that follow from them.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Metadata, TokenError};
use crate::domain::attributes::Attributes;
use crate::domain::role::Role;
use crate::ids::{DisplayName, RoomName, Subject};
use crate::limits::TOKEN_LEEWAY;

/// Claims of a token. Others are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The name of the key that signs.
    #[serde(rename = "iss")]
    pub key_name: String,
    /// The bearer's subject, the same in all sessions. Never that of a guest, which no issuer vouches for.
    #[serde(rename = "sub", deserialize_with = "vouched_for")]
    pub subject: Subject,
    /// The bearer's name, unless it joins under another name. Libraries that always write the
    /// claim write an empty text for none.
    #[serde(default, deserialize_with = "not_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// Not valid before, in seconds since 1970. `None`: from always.
    #[serde(
        rename = "nbf",
        default,
        deserialize_with = "some_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub not_before_s: Option<u64>,
    /// Not valid from then on, in seconds since 1970.
    #[serde(rename = "exp", deserialize_with = "seconds")]
    pub expires_s: u64,
    /// When it was made, in seconds since 1970.
    #[serde(
        rename = "iat",
        default,
        deserialize_with = "some_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub issued_s: Option<u64>,
    /// Text that goes with the bearer, for other programs than a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Attributes, for rules of access.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Attributes::is_empty"
    )]
    pub attributes: Attributes,
    /// The bearer's grants.
    #[serde(rename = "video", default, deserialize_with = "object")]
    pub grants: Grants,
    /// The role that the bearer comes in as, if the grants cover it. LiveKit has no such claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// The grant object. A grant that is not there is not given, and one that is not named here is
/// passed over. Written with the names that LiveKit gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grants {
    /// The room. A name, never a pattern.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// To join that room.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// To open that room, and to make it ahead of time.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// To govern that room.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// To speak.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub can_publish: bool,
    /// Sources that it may publish. If it names anything, then a microphone has to be among it for
    /// `can_publish` to mean anything: a token for a camera is not one to speak with.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub can_publish_sources: Vec<String>,
    /// To hear.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub can_subscribe: bool,
    /// Not to be shown to others.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub hidden: bool,
}

/// Rights that a token gives its bearer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    /// The subject, the same in all sessions.
    pub subject: Subject,
    /// The name in the token.
    pub name: Option<DisplayName>,
    /// The highest role that it may come in as.
    pub role: Role,
    /// Whether it may hear the room (`canSubscribe`).
    pub may_listen: bool,
    /// Whether it may open the room (`roomCreate`).
    pub may_open: bool,
    /// Whether it is not to be shown to others.
    pub hidden: bool,
    /// Attributes, for rules of access.
    pub attributes: Attributes,
    /// When the token was made, in seconds since 1970: `iat`, else `nbf`, else 0.
    pub issued_at_s: u64,
    /// Until when it is valid, in seconds since 1970.
    pub expires_at_s: u64,
}

impl Claims {
    /// That the token is valid at `now_s`, in seconds since 1970, give or take
    /// [`TOKEN_LEEWAY`].
    ///
    /// # Errors
    /// [`TokenError::Expired`], [`TokenError::NotYetValid`].
    pub fn check_time(&self, now_s: u64) -> Result<(), TokenError> {
        let leeway_s = TOKEN_LEEWAY.as_secs();
        if now_s >= self.expires_s.saturating_add(leeway_s) {
            return Err(TokenError::Expired { ago_s: now_s - self.expires_s });
        }
        match self.not_before_s {
            Some(from_s) if from_s > now_s.saturating_add(leeway_s) => {
                Err(TokenError::NotYetValid { in_s: from_s - now_s })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// That the token lets its bearer into `room`.
    ///
    /// # Errors
    /// [`TokenError::GrantsNothing`], [`TokenError::WrongRoom`].
    pub fn check_room(&self, room: &RoomName) -> Result<(), TokenError> {
        if !self.grants.room_join {
            return Err(TokenError::GrantsNothing);
        }
        if self.grants.room != room.as_str() {
            let named = Some(&self.grants.room).filter(|name| !name.is_empty());
            return Err(TokenError::WrongRoom(named.cloned()));
        }
        Ok(())
    }

    /// The rights that the token gives its bearer. A role that the grants do not cover is lowered to
    /// the next one below that they do.
    #[must_use]
    pub fn entitlement(&self) -> Entitlement {
        Entitlement {
            subject: self.subject.clone(),
            name: self.name.clone(),
            role: self.grants.covered(self.role.unwrap_or(Role::Host)),
            may_listen: self.grants.can_subscribe,
            may_open: self.grants.room_create,
            hidden: self.grants.hidden,
            attributes: self.attributes.clone(),
            issued_at_s: self.issued_s.or(self.not_before_s).unwrap_or(0),
            expires_at_s: self.expires_s,
        }
    }
}

impl Grants {
    /// Whether it may speak with a microphone.
    #[must_use]
    pub fn may_speak(&self) -> bool {
        let sources = &self.can_publish_sources;
        self.can_publish && (sources.is_empty() || sources.iter().any(|s| s == "microphone"))
    }

    /// `role`, or else the highest one below it that is granted.
    fn covered(&self, role: Role) -> Role {
        match role {
            Role::Host | Role::Cohost if self.room_admin => role,
            Role::Host | Role::Cohost | Role::Speaker if self.may_speak() => Role::Speaker,
            Role::Host | Role::Cohost | Role::Speaker | Role::Listener => Role::Listener,
            // What it may do is the operator's word already, and needs no grant beside it.
            Role::Custom(_) => role,
        }
    }
}

impl Entitlement {
    /// Whether it may come in as `asked`: its own role or one below. Only a listener is below a role
    /// of an operator's own, and such a role is below none.
    #[must_use]
    pub fn allows(&self, asked: Role) -> bool {
        let rank = |role| match role {
            Role::Host => 3,
            Role::Cohost => 2,
            Role::Speaker => 1,
            Role::Listener | Role::Custom(_) => 0,
        };
        match asked {
            Role::Listener => true,
            Role::Custom(_) => asked == self.role,
            Role::Host | Role::Cohost | Role::Speaker => rank(asked) <= rank(self.role),
        }
    }
}

/// A subject that a key's owner vouches for.
fn vouched_for<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Subject, D::Error> {
    let subject = Subject::deserialize(deserializer)?;
    if subject.is_guest() {
        return Err(serde::de::Error::custom("its subject begins with \"guest:\""));
    }
    Ok(subject)
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DisplayName>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

/// Some libraries write `null` for an absent claim.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Grants from an object or `null`. Of itself, serde would take an array of their values too.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Grants, D::Error> {
    struct Object;
    impl<'de> serde::de::Visitor<'de> for Object {
        type Value = Grants;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of grants")
        }

        fn visit_unit<E>(self) -> Result<Grants, E> {
            Ok(Grants::default())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Grants, A::Error> {
            Grants::deserialize(serde::de::value::MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Object)
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::<NumericDate>::deserialize(deserializer).map(|date| date.map(|date| date.0))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    NumericDate::deserialize(deserializer).map(|date| date.0)
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519 section 2), which is dropped.
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let date = f64::deserialize(deserializer)?;
        // Below 2^53, so that every second is exact.
        if (0.0..9_007_199_254_740_992.0).contains(&date) {
            Ok(Self(date as u64))
        } else {
            Err(serde::de::Error::custom("a time is not a number of seconds since 1970"))
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(extra: &str) -> Claims {
        read(extra).unwrap()
    }

    fn read(extra: &str) -> Result<Claims, serde_json::Error> {
        serde_json::from_str(&format!(r#"{{"iss":"k","sub":"ada"{extra}}}"#))
    }

    fn with_grants(grants: &str) -> Claims {
        claims(&format!(r#","exp":100,"video":{{{grants}}}"#))
    }

    #[test]
    fn a_token_of_a_livekit_library_is_read() {
        let claims = claims(
            r#","exp":1621657263,"nbf":1619065263,"name":"","metadata":"","jti":"ada","sha256":"",
               "kind":"standard","attributes":{"followers":"612"},"sip":{"admin":false,"call":false},
               "video":{"room":"stage","roomJoin":true,"canPublish":true,"canSubscribe":null,
                        "canPublishData":true,"canPublishSources":[],"recorder":false}"#,
        );
        assert_eq!(claims.name, None);
        let entitlement = claims.entitlement();
        assert_eq!(entitlement.role, Role::Speaker);
        assert!(!entitlement.may_listen && !entitlement.may_open && !entitlement.hidden);
        assert_eq!(
            (entitlement.issued_at_s, entitlement.expires_at_s),
            (1_619_065_263, 1_621_657_263)
        );
        assert_eq!(entitlement.attributes.iter().count(), 1);
        assert_eq!(claims.check_room(&"stage".parse().unwrap()), Ok(()));
    }

    #[test]
    fn what_is_written_is_read() {
        let all = claims(
            r#","exp":9,"nbf":1,"iat":2,"name":"Ada","metadata":"m","attributes":{"a":1},"role":"cohost",
               "video":{"room":"r","roomJoin":true,"roomCreate":true,"roomAdmin":true,"canPublish":true,
                        "canPublishSources":["microphone"],"canSubscribe":true,"hidden":true}"#,
        );
        let written = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Claims>(&written).unwrap(), all);
        let least = claims(r#","exp":9"#);
        assert_eq!(
            serde_json::to_string(&least).unwrap(),
            r#"{"iss":"k","sub":"ada","exp":9,"video":{}}"#
        );
    }

    #[test]
    fn claims_that_are_not_valid_are_refused() {
        for wrong in [
            "",
            r#","exp":null"#,
            r#","exp":"9""#,
            r#","exp":-1"#,
            r#","exp":1e300"#,
            r#","exp":9,"nbf":"soon""#,
            r#","exp":9,"name":"a\u0007""#,
            r#","exp":9,"role":"Host""#,
            r#","exp":9,"video":[]"#,
            r#","exp":9,"video":{"roomJoin":"true"}"#,
            r#","exp":9,"video":{"roomJoin":1}"#,
            r#","exp":9,"attributes":{"a":[]}"#,
            r#","exp":9,"exp":99"#,
            r#","exp":9,"video":{"roomJoin":false,"roomJoin":true}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for subject in ["", "guest:0000000000000001", " ada"] {
            let json = format!(r#"{{"iss":"k","sub":"{subject}","exp":9}}"#);
            assert!(serde_json::from_str::<Claims>(&json).is_err(), "{subject:?}");
        }
        assert_eq!(claims(r#","exp":9.75"#).expires_s, 9);
    }

    #[test]
    fn a_token_has_a_beginning_and_an_end() {
        let claims = claims(r#","exp":1000,"nbf":500"#);
        for (now_s, expected) in [
            (494, Err(TokenError::NotYetValid { in_s: 6 })),
            (495, Ok(())),
            (1_004, Ok(())),
            (1_005, Err(TokenError::Expired { ago_s: 5 })),
            (u64::MAX, Err(TokenError::Expired { ago_s: u64::MAX - 1_000 })),
        ] {
            assert_eq!(claims.check_time(now_s), expected, "at {now_s}");
        }
    }

    #[test]
    fn a_token_is_for_one_room() {
        let stage: RoomName = "stage".parse().unwrap();
        for (grants, expected) in [
            (r#""roomJoin":true,"room":"stage""#, Ok(())),
            (r#""roomJoin":true,"room":"other""#, Err(TokenError::WrongRoom(Some("other".into())))),
            (r#""roomJoin":true,"room":"*""#, Err(TokenError::WrongRoom(Some("*".into())))),
            (r#""roomJoin":true,"room":"""#, Err(TokenError::WrongRoom(None))),
            (r#""roomJoin":true"#, Err(TokenError::WrongRoom(None))),
            (r#""roomJoin":false,"room":"stage""#, Err(TokenError::GrantsNothing)),
            (
                r#""room":"stage","roomAdmin":true,"canPublish":true"#,
                Err(TokenError::GrantsNothing),
            ),
            ("", Err(TokenError::GrantsNothing)),
        ] {
            assert_eq!(with_grants(grants).check_room(&stage), expected, "{grants}");
        }
    }

    /// Every role claim, beside every choice of the two grants that a role can need.
    #[test]
    fn a_role_is_as_high_as_the_grants_that_cover_it() {
        let mc = "mc".parse().unwrap();
        let (host, cohost, speaker, listener) =
            (Role::Host, Role::Cohost, Role::Speaker, Role::Listener);
        // Columns: neither, canPublish, roomAdmin, both.
        let rows = [
            (None, [listener, speaker, host, host]),
            (Some(host), [listener, speaker, host, host]),
            (Some(cohost), [listener, speaker, cohost, cohost]),
            (Some(speaker), [listener, speaker, listener, speaker]),
            (Some(listener), [listener; 4]),
            (Some(mc), [mc; 4]),
        ];
        for (role, expected) in rows {
            for (n, expected) in expected.into_iter().enumerate() {
                let grants =
                    Grants { can_publish: n & 1 == 1, room_admin: n & 2 == 2, ..Grants::default() };
                let claims = Claims { role, grants, ..claims(r#","exp":9"#) };
                assert_eq!(claims.entitlement().role, expected, "{role:?} with choice {n}");
            }
        }
    }

    #[test]
    fn each_grant_gives_its_own_right_and_no_other() {
        let rights = |grants: &str| {
            let entitlement = with_grants(grants).entitlement();
            let Entitlement { may_listen, may_open, hidden, role, .. } = entitlement;
            (role, may_listen, may_open, hidden)
        };
        let none = (Role::Listener, false, false, false);
        for (grant, expected) in [
            ("", none),
            (r#""roomJoin":true"#, none),
            (r#""roomList":true,"roomRecord":true,"ingressAdmin":true"#, none),
            (r#""canSubscribe":true"#, (Role::Listener, true, false, false)),
            (r#""roomCreate":true"#, (Role::Listener, false, true, false)),
            (r#""hidden":true"#, (Role::Listener, false, false, true)),
            (r#""canPublish":true"#, (Role::Speaker, false, false, false)),
            (r#""roomAdmin":true"#, (Role::Host, false, false, false)),
            (r#""canPublish":true,"canPublishSources":["camera"]"#, none),
            (r#""canPublishSources":["microphone"]"#, none),
            (
                r#""canPublish":true,"canPublishSources":["camera","microphone"]"#,
                (Role::Speaker, false, false, false),
            ),
        ] {
            assert_eq!(rights(grant), expected, "{grant}");
        }
    }

    #[test]
    fn a_role_allows_itself_and_what_is_below() {
        let (mc, dj) = ("mc".parse().unwrap(), "dj".parse().unwrap());
        let all = [Role::Host, Role::Cohost, Role::Speaker, Role::Listener, mc, dj];
        for (role, allowed) in [
            (Role::Host, &all[0..4]),
            (Role::Cohost, &all[1..4]),
            (Role::Speaker, &all[2..4]),
            (Role::Listener, &all[3..4]),
            (mc, &[Role::Listener, mc]),
        ] {
            let entitlement = Entitlement { role, ..claims(r#","exp":9"#).entitlement() };
            for asked in all {
                assert_eq!(
                    entitlement.allows(asked),
                    allowed.contains(&asked),
                    "{role} as {asked}"
                );
            }
        }
    }
}
