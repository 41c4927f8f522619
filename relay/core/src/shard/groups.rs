//! Groups of frames on unidirectional streams, for connections of the profile `reliable`: a stream a second,
//! with media datagrams, each after its length. QUIC sends again what is lost and holds the sender back; what
//! has waited for too long is dropped, so that a slow reader is late by a bounded time. SPEC.md section 5.6.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use quinn_proto::{Connection, Dir, StreamId, VarInt};
use tribune_protocol::ids::TrackId;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::media::Datagram;
use tribune_protocol::media::datagram::MediaWriter;
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
    /// Datagrams, oldest first. Their bytes are shared with other connections.
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    stream: StreamId,
    begun: Instant,
    /// Remainder of the first that waits, with its length, where it has been written in part.
    rest: Option<Bytes>,
}

#[derive(Debug)]
struct Waiting {
    at: Instant,
    datagram: Bundled,
}

impl Groups {
    /// Queues datagrams. Gives the number of frames that were dropped for them, or for being late.
    pub(super) fn push(&mut self, now: Instant, datagrams: &[Bundled]) -> u64 {
        for datagram in datagrams {
            self.bytes += datagram.len();
            self.waiting.push_back(Waiting { at: now, datagram: datagram.clone() });
        }
        self.drop_late(now)
    }

    /// Writes what waits, as far as the streams take it. Gives the number of frames that were dropped for
    /// being late.
    pub(super) fn write(&mut self, now: Instant, conn: &mut Connection) -> u64 {
        let dropped = self.drop_late(now);
        if !self.waiting.is_empty() {
            // Media have a reserve of their own; this keeps to the rest of the congestion window.
            let window = conn.congestion_state().metrics().congestion_window;
            conn.set_send_window(window.min(MAX_STREAM_BYTES_IN_FLIGHT));
        }
        while let Some(first) =
            self.waiting.front().map(|waiting| waiting.datagram.datagram.clone())
        {
            let Some(group) = self.group(now, conn) else { break };
            let begun = group.rest.take();
            let is_begun = begun.is_some();
            let rest = begun.unwrap_or_else(|| with_length(first.bare()));
            // Blocked or stopped: an event says so, or that there is room.
            let written = conn.send_stream(group.stream).write(&rest).unwrap_or(0);
            if written < rest.len() {
                group.rest = (is_begun || written > 0).then(|| rest.slice(written..));
                break;
            }
            self.pop();
        }
        dropped
    }

    /// The peer does not want the rest of a stream. Gives the number of frames that are lost with it.
    pub(super) fn handle_stopped(&mut self, stopped: StreamId, conn: &mut Connection) -> u64 {
        let Some(group) = self.open.take_if(|group| group.stream == stopped) else { return 0 };
        // An error says that it has ended already.
        let _ = conn.send_stream(stopped).reset(STOPPED);
        let cut = group.rest.and_then(|_| self.pop());
        cut.map_or(0, |datagram| u64::from(datagram.frames))
    }

    /// Ends the streams. Gives what waits, to be sent otherwise.
    pub(super) fn end(mut self, conn: &mut Connection) -> Vec<Bundled> {
        if let Some(group) = self.open.take() {
            // An error says that the peer has stopped it.
            let _ = match group.rest {
                Some(_) => conn.send_stream(group.stream).reset(STOPPED),
                None => conn.send_stream(group.stream).finish().or(Ok(())),
            };
        }
        self.waiting.into_iter().map(|waiting| waiting.datagram).collect()
    }

    /// Keeps only the frames of those tracks. Gives the number of the others.
    pub(super) fn retain(&mut self, is_known: impl Fn(TrackId) -> bool) -> u64 {
        let is_inside = self.open.as_ref().is_some_and(|group| group.rest.is_some());
        let mut dropped = 0;
        for waiting in self.waiting.iter_mut().skip(usize::from(is_inside)) {
            let Ok(Datagram::Media(media)) =
                Datagram::parse(waiting.datagram.datagram.clone().into_bare())
            else {
                continue;
            };
            let mut writer = MediaWriter::new(media.channel, MAX_DATAGRAM_BYTES);
            let (mut kept, mut of_others) = (0, 0);
            for frame in media.frames().map_while(Result::ok) {
                match is_known(frame.track) && writer.push(&frame.wire) {
                    true => kept += 1,
                    false => of_others += 1,
                }
            }
            if of_others > 0 {
                dropped += of_others;
                waiting.datagram = Bundled { datagram: writer.take_for_session(), frames: kept };
            }
        }
        self.waiting.retain(|waiting| waiting.datagram.frames > 0);
        self.bytes = self.waiting.iter().map(|waiting| waiting.datagram.len()).sum();
        dropped
    }

    /// The group to write to; `None` while the peer allows no further one.
    fn group(&mut self, now: Instant, conn: &mut Connection) -> Option<&mut Group> {
        let is_over = |group: &mut Group| {
            let is_old = now.saturating_duration_since(group.begun) >= GROUP_PERIOD;
            group.rest.is_none() && is_old
        };
        if let Some(group) = self.open.take_if(is_over) {
            // An error says that the peer has stopped it.
            let _ = conn.send_stream(group.stream).finish();
        }
        if self.open.is_none() {
            let stream = conn.streams().open(Dir::Uni)?;
            self.open = Some(Group { stream, begun: now, rest: None });
        }
        self.open.as_mut()
    }

    fn pop(&mut self) -> Option<Bundled> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.datagram.len();
        Some(first.datagram)
    }

    fn drop_late(&mut self, now: Instant) -> u64 {
        let is_inside = self.open.as_ref().is_some_and(|group| group.rest.is_some());
        let mut dropped = 0;
        while let Some(first) = self.waiting.get(usize::from(is_inside)) {
            let is_late = now.saturating_duration_since(first.at) > MAX_LATENESS;
            if !is_late && self.bytes <= MAX_WAITING_BYTES {
                break;
            }
            let Some(late) = self.waiting.remove(usize::from(is_inside)) else { break };
            self.bytes -= late.datagram.len();
            dropped += u64::from(late.datagram.frames);
        }
        dropped
    }
}

fn with_length(datagram: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(datagram.len() + 2);
    varint::put(&mut out, datagram.len() as u64);
    out.put_slice(datagram);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use tribune_protocol::ids::Channel;
    use tribune_protocol::media::session_datagram::SessionDatagram;

    use super::*;

    #[test]
    fn a_reader_that_is_behind_loses_the_oldest_and_is_late_by_a_bounded_time() {
        let now = Instant::now();
        let mut groups = Groups::default();
        let datagram = Bundled { datagram: SessionDatagram::new(&[0; 1_000]), frames: 5 };
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

    #[test]
    fn a_silenced_track_is_taken_out_of_what_waits() {
        let now = Instant::now();
        let mut groups = Groups::default();
        let mut writer = MediaWriter::new(Channel(0), MAX_DATAGRAM_BYTES);
        for track in [1, 2, 1] {
            assert!(writer.push(&[track, 0, 0, 0, 0]));
        }
        let both = Bundled { datagram: writer.take_for_session(), frames: 3 };
        assert!(writer.push(&[2, 0, 0, 0, 0]));
        let second = Bundled { datagram: writer.take_for_session(), frames: 1 };
        assert_eq!(groups.push(now, &[both, second]), 0);
        assert_eq!(groups.retain(|track| track == TrackId(1)), 2);
        let left: Vec<_> = groups.waiting.iter().map(|waiting| waiting.datagram.frames).collect();
        assert_eq!((left, groups.bytes), (vec![2], 12));
    }
}
