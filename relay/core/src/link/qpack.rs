//! Field section of a request (QPACK, RFC 9204), as far as it tells whether a page asks for the session.
//!
//! The relay offers no dynamic table, so that a section stands for itself. Of its fields three count, and each may
//! have one value: a text is compared in the form in which it came, plain or in Huffman's code, which is
//! the same for the same text always (RFC 7541 section 5.2). So nothing is decoded, and nothing is allocated.

use tribune_protocol::WEB_PATH;

/// Section that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A text in both of its forms.
struct Text {
    plain: &'static str,
    huffman: &'static [u8],
}

const METHOD: Text = Text { plain: ":method", huffman: &[0xb9, 0x49, 0x53, 0x39, 0xe4] };
const PROTOCOL: Text =
    Text { plain: ":protocol", huffman: &[0xb9, 0x5d, 0x87, 0x49, 0xc8, 0x7a, 0x3f] };
const PATH: Text = Text { plain: ":path", huffman: &[0xb9, 0x58, 0xd3, 0x3f] };
const CONNECT: Text =
    Text { plain: "CONNECT", huffman: &[0xbd, 0xab, 0x4e, 0x9c, 0x17, 0xb7, 0xff] };
const WEB_TRANSPORT: Text = Text {
    plain: "webtransport",
    huffman: &[0xf0, 0x58, 0xd3, 0x60, 0xea, 0x45, 0x67, 0xb1, 0x3f],
};
const OUR_PATH: Text = Text { plain: WEB_PATH, huffman: &[0x61, 0x36, 0x1a, 0x3b, 0x6a, 0x2f] };

/// Indices of the static table (RFC 9204 appendix A): `:path` with `/`, and the `:method`s, of which one is CONNECT.
const STATIC_PATH: u64 = 1;
const STATIC_METHODS: std::ops::RangeInclusive<u64> = 15..=21;
const STATIC_CONNECT: u64 = 15;
/// Entries of the static table.
const STATIC_ENTRIES: u64 = 99;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Method,
    Protocol,
    Path,
    Other,
}

/// Whether the section asks for a WebTransport session at our path.
pub(super) fn asks_for_session(mut section: &[u8]) -> Result<bool, Malformed> {
    let required = integer(&mut section, 8)?;
    let _base = integer(&mut section, 7)?;
    if required != 0 {
        return Err(Malformed);
    }
    let (mut method, mut protocol, mut path) = (None, None, None);
    while let Some(first) = section.first().copied() {
        let (name, is_ours) = field(first, &mut section)?;
        let seen = match name {
            Name::Method => &mut method,
            Name::Protocol => &mut protocol,
            Name::Path => &mut path,
            Name::Other => continue,
        };
        // A pseudo-header that comes twice makes a request malformed (RFC 9114 section 4.3).
        if seen.replace(is_ours).is_some() {
            return Err(Malformed);
        }
    }
    Ok([method, protocol, path].into_iter().all(|is_ours| is_ours == Some(true)))
}

/// The next field line (section 4.5): its name, and whether its value is the one that is wanted.
fn field(first: u8, section: &mut &[u8]) -> Result<(Name, bool), Malformed> {
    if first & 0x80 != 0 {
        let index = static_index(first & 0x40 != 0, integer(section, 6)?)?;
        return Ok((static_name(index), index == STATIC_CONNECT));
    }
    let name = if first & 0x40 != 0 {
        static_name(static_index(first & 0x10 != 0, integer(section, 4)?)?)
    } else if first & 0x20 != 0 {
        let is_huffman = first & 0x08 != 0;
        let length = integer(section, 3)?;
        let name = take(section, length)?;
        [(METHOD, Name::Method), (PROTOCOL, Name::Protocol), (PATH, Name::Path)]
            .into_iter()
            .find(|(text, _)| text.is(name, is_huffman))
            .map_or(Name::Other, |(_, name)| name)
    } else {
        // Entries of the dynamic table.
        return Err(Malformed);
    };
    let is_huffman = section.first().ok_or(Malformed)? & 0x80 != 0;
    let length = integer(section, 7)?;
    let value = take(section, length)?;
    let is_ours = match name {
        Name::Method => CONNECT.is(value, is_huffman),
        Name::Protocol => WEB_TRANSPORT.is(value, is_huffman),
        Name::Path => OUR_PATH.is(value, is_huffman),
        Name::Other => false,
    };
    Ok((name, is_ours))
}

fn static_index(is_static: bool, index: u64) -> Result<u64, Malformed> {
    if is_static && index < STATIC_ENTRIES { Ok(index) } else { Err(Malformed) }
}

fn static_name(index: u64) -> Name {
    match index {
        STATIC_PATH => Name::Path,
        index if STATIC_METHODS.contains(&index) => Name::Method,
        _ => Name::Other,
    }
}

/// An integer whose first byte has `bits` for it (RFC 7541 section 5.1).
fn integer(input: &mut &[u8], bits: u8) -> Result<u64, Malformed> {
    /// Bits of the longest integer that can have a meaning here.
    const MAX_SHIFT: u32 = 28;

    let (first, mut rest) = input.split_first().ok_or(Malformed)?;
    let mask = u8::MAX >> (8 - bits);
    let mut value = u64::from(first & mask);
    if first & mask == mask {
        for shift in (0..=MAX_SHIFT).step_by(7) {
            let (byte, after) = rest.split_first().ok_or(Malformed)?;
            rest = after;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *input = rest;
                return Ok(value);
            }
        }
        return Err(Malformed);
    }
    *input = rest;
    Ok(value)
}

fn take<'a>(input: &mut &'a [u8], length: u64) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    let (taken, rest) = input.split_at_checked(length).ok_or(Malformed)?;
    *input = rest;
    Ok(taken)
}

impl Text {
    fn is(&self, bytes: &[u8], is_huffman: bool) -> bool {
        bytes == if is_huffman { self.huffman } else { self.plain.as_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the static table, with Huffman's code: as browsers write it.
    const BY_TABLE: [u8; 36] = [
        0x00, 0x00, 0xcf, 0x27, 0x02, b':', b'p', b'r', b'o', b't', b'o', b'c', b'o', b'l', 0x89,
        0xf0, 0x58, 0xd3, 0x60, 0xea, 0x45, 0x67, 0xb1, 0x3f, 0x51, 0x86, 0x61, 0x36, 0x1a, 0x3b,
        0x6a, 0x2f, 0xd7, 0x50, 0x01, b'x',
    ];

    #[test]
    fn a_request_by_the_static_table_and_huffmans_code_is_understood() {
        assert_eq!(asks_for_session(&BY_TABLE), Ok(true));
        let mut other = BY_TABLE;
        other[25] = 0x85; // a shorter path, and what follows is another field
        assert_ne!(asks_for_session(&other), Ok(true));
        let mut get = BY_TABLE;
        get[2] = 0xd1; // :method GET
        assert_eq!(asks_for_session(&get), Ok(false));
    }

    #[test]
    fn what_needs_a_dynamic_table_or_comes_twice_is_malformed() {
        assert_eq!(asks_for_session(&[0x02, 0x00]), Err(Malformed), "required insert count");
        assert_eq!(asks_for_session(&[0x00, 0x00, 0x80]), Err(Malformed), "a dynamic entry");
        assert_eq!(asks_for_session(&[0x00, 0x00, 0x10]), Err(Malformed), "one behind the base");
        assert_eq!(asks_for_session(&[0x00, 0x00, 0xff, 0x24]), Err(Malformed), "entry 99");
        assert_eq!(asks_for_session(&[0x00, 0x00, 0xcf, 0xcf]), Err(Malformed), "two methods");
        assert_eq!(asks_for_session(&[0x00, 0x00, 0xc1, 0xcf]), Ok(false), "the path /");
    }

    proptest! {
        #[test]
        fn any_section_is_judged(section in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = asks_for_session(&section);
        }

        #[test]
        fn a_section_that_is_cut_short_asks_for_nothing(length in 0_usize..32) {
            prop_assert_ne!(asks_for_session(&BY_TABLE[..length]), Ok(true));
        }
    }
}
