//! Address of the pages for browsers.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// TCP address of the pages for browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebAddress {
    /// There are none.
    Off,
    /// That one. With port 0 the system chooses.
    At(SocketAddr),
    /// [`WebAddress::USUAL`] or, where its port is taken, one that the system chooses: of a relay for development, of
    /// which there can be several on a machine.
    Usual,
}

impl WebAddress {
    /// Address with which a relay for development begins: this machine alone, on the port that people expect.
    pub const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
}

impl FromStr for WebAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse().map(Self::At);
        address.map_err(|_| "is neither ADDRESS:PORT, such as [::]:443, nor off")
    }
}
