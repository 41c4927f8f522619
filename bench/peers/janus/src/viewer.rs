//! WebRTC side of one viewer: a socket and str0m, driven by the sweep. All packets are decrypted.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use str0m::change::SdpOffer;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

/// Largest datagram, in bytes.
pub(crate) const DATAGRAM_BYTES: usize = 2_048;

/// Viewer with its connection.
#[derive(Debug)]
pub(crate) struct Viewer {
    socket: UdpSocket,
    local: SocketAddr,
    rtc: Box<Rtc>,
    /// Next timeout of str0m.
    due: Instant,
    connected: bool,
}

impl Viewer {
    /// Viewer for an offer, with its answer.
    ///
    /// # Errors
    /// No socket can be opened, or the offer is invalid.
    pub(crate) fn answer(address: Ipv4Addr, offer: &str) -> Result<(Self, String)> {
        let now = Instant::now();
        let socket = UdpSocket::bind((address, 0)).context("a viewer's socket")?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        // Frames are taken as they arrive: a browser's jitter buffer is not part of the server.
        let mut rtc = Box::new(Rtc::builder().set_rtp_mode(true).build(now));
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp)?);
        let offer = SdpOffer::from_sdp_string(offer).context("Janus's offer is not understood")?;
        let answer = rtc.sdp_api().accept_offer(offer).context("Janus's offer is not accepted")?;
        let mut viewer = Self { socket, local, rtc, due: now, connected: false };
        viewer.drain(&mut |_, _| {})?;
        Ok((viewer, answer.to_sdp_string()))
    }

    /// Whether DTLS is complete.
    pub(crate) const fn connected(&self) -> bool {
        self.connected
    }

    /// Receives all datagrams and handles timeouts. `heard` gets each frame with its time of arrival.
    ///
    /// # Errors
    /// The connection ended.
    pub(crate) fn sweep(
        &mut self,
        buffer: &mut [u8; DATAGRAM_BYTES],
        heard: &mut impl FnMut(Instant, &[u8]),
    ) -> Result<()> {
        loop {
            let (bytes, source) = match self.socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a viewer's socket cannot be read"),
            };
            let Ok(contents) = buffer[..bytes].try_into() else { continue };
            let destination = self.local;
            let receive = Receive { proto: Protocol::Udp, source, destination, contents };
            self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
            self.drain(heard)?;
        }
        let now = Instant::now();
        if self.due <= now {
            self.rtc.handle_input(Input::Timeout(now))?;
            self.drain(heard)?;
        }
        Ok(())
    }

    fn drain(&mut self, heard: &mut impl FnMut(Instant, &[u8])) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(due) => {
                    self.due = due;
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    match self.socket.send_to(&transmit.contents, transmit.destination) {
                        // A packet that the kernel does not accept is lost, as on any network.
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        sent => drop(sent.context("a viewer cannot send")?),
                    }
                }
                Output::Event(Event::RtpPacket(packet)) => heard(packet.timestamp, &packet.payload),
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::IceConnectionStateChange(
                    IceConnectionState::Disconnected,
                )) => bail!("Janus answers no connectivity checks any more"),
                Output::Event(Event::Closed) => bail!("Janus has closed the connection"),
                Output::Event(_) => {}
            }
        }
    }
}
