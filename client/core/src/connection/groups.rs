//! Groups of frames that come on unidirectional streams, in the profile `reliable`: media datagrams, each after
//! its length. SPEC.md section 5.6.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::varint;

/// Streams with frames at the same time that a participant allows: a second each, some of them late.
pub const GROUP_STREAMS: u32 = 8;

/// Streams that are being read.
#[derive(Debug, Default)]
pub(super) struct GroupReader {
    streams: BTreeMap<u64, Group>,
    /// Streams up to this one that are none of the above are over: what still comes of them is passed over.
    over: Option<u64>,
}

#[derive(Debug)]
enum Group {
    /// The part of the next datagram that has come.
    Reading(BytesMut),
    /// It broke the rules: where its next datagram begins cannot be told.
    Broken,
}

impl GroupReader {
    /// Takes bytes of a stream, in order. Gives the datagrams that are whole with them. Of a stream that is
    /// none of the protocol's the rest is passed over.
    pub(super) fn handle_bytes(&mut self, stream: u64, bytes: &[u8], is_over: bool) -> Vec<Bytes> {
        let mut datagrams = Vec::new();
        let Some(group) = self.group(stream) else { return datagrams };
        if let Group::Reading(rest) = group {
            rest.extend_from_slice(bytes);
            loop {
                match take(rest) {
                    Ok(Some(datagram)) => datagrams.push(datagram),
                    Ok(None) => break,
                    Err(TooLong) => {
                        *group = Group::Broken;
                        break;
                    }
                }
            }
        }
        if is_over {
            self.streams.remove(&stream);
        }
        datagrams
    }

    /// A stream that is read or begins; the oldest is given up for one too many.
    fn group(&mut self, stream: u64) -> Option<&mut Group> {
        if !self.streams.contains_key(&stream) {
            if self.over.is_some_and(|over| stream <= over) {
                return None;
            }
            if self.streams.len() >= GROUP_STREAMS as usize {
                let oldest = self.streams.pop_first().map(|(oldest, _)| oldest);
                self.over = self.over.max(oldest);
            }
        }
        Some(self.streams.entry(stream).or_insert_with(|| Group::Reading(BytesMut::new())))
    }
}

/// A length above the limit.
#[derive(Debug)]
struct TooLong;

/// The first datagram, if it is whole. A copy: frames are kept, and would keep what the stream came in.
fn take(bytes: &mut BytesMut) -> Result<Option<Bytes>, TooLong> {
    let mut rest = &bytes[..];
    let Some(len) = varint::take(&mut rest) else { return Ok(None) };
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_DATAGRAM_BYTES).ok_or(TooLong)?;
    let Some(datagram) = rest.get(..len).map(Bytes::copy_from_slice) else { return Ok(None) };
    let header = bytes.len() - rest.len();
    bytes.advance(header + len);
    Ok(Some(datagram))
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
        for stream in 0..100 {
            reader.handle_bytes(stream, &[5, 1], false);
        }
        assert_eq!(reader.streams.len(), GROUP_STREAMS as usize);
        // Stream 3 was given up in the middle of a datagram.
        assert!(reader.handle_bytes(3, &[1, 1, 1, 1, 1, 1, 1], true).is_empty());
        assert_eq!(reader.handle_bytes(99, &[2, 3, 4, 5], true), [&[1, 2, 3, 4, 5][..]]);
        assert_eq!(reader.handle_bytes(100, &[1, 7], true), [&[7][..]]);
    }

    #[test]
    fn a_stream_is_not_read_on_after_nonsense() {
        let mut reader = GroupReader::default();
        assert!(reader.handle_bytes(2, &[0x7f, 0xff, 1, 2], false).is_empty(), "16,383 bytes");
        assert!(reader.handle_bytes(2, &[1, 7], false).is_empty());
        assert_eq!(reader.handle_bytes(6, &[1, 7], false), [&[7][..]]);
        assert!(reader.handle_bytes(2, &[], true).is_empty());
        assert_eq!(reader.streams.len(), 1);
    }
}
