//! `peer-stock-quinn`: `stock-quinn-relay` as a contender of `tribune-bench peers`
//! (`tribune_bench::contender`).
//!
//! * [`server`] runs the relay process and dials it
//! * [`audience`] is the listeners, on a thread of their own
//! * [`stage`] is the speakers of one window

mod audience;
mod server;
mod stage;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use tribune_bench::accounting::process_memory;
use tribune_bench::contender::{Ask, Meter, Percentiles, Ready, Window, serve};
use tribune_bench::frame::{STAMP_BYTES, Schedule};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_OPUS_BYTES};

use crate::audience::Audience;
use crate::server::Server;
use crate::stage::Stage;

/// Most speakers of a window.
const MAX_SPEAKERS: u16 = 4;
/// Speech before and after the measured span.
const AROUND: Duration = Duration::from_millis(500);
/// Pause before memory is read, so that work left over from the joins is done.
const SETTLE: Duration = Duration::from_millis(500);
/// Time from the speakers' joins to their first frame.
const LEAD: Duration = Duration::from_millis(100);

/// The first relay that one writes with quinn, under load.
#[derive(Debug, Parser)]
#[command(name = "peer-stock-quinn", version)]
struct Cli {
    /// Listeners in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    listeners: u32,
    /// Bytes of a frame; one frame every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(STAMP_BYTES as i64..=MAX_OPUS_BYTES as i64))]
    frame_bytes: u16,
    /// The relay on one thread instead of one per core.
    #[arg(long)]
    single_thread: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer-stock-quinn: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let server = Server::start(cli.single_thread)?;
    let before = process_memory(server.pid())?.resident_bytes;
    let began = Instant::now();
    let audience = Audience::join(server.dial()?, cli.listeners)?;
    let join_seconds = began.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let added = process_memory(server.pid())?.resident_bytes.saturating_sub(before);
    let threads = if cli.single_thread { "one thread" } else { "a thread per core" };
    let ready = Ready {
        system: format!("a first relay with quinn 0.11, {threads}"),
        encrypted: "everything, hop by hop: QUIC, AES-128-GCM".to_owned(),
        lacks: "rooms, roles, choice of the loudest, repair of losses, limits on what one may send"
            .to_owned(),
        listeners: cli.listeners,
        join_seconds,
        memory_kib_per_listener: added as f64 / 1024.0 / f64::from(cli.listeners),
    };
    let mut windows = 0;
    serve(ready, |ask| {
        windows += 1;
        measure(cli, windows, ask, &server, &audience)
    })
}

fn measure(
    cli: &Cli,
    number: u16,
    ask: Ask,
    server: &Server,
    audience: &Audience,
) -> Result<Window> {
    let Ask { speakers, seconds } = ask;
    ensure!(
        (1..=MAX_SPEAKERS).contains(&speakers),
        "{speakers} speakers are asked for; 1 to {MAX_SPEAKERS} can be had"
    );
    ensure!((1..=1_200).contains(&seconds), "{seconds} seconds are asked for, of 1 to 1200");
    let gone = audience.gone();
    ensure!(gone == 0, "{gone} of {} listeners are gone", cli.listeners);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let frame_bytes = usize::from(cli.frame_bytes);
        let mut stage = Stage::enter(server.dial()?, speakers, number, frame_bytes).await?;
        let schedule = schedule(Instant::now() + LEAD, seconds);
        audience.begin(number, schedule)?;
        let (from, to) = schedule.span();
        stage.speak_until(&schedule, from).await;
        let meter = Meter::start(&[server.pid()])?;
        stage.speak_until(&schedule, to).await;
        let reading = meter.read()?;
        stage.speak_until(&schedule, schedule.end()).await;
        let lateness = stage.leave().await;
        let heard = audience.end()?;
        let frames = u64::from(schedule.measured) * u64::from(speakers);
        Ok(Window {
            speakers,
            seconds: reading.span.as_secs_f64(),
            frames_expected: frames * u64::from(cli.listeners),
            frames_delivered: heard.frames,
            server_cpu_us: reading.server_cpu.as_secs_f64() * 1e6,
            generator_cpu_us: reading.own_cpu.as_secs_f64() * 1e6,
            others_cores: reading.others.as_secs_f64() / reading.span.as_secs_f64(),
            kernel_drops: reading.drops,
            speaker_late_p99_us: lateness.value_at_quantile(0.99),
            latency_us: Percentiles::of(&heard.latency_us),
        })
    })
}

fn schedule(start: Instant, seconds: u32) -> Schedule {
    let frames = |span: Duration| (span.as_millis() / FRAME_PERIOD.as_millis()) as u32;
    let measured = frames(Duration::from_secs(u64::from(seconds)));
    Schedule { start, before: frames(AROUND), measured, after: frames(AROUND) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_has_what_is_asked_for_in_its_middle() {
        let start = Instant::now();
        let schedule = schedule(start, 4);
        assert_eq!((schedule.before, schedule.measured, schedule.after), (25, 200, 25));
        assert_eq!(schedule.span().0, start + AROUND);
    }
}
