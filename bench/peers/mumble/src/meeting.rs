//! Server with its clients: the speakers, which joined first, and the listeners.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;
use tribune_bench::accounting::process_memory;
use tribune_bench::contender::{Ready, Said, say};

use crate::control::{self, Control};
use crate::rota::Rota;
use crate::server::Server;
use crate::udp::{self, Ear, Mouth};

/// Speakers. Those that do not speak in a window are deaf meanwhile.
pub(crate) const SPEAKERS: usize = 4;
/// Joins after which all clients read the messages that the joins caused.
const JOINS_PER_DRAIN: usize = 16;
/// Pause before memory is read and before a window, for messages that the server still has to send.
const SETTLE: Duration = Duration::from_millis(500);
/// Period of progress reports while joining.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Server with all clients.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(crate) server: Server,
    pub(crate) clients: Clients,
    /// Number of measured windows.
    pub(crate) windows: u16,
    /// Turns of pings; `None` if listeners are silent.
    pub(crate) pings: Option<Pings>,
}

/// Parts of the clients, each in the order of joining: the speakers, then the listeners.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) controls: Vec<Control>,
    pub(crate) ears: Vec<Ear>,
    pub(crate) mouths: Vec<Mouth>,
}

/// Schedules of pings.
#[derive(Debug)]
pub(crate) struct Pings {
    /// On all TLS connections.
    pub(crate) by_tcp: Rota,
    /// On the listeners' UDP sockets.
    pub(crate) by_udp: Rota,
}

impl Meeting {
    /// Joins speakers and listeners, one at a time: on a packet from an unknown address the server tries the
    /// keys of all clients that it has not yet received by UDP.
    ///
    /// # Errors
    /// A client is not admitted.
    pub(crate) fn gather(
        server: Server,
        listeners: u32,
        ping_period: Option<Duration>,
    ) -> Result<(Self, Ready)> {
        let config = control::tls()?;
        let mut clients = Clients::default();
        for speaker in 0..SPEAKERS {
            clients.join(&config, &server, format!("speaker-{speaker}"))?;
            clients.controls[speaker].set_deaf(true)?;
        }
        std::thread::sleep(SETTLE);
        let before = process_memory(server.pid())?.resident_bytes;

        let began = Instant::now();
        let mut said = began;
        for listener in 0..listeners {
            clients.join(&config, &server, format!("listener-{listener}"))?;
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                say(&Said::Joining { joined: listener + 1 })?;
            }
        }
        let join_time = began.elapsed();
        std::thread::sleep(SETTLE);
        clients.drain()?;
        let after = process_memory(server.pid())?.resident_bytes;

        let release = clients.controls.first().context("nobody is in")?.release();
        let ready = Ready {
            system: format!("mumble-server {release}"),
            encrypted: "audio: OCB2-AES128 for each listener (3 bytes of tag); joining: TLS"
                .to_owned(),
            lacks: "acknowledgements, retransmission, congestion control, several frames in a \
                    packet, several servers as one; one thread carries all audio"
                .to_owned(),
            listeners,
            join_seconds: join_time.as_secs_f64(),
            memory_kib_per_listener: (after as f64 - before as f64)
                / 1024.0
                / f64::from(listeners.max(1)),
        };
        let now = Instant::now();
        let all = clients.controls.len();
        let pings = ping_period.map(|period| Pings {
            by_tcp: Rota::new(all, period, now),
            by_udp: Rota::new(all - SPEAKERS, period, now),
        });
        Ok((Self { server, clients, windows: 0, pings }, ready))
    }

    /// Makes a number of speakers ready to speak, and the other speakers deaf.
    ///
    /// # Errors
    /// There are fewer, or a client has been disconnected.
    pub(crate) fn prepare(&mut self, speakers: usize) -> Result<()> {
        if !(1..=SPEAKERS).contains(&speakers) {
            bail!("{speakers} speakers are asked for, of {SPEAKERS}");
        }
        for (speaker, control) in self.clients.controls[..SPEAKERS].iter_mut().enumerate() {
            control.set_deaf(speaker >= speakers)?;
        }
        std::thread::sleep(SETTLE);
        self.clients.drain()
    }
}

impl Clients {
    /// Reads all clients' messages, and answers the server's requests.
    ///
    /// # Errors
    /// A client has been disconnected.
    pub(crate) fn drain(&mut self) -> Result<()> {
        for (control, mouth) in self.controls.iter_mut().zip(&self.mouths) {
            control.drain()?;
            control.answer(mouth.nonce())?;
        }
        Ok(())
    }

    fn join(&mut self, config: &Arc<ClientConfig>, server: &Server, name: String) -> Result<()> {
        let control = Control::join(config, server.address(), name)?;
        let (mouth, ear) = udp::open(control.secrets()?, server.address())?;
        self.controls.push(control);
        self.mouths.push(mouth);
        self.ears.push(ear);
        if self.controls.len().is_multiple_of(JOINS_PER_DRAIN) {
            self.drain()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::Packet;

    /// Time for the server to miss a client's packets and request a resync; it waits for 5 s itself.
    const PATIENCE: Duration = Duration::from_secs(60);
    const GLANCE: Duration = Duration::from_millis(50);

    /// More packets are lost at once than the nonce byte of a packet can count.
    #[test]
    fn a_client_whose_packets_were_lost_is_understood_again() {
        let Some(program) = Server::find() else {
            eprintln!("mumble-server is not installed: nothing is tested");
            return;
        };
        let server = Server::start(&program, 1).unwrap();
        let mut clients = Clients::default();
        clients.join(&control::tls().unwrap(), &server, "client".to_owned()).unwrap();
        clients.mouths[0].lose(200);
        let until = Instant::now() + PATIENCE;
        let mut answered = false;
        while !answered {
            assert!(Instant::now() < until, "no ping was answered");
            clients.mouths[0].ping().unwrap();
            std::thread::sleep(GLANCE);
            clients.drain().unwrap();
            let mut take = |packet: Packet<'_>| answered |= matches!(packet, Packet::Ping { .. });
            clients.ears[0].listen(1, &mut take).unwrap();
        }
    }
}
