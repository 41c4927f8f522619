//! Links between hosts: how long a packet takes, and whether it arrives. Pure, seeded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::HostId;
use super::log::Fate;

/// One direction of a path between two hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Time that every packet takes.
    pub latency: Duration,
    /// Added to it, evenly spread; packets keep their order.
    pub jitter: Duration,
    /// Share of packets that never arrive.
    pub loss: f64,
    /// Packets in a row that are lost, where one is.
    pub burst: u32,
    /// Bottleneck of the path; `None`: it carries anything.
    pub capacity: Option<Capacity>,
    /// Share of packets that take [`Self::detour`] more and are overtaken.
    pub reordering: f64,
    /// Extra delay of an overtaken packet.
    pub detour: Duration,
    /// Share of packets that arrive twice.
    pub duplication: f64,
    /// Spans of time in which nothing arrives; `None`: there are none.
    pub blackouts: Option<Blackouts>,
}

/// Spans of time in which a path carries nothing, as a radio link has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blackouts {
    /// Share of all time.
    pub share: f64,
    /// Length of each.
    pub length: Duration,
}

/// The bottleneck of a path, with a queue that drops what comes when it is full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Capacity {
    /// Its rate, headers of IP and UDP not counted.
    pub bytes_per_second: u32,
    /// Longest wait in its queue.
    pub queue: Duration,
}

impl Default for Link {
    /// A clean path of 10 ms.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: 1,
            capacity: None,
            reordering: 0.0,
            detour: Duration::from_millis(30),
            duplication: 0.0,
            blackouts: None,
        }
    }
}

impl Link {
    /// A clean path.
    #[must_use]
    pub fn of(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    /// The same path, losing that share of packets.
    #[must_use]
    pub const fn losing(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The same path, losing that share of packets, so many at a time.
    #[must_use]
    pub const fn losing_bursts(self, loss: f64, burst: u32) -> Self {
        Self { loss, burst, ..self }
    }

    /// A bad path: jitter, loss, reordering, duplicates.
    #[must_use]
    pub fn rough() -> Self {
        Self {
            latency: Duration::from_millis(15),
            jitter: Duration::from_millis(15),
            loss: 0.03,
            reordering: 0.03,
            detour: Duration::from_millis(50),
            duplication: 0.02,
            ..Self::default()
        }
    }
}

/// All links.
#[derive(Debug)]
pub struct Network {
    rng: StdRng,
    usual: Link,
    links: BTreeMap<(HostId, HostId), Link>,
    cut: BTreeSet<(HostId, HostId)>,
    /// The last arrival on each link, which later packets do not overtake.
    latest: BTreeMap<(HostId, HostId), Duration>,
    /// Packets of a burst that are still to be lost.
    doomed: BTreeMap<(HostId, HostId), u32>,
    /// When the bottleneck of each link has sent all that it took.
    busy: BTreeMap<(HostId, HostId), Duration>,
    /// Beginning and end of the blackout of each link that is under way or comes next.
    dark: BTreeMap<(HostId, HostId), (Duration, Duration)>,
}

impl Network {
    pub(super) fn new(seed: u64, usual: Link) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ 0x6e65_7477_6f72_6b00);
        let (links, cut, latest) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let (doomed, busy, dark) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { rng, usual, links, cut, latest, doomed, busy, dark }
    }

    /// Sets every link that has not been set by itself.
    pub fn set_usual(&mut self, link: Link) {
        self.usual = link;
    }

    /// Sets the links between two hosts, both ways.
    pub fn set_link(&mut self, a: HostId, b: HostId, link: Link) {
        self.links.insert((a, b), link);
        self.links.insert((b, a), link);
    }

    /// Sets the link from one host to another, that way only.
    pub fn set_one_way(&mut self, from: HostId, to: HostId, link: Link) {
        self.links.insert((from, to), link);
    }

    /// Cuts two hosts off from each other, or lets them meet again.
    pub fn set_cut(&mut self, a: HostId, b: HostId, cut: bool) {
        self.set_cut_one_way(a, b, cut);
        self.set_cut_one_way(b, a, cut);
    }

    /// Cuts one direction.
    pub fn set_cut_one_way(&mut self, from: HostId, to: HostId, cut: bool) {
        if cut {
            self.cut.insert((from, to));
        } else {
            self.cut.remove(&(from, to));
        }
    }

    /// Fates of a packet: one, or two.
    pub(super) fn carry(
        &mut self,
        now: Duration,
        (from, to): (HostId, HostId),
        bytes: usize,
    ) -> Vec<Fate> {
        if self.cut.contains(&(from, to)) {
            return vec![Fate::Cut];
        }
        let link = *self.links.get(&(from, to)).unwrap_or(&self.usual);
        let Some(now) = self.pass_bottleneck(now, (from, to), link, bytes) else {
            return vec![Fate::Lost];
        };
        if self.is_dark(now, (from, to), link) || self.is_lost((from, to), link) {
            return vec![Fate::Lost];
        }
        let copies = 1 + usize::from(self.happens(link.duplication));
        (0..copies).map(|_| self.arrival(now, from, to, link)).collect()
    }

    /// When a packet leaves the bottleneck; `None`: its queue is full.
    fn pass_bottleneck(
        &mut self,
        now: Duration,
        path: (HostId, HostId),
        link: Link,
        bytes: usize,
    ) -> Option<Duration> {
        let Some(Capacity { bytes_per_second, queue }) = link.capacity else { return Some(now) };
        let busy = self.busy.entry(path).or_default();
        let start = now.max(*busy);
        if start > now + queue {
            return None;
        }
        *busy = start + Duration::from_secs_f64(bytes as f64 / f64::from(bytes_per_second));
        Some(*busy)
    }

    /// Whether a packet meets a blackout. The time between two is spread around its mean by half of it.
    fn is_dark(&mut self, now: Duration, path: (HostId, HostId), link: Link) -> bool {
        let Some(Blackouts { share, length }) = link.blackouts else { return false };
        let (begin, end) = self.dark.entry(path).or_insert((now, now));
        while now >= *end {
            let pause = length.mul_f64((1.0 / share - 1.0) * self.rng.random_range(0.5..1.5));
            *begin = *end + pause;
            *end = *begin + length;
        }
        now >= *begin
    }

    fn is_lost(&mut self, path: (HostId, HostId), link: Link) -> bool {
        if let Some(doomed) = self.doomed.get_mut(&path).filter(|doomed| **doomed > 0) {
            *doomed -= 1;
            return true;
        }
        // So that the share of all packets is the one that is wanted.
        let burst = f64::from(link.burst);
        let is_lost = self.happens(link.loss / (burst - link.loss * (burst - 1.0)));
        if is_lost && link.burst > 1 {
            self.doomed.insert(path, link.burst - 1);
        }
        is_lost
    }

    fn arrival(&mut self, now: Duration, from: HostId, to: HostId, link: Link) -> Fate {
        let jitter = link.jitter.mul_f64(self.rng.random_range(0.0..1.0));
        if self.happens(link.reordering) {
            return Fate::Arrives(now + link.latency + jitter + link.detour);
        }
        let latest = self.latest.entry((from, to)).or_default();
        *latest = (*latest).max(now + link.latency + jitter);
        Fate::Arrives(*latest)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.random_bool(share)
    }
}

/// Address of a relay.
pub(super) fn relay_address(id: HostId) -> SocketAddr {
    let [high, low] = (id.0 as u16).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 0, high, low), 4433))
}

/// Address of a client at its n-th attempt to connect.
pub(super) fn client_address(id: HostId, attempt: u16) -> SocketAddr {
    let [high, low] = (id.0 as u16).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 1, high, low), 20_000 + attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blackouts_are_as_long_and_as_much_of_the_time_as_they_should_be() {
        let mut network = Network::new(7, Link::default());
        let blackouts = Blackouts { share: 0.1, length: Duration::from_millis(60) };
        network.set_usual(Link { blackouts: Some(blackouts), ..Link::default() });
        let (mut lost, mut run) = (0, 0);
        for ms in 0..600_000 {
            let at = Duration::from_millis(ms);
            match network.carry(at, (HostId(0), HostId(1)), 100).as_slice() {
                [Fate::Lost] => (lost, run) = (lost + 1, run + 1),
                _ => {
                    // The first begins and the last ends between two packets.
                    assert!(run == 0 || (59..=61).contains(&run), "{run} ms");
                    run = 0;
                }
            }
        }
        assert!((55_000..65_000).contains(&lost), "{lost} of 600000 ms");
    }
}
