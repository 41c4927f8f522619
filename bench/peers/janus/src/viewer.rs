//! The WebRTC side of one viewer: a socket, and str0m, which is driven by whoever sweeps it. All that
//! comes is decrypted.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use str0m::change::SdpOffer;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

/// The largest datagram that is read, in bytes.
pub(crate) const DATAGRAM_BYTES: usize = 2_048;

/// One viewer.
#[derive(Debug)]
pub(crate) struct Viewer {
    socket: UdpSocket,
    local: SocketAddr,
    rtc: Box<Rtc>,
    /// When str0m wants to be woken.
    due: Instant,
    connected: bool,
}

impl Viewer {
    /// A viewer that answers an offer, and the answer.
    ///
    /// # Errors
    /// There is no socket; the offer is not understood.
    pub(crate) fn answer(address: Ipv4Addr, offer: &str) -> Result<(Self, String)> {
        let now = Instant::now();
        let socket = UdpSocket::bind((address, 0)).context("a viewer's socket")?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        // Frames are wanted as they come: a browser's jitter buffer is no part of the server.
        let mut rtc = Box::new(Rtc::builder().set_rtp_mode(true).build(now));
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp)?);
        let offer = SdpOffer::from_sdp_string(offer).context("Janus's offer is not understood")?;
        let answer = rtc.sdp_api().accept_offer(offer).context("Janus's offer is not accepted")?;
        let mut viewer = Self { socket, local, rtc, due: now, connected: false };
        viewer.drain(&mut |_, _| {})?;
        Ok((viewer, answer.to_sdp_string()))
    }

    /// Whether keys are agreed.
    pub(crate) const fn connected(&self) -> bool {
        self.connected
    }

    /// Takes all datagrams that have come, and does what is due. `heard` gets each frame with its time.
    ///
    /// # Errors
    /// The connection is over.
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
                        // What the kernel does not take is lost, as on any network.
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
