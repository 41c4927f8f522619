//! A network between a browser and a relay that can lose packets, or all of them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// Period at which a silent direction looks whether the network has ended.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// Peers that it carries: one browser, and its attempts.
const PEERS: usize = 32;
/// Largest packet.
const PACKET_BYTES: usize = 2_048;

/// A way to a relay on an address of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Network {
    address: SocketAddr,
    faults: Arc<Faults>,
    up: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Faults {
    has_ended: AtomicBool,
    lost_per_mille: AtomicU32,
    is_cut: AtomicBool,
    /// State of the generator that picks the lost ones.
    dice: AtomicU64,
    lost: AtomicU64,
}

impl Network {
    /// A faultless way to this relay.
    ///
    /// # Errors
    /// If there is no port for it.
    pub fn to(relay: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no port")?;
        socket.set_read_timeout(Some(LOOK_PERIOD))?;
        let address = socket.local_addr()?;
        let faults = Arc::new(Faults::default());
        let up = std::thread::spawn({
            let faults = Arc::clone(&faults);
            move || carry_up(&socket, relay, &faults)
        });
        Ok(Self { address, faults, up: Some(up) })
    }

    /// The address at which the relay is reached by it.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses this share of the packets to the browser from now on.
    pub fn lose_per_mille(&self, share: u32) {
        self.faults.lost_per_mille.store(share, Ordering::Relaxed);
    }

    /// Loses everything, both ways, or nothing of it any more.
    pub fn cut(&self, is_cut: bool) {
        self.faults.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Packets lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.faults.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.faults.has_ended.store(true, Ordering::Relaxed);
        if let Some(up) = self.up.take() {
            let _ = up.join();
        }
    }
}

impl Faults {
    fn loses(&self, is_down: bool) -> bool {
        let lost = self.is_cut.load(Ordering::Relaxed) || (is_down && self.dice_say_so());
        if lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        lost
    }

    /// A linear congruential generator (Knuth's MMIX), whose high bits are good enough for this.
    fn dice_say_so(&self) -> bool {
        let share = self.lost_per_mille.load(Ordering::Relaxed);
        let next = |state: u64| {
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let state = next(self.dice.load(Ordering::Relaxed));
        self.dice.store(state, Ordering::Relaxed);
        (state >> 33) % 1_000 < u64::from(share)
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}

/// Packets from the browser: each of its ports gets a port of ours, as at a NAT.
fn carry_up(socket: &UdpSocket, relay: SocketAddr, faults: &Arc<Faults>) {
    let mut peers: HashMap<SocketAddr, (Arc<UdpSocket>, JoinHandle<()>)> = HashMap::new();
    let mut packet = [0; PACKET_BYTES];
    while !faults.has_ended() {
        let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
        if !peers.contains_key(&from) && peers.len() < PEERS {
            let Ok(peer) = open(socket, from, relay, faults) else { continue };
            peers.insert(from, peer);
        }
        if let Some((out, _)) = peers.get(&from)
            && !faults.loses(false)
        {
            // A relay that is gone refuses; so does a network.
            let _ = out.send(&packet[..length]);
        }
    }
    for (_, down) in peers.into_values() {
        let _ = down.join();
    }
}

fn open(
    socket: &UdpSocket,
    to: SocketAddr,
    relay: SocketAddr,
    faults: &Arc<Faults>,
) -> Result<(Arc<UdpSocket>, JoinHandle<()>)> {
    let out = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    out.connect(relay)?;
    out.set_read_timeout(Some(LOOK_PERIOD))?;
    let (back, from, faults) = (socket.try_clone()?, Arc::clone(&out), Arc::clone(faults));
    let down = std::thread::spawn(move || {
        let mut packet = [0; PACKET_BYTES];
        while !faults.has_ended() {
            let Ok(length) = from.recv(&mut packet) else { continue };
            if !faults.loses(true) {
                let _ = back.send_to(&packet[..length], to);
            }
        }
    });
    Ok((out, down))
}
