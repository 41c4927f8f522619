//! Variable-length integers of QUIC (RFC 9000 section 16): 1, 2, 4 or 8 bytes, big-endian, the two
//! high bits of the first byte give the length. Longer forms than needed are accepted.

use bytes::BufMut;

/// The largest value that fits: 2^62 − 1.
pub const MAX: u64 = (1 << 62) - 1;

/// Appends `value`. Values above [`MAX`] are cut to it; ids and lengths never come near.
pub fn put(out: &mut impl BufMut, value: u64) {
    match value.min(MAX) {
        v @ 0..=0x3f => out.put_u8(v as u8),
        v @ 0x40..=0x3fff => out.put_u16(v as u16 | 0x4000),
        v @ 0x4000..=0x3fff_ffff => out.put_u32(v as u32 | 0x8000_0000),
        v => out.put_u64(v | 0xc000_0000_0000_0000),
    }
}

/// Bytes that [`put`] appends for `value`.
#[must_use]
pub const fn size(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Takes one integer off the front of `input`; `None` if `input` ends inside it.
#[must_use]
pub fn take(input: &mut &[u8]) -> Option<u64> {
    let first = *input.first()?;
    let len = 1usize << (first >> 6);
    let (head, rest) = input.split_at_checked(len)?;
    let mut value = u64::from(first & 0x3f);
    for byte in &head[1..] {
        value = value << 8 | u64::from(*byte);
    }
    *input = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_9000_examples() {
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            let mut input = bytes;
            assert_eq!(take(&mut input), Some(value));
            assert!(input.is_empty());
        }
    }

    proptest! {
        #[test]
        fn round_trip(value in 0..=MAX) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), size(value));
            prop_assert_eq!(take(&mut &out[..]), Some(value));
            prop_assert_eq!(take(&mut &out[..out.len() - 1]), None);
        }
    }
}
