//! Invitations: tokens that a room signs itself, with the key of its origin, for people whom its host
//! invites. Every relay below checks them with the public half.

use ring::signature::Ed25519KeyPair;
use tribune_protocol::ids::RoomName;
use tribune_protocol::limits::MAX_TOKEN_BYTES;
use tribune_protocol::token::{Algorithm, Claims, Parts, TokenError, base64url};

use super::keys::{INVITATION_KEY_NAME, Key, verify_parts};

/// The claims of an invitation, if the origin with that public key has signed it, it is valid at
/// `now_s` (seconds since 1970), and it is for `room`.
///
/// # Errors
/// [`TokenError`]; [`TokenError::UnknownKey`] for a token that is no invitation.
pub fn verify_invitation(
    token: &str,
    public_key: &[u8; 32],
    room: &RoomName,
    now_s: u64,
) -> Result<Claims, TokenError> {
    let parts = Parts::of(token)?;
    if parts.key_name != INVITATION_KEY_NAME {
        return Err(parts.unknown_key());
    }
    verify_parts(&parts, &Key::Ed25519(*public_key), room, now_s)
}

/// Signs an invitation. The claims' key name is replaced.
///
/// # Errors
/// [`TokenError::Malformed`], if it would be over [`MAX_TOKEN_BYTES`].
pub fn mint_invitation(key: &Ed25519KeyPair, claims: Claims) -> Result<String, TokenError> {
    let claims = Claims { key_name: INVITATION_KEY_NAME.to_owned(), ..claims };
    let malformed = |why: &dyn std::fmt::Display| TokenError::Malformed(why.to_string());
    let payload = serde_json::to_vec(&claims).map_err(|error| malformed(&error))?;
    let header = format!("{{\"alg\":\"{}\",\"typ\":\"JWT\"}}", Algorithm::EdDsa.as_str());
    let signed =
        format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(&payload));
    let signature = key.sign(signed.as_bytes());
    let token = format!("{signed}.{}", base64url::encode(signature.as_ref()));
    if token.len() > MAX_TOKEN_BYTES {
        return Err(malformed(&"it is over 4096 bytes long"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use ring::signature::KeyPair;
    use serde_json::json;

    use super::super::keys::Keys;
    use super::*;

    fn claims() -> Claims {
        let video = json!({"roomJoin": true, "room": "stage"});
        let claims = json!({"iss": "", "sub": "ada", "exp": 1_000, "video": video});
        serde_json::from_value(claims).unwrap()
    }

    #[test]
    fn an_invitation_is_good_at_its_origin_and_nowhere_else() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
        let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let room = "stage".parse().unwrap();
        let token = mint_invitation(&pair, claims()).unwrap();
        let verified = verify_invitation(&token, &public, &room, 999).unwrap();
        assert_eq!((verified.key_name.as_str(), verified.subject.as_str()), ("invitation", "ada"));
        assert_eq!(verify_invitation(&token, &[2; 32], &room, 999), Err(TokenError::BadSignature));
        assert!(matches!(
            verify_invitation(&token, &public, &room, 2_000),
            Err(TokenError::Expired { .. })
        ));
        let other = "cellar".parse().unwrap();
        assert!(matches!(
            verify_invitation(&token, &public, &other, 999),
            Err(TokenError::WrongRoom(_))
        ));
        let keys = Keys::default();
        assert!(matches!(keys.verify(&token, &room, 999), Err(TokenError::UnknownKey(_))));
    }
}
