//! Secrets that are compared or presented, and never shown.

use std::fmt;
use std::str::FromStr;

use ring::hmac;
use tribune_protocol::limits::MAX_TOKEN_BYTES;

/// A token or other secret: 1 to 4,096 bytes of text. `Debug` hides it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, to be compared or sent, never to be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a presented secret is this one. Compares by MAC, so that the time taken tells neither the
    /// secret's bytes nor its length.
    #[must_use]
    pub fn is(&self, presented: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"tribune token comparison");
        let expected = hmac::sign(&key, self.0.as_bytes());
        hmac::verify(&key, presented.as_bytes(), expected.as_ref()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_TOKEN_BYTES {
            return Err("is not 1 to 4096 bytes long");
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_hides_itself() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert!(!format!("{secret:?} {:#?}", Some(&secret)).contains("hunter2"));
        assert!("".parse::<Secret>().is_err());
        assert!("x".repeat(4097).parse::<Secret>().is_err());
    }
}
