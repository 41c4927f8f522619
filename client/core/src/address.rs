//! Where a relay is: `HOST:PORT`, as given on the command line or by a relay that moves us.

use std::fmt;
use std::str::FromStr;

/// UDP port of a relay where none is given.
pub const DEFAULT_PORT: u16 = 4433;

/// A relay's host and UDP port. The host is also the name its certificate is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a relay's address: HOST, HOST:PORT or tribune://HOST:PORT")]
pub struct InvalidAddress(String);

impl Address {
    /// A name or an IP address, the latter without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.chars().take(80).collect());
        let rest = text.strip_prefix("tribune://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or_else(invalid)?;
                let port = if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':').ok_or_else(invalid)?)
                };
                (host, port)
            }
            None => match rest.split_once(':') {
                // More than one colon and no brackets: an IPv6 address without a port.
                Some((_, after)) if after.contains(':') => (rest, None),
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            Some(digits) => digits.parse().map_err(|_| invalid())?,
            None => DEFAULT_PORT,
        };
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(is_allowed) || port == 0 {
            return Err(invalid());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_are_addresses() {
        for (text, host, port) in [
            ("relay.example.org", "relay.example.org", 4433),
            ("localhost:7000", "localhost", 7000),
            ("tribune://localhost:7000/", "localhost", 7000),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:9", "::1", 9),
            ("[::1]", "::1", 4433),
            ("::1", "::1", 4433),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port), "{text}");
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address, "{text}");
        }
    }

    #[test]
    fn forms_that_are_not() {
        for text in
            ["", ":1", "a:", "a:0", "a:65536", "a:b", "https://a:1", "[::1", "[::1]x", "a b"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
