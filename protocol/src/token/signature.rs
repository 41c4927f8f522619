//! Signatures of tokens (RFC 7515): HS256 and EdDSA, by *ring*.

use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::Serialize;

use super::{Algorithm, Parts, TokenError, base64url};

/// A key that makes tokens. It has no `Debug`: a secret is never printed.
#[allow(missing_debug_implementations, reason = "a secret is never printed")]
#[derive(Clone, Copy)]
pub enum SigningKey<'a> {
    /// A shared secret, byte by byte.
    Secret(&'a [u8]),
    /// An Ed25519 pair.
    Ed25519(&'a Ed25519KeyPair),
}

/// A key that tokens are checked with.
#[allow(missing_debug_implementations, reason = "a secret is never printed")]
#[derive(Clone, Copy)]
pub enum VerifyingKey<'a> {
    /// A shared secret, byte by byte.
    Secret(&'a [u8]),
    /// The public half of an Ed25519 pair.
    Ed25519(&'a [u8; 32]),
}

impl SigningKey<'_> {
    /// A token with these claims.
    ///
    /// # Errors
    /// [`serde_json::Error`], for claims that JSON cannot hold.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, serde_json::Error> {
        let algorithm = self.algorithm().as_str();
        let header = format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#);
        let claims = base64url::encode(&serde_json::to_vec(claims)?);
        let signed = format!("{}.{claims}", base64url::encode(header.as_bytes()));
        let signature = match self {
            Self::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                base64url::encode(hmac::sign(&key, signed.as_bytes()).as_ref())
            }
            Self::Ed25519(pair) => base64url::encode(pair.sign(signed.as_bytes()).as_ref()),
        };
        Ok(format!("{signed}.{signature}"))
    }

    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::Hs256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }
}

impl VerifyingKey<'_> {
    /// Checks that this key has signed the token, by its own algorithm and no other.
    ///
    /// # Errors
    /// [`TokenError::WrongAlgorithm`], [`TokenError::BadSignature`].
    pub fn verify(&self, parts: &Parts<'_>) -> Result<(), TokenError> {
        parts.check_algorithm(self.algorithm())?;
        // A signature that is not base64url matches nothing.
        let signature = base64url::decode(parts.signature).ok_or(TokenError::BadSignature)?;
        let signed = parts.signed.as_bytes();
        let outcome = match self {
            Self::Secret(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::verify(&key, signed, &signature)
            }
            Self::Ed25519(public) => {
                UnparsedPublicKey::new(&ED25519, public).verify(signed, &signature)
            }
        };
        outcome.map_err(|_| TokenError::BadSignature)
    }

    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::Hs256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::KeyPair as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_of_another_library_is_verified() {
        let verified = VerifyingKey::Secret(b"a secret of thirty-two bytes: ok");
        verified.verify(&Parts::of(PYJWT).unwrap()).unwrap();
        let (signed, _) = PYJWT.rsplit_once('.').unwrap();
        let altered = format!("{signed}.AAAA");
        let altered = Parts::of(&altered).unwrap();
        assert_eq!(verified.verify(&altered), Err(TokenError::BadSignature));
    }

    #[test]
    fn what_a_key_signs_its_other_half_verifies_and_no_other() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let claims = json!({"iss": "web", "sub": "ada", "exp": 9});
        let by_secret = SigningKey::Secret(b"secret").sign(&claims).unwrap();
        let by_pair = SigningKey::Ed25519(&pair).sign(&claims).unwrap();
        let (by_secret, by_pair) = (Parts::of(&by_secret).unwrap(), Parts::of(&by_pair).unwrap());
        VerifyingKey::Secret(b"secret").verify(&by_secret).unwrap();
        VerifyingKey::Ed25519(&public).verify(&by_pair).unwrap();
        let other = VerifyingKey::Secret(b"other").verify(&by_secret);
        assert_eq!(other, Err(TokenError::BadSignature));
        let other = VerifyingKey::Ed25519(&[1; 32]).verify(&by_pair);
        assert_eq!(other, Err(TokenError::BadSignature));
        for confused in [
            VerifyingKey::Secret(&public).verify(&by_pair),
            VerifyingKey::Ed25519(&public).verify(&by_secret),
        ] {
            assert!(matches!(confused, Err(TokenError::WrongAlgorithm { .. })), "{confused:?}");
        }
    }

    /// Made by PyJWT 2.15.1.
    const PYJWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
        eyJpc3MiOiJ3ZWIiLCJzdWIiOiJhZGEiLCJleHAiOjF9.\
        o4z2wKYyYWZL16dRj_ccmF_lns402qj_tdr5sfAcjM8";
}
