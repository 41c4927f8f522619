//! How a simulated client drives QUIC: packets in, events, what is due, packets out. Used by
//! [`super::SimClient`] and the simulation's loop.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, ConnectionError, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    IdleTimeout, StreamEvent, TransportConfig, VarInt,
};
use rand::Rng;
use tribune_protocol::ALPN_PARTICIPANT;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::{ControlReader, Envelope, decode};
use tribune_protocol::datagram::Datagram;
use tribune_protocol::datagram::probe::Probe;
use tribune_protocol::ids::TrackId;
use tribune_relay::crossing::ShardId;
use tribune_relay::identity::MasterKeys;
use tribune_relay::shard::steering::{ShardCids, SteeringKey};
use tribune_relay::tls::{ServerTrust, client_crypto};

use super::{ClientLink, End, SimClient};
use crate::sim::heard::HeardFrame;
use crate::sim::log::{Entry, Log};
use crate::sim::relay::first_cids;
use crate::sim::talk::{SentFrame, Talk};
use crate::sim::{Arrival, Sent};

impl SimClient {
    pub(in crate::sim) fn connect(&mut self, now: Instant, relay: SocketAddr) {
        self.attempts += 1;
        self.joined = None;
        self.end = None;
        let keys = MasterKeys::from_seed(self.rng.random());
        let mut config = EndpointConfig::new(keys.reset_key());
        let (key, seed) = (SteeringKey(self.rng.random()), self.rng.random());
        config.cid_generator(move || Box::new(ShardCids::new(ShardId(0), key, seed)));
        config.rng_seed(Some(self.rng.random()));
        let mut endpoint = Endpoint::new(Arc::new(config), None, false, None);
        let crypto = client_crypto(ALPN_PARTICIPANT, ServerTrust::Anything, None)
            .expect("the TLS settings of a client are usable");
        let mut client = ClientConfig::new(crypto);
        client.transport_config(transport(self.window_bytes, self.datagram_bytes));
        client.initial_dst_cid_provider(first_cids(self.rng.random()));
        let (handle, conn) = endpoint
            .connect(now, client, relay, "localhost")
            .expect("a relay of the simulation has a usable address");
        self.link = Some(ClientLink {
            endpoint,
            handle,
            conn,
            control: None,
            reader: ControlReader::default(),
            outbox: VecDeque::new(),
            handed_over: Duration::ZERO,
            connected: false,
        });
    }

    pub(in crate::sim) fn receive(&mut self, arrival: Arrival) {
        let now = self.base + self.now;
        let Some(link) = &mut self.link else { return };
        link.handed_over = arrival.sent;
        let payload = BytesMut::from(&arrival.payload[..]);
        let mut reply = Vec::new();
        let event = link.endpoint.handle(now, arrival.from, None, None, payload, &mut reply);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            link.conn.handle_event(event);
        }
    }

    pub(in crate::sim) fn turn(&mut self, sent: &mut Vec<Sent>, log: &mut Log) -> Option<Duration> {
        let now = self.base + self.now;
        if let Some(link) = &mut self.link
            && link.conn.poll_timeout().is_some_and(|due| due <= now)
        {
            link.conn.handle_timeout(now);
        }
        self.drive(log);
        self.speak();
        self.ask_the_time();
        self.write_control();
        let link = self.link.as_mut()?;
        let mut payload = Vec::new();
        while let Some(transmit) = link.conn.poll_transmit(now, 1, &mut payload) {
            let payload = std::mem::take(&mut payload);
            sent.push(Sent { from: self.address, to: transmit.destination, payload });
        }
        self.drive(log);
        self.next_deadline()
    }

    fn next_deadline(&mut self) -> Option<Duration> {
        let link = self.link.as_mut()?;
        let quic = link.conn.poll_timeout().map(|at| at.saturating_duration_since(self.base));
        let control = link.outbox.front().filter(|(at, _)| *at > self.now).map(|(at, _)| *at);
        let talk = self.talk.as_ref().and_then(Talk::due);
        let probe = self.joined.as_ref().map(|_| {
            let wait = self.clock.next_question_us().saturating_sub(self.local_us());
            self.now + Duration::from_micros(wait)
        });
        [quic, control, talk, probe].into_iter().flatten().min()
    }

    /// Takes everything off the connection; events first, of which the loss of the connection is the
    /// last.
    fn drive(&mut self, log: &mut Log) {
        loop {
            let Some(link) = &mut self.link else { return };
            if let Some(event) = link.conn.poll() {
                self.handle_event(event, log);
                continue;
            }
            let (mut any, mut drained) = (false, false);
            while let Some(event) = link.conn.poll_endpoint_events() {
                any = true;
                drained |= event.is_drained();
                if let Some(event) = link.endpoint.handle_event(link.handle, event) {
                    link.conn.handle_event(event);
                }
            }
            if drained {
                self.link = None;
            }
            if !any {
                return;
            }
        }
    }

    fn handle_event(&mut self, event: Event, log: &mut Log) {
        let Some(link) = &mut self.link else { return };
        match event {
            Event::Connected => {
                link.connected = true;
                link.control = link.conn.streams().open(Dir::Bi);
            }
            Event::ConnectionLost { reason } => {
                let end = end(&reason);
                log.push(Entry::note(self.now, self.host, format!("ends: {end:?}")));
                self.end = Some((self.now, end));
                self.joined = None;
            }
            Event::DatagramReceived => self.read_datagrams(log),
            Event::Stream(StreamEvent::Readable { .. }) => self.read_control(log),
            Event::HandshakeDataReady
            | Event::DatagramsUnblocked
            | Event::Stream(
                StreamEvent::Opened { .. }
                | StreamEvent::Writable { .. }
                | StreamEvent::Finished { .. }
                | StreamEvent::Stopped { .. }
                | StreamEvent::Available { .. },
            ) => {}
        }
    }

    fn read_control(&mut self, log: &mut Log) {
        if !self.reads_control {
            return;
        }
        let Some(link) = &mut self.link else { return };
        let Some(stream) = link.control else { return };
        let mut recv = link.conn.recv_stream(stream);
        if let Ok(mut chunks) = recv.read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                link.reader.handle_bytes(&chunk.bytes);
            }
            let _ = chunks.finalize();
        }
        while let Some(link) = &mut self.link
            && let Some(body) = link.reader.poll_message().expect("relays keep to the length limit")
        {
            let envelope: Envelope<ToParticipant> =
                decode(&body).expect("relays send messages of the protocol");
            log.push(Entry::note(self.now, self.host, format!("is told {envelope:?}")));
            match &envelope.message {
                ToParticipant::Joined(joined) => {
                    self.joined = Some(joined.clone());
                    self.you = Some(joined.you.clone());
                }
                ToParticipant::You(you) => self.you = Some(you.clone()),
                ToParticipant::Ok {}
                | ToParticipant::Err { .. }
                | ToParticipant::Stage { .. }
                | ToParticipant::Listeners { .. }
                | ToParticipant::Hands { .. }
                | ToParticipant::Moderated(_)
                | ToParticipant::Room(_)
                | ToParticipant::Rooms { .. }
                | ToParticipant::Bans { .. }
                | ToParticipant::Log(_)
                | ToParticipant::Invitation { .. }
                | ToParticipant::Reactions { .. }
                | ToParticipant::TokenExpires { .. }
                | ToParticipant::PleaseMute { .. }
                | ToParticipant::Moved { .. }
                | ToParticipant::Unknown => {}
            }
            self.messages.push((self.now, envelope));
        }
    }

    fn read_datagrams(&mut self, log: &mut Log) {
        let local_us = self.local_us();
        while let Some(link) = &mut self.link
            && let Some(bytes) = link.conn.datagrams().recv()
        {
            let handed_over = link.handed_over;
            match Datagram::parse(bytes).expect("relays send datagrams of the protocol") {
                Datagram::Media(media) => {
                    let datagram = self.heard.begin_datagram();
                    for frame in media.frames() {
                        let frame = frame.expect("relays send whole frames");
                        let offset = self.clock.offset(local_us);
                        let latency = frame.captured.zip(offset).map(|(captured, offset)| {
                            let now = offset.to_origin(local_us);
                            (now.0 as i64 - captured.0 as i64, offset.error_us)
                        });
                        let counter = frame.opus.first_chunk().copied().map(u64::from_be_bytes);
                        let (at, track, seq) = (self.now, frame.track, frame.seq);
                        let entry = Entry::frame(at, self.host, track.0, seq.0, datagram);
                        log.push(entry);
                        self.heard.push(HeardFrame {
                            at,
                            handed_over,
                            track,
                            seq,
                            counter,
                            datagram,
                            latency,
                        });
                    }
                }
                Datagram::Probe(Probe::Answer(answer)) => {
                    self.clock.handle_answer(local_us, &answer);
                }
                Datagram::Probe(Probe::Question { .. }) | Datagram::Nack(_) => {}
            }
        }
    }

    fn speak(&mut self) {
        let local_us = self.local_us();
        self.last_track = self.track().or(self.last_track);
        let given = if self.insists { self.last_track } else { self.track() };
        let track = given.filter(|_| self.joined.is_some());
        while let Some(talk) = &mut self.talk
            && talk.due().is_some_and(|due| due <= self.now)
        {
            let offset = self.clock.offset(local_us).filter(|_| talk.wants_stamp());
            let captured = offset.map(|offset| offset.to_origin(local_us));
            let Some((seq, datagram)) = talk.next_frame(track, captured) else { continue };
            let Some(link) = &mut self.link else { continue };
            let _ = link.conn.datagrams().send(datagram, true);
            self.sent.push(SentFrame {
                at: self.now,
                track: track.unwrap_or(TrackId(0)),
                seq,
                capture_error_us: offset.map(|offset| offset.error_us),
            });
        }
    }

    fn ask_the_time(&mut self) {
        let local_us = self.local_us();
        if self.joined.is_some()
            && let Some(link) = &mut self.link
            && self.clock.poll_question(local_us)
        {
            let question = Probe::Question { asked_us: local_us };
            let _ = link.conn.datagrams().send(question.write(), true);
        }
    }

    fn write_control(&mut self) {
        let Some(link) = &mut self.link else { return };
        let Some(stream) = link.control else { return };
        while let Some((at, bytes)) = link.outbox.front_mut() {
            if *at > self.now {
                return;
            }
            let Ok(written) = link.conn.send_stream(stream).write(bytes) else { return };
            if written < bytes.len() {
                *bytes = bytes.slice(written..);
                return;
            }
            link.outbox.pop_front();
        }
    }
}

fn transport(window_bytes: u32, datagram_bytes: usize) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::from(VarInt::from_u32(20_000));
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(Duration::from_secs(5)))
        .stream_receive_window(VarInt::from_u32(window_bytes))
        .datagram_receive_buffer_size(Some(datagram_bytes))
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
        .allow_spin(false);
    Arc::new(transport)
}

fn end(reason: &ConnectionError) -> End {
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::from_wire(close.error_code.into_inner());
            End::Closed(code, String::from_utf8_lossy(&close.reason).into_owned())
        }
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => End::Lost(reason.to_string()),
    }
}
