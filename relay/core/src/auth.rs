//! Authentication at this relay, before a room's own rules apply: participants by token, relays by
//! certificate or token. Pure: TLS has verified the certificate and QUIC the address before, and time
//! is a parameter.

use std::net::{IpAddr, SocketAddr};

use ring::digest;
use tribune_protocol::ids::{ParticipantId, RoomName, SessionKey};
use tribune_protocol::token::{Entitlement, TokenError};

use self::keys::Keys;
use self::secret::Secret;

pub mod invitation;
pub mod keys;
pub mod secret;

/// Credentials that this relay requires of participants and of children.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// Keys that participants' tokens are verified with. Without any, no token is accepted.
    pub keys: Keys,
    /// Secret that a child presents; `None` leaves certificates as the only way.
    pub relay_token: Option<Secret>,
    /// Whether TLS verifies client certificates against an authority of our own.
    pub trunk_certificates: bool,
    /// Whether participants from this machine need no token, and children from this machine no proof
    /// while no way of proving is configured.
    pub dev: bool,
    /// Whether, with `dev`, participants from anywhere need no token.
    pub dev_anywhere: bool,
}

/// A participant's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// A token, with its claims.
    Token(Entitlement),
    /// No token, on a relay for development, which accepts everybody in every role.
    Dev,
    /// No token. The room decides how far that goes.
    Guest,
}

impl Auth {
    /// The credential of a participant at `peer` for `room`, at `now_s` (seconds since 1970). A token
    /// that is shown is verified even where none is needed.
    ///
    /// # Errors
    /// [`TokenError`], if the token that is shown is not valid for that.
    pub fn admit(
        &self,
        peer: IpAddr,
        token: Option<&str>,
        room: &RoomName,
        now_s: u64,
    ) -> Result<Pass, TokenError> {
        if let Some(token) = token {
            let claims = self.keys.verify(token, room, now_s)?;
            return Ok(Pass::Token(claims.entitlement()));
        }
        let is_near = self.dev_anywhere || peer.to_canonical().is_loopback();
        Ok(if self.dev && is_near { Pass::Dev } else { Pass::Guest })
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
            Some(secret) => token.is_some_and(|token| secret.is(token)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<Secret> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn without_a_token_only_development_takes_anybody_as_anything() {
        let room = "stage".parse().unwrap();
        let here = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
        let far = ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "0.0.0.0", "::"];
        let dev = Auth { dev: true, ..Auth::default() };
        let anywhere = Auth { dev_anywhere: true, ..dev.clone() };
        // Of itself, the second switch is nothing.
        let half = Auth { dev_anywhere: true, ..Auth::default() };
        for address in here.into_iter().chain(far) {
            let pass = |auth: &Auth| auth.admit(address.parse().unwrap(), None, &room, 0).unwrap();
            let near = if here.contains(&address) { Pass::Dev } else { Pass::Guest };
            assert_eq!(pass(&dev), near, "{address}");
            assert_eq!(pass(&anywhere), Pass::Dev, "{address}");
            assert_eq!(pass(&half), Pass::Guest, "{address}");
            assert_eq!(pass(&Auth::default()), Pass::Guest, "{address}");
        }
    }

    #[test]
    fn a_token_that_is_shown_counts_also_where_none_is_needed() {
        let dev = Auth { dev: true, ..Auth::default() };
        let here = "127.0.0.1".parse().unwrap();
        let room = "stage".parse().unwrap();
        let error = dev.admit(here, Some("anything"), &room, 0).unwrap_err();
        assert!(matches!(error, TokenError::Malformed(_)), "{error}");
        // {"alg":"HS256"} and {"iss":"web"}, for a relay that has no key at all.
        let unknown =
            dev.admit(here, Some("eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJ3ZWIifQ.AAAA"), &room, 0);
        assert_eq!(unknown, Err(TokenError::UnknownKey("web".to_owned())));
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
