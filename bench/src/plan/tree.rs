//! Arithmetic of a tree: relays per layer, their fan-out, CPU, memory, traffic and delay. The delay of the
//! network between relays is not included.

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::limits::{FRAME_PERIOD, MAX_TREE_DEPTH};
use tribune_relay_core::tree::children::MAX_CHILDREN;

use super::costs::Costs;

/// Bytes on the wire around the frames of a datagram: IPv6 40 (RFC 8200; IPv4 has 20), UDP 8, QUIC short
/// header 11 (flags, a connection ID of 8, a packet number of 2), DATAGRAM frame 3, kind and channel 2,
/// AES-GCM's tag 16.
const DATAGRAM_OVERHEAD_BYTES: u32 = 40 + 8 + 11 + 3 + 2 + 16;
/// Bytes before the Opus packet in a frame: track 1, sequence number 2, level 1, length 2.
const FRAME_HEADER_BYTES: u32 = 6;
/// Bytes before a browser's datagram: its session. SPEC.md section 2.4.
const WEB_BYTES: f64 = 1.0;
/// Frame periods that a datagram of `audience` holds: SPEC.md section 5.6.
const AUDIENCE_PERIODS: u16 = 3;

/// Machine of one relay, and the share of it that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: u16,
    /// Share of CPU and link that speech may use, above 0 and below 1; the rest is for joins and peaks.
    pub(crate) utilisation: f64,
    pub(crate) memory_gib: f64,
    /// Link speed, each way, in Gbit/s.
    pub(crate) gbit: f64,
    /// `--max-connections` of the relay.
    pub(crate) connections: u32,
}

/// Audio of a room.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Speech {
    /// Simultaneous speakers; one datagram carries a frame of each.
    pub(crate) speakers: u16,
    /// Opus bytes in a frame.
    pub(crate) frame_bytes: u16,
    /// Profile of the listeners who do not come by a browser. Relays hear live.
    pub(crate) profile: Profile,
    /// Share of the listeners who come by a browser, 0 to 1. They hear by `audience`.
    pub(crate) web_share: f64,
}

/// Receivers of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Below {
    /// Other relays.
    Relays,
    /// Listeners.
    Listeners,
}

impl Speech {
    /// The same with everybody in a browser.
    fn in_browsers(self) -> Self {
        Self { profile: Profile::Audience, web_share: 1.0, ..self }
    }

    /// Share of such receivers who come by a browser.
    const fn web_share(self, below: Below) -> f64 {
        match below {
            Below::Relays => 0.0,
            Below::Listeners => self.web_share,
        }
    }

    /// A value per receiver, on average over those with a browser and those without.
    fn averaged(self, below: Below, value: impl Fn(Self, f64) -> f64) -> f64 {
        let web = self.web_share(below);
        let in_browsers = value(self.in_browsers(), 1.0);
        web * in_browsers + (1.0 - web) * value(Self { web_share: 0.0, ..self }, 0.0)
    }

    /// Frame periods a datagram.
    const fn periods(self, below: Below) -> u16 {
        match (below, self.profile) {
            (Below::Listeners, Profile::Audience) => AUDIENCE_PERIODS,
            (Below::Listeners, Profile::Live | Profile::Reliable | Profile::Unknown)
            | (Below::Relays, _) => 1,
        }
    }

    fn frames_per_datagram(self, below: Below) -> u16 {
        self.speakers * self.periods(below)
    }

    fn datagrams_per_second(self, below: Below) -> f64 {
        periods_per_second() / f64::from(self.periods(below))
    }

    /// Bytes of a datagram on the wire: overhead + frames × (header + Opus).
    pub(crate) fn wire_bytes(self, below: Below) -> u32 {
        let frame = FRAME_HEADER_BYTES + u32::from(self.frame_bytes);
        DATAGRAM_OVERHEAD_BYTES + u32::from(self.frames_per_datagram(below)) * frame
    }

    /// Mbit/s to a number of receivers.
    fn mbit(self, below: Below, receivers: f64) -> f64 {
        let bytes = self.averaged(below, |speech, web| {
            let bytes = f64::from(speech.wire_bytes(below)) + web * WEB_BYTES;
            speech.datagrams_per_second(below) * bytes
        });
        receivers * bytes * 8.0 / 1e6
    }

    /// CPU of one receiver, in cores.
    fn cores(self, below: Below, costs: &Costs) -> f64 {
        self.averaged(below, |speech, web| {
            let cpu_us = costs.cpu_us_per_datagram(speech.frames_per_datagram(below));
            let factor = 1.0 + web * (costs.web_cpu_factor.value - 1.0);
            speech.datagrams_per_second(below) * cpu_us * factor / 1e6
        })
    }

    /// Longest wait of a frame until its datagram is full, in milliseconds.
    fn packing_ms(self, below: Below) -> f64 {
        let slowest = if self.web_share(below) > 0.0 { self.in_browsers() } else { self };
        f64::from(slowest.periods(below) - 1) * FRAME_PERIOD.as_secs_f64() * 1e3
    }
}

/// Resource that limits a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    Cpu,
    Link,
    Memory,
    Connections,
    Children,
}

impl Bound {
    /// Name in tables.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Link => "link",
            Self::Memory => "memory",
            Self::Connections => "connections",
            Self::Children => "children",
        }
    }
}

/// Fan-out that one relay can serve, and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Capacity {
    pub(crate) fan_out: u32,
    pub(crate) bound: Bound,
}

/// Relays at the same distance from the origin. Values per relay are those of the fullest one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Layer {
    /// Distance from the origin, which is 1.
    pub(crate) level: u8,
    pub(crate) relays: u64,
    /// Relays below each, or listeners at the last layer.
    pub(crate) fan_out: u32,
    pub(crate) busy_cores: f64,
    pub(crate) memory_mib: f64,
    pub(crate) egress_mbit: f64,
}

/// Tree for an audience.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Tree {
    pub(crate) audience: u64,
    /// Layers from the origin to the relays of the listeners.
    pub(crate) layers: Vec<Layer>,
    pub(crate) edge_capacity: Capacity,
    /// Traffic that all relays send, on the wire.
    pub(crate) egress_gbit: f64,
    /// CPU of all relays.
    pub(crate) busy_cores: f64,
    /// Delay in relays, median, without the network between them.
    pub(crate) latency_p50_ms: f64,
    /// Delay in relays, 99th percentile: an upper bound, the sum over the layers.
    pub(crate) latency_p99_ms: f64,
    /// Time until all have joined if all come at once, with the CPU that speech leaves.
    pub(crate) join_seconds: f64,
}

impl Tree {
    /// Relays in all.
    pub(crate) fn relays(&self) -> u64 {
        self.layers.iter().map(|layer| layer.relays).sum()
    }

    /// GB that all relays send per hour of 1,000 listeners.
    pub(crate) fn gb_per_1000_listener_hours(&self) -> f64 {
        self.egress_gbit / 8.0 * 3_600.0 / self.per_1000()
    }

    /// CPU per hour of 1,000 listeners, in core-seconds.
    pub(crate) fn core_seconds_per_1000_listener_hours(&self) -> f64 {
        self.busy_cores * 3_600.0 / self.per_1000()
    }

    fn per_1000(&self) -> f64 {
        self.audience as f64 / 1_000.0
    }
}

/// Plans the tree with the fewest relays that keeps each of them within its limits.
///
/// # Errors
/// A relay cannot serve one listener, or the tree would be deeper than the protocol allows.
pub(crate) fn plan(
    audience: u64,
    costs: &Costs,
    machine: &Machine,
    speech: Speech,
) -> Result<Tree> {
    ensure!(audience > 0, "an audience of 0 needs no relay");
    let edge_capacity = capacity(Below::Listeners, costs, machine, speech);
    let inner = capacity(Below::Relays, costs, machine, speech);
    ensure!(
        edge_capacity.fan_out > 0,
        "a relay with {} cores cannot serve one listener at these costs",
        machine.cores
    );
    let mut counts = vec![audience, audience.div_ceil(edge_capacity.fan_out.into())];
    while let Some(above @ 2..) = counts.last().copied() {
        ensure!(inner.fan_out > 1, "a relay with {} cores cannot serve two relays", machine.cores);
        counts.push(above.div_ceil(inner.fan_out.into()));
        if counts.len() > MAX_TREE_DEPTH + 1 {
            bail!("{audience} listeners need a tree deeper than {MAX_TREE_DEPTH}");
        }
    }
    let depth = counts.len() - 1;
    // From the origin down: the number of relays, and of receivers that they serve together.
    let layers = (1..=depth).map(|level| {
        let (served, relays) = (counts[depth - level], counts[depth + 1 - level]);
        let below = if level == depth { Below::Listeners } else { Below::Relays };
        layer(level as u8, relays, served, below, costs, speech)
    });
    let layers: Vec<Layer> = layers.collect();
    Ok(summed(audience, layers, edge_capacity, costs, machine, speech, &counts))
}

/// Predicted cost of a chain of relays with listeners at its end, each relay with one shard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Prediction {
    pub(crate) edge_cores: f64,
    pub(crate) edge_memory_mib: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Predicts a chain of `depth` relays with all listeners at the last one.
pub(crate) fn predict(costs: &Costs, listeners: u32, depth: u8, speech: Speech) -> Prediction {
    let above = f64::from(depth - 1) * spread_ms(1, Below::Relays, costs, 1, speech);
    let spread = above + spread_ms(listeners, Below::Listeners, costs, 1, speech);
    Prediction {
        edge_cores: busy_cores(listeners.into(), Below::Listeners, costs, speech),
        edge_memory_mib: f64::from(listeners) * costs.memory_kib_per_listener.value / 1024.0,
        p50_ms: f64::from(depth) * costs.hop_p50_ms.value + spread / 2.0,
        p99_ms: f64::from(depth) * costs.hop_p99_ms.value + spread,
    }
}

/// Wait of the last receiver while all others are served, by as many shards as cores.
fn spread_ms(fan_out: u32, below: Below, costs: &Costs, cores: u16, speech: Speech) -> f64 {
    let cpu_us = costs.cpu_us_per_datagram(speech.frames_per_datagram(below));
    f64::from(fan_out) * cpu_us / f64::from(cores) / 1e3
}

fn capacity(below: Below, costs: &Costs, machine: &Machine, speech: Speech) -> Capacity {
    let cpu = speech.cores(below, costs);
    let spendable = f64::from(machine.cores) * machine.utilisation;
    let link = machine.gbit * 1e3 * machine.utilisation / speech.mbit(below, 1.0);
    let memory = machine.memory_gib * 1024.0 * 1024.0 / costs.memory_kib_per_listener.value;
    let by_cpu = (spendable - incoming_cores(costs, speech)) / cpu;
    let (last, last_bound) = match below {
        Below::Relays => (MAX_CHILDREN as f64, Bound::Children),
        Below::Listeners => (f64::from(machine.connections), Bound::Connections),
    };
    let bounds =
        [(by_cpu, Bound::Cpu), (link, Bound::Link), (memory, Bound::Memory), (last, last_bound)];
    let (fan_out, bound) = bounds
        .into_iter()
        .fold((f64::MAX, Bound::Cpu), |least, next| if next.0 < least.0 { next } else { least });
    Capacity { fan_out: fan_out.max(0.0) as u32, bound }
}

/// CPU of incoming packets: one per speaker and period, estimated at the cost of a sent one.
fn incoming_cores(costs: &Costs, speech: Speech) -> f64 {
    f64::from(speech.speakers) * periods_per_second() * costs.cpu_us_per_frame.value / 1e6
}

fn layer(
    level: u8,
    relays: u64,
    served: u64,
    below: Below,
    costs: &Costs,
    speech: Speech,
) -> Layer {
    let fan_out = served.div_ceil(relays) as u32;
    let listeners = if below == Below::Listeners { f64::from(fan_out) } else { 0.0 };
    Layer {
        level,
        relays,
        fan_out,
        busy_cores: busy_cores(fan_out.into(), below, costs, speech),
        memory_mib: listeners * costs.memory_kib_per_listener.value / 1024.0,
        egress_mbit: speech.mbit(below, fan_out.into()),
    }
}

fn busy_cores(fan_out: f64, below: Below, costs: &Costs, speech: Speech) -> f64 {
    fan_out * speech.cores(below, costs) + incoming_cores(costs, speech)
}

fn summed(
    audience: u64,
    layers: Vec<Layer>,
    edge_capacity: Capacity,
    costs: &Costs,
    machine: &Machine,
    speech: Speech,
    counts: &[u64],
) -> Tree {
    let depth = layers.len();
    let spread = |(index, layer): (usize, &Layer)| {
        let below = if index + 1 == depth { Below::Listeners } else { Below::Relays };
        let packing = speech.packing_ms(below);
        packing + spread_ms(layer.fan_out, below, costs, machine.cores, speech)
    };
    let delay = |hop_ms: f64, share: f64| -> f64 {
        layers.iter().enumerate().map(|layer| hop_ms + share * spread(layer)).sum()
    };
    let (latency_p50_ms, latency_p99_ms) =
        (delay(costs.hop_p50_ms.value, 0.5), delay(costs.hop_p99_ms.value, 1.0));
    // Receivers are all listeners and all relays but the origin.
    let receivers = [
        (Below::Listeners, audience as f64),
        (Below::Relays, (counts.iter().skip(1).sum::<u64>() - 1) as f64),
    ];
    let relays = layers.iter().map(|layer| layer.relays).sum::<u64>() as f64;
    let edge = layers.last().map_or((0.0, 0.0), |edge| (edge.fan_out.into(), edge.busy_cores));
    let (listeners, busy) = edge;
    Tree {
        audience,
        edge_capacity,
        egress_gbit: receivers.iter().map(|(to, count)| speech.mbit(*to, *count)).sum::<f64>()
            / 1e3,
        busy_cores: receivers
            .iter()
            .map(|(to, count)| count * speech.cores(*to, costs))
            .sum::<f64>()
            + relays * incoming_cores(costs, speech),
        latency_p50_ms,
        latency_p99_ms,
        join_seconds: listeners * costs.join_cpu_us.value / 1e6 / (f64::from(machine.cores) - busy),
        layers,
    }
}

fn periods_per_second() -> f64 {
    1.0 / FRAME_PERIOD.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::costs::MeasuredCosts;
    use super::*;

    const MACHINE: Machine =
        Machine { cores: 2, utilisation: 0.6, memory_gib: 2.0, gbit: 10.0, connections: 50_000 };
    const SPEECH: Speech =
        Speech { speakers: 1, frame_bytes: 120, profile: Profile::Live, web_share: 0.0 };

    fn costs(cpu_us: f64) -> Costs {
        let flags = MeasuredCosts {
            cpu_us_per_frame: Some(cpu_us),
            cpu_us_per_further_frame: Some(0.5),
            memory_kib_per_listener: Some(25.0),
            join_cpu_us: Some(500.0),
            hop_p50_ms: Some(0.5),
            hop_p99_ms: Some(2.0),
            web_cpu_factor: Some(1.2),
        };
        Costs::choose(&flags, &MeasuredCosts::default())
    }

    #[test]
    fn a_small_audience_needs_one_relay_and_no_tree() {
        let tree = plan(1_000, &costs(10.0), &MACHINE, SPEECH).unwrap();
        assert_eq!(tree.relays(), 1);
        // 1,000 × 50 × 10 µs, and one packet in.
        assert!((tree.layers[0].busy_cores - 0.5005).abs() < 1e-9, "{tree:?}");
        assert_eq!(tree.layers[0].egress_mbit, 1_000.0 * 50.0 * (80.0 + 126.0) * 8.0 / 1e6);
        // The last of 1,000 waits 5 ms behind two shards.
        assert_eq!((tree.latency_p50_ms, tree.latency_p99_ms), (3.0, 7.0));
        assert!((tree.join_seconds - 0.5 / (2.0 - 0.5005)).abs() < 1e-9);
        assert!((tree.core_seconds_per_1000_listener_hours() - 0.5005 * 3_600.0).abs() < 1e-6);
    }

    #[test]
    fn a_million_is_served_in_three_layers() {
        let tree = plan(1_000_000, &costs(10.0), &MACHINE, SPEECH).unwrap();
        // A relay serves 2 × 0.6 / (50 × 10 µs) = 2,400, less one packet in.
        assert_eq!(tree.edge_capacity, Capacity { fan_out: 2_399, bound: Bound::Cpu });
        let relays: Vec<u64> = tree.layers.iter().map(|layer| layer.relays).collect();
        assert_eq!(relays, [1, 2, 417]);
        let fan_outs: Vec<u32> = tree.layers.iter().map(|layer| layer.fan_out).collect();
        assert_eq!(fan_outs, [2, 209, 2_399]);
    }

    #[test]
    fn an_audience_costs_a_third_of_the_packets_and_waits_for_them_to_fill() {
        let audience = Speech { profile: Profile::Audience, ..SPEECH };
        let tree = plan(1_000, &costs(10.0), &MACHINE, audience).unwrap();
        // 1,000 × 50 ÷ 3 × (10 µs and two frames more), and the speaker's packets.
        let cores = 1_000.0 * 50.0 / 3.0 * 11e-6 + 0.0005;
        assert!((tree.layers[0].busy_cores - cores).abs() < 1e-9, "{tree:?}");
        let mbit = 1_000.0 * 50.0 / 3.0 * (80.0 + 3.0 * 126.0) * 8.0 / 1e6;
        assert!((tree.layers[0].egress_mbit - mbit).abs() < 1e-9);
        // 5.5 ms behind two shards, and 40 ms at most until the datagram is full.
        assert!((tree.latency_p99_ms - 47.5).abs() < 1e-9, "{tree:?}");
        // Relays hear live, and so does the tree above the listeners.
        let deep = plan(1_000_000, &costs(10.0), &MACHINE, audience).unwrap();
        assert!(deep.relays() < plan(1_000_000, &costs(10.0), &MACHINE, SPEECH).unwrap().relays());
        assert_eq!(
            deep.layers[0].egress_mbit,
            f64::from(deep.layers[0].fan_out) * 50.0 * 206.0 * 8.0 / 1e6
        );
    }

    #[test]
    fn browsers_hear_by_audience_and_cost_more_than_others_who_do() {
        let half = Speech { web_share: 0.5, ..SPEECH };
        let tree = plan(1_000, &costs(10.0), &MACHINE, half).unwrap();
        // Half of them as in the test before and a fifth dearer, half live, and the speaker's packets.
        let cores = 500.0 * 50.0 / 3.0 * 11e-6 * 1.2 + 500.0 * 50.0 * 10e-6 + 0.0005;
        assert!((tree.layers[0].busy_cores - cores).abs() < 1e-9, "{tree:?}");
        let bytes = 500.0 * 50.0 / 3.0 * (81.0 + 3.0 * 126.0) + 500.0 * 50.0 * 206.0;
        assert!((tree.layers[0].egress_mbit - bytes * 8.0 / 1e6).abs() < 1e-9);
        let packing = half.packing_ms(Below::Listeners);
        assert!((packing - 40.0).abs() < 1e-9, "the slowest wait as an audience does");
        // Relays are not browsers.
        assert!((half.mbit(Below::Relays, 1.0) - SPEECH.mbit(Below::Relays, 1.0)).abs() < 1e-9);
    }

    #[test]
    fn each_bound_can_be_the_one() {
        let bound = |machine: Machine| capacity(Below::Listeners, &costs(10.0), &machine, SPEECH);
        assert_eq!(bound(Machine { gbit: 0.1, ..MACHINE }).bound, Bound::Link);
        let memory = bound(Machine { memory_gib: 25.0 / 1024.0, ..MACHINE });
        assert_eq!(memory, Capacity { fan_out: 1_024, bound: Bound::Memory });
        let connections = bound(Machine { connections: 100, ..MACHINE });
        assert_eq!(connections, Capacity { fan_out: 100, bound: Bound::Connections });
        let inner = capacity(Below::Relays, &costs(10.0), &MACHINE, SPEECH);
        assert_eq!(inner, Capacity { fan_out: 256, bound: Bound::Children });
    }

    #[test]
    fn what_cannot_be_is_said() {
        let error = plan(10, &costs(1e9), &MACHINE, SPEECH).unwrap_err().to_string();
        assert!(error.contains("cannot serve one listener"), "{error}");
        let error = plan(0, &costs(10.0), &MACHINE, SPEECH).unwrap_err().to_string();
        assert!(error.contains("audience of 0"), "{error}");
        // 2 listeners a relay and 2 relays a relay: 8 layers serve 256.
        let tiny = Machine { connections: 2, cores: 1, utilisation: 0.5, ..MACHINE };
        let dear = costs(0.5 / 50.0 / 3.5 * 1e6);
        assert_eq!(plan(256, &dear, &tiny, SPEECH).unwrap().layers.len(), 8);
        let error = plan(257, &dear, &tiny, SPEECH).unwrap_err().to_string();
        assert!(error.contains("deeper than 8"), "{error}");
    }

    proptest! {
        #[test]
        fn no_relay_is_over_its_bounds_and_nobody_is_left_out(
            audience in 1_u64..3_000_000,
            cpu_us in 2.0_f64..60.0,
            cores in 1_u16..64,
            utilisation in 0.1_f64..0.9,
            gbit in 0.5_f64..40.0,
            speakers in 1_u16..5,
        ) {
            let machine = Machine { cores, utilisation, gbit, ..MACHINE };
            let speech = Speech { speakers, ..SPEECH };
            let tree = plan(audience, &costs(cpu_us), &machine, speech).unwrap();
            prop_assert_eq!(tree.layers[0].relays, 1);
            prop_assert!(tree.layers.len() <= MAX_TREE_DEPTH);
            let mut served = audience;
            for (index, layer) in tree.layers.iter().enumerate().rev() {
                prop_assert!(layer.relays * u64::from(layer.fan_out) >= served);
                prop_assert!((layer.relays - 1) * u64::from(layer.fan_out) < served + layer.relays);
                prop_assert!(layer.busy_cores <= f64::from(cores) * utilisation + 1e-9);
                prop_assert!(layer.egress_mbit <= gbit * 1e3 * utilisation + 1e-9);
                prop_assert!(layer.memory_mib <= machine.memory_gib * 1024.0);
                prop_assert!(index + 1 == tree.layers.len() || layer.fan_out <= 256);
                served = layer.relays;
            }
            let layers: f64 =
                tree.layers.iter().map(|layer| layer.relays as f64 * layer.busy_cores).sum();
            // Each layer counts its fullest relay, so the sum exceeds the tree's by at most one receiver per relay.
            prop_assert!(tree.busy_cores <= layers + 1e-9);
            prop_assert!(
                layers - tree.busy_cores <= tree.relays() as f64 * 50.0 * (cpu_us + 2.0) / 1e6
            );
        }

        #[test]
        fn more_listeners_never_need_less(audience in 1_u64..2_000_000, more in 1_u64..500_000) {
            let small = plan(audience, &costs(9.0), &MACHINE, SPEECH).unwrap();
            let large = plan(audience + more, &costs(9.0), &MACHINE, SPEECH).unwrap();
            prop_assert!(large.relays() >= small.relays());
            prop_assert!(large.layers.len() >= small.layers.len());
            prop_assert!(large.egress_gbit > small.egress_gbit);
            prop_assert!(large.busy_cores > small.busy_cores);
        }
    }
}
