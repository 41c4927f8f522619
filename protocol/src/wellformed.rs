//! A first look at a CBOR item (RFC 8949): whole, of definite lengths, not nested too deep.
//!
//! The deserialiser reserves memory by the lengths that a message states. Here each of them is
//! held against the bytes that are there, so that ten bytes cannot ask for a megabyte.

/// Whether `bytes` are exactly one item, with at most `depth` levels of arrays, maps and tags.
pub(crate) fn is_one_item(bytes: &[u8], depth: usize) -> bool {
    let mut rest = bytes;
    item(&mut rest, depth).is_some() && rest.is_empty()
}

fn item(rest: &mut &[u8], depth: usize) -> Option<()> {
    let first = *rest.first()?;
    *rest = &rest[1..];
    let argument = argument(rest, first & 0x1f)?;
    match first >> 5 {
        0 | 1 | 7 => Some(()),
        2 | 3 => {
            *rest = rest.get(usize::try_from(argument).ok()?..)?;
            Some(())
        }
        4 => items(rest, argument, depth),
        5 => items(rest, argument.checked_mul(2)?, depth),
        _ => items(rest, 1, depth),
    }
}

/// An item is a byte at least, so more items than bytes cannot be.
fn items(rest: &mut &[u8], count: u64, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if count > rest.len() as u64 {
        return None;
    }
    (0..count).try_for_each(|_| item(rest, depth))
}

/// The argument behind an initial byte. Indefinite lengths (31) and reserved values (28–30) are none.
fn argument(rest: &mut &[u8], info: u8) -> Option<u64> {
    let len = match info {
        0..=23 => return Some(u64::from(info)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let (head, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(head.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_held_against_the_bytes() {
        assert!(is_one_item(&[0xa1, 0x61, b'a', 0x01], 4));
        assert!(is_one_item(&[0x82, 0xf6, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0], 4));
        for bad in [
            &[][..],
            &[0x01, 0x01],                                           // two items
            &[0x9a, 0xff, 0xff, 0xff, 0xff, 0x00],                   // an array of 4 G
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // a map whose count overflows
            &[0x5f, 0x41, 0x00, 0xff],                               // indefinite
            &[0x62, b'a'],                                           // cut short
            &[0x1c],                                                 // reserved
        ] {
            assert!(!is_one_item(bad, 4), "{bad:x?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| [vec![0x81; levels], vec![0]].concat();
        assert!(is_one_item(&nested(4), 4));
        assert!(!is_one_item(&nested(5), 4));
        assert!(!is_one_item(&nested(16_000), 4));
    }
}
