//! Bridge between the relay's WebSockets and its shards: the part of the relay that serves pages dials the relay's own
//! UDP port for each of them, by an ALPN of its own, and says first whose connection it carries. From then on the
//! connection is that of a participant like any other, at the address of the browser.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ring::hmac;
use smallvec::SmallVec;

/// ALPN of such a connection. It is between the parts of one relay, and of one version.
pub const ALPN_BRIDGE: &[u8] = b"tribune-bridge/1";
const MAC_BYTES: usize = 32;
const PREAMBLE_BYTES: usize = MAC_BYTES + 16;

/// Key of the proof that a connection comes from the relay itself, made at its start and told nobody.
#[derive(Clone)]
pub struct BridgeKey(hmac::Key);

impl BridgeKey {
    /// A key of these random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    /// First bytes of the control stream, before the first message: a MAC of the address, and the address.
    #[must_use]
    pub fn preamble(&self, browser: IpAddr) -> [u8; PREAMBLE_BYTES] {
        let address = match browser {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut preamble = [0; PREAMBLE_BYTES];
        let (mac, rest) = preamble.split_at_mut(MAC_BYTES);
        mac.copy_from_slice(hmac::sign(&self.0, &address.octets()).as_ref());
        rest.copy_from_slice(&address.octets());
        preamble
    }
}

impl fmt::Debug for BridgeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BridgeKey(hidden)")
    }
}

/// Browser behind a connection.
#[derive(Debug)]
pub(crate) enum Behind {
    /// It has not been said yet; these are the bytes so far.
    Awaited(SmallVec<[u8; PREAMBLE_BYTES]>),
    /// That one.
    Browser(IpAddr),
}

/// Connection that does not come from this relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stranger;

impl Default for Behind {
    fn default() -> Self {
        Self::Awaited(SmallVec::new())
    }
}

impl Behind {
    /// Takes bytes of the control stream. Gives those behind the preamble.
    ///
    /// # Errors
    /// [`Stranger`].
    pub(crate) fn handle_bytes<'a>(
        &mut self,
        key: &BridgeKey,
        bytes: &'a [u8],
    ) -> Result<&'a [u8], Stranger> {
        let Self::Awaited(preamble) = self else { return Ok(bytes) };
        let (own, rest) = bytes.split_at(bytes.len().min(PREAMBLE_BYTES - preamble.len()));
        preamble.extend_from_slice(own);
        let Some((mac, address)) = preamble.split_at_checked(MAC_BYTES) else { return Ok(rest) };
        let Ok(address) = <[u8; 16]>::try_from(address) else { return Ok(rest) };
        hmac::verify(&key.0, &address, mac).map_err(|_| Stranger)?;
        *self = Self::Browser(Ipv6Addr::from(address).to_canonical());
        Ok(rest)
    }

    /// The browser's address, once it is known.
    pub(crate) const fn browser(&self) -> Option<IpAddr> {
        match self {
            Self::Awaited(_) => None,
            Self::Browser(address) => Some(*address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_who_the_relay_itself_says() {
        let key = BridgeKey::new([7; 32]);
        for address in ["192.0.2.1", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            let bytes = [&key.preamble(address)[..], b"message"].concat();
            for cut in 0..=bytes.len() {
                let mut behind = Behind::default();
                let first = behind.handle_bytes(&key, &bytes[..cut]).unwrap();
                let second = behind.handle_bytes(&key, &bytes[cut..]).unwrap();
                assert_eq!([first, second].concat(), b"message");
                assert_eq!(behind.browser(), Some(address));
            }
        }
    }

    #[test]
    fn whoever_does_not_know_the_key_is_a_stranger() {
        let key = BridgeKey::new([7; 32]);
        let guess = BridgeKey::new([8; 32]).preamble([127, 0, 0, 1].into());
        let mut behind = Behind::default();
        assert_eq!(behind.handle_bytes(&key, &guess), Err(Stranger));
        assert_eq!(behind.browser(), None);
    }
}
