//! `tribune-bench handshakes`: CPU of a join at the relay, compared with a bare TLS handshake. The two are
//! measured in turn, round by round.
//!
//! A join lasts from the first packet to the `Joined` message and its acknowledgements, in a relay process
//! of its own with one shard. The bare handshake is the server side of rustls alone, in memory: same kind
//! of certificate, same configuration, no packets; once with TLS records, as over TCP, and once without
//! them, as under QUIC.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::ServerName;
use rustls::quic;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use serde::Serialize;
use tempfile::TempDir;
use tribune_bench::accounting::{
    machine, machine_cpu, process_cpu, process_cpu_exact, this_thread_cpu_now,
};
use tribune_protocol::ALPN_PARTICIPANT;
use tribune_protocol::domain::role::Role;
use tribune_relay::tls::{ServerTrust, TlsIdentity, client_tls, server_tls};

use crate::pool::join_client::{Dialer, idle};
use crate::relay_process::{RelayProcess, relay_of_this_build};

/// Pause between two sweeps over the participants that are joining.
const SWEEP: Duration = Duration::from_micros(250);
/// Pause between two sweeps over the participants that are in: as late as acknowledgements may be.
const SWEEP_OF_ALL: Duration = Duration::from_millis(5);
/// Time for all joins of a round.
const JOINS_WITHIN: Duration = Duration::from_secs(30);
/// Pause before and after the joins, so that acknowledgements and the relay's start are over.
const SETTLE: Duration = Duration::from_millis(300);
/// Handshakes per reading of the clock, so that the reading costs nothing.
const BATCH: usize = 100;
/// Buffer for one flight of a handshake.
const FLIGHT_BYTES: usize = 4 * 1024;

/// Joins, rounds and concurrency of a run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HandshakePlan {
    /// Joins of a round, and bare handshakes of either kind.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) joins: u32,
    /// Rounds; the figures are medians.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Joins under way at the same time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) at_once: u32,
    /// The relay's program [default: tribune-relay next to this one]
    #[arg(long, value_name = "PATH")]
    pub(crate) relay: Option<std::path::PathBuf>,
}

/// Cost of joins and bare handshakes. The fields are the JSON; units are in the names.
#[derive(Debug, Serialize)]
pub(crate) struct HandshakeReport {
    pub(crate) machine: String,
    pub(crate) joins: u32,
    pub(crate) rounds: u32,
    pub(crate) at_once: u32,
    /// Relay process, median of the rounds.
    pub(crate) relay_cpu_us_per_join: f64,
    /// Server side, TLS with records, median of the rounds.
    pub(crate) bare_cpu_us_per_handshake: f64,
    /// Server side, TLS as QUIC uses it, median of the rounds.
    pub(crate) bare_quic_cpu_us_per_handshake: f64,
    /// Bare handshake ÷ join, median of the rounds: 1 would be a relay that does nothing else.
    pub(crate) ratio: f64,
    /// Bare handshake ÷ join of each round.
    pub(crate) ratios: Vec<f64>,
    /// Rate achieved with relay and generator on this machine, median of the rounds.
    pub(crate) joins_per_second: f64,
    pub(crate) other_processes_cores: f64,
}

/// Measures round by round: joins on a fresh relay, then bare handshakes of both kinds.
///
/// # Errors
/// There is no relay, a participant is not admitted, or TLS cannot be set up.
pub(crate) fn run(plan: &HandshakePlan) -> Result<HandshakeReport> {
    let program = plan.relay.clone().map_or_else(relay_of_this_build, Ok)?;
    let bare = Bare::new()?;
    let (mut joins, mut tcp, mut quic, mut ratios) = (vec![], vec![], vec![], vec![]);
    let (mut rates, mut others, mut spans) = (vec![], Duration::ZERO, Duration::ZERO);
    for _ in 0..plan.rounds {
        let relay = RelayProcess::start(&program, 1, None)?;
        let joined = joins_of_a_round(plan, &relay)?;
        drop(relay);
        let (by_records, by_quic) = (bare.records(plan.joins)?, bare.quic(plan.joins)?);
        rates.push(f64::from(plan.joins) / joined.span.as_secs_f64());
        (others, spans) = (others + joined.others, spans + joined.span);
        ratios.push(by_records.as_secs_f64() / joined.relay_cpu.as_secs_f64());
        joins.push(joined.relay_cpu.as_secs_f64());
        tcp.push(by_records.as_secs_f64());
        quic.push(by_quic.as_secs_f64());
    }
    let us_each = |rounds: &[f64]| median(rounds) * 1e6 / f64::from(plan.joins);
    Ok(HandshakeReport {
        machine: machine(),
        joins: plan.joins,
        rounds: plan.rounds,
        at_once: plan.at_once,
        relay_cpu_us_per_join: us_each(&joins),
        bare_cpu_us_per_handshake: us_each(&tcp),
        bare_quic_cpu_us_per_handshake: us_each(&quic),
        ratio: median(&ratios),
        ratios,
        joins_per_second: median(&rates),
        other_processes_cores: others.as_secs_f64() / spans.as_secs_f64(),
    })
}

/// Cost of the joins of a round.
struct Joined {
    relay_cpu: Duration,
    span: Duration,
    /// CPU of all processes but relay and generator during the joins.
    others: Duration,
}

/// A speaker opens the room; then listeners join, a fixed number at once, until all are in.
fn joins_of_a_round(plan: &HandshakePlan, relay: &RelayProcess) -> Result<Joined> {
    const ROOM: &str = "bench-joins";
    let dialer = Dialer::new(relay.address(), relay.fingerprint())?;
    let total = plan.joins as usize;
    let mut speaker = [dialer.join(ROOM, Role::Speaker, 0)?];
    idle(&mut speaker, SETTLE, SWEEP)?;
    ensure!(speaker[0].is_inside(), "the speaker was not let in within {SETTLE:?}");

    let cpu = || process_cpu_exact(relay.pid());
    let others = || {
        let ours = process_cpu(std::process::id())? + process_cpu(relay.pid())?;
        anyhow::Ok(machine_cpu()?.saturating_sub(ours))
    };
    let (cpu_before, others_before) = (cpu()?, others()?);
    let began = Instant::now();
    let mut swept_all = began;
    let (mut joining, mut inside) = (Vec::new(), Vec::new());
    while inside.len() < total {
        while joining.len() < plan.at_once as usize && joining.len() + inside.len() < total {
            joining.push(dialer.join(ROOM, Role::Listener, joining.len() + inside.len())?);
        }
        let mut any = false;
        for client in &mut joining {
            any |= client.turn().context("a listener was not let in")?;
        }
        inside.extend(joining.extract_if(.., |client| client.is_inside()));
        if swept_all.elapsed() > SWEEP_OF_ALL {
            idle(&mut inside, Duration::ZERO, SWEEP)?;
            swept_all = Instant::now();
        }
        ensure!(began.elapsed() < JOINS_WITHIN, "only {} of {total} were let in", inside.len());
        if !any {
            std::thread::sleep(SWEEP);
        }
    }
    let span = began.elapsed();
    let others = others()?.saturating_sub(others_before);
    idle(&mut inside, SETTLE, SWEEP_OF_ALL)?;
    Ok(Joined { relay_cpu: cpu()?.saturating_sub(cpu_before), span, others })
}

/// Both sides of a bare handshake, configured as relay and participant.
struct Bare {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
    _directory: TempDir,
}

impl Bare {
    /// With a certificate that is created and read as a relay without one does.
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the certificate")?;
        let identity = TlsIdentity::kept_in(directory.path(), "localhost")?;
        let trust = ServerTrust::Pinned(identity.fingerprint());
        Ok(Self {
            server: Arc::new(server_tls(&identity, None)?),
            client: Arc::new(client_tls(ALPN_PARTICIPANT, trust, None)?),
            name: ServerName::try_from("localhost")?,
            _directory: directory,
        })
    }

    /// CPU time of the server side of `count` handshakes with TLS records.
    fn records(&self, count: u32) -> Result<Duration> {
        self.in_batches(count, |size| {
            let clients = (0..size).map(|_| {
                let mut client =
                    ClientConnection::new(Arc::clone(&self.client), self.name.clone())?;
                let mut hello = Vec::with_capacity(FLIGHT_BYTES);
                client.write_tls(&mut hello)?;
                anyhow::Ok((client, hello))
            });
            let mut clients = clients.collect::<Result<Vec<_>>>()?;
            let mut servers = Vec::with_capacity(size);
            let mut flights = Vec::with_capacity(size);

            let begun = this_thread_cpu_now();
            for (_, hello) in &clients {
                let mut server = ServerConnection::new(Arc::clone(&self.server))?;
                let mut flight = Vec::with_capacity(FLIGHT_BYTES);
                server.read_tls(&mut hello.as_slice())?;
                server.process_new_packets()?;
                server.write_tls(&mut flight)?;
                servers.push(server);
                flights.push(flight);
            }
            let mut spent = this_thread_cpu_now() - begun;

            for ((client, finished), flight) in clients.iter_mut().zip(&flights) {
                finished.clear();
                client.read_tls(&mut flight.as_slice())?;
                client.process_new_packets()?;
                client.write_tls(finished)?;
            }
            let begun = this_thread_cpu_now();
            for (server, (_, finished)) in servers.iter_mut().zip(&clients) {
                server.read_tls(&mut finished.as_slice())?;
                server.process_new_packets()?;
            }
            spent += this_thread_cpu_now() - begun;
            ensure!(
                servers.iter().all(|server| !server.is_handshaking()),
                "a handshake is not done"
            );
            Ok(spent)
        })
    }

    /// CPU time of the server side of `count` handshakes as under QUIC, packet keys included.
    fn quic(&self, count: u32) -> Result<Duration> {
        self.in_batches(count, |size| {
            let clients = (0..size).map(|_| {
                let config = Arc::clone(&self.client);
                let version = quic::Version::V1;
                let mut client =
                    quic::ClientConnection::new(config, version, self.name.clone(), Vec::new())?;
                let mut hello = Vec::with_capacity(FLIGHT_BYTES);
                client.write_hs(&mut hello);
                anyhow::Ok((client, hello))
            });
            let mut clients = clients.collect::<Result<Vec<_>>>()?;
            let mut servers = Vec::with_capacity(size);
            let mut keys = Vec::with_capacity(2 * size);

            let begun = this_thread_cpu_now();
            for (_, hello) in &clients {
                let config = Arc::clone(&self.server);
                let mut server =
                    quic::ServerConnection::new(config, quic::Version::V1, Vec::new())?;
                server.read_hs(hello)?;
                // One flight per encryption level: ServerHello, then the rest up to Finished.
                let mut flights = [(); 2].map(|()| Vec::with_capacity(FLIGHT_BYTES));
                for flight in &mut flights {
                    keys.extend(server.write_hs(flight));
                }
                servers.push((server, flights));
            }
            let mut spent = this_thread_cpu_now() - begun;

            for ((client, finished), (_, flights)) in clients.iter_mut().zip(&servers) {
                finished.clear();
                for flight in flights {
                    client.read_hs(flight)?;
                    keys.extend(client.write_hs(finished));
                }
                while let Some(change) = client.write_hs(finished) {
                    keys.push(change);
                }
            }
            let begun = this_thread_cpu_now();
            for ((server, _), (_, finished)) in servers.iter_mut().zip(&clients) {
                server.read_hs(finished)?;
            }
            spent += this_thread_cpu_now() - begun;
            let done = servers.iter().all(|(server, _)| !server.is_handshaking());
            ensure!(done, "a handshake is not done");
            Ok(spent)
        })
    }

    fn in_batches(
        &self,
        count: u32,
        mut batch: impl FnMut(usize) -> Result<Duration>,
    ) -> Result<Duration> {
        let (mut left, mut spent) = (count as usize, Duration::ZERO);
        while left > 0 {
            let size = left.min(BATCH);
            spent += batch(size)?;
            left -= size;
        }
        Ok(spent)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, middle.checked_sub(1)) {
        (0, Some(below)) => (sorted[below] + sorted[middle]) / 2.0,
        _ => sorted.get(middle).copied().unwrap_or_default(),
    }
}

impl fmt::Display for HandshakeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<36}{value}");
        row(
            "joins",
            format!(
                "{} rounds of {} on a fresh relay, {} at once, {:.0} a second",
                self.rounds, self.joins, self.at_once, self.joins_per_second
            ),
        )?;
        row("machine", self.machine.clone())?;
        row("other processes meanwhile", format!("{:.2} cores", self.other_processes_cores))?;
        row("relay CPU per join", format!("{:.0} µs", self.relay_cpu_us_per_join))?;
        row(
            "bare handshake, server's side",
            format!(
                "{:.0} µs with records, {:.0} µs as under QUIC",
                self.bare_cpu_us_per_handshake, self.bare_quic_cpu_us_per_handshake
            ),
        )?;
        let (least, most) = self
            .ratios
            .iter()
            .fold((f64::MAX, 0.0_f64), |(least, most), &ratio| (least.min(ratio), most.max(ratio)));
        row("bare handshake ÷ join", format!("{:.2} ({least:.2} to {most:.2})", self.ratio))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_handshakes_come_to_an_end() {
        let bare = Bare::new().unwrap();
        assert!(bare.records(3).unwrap() > Duration::ZERO);
        assert!(bare.quic(3).unwrap() > Duration::ZERO);
    }

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
    }
}
