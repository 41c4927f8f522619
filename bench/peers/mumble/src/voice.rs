//! Plaintext of mumble's UDP packets in the format before 1.5, which later versions still accept: Opus
//! frames and pings.

/// Codec of an Opus frame, in the upper three bits of the first byte.
const OPUS: u8 = 4;
/// A ping, in the same bits.
const PING: u8 = 1;
/// Target, in the lower bits; 0 is the speaker's channel.
const KIND_SHIFT: u32 = 5;
/// Mask of an Opus frame's length; the bit above ends a talkspurt.
const OPUS_LENGTH: u64 = 0x1fff;

/// Packet of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// Frame of a speaker.
    Opus(&'a [u8]),
    /// Answer to a ping.
    Ping {
        /// Timestamp of the ping.
        timestamp: u64,
    },
}

impl<'a> Packet<'a> {
    /// Parses a plaintext.
    pub(crate) fn read(plain: &'a [u8]) -> Option<Self> {
        let (first, mut rest) = plain.split_first()?;
        match first >> KIND_SHIFT {
            OPUS => {
                let _session = read_number(&mut rest)?;
                let _sequence = read_number(&mut rest)?;
                let bytes = read_number(&mut rest)? & OPUS_LENGTH;
                rest.get(..bytes as usize).map(Packet::Opus)
            }
            PING => Some(Packet::Ping { timestamp: read_number(&mut rest)? }),
            _ => None,
        }
    }
}

/// Writes the plaintext of a client's frame to its channel. The sequence number counts 10 ms.
pub(crate) fn write_opus(sequence: u64, opus: &[u8], plain: &mut Vec<u8>) {
    plain.clear();
    plain.push(OPUS << KIND_SHIFT);
    write_number(sequence, plain);
    write_number(opus.len() as u64 & OPUS_LENGTH, plain);
    plain.extend(opus);
}

/// Writes the plaintext of a ping.
pub(crate) fn write_ping(timestamp: u64, plain: &mut Vec<u8>) {
    plain.clear();
    plain.push(PING << KIND_SHIFT);
    write_number(timestamp, plain);
}

/// Writes a variable-length integer: leading ones of the first byte give the number of further bytes, up to
/// three; larger numbers are four or eight bytes behind a prefix byte.
fn write_number(number: u64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    match number {
        0..0x80 => out.push(bytes[7]),
        0x80..0x4000 => out.extend([0x80 | bytes[6], bytes[7]]),
        0x4000..0x20_0000 => out.extend([0xc0 | bytes[5], bytes[6], bytes[7]]),
        0x20_0000..0x1000_0000 => out.extend([0xe0 | bytes[4], bytes[5], bytes[6], bytes[7]]),
        0x1000_0000..0x1_0000_0000 => {
            out.push(0xf0);
            out.extend(&bytes[4..]);
        }
        0x1_0000_0000.. => {
            out.push(0xf4);
            out.extend(bytes);
        }
    }
}

/// Reads a variable-length integer that is not negative.
fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let (first, tail) = rest.split_first()?;
    let (high, more) = match first {
        0x00..0x80 => (*first, 0),
        0x80..0xc0 => (first & 0x3f, 1),
        0xc0..0xe0 => (first & 0x1f, 2),
        0xe0..0xf0 => (first & 0x0f, 3),
        0xf0..0xf4 => (0, 4),
        0xf4..0xf8 => (0, 8),
        0xf8.. => return None,
    };
    let (low, tail) = tail.split_at_checked(more)?;
    *rest = tail;
    Some(low.iter().fold(u64::from(high), |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_read_as_written() {
        let cases: [(u64, usize); 13] = [
            (0, 1),
            (0x7f, 1),
            (0x80, 2),
            (0x3fff, 2),
            (0x4000, 3),
            (0x1f_ffff, 3),
            (0x20_0000, 4),
            (0x0fff_ffff, 4),
            (0x1000_0000, 5),
            (0xffff_ffff, 5),
            (0x1_0000_0000, 9),
            (0x1234_5678_9abc, 9),
            (u64::MAX, 9),
        ];
        for (number, bytes) in cases {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(out.len(), bytes, "{number:#x}");
            let mut rest = &out[..];
            assert_eq!(read_number(&mut rest), Some(number));
            assert!(rest.is_empty());
            assert_eq!(read_number(&mut &out[..bytes - 1]), None, "{number:#x} cut short");
        }
        // Examples of the protocol's documentation.
        assert_eq!(read_number(&mut &[0x81, 0x02][..]), Some(0x102));
        assert_eq!(read_number(&mut &[0xf8][..]), None);
    }

    #[test]
    fn what_a_server_sends_is_told_apart() {
        let mut plain = Vec::new();
        write_ping(700_000, &mut plain);
        assert_eq!(plain[0], 0x20);
        assert_eq!(Packet::read(&plain), Some(Packet::Ping { timestamp: 700_000 }));
        write_opus(4, &[9; 120], &mut plain);
        assert_eq!(plain[..3], [0x80, 4, 120]);
        // The server puts the speaker's session before the sequence.
        plain.splice(1..1, [0x83, 0xe8]);
        assert_eq!(Packet::read(&plain), Some(Packet::Opus(&[9; 120])));
        plain.pop();
        assert_eq!(Packet::read(&plain), None);
        assert_eq!(Packet::read(&[0x40, 1, 2]), None);
        assert_eq!(Packet::read(&[]), None);
    }

    #[test]
    fn the_end_of_a_talkspurt_is_not_a_part_of_the_length() {
        assert_eq!(Packet::read(&[0x80, 1, 2, 0xa0, 0x02, 5, 6]), Some(Packet::Opus(&[5, 6])));
    }
}
