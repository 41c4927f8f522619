//! `tribune-bench contend`: Tribune or the ceiling as a contender of `tribune-bench peers`.
//! [`tribune_bench::contender`] has the protocol.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tribune_bench::contender::{Ask, Meter, Percentiles, Ready, Said, Window, say, serve};
use tribune_bench::frame::SENT_STAMP_BYTES;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::limits::{FRAME_PERIOD, MAX_OPUS_BYTES};

use crate::ceiling::{Ceiling, Counted};
use crate::load::fleet::Fleet;
use crate::load::spec::{LoadSpec, Topology};
use crate::relay_process::{RelayChain, relay_of_this_build};

/// Most speakers of a window: Tribune's all join at the start, and only the requested number is active.
const MAX_SPEAKERS: u16 = 4;
/// Longest window, in seconds.
const MAX_SECONDS: u32 = 1_200;
/// Speech before and after the measured span.
const AROUND: Duration = Duration::from_millis(500);
/// Period of the progress messages during the joins.
const JOINING_PERIOD: Duration = Duration::from_secs(1);

/// Contender to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ContendPlan {
    #[command(subcommand)]
    contender: Contender,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Contender {
    /// A relay of its own, with one speaker or four.
    Tribune(TribunePlan),
    /// Seal, mask and send. Server CPU is that of the sending thread; latency cannot be told.
    Ceiling(CeilingContender),
}

#[derive(Debug, Clone, clap::Args)]
struct TribunePlan {
    /// Listeners, each on a socket of its own.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    listeners: u32,
    /// Round trip between listeners and relay, in milliseconds; speakers are at 0.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    rtt: u16,
    /// Opus bytes in a frame; one frame of each speaker every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(SENT_STAMP_BYTES as i64..=MAX_OPUS_BYTES as i64))]
    frame_bytes: u16,
    /// Joins begun in a second.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    join_rate: u32,
    /// Shards of the relay.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    shards: u8,
    /// The relay's program [default: tribune-relay next to this one]
    #[arg(long, value_name = "PATH")]
    relay: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct CeilingContender {
    /// Receivers, each with a key and a socket of its own.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    listeners: u32,
    /// Opus bytes in a frame; a datagram for each frame of each speaker.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=MAX_OPUS_BYTES as i64))]
    frame_bytes: u16,
}

/// Starts the contender, then measures a window for each line of standard input.
///
/// # Errors
/// An error that prevents a measurement.
pub(crate) fn run(plan: &ContendPlan) -> Result<()> {
    match &plan.contender {
        Contender::Tribune(plan) => tribune(plan),
        Contender::Ceiling(plan) => ceiling(plan),
    }
}

fn tribune(plan: &TribunePlan) -> Result<()> {
    let program = plan.relay.clone().map_or_else(relay_of_this_build, Ok)?;
    let relays = RelayChain::start(&program, plan.shards, 1)?;
    let topology = Topology::of(&relays);
    let spec = LoadSpec {
        listeners: plan.listeners,
        speakers: MAX_SPEAKERS,
        rooms: 1,
        frame_bytes: plan.frame_bytes,
        join_rate: plan.join_rate,
        threads: 1,
        per_socket: 1,
        rtt: Duration::from_millis(plan.rtt.into()),
        loss: 0,
        other_sockets: 0,
        reports: false,
        profile: Profile::Live,
        web: 0,
    };
    let mut shown = Instant::now();
    let (mut fleet, joining) = Fleet::assemble(&spec, &topology, &mut |shared, _| {
        if shown.elapsed() >= JOINING_PERIOD {
            shown = Instant::now();
            // A closed reader shows at the first window.
            let _ = say(&Said::Joining { joined: shared.listeners_in() as u32 });
        }
    })?;
    let added = joining.memory.map_or(0.0, |(before, joined)| {
        (joined.resident_bytes as f64 - before.resident_bytes as f64) / 1024.0
    });
    let ready = Ready {
        system: format!("tribune-relay {}, {} shard(s)", env!("CARGO_PKG_VERSION"), plan.shards),
        encrypted: "everything, hop by hop: QUIC, AES-128-GCM".to_owned(),
        lacks: "encryption from end to end, retransmission of lost audio to listeners".to_owned(),
        listeners: plan.listeners,
        join_seconds: joining.took.as_secs_f64(),
        memory_kib_per_listener: added / f64::from(plan.listeners),
    };
    let outcome = serve(ready, |ask| tribune_window(plan, relays.edge().pid(), &mut fleet, ask));
    let ended = fleet.end();
    outcome.and(ended)
}

fn tribune_window(plan: &TribunePlan, relay: u32, fleet: &mut Fleet, ask: Ask) -> Result<Window> {
    check(ask)?;
    let mut round = fleet.plan_round(AROUND, Duration::from_secs(ask.seconds.into()), AROUND);
    round.speakers = ask.speakers;
    let (from, to) = round.schedule.span();
    fleet.begin_round(round)?;
    fleet.run_until(from, &mut |_| ())?;
    let meter = Meter::start(&[relay])?;
    fleet.run_until(to, &mut |_| ())?;
    let reading = meter.read()?;
    let (spoken, heard) = fleet.finish_round(&round)?;
    let gone = fleet.shared().gone();
    ensure!(gone == 0, "{gone} participants are gone");
    Ok(Window {
        speakers: ask.speakers,
        seconds: reading.span.as_secs_f64(),
        frames_expected: spoken.frames * u64::from(plan.listeners),
        frames_delivered: heard.frames,
        server_cpu_us: reading.server_cpu.as_secs_f64() * 1e6,
        generator_cpu_us: reading.own_cpu.as_secs_f64() * 1e6,
        others_cores: reading.others.as_secs_f64() / reading.span.as_secs_f64(),
        kernel_drops: reading.drops,
        speaker_late_p99_us: spoken.lateness_us.value_at_quantile(0.99),
        latency_us: heard.latency_us.as_ref().map(Percentiles::of).unwrap_or_default(),
    })
}

fn ceiling(plan: &CeilingContender) -> Result<()> {
    let began = Instant::now();
    let mut ceiling = Ceiling::open(plan.listeners, plan.frame_bytes)?;
    let ready = Ready {
        system: "the machine's ceiling: seal, mask and sendmmsg, one thread".to_owned(),
        encrypted: "AES-128-GCM and header mask with a key for each receiver".to_owned(),
        lacks: "everything else: connections, acknowledgements, rooms, whatever comes back"
            .to_owned(),
        listeners: plan.listeners,
        join_seconds: began.elapsed().as_secs_f64(),
        memory_kib_per_listener: 0.0,
    };
    serve(ready, |ask| ceiling_window(plan, &mut ceiling, ask))
}

fn ceiling_window(plan: &CeilingContender, ceiling: &mut Ceiling, ask: Ask) -> Result<Window> {
    check(ask)?;
    let (Ask { speakers, seconds }, before) = (ask, ceiling.received());
    ceiling.send(speakers, AROUND, Counted::No)?;
    let meter = Meter::start(&[])?;
    let sent = ceiling.send(speakers, Duration::from_secs(seconds.into()), Counted::Yes)?;
    let reading = meter.read()?;
    ceiling.send(speakers, AROUND, Counted::No)?;
    let frames = u64::from(seconds) * frames_per_second() * u64::from(speakers);
    Ok(Window {
        speakers,
        seconds: reading.span.as_secs_f64(),
        frames_expected: frames * u64::from(plan.listeners),
        frames_delivered: ceiling.received() - before,
        server_cpu_us: sent.cpu.as_secs_f64() * 1e6,
        generator_cpu_us: reading.own_cpu.saturating_sub(sent.cpu).as_secs_f64() * 1e6,
        others_cores: reading.others.as_secs_f64() / reading.span.as_secs_f64(),
        kernel_drops: reading.drops,
        speaker_late_p99_us: sent.lateness_us.value_at_quantile(0.99),
        latency_us: Percentiles::default(),
    })
}

fn check(Ask { speakers, seconds }: Ask) -> Result<()> {
    ensure!(
        (1..=MAX_SPEAKERS).contains(&speakers),
        "{speakers} speakers are asked for; 1 to {MAX_SPEAKERS} can be had"
    );
    ensure!(
        (1..=MAX_SECONDS).contains(&seconds),
        "{seconds} seconds are asked for; 1 to {MAX_SECONDS} can be had"
    );
    Ok(())
}

const fn frames_per_second() -> u64 {
    (Duration::from_secs(1).as_nanos() / FRAME_PERIOD.as_nanos()) as u64
}
