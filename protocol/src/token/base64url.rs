//! Base64 of tokens and keys (RFC 4648 section 5): the alphabet of URLs, no padding, no bits left over. A
//! text has one meaning, and bytes have one text. Not in constant time: secrets are read from a file, once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Text of bytes, without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes of a text without padding. `None` if it has other characters, an impossible length, or bits
/// that are left over and not zero.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        // RFC 4648 section 10, without the padding.
        let examples = [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, text) in examples {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode(&[0xfb, 0xff, 0xfe]), "-__-");
    }

    #[test]
    fn every_byte_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..=256 {
            assert_eq!(decode(&encode(&bytes[..length])).as_deref(), Some(&bytes[..length]));
        }
    }

    #[test]
    fn one_text_for_the_same_bytes() {
        for wrong in ["Z", "Zh", "Zm9", "Zg==", "Z g", "Zm9v\n", "+/+/", "é"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
