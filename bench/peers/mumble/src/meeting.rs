//! A server and all who are in: the speakers, who came first, and the listeners.

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

/// Speakers that are in. Those who do not speak in a window are deaf meanwhile.
pub(crate) const SPEAKERS: usize = 4;
/// Joins after which all read what the server has told them of it.
const JOINS_PER_DRAIN: usize = 16;
/// Rest before memory is read, and before a window, for what the server still has to tell.
const SETTLE: Duration = Duration::from_millis(500);
/// How often it is said how far joining is.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// All who are in.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(crate) server: Server,
    pub(crate) clients: Clients,
    /// Windows that have been measured.
    pub(crate) windows: u16,
    /// Turns of pings; none if listeners are silent.
    pub(crate) pings: Option<Pings>,
}

/// The clients by what they have, each in the order of joining: the speakers, then the listeners.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) controls: Vec<Control>,
    pub(crate) ears: Vec<Ear>,
    pub(crate) mouths: Vec<Mouth>,
}

/// When who pings.
#[derive(Debug)]
pub(crate) struct Pings {
    /// On the TLS connections of all.
    pub(crate) by_tcp: Rota,
    /// From the UDP sockets of the listeners.
    pub(crate) by_udp: Rota,
}

impl Meeting {
    /// Has speakers and listeners join, one at a time: the server tries the key of everybody who has not
    /// been heard by UDP yet on every packet from an address that it does not know.
    ///
    /// # Errors
    /// Somebody is not let in.
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

    /// Has that many speakers ready to speak, and all quiet otherwise.
    ///
    /// # Errors
    /// There are not that many; somebody is gone.
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
    /// Reads all that the server has told anybody, and tells it what it wants to know.
    ///
    /// # Errors
    /// Somebody is gone.
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

    /// Time for the server to miss a client's packets and ask; it waits for 5 s itself.
    const PATIENCE: Duration = Duration::from_secs(60);
    const GLANCE: Duration = Duration::from_millis(50);

    /// More packets are lost at once than the byte of the nonce that a packet shows can tell.
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
