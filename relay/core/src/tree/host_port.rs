//! The address of another relay as an operator writes it: `HOST:PORT`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// Address of another relay: a DNS name or an IP address, and a UDP port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The DNS name or the IP address, without brackets: what TLS calls the server's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether both name the same place: names of DNS know no case.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Whether it is this machine: `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "is not HOST:PORT, such as relay.example.org:4433 or [::1]:4433";
        let (host, port) = text.rsplit_once(':').ok_or(SHAPE)?;
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner,
            None if host.contains(':') => return Err(SHAPE),
            None => host,
        };
        if ServerName::try_from(host).is_err() {
            return Err(SHAPE);
        }
        match port.parse() {
            Ok(0) | Err(_) => Err("has no port from 1 to 65535"),
            Ok(port) => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_printed() {
        for text in ["relay.example.org:4433", "127.0.0.1:1", "[::1]:65535", "localhost:4433"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        for bad in ["relay", "::1:4433", "relay:0", "relay:65536", "a b:1", ":1", "[]:1", ""] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_in_all_its_spellings() {
        for text in ["localhost:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(text.parse::<HostPort>().unwrap().is_loopback(), "{text}");
        }
        for text in ["localhost.example.org:1", "10.0.0.1:1", "[::2]:1"] {
            assert!(!text.parse::<HostPort>().unwrap().is_loopback(), "{text}");
        }
    }
}
