//! Opus packets, as far as they can be read without decoding: layout (RFC 6716, section 3), voice, and
//! the redundancy that they carry for frames before them.
//!
//! Pure. For levels, and for a decoder that has to know what a packet can recover.

/// Configurations 0..=15 of the header byte are SILK or hybrid (RFC 6716, table 2).
const CONFIG_FIRST_CELT: u8 = 16;
/// Bit of the header byte for stereo.
const STEREO: u8 = 0b100;
/// Extension of deep redundancy (DRED) in the padding, while it has no final number.
const DRED_EXTENSION: u8 = 126;
/// Head of its data, while it has no final form: the letter, and the version that libopus 1.6 writes. That
/// of another version is passed over by libopus too.
const DRED_HEAD: [u8; 2] = [b'D', 12];
/// First quantizers of DRED and the time that its encoder then has bits to tell of, in milliseconds: the finer
/// the more bits there are. Measured with libopus 1.6 at an expected loss of 20 %, for nine packets of ten.
const DRED_REACH_MS: [(u8, u32); 3] = [(5, 240), (8, 160), (15, 120)];
/// The same where packets carry copies too, which leave it less.
const DRED_REACH_BESIDE_COPIES_MS: [(u8, u32); 2] = [(5, 240), (15, 80)];

/// A packet's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusPacket<'a> {
    header: u8,
    frames: u8,
    first: &'a [u8],
    padding: &'a [u8],
}

impl<'a> OpusPacket<'a> {
    /// Reads a packet's layout; `None` if it has none.
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (&header, rest) = packet.split_first()?;
        let part = |frames, first| Some(Self { header, frames, first, padding: &[] });
        match header & 0b11 {
            0 => part(1, rest),
            1 if rest.len().is_multiple_of(2) => part(2, &rest[..rest.len() / 2]),
            1 => None,
            2 => {
                let (len, rest) = take_frame_len(rest)?;
                part(2, rest.get(..len)?)
            }
            _ => Self::parse_many(header, rest),
        }
    }

    /// Reads a packet of any number of frames, which alone may have padding.
    fn parse_many(header: u8, rest: &'a [u8]) -> Option<Self> {
        let (&count, mut rest) = rest.split_first()?;
        let (is_vbr, is_padded, frames) = (count & 0x80 != 0, count & 0x40 != 0, count & 0x3f);
        let mut padding_len = 0;
        if is_padded {
            loop {
                let (&len, after) = rest.split_first()?;
                rest = after;
                padding_len += if len == 255 { 254 } else { usize::from(len) };
                if len < 255 {
                    break;
                }
            }
        }
        let (rest, padding) = rest.split_at_checked(rest.len().checked_sub(padding_len)?)?;
        let first = if is_vbr && frames > 1 {
            let (len, mut rest) = take_frame_len(rest)?;
            for _ in 2..frames {
                rest = take_frame_len(rest)?.1;
            }
            rest.get(..len)?
        } else {
            rest.get(..rest.len().checked_div(usize::from(frames))?)?
        };
        Some(Self { header, frames, first, padding })
    }

    /// Whether the encoder heard a voice, as far as the packet says.
    ///
    /// A SILK or hybrid frame starts with its voice activity flag (RFC 6716, 4.2.3), which is the range
    /// coder's first bit at probability one half. A frame of no bytes is a discontinued transmission, so no
    /// voice. A CELT frame does not say, and of several frames the first says nothing of the others: `None`.
    #[must_use]
    pub fn voice(&self) -> Option<bool> {
        let Some(&flags) = self.first.first() else { return Some(false) };
        self.is_one_speech_frame().then_some(flags & 0x80 != 0)
    }

    /// Whether the packet carries a copy of the frame before it (LBRR; RFC 6716, 4.2.4), which then lasts as
    /// long as its own.
    #[must_use]
    pub fn has_copy(&self) -> bool {
        let Some(&flags) = self.first.first() else { return false };
        // Voice and copy of the one channel or the middle, then voice and copy of the sides.
        let copies = if self.header & STEREO == 0 { 0x40 } else { 0x40 | 0x10 };
        self.is_one_speech_frame() && flags & copies != 0
    }

    /// Time before the packet that its deep redundancy tells of, in milliseconds; 0 without any.
    ///
    /// The data do not say: they have to be decoded to be counted. They begin with the quantizer, by which the
    /// encoder's bitrate is known, and with it the time that it has bits for.
    #[must_use]
    pub fn reach_ms(&self) -> u32 {
        // The first symbol of the range coder, one of sixteen at even odds: its highest bits.
        let Some(quantizer) = self.dred().and_then(|data| data.first()).map(|first| first >> 4)
        else {
            return 0;
        };
        let reaches =
            if self.has_copy() { &DRED_REACH_BESIDE_COPIES_MS[..] } else { &DRED_REACH_MS[..] };
        let reach = reaches.iter().find(|(up_to, _)| quantizer <= *up_to);
        reach.map_or(0, |(_, reach_ms)| *reach_ms)
    }

    fn is_one_speech_frame(&self) -> bool {
        self.frames == 1 && self.header >> 3 < CONFIG_FIRST_CELT
    }

    /// Data of the deep redundancy in the padding, behind its head.
    fn dred(&self) -> Option<&'a [u8]> {
        let mut rest = self.padding;
        while let Some((&head, after)) = rest.split_first() {
            let (id, is_long) = (head >> 1, head & 1 == 1);
            let len = match (id, is_long) {
                (0, true) | (2, _) => 0,
                (1..32, _) => usize::from(is_long),
                (_, false) => after.len(),
                (_, true) => {
                    let (len, after) = take_lacing(after)?;
                    let (data, after) = after.split_at_checked(len)?;
                    if id == DRED_EXTENSION {
                        return data.strip_prefix(&DRED_HEAD);
                    }
                    rest = after;
                    continue;
                }
            };
            let (data, after) = after.split_at_checked(len)?;
            if id == DRED_EXTENSION {
                return data.strip_prefix(&DRED_HEAD);
            }
            rest = after;
        }
        None
    }
}

/// Length of a frame (RFC 6716, 3.2.1).
fn take_frame_len(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 252 {
        return Some((usize::from(first), rest));
    }
    let (&second, rest) = rest.split_first()?;
    Some((usize::from(first) + 4 * usize::from(second), rest))
}

/// Length of an extension: bytes up to one that is not 255, added up.
fn take_lacing(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut len = 0;
    loop {
        let (&part, rest) = bytes.split_first()?;
        (len, bytes) = (len + usize::from(part), rest);
        if part < 255 {
            return Some((len, bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SILK_20MS: u8 = 9 << 3;
    const CELT_20MS: u8 = 31 << 3;

    /// A packet of one frame with so much padding.
    fn padded(header: u8, frame: &[u8], padding: &[u8]) -> Vec<u8> {
        let mut packet = vec![header | 3, 0x41];
        packet.extend(std::iter::repeat_n(255, padding.len() / 254));
        packet.push((padding.len() % 254) as u8);
        packet.extend(frame);
        packet.extend(padding);
        packet
    }

    #[test]
    fn layouts_are_those_of_the_rfc() {
        let first = |packet: &[u8]| OpusPacket::parse(packet).map(|p| (p.frames, p.first.to_vec()));
        assert_eq!(first(&[SILK_20MS, 1, 2]), Some((1, vec![1, 2])));
        assert_eq!(first(&[SILK_20MS]), Some((1, vec![])));
        assert_eq!(first(&[SILK_20MS | 1, 1, 2, 3, 4]), Some((2, vec![1, 2])));
        assert_eq!(first(&[SILK_20MS | 1, 1, 2, 3]), None);
        assert_eq!(first(&[SILK_20MS | 2, 1, 2, 3, 4]), Some((2, vec![2])));
        assert_eq!(first(&[SILK_20MS | 2, 5, 2, 3]), None);
        assert_eq!(first(&[SILK_20MS | 3, 0x83, 1, 2, 7, 8, 8, 9]), Some((3, vec![7])));
        assert_eq!(first(&[SILK_20MS | 3, 3, 1, 2, 7, 8, 8, 9]), Some((3, vec![1, 2])));
        assert_eq!(first(&[SILK_20MS | 3, 0]), None);
        for padding in [0, 3, 253, 254, 255, 600] {
            let packet = padded(SILK_20MS, &[1, 2, 3], &vec![0; padding]);
            let parsed = OpusPacket::parse(&packet).unwrap();
            assert_eq!((parsed.first, parsed.padding.len()), (&[1, 2, 3][..], padding));
        }
        assert_eq!(first(&[SILK_20MS | 3, 0x41, 9, 1, 2]), None);
        assert_eq!(first(&[]), None);
    }

    #[test]
    fn flags_are_read_from_single_speech_frames_only() {
        let flags = |packet: &[u8]| {
            let packet = OpusPacket::parse(packet).unwrap();
            (packet.voice(), packet.has_copy())
        };
        assert_eq!(flags(&[SILK_20MS, 0x80, 0]), (Some(true), false));
        assert_eq!(flags(&[SILK_20MS, 0x7f, 0]), (Some(false), true));
        assert_eq!(flags(&[SILK_20MS, 0x10, 0]), (Some(false), false));
        assert_eq!(flags(&[SILK_20MS | STEREO, 0x10, 0]), (Some(false), true));
        assert_eq!(flags(&[SILK_20MS]), (Some(false), false));
        assert_eq!(flags(&[CELT_20MS, 0xff]), (None, false));
        assert_eq!(flags(&[SILK_20MS | 1, 0xff, 0xff]), (None, false));
        assert_eq!(flags(&padded(SILK_20MS, &[0xc0, 0], &[0; 9])), (Some(true), true));
    }

    #[test]
    fn redundancy_is_found_among_other_extensions() {
        let data = |padding: &[u8]| {
            let packet = padded(CELT_20MS, &[1], padding);
            OpusPacket::parse(&packet).unwrap().dred().map(<[u8]>::to_vec)
        };
        let dred = DRED_EXTENSION << 1;
        assert_eq!(data(&[dred, b'D', 12, 1, 2]), Some(vec![1, 2]));
        assert_eq!(data(&[dred | 1, 4, b'D', 12, 1, 2, 0, 0]), Some(vec![1, 2]));
        let others = [0x01, 4 << 1, (5 << 1) | 1, 9, (40 << 1) | 1, 2, 8, 8];
        assert_eq!(data(&[&others[..], &[dred, b'D', 12, 3]].concat()), Some(vec![3]));
        assert_eq!(data(&[dred, b'D', 11, 1, 2]), None, "another version");
        assert_eq!(data(&[dred | 1, 9, b'D', 12]), None, "cut short");
        assert_eq!(data(&[0, dred, b'D', 12, 1]), None, "padding to the end");
        assert_eq!(data(&[]), None);
    }

    #[test]
    fn the_first_quantizer_says_how_far_it_reaches() {
        let reach_ms = |header, flags, quantizer: u8| {
            let padding = [DRED_EXTENSION << 1, b'D', 12, quantizer << 4, 0];
            OpusPacket::parse(&padded(header, &[flags, 0], &padding)).unwrap().reach_ms()
        };
        assert_eq!(
            [4, 6, 9].map(|quantizer| reach_ms(CELT_20MS, 0xff, quantizer)),
            [240, 160, 120]
        );
        assert_eq!([4, 6, 9].map(|quantizer| reach_ms(SILK_20MS, 0xc0, quantizer)), [240, 80, 80]);
        assert_eq!(OpusPacket::parse(&[SILK_20MS, 0xc0]).unwrap().reach_ms(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            if let Some(packet) = OpusPacket::parse(&bytes) {
                let _ = (packet.voice(), packet.has_copy());
                prop_assert!(packet.reach_ms() <= 240);
            }
        }

        #[test]
        fn padding_of_any_kind_is_read_without_a_panic(padding in prop::collection::vec(any::<u8>(), 0..300)) {
            let packet = padded(SILK_20MS, &[0xff], &padding);
            let parsed = OpusPacket::parse(&packet).unwrap();
            prop_assert_eq!(parsed.padding, &padding[..]);
            let _ = parsed.reach_ms();
        }
    }
}
