//! Pool of clients in one thread, cheap enough to load a relay from the machine that it runs on:
//! quinn-proto driven directly, no task and no wake-up per client.
//!
//! [`Members`] has the connections without I/O; [`ClientPool`] puts them on [`Sockets`]. Nothing here
//! waits: the caller sweeps ([`ClientPool::turn`]) as often as it likes. A pool can be far away: its packets
//! then wait half of the round trip in each direction, inside this process.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_protocol::control::encode;
use tribune_protocol::control::participant::{FromParticipant, Join};
use tribune_relay_core::messages::Packet;
use tribune_relay_core::shard::Outgoing;

use super::delay::DelayLine;
use super::events::{Arrival, MemberId, News};
use super::members::Members;
use super::sockets::Sockets;
use super::target::{Target, Way};

/// Buffers of sent packets that are kept for the next ones.
const SPARE_BUFFERS: usize = 4_096;

/// Seed of the packets that are lost: the same at each run.
const LOSS_SEED: u64 = 12;

/// Location of a pool: sockets, and distance from the relay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Sockets that they share.
    pub(crate) sockets: usize,
    /// Participants on each socket.
    pub(crate) per_socket: usize,
    /// Round trip to the relay; what the network itself takes comes on top.
    pub(crate) rtt: Duration,
}

/// Participants on sockets.
#[derive(Debug)]
pub(crate) struct ClientPool {
    members: Members,
    sockets: Sockets,
    /// Off the sockets, and not yet with QUIC.
    incoming: DelayLine<Packet>,
    /// From QUIC, and not yet on a socket.
    outgoing: DelayLine<(usize, Outgoing)>,
    far: bool,
    packet: Outgoing,
    spare: Vec<Vec<u8>>,
    /// Packets that the kernel did not take.
    refused: u64,
    received: Received,
    /// Packets lost on purpose, in percent, and the chance for it.
    loss: (u8, StdRng),
}

/// UDP packets that came off the sockets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes in them, headers of UDP and IP not counted.
    pub(crate) bytes: u64,
}

impl ClientPool {
    /// A pool without participants.
    ///
    /// # Errors
    /// The system's on sockets; TLS that cannot be set up.
    pub(crate) fn open(target: Target, place: Place) -> Result<Self> {
        Ok(Self {
            sockets: Sockets::open(target.address, place.sockets, place.per_socket)?,
            members: Members::new(target)?,
            incoming: DelayLine::new(place.rtt / 2),
            outgoing: DelayLine::new(place.rtt / 2),
            far: place.rtt > Duration::ZERO,
            packet: Outgoing::default(),
            spare: Vec::new(),
            refused: 0,
            received: Received::default(),
            loss: (0, StdRng::seed_from_u64(LOSS_SEED)),
        })
    }

    /// Has packets lost from now on, in percent in each direction.
    pub(crate) const fn set_loss(&mut self, percent: u8) {
        self.loss.0 = percent;
    }

    /// Begins to join a room over the socket of that number.
    ///
    /// # Errors
    /// QUIC's on the address or the name.
    pub(crate) fn join(&mut self, socket: usize, way: Way, join: Join) -> Result<MemberId> {
        let member = self.members.join(Instant::now(), socket, way, join)?;
        self.flush();
        Ok(member)
    }

    /// Has a participant leave. There is no news of it.
    pub(crate) fn leave(&mut self, member: MemberId) {
        self.members.leave(Instant::now(), member);
        self.flush();
    }

    /// Queues a datagram; [`Self::flush`] sends it. Returns whether QUIC took it.
    pub(crate) fn send_datagram(&mut self, member: MemberId, datagram: Bytes) -> bool {
        self.members.send_datagram(member, datagram)
    }

    /// Says something on a participant's control stream, as [`Self::send_datagram`] does in a datagram.
    ///
    /// # Errors
    /// A message that cannot be written.
    pub(crate) fn send_control(
        &mut self,
        member: MemberId,
        message: &FromParticipant,
    ) -> Result<bool> {
        Ok(self.members.send_control(member, &encode(None, message)?))
    }

    /// One sweep: packets in, timers, packets out.
    ///
    /// # Errors
    /// A socket's, if it is unusable.
    pub(crate) fn turn(&mut self, mut heard: impl FnMut(Arrival)) -> io::Result<()> {
        let incoming = &mut self.incoming;
        let (received, loss) = (&mut self.received, &mut self.loss);
        self.sockets.receive(|packet| {
            if is_lost(loss) {
                return;
            }
            received.packets += 1;
            received.bytes += packet.payload.len() as u64;
            incoming.push(Instant::now(), packet);
        })?;
        let now = Instant::now();
        while let Some((at, packet)) = self.incoming.poll(now) {
            self.members.handle_packet(now, at, packet, &mut heard);
        }
        self.members.handle_timeout(now, &mut heard);
        self.flush();
        Ok(())
    }

    /// Sends what waits and is due.
    pub(crate) fn flush(&mut self) {
        let now = Instant::now();
        while let Some(member) = self.members.poll_dirty() {
            while let Some(socket) = self.members.poll_transmit(now, member, &mut self.packet) {
                if is_lost(&mut self.loss) {
                    continue;
                }
                if self.far {
                    let payload = self.spare.pop().unwrap_or_default();
                    let next = Outgoing { destination: None, payload };
                    self.outgoing.push(now, (socket, std::mem::replace(&mut self.packet, next)));
                } else {
                    self.refused += u64::from(!self.sockets.send(socket, &self.packet));
                }
            }
            self.members.settle(member);
        }
        while let Some((_, (socket, packet))) = self.outgoing.poll(now) {
            self.refused += u64::from(!self.sockets.send(socket, &packet));
            if self.spare.len() < SPARE_BUFFERS {
                self.spare.push(packet.payload);
            }
        }
    }

    /// UDP packets that came since the last call.
    pub(crate) const fn take_received(&mut self) -> Received {
        std::mem::replace(&mut self.received, Received { packets: 0, bytes: 0 })
    }

    /// The next thing that has happened to a participant.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        self.members.poll_news()
    }

    /// Packets that the kernel did not take, or for which the way had no room.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused + self.incoming.dropped() + self.outgoing.dropped()
    }
}

/// Whether the next packet is lost.
fn is_lost((percent, rng): &mut (u8, StdRng)) -> bool {
    *percent > 0 && rng.random_ratio(u32::from(*percent), 100)
}
