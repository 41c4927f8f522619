//! QUIC datagrams. The first byte is the kind; an unknown kind is dropped and counted.

use bytes::Bytes;

pub mod datagram;
pub mod nack;
pub mod probe;
pub mod protection;
pub mod repair;
pub mod session_datagram;

/// First byte of a media datagram.
pub const KIND_MEDIA: u8 = 0;
/// First byte of a repair request.
pub const KIND_NACK: u8 = 1;
/// First byte of a time probe and of its answer.
pub const KIND_PROBE: u8 = 2;
/// First byte of a media datagram that answers a repair request.
pub const KIND_REPAIR: u8 = 3;
/// First byte of a media datagram that begins with frames that were sent before.
pub const KIND_PROTECTED: u8 = 4;
/// First byte of a media datagram with frames that were late on the way to the one that sends it.
pub const KIND_LATE: u8 = 5;

/// Reason for which a frame came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameSource {
    /// It was its turn.
    Sent,
    /// It answers a repair request.
    Repair,
    /// It was sent before, and comes once more with later ones.
    Redundancy,
    /// It came late to the neighbour, lost or overtaken further up.
    Late,
}

/// A datagram with its kind known and its content not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// Frames of one room.
    Media(datagram::MediaDatagram),
    /// Frames that somebody misses.
    Nack(nack::Nack),
    /// A question for, or an answer with, the origin's time.
    Probe(probe::Probe),
}

/// A datagram that is not one of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// The kind is not of this version. A later version may mean something by it.
    #[error("unknown kind of datagram")]
    UnknownKind,
    /// It ends before its content does.
    #[error("datagram cut short")]
    Truncated,
    /// A number in it is over its limit, or out of place.
    #[error("value out of range")]
    OutOfRange,
}

impl Datagram {
    /// Reads the kind and the fixed parts. Frames are read one by one, by [`datagram::MediaDatagram::frames`].
    ///
    /// # Errors
    /// [`DatagramError`], if the bytes are of no known kind.
    pub fn parse(bytes: Bytes) -> Result<Self, DatagramError> {
        match bytes.first() {
            None => Err(DatagramError::Truncated),
            Some(&(KIND_MEDIA | KIND_REPAIR | KIND_PROTECTED | KIND_LATE)) => {
                datagram::MediaDatagram::parse(bytes).map(Self::Media)
            }
            Some(&KIND_NACK) => nack::Nack::parse(&bytes).map(Self::Nack),
            Some(&KIND_PROBE) => probe::Probe::parse(&bytes).map(Self::Probe),
            Some(_) => Err(DatagramError::UnknownKind),
        }
    }
}
