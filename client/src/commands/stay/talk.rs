//! Pacing of a speaker, for `speak` and `join`: frame n leaves at start + n · 20 ms, on an absolute
//! schedule.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tribune_protocol::ids::Seq;
use tribune_protocol::media::datagram::Level;

use super::source_thread::{Ready, SourceThread};
use crate::audio::encode::BITRATE_MIN_BPS;
use crate::audio::source::SourceFrame;
use crate::audio::speak::{OutgoingFrame, SpeakerPipeline};
use crate::audio::{AudioError, FRAME_PERIOD, SILENT_FRAME};
use crate::outcome::CommandError;
use crate::session::{Encoding, Session, SpokenFrame};

/// Gap in a microphone's frames that counts as a pause rather than jitter, in frame periods: 200 ms.
const MICROPHONE_GAP_PERIODS: u32 = 10;

/// Pacer between a source and a session.
#[derive(Debug)]
pub(crate) struct Talk {
    pipeline: SpeakerPipeline,
    /// As the user has chosen it.
    bitrate_bps: u32,
    /// Start of the first frame period.
    started: Option<Instant>,
    /// Frame periods elapsed since.
    periods: u32,
    periods_max: Option<u32>,
    /// Read before the first frame period, so that the source is running by then.
    first: Option<Box<SourceFrame>>,
    sent: u64,
    is_muted: bool,
    is_silenced: bool,
    ignores_mute: bool,
}

/// The source or the duration has ended.
#[derive(Debug)]
pub(crate) struct TalkEnd;

impl Talk {
    /// A speaker that stops after `duration`.
    pub(crate) fn new(
        bitrate_bps: u32,
        duration: Option<Duration>,
        ignores_mute: bool,
    ) -> Result<Self, AudioError> {
        // Random, to distinguish a restarted speaker from one that continued (RFC 3550, 5.1).
        let first_seq = rand::make_rng::<StdRng>().random();
        Ok(Self {
            pipeline: SpeakerPipeline::new(bitrate_bps, first_seq)?,
            bitrate_bps,
            started: None,
            periods: 0,
            periods_max: duration.map(|duration| periods(duration).max(1)),
            first: None,
            sent: 0,
            is_muted: false,
            is_silenced: false,
            ignores_mute,
        })
    }

    /// Waits for the next frame period and sends its frame. Cancel-safe.
    pub(crate) async fn step(
        &mut self,
        source: &mut SourceThread,
        session: &Session,
    ) -> Result<Option<TalkEnd>, CommandError> {
        if self.periods_max.is_some_and(|max| self.periods >= max) {
            return Ok(Some(TalkEnd));
        }
        if source.is_live() {
            let Some(frame) = source.next().await? else { return Ok(Some(TalkEnd)) };
            let now = Instant::now();
            self.catch_up(now, session)?;
            let captured = now.checked_sub(FRAME_PERIOD).unwrap_or(now);
            self.send(&frame, false, captured, session)?;
            return Ok(None);
        }
        let Some(started) = self.started else {
            self.first = source.next().await?.map(Box::new);
            self.started = Some(Instant::now());
            return Ok(self.first.is_none().then_some(TalkEnd));
        };
        let slot = started + FRAME_PERIOD * self.periods;
        tokio::time::sleep_until(slot.into()).await;
        let ready =
            self.first.take().map_or_else(|| source.ready(), |first| Ok(Ready::Frame(first)));
        match ready? {
            Ready::Frame(frame) => self.send(&frame, false, slot, session)?,
            // A pipe that is behind is silent, not late: the track's clock advances.
            Ready::NotYet => self.send(&SourceFrame::Pcm(SILENT_FRAME), true, slot, session)?,
            Ready::End => return Ok(Some(TalkEnd)),
        }
        Ok(None)
    }

    /// Marks the end of the talkspurt.
    pub(crate) fn end_talkspurt(&mut self, session: &Session) {
        if self.pipeline.is_talking() {
            let silence = SourceFrame::Pcm(SILENT_FRAME);
            if let Err(error) = self.send(&silence, true, Instant::now(), session) {
                tracing::debug!(%error, "the end of a talkspurt is not announced");
            }
        }
    }

    /// Obeys a request to mute; `false` if such requests are ignored.
    pub(crate) fn mute(&mut self) -> bool {
        self.is_muted = !self.ignores_mute;
        self.is_muted
    }

    /// Mutes or unmutes at the user's wish.
    pub(crate) fn set_muted(&mut self, on: bool) {
        self.is_muted = on;
    }

    /// Takes a moderator's silencing or its end. Frames of a silenced speaker are not sent: relays drop them.
    pub(crate) fn set_silenced(&mut self, on: bool) {
        self.is_silenced = on;
    }

    /// Sets the encoder otherwise. Gives the settings for programs.
    pub(crate) fn set_encoding(&mut self, encoding: &Encoding) -> Result<Value, AudioError> {
        let Encoding { protection, bitrate_percent } = *encoding;
        let share = u64::from(self.bitrate_bps) * u64::from(bitrate_percent) / 100;
        let bitrate_bps = u32::try_from(share).unwrap_or(u32::MAX).max(BITRATE_MIN_BPS);
        self.pipeline.set_encoding(bitrate_bps, protection)?;
        Ok(json!({
            "event": "encoding",
            "against": protection.as_str(),
            "loss_percent": protection.loss_percent(),
            "span_ms": protection.span_ms(),
            "bitrate_bps": bitrate_bps,
        }))
    }

    /// Frames sent so far.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether it is muted.
    pub(crate) const fn is_muted(&self) -> bool {
        self.is_muted
    }

    /// Whether a moderator silenced it.
    pub(crate) const fn is_silenced(&self) -> bool {
        self.is_silenced
    }

    /// Time since the first frame.
    pub(crate) fn elapsed(&self) -> Duration {
        FRAME_PERIOD * self.periods
    }

    /// Advances the track's clock over the time in which the microphone was off.
    fn catch_up(&mut self, now: Instant, session: &Session) -> Result<(), AudioError> {
        let started = *self.started.get_or_insert(now);
        let passed = periods(now.duration_since(started));
        if passed > self.periods.saturating_add(MICROPHONE_GAP_PERIODS) {
            while self.periods < passed {
                self.send(&SourceFrame::Pcm(SILENT_FRAME), true, now, session)?;
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        frame: &SourceFrame,
        is_gap: bool,
        captured: Instant,
        session: &Session,
    ) -> Result<(), AudioError> {
        self.periods += 1;
        let muted = is_gap || (!self.ignores_mute && (self.is_muted || self.is_silenced));
        let outgoing = self.pipeline.handle_frame(frame, muted)?;
        if let Some(outgoing) = outgoing
            && session.send_frame(spoken(outgoing, captured))
        {
            self.sent += 1;
        }
        Ok(())
    }
}

/// A frame of the pipeline, for the session.
fn spoken(frame: OutgoingFrame, captured: Instant) -> SpokenFrame {
    SpokenFrame {
        seq: Seq(frame.seq),
        level: Level { voice: frame.voice, minus_dbov: frame.level_dbov },
        talkspurt_end: frame.talkspurt_end,
        opus: frame.opus,
        captured,
    }
}

/// Frame periods in a duration.
fn periods(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() / FRAME_PERIOD.as_millis()).unwrap_or(u32::MAX)
}
