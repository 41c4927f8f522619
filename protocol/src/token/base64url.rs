//! Base64 as tokens and keys are written in it (RFC 4648 section 5), small and strict. Not in constant
//! time: what is secret is read from a file, once.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes bytes without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, n| word << 8 | u32::from(*chunk.get(n).unwrap_or(&0)));
        for n in 0..=chunk.len() {
            let digit = word >> (18 - 6 * n) & 0x3f;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

/// Reads text without padding. `None` if it has other characters, a length that none has, or bits
/// that are left over and not zero: a text has one meaning, and bytes have one text.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut word = 0;
        for &character in chunk {
            word = word << 6 | u32::from(digit(character)?);
        }
        let (whole, left_over) = match chunk.len() {
            4 => (3, 0),
            3 => (2, 2),
            2 => (1, 4),
            _ => return None,
        };
        if word & ((1 << left_over) - 1) != 0 {
            return None;
        }
        word >>= left_over;
        bytes.extend((0..whole).rev().map(|n| (word >> (8 * n)) as u8));
    }
    Some(bytes)
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
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
