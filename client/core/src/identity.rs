//! Participant ids: the digest of a session key, by which everybody else knows its holder.

use tribune_protocol::ids::{ParticipantId, SessionKey};

/// The id that everybody else knows the holder of `key` by.
#[must_use]
pub fn participant(key: &SessionKey) -> ParticipantId {
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.0);
    let head = digest.as_ref().iter().take(8);
    ParticipantId(head.fold(0, |id, byte| id << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_head_of_the_digest() {
        // printf '\0…\0' (16 zero bytes) | sha256sum: 374708fff7719dd5 979ec875d56cd228…
        assert_eq!(participant(&SessionKey([0; 16])).to_string(), "374708fff7719dd5");
    }
}
