//! Datagram that goes to native peers and to browsers: built once, for either.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Byte before a browser's datagrams: its session, by the quarter of the number of the request's stream
/// (RFC 9297 section 2.1). That stream is 0.
pub const QUARTER_STREAM_ID: u8 = 0;

/// A datagram with [`QUARTER_STREAM_ID`] in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDatagram(Bytes);

impl SessionDatagram {
    /// The same bytes behind the byte of the session.
    #[must_use]
    pub fn new(bare: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(bare.len() + 1);
        bytes.put_u8(QUARTER_STREAM_ID);
        bytes.put_slice(bare);
        Self(bytes.freeze())
    }

    /// Takes bytes that begin with the byte of the session.
    pub(super) const fn from_tagged(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The datagram as section 5, 6 or 7 of SPEC.md has it: for a native peer.
    #[must_use]
    pub fn into_bare(self) -> Bytes {
        let mut bytes = self.0;
        bytes.advance(1);
        bytes
    }

    /// The datagram for a browser.
    #[must_use]
    pub fn into_tagged(self) -> Bytes {
        self.0
    }

    /// Bytes of the datagram itself.
    #[must_use]
    pub fn bare(&self) -> &[u8] {
        &self.0[1..]
    }
}
