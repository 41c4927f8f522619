//! State of one connection besides QUIC's own. Used by the shard alone.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{Connection, StreamId};
use smallvec::SmallVec;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::ControlReader;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::ids::Channel;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::media::datagram::MediaWriter;
use tribune_protocol::media::nack::Nack;
use tribune_protocol::media::protection::Protection;
use tribune_protocol::media::session_datagram::SessionDatagram;
use tribune_protocol::time::ClockFilter;

use super::bucket::{Bucket, RepairCredit};
use super::farewell::Farewell;
use super::groups::Groups;
use super::limits::{
    DATAGRAM_BURST, DATAGRAMS_PER_SECOND, MAX_STREAM_BYTES_IN_FLIGHT, MESSAGE_BURST,
    MESSAGES_PER_SECOND, PARTICIPANT_OUTBOX_BYTES, REPAIR_BURST, TRUNK_OUTBOX_BYTES,
    TRUNK_REPAIR_BURST,
};
use super::replay::Replay;
use crate::counters::{DropCause, ShardCounters, Side, Transport};
use crate::link::bridge::{Behind, BridgeKey, Stranger};
use crate::link::web_transport::Session;
use crate::media::bundle::Bundled;
use crate::media::ring::Ring;
use crate::messages::{DialId, LinkId, RoomId, ShardEvent};

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) conn: Connection,
    pub(super) link: LinkId,
    pub(super) kind: PeerKind,
    /// The session inside HTTP/3, where the peer is a browser.
    pub(super) web: Option<Box<Session>>,
    /// The browser, where the connection carries a WebSocket.
    pub(super) behind: Option<Box<Behind>>,
    /// The control stream, once it is open.
    pub(super) control: Option<StreamId>,
    pub(super) reader: ControlReader,
    pub(super) outbox: Outbox,
    /// Rooms that the connection hears, by channel. One at most for a participant.
    pub(super) rooms: SmallVec<[(Channel, RoomId); 1]>,
    /// Datagrams that the trunk could not take yet, oldest first.
    pub(super) trunk_queue: VecDeque<Bundled>,
    pub(super) datagrams: Bucket,
    pub(super) messages: Bucket,
    /// Frames that a trunk was given.
    pub(super) given: u64,
    /// Frames that are sent again over a trunk.
    pub(super) protection: Option<Box<Protection>>,
    /// Frames that may be repaired for it.
    pub(super) repairs: RepairCredit,
    /// Frames on streams, where it wants them so.
    pub(super) groups: Option<Box<Groups>>,
    /// Frames that it lacks after it was away.
    pub(super) replay: Option<Box<Replay>>,
    /// A participant has to be in a room by then, a child to have said something.
    pub(super) speak_by: Option<Instant>,
    /// It waits in the queue of connections that may have something to send.
    pub(super) dirty: bool,
    /// A packet of it has been left without an answer until the next frame.
    pub(super) unanswered: bool,
    /// QUIC's space for datagrams while none waits, in bytes.
    all_datagram_space: usize,
    /// It is closed; only QUIC's own farewell goes on.
    pub(super) closed: bool,
    /// The close, until what was queued before it has left.
    pub(super) farewell: Option<Box<Farewell>>,
}

/// Kind of a connection.
#[derive(Debug)]
pub(super) enum PeerKind {
    /// It has come in; its ALPN is not known yet.
    Arriving,
    /// A participant. It has sent its first message or not.
    Participant {
        /// The hub knows it.
        announced: bool,
    },
    /// A relay below.
    Child {
        /// The hub knows it.
        announced: bool,
        /// TLS has verified a certificate.
        certified: bool,
    },
    /// A relay above, being dialled.
    Dialling(DialId),
    /// A relay above.
    Parent(ClockFilter),
}

/// Datagram that has not been sent for want of space, or could never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) cause: DropCause,
    pub(super) frames: u8,
}

impl Lost {
    pub(super) fn count(self, counters: &mut ShardCounters) {
        counters.send_dropped += 1;
        counters.frames_dropped.count(self.cause, u64::from(self.frames));
    }
}

/// Control messages on their way into the stream.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
}

impl Peer {
    pub(super) fn new(now: Instant, mut conn: Connection, link: LinkId, kind: PeerKind) -> Self {
        Self {
            all_datagram_space: conn.datagrams().send_buffer_space(),
            conn,
            link,
            kind,
            web: None,
            behind: None,
            control: None,
            reader: ControlReader::default(),
            outbox: Outbox::default(),
            rooms: SmallVec::new(),
            trunk_queue: VecDeque::new(),
            datagrams: Bucket::new(now, DATAGRAM_BURST, DATAGRAMS_PER_SECOND),
            messages: Bucket::new(now, MESSAGE_BURST, MESSAGES_PER_SECOND),
            given: 0,
            protection: None,
            repairs: RepairCredit::new(REPAIR_BURST),
            groups: None,
            replay: None,
            speak_by: None,
            dirty: false,
            unanswered: false,
            closed: false,
            farewell: None,
        }
    }

    /// The way it comes.
    pub(super) fn transport(&self) -> Transport {
        match (&self.web, &self.behind) {
            (Some(_), _) => Transport::WebTransport,
            (None, Some(_)) => Transport::WebSocket,
            (None, None) => Transport::Quic,
        }
    }

    /// The address that it comes from.
    pub(super) fn remote(&self) -> SocketAddr {
        let remote = self.conn.remote_address();
        let browser = self.behind.as_ref().and_then(|behind| behind.browser());
        browser.map_or(remote, |browser| SocketAddr::new(browser, remote.port()))
    }

    pub(super) fn is_trunk(&self) -> bool {
        self.side() != Side::Participant
    }

    /// News of its end for the hub, as far as that knows it.
    pub(super) fn news_of_end(&self, why: String) -> Option<ShardEvent> {
        match self.kind {
            PeerKind::Participant { announced: true }
            | PeerKind::Child { announced: true, .. }
            | PeerKind::Parent(_) => Some(ShardEvent::Closed { link: self.link, why }),
            PeerKind::Dialling(dial) => Some(ShardEvent::DialFailed { dial, why }),
            PeerKind::Arriving
            | PeerKind::Participant { announced: false }
            | PeerKind::Child { announced: false, .. } => None,
        }
    }

    /// Side that its frames come from.
    pub(super) fn side(&self) -> Side {
        match self.kind {
            PeerKind::Arriving | PeerKind::Participant { .. } => Side::Participant,
            PeerKind::Child { .. } => Side::Child,
            PeerKind::Dialling(_) | PeerKind::Parent(_) => Side::Parent,
        }
    }

    /// It has turned out to be a trunk: repairs are for many rooms.
    pub(super) fn set_trunk(&mut self, kind: PeerKind) {
        self.kind = kind;
        self.repairs = RepairCredit::new(TRUNK_REPAIR_BURST);
        self.protection = Some(Box::default());
    }

    /// The channel of a room, if the connection hears it.
    pub(super) fn channel(&self, room: RoomId) -> Option<Channel> {
        self.rooms.iter().find(|(_, known)| *known == room).map(|(channel, _)| *channel)
    }

    /// The room of a channel, if the connection hears it.
    pub(super) fn room(&self, channel: Channel) -> Option<RoomId> {
        self.rooms.iter().find(|(known, _)| *known == channel).map(|(_, room)| *room)
    }

    /// Takes bytes of the control stream.
    ///
    /// # Errors
    /// It says that it carries a WebSocket of this relay, and does not.
    pub(super) fn handle_control(
        &mut self,
        key: &BridgeKey,
        mut bytes: &[u8],
    ) -> Result<(), Stranger> {
        if let Some(behind) = &mut self.behind {
            bytes = behind.handle_bytes(key, bytes)?;
        }
        self.reader.handle_bytes(bytes);
        Ok(())
    }

    /// Queues a control message and writes what the stream takes.
    ///
    /// # Errors
    /// The close code, if more waits than a peer that reads would ever let wait.
    pub(super) fn send_control(&mut self, message: Bytes) -> Result<(), CloseCode> {
        let limit = if self.is_trunk() { TRUNK_OUTBOX_BYTES } else { PARTICIPANT_OUTBOX_BYTES };
        if self.outbox.bytes + message.len() > limit {
            return Err(CloseCode::TooSlow);
        }
        self.outbox.bytes += message.len();
        self.outbox.queue.push_back(message);
        self.write_control();
        Ok(())
    }

    /// Writes waiting messages, as far as the stream takes them.
    pub(super) fn write_control(&mut self) {
        let Some(stream) = self.control else { return };
        if !self.outbox.queue.is_empty() {
            // Media have a reserve of their own; this keeps to the rest of the congestion window.
            let window = self.conn.congestion_state().metrics().congestion_window;
            self.conn.set_send_window(window.min(MAX_STREAM_BYTES_IN_FLIGHT));
        }
        while let Some(message) = self.outbox.queue.front_mut() {
            // Blocked or stopped: `Writable`, or the end of the connection, comes later.
            let Ok(written) = self.conn.send_stream(stream).write(message) else { return };
            self.outbox.bytes -= written;
            if written < message.len() {
                // Only a write that is refused whole has `Writable` come.
                *message = message.slice(written..);
                continue;
            }
            self.outbox.queue.pop_front();
        }
    }

    /// Has frames come on streams, or not any more: then what waits for these is sent at once.
    pub(super) fn set_profile(&mut self, profile: Profile, counters: &mut ShardCounters) {
        match profile {
            Profile::Reliable => {
                self.groups.get_or_insert_default();
            }
            Profile::Live | Profile::Audience | Profile::Unknown => {
                let groups = self.groups.take().map(|groups| groups.end(&mut self.conn));
                self.send_datagrams(&groups.unwrap_or_default(), counters);
            }
        }
    }

    /// Sends frames by the profile of the connection, and counts lost ones.
    pub(super) fn send_frames(
        &mut self,
        now: Instant,
        datagrams: &[Bundled],
        counters: &mut ShardCounters,
    ) {
        let Some(groups) = &mut self.groups else {
            return self.send_datagrams(datagrams, counters);
        };
        let dropped = groups.push(now, datagrams);
        counters.frames_dropped.count(DropCause::SendBufferFull, dropped);
        self.write_groups(now, counters);
    }

    /// Writes frames that wait for a stream.
    pub(super) fn write_groups(&mut self, now: Instant, counters: &mut ShardCounters) {
        if let Some(groups) = &mut self.groups {
            let dropped = groups.write(now, &mut self.conn);
            counters.frames_dropped.count(DropCause::SendBufferFull, dropped);
        }
    }

    /// The peer does not want the rest of a stream.
    pub(super) fn handle_stopped(&mut self, stream: StreamId, counters: &mut ShardCounters) {
        if let Some(groups) = &mut self.groups {
            let dropped = groups.handle_stopped(stream, &mut self.conn);
            counters.frames_dropped.count(DropCause::SendBufferFull, dropped);
        }
    }

    /// As [`Self::send_datagram`], and counts lost frames.
    pub(super) fn send_datagrams(&mut self, datagrams: &[Bundled], counters: &mut ShardCounters) {
        for datagram in datagrams {
            if let Err(lost) = self.send_datagram(datagram.clone()) {
                lost.count(counters);
            }
        }
    }

    /// Sends what `ring` still holds of the frames that the peer misses, as far as it has earned repairs. A
    /// participant was given the `heard` frames of the room.
    pub(super) fn repair(
        &mut self,
        nack: Nack,
        ring: &Ring,
        heard: u64,
        counters: &mut ShardCounters,
    ) {
        let given = if self.is_trunk() { self.given } else { heard };
        let mut writer = MediaWriter::repair(nack.channel, MAX_DATAGRAM_BYTES);
        let mut frames = 0;
        for wire in nack.seqs().filter_map(|seq| ring.get(seq)) {
            // One that does not fit is asked for again.
            if !self.repairs.take(given) || !writer.push(wire) {
                break;
            }
            frames += 1;
        }
        if let Some(protection) = &mut self.protection {
            (0..frames).for_each(|_| protection.handle_asked(true));
        }
        if frames == 0 {
            return;
        }
        match self.send_datagram(Bundled { datagram: writer.take_for_session(), frames }) {
            Ok(()) => counters.nacks_answered += 1,
            Err(lost) => lost.count(counters),
        }
    }

    /// Queues a datagram that carries no frame. One that finds no room is asked for again.
    pub(super) fn send_aside(&mut self, bytes: &[u8], counters: &mut ShardCounters) {
        let datagram = SessionDatagram::new(bytes);
        self.send_datagrams(&[Bundled { datagram, frames: 0 }], counters);
    }

    /// Queues a datagram. For a participant the oldest ones make room; a trunk carries many rooms,
    /// so that there they wait.
    ///
    /// # Errors
    /// The datagram that was lost for it, or that it was lost itself.
    pub(super) fn send_datagram(&mut self, datagram: Bundled) -> Result<(), Lost> {
        if self.is_trunk() {
            return match self.trunk_queue.is_empty() {
                true => self.try_send(datagram).or_else(|waiting| self.queue_datagram(waiting?)),
                false => self.queue_datagram(datagram),
            };
        }
        let frames = datagram.frames;
        let bytes = self.wire(datagram);
        let full = self.conn.datagrams().send_buffer_space() < bytes.len();
        match self.conn.datagrams().send(bytes, true) {
            Ok(()) if full => Err(Lost { cause: DropCause::SendBufferFull, frames }),
            Ok(()) => Ok(()),
            Err(_) => Err(Lost { cause: DropCause::Unsendable, frames }),
        }
    }

    /// Whether no datagram waits for the next packet.
    pub(super) fn datagrams_are_sent(&mut self) -> bool {
        self.conn.datagrams().send_buffer_space() == self.all_datagram_space
            && self.trunk_queue.is_empty()
    }

    /// The bytes of a datagram for this peer.
    fn wire(&self, datagram: Bundled) -> Bytes {
        match self.web {
            Some(_) => datagram.datagram.into_tagged(),
            None => datagram.datagram.into_bare(),
        }
    }
}
