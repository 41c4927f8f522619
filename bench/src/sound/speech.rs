//! Speech of a run: recorded voices, and mouths that say them as `tribune speak` does.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use tribune_bench::accounting::this_thread_cpu_now;
use tribune_client::audio::encode::BITRATE_MIN_BPS;
use tribune_client::audio::source::{Repeat, Source, SourceFrame};
use tribune_client::audio::speak::SpeakerPipeline;
use tribune_client::audio::{
    AudioError, FRAME_PERIOD, FRAME_SAMPLES, FRAMES_PER_SECOND, PcmFrame, SILENT_FRAME,
};
use tribune_client_core::encoding::Encoding;
use tribune_client_core::frame::SpokenFrame;
use tribune_protocol::ids::Seq;
use tribune_protocol::media::datagram::Level;

use super::pcm;
use super::score::Slot;

/// Longest speech, in frame periods: ten minutes.
const FRAMES_MAX: usize = 600 * FRAMES_PER_SECOND as usize;
/// Least length, a second: less says nothing about how speech is heard.
const FRAMES_MIN: usize = FRAMES_PER_SECOND as usize;
/// Speakers who are at different places of the speech.
const SPEAKERS_APART: usize = 8;

/// Recorded voices as 48 kHz mono, and the end of the talkspurt after them.
#[derive(Debug)]
pub(crate) struct Speech {
    pcm: Vec<f32>,
    passages: Vec<Range<usize>>,
}

/// A speaker of a run.
#[derive(Debug)]
pub(crate) struct Mouth {
    pipeline: SpeakerPipeline,
    /// As it has been chosen, in b/s.
    bitrate_bps: u32,
    /// Place in the speech at which it begins, in frame periods.
    begin: usize,
    slots: Vec<Slot>,
    opus_bytes: u64,
    cpu: Duration,
}

impl Speech {
    /// Reads the first part of a file.
    ///
    /// # Errors
    /// It cannot be read, or is longer than ten minutes.
    pub(crate) fn read(path: &Path, seconds: Option<u32>) -> Result<Self> {
        // The error says its cause itself.
        let mut source = Source::open_file(path, Repeat::Once)
            .map_err(|error| anyhow!("{error}; --voices names the recording to speak"))?;
        let frames_max =
            seconds.map_or(usize::MAX, |seconds| (seconds * FRAMES_PER_SECOND) as usize);
        let mut pcm = Vec::new();
        for frame in 0..frames_max {
            match source.next_frame()? {
                Some(SourceFrame::Pcm(frame)) => pcm.extend(frame),
                Some(SourceFrame::Opus(_)) => {
                    bail!("{} is encoded already; PCM is needed", path.display())
                }
                None => break,
            }
            if frame == FRAMES_MAX {
                bail!("{} is longer than {} s", path.display(), FRAMES_MAX / 50);
            }
        }
        if pcm.len() < FRAMES_MIN * FRAME_SAMPLES {
            bail!("{} is shorter than {} s", path.display(), FRAMES_MIN / 50);
        }
        Ok(Self { passages: pcm::passages(&pcm), pcm })
    }

    /// Frame periods.
    pub(crate) fn len(&self) -> usize {
        self.frames() + 1
    }

    /// How long it takes.
    pub(crate) fn duration(&self) -> Duration {
        FRAME_PERIOD * self.len() as u32
    }

    /// Sound before it is encoded.
    pub(crate) fn original(&self) -> &[f32] {
        &self.pcm
    }

    /// Passages that are judged one by one, in frame periods.
    pub(crate) fn passages(&self) -> &[Range<usize>] {
        &self.passages
    }

    fn frames(&self) -> usize {
        self.pcm.len() / FRAME_SAMPLES
    }

    fn frame(&self, place: usize) -> PcmFrame {
        let mut pcm = SILENT_FRAME;
        pcm.copy_from_slice(&self.pcm[place * FRAME_SAMPLES..(place + 1) * FRAME_SAMPLES]);
        pcm
    }
}

impl Mouth {
    /// The n-th of several speakers: each begins elsewhere. Frame periods are numbered from 0.
    ///
    /// # Errors
    /// The bitrate is none that Opus takes.
    pub(crate) fn new(speech: &Speech, speaker: u8, bitrate_bps: u32) -> Result<Self, AudioError> {
        Ok(Self {
            pipeline: SpeakerPipeline::new(bitrate_bps, 0)?,
            bitrate_bps,
            begin: speech.frames() * usize::from(speaker) / SPEAKERS_APART,
            slots: Vec::with_capacity(speech.len()),
            opus_bytes: 0,
            cpu: Duration::ZERO,
        })
    }

    /// Encodes otherwise from now on, as the client has decided.
    ///
    /// # Errors
    /// libopus fails.
    pub(crate) fn set_encoding(&mut self, encoding: Encoding) -> Result<(), AudioError> {
        let Encoding { protection, bitrate_percent } = encoding;
        let share = u64::from(self.bitrate_bps) * u64::from(bitrate_percent) / 100;
        let bitrate_bps = u32::try_from(share).unwrap_or(u32::MAX).max(BITRATE_MIN_BPS);
        self.pipeline.set_encoding(bitrate_bps, protection)
    }

    /// Says the next period of the speech, which is over by now; after it, that the talkspurt is over.
    ///
    /// # Errors
    /// libopus fails.
    pub(crate) fn speak(
        &mut self,
        speech: &Speech,
        captured: Instant,
    ) -> Result<Option<SpokenFrame>, AudioError> {
        let period = self.slots.len();
        let began = this_thread_cpu_now();
        let frame = if period < speech.frames() {
            let pcm = speech.frame((self.begin + period) % speech.frames());
            self.pipeline.handle_frame(&SourceFrame::Pcm(pcm), false)?
        } else {
            self.pipeline.handle_frame(&SourceFrame::Pcm(SILENT_FRAME), true)?
        };
        self.cpu += this_thread_cpu_now().saturating_sub(began);
        self.slots.push(if frame.is_some() { Slot::Sent } else { Slot::Silent });
        self.opus_bytes += frame.as_ref().map_or(0, |frame| frame.opus.len() as u64);
        Ok(frame.map(|frame| SpokenFrame {
            seq: Seq(frame.seq),
            level: Level { voice: frame.voice, minus_dbov: frame.level_dbov },
            talkspurt_end: frame.talkspurt_end,
            opus: frame.opus,
            captured,
        }))
    }

    /// Content of each period so far.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Bytes of all Opus packets so far.
    pub(crate) const fn opus_bytes(&self) -> u64 {
        self.opus_bytes
    }

    /// CPU of the pipeline, for each frame period.
    pub(crate) fn cpu(&self) -> Duration {
        self.cpu / (self.slots.len() as u32).max(1)
    }
}
