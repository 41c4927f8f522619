//! UDP sockets without a reactor. A reactor would charge each packet that the relay sends with its
//! book-keeping and with waking this process; here one non-blocking `poll` tells which sockets are
//! readable, as often as the caller likes. That costs the relay nothing, and this process about 0.1 µs
//! per socket.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use quinn_proto::EcnCodepoint;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tribune_relay::drivers::socket::bind;
use tribune_relay_core::messages::Packet;
use tribune_relay_core::shard::Outgoing;

/// Bytes of one received packet; the kernel may join several of the same sender (GRO).
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;
/// Batches taken from one socket before the next one has its turn.
const RECEIVES_PER_SOCKET: usize = 4;
/// Open files beside the sockets: standard ones, pipes of relays, /proc.
const OTHER_FILES: u64 = 64;
const DO_NOT_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Sockets of one thread, with one buffer for all.
#[derive(Debug)]
pub(crate) struct Sockets {
    sockets: Vec<(UdpSocket, UdpSocketState)>,
    buffer: Vec<u8>,
}

impl Sockets {
    /// Opens `count` sockets that can reach `target`. A sweep takes `batch` packets at a time from one: as
    /// many as it has participants.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub(crate) fn open(target: SocketAddr, count: usize, batch: usize) -> Result<Self> {
        let any: IpAddr = match (target, target.ip().is_loopback()) {
            (SocketAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
            (SocketAddr::V4(_), false) => Ipv4Addr::UNSPECIFIED.into(),
            (SocketAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
            (SocketAddr::V6(_), false) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = || -> io::Result<_> {
            let socket = bind(SocketAddr::new(any, 0), false)?;
            let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
            Ok((socket, state))
        };
        let sockets = (0..count).map(|_| socket()).collect::<io::Result<_>>();
        // Two, so that a socket with one packet is known to be empty after one call.
        let batch = batch.clamp(2, BATCH_SIZE);
        Ok(Self {
            sockets: sockets.context("no socket for a participant")?,
            buffer: vec![0; batch * RECEIVE_BUFFER_BYTES],
        })
    }

    /// Receives from all sockets. Returns the number of packets.
    ///
    /// # Errors
    /// A socket is unusable.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Packet)) -> io::Result<usize> {
        let mut fds: Vec<PollFd<'_>> =
            self.sockets.iter().map(|(socket, _)| PollFd::new(socket, PollFlags::IN)).collect();
        if poll(&mut fds, Some(&DO_NOT_WAIT))? == 0 {
            return Ok(0);
        }
        let mut packets = 0;
        for (fd, (socket, state)) in fds.iter().zip(&self.sockets) {
            if fd.revents().is_empty() {
                continue;
            }
            for _ in 0..RECEIVES_PER_SOCKET {
                let (received, more) = receive_batch(socket, state, &mut self.buffer, &mut take)?;
                packets += received;
                if !more {
                    break;
                }
            }
        }
        Ok(packets)
    }

    /// Sends a packet. Returns whether the kernel accepted it.
    pub(crate) fn send(&self, socket: usize, packet: &Outgoing) -> bool {
        let Some(destination) = packet.destination else { return true };
        self.sockets[socket].0.send_to(&packet.payload, destination).is_ok()
    }
}

/// Returns the number of packets, and whether there may be more.
fn receive_batch(
    socket: &UdpSocket,
    state: &UdpSocketState,
    buffer: &mut [u8],
    take: &mut impl FnMut(Packet),
) -> io::Result<(usize, bool)> {
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    let chunks = buffer.chunks_exact_mut(RECEIVE_BUFFER_BYTES);
    let batch = chunks.len();
    let mut chunks = chunks.map(IoSliceMut::new);
    let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
        std::array::from_fn(|_| chunks.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
    let received = state.recv(UdpSockRef::from(socket), &mut slices[..batch], &mut metas[..batch]);
    let received = match received {
        Ok(received) => received,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((0, false)),
        // An ICMP answer to an earlier packet; QUIC's timers decide.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok((0, false)),
        Err(error) => return Err(error),
    };
    let mut packets = 0;
    for (meta, slice) in metas.iter().zip(&slices).take(received) {
        for payload in slice[..meta.len].chunks(meta.stride.max(1)) {
            packets += 1;
            take(Packet {
                remote: meta.addr,
                local_ip: meta.dst_ip,
                ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                payload: BytesMut::from(payload),
            });
        }
    }
    Ok((packets, received == batch))
}

/// Raises the limit of open files to that many sockets, if the system allows it.
///
/// # Errors
/// The hard limit is lower.
pub(crate) fn allow_sockets(sockets: usize) -> Result<()> {
    let wanted = sockets as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(most) = limit.maximum.filter(|most| *most < wanted) {
        bail!(
            "{sockets} sockets take {wanted} open files, and the system allows this process {most} \
             (ulimit -Hn)"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
        .with_context(|| format!("the limit of open files cannot be raised to {wanted}"))
}

#[cfg(test)]
mod tests {
    use tribune_bench::accounting::process_drops;

    use super::*;

    #[test]
    fn what_comes_on_any_socket_is_taken_once() {
        let here = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut receivers = Sockets::open(here, 3, 1).unwrap();
        let senders = Sockets::open(here, 1, 1).unwrap();
        let address = |socket: &UdpSocket| socket.local_addr().unwrap();
        // More than a sweep takes at once from one socket, nothing to another.
        for (socket, count) in [(0, 1), (2, 7)] {
            let destination = Some(address(&receivers.sockets[socket].0));
            for number in 0..count {
                assert!(
                    senders.send(0, &Outgoing { destination, payload: vec![socket as u8, number] })
                );
            }
        }
        let mut came = Vec::new();
        let packets = receivers.receive(|packet| came.push(packet)).unwrap();
        assert_eq!((packets, came.len()), (8, 8));
        assert!(came.iter().all(|packet| packet.remote == address(&senders.sockets[0].0)));
        assert_eq!(came[0].payload, [0, 0][..]);
        assert_eq!(came[7].payload, [2, 6][..]);
        assert_eq!(receivers.receive(|_| ()).unwrap(), 0);
    }

    #[test]
    fn what_does_not_fit_into_a_socket_is_counted() {
        let here = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut receivers = Sockets::open(here, 2, 1).unwrap();
        let senders = Sockets::open(here, 1, 1).unwrap();
        let destination = receivers.sockets[1].0.local_addr().ok();
        let packet = Outgoing { destination, payload: vec![0; 1_200] };
        let before = process_drops(std::process::id()).unwrap();
        // More than a buffer of 4 MiB holds.
        let sent = (0..10_000).filter(|_| senders.send(0, &packet)).count();
        let dropped = process_drops(std::process::id()).unwrap() - before;
        let mut received = 0;
        while let Ok(more @ 1..) = receivers.receive(|_| ()) {
            received += more;
        }
        assert!(dropped > 0 && received > 0, "{dropped} dropped, {received} received");
        assert_eq!(dropped as usize + received, sent);
    }

    #[test]
    fn more_sockets_than_the_system_allows_are_refused_with_both_numbers() {
        let Some(most) = getrlimit(Resource::Nofile).maximum else { return };
        let error = allow_sockets(most as usize).unwrap_err().to_string();
        assert!(error.contains(&most.to_string()) && error.contains("ulimit"), "{error}");
        allow_sockets(10).unwrap();
    }
}
