//! Groups of frames on unidirectional streams, for connections of the profile `reliable`: a stream a second,
//! with media datagrams, each after its length. QUIC sends again what is lost and holds the sender back; what
//! has waited for too long is dropped, so that a slow reader is late by a bounded time. SPEC.md section 5.6.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use quinn_proto::{Connection, Dir, StreamId, VarInt};
use tribune_protocol::varint;

use super::limits::MAX_STREAM_BYTES_IN_FLIGHT;
use crate::media::bundle::Bundled;

/// Time that a group covers. Somebody who begins late and a reset cost one at most.
const GROUP_PERIOD: Duration = Duration::from_secs(1);
/// Time after which a datagram that has not been written is dropped: a recorder that is further behind reads
/// more slowly than people talk.
const MAX_LATENESS: Duration = Duration::from_secs(10);
/// Bytes that wait for one connection: ten seconds of four talkers at 48 kb/s.
const MAX_WAITING_BYTES: usize = 256 * 1024;
/// Code of a stream that is ended early: the peer did not want it.
const STOPPED: VarInt = VarInt::from_u32(0);

/// Writer of groups to one connection.
#[derive(Debug, Default)]
pub(super) struct Groups {
    open: Option<Group>,
    /// Datagrams with their lengths, oldest first. The first may have been written in part.
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    stream: StreamId,
    begun: Instant,
    /// The first that waits has been written in part.
    is_inside: bool,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    bytes: Bytes,
    frames: u8,
}

impl Groups {
    /// Queues datagrams. Gives the number of frames that were dropped for them, or for being late.
    pub(super) fn push(&mut self, now: Instant, datagrams: &[Bundled]) -> u64 {
        for Bundled { bytes, frames } in datagrams {
            let mut out = BytesMut::with_capacity(bytes.len() + 2);
            varint::put(&mut out, bytes.len() as u64);
            out.put_slice(bytes);
            self.bytes += out.len();
            self.waiting.push_back(Waiting { at: now, bytes: out.freeze(), frames: *frames });
        }
        self.drop_late(now)
    }

    /// Writes what waits, as far as the streams take it.
    pub(super) fn write(&mut self, now: Instant, conn: &mut Connection) {
        if self.waiting.is_empty() {
            return;
        }
        // Media have a reserve of their own; this keeps to the rest of the congestion window.
        let window = conn.congestion_state().metrics().congestion_window;
        conn.set_send_window(window.min(MAX_STREAM_BYTES_IN_FLIGHT));
        while !self.waiting.is_empty() {
            let Some(stream) = self.stream(now, conn) else { return };
            let Some(first) = self.waiting.front_mut() else { return };
            // Blocked or stopped: an event says so, or that there is room.
            let Ok(written) = conn.send_stream(stream).write(&first.bytes) else { return };
            self.bytes -= written;
            let is_whole = written == first.bytes.len();
            if is_whole {
                self.waiting.pop_front();
            } else {
                first.bytes = first.bytes.slice(written..);
            }
            if let Some(group) = &mut self.open {
                group.is_inside = !is_whole;
            }
        }
    }

    /// The peer does not want the rest of a stream.
    pub(super) fn handle_stopped(&mut self, stopped: StreamId, conn: &mut Connection) {
        let Some(group) = self.open.take_if(|group| group.stream == stopped) else { return };
        // An error says that it has ended already.
        let _ = conn.send_stream(stopped).reset(STOPPED);
        if group.is_inside
            && let Some(cut) = self.waiting.pop_front()
        {
            self.bytes -= cut.bytes.len();
        }
    }

    /// The stream to write to; `None` while the peer allows no further one.
    fn stream(&mut self, now: Instant, conn: &mut Connection) -> Option<StreamId> {
        if let Some(group) = &self.open {
            if group.is_inside || now.saturating_duration_since(group.begun) < GROUP_PERIOD {
                return Some(group.stream);
            }
            // An error says that the peer has stopped it.
            let _ = conn.send_stream(group.stream).finish();
            self.open = None;
        }
        let stream = conn.streams().open(Dir::Uni)?;
        self.open = Some(Group { stream, begun: now, is_inside: false });
        Some(stream)
    }

    fn drop_late(&mut self, now: Instant) -> u64 {
        let is_inside = self.open.as_ref().is_some_and(|group| group.is_inside);
        let mut dropped = 0;
        while let Some(first) = self.waiting.get(usize::from(is_inside)) {
            let is_late = now.saturating_duration_since(first.at) > MAX_LATENESS;
            if !is_late && self.bytes <= MAX_WAITING_BYTES {
                break;
            }
            let Some(late) = self.waiting.remove(usize::from(is_inside)) else { break };
            self.bytes -= late.bytes.len();
            dropped += u64::from(late.frames);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_behind_loses_the_oldest_and_is_late_by_a_bounded_time() {
        let now = Instant::now();
        let mut groups = Groups::default();
        let datagram = Bundled { bytes: Bytes::from(vec![0; 1_000]), frames: 5 };
        for n in 0..100 {
            assert_eq!(
                groups.push(now + Duration::from_millis(100) * n, std::slice::from_ref(&datagram)),
                0
            );
        }
        let later = now + Duration::from_millis(10_150);
        assert_eq!(groups.push(later, std::slice::from_ref(&datagram)), 10, "two are too late");
        let many = vec![datagram; 400];
        let dropped = groups.push(later, &many);
        assert_eq!(dropped, 5 * (99 + 400 - groups.waiting.len() as u64));
        assert!(groups.bytes <= MAX_WAITING_BYTES && groups.bytes > MAX_WAITING_BYTES - 1_100);
    }
}
