//! Values that settings are made of. Each parses once and is valid from then on.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ring::hmac;
use rustls::pki_types::ServerName;
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

    /// Whether this is what somebody presents. Compares by MAC, so that the time taken tells neither the
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

/// Where another relay is: a DNS name or an IP address, and a UDP port.
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

/// The SHA-256 of a certificate's DER bytes. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = &'static str;

    /// Reads hexadecimal digits, with or without the colons that other tools print between bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "is not the SHA-256 of a certificate, 64 hexadecimal digits";
        let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b':').collect();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(SHAPE);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| SHAPE)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| SHAPE)?;
        }
        Ok(Self(bytes))
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

    #[test]
    fn fingerprints_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(plain.parse::<Fingerprint>().unwrap().to_string(), plain);
        assert_eq!(colons.parse::<Fingerprint>(), plain.parse::<Fingerprint>());
        for bad in ["", "ab", &"g0".repeat(32), &"ab".repeat(33)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_hides_itself() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert!(!format!("{secret:?} {:#?}", Some(&secret)).contains("hunter2"));
        assert!("".parse::<Secret>().is_err());
        assert!("x".repeat(4097).parse::<Secret>().is_err());
    }
}
