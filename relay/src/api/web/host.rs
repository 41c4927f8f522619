//! Host that a request is for: what the browser has in its address bar. It goes into the policy of the page, so
//! it is read strictly.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::{HeaderMap, Uri, header};
use rustls::pki_types::DnsName;

/// A name or an address, and the port if it is not that of the scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    name: Name,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// A DNS name or an IPv4 address.
    Plain(String),
    V6(Ipv6Addr),
}

/// A request that does not say what host it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidHost {
    #[error("The request names no host, or more than one.")]
    NotOne,
    #[error("The host of the request is not a name or an address with a port.")]
    Malformed,
}

impl Host {
    /// The host of a request: of its target if that is a whole address (RFC 9112, section 3.2.2), or else of
    /// its header.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, InvalidHost> {
        if let Some(authority) = uri.authority() {
            return authority.as_str().parse();
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(InvalidHost::NotOne);
        };
        host.to_str().map_err(|_| InvalidHost::Malformed)?.parse()
    }

    /// Whether it is `localhost` or an address, and not a name that somebody else may have pointed here.
    pub(super) fn is_local(&self) -> bool {
        match &self.name {
            Name::Plain(name) => name == "localhost" || name.parse::<Ipv4Addr>().is_ok(),
            Name::V6(_) => true,
        }
    }

    /// The name for a policy, without the port. A policy has no way to write an IPv6 address.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.name {
            Name::Plain(name) => Some(name),
            Name::V6(_) => None,
        }
    }
}

/// As in an address.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Plain(name) => f.write_str(name)?,
            Name::V6(address) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let is_bracketed = text.starts_with('[');
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !is_bracketed || name.ends_with(']') => (name, Some(port)),
            Some(_) | None => (text, None),
        };
        let port = port.map(port_number).transpose()?;
        let inner = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let name = match inner {
            Some(inner) => Name::V6(inner.parse().map_err(|_| InvalidHost::Malformed)?),
            None => Name::Plain(plain_name(name)?),
        };
        Ok(Self { name, port })
    }
}

fn port_number(text: &str) -> Result<u16, InvalidHost> {
    // `parse` would take a sign.
    let is_digits = text.bytes().all(|digit| digit.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_digits && *port != 0);
    port.ok_or(InvalidHost::Malformed)
}

/// Letters, digits, dots and hyphens: none that would mean something in a policy.
fn plain_name(text: &str) -> Result<String, InvalidHost> {
    let is_name = DnsName::try_from(text).is_ok() || text.parse::<Ipv4Addr>().is_ok();
    if is_name { Ok(text.to_ascii_lowercase()) } else { Err(InvalidHost::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_browsers_write_them() {
        for (text, name) in [
            ("localhost:8080", Some("localhost")),
            ("fra-1.example.org", Some("fra-1.example.org")),
            ("192.0.2.7:4433", Some("192.0.2.7")),
            ("[::1]:8080", None),
            ("[2001:db8::7]", None),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.name(), name, "{text}");
            assert_eq!(host.to_string(), text);
        }
        assert_eq!("EXAMPLE.org".parse::<Host>().unwrap().to_string(), "example.org");
    }

    #[test]
    fn names_of_others_are_told_apart() {
        let is_local = |text: &str| text.parse::<Host>().unwrap().is_local();
        assert!(["localhost:8080", "127.0.0.1", "[::1]:8080"].into_iter().all(is_local));
        assert!(
            !["localhost.example:8080", "relay", "127.0.0.1.example"].into_iter().any(is_local)
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:1:2",
            "a b",
            "a;b",
            "a,b",
            "a'b",
            "*",
            "*.a",
            "a/b",
            "a@b",
            "[::1",
            "::1",
            "[::1]x",
            "[a]",
            "[::1]:0",
            "[fe80::1%25eth0]",
            "é",
            "a\\b",
            "https://a",
        ] {
            assert_eq!(bad.parse::<Host>(), Err(InvalidHost::Malformed), "{bad}");
        }
    }

    #[test]
    fn one_host_and_no_second() {
        let headers = |hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            headers
        };
        let of = |uri: &str, hosts: &[&'static str]| {
            Host::of(&uri.parse().unwrap(), &headers(hosts)).map(|host| host.to_string())
        };
        assert_eq!(of("/", &["a:1"]), Ok("a:1".to_owned()));
        assert_eq!(of("/", &[]), Err(InvalidHost::NotOne));
        assert_eq!(of("/", &["a", "b"]), Err(InvalidHost::NotOne));
        assert_eq!(of("http://c:2/", &["a"]), Ok("c:2".to_owned()));
    }
}
