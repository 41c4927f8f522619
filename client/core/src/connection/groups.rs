//! Groups of frames that come on unidirectional streams, in the profile `reliable`: media datagrams, each after
//! its length. SPEC.md section 5.6.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::varint;

/// Streams at the same time: a group covers a second, and one that is late by more is given up by the relay
/// after ten.
const MAX_STREAMS: usize = 16;

/// Streams that are being read.
#[derive(Debug, Default)]
pub(super) struct GroupReader {
    streams: BTreeMap<u64, BytesMut>,
}

impl GroupReader {
    /// Takes bytes of a stream, in order. Gives the datagrams that are whole with them. Of a stream that is
    /// none of the protocol's the rest is passed over.
    pub(super) fn handle_bytes(&mut self, stream: u64, bytes: &[u8], is_over: bool) -> Vec<Bytes> {
        if !self.streams.contains_key(&stream) && self.streams.len() >= MAX_STREAMS {
            self.streams.pop_first();
        }
        let rest = self.streams.entry(stream).or_default();
        rest.extend_from_slice(bytes);
        let mut datagrams = Vec::new();
        let is_broken = loop {
            match take(rest) {
                Ok(Some(datagram)) => datagrams.push(datagram),
                Ok(None) => break false,
                Err(TooLong) => break true,
            }
        };
        if is_over || is_broken {
            self.streams.remove(&stream);
        }
        datagrams
    }
}

/// A length above the limit.
#[derive(Debug)]
struct TooLong;

/// The first datagram, if it is whole.
fn take(bytes: &mut BytesMut) -> Result<Option<Bytes>, TooLong> {
    let mut rest = &bytes[..];
    let Some(len) = varint::take(&mut rest) else { return Ok(None) };
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_DATAGRAM_BYTES).ok_or(TooLong)?;
    if rest.len() < len {
        return Ok(None);
    }
    let header = bytes.len() - rest.len();
    bytes.advance(header);
    Ok(Some(bytes.split_to(len).freeze()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes of two streams are cut, their datagrams come whole and in order.
        #[test]
        fn datagrams_come_whole(
            lengths in prop::collection::vec(1_usize..200, 1..20),
            cuts in prop::collection::vec(1_usize..300, 1..40),
        ) {
            let mut reader = GroupReader::default();
            let sent: Vec<Bytes> = lengths.iter().map(|len| vec![*len as u8; *len].into()).collect();
            let mut wire = BytesMut::new();
            for datagram in &sent {
                varint::put(&mut wire, datagram.len() as u64);
                wire.extend_from_slice(datagram);
            }
            let mut cuts = cuts.into_iter().cycle();
            let (mut first, mut second, mut at) = (Vec::new(), Vec::new(), 0);
            while at < wire.len() {
                let end = (at + cuts.next().unwrap_or(1)).min(wire.len());
                first.extend(reader.handle_bytes(2, &wire[at..end], end == wire.len()));
                second.extend(reader.handle_bytes(6, &wire[at..end], end == wire.len()));
                at = end;
            }
            prop_assert_eq!(&first, &sent);
            prop_assert_eq!(&second, &sent);
            prop_assert!(reader.streams.is_empty());
        }
    }

    #[test]
    fn nonsense_and_too_many_streams_take_no_memory() {
        let mut reader = GroupReader::default();
        assert!(reader.handle_bytes(2, &[0x7f, 0xff, 1, 2], false).is_empty());
        assert!(reader.streams.is_empty(), "16,383 bytes are no datagram");
        for stream in 0..100 {
            reader.handle_bytes(stream, &[5, 1], false);
        }
        assert_eq!(reader.streams.len(), MAX_STREAMS);
    }
}
