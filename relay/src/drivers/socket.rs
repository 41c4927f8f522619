//! UDP socket of a shard: packets in by `recvmmsg`, out by `sendmmsg`. Used by [`super::shard`], and by
//! load generators, which want to be as cheap as a relay.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tribune_relay_core::messages::Packet;
use tribune_relay_core::shard::Outgoing;

/// Packets that one call receives.
const RECV_BATCH: usize = quinn_udp::BATCH_SIZE;
/// Bytes of one packet received; the kernel may join several of the same sender (GRO).
const RECV_BUFFER_BYTES: usize = 64 * 1024;
/// Distance from one buffer to the next, in bytes. At a multiple of 64 KiB their first bytes, which are all that most
/// packets need, would share one set of the processor's cache and push each other out.
const RECV_BUFFER_STRIDE: usize = RECV_BUFFER_BYTES + 2 * 1024;
/// Packets that one call sends: past 64 the gain of a larger batch is lost in the noise.
pub const SEND_BATCH: usize = 64;
/// Kernel buffer asked for in each direction: 50 ms of 20,000 listeners. The kernel gives as much as its
/// limits allow.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A UDP socket with its buffers. To be made inside a tokio runtime, whose reactor it uses.
#[derive(Debug)]
pub struct BatchSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<u8>,
}

/// Binds a socket that several shards can bind to the same address (SO_REUSEPORT): the kernel
/// spreads packets over them by address and port of the sender.
///
/// # Errors
/// The system's error, for instance that the address is in use.
pub fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::UdpSocket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    #[cfg(unix)]
    socket.set_reuse_port(shared)?;
    #[cfg(not(unix))]
    let _ = shared;
    // More is better, less works too.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl BatchSocket {
    /// Takes a bound, non-blocking socket.
    ///
    /// # Errors
    /// The system's error about its options.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self { socket, state, buffers: vec![0; RECV_BATCH * RECV_BUFFER_STRIDE] })
    }

    /// Waits until there is something to receive.
    ///
    /// # Errors
    /// The reactor's error.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until the kernel takes packets again.
    ///
    /// # Errors
    /// The reactor's error.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Receives waiting packets, up to one batch. `Ok(0)`: none.
    ///
    /// # Errors
    /// The system's error; transient ones are passed over.
    pub fn receive(&mut self, mut take: impl FnMut(Packet)) -> io::Result<usize> {
        let Self { socket, state, buffers } = self;
        let mut metas = [RecvMeta::default(); RECV_BATCH];
        let mut chunks = buffers.chunks_exact_mut(RECV_BUFFER_STRIDE);
        let mut slices: [IoSliceMut<'_>; RECV_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let received = socket.try_io(Interest::READABLE, || {
            state.recv(UdpSockRef::from(&*socket), &mut slices, &mut metas)
        });
        let received = match received {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            // Linux reports an ICMP answer to an earlier packet here; QUIC's timers know better.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
            Err(error) => return Err(error),
        };
        for (meta, slice) in metas.iter().zip(&slices).take(received) {
            for payload in slice[..meta.len].chunks(meta.stride.max(1)) {
                take(Packet {
                    remote: meta.addr,
                    local_ip: meta.dst_ip,
                    ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    payload: BytesMut::from(payload),
                });
            }
        }
        Ok(received)
    }

    /// Sends packets. Returns how many the kernel took; fewer than all: it is full, wait for
    /// [`Self::writable`]. A packet that it refuses counts as taken, and `refused` is called.
    pub fn send(&self, packets: &[Outgoing], mut refused: impl FnMut(&io::Error)) -> usize {
        let mut sent = 0;
        while sent < packets.len() {
            let result = self.socket.try_io(Interest::WRITABLE, || {
                send_batch(&self.socket, &self.state, &packets[sent..])
            });
            match result {
                Ok(0) => break,
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    refused(&error);
                    sent += 1;
                }
            }
        }
        sent
    }
}

#[cfg(target_os = "linux")]
fn send_batch(
    socket: &UdpSocket,
    _state: &UdpSocketState,
    packets: &[Outgoing],
) -> io::Result<usize> {
    use std::io::IoSlice;

    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
    use smallvec::SmallVec;

    let batch = packets.iter().take(SEND_BATCH).filter_map(|packet| {
        packet
            .destination
            .map(|destination| (destination.as_any(), [IoSlice::new(&packet.payload)]))
    });
    let batch: SmallVec<[_; SEND_BATCH]> = batch.collect();
    let mut controls: SmallVec<[SendAncillaryBuffer<'_, '_, '_>; SEND_BATCH]> = SmallVec::new();
    controls.resize_with(batch.len(), SendAncillaryBuffer::default);
    let messages = batch.iter().zip(&mut controls);
    let mut messages: SmallVec<[MMsgHdr<'_>; SEND_BATCH]> = messages
        .map(|((address, payload), control)| MMsgHdr::new_with_addr(address, payload, control))
        .collect();
    Ok(sendmmsg(socket, &mut messages, SendFlags::DONTWAIT)?)
}

#[cfg(not(target_os = "linux"))]
fn send_batch(
    socket: &UdpSocket,
    state: &UdpSocketState,
    packets: &[Outgoing],
) -> io::Result<usize> {
    let Some(packet) = packets.first() else { return Ok(0) };
    let Some(destination) = packet.destination else { return Ok(1) };
    let transmit = quinn_udp::Transmit {
        destination,
        ecn: None,
        contents: &packet.payload,
        segment_size: None,
        src_ip: None,
    };
    state.try_send(UdpSockRef::from(socket), &transmit).map(|()| 1)
}
