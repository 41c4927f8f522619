//! Who may do what before a room's own rules apply: open and govern rooms, attach as a child.
//! Pure: the certificate has been verified by TLS, the address by QUIC, before anything is asked here.

use std::net::SocketAddr;

use ring::{digest, hmac};
use tribune_protocol::ids::{ParticipantId, SessionKey};

use crate::config::{Config, Secret};

/// What this relay asks of hosts and of children.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// What whoever opens or governs a room presents; `None` lets anybody.
    pub host_token: Option<Secret>,
    /// What a child presents; `None` leaves certificates as the only way.
    pub relay_token: Option<Secret>,
    /// Whether TLS verifies client certificates against an authority of our own.
    pub trunk_certificates: bool,
    /// Whether children from this machine need no proof while no way of proving is configured.
    pub dev: bool,
}

impl Auth {
    /// The policy that the configuration asks for.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            host_token: config.host_token.clone(),
            relay_token: config.relay_token.clone(),
            trunk_certificates: config.trunk_ca.is_some(),
            dev: config.dev,
        }
    }

    /// Whether somebody who shows `token` may open a room and govern it.
    #[must_use]
    pub fn may_govern(&self, token: Option<&str>) -> bool {
        match &self.host_token {
            None => true,
            Some(secret) => token.is_some_and(|token| is_same(secret, token)),
        }
    }

    /// Whether a relay at `peer` may attach as a child. `certificate_verified` says that it showed a
    /// client certificate, which TLS only accepts from the configured authority.
    #[must_use]
    pub fn trunk_allowed(
        &self,
        peer: SocketAddr,
        certificate_verified: bool,
        token: Option<&str>,
    ) -> bool {
        if self.trunk_certificates && certificate_verified {
            return true;
        }
        match &self.relay_token {
            Some(secret) => token.is_some_and(|token| is_same(secret, token)),
            None => !self.trunk_certificates && self.dev && peer.ip().to_canonical().is_loopback(),
        }
    }
}

/// The id that belongs to a session key: the first 8 bytes, big-endian, of its SHA-256.
#[must_use]
pub fn participant_id(key: &SessionKey) -> ParticipantId {
    let hash = digest::digest(&digest::SHA256, &key.0);
    let id = hash.as_ref().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte));
    ParticipantId(id)
}

/// Compares by MAC, so that the time taken tells neither the secret's bytes nor its length.
fn is_same(secret: &Secret, presented: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"tribune token comparison");
    let expected = hmac::sign(&key, secret.expose().as_bytes());
    hmac::verify(&key, presented.as_bytes(), expected.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<Secret> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn anybody_governs_where_no_token_is_set() {
        assert!(Auth::default().may_govern(None));
        assert!(Auth::default().may_govern(Some("anything")));
    }

    #[test]
    fn only_the_host_token_governs_where_one_is_set() {
        let auth = Auth { host_token: secret("let me in"), ..Auth::default() };
        assert!(auth.may_govern(Some("let me in")));
        for wrong in [None, Some(""), Some("let me i"), Some("let me in "), Some("LET ME IN")] {
            assert!(!auth.may_govern(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_child_attaches_by_certificate_or_token_or_from_this_machine() {
        let here: [SocketAddr; 3] = ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"]
            .map(|address| address.parse().unwrap());
        let far: SocketAddr = "192.0.2.1:9".parse().unwrap();

        let nothing = Auth::default();
        let dev = Auth { dev: true, ..Auth::default() };
        for peer in here {
            assert!(!nothing.trunk_allowed(peer, false, None));
            assert!(dev.trunk_allowed(peer, false, None), "{peer}");
        }
        assert!(!dev.trunk_allowed(far, false, None));
        // A certificate that nobody verified proves nothing.
        assert!(!nothing.trunk_allowed(far, true, None));

        let token = Auth { relay_token: secret("t"), dev: true, ..Auth::default() };
        assert!(token.trunk_allowed(far, false, Some("t")));
        assert!(!token.trunk_allowed(far, false, Some("u")));
        assert!(!token.trunk_allowed(here[0], false, None), "a token that is set is asked for");

        let certificate = Auth { trunk_certificates: true, dev: true, ..Auth::default() };
        assert!(certificate.trunk_allowed(far, true, None));
        assert!(!certificate.trunk_allowed(here[0], false, None));

        let both = Auth { trunk_certificates: true, ..token };
        assert!(both.trunk_allowed(far, true, None));
        assert!(both.trunk_allowed(far, false, Some("t")));
        assert!(!both.trunk_allowed(far, false, None));
    }

    #[test]
    fn participant_ids_come_from_sha_256() {
        // printf '\7\7…' (16 times) | sha256sum
        assert_eq!(participant_id(&SessionKey([7; 16])).to_string(), "d761d406af2a4a5a");
    }
}
