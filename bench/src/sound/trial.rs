//! One run: speech through the chain under a condition, from a seed, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_bench::accounting::this_thread_cpu_now;
use tribune_client::audio::jitter::JitterConfig;
use tribune_client::audio::playout::{Player, TickOutput};
use tribune_client::audio::{FRAME_PERIOD, FRAME_SAMPLES, TICK_PERIOD, TICKS_PER_FRAME};
use tribune_client_core::delivery::Delivery;
use tribune_client_core::report::Reporter;
use tribune_protocol::ids::TrackId;

use super::chain::Chain;
use super::condition::{Condition, Fault, JITTER_BEGINS, JITTER_ENDS, OUTAGES};
use super::pcm;
use super::profile::Profile;
use super::score::{Played, Score, percentile_ms};
use super::speech::{Mouth, Speech};

/// Time from the beginning of a fault to that of the speech.
const SETTLING: Duration = Duration::from_secs(1);
/// Delay of the codec: Opus looks 6.5 ms ahead.
const CODEC_DELAY: Duration = Duration::from_micros(6_500);
/// Bytes of the headers of IPv4 and UDP.
const IP_UDP_BYTES: u64 = 28;
/// Time after a jitter at which the delay is to be what it was before.
const RECOVERY: Duration = Duration::from_secs(10);
/// Span in which a delay is measured.
const DELAY_SPAN: Duration = Duration::from_secs(2);

/// Speech that a fault needs, so that all of it falls into the speech and what follows it can be judged.
pub(super) fn speech_needed(fault: Fault) -> Duration {
    match fault {
        Fault::Clean | Fault::Random { .. } | Fault::Bursts { .. } | Fault::Clock { .. } => {
            Duration::ZERO
        }
        Fault::Outages { ms } => {
            let last = OUTAGES.iter().max().copied().unwrap_or_default();
            last + Duration::from_millis(ms.into())
        }
        Fault::Jitter { .. } => JITTER_ENDS + RECOVERY + DELAY_SPAN,
    }
}

/// One run to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'a> {
    pub(crate) speech: &'a Speech,
    pub(crate) profile: Profile,
    pub(crate) condition: Condition,
    /// Of the speakers, in b/s.
    pub(crate) bitrate_bps: u32,
    pub(crate) seed: u64,
}

/// A passage at 16 kHz: as it was said and as it was heard.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) said: Vec<i16>,
    pub(crate) heard: Vec<i16>,
}

/// Outcome of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: u32,
    pub(crate) playable: u32,
    pub(crate) recovered: u32,
    pub(crate) made_up: u32,
    pub(crate) longest_gap: Duration,
    /// Median and 99th percentile of the way from mouth to ear, in milliseconds.
    pub(crate) mouth_to_ear_ms: Option<(f64, f64)>,
    /// From being sent to reaching the listener, in the mean, in milliseconds.
    pub(crate) frame_age_ms: Option<f64>,
    /// By how much the delay is longer than before a jitter, some time after its end, in milliseconds.
    pub(crate) extra_delay_ms: Option<f64>,
    /// Bytes of IP packets that the listener got.
    pub(crate) ip_bytes: u64,
    pub(crate) opus_bytes: u64,
    /// Frames that came to some hop after they had been missing there.
    pub(crate) repaired: u64,
    pub(crate) reconnects: u32,
    /// CPU of the first speaker's codec, for each period.
    pub(crate) speaker_cpu: Duration,
    /// CPU of the listener's player, for each period.
    pub(crate) listener_cpu: Duration,
    /// Of one speaker; of several there is none.
    pub(crate) passages: Vec<Passage>,
}

/// The listener of a run.
#[derive(Debug)]
struct Ear {
    player: Player,
    reporter: Reporter,
    /// Delay of playout that it has been told.
    delivery: Option<Delivery>,
    /// Each speaker's track, and by how much the capture is later than the first speaker's.
    tracks: Vec<(TrackId, Duration)>,
    /// Periods played of each of them.
    played: Vec<Vec<Played>>,
    pcm: Vec<f32>,
    first_tick: Duration,
    ages: Vec<Duration>,
    cpu: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Speak(u8),
    /// The n-th tick of a period.
    Listen(u8),
}

impl Trial<'_> {
    /// Makes the run.
    ///
    /// # Errors
    /// libopus fails, somebody's stay ends before the speech, or nothing is said.
    pub(crate) fn run(self) -> Result<Outcome> {
        let mut chain = Chain::build(self.seed, self.condition, self.profile);
        chain.set_fault(self.condition.fault.is_steady());
        chain.sim().run_for(SETTLING);
        let acts = self.acts();
        let mut mouths = (0..self.condition.speakers)
            .map(|n| Mouth::new(self.speech, n, self.bitrate_bps))
            .collect::<Result<Vec<_>, _>>()?;
        let mut ear = Ear::new(&mut chain, &acts)?;
        let listener = chain.listener();
        let before = chain.sim().participant_ref(listener).traffic();
        let repaired_before = chain.repaired();
        let begin = chain.sim().now();
        for period in 0..self.speech.len() + self.profile.tail() {
            self.set_fault(&mut chain, FRAME_PERIOD * period as u32);
            for &(phase, act) in &acts {
                let at = FRAME_PERIOD * period as u32 + phase;
                let wait = (begin + at).saturating_sub(chain.sim().now());
                chain.sim().run_for(wait);
                match act {
                    Act::Listen(_) => ear.listen(&mut chain, at)?,
                    // The period before is what has been captured by now.
                    Act::Speak(n) if period > 0 && period <= self.speech.len() => {
                        self.speak(&mut chain, n, &mut mouths[usize::from(n)])?;
                    }
                    Act::Speak(_) => {}
                }
            }
        }
        for participant in chain.participants() {
            let end = chain.sim().participant_ref(participant).end();
            ensure!(end.is_none(), "a participant left before the end: {end:?}");
        }
        let repaired = chain.repaired() - repaired_before;
        let listener = chain.sim().participant_ref(listener);
        let (traffic, reconnects) = (listener.traffic(), listener.reconnects());
        let packets = traffic.packets - before.packets;
        let ip_bytes = traffic.udp_bytes - before.udp_bytes + IP_UDP_BYTES * packets;
        let outcome = self.outcome(&ear, &mouths, (ip_bytes, repaired, reconnects));
        ensure!(outcome.sent > 0, "the voices are silent: no frame was sent");
        Ok(outcome)
    }

    /// The acts of each period in order: speakers and the listener are clocked by themselves.
    fn acts(self) -> Vec<(Duration, Act)> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x7068_6173_6573_0000);
        let mut phase = |period: Duration| {
            Duration::from_micros(rng.random_range(0..period.as_micros() as u64))
        };
        let first_tick = phase(TICK_PERIOD);
        let mut acts = vec![(Duration::ZERO, Act::Speak(0))];
        let ticks = 0..TICKS_PER_FRAME as u8;
        acts.extend(ticks.map(|n| (first_tick + TICK_PERIOD * n.into(), Act::Listen(n))));
        acts.extend((1..self.condition.speakers).map(|n| (phase(FRAME_PERIOD), Act::Speak(n))));
        acts.sort_unstable();
        acts
    }

    fn speak(self, chain: &mut Chain, speaker: u8, mouth: &mut Mouth) -> Result<()> {
        let now = chain.sim().instant();
        let handle = chain.speakers()[usize::from(speaker)];
        let encoding = chain.sim().with_participant(handle, |speaker| speaker.take_encoding());
        if let Some(encoding) = encoding {
            mouth.set_encoding(encoding)?;
        }
        if let Some(frame) = mouth.speak(self.speech, now - FRAME_PERIOD)? {
            chain.sim().with_participant(handle, |participant| participant.speak(frame));
        }
        Ok(())
    }

    fn set_fault(self, chain: &mut Chain, since: Duration) {
        match self.condition.fault {
            Fault::Outages { ms } => {
                let length = Duration::from_millis(ms.into());
                if OUTAGES.contains(&since) {
                    chain.set_cut(true);
                } else if OUTAGES.iter().any(|begin| *begin + length == since) {
                    chain.set_cut(false);
                }
            }
            Fault::Jitter { .. } if since == JITTER_BEGINS => chain.set_fault(true),
            Fault::Jitter { .. } if since == JITTER_ENDS => chain.set_fault(false),
            Fault::Jitter { .. }
            | Fault::Clean
            | Fault::Random { .. }
            | Fault::Bursts { .. }
            | Fault::Clock { .. } => {}
        }
    }

    fn outcome(
        self,
        ear: &Ear,
        mouths: &[Mouth],
        (ip_bytes, repaired, reconnects): (u64, u64, u32),
    ) -> Outcome {
        let pairs = mouths.iter().zip(&ear.played);
        let scores: Vec<Score> =
            pairs.map(|(mouth, played)| Score::of(mouth.slots(), played)).collect();
        let everything = (Duration::ZERO, self.speech.duration());
        let delays = |(from, to)| {
            let mut delays: Vec<Duration> =
                scores.iter().flat_map(|score| score.delays(from, to)).collect();
            delays.sort_unstable();
            delays
        };
        let all = delays(everything);
        let median = |from: Duration| percentile_ms(&delays((from, from + DELAY_SPAN)), 0.5);
        let extra_delay_ms = match self.condition.fault {
            Fault::Jitter { .. } => median(JITTER_ENDS + RECOVERY)
                .zip(median(JITTER_BEGINS - DELAY_SPAN))
                .map(|(after, before)| after - before),
            Fault::Clean
            | Fault::Random { .. }
            | Fault::Bursts { .. }
            | Fault::Clock { .. }
            | Fault::Outages { .. } => None,
        };
        let sum = |of: fn(&Score) -> u32| scores.iter().map(of).sum();
        let ages: Duration = ear.ages.iter().sum();
        Outcome {
            sent: sum(|score| score.sent),
            playable: sum(|score| score.playable),
            recovered: sum(|score| score.recovered),
            made_up: sum(|score| score.made_up),
            longest_gap: scores.iter().map(|score| score.longest_gap).max().unwrap_or_default(),
            mouth_to_ear_ms: percentile_ms(&all, 0.5).zip(percentile_ms(&all, 0.99)),
            frame_age_ms: (!ear.ages.is_empty())
                .then(|| ages.as_secs_f64() * 1e3 / ear.ages.len() as f64),
            extra_delay_ms,
            ip_bytes,
            opus_bytes: mouths.iter().map(Mouth::opus_bytes).sum(),
            repaired,
            reconnects,
            speaker_cpu: mouths.first().map(Mouth::cpu).unwrap_or_default(),
            listener_cpu: ear.cpu / (self.speech.len() + self.profile.tail()) as u32,
            passages: match scores.as_slice() {
                [score] => self.passages(ear, score),
                [] | [_, ..] => Vec::new(),
            },
        }
    }

    /// Each passage beside what was heard of it, shifted by the delay that it had.
    fn passages(self, ear: &Ear, score: &Score) -> Vec<Passage> {
        let (speech, mut delay) = (self.speech, Duration::ZERO);
        let passages = speech.passages().iter().map(|span| {
            let frames = FRAME_PERIOD * span.start as u32..FRAME_PERIOD * span.end as u32;
            let delays = score.delays(frames.start, frames.end);
            delay = delays.get(delays.len() / 2).map_or(delay, |median| *median + CODEC_DELAY);
            let (from, to) = (span.start * FRAME_SAMPLES, span.end * FRAME_SAMPLES);
            let place = |sample| pcm::place(sample, ear.first_tick, delay);
            Passage {
                said: pcm::at_pesq_rate(speech.original(), from as i64..to as i64),
                heard: pcm::at_pesq_rate(&ear.pcm, place(from)..place(from) + (to - from) as i64),
            }
        });
        passages.collect()
    }
}

impl Ear {
    /// The chain's listener, who has heard nothing yet.
    fn new(chain: &mut Chain, acts: &[(Duration, Act)]) -> Result<Self> {
        let phases: BTreeMap<Act, Duration> =
            acts.iter().map(|(phase, act)| (*act, *phase)).collect();
        let mut tracks = Vec::new();
        for (n, speaker) in chain.speakers().iter().enumerate() {
            let track = chain.track(*speaker).context("a speaker has no track")?;
            tracks.push((track, phases[&Act::Speak(n as u8)]));
        }
        let (listener, now) = (chain.listener(), chain.sim().instant());
        chain.sim().with_participant(listener, |listener| listener.take_heard());
        let mut reporter = Reporter::default();
        reporter.handle_joined(now);
        Ok(Self {
            player: Player::new(JitterConfig::live()),
            reporter,
            delivery: None,
            played: vec![Vec::new(); tracks.len()],
            tracks,
            pcm: Vec::new(),
            first_tick: phases[&Act::Listen(0)],
            ages: Vec::new(),
            cpu: Duration::ZERO,
        })
    }

    /// Takes what has come, and plays a tick that begins `at` after the capture of the first sample.
    fn listen(&mut self, chain: &mut Chain, at: Duration) -> Result<()> {
        let listener = chain.listener();
        let frames = chain.sim().with_participant(listener, |listener| listener.take_heard());
        let now = chain.sim().instant();
        let delivery = *chain.sim().participant_ref(listener).delivery();
        if self.delivery.replace(delivery) != Some(delivery) {
            self.player.set_config(delivery.jitter_config());
        }
        let began = this_thread_cpu_now();
        for frame in frames {
            let (track, seq) = (frame.frame.track, frame.frame.seq);
            if let Some((_, phase)) = self.tracks.iter().find(|(known, _)| *known == track) {
                let sent = FRAME_PERIOD * (u32::from(seq.0) + 1) + *phase;
                let came = at.saturating_sub(now.saturating_duration_since(frame.arrived));
                self.ages.push(came.saturating_sub(sent));
            }
            self.player.handle_received(frame)?;
        }
        let output = self.player.tick(now);
        self.cpu += this_thread_cpu_now().saturating_sub(began);
        self.note(&output, at);
        self.report(chain, &output);
        Ok(())
    }

    fn note(&mut self, output: &TickOutput, at: Duration) {
        for period in &output.periods {
            let place = self.tracks.iter().position(|(track, _)| track.0 == period.track_id);
            let Some(place) = place else { continue };
            let at = (at + period.after).saturating_sub(self.tracks[place].1);
            self.played[place].push(Played { at, seq: period.seq, origin: period.origin });
        }
        if self.tracks.len() == 1 {
            self.pcm.extend(output.pcm);
        }
    }

    /// Reports how it hears, as `tribune listen` does.
    fn report(&mut self, chain: &mut Chain, output: &TickOutput) {
        let (handle, now) = (chain.listener(), chain.sim().instant());
        let listener = chain.sim().participant_ref(handle);
        let (link, clock) = (listener.link(), listener.clock());
        if let Some(offset) = link.offset_at(now) {
            for frame in &output.captured {
                let now_us = offset.to_origin(clock.us_at(now + frame.after)).0;
                let latency_us = now_us.saturating_sub(frame.capture.at.0);
                let error_us = offset.error_us.saturating_add(frame.capture.error_us.unwrap_or(0));
                self.reporter.handle_latency(latency_us, error_us);
            }
        }
        if self.reporter.due().is_none_or(|due| due > now) {
            return;
        }
        let stats = self.player.stats();
        let (repairs, round_trip) = (link.repairs, link.round_trip);
        if let Some(report) = self.reporter.poll_report(now, &stats, repairs, round_trip) {
            chain.sim().with_participant(handle, |listener| listener.report(report));
        }
    }
}
