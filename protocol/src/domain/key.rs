//! Key of a log, and the hashes and signatures made with it.

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::invalid_text::InvalidText;

/// The secret key of an origin's logs (Ed25519, RFC 8032). Never printed, never sent.
pub struct LogKey(Ed25519KeyPair);

/// The key that a log's signatures are verified with. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogPublicKey(pub [u8; 32]);

/// A SHA-256 (FIPS 180-4). Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// An Ed25519 signature. Written as 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

/// Bytes that are no Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log's key is not an Ed25519 key in PKCS#8 form")]
pub struct InvalidKey;

impl LogKey {
    /// From PKCS#8, with or without the public key in it (RFC 8410, RFC 5958).
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, InvalidKey> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|_| InvalidKey)
    }

    /// From the 32 bytes of its private part. For simulations: the seed is the key.
    ///
    /// # Panics
    /// Never: every 32 bytes are a key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are a seed"))
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> LogPublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        LogPublicKey(bytes)
    }

    /// The pair of keys, to sign invitations in the room's name. Their signed part cannot be taken for an
    /// entry's.
    #[must_use]
    pub const fn pair(&self) -> &Ed25519KeyPair {
        &self.0
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        Signature(bytes)
    }
}

/// Names the key by its public part.
impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey(public {})", self.public())
    }
}

impl LogPublicKey {
    /// The first half of the key's SHA-256 in eight groups of four digits, for people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Hash::of(&self.0).to_string();
        let groups: Vec<&str> = (0..32).step_by(4).map(|at| &digest[at..at + 4]).collect();
        groups.join("-")
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, &signature.0).is_ok()
    }
}

impl Hash {
    /// Predecessor of the first entry.
    pub const ZERO: Self = Self([0; 32]);

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Self(hash)
    }
}

/// CBOR byte strings on the wire, lower-case hexadecimal digits for people.
macro_rules! fixed_bytes {
    ($($name:ident, $len:literal, $what:literal, $why:literal);*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
                let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit);
                f.write_str(&digits.collect::<String>())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidText;
            fn from_str(text: &str) -> Result<Self, InvalidText> {
                let mut bytes = [0; $len];
                match from_hex(text, &mut bytes) {
                    Some(()) => Ok(Self(bytes)),
                    None => Err(InvalidText::new($what, text, $why)),
                }
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Bytes;
                impl serde::de::Visitor<'_> for Bytes {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "a {} of {} bytes", $what, $len)
                    }
                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        let fixed = bytes.try_into().map($name);
                        fixed.map_err(|_| E::invalid_length(bytes.len(), &self))
                    }
                }
                deserializer.deserialize_bytes(Bytes)
            }
        }
    )*};
}
fixed_bytes!(
    LogPublicKey, 32, "key", "is not 64 lower-case hexadecimal digits";
    Hash, 32, "hash", "is not 64 lower-case hexadecimal digits";
    Signature, 64, "signature", "is not 128 lower-case hexadecimal digits"
);

fn from_hex(text: &str, out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn a_known_key_signs_as_known() {
        let seed: Hash =
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb".parse().unwrap();
        let key = LogKey::from_seed(&seed.0);
        assert_eq!(
            key.public().to_string(),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
        );
        let signature = key.sign(&[0x72]);
        assert!(signature.to_string().starts_with("92a009a9f0d4cab8720e820b5f642540"));
        assert!(key.public().verifies(&[0x72], &signature));
        assert!(!key.public().verifies(&[0x73], &signature));
    }

    #[test]
    fn a_generated_key_is_read_back() {
        let random = ring::rand::SystemRandom::new();
        let der = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let key = LogKey::from_pkcs8(der.as_ref()).unwrap();
        assert_eq!(key.public(), LogKey::from_pkcs8(der.as_ref()).unwrap().public());
        assert_eq!(LogKey::from_pkcs8(b"no key").unwrap_err(), InvalidKey);
    }

    #[test]
    fn a_key_prints_its_public_part_only() {
        let key = LogKey::from_seed(&[7; 32]);
        assert_eq!(format!("{key:?}"), format!("LogKey(public {})", key.public()));
        assert!(!format!("{key:?}").contains("0707"));
        assert_eq!(key.public().fingerprint().len(), 39);
    }

    #[test]
    fn digits_are_lower_case_and_all_there() {
        let key = LogKey::from_seed(&[7; 32]).public();
        assert_eq!(key.to_string().parse::<LogPublicKey>().unwrap(), key);
        for bad in [key.to_string().to_uppercase(), key.to_string()[1..].to_owned(), String::new()]
        {
            assert!(bad.parse::<LogPublicKey>().is_err(), "{bad}");
        }
    }
}
