//! Window: speak, count, wait until the relay is quiet again.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use tribune_bench::contender::{Ask, Meter, Percentiles, Window};
use tribune_bench::frame::Schedule;

use crate::audience::Audience;
use crate::heard::Span;
use crate::relay::Relay;
use crate::stage::{MAX_SPEAKERS, Stage};

/// Frames of each speaker per second.
const FRAMES_PER_SECOND: u32 = 50;
/// Frames of each speaker before the measured ones, and after them.
const BEFORE: u32 = 25;
const AFTER: u32 = 10;
/// Lead time of the speakers' thread before the first frame.
const AHEAD: Duration = Duration::from_millis(50);

/// Measures a window.
///
/// # Errors
/// More speakers than there are tracks; the relay has ended; no /proc.
pub(crate) fn measure(
    ask: Ask,
    relay: &mut Relay,
    stage: &mut Stage,
    audience: &Audience,
) -> Result<Window> {
    if !(1..=MAX_SPEAKERS).contains(&ask.speakers) {
        bail!("{} speakers asked for, where 1 to {MAX_SPEAKERS} can speak", ask.speakers);
    }
    relay.check()?;
    if let Err(error) = audience.subscribe(ask.speakers) {
        // The window goes on without lost listeners; their missing frames show.
        eprintln!("{error:#}");
    }
    stage.wait_for_relay();
    let span = Span {
        number: stage.next_window(),
        schedule: Schedule {
            start: Instant::now() + AHEAD,
            before: BEFORE,
            measured: FRAMES_PER_SECOND * ask.seconds,
            after: AFTER,
        },
    };
    audience.begin(span);
    let (from, to) = span.schedule.span();
    let (reading, late) = std::thread::scope(|scope| {
        let speaking = scope.spawn(|| stage.speak(&span, ask.speakers));
        sleep_until(from);
        let meter = Meter::start(&[relay.pid()])?;
        sleep_until(to);
        let reading = meter.read()?;
        let late = speaking.join().map_err(|_| anyhow!("the speakers' thread panicked"))??;
        anyhow::Ok((reading, late))
    })?;
    audience.run_dry();
    relay.check()?;
    if let Some(lost) = audience.lost() {
        eprintln!("{lost}");
    }
    let (frames, latency) = audience.outcome()?;
    let due = u64::from(FRAMES_PER_SECOND) * u64::from(ask.seconds) * u64::from(ask.speakers);
    Ok(Window {
        speakers: ask.speakers,
        seconds: reading.span.as_secs_f64(),
        frames_expected: due * u64::from(audience.listeners()),
        frames_delivered: frames,
        server_cpu_us: reading.server_cpu.as_secs_f64() * 1e6,
        generator_cpu_us: reading.own_cpu.as_secs_f64() * 1e6,
        others_cores: reading.others.as_secs_f64() / reading.span.as_secs_f64(),
        kernel_drops: reading.drops,
        speaker_late_p99_us: late.value_at_quantile(0.99),
        latency_us: Percentiles::of(&latency),
    })
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}
