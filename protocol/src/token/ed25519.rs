//! Ed25519 keys as text (RFC 8410, RFC 7468). Whether the bytes are a usable key is not checked here.

use pem::{EncodeConfig, LineEnding, Pem};

use super::base64url;

/// DER in front of the 32 bytes of a public key (RFC 8410 section 4).
const PUBLIC_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// PKCS #8 in front of the 32 bytes of a private key (RFC 8410 section 7).
const PRIVATE_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The 32 bytes of a public key from PEM, or from base64, of either alphabet, of them alone or of
/// their DER.
#[must_use]
pub fn public_key(text: &str) -> Option<[u8; 32]> {
    let bytes = match der_of_pem(text, "PUBLIC KEY") {
        Some(der) => der,
        None => base64(text)?,
    };
    bytes.strip_prefix(&PUBLIC_PREFIX).unwrap_or(&bytes).try_into().ok()
}

/// A public key in PEM.
#[must_use]
pub fn public_pem(public: &[u8; 32]) -> String {
    to_pem("PUBLIC KEY", [&PUBLIC_PREFIX[..], public].concat())
}

/// The PKCS #8 bytes of a private key in PEM, of any kind.
#[must_use]
pub fn private_der(text: &str) -> Option<Vec<u8>> {
    der_of_pem(text, "PRIVATE KEY")
}

/// A private key, by its 32 secret bytes, in PEM.
#[must_use]
pub fn private_pem(seed: &[u8; 32]) -> String {
    to_pem("PRIVATE KEY", [&PRIVATE_PREFIX[..], seed].concat())
}

/// The first block of that label. Its body is padded, as RFC 7468 has it.
fn der_of_pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let blocks = pem::parse_many(text).ok()?;
    blocks.into_iter().find(|block| block.tag() == label).map(Pem::into_contents)
}

fn to_pem(label: &str, der: Vec<u8>) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

/// Either alphabet, with padding or without, over several lines.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    base64url::decode(&text.trim_end_matches('=').replace('+', "-").replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 section 10.1 and 10.3.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    #[test]
    fn the_examples_of_the_standard() {
        let public = public_key(PUBLIC).unwrap();
        assert_eq!(&public[..4], [0x19, 0xbf, 0x44, 0x09]);
        assert_eq!(public_pem(&public), PUBLIC);
        let private = private_der(PRIVATE).unwrap();
        let seed: [u8; 32] = private.strip_prefix(&PRIVATE_PREFIX).unwrap().try_into().unwrap();
        assert_eq!(private_pem(&seed), PRIVATE);
    }

    #[test]
    fn a_public_key_is_read_in_every_way_that_people_write_it() {
        let public = [0xfb; 32];
        let url = base64url::encode(&public);
        let standard = format!("{}=", url.replace('-', "+").replace('_', "/"));
        let der = base64url::encode(&[&PUBLIC_PREFIX[..], &public].concat());
        for text in [&url, &standard, &der, &public_pem(&public), &format!(" {standard}\n")] {
            assert_eq!(public_key(text), Some(public), "{text}");
        }
        for wrong in ["", "AAAA", "not base64", "-----BEGIN PUBLIC KEY-----", PRIVATE] {
            assert_eq!(public_key(wrong), None, "{wrong}");
        }
        assert_eq!(private_der(PUBLIC), None);
    }
}
