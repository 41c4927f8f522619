//! The identification header of Ogg Opus (RFC 7845, 5.1), read and written.

use super::SAMPLE_RATE_HZ;

/// Length of a header without channel mapping table, in bytes.
const HEAD_BYTES: usize = 19;
/// Magic number of the header.
pub(super) const HEAD_MAGIC: &[u8] = b"OpusHead";
/// Magic number of the comment header.
pub(super) const TAGS_MAGIC: &[u8] = b"OpusTags";

/// Identification header of an Ogg Opus stream (RFC 7845).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpusHead {
    /// 1 or 2.
    pub(super) channels: u8,
    /// Samples at 48 kHz to throw away at the beginning.
    pub(super) pre_skip: u16,
    /// Gain to apply when decoding, in dB / 256.
    pub(super) gain_q8_db: i16,
}

impl OpusHead {
    /// Parses the first packet of a stream; otherwise says what is wrong with it, as a clause.
    pub(super) fn parse(packet: &[u8]) -> Result<Self, String> {
        if packet.len() < HEAD_BYTES || !packet.starts_with(HEAD_MAGIC) {
            return Err(format!("its header of {} bytes is no OpusHead", packet.len()));
        }
        let [version, channels] = [packet[8], packet[9]];
        // RFC 7845: minor versions are compatible, major ones (high four bits) are not.
        if version & 0xf0 != 0 {
            return Err(format!("its Opus header has the unknown version {version}"));
        }
        let family = packet[18];
        if family != 0 || !(1..=2).contains(&channels) {
            return Err(format!(
                "it has {channels} channels in mapping family {family}, and only mono and stereo \
                 (family 0) are supported"
            ));
        }
        Ok(Self {
            channels,
            pre_skip: u16::from_le_bytes([packet[10], packet[11]]),
            gain_q8_db: i16::from_le_bytes([packet[16], packet[17]]),
        })
    }

    /// The packet for a new stream.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEAD_BYTES);
        packet.extend_from_slice(HEAD_MAGIC);
        packet.extend_from_slice(&[1, self.channels]);
        packet.extend_from_slice(&self.pre_skip.to_le_bytes());
        packet.extend_from_slice(&SAMPLE_RATE_HZ.to_le_bytes());
        packet.extend_from_slice(&self.gain_q8_db.to_le_bytes());
        packet.push(0);
        packet
    }
}

/// The comment header (RFC 7845, 5.2), with the encoder's name and no comments.
pub(super) fn opus_tags() -> Vec<u8> {
    let vendor = opus::version().as_bytes();
    let mut packet = TAGS_MAGIC.to_vec();
    packet.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
    packet.extend_from_slice(vendor);
    packet.extend_from_slice(&0_u32.to_le_bytes());
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wrong_headers_are_named() {
        let head = OpusHead { channels: 1, pre_skip: 312, gain_q8_db: 0 }.to_bytes();
        let broken = |at: usize, value: u8| {
            let mut head = head.clone();
            head[at] = value;
            OpusHead::parse(&head).unwrap_err()
        };
        assert!(broken(0, b'x').contains("no OpusHead"));
        assert!(broken(8, 16).contains("version 16"));
        assert!(broken(9, 6).contains("6 channels"));
        assert!(broken(18, 255).contains("family 255"));
        assert!(OpusHead::parse(&head[..18]).unwrap_err().contains("18 bytes"));
    }

    proptest! {
        #[test]
        fn round_trip(channels in 1_u8..=2, pre_skip: u16, gain_q8_db: i16) {
            let head = OpusHead { channels, pre_skip, gain_q8_db };
            prop_assert_eq!(OpusHead::parse(&head.to_bytes()), Ok(head));
        }

        #[test]
        fn any_bytes_parse_or_fail(packet: Vec<u8>) {
            let _ = OpusHead::parse(&packet);
        }
    }
}
