//! Window: speakers send on their schedule, all others receive, and the system's counters are read at both
//! ends of the measured span. One thread sends, one has the TLS connections, one reads the counters, and
//! the calling one sweeps the UDP sockets.

use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use tribune_bench::contender::{Ask, Meter, Percentiles, Reading, Window, latencies};
use tribune_bench::frame::{Schedule, Stamp};

use crate::control::Control;
use crate::meeting::{Meeting, SPEAKERS};
use crate::rota::Rota;
use crate::udp::{Ear, Mouth};
use crate::voice::Packet;

/// Frames of a speaker per second.
const FRAMES_PER_SECOND: u32 = 50;
/// Frames before the measured ones: half a second.
const FRAMES_BEFORE: u32 = 25;
/// Frames after the measured ones: a fifth of a second.
const FRAMES_AFTER: u32 = 10;
/// Lead time of the threads before the first frame.
const LEAD: Duration = Duration::from_millis(50);
/// Sweep period of all sockets.
const SWEEP_EVERY: Duration = Duration::from_millis(4);
/// Silence after which the server has sent everything.
const SILENCE: Duration = Duration::from_millis(300);
/// Longest wait for that silence after the schedule's end.
const PATIENCE: Duration = Duration::from_secs(10);
/// The sequence of mumble's frames counts 10 ms.
const SEQUENCE_PER_FRAME: u64 = 2;
/// Filler of a frame behind its stamp.
const FILLER: u8 = 0xa5;

/// Measures a window.
///
/// # Errors
/// A client has been disconnected, or the server fails.
pub(crate) fn measure(meeting: &mut Meeting, ask: Ask, frame_bytes: usize) -> Result<Window> {
    let speakers = usize::from(ask.speakers);
    meeting.prepare(speakers)?;
    meeting.windows = meeting.windows.wrapping_add(1);
    let schedule = Schedule {
        start: Instant::now() + LEAD,
        before: FRAMES_BEFORE,
        measured: ask.seconds * FRAMES_PER_SECOND,
        after: FRAMES_AFTER,
    };
    let heard = Heard::new(meeting.windows, schedule)?;
    let speech = Speech { schedule, window: meeting.windows, frame_bytes };
    let (clients, pid) = (&mut meeting.clients, meeting.server.pid());
    let (mouths, silent) = clients.mouths.split_at_mut(SPEAKERS);
    let (ears, controls) = (&mut clients.ears, &mut clients.controls);
    let (by_tcp, by_udp) =
        meeting.pings.as_mut().map(|it| (&mut it.by_tcp, &mut it.by_udp)).unzip();

    let (heard, reading, lateness) = std::thread::scope(|scope| {
        let metered = scope.spawn(|| meter(pid, &schedule));
        let spoken = scope.spawn(|| speak(&mut mouths[..speakers], &speech));
        let pinged = scope.spawn(|| by_tcp.map_or(Ok(()), |rota| ping(controls, rota, &schedule)));
        let sweep = Sweep { ears, mouths: silent, pings: by_udp, speakers };
        let heard = sweep.run(heard)?;
        done(pinged)?;
        Ok::<_, anyhow::Error>((heard, done(metered)?, done(spoken)?))
    })?;
    clients.drain()?;

    // Speakers receive each other too.
    let hearers = meeting.clients.ears.len() - SPEAKERS + speakers - 1;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Ok(Window {
        speakers: ask.speakers,
        seconds: reading.span.as_secs_f64(),
        frames_expected: u64::from(schedule.measured) * (speakers * hearers) as u64,
        frames_delivered: heard.frames,
        server_cpu_us: micros(reading.server_cpu),
        generator_cpu_us: micros(reading.own_cpu),
        others_cores: reading.others.as_secs_f64() / reading.span.as_secs_f64(),
        kernel_drops: reading.drops,
        speaker_late_p99_us: lateness.value_at_quantile(0.99),
        latency_us: Percentiles::of(&heard.latency_us),
    })
}

fn done<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread of the load has panicked"))?
}

/// Reads the system's counters over the measured span.
fn meter(server: u32, schedule: &Schedule) -> Result<Reading> {
    let (from, to) = schedule.span();
    sleep_until(from);
    let meter = Meter::start(&[server])?;
    sleep_until(to);
    meter.read()
}

/// Schedule and frames of a window's speakers.
#[derive(Debug)]
struct Speech {
    schedule: Schedule,
    window: u16,
    frame_bytes: usize,
}

/// Sends each frame when it is due. Returns the lateness of the measured ones, in microseconds.
fn speak(mouths: &mut [Mouth], speech: &Speech) -> Result<Histogram<u64>> {
    let schedule = &speech.schedule;
    let mut lateness = latencies()?;
    let mut frame = vec![FILLER; speech.frame_bytes];
    let speakers = mouths.len();
    // Sequence numbers continue where the last window ended, or later.
    let first = u64::from(speech.window) * u64::from(u16::MAX);
    for index in 0..schedule.frames() {
        for (speaker, mouth) in mouths.iter_mut().enumerate() {
            let due = schedule.due(index, speaker, speakers);
            let due_ns = (due - schedule.start).as_nanos() as u64;
            let stamp = Stamp { room: speech.window, speaker: speaker as u16, index, due_ns };
            stamp.write(&mut frame);
            sleep_until(due);
            mouth.say((first + u64::from(index)) * SEQUENCE_PER_FRAME, &frame)?;
            if schedule.measured_place(index).is_some() {
                lateness.saturating_record(due.elapsed().as_micros() as u64);
            }
        }
    }
    Ok(lateness)
}

/// Pings by TCP, as mumble's own clients do beside UDP, and reads the answers.
fn ping(controls: &mut [Control], rota: &mut Rota, schedule: &Schedule) -> Result<()> {
    sleep_until(schedule.start);
    rota.resume(schedule.start);
    let end = last_due(schedule);
    while rota.due() < end {
        sleep_until(rota.due());
        if let Some(client) = rota.take(Instant::now()) {
            controls[client].drain()?;
            controls[client].ping()?;
        }
    }
    Ok(())
}

/// All UDP sockets, with the turns of their pings.
#[derive(Debug)]
struct Sweep<'a> {
    ears: &'a mut [Ear],
    /// Turns of the listeners' pings.
    mouths: &'a mut [Mouth],
    pings: Option<&'a mut Rota>,
    speakers: usize,
}

impl Sweep<'_> {
    /// Sweeps all sockets until the schedule has ended and the server is silent.
    fn run(mut self, mut heard: Heard) -> Result<Heard> {
        let end = last_due(&heard.schedule);
        if let Some(pings) = &mut self.pings {
            pings.resume(heard.schedule.start);
        }
        // More than arrives in a sweep period: less than a frame of each speaker, and answers.
        let most = self.speakers + 1;
        loop {
            let began = Instant::now();
            for ear in self.ears.iter_mut() {
                ear.listen(most, |packet| heard.take(Instant::now(), packet))?;
            }
            if began > end && (began > heard.last + SILENCE || began > end + PATIENCE) {
                return Ok(heard);
            }
            if began < end {
                self.ping(began)?;
            }
            sleep_until(began + SWEEP_EVERY);
        }
    }

    fn ping(&mut self, now: Instant) -> Result<()> {
        let Some(rota) = &mut self.pings else { return Ok(()) };
        while let Some(listener) = rota.take(now) {
            self.mouths[listener].ping()?;
        }
        Ok(())
    }
}

/// Counts of a window.
#[derive(Debug)]
struct Heard {
    window: u16,
    schedule: Schedule,
    from: Instant,
    to: Instant,
    /// Frames received in the measured span.
    frames: u64,
    /// Time from due to read, of measured frames.
    latency_us: Histogram<u64>,
    /// Arrival of the last frame.
    last: Instant,
}

impl Heard {
    fn new(window: u16, schedule: Schedule) -> Result<Self> {
        let (from, to) = schedule.span();
        let last = schedule.start;
        Ok(Self { window, schedule, from, to, frames: 0, latency_us: latencies()?, last })
    }

    /// Counts a packet. Frames of an earlier window only show that the server is still sending.
    fn take(&mut self, now: Instant, packet: Packet<'_>) {
        let Packet::Opus(frame) = packet else { return };
        self.last = now;
        let stamp = Stamp::read(frame).filter(|stamp| stamp.room == self.window);
        let Some(stamp) = stamp else { return };
        self.frames += u64::from((self.from..self.to).contains(&now));
        if self.schedule.measured_place(stamp.index).is_some() {
            let age = now.saturating_duration_since(self.schedule.start).as_nanos() as u64;
            self.latency_us.saturating_record(age.saturating_sub(stamp.due_ns) / 1_000);
        }
    }
}

/// End of the last frame's period.
fn last_due(schedule: &Schedule) -> Instant {
    schedule.due(schedule.frames(), 0, 1)
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_by_when_they_come_and_latencies_by_when_they_were_due() {
        let start = Instant::now();
        let schedule = Schedule { start, before: 5, measured: 50, after: 5 };
        let mut heard = Heard::new(2, schedule).unwrap();
        let mut come = |window, index, at_ms| {
            let mut frame = [FILLER; 40];
            let due_ns = u64::from(index) * 20_000_000;
            Stamp { room: window, speaker: 0, index, due_ns }.write(&mut frame);
            heard.take(start + Duration::from_millis(at_ms), Packet::Opus(&frame));
        };
        come(2, 4, 99); // before the span
        come(2, 4, 100); // in it, but not measured
        come(2, 5, 103);
        come(2, 54, 1_099);
        come(2, 54, 1_100); // measured, but after the span
        come(1, 20, 500); // of the window before
        heard.take(start + Duration::from_millis(501), Packet::Opus(&[FILLER; 40]));
        heard.take(start + Duration::from_millis(502), Packet::Ping { timestamp: 1 });
        assert_eq!(heard.frames, 3);
        assert_eq!(heard.latency_us.len(), 3);
        assert!(heard.latency_us.equivalent(heard.latency_us.min(), 3_000));
        assert!(heard.latency_us.equivalent(heard.latency_us.max(), 20_000));
        assert_eq!(heard.last, start + Duration::from_millis(501));
    }
}
