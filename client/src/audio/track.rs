//! One track as it is played: jitter buffer, decoder and stretching, from frames to ticks of sound.
//!
//! Pure. The jitter buffer answers by frame periods; what is decoded waits in a queue, of which each tick takes its
//! samples. So a frame begins at any sample of a tick, and is decoded at most one tick before it is heard.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_client_core::jitter::{Arrival, JitterBuffer, JitterConfig, JitterStats, Playout};
use tribune_client_core::playout::PlayoutStats;
use tribune_protocol::media::datagram::Capture;

use super::decode::TrackDecoder;
use super::stretch::Stretcher;
use super::tick::{CapturedFrame, PlayedPeriod, SoundOrigin, TickOutput};
use super::{
    AudioError, FRAME_SAMPLES, SAMPLE_RATE_HZ, SILENT_FRAME, SILENT_TICK, TICK_SAMPLES, TickPcm,
};

/// A frame that waits in a jitter buffer.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) opus: Bytes,
    pub(super) capture: Option<Capture>,
}

/// A track of a [`Player`](super::playout::Player).
#[derive(Debug)]
pub(super) struct Track {
    jitter: JitterBuffer<Payload>,
    decoder: TrackDecoder,
    stretcher: Stretcher,
    /// Decoded and not yet played: less than a tick between two of them, at most a stretched frame more in one.
    queue: Vec<f32>,
    pcm: TickPcm,
    concealed: u64,
    recovered: u64,
    undecodable: u64,
    /// Runs of lost frames, and whether one is under way.
    runs: u64,
    is_in_run: bool,
}

impl Track {
    pub(super) fn new(config: &JitterConfig) -> Result<Self, AudioError> {
        Ok(Self {
            jitter: JitterBuffer::new(config.clone()),
            decoder: TrackDecoder::new()?,
            stretcher: Stretcher::default(),
            queue: Vec::with_capacity(2 * FRAME_SAMPLES),
            pcm: SILENT_TICK,
            concealed: 0,
            recovered: 0,
            undecodable: 0,
            runs: 0,
            is_in_run: false,
        })
    }

    /// Takes a frame that arrived at `now`.
    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        seq: u16,
        talkspurt_end: bool,
        payload: Payload,
        is_repaired: bool,
    ) -> Arrival {
        match is_repaired {
            true => self.jitter.handle_repaired(now, seq, talkspurt_end, payload),
            false => self.jitter.handle_frame(now, seq, talkspurt_end, payload),
        }
    }

    /// Takes another choice of delays.
    pub(super) fn set_config(&mut self, config: JitterConfig) {
        self.jitter.set_config(config);
    }

    /// Plays the tick that is heard from `at` on; `false` if the track is silent in it.
    pub(super) fn play(&mut self, at: Instant, track_id: u32, output: &mut TickOutput) -> bool {
        let mut is_audible = !self.queue.is_empty();
        while self.queue.len() < TICK_SAMPLES {
            is_audible |= self.queue_more(at, track_id, output);
        }
        self.pcm.copy_from_slice(&self.queue[..TICK_SAMPLES]);
        self.queue.drain(..TICK_SAMPLES);
        is_audible
    }

    /// The sound of the last tick.
    pub(super) const fn pcm(&self) -> &TickPcm {
        &self.pcm
    }

    /// Whether nothing is being said, and nothing waits to be played.
    pub(super) fn is_idle(&self) -> bool {
        !self.jitter.is_talking() && self.jitter.is_empty() && self.queue.is_empty()
    }

    /// Adds this track's counters to those of others, and answers with its gauges.
    pub(super) fn add_counts_to(&self, stats: &mut PlayoutStats) -> JitterStats {
        let jitter = self.jitter.stats();
        stats.received += jitter.received;
        stats.lost += jitter.lost;
        stats.late += jitter.late;
        stats.duplicate += jitter.duplicate;
        stats.dropped += jitter.out_of_window + jitter.skipped;
        stats.concealed += self.concealed;
        stats.recovered += self.recovered;
        stats.undecodable += self.undecodable;
        stats.runs += self.runs;
        stats.lengthened_ms += milliseconds(self.stretcher.lengthened());
        stats.shortened_ms += milliseconds(self.stretcher.shortened());
        JitterStats {
            buffer_ms: jitter.buffer_ms + milliseconds(self.queue.len() as u64),
            ..jitter
        }
    }

    /// Adds the next frame period to the queue, or as much silence as the tick still needs; `false` for silence.
    fn queue_more(&mut self, at: Instant, track_id: u32, output: &mut TickOutput) -> bool {
        let ahead = self.queue.len();
        let missing = TICK_SAMPLES - ahead;
        let after = duration(ahead);
        let mut pcm = SILENT_FRAME;
        let playout = self.jitter.poll_playout(at + after);
        let is_lost = matches!(playout, Playout::Lost { .. });
        self.runs += u64::from(is_lost && !self.is_in_run);
        // A frame period that no frame stands for does not end a run, and a stall goes on with it.
        self.is_in_run =
            is_lost || (self.is_in_run && matches!(playout, Playout::Stretch | Playout::Starved));
        let (seq, origin) = match playout {
            Playout::Frame { seq, payload } => {
                output.captured.extend(payload.capture.map(|capture| CapturedFrame {
                    track_id,
                    seq,
                    capture,
                    after,
                }));
                let is_broken = self.decoder.decode(&payload.opus, &mut pcm).is_err();
                self.undecodable += u64::from(is_broken);
                (Some(seq), if is_broken { SoundOrigin::Concealed } else { SoundOrigin::Packet })
            }
            Playout::Lost { seq, next: Some((distance, next)) } => {
                let recovered = self.decoder.recover(&next.opus, distance, &mut pcm);
                let is_recovered = recovered.unwrap_or(false);
                self.recovered += u64::from(is_recovered);
                output.recovered += u32::from(is_recovered);
                let origin =
                    if is_recovered { SoundOrigin::Recovered } else { SoundOrigin::Concealed };
                (Some(seq), origin)
            }
            Playout::Lost { seq, next: None } => (Some(seq), SoundOrigin::Concealed),
            Playout::Stretch => (None, SoundOrigin::Concealed),
            Playout::Silence { samples } => {
                self.queue.resize(ahead + samples.clamp(1, missing), 0.0);
                return false;
            }
            Playout::Starved => (None, SoundOrigin::Starved),
        };
        output.periods.push(PlayedPeriod { track_id, seq, origin, after });
        match origin {
            SoundOrigin::Packet => {
                self.queue.extend_from_slice(&pcm);
                let wanted = self.jitter.wanted_stretch();
                self.stretcher.handle_frame(&mut self.queue, ahead, wanted);
                return true;
            }
            SoundOrigin::Recovered => {}
            SoundOrigin::Concealed => {
                self.decoder.conceal(&mut pcm);
                self.concealed += 1;
                output.concealed += 1;
            }
            SoundOrigin::Starved => return self.queue_starved(missing, output),
        }
        self.queue.extend_from_slice(&pcm);
        true
    }

    /// The end of the concealment that the loss before it began, which fades out; then silence.
    fn queue_starved(&mut self, missing: usize, output: &mut TickOutput) -> bool {
        output.starved += 1;
        if self.decoder.is_faded_out() {
            self.queue.resize(self.queue.len() + missing, 0.0);
            return false;
        }
        let mut pcm = SILENT_FRAME;
        self.decoder.conceal(&mut pcm);
        self.queue.extend_from_slice(&pcm);
        !self.decoder.is_faded_out()
    }
}

fn duration(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE_HZ))
}

fn milliseconds(samples: u64) -> f64 {
    samples as f64 * 1_000.0 / f64::from(SAMPLE_RATE_HZ)
}
