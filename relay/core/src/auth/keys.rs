//! Keys that tokens are verified with, and the verification. Pure: the time is a parameter. The claims
//! of a token are in [`tribune_protocol::token`].

use std::collections::BTreeMap;
use std::fmt;

use tribune_protocol::ids::RoomName;
use tribune_protocol::token::{Algorithm, Claims, Parts, TokenError, VerifyingKey};

use super::secret::Secret;

/// The shortest secret, in bytes: the length of an HS256 signature (RFC 7518 section 3.2).
pub const MIN_SECRET_BYTES: usize = 32;
/// Keys at the same time: one for each service that hands out tokens, and as many that succeed them.
pub const MAX_KEYS: usize = 64;
/// A key's name, in bytes.
pub const MAX_KEY_NAME_BYTES: usize = 64;
/// Key name of invitations, which rooms sign themselves: reserved, no key of an operator's can have it.
pub const INVITATION_KEY_NAME: &str = "invitation";

/// Keys by name. Each is for one algorithm, which a token cannot choose. Several can be configured at
/// once, so that a new one is known before the old one goes.
#[derive(Debug, Clone, Default)]
pub struct Keys(BTreeMap<String, Key>);

/// Key that tokens of one name are verified with. `Debug` shows no secret.
#[derive(Clone)]
pub enum Key {
    /// A secret shared with the issuer of tokens. Its text is the key, byte by byte.
    Secret(Secret),
    /// The public half of an Ed25519 key.
    Ed25519([u8; 32]),
}

/// A key that cannot be used. Its display is one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The secret is shorter than [`MIN_SECRET_BYTES`].
    #[error(
        "the secret of the key {name:?} is {bytes} bytes long, and it takes {MIN_SECRET_BYTES} to \
         be safe; make one with \"tribune-relay keys generate\""
    )]
    ShortSecret {
        /// The key.
        name: String,
        /// Length of its secret, in bytes.
        bytes: usize,
    },
    /// The name cannot stand before the colon of `NAME:SECRET`.
    #[error(
        "{0:?} is not a key's name: 1 to {MAX_KEY_NAME_BYTES} bytes without control characters, \
         spaces and colons"
    )]
    Name(String),
    /// The name has a meaning of its own.
    #[error("no key can be called {INVITATION_KEY_NAME:?}: that is what rooms sign invitations as")]
    ReservedName,
    /// The name is there already.
    #[error("there are two keys of the name {0:?}")]
    Twice(String),
    /// Over [`MAX_KEYS`].
    #[error("there are more than {MAX_KEYS} keys")]
    TooMany,
}

impl Keys {
    /// Adds a key.
    ///
    /// # Errors
    /// [`InvalidKey`], and nothing is changed.
    pub fn insert(&mut self, name: &str, key: Key) -> Result<(), InvalidKey> {
        check_name(name)?;
        if let Key::Secret(secret) = &key
            && secret.expose().len() < MIN_SECRET_BYTES
        {
            let (name, bytes) = (name.to_owned(), secret.expose().len());
            return Err(InvalidKey::ShortSecret { name, bytes });
        }
        if self.0.contains_key(name) {
            return Err(InvalidKey::Twice(name.to_owned()));
        }
        if self.0.len() >= MAX_KEYS {
            return Err(InvalidKey::TooMany);
        }
        self.0.insert(name.to_owned(), key);
        Ok(())
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, so that no token lets anybody in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The claims of `token`, if one of these keys has signed it, it is valid at `now_s` (seconds since
    /// 1970), and it admits its bearer to `room`.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, room: &RoomName, now_s: u64) -> Result<Claims, TokenError> {
        let parts = Parts::of(token)?;
        let key = self.0.get(&parts.key_name).ok_or_else(|| parts.unknown_key())?;
        verify_parts(&parts, key, room, now_s)
    }
}

impl Key {
    /// Signature algorithm of this key.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::Hs256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().as_str())
    }
}

/// Checks that a key of an operator's can have that name.
pub fn check_name(name: &str) -> Result<(), InvalidKey> {
    let allowed = |c: char| !c.is_control() && !c.is_whitespace() && c != ':';
    if name.is_empty() || name.len() > MAX_KEY_NAME_BYTES || !name.chars().all(allowed) {
        return Err(InvalidKey::Name(name.chars().take(MAX_KEY_NAME_BYTES).collect()));
    }
    if name == INVITATION_KEY_NAME {
        return Err(InvalidKey::ReservedName);
    }
    Ok(())
}

/// The verification: first the signature, and only then the claims under it.
pub(super) fn verify_parts(
    parts: &Parts<'_>,
    key: &Key,
    room: &RoomName,
    now_s: u64,
) -> Result<Claims, TokenError> {
    match key {
        Key::Secret(secret) => VerifyingKey::Secret(secret.expose().as_bytes()),
        Key::Ed25519(public) => VerifyingKey::Ed25519(public),
    }
    .verify(parts)?;
    let claims = parts.claims()?;
    claims.check_time(now_s)?;
    claims.check_room(room)?;
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::{Value, json};
    use tribune_protocol::token::base64url;

    use super::*;

    const SECRET: &str = "a secret of thirty-two bytes: ok";
    const NOW_S: u64 = 1_000_000;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn public() -> [u8; 32] {
        pair().public_key().as_ref().try_into().unwrap()
    }

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.insert("web", Key::Secret(SECRET.parse().unwrap())).unwrap();
        keys.insert("app", Key::Ed25519(public())).unwrap();
        keys
    }

    fn claims(key: &str) -> Value {
        let video = json!({"roomJoin": true, "room": "stage", "canSubscribe": true});
        json!({"iss": key, "sub": "ada", "exp": NOW_S + 60, "nbf": NOW_S - 60, "video": video})
    }

    /// A token with any header, signed with a secret.
    fn forge(header: &Value, claims: &Value, secret: &[u8]) -> String {
        let [header, claims] =
            [header, claims].map(|part| base64url::encode(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let signature = ring::hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", base64url::encode(signature.as_ref()))
    }

    fn by_secret(claims: &Value) -> String {
        forge(&json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET.as_bytes())
    }

    fn by_pair(claims: &Value) -> String {
        let header = base64url::encode(br#"{"alg":"EdDSA"}"#);
        let signed = format!("{header}.{}", base64url::encode(claims.to_string().as_bytes()));
        let signature = pair().sign(signed.as_bytes());
        format!("{signed}.{}", base64url::encode(signature.as_ref()))
    }

    fn verify(token: &str) -> Result<Claims, TokenError> {
        keys().verify(token, &"stage".parse().unwrap(), NOW_S)
    }

    #[test]
    fn a_token_of_each_key_is_accepted() {
        assert_eq!(verify(&by_secret(&claims("web"))).unwrap().subject.as_str(), "ada");
        assert_eq!(verify(&by_pair(&claims("app"))).unwrap().key_name, "app");
        // By another library, PyJWT 2.15.1.
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
             eyJpc3MiOiJ3ZWIiLCJzdWIiOiJhZGEiLCJleHAiOjEwMDAwNjAsIm5iZiI6OTk5OTQwLC\
             J2aWRlbyI6eyJyb29tSm9pbiI6dHJ1ZSwicm9vbSI6InN0YWdlIiwiY2FuU3Vic2NyaWJlIjp0cnVlfX0.\
             49pVyEKXsCyNm06pE1A_gzowooK8ul_7I1BKdaW6Fpo";
        assert!(verify(token).is_ok());
    }

    #[test]
    fn every_altered_character_of_a_token_is_noticed() {
        for token in [by_secret(&claims("web")), by_pair(&claims("app"))] {
            for at in 0..token.len() {
                let other = if &token[at..=at] == "A" { "B" } else { "A" };
                let altered = format!("{}{other}{}", &token[..at], &token[at + 1..]);
                assert!(verify(&altered).is_err(), "at {at}: {altered}");
            }
        }
        let (one, two) = (by_secret(&claims("web")), by_secret(&json!({"iss": "web"})));
        let swapped =
            format!("{}.{}", one.rsplit_once('.').unwrap().0, two.rsplit_once('.').unwrap().1);
        assert_eq!(verify(&swapped), Err(TokenError::BadSignature));
        for signature in ["", "!", "AAAA"] {
            let cut = format!("{}.{signature}", one.rsplit_once('.').unwrap().0);
            assert_eq!(verify(&cut), Err(TokenError::BadSignature));
        }
    }

    #[test]
    fn the_key_chooses_the_algorithm_and_not_the_token() {
        let wrong = |found: &str, expected| {
            Err(TokenError::WrongAlgorithm { found: found.to_owned(), expected })
        };
        for algorithm in ["none", "None", "", "RS256", "HS384", "HS512", "hs256", "ES256", "EdDSA"]
        {
            let token = forge(&json!({"alg": algorithm}), &claims("web"), SECRET.as_bytes());
            assert_eq!(verify(&token), wrong(algorithm, "HS256"), "{algorithm}");
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
            assert_eq!(verify(&unsigned), wrong(algorithm, "HS256"), "{algorithm}");
        }
        // The public key is known to everybody: it is no secret to sign with.
        for confused in [public().to_vec(), base64url::encode(&public()).into_bytes()] {
            let token = forge(&json!({"alg": "HS256"}), &claims("app"), &confused);
            assert_eq!(verify(&token), wrong("HS256", "EdDSA"));
            let token = forge(&json!({"alg": "EdDSA"}), &claims("app"), &confused);
            assert_eq!(verify(&token), Err(TokenError::BadSignature));
        }
    }

    #[test]
    fn what_else_is_refused_has_a_reason_each() {
        let with = |key: &str, value: Value| {
            let mut claims = claims("web");
            claims[key] = value;
            verify(&by_secret(&claims)).unwrap_err()
        };
        assert_eq!(with("iss", json!("other")), TokenError::UnknownKey("other".to_owned()));
        assert_eq!(with("iss", json!("app")).code().as_str(), "token_wrong_algorithm");
        assert_eq!(with("exp", json!(NOW_S - 5)), TokenError::Expired { ago_s: 5 });
        assert_eq!(with("nbf", json!(NOW_S + 6)), TokenError::NotYetValid { in_s: 6 });
        assert!(matches!(with("exp", Value::Null), TokenError::Malformed(_)));
        assert!(matches!(with("sub", json!("")), TokenError::Malformed(_)));
        assert_eq!(with("video", json!({"room": "stage"})), TokenError::GrantsNothing);
        let elsewhere = json!({"room": "cellar", "roomJoin": true});
        assert_eq!(with("video", elsewhere), TokenError::WrongRoom(Some("cellar".to_owned())));
        assert!(matches!(verify("no token"), Err(TokenError::Malformed(_))));
        let none =
            Keys::default().verify(&by_secret(&claims("web")), &"stage".parse().unwrap(), NOW_S);
        assert_eq!(none, Err(TokenError::UnknownKey("web".to_owned())));
        // A wrong signature is said before anything that stands under it.
        let expired = forge(&json!({"alg": "HS256"}), &json!({"iss": "web", "exp": 1}), &[0; 32]);
        assert_eq!(verify(&expired), Err(TokenError::BadSignature));
    }

    #[test]
    fn keys_that_cannot_be_had() {
        let mut keys = keys();
        let secret = |text: &str| Key::Secret(text.parse().unwrap());
        let short = keys.insert("new", secret(&SECRET[1..])).unwrap_err();
        assert_eq!(short, InvalidKey::ShortSecret { name: "new".to_owned(), bytes: 31 });
        assert_eq!(keys.insert("web", secret(SECRET)), Err(InvalidKey::Twice("web".to_owned())));
        assert_eq!(keys.insert("invitation", secret(SECRET)), Err(InvalidKey::ReservedName));
        for name in ["", "a b", "a:b", "a\n", &"x".repeat(65)] {
            assert!(
                matches!(keys.insert(name, secret(SECRET)), Err(InvalidKey::Name(_))),
                "{name}"
            );
        }
        for n in keys.len()..MAX_KEYS {
            keys.insert(&format!("key-{n}"), secret(SECRET)).unwrap();
        }
        assert_eq!(keys.insert("more", secret(SECRET)), Err(InvalidKey::TooMany));
        let shown = format!("{keys:?}");
        assert!(shown.contains("web") && !shown.contains(SECRET), "{shown}");
    }
}
