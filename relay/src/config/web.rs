//! Settings of the page for browsers: its address, and the pages of others that may hold it in a frame.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::str::FromStr;

use rustls::pki_types::DnsName;

/// Scheme of the page's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebScheme {
    /// Plain HTTP: on this machine, or behind a proxy that speaks HTTPS.
    Http,
    /// HTTPS with the relay's own certificate.
    Https,
}

impl WebScheme {
    /// As it begins an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// TCP address of the page for browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebAddress {
    /// Plain or over TLS.
    pub scheme: WebScheme,
    /// The address. With port 0 the system chooses.
    pub address: SocketAddr,
    /// Whether another port will do if this one is taken: nobody has asked for it.
    pub is_only_a_wish: bool,
}

impl WebAddress {
    /// Default of a relay for development. Several of them may run on a machine.
    pub(super) const FOR_DEVELOPMENT: Self = Self {
        scheme: WebScheme::Http,
        address: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)),
        is_only_a_wish: true,
    };

    /// Whether other machines reach it without TLS.
    #[must_use]
    pub const fn is_exposed(&self) -> bool {
        matches!(self.scheme, WebScheme::Http) && !self.address.ip().is_loopback()
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.address)
    }
}

/// The setting as it is written; the scheme may be left to the other settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WebSetting {
    Off,
    On { scheme: Option<WebScheme>, address: SocketAddr },
}

impl FromStr for WebSetting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "is neither ADDRESS:PORT, such as [::]:4433 or http://127.0.0.1:8080, nor off";
        if text == "off" {
            return Ok(Self::Off);
        }
        let (scheme, address) = match text.split_once("://") {
            Some(("http", address)) => (Some(WebScheme::Http), address),
            Some(("https", address)) => (Some(WebScheme::Https), address),
            Some(_) => return Err(SHAPE),
            None => (None, text),
        };
        let address = address.parse().map_err(|_| SHAPE)?;
        Ok(Self::On { scheme, address })
    }
}

/// Origin of pages that may hold a frame of this relay: a source of `frame-ancestors` (Content Security
/// Policy, level 3), a scheme with a host and perhaps a port, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedOrigin(String);

impl EmbedOrigin {
    /// As a source of the policy: nothing in it ends or parts a directive.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmbedOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "is neither an origin, such as https://example.org or https://*.example.org, nor *";
        if text == "*" {
            return Ok(Self(text.to_owned()));
        }
        let (scheme, place) = text.split_once("://").ok_or(SHAPE)?;
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        };
        let is_scheme = matches!(scheme, "http" | "https");
        let host = host.strip_prefix("*.").unwrap_or(host);
        // An IPv4 address is a name by its letters; one of IPv6 cannot stand in a policy.
        let is_host = DnsName::try_from(host).is_ok() || host.parse::<Ipv4Addr>().is_ok();
        let is_port = port.is_none_or(|port| {
            port.bytes().all(|digit| digit.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if is_scheme && is_host && is_port { Ok(Self(text.to_owned())) } else { Err(SHAPE) }
    }
}
