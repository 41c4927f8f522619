//! Repair requests: the frames of one track that the sender misses. SPEC.md section 6.

use bytes::{BufMut, Bytes, BytesMut};

use super::{DatagramError, KIND_NACK};
use crate::ids::{Channel, Seq, TrackId};
use crate::limits::MAX_NACK_FRAMES;
use crate::varint;

/// A run of missing frames. Several runs are several datagrams: loss that is worth a repair is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nack {
    /// The room, on a trunk; 0 on a participant's connection.
    pub channel: Channel,
    /// The track.
    pub track: TrackId,
    /// The first frame missing.
    pub first: Seq,
    /// The length of the run, 1 to 50.
    pub count: u8,
}

impl Nack {
    /// The datagram.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        out.put_u8(KIND_NACK);
        varint::put(&mut out, u64::from(self.channel.0));
        varint::put(&mut out, u64::from(self.track.0));
        out.put_u16(self.first.0);
        out.put_u8(self.count);
        out.freeze()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DatagramError> {
        let mut rest = &bytes[1..];
        let mut number = || -> Result<u32, DatagramError> {
            let value = varint::take(&mut rest).ok_or(DatagramError::Truncated)?;
            u32::try_from(value).map_err(|_| DatagramError::OutOfRange)
        };
        let channel = Channel(number()?);
        let track = TrackId(number()?);
        // Bytes behind the count are for later versions.
        let [high, low, count, ..] = *rest else { return Err(DatagramError::Truncated) };
        if count == 0 || usize::from(count) > MAX_NACK_FRAMES {
            return Err(DatagramError::OutOfRange);
        }
        Ok(Self { channel, track, first: Seq(u16::from_be_bytes([high, low])), count })
    }

    /// The places asked for.
    pub fn seqs(&self) -> impl Iterator<Item = Seq> + use<> {
        let first = self.first;
        (0..u16::from(self.count)).map(move |n| first.plus(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Datagram;

    #[test]
    fn vector_of_the_specification() {
        let nack = Nack { channel: Channel(0), track: TrackId(7), first: Seq(65_535), count: 3 };
        assert_eq!(nack.write()[..], crate::control::tests::spec_vector("nack-1"));
        assert_eq!(Datagram::parse(nack.write()), Ok(Datagram::Nack(nack)));
        assert_eq!(nack.seqs().collect::<Vec<_>>(), [Seq(65_535), Seq(0), Seq(1)]);
    }

    #[test]
    fn counts_are_bounded() {
        for count in [0, 51] {
            let nack = Nack { channel: Channel(0), track: TrackId(1), first: Seq(0), count };
            assert_eq!(Datagram::parse(nack.write()), Err(DatagramError::OutOfRange));
        }
    }
}
