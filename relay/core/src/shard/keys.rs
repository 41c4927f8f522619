//! The keys under QUIC's own tokens and connection IDs, derived from one seed.

use std::fmt;
use std::sync::Arc;

use ring::{hkdf, hmac};

use super::steering::SteeringKey;

/// The keys under stateless resets, Retry tokens (RFC 9000 sections 10.3 and 8.1.2) and connection IDs. All shards
/// share them. Kept in the data directory (`quic-secret`, mode 0600) they let a restarted relay tell
/// the peers of its former life at once that their connections are gone.
#[derive(Clone)]
pub struct MasterKeys {
    reset: Arc<hmac::Key>,
    retry: Arc<hkdf::Prk>,
    steering: SteeringKey,
}

impl MasterKeys {
    /// The keys that follow from a seed: the same each time, which the simulated network needs.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, &seed);
        let reset = hmac::sign(&master, b"tribune stateless reset");
        let retry = hmac::sign(&master, b"tribune retry token");
        let steering = hmac::sign(&master, b"tribune connection ids");
        let steering = steering.as_ref().iter().take(8);
        Self {
            reset: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref())),
            retry: Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(retry.as_ref())),
            steering: SteeringKey(steering.fold(0, |key, byte| key << 8 | u64::from(*byte))),
        }
    }

    /// For `quinn_proto::EndpointConfig::new`.
    #[must_use]
    pub fn reset_key(&self) -> Arc<dyn quinn_proto::crypto::HmacKey> {
        Arc::clone(&self.reset) as _
    }

    /// Key that connection IDs are checked with. It outlives a restart with the others: a packet with a
    /// foreign ID gets no stateless reset.
    #[must_use]
    pub const fn steering(&self) -> SteeringKey {
        self.steering
    }

    /// For `quinn_proto::ServerConfig::new`.
    #[must_use]
    pub fn retry_key(&self) -> Arc<dyn quinn_proto::crypto::HandshakeTokenKey> {
        Arc::clone(&self.retry) as _
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKeys(hidden)")
    }
}
