//! UDP socket of a client, in two halves, so that one thread can receive for a speaker while another sends.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::ocb2::{Opener, Sealer, Secrets};
use crate::voice::{self, Packet};

/// Buffer for any packet: mumble's are 1,024 bytes at most.
const MAX_PACKET_BYTES: usize = 2_048;
/// Time for the answer to a ping before it is sent again.
const PING_AGAIN: Duration = Duration::from_millis(250);
/// Pings that are sent before the server counts as unreachable.
const PING_TRIES: u32 = 20;
/// Period in which an answer is polled.
const GLANCE: Duration = Duration::from_micros(200);

/// Opens a client's socket and registers it: the server sends audio by UDP to addresses from which it has
/// received a valid packet.
///
/// # Errors
/// No socket can be opened, or the server does not answer.
pub(crate) fn open(secrets: &Secrets, server: SocketAddr) -> Result<(Mouth, Ear)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP socket is free")?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    let socket = Arc::new(socket);
    let mut mouth =
        Mouth { socket: Arc::clone(&socket), sealer: secrets.sealer(), packet: Vec::new() };
    let mut ear = Ear { socket, opener: secrets.opener() };
    for _ in 0..PING_TRIES {
        mouth.ping()?;
        let until = Instant::now() + PING_AGAIN;
        while Instant::now() < until {
            let mut answered = false;
            ear.listen(1, |packet| answered |= matches!(packet, Packet::Ping { .. }))?;
            if answered {
                return Ok((mouth, ear));
            }
            std::thread::sleep(GLANCE);
        }
    }
    bail!("the server has answered none of {PING_TRIES} pings by UDP")
}

/// Sending half of a client.
#[derive(Debug)]
pub(crate) struct Mouth {
    socket: Arc<UdpSocket>,
    sealer: Sealer,
    packet: Vec<u8>,
}

impl Mouth {
    /// Sends a frame to the channel.
    ///
    /// # Errors
    /// The kernel does not accept it: the server has ended, or there is no buffer.
    pub(crate) fn say(&mut self, sequence: u64, opus: &[u8]) -> Result<()> {
        let mut plain = Vec::with_capacity(opus.len() + 16);
        voice::write_opus(sequence, opus, &mut plain);
        self.send(&plain)
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// The kernel does not accept it.
    pub(crate) fn ping(&mut self) -> Result<()> {
        let mut plain = Vec::with_capacity(16);
        voice::write_ping(1, &mut plain);
        self.send(&plain)
    }

    /// Nonce of the last packet.
    pub(crate) const fn nonce(&self) -> [u8; 16] {
        self.sealer.nonce()
    }

    /// Skips nonces, as if packets had been lost on their way.
    #[cfg(test)]
    pub(crate) fn lose(&mut self, packets: u32) {
        for _ in 0..packets {
            self.sealer.seal(&[], &mut self.packet);
        }
    }

    fn send(&mut self, plain: &[u8]) -> Result<()> {
        self.sealer.seal(plain, &mut self.packet);
        self.socket.send(&self.packet).context("a packet to the server cannot be sent")?;
        Ok(())
    }
}

/// Receiving half of a client.
#[derive(Debug)]
pub(crate) struct Ear {
    socket: Arc<UdpSocket>,
    opener: Opener,
}

impl Ear {
    /// Hands on received packets, up to a limit. It never blocks: no thread is woken by the server's packets,
    /// so that waking is not part of its cost of sending.
    ///
    /// # Errors
    /// The server has ended, or sends a packet that cannot be opened.
    pub(crate) fn listen(&mut self, most: usize, mut each: impl FnMut(Packet<'_>)) -> Result<()> {
        let mut packet = [0; MAX_PACKET_BYTES];
        for _ in 0..most {
            let bytes = match self.socket.recv(&mut packet) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("a client's UDP socket"),
            };
            let plain = self.opener.open(&mut packet[..bytes]);
            let plain = plain.context("the server has sent a packet that cannot be opened")?;
            each(Packet::read(plain).context("the server has sent a packet of no known kind")?);
        }
        Ok(())
    }
}
