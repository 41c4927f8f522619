//! Parts of a token (RFC 7515 section 7.1): the signed text, the signature, algorithm and issuer as
//! claimed. None of it is to be trusted before the signature is checked.

use serde::Deserialize;

use super::{Claims, TokenError, base64url};
use crate::limits::MAX_TOKEN_BYTES;

/// The start of an unknown name that an error repeats, in characters.
const QUOTED_CHARACTERS: usize = 64;

/// Signature algorithm. A key is for one of them, which a token's header cannot choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256 (RFC 7518 section 3.2).
    Hs256,
    /// Ed25519 (RFC 8037 section 3.1).
    EdDsa,
}

/// A token's parts, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The signed text: header and payload as they were sent.
    pub signed: &'a str,
    /// The signature, in base64url.
    pub signature: &'a str,
    /// `alg` of the header.
    pub algorithm: String,
    /// `iss` of the payload: which key to check it with.
    pub key_name: String,
    payload: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

impl Algorithm {
    /// As it stands in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl<'a> Parts<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn of(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(malformed("it is over 4096 bytes long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed(SHAPE))?;
        let (header, payload) = signed.split_once('.').ok_or_else(|| malformed(SHAPE))?;
        let header = base64url::decode(header).ok_or_else(|| malformed(SHAPE))?;
        let payload = base64url::decode(payload).ok_or_else(|| malformed(SHAPE))?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|_| malformed("its header is not a JSON object with \"alg\""))?;
        if header.crit.is_some() {
            return Err(malformed("its header has \"crit\", and no extension is known here"));
        }
        // Of itself, serde would take an array of the claims' values too.
        if payload.first() != Some(&b'{') {
            return Err(malformed("its payload is not a JSON object"));
        }
        let issuer: Issuer = serde_json::from_slice(&payload)
            .map_err(|_| malformed("its payload is not a JSON object with \"iss\""))?;
        Ok(Self {
            signed,
            signature,
            algorithm: start_of(&header.alg),
            key_name: issuer.iss,
            payload,
        })
    }

    /// That the header names the algorithm that the key is for.
    ///
    /// # Errors
    /// [`TokenError::WrongAlgorithm`].
    pub fn check_algorithm(&self, key: Algorithm) -> Result<(), TokenError> {
        if self.algorithm == key.as_str() {
            return Ok(());
        }
        Err(TokenError::WrongAlgorithm { found: self.algorithm.clone(), expected: key.as_str() })
    }

    /// That no key of that name is known.
    #[must_use]
    pub fn unknown_key(&self) -> TokenError {
        TokenError::UnknownKey(start_of(&self.key_name))
    }

    /// The claims. To be trusted only once the signature is checked.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn claims(&self) -> Result<Claims, TokenError> {
        serde_json::from_slice(&self.payload).map_err(|error| malformed(&reason(&error)))
    }
}

const SHAPE: &str = "it is not three parts in base64url with points between";

fn malformed(why: &str) -> TokenError {
    TokenError::Malformed(why.to_owned())
}

/// The library's words without the place: there is one line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn start_of(text: &str) -> String {
    text.chars().take(QUOTED_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let [header, payload] = [header, payload].map(|part| base64url::encode(part.as_bytes()));
        format!("{header}.{payload}.c2lnbmF0dXJl")
    }

    #[test]
    fn parts_of_a_token() {
        let token = token(r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"iss":"k","exp":1,"sub":"ada"}"#);
        let parts = Parts::of(&token).unwrap();
        assert_eq!((parts.algorithm.as_str(), parts.key_name.as_str()), ("HS256", "k"));
        assert_eq!(format!("{}.{}", parts.signed, parts.signature), token);
        assert_eq!(parts.claims().unwrap().subject.as_str(), "ada");
        assert_eq!(parts.check_algorithm(Algorithm::Hs256), Ok(()));
        let expected = "EdDSA";
        assert_eq!(
            parts.check_algorithm(Algorithm::EdDsa),
            Err(TokenError::WrongAlgorithm { found: "HS256".to_owned(), expected })
        );
    }

    #[test]
    fn what_is_no_token() {
        let payload = r#"{"iss":"k"}"#;
        let long = token(r#"{"alg":"HS256"}"#, &format!("{payload}{}", " ".repeat(4_096)));
        let without_key = token(r#"{"alg":"HS256"}"#, r#"{"sub":"ada"}"#);
        let critical = token(r#"{"alg":"HS256","crit":["b64"]}"#, payload);
        let without_algorithm = token("{}", payload);
        let four = format!("{}.x", token(r#"{"alg":"HS256"}"#, payload));
        for wrong in [
            "",
            "a",
            "a.b",
            "..",
            "a.b.c",
            "=.=.=",
            &long,
            &without_key,
            &critical,
            &without_algorithm,
            &four,
        ] {
            let error = Parts::of(wrong).unwrap_err();
            assert!(matches!(error, TokenError::Malformed(_)), "{wrong}: {error}");
        }
    }
}
