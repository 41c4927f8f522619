//! A key that tokens are made or checked with, from the command line or a file.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ring::signature::{Ed25519KeyPair, KeyPair};
use tribune_protocol::limits::MAX_TOKEN_BYTES;
use tribune_protocol::token::{Claims, Parts, SigningKey, TokenError, VerifyingKey, ed25519};

use crate::outcome::{CommandError, Exit};

/// The shortest secret, in bytes; relays take no shorter one.
const MIN_SECRET_BYTES: usize = 32;

/// A key and its name. `Debug` shows no secret.
#[derive(Clone)]
pub(crate) struct Key {
    name: String,
    half: Half,
}

/// Key material at hand.
#[derive(Clone)]
enum Half {
    /// A shared secret, which makes and checks tokens.
    Secret(String),
    /// An Ed25519 private key in PKCS #8, which does too.
    Private(Vec<u8>),
    /// An Ed25519 public key, which only checks them.
    Public([u8; 32]),
}

impl Key {
    /// Name of the key in tokens.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The key of a file: a keys file as the relay reads it, where `name` chooses if there are several;
    /// or an Ed25519 private key in PEM, where `name` says what the relay calls it.
    pub(crate) fn load(path: &Path, name: Option<&str>) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let key = text.and_then(|text| Self::of_file(&text, name));
        key.map_err(|why| wrong(&format!("--key-file {}: {why}.", path.display())))
    }

    fn of_file(text: &str, name: Option<&str>) -> Result<Self, String> {
        if text.trim_start().starts_with("-----BEGIN") {
            let name = name.ok_or("a private key has no name in it; give it with --key-name")?;
            let pkcs8 = ed25519::private_der(text)
                .filter(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).is_ok())
                .ok_or("it is not an Ed25519 private key in PEM")?;
            return Ok(Self { name: name.to_owned(), half: Half::Private(pkcs8) });
        }
        // The message alone: the library's display quotes the line, which may hold a secret.
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let rows =
            table.get("key").and_then(toml::Value::as_array).ok_or("it has no [[key]] table")?;
        let mut found = rows.iter().filter(|row| match (name, row.get("name")) {
            (Some(name), Some(toml::Value::String(found))) => found == name,
            (Some(_), _) => false,
            (None, _) => true,
        });
        let row = match (found.next(), found.next()) {
            (Some(row), None) => row,
            (Some(_), Some(_)) => {
                return Err("it has several keys; choose one with --key-name".to_owned());
            }
            (None, _) => return Err("it has no key of that name".to_owned()),
        };
        let field = |key: &str| row.get(key).and_then(toml::Value::as_str);
        let name = field("name").ok_or("the key has no name")?.to_owned();
        match (field("secret"), field("ed25519")) {
            (Some(secret), None) => Self::of_secret(&name, secret),
            (None, Some(public)) => match ed25519::public_key(public) {
                Some(public) => Ok(Self { name, half: Half::Public(public) }),
                None => Err(format!("ed25519 of {name:?} is not an Ed25519 public key")),
            },
            (Some(_), Some(_)) | (None, None) => {
                Err(format!("the key {name:?} has not one of secret and ed25519"))
            }
        }
    }

    fn of_secret(name: &str, secret: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a key has a name".to_owned());
        }
        if secret.len() < MIN_SECRET_BYTES {
            let bytes = secret.len();
            return Err(format!(
                "the secret of the key {name:?} is {bytes} bytes long, and relays take none under \
                 {MIN_SECRET_BYTES}"
            ));
        }
        Ok(Self { name: name.to_owned(), half: Half::Secret(secret.to_owned()) })
    }

    /// Signs a token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, CommandError> {
        let signed = match &self.half {
            Half::Secret(secret) => SigningKey::Secret(secret.as_bytes()).sign(claims),
            Half::Private(pkcs8) => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
                    .map_err(|error| wrong(&format!("The token cannot be signed: {error}.")))?;
                SigningKey::Ed25519(&pair).sign(claims)
            }
            Half::Public(_) => {
                let name = &self.name;
                return Err(wrong(&format!(
                    "The key {name:?} is a public one, which makes no tokens; give the private one \
                     with --key-file and --key-name."
                )));
            }
        };
        let token =
            signed.map_err(|error| wrong(&format!("The token cannot be signed: {error}.")))?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(wrong(&format!(
                "The token is {} bytes long, and relays take {MAX_TOKEN_BYTES}.",
                token.len()
            )));
        }
        Ok(token)
    }

    /// Verifies that this key signed the token.
    pub(crate) fn verify(&self, parts: &Parts<'_>) -> Result<(), TokenError> {
        if parts.key_name != self.name {
            return Err(parts.unknown_key());
        }
        match &self.half {
            Half::Secret(secret) => VerifyingKey::Secret(secret.as_bytes()).verify(parts),
            Half::Private(pkcs8) => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
                    .map_err(|_| TokenError::BadSignature)?;
                let public = pair.public_key().as_ref().try_into();
                let public = public.map_err(|_| TokenError::BadSignature)?;
                VerifyingKey::Ed25519(public).verify(parts)
            }
            Half::Public(public) => VerifyingKey::Ed25519(public).verify(parts),
        }
    }
}

impl FromStr for Key {
    type Err = String;

    /// Reads `NAME:SECRET`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, secret)) => Self::of_secret(name, secret),
            None => Err("a key is NAME:SECRET".to_owned()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.name)
    }
}

fn wrong(message: &str) -> CommandError {
    CommandError::new(Exit::Usage, "key", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of thirty-two bytes: ok";

    fn claims(key: &Key) -> Claims {
        let claims = serde_json::json!({"iss": key.name(), "sub": "ada", "exp": 9});
        serde_json::from_value(claims).unwrap()
    }

    #[test]
    fn what_a_key_signs_it_verifies_and_no_other_does() {
        let private = Key::of_file(&ed25519::private_pem(&[7; 32]), Some("web")).unwrap();
        let secret: Key = format!("web:{SECRET}").parse().unwrap();
        let other: Key = format!("web:{SECRET}!").parse().unwrap();
        for key in [&private, &secret] {
            let token = key.sign(&claims(key)).unwrap();
            let parts = Parts::of(&token).unwrap();
            assert_eq!(key.verify(&parts), Ok(()));
            assert!(other.verify(&parts).is_err());
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = ed25519::public_pem(pair.public_key().as_ref().try_into().unwrap());
        let file = format!("[[key]]\nname = 'web'\ned25519 = '''{public}'''");
        let public = Key::of_file(&file, None).unwrap();
        let token = private.sign(&claims(&private)).unwrap();
        assert_eq!(public.verify(&Parts::of(&token).unwrap()), Ok(()));
        assert!(public.sign(&claims(&public)).unwrap_err().message.contains("a public one"));
    }

    #[test]
    fn a_file_with_several_keys_wants_a_choice() {
        let file = format!(
            "[[key]]\nname = 'a'\nsecret = '{SECRET}'\n[[key]]\nname = 'b'\nsecret = '{SECRET}'"
        );
        assert_eq!(Key::of_file(&file, Some("b")).unwrap().name(), "b");
        for (name, says) in [(None, "--key-name"), (Some("c"), "no key of that name")] {
            let error = Key::of_file(&file, name).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn wrong_keys_are_described_without_their_secret() {
        for text in ["web", "web:s3cret", ":s3cret"] {
            let error = text.parse::<Key>().unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let key: Key = format!("web:{SECRET}").parse().unwrap();
        assert!(!format!("{key:?}").contains(SECRET));
        for file in
            ["", "key = 1", "[[key]]\nname = 'a'", "-----BEGIN PRIVATE KEY-----", "s3cret = x"]
        {
            let error = Key::of_file(file, Some("a")).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
