//! All of listening but the network and the output: one jitter buffer and decoder per track, mixed.
//!
//! Pure: the caller ticks ([`Player::tick`]) once per [`FRAME_PERIOD`](super::FRAME_PERIOD).

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use tribune_client_core::frame::ReceivedFrame;
use tribune_client_core::jitter::{Arrival, JitterBuffer, JitterConfig, JitterStats, Playout};
use tribune_client_core::level::level_dbov;
pub use tribune_client_core::playout::PlayoutStats;
use tribune_protocol::media::datagram::{Capture, Frame};

use super::decode::TrackDecoder;
use super::mix::Mixer;
use super::{AudioError, PcmFrame, SILENT_FRAME};

/// Tracks that are played at a time. A relay forwards the 4 loudest; the rest is for those that have
/// just been forwarded and for rooms that ask for more. A track costs about 100 KB at most.
pub const TRACKS_MAX: usize = 16;

/// Plays all tracks of a room.
#[derive(Debug)]
pub struct Player {
    config: JitterConfig,
    /// In order of their numbers, so that mixing does not depend on who came first.
    tracks: BTreeMap<u32, Track>,
    mixer: Mixer,
    ticks: u64,
    /// Counts of tracks that are no longer here.
    gone: PlayoutStats,
    refused: u64,
}

#[derive(Debug)]
struct Track {
    jitter: JitterBuffer<Payload>,
    decoder: TrackDecoder,
    pcm: PcmFrame,
    /// Tick in which it last made a sound, for choosing the track to replace.
    last_sound_tick: u64,
    concealed: u64,
    recovered: u64,
    /// Runs of lost frames, and whether one is under way.
    runs: u64,
    is_in_run: bool,
    undecodable: u64,
}

#[derive(Debug)]
struct Payload {
    opus: Bytes,
    capture: Option<Capture>,
}

/// Verdict on a frame given to a [`Player`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It went to its track's jitter buffer, which answered this.
    Track(Arrival),
    /// It is a new track's, and all [`TRACKS_MAX`] others are talking; it is dropped.
    TooManyTracks,
}

/// Output of one frame period.
#[derive(Debug, Clone, PartialEq)]
pub struct TickOutput {
    /// The mix, for a sink.
    pub pcm: PcmFrame,
    /// The tracks that are in it, at most [`TRACKS_MAX`], by number.
    pub playing: Vec<PlayingTrack>,
    /// Capture times of those frames in it that carried one, at most [`TRACKS_MAX`].
    pub captured: Vec<CapturedFrame>,
    /// Frames that were made up in this tick.
    pub concealed: u32,
    /// Frames that were recovered from the redundancy of a later frame in this tick.
    pub recovered: u32,
    /// Tracks that should have talked but have stalled.
    pub starved: u32,
}

/// A track as it sounds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayingTrack {
    /// Its number.
    pub track_id: u32,
    /// Level of what is being played, in −dBov: 0 (loud) ..= 127 (silence).
    pub level_dbov: u8,
}

/// A frame with a capture time that was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedFrame {
    /// The track it belongs to.
    pub track_id: u32,
    /// Its sequence number.
    pub seq: u16,
    /// When its sound was captured, in the origin's clock.
    pub capture: Capture,
}

impl Player {
    /// A player without tracks.
    pub fn new(config: JitterConfig) -> Self {
        Self {
            config,
            tracks: BTreeMap::new(),
            mixer: Mixer::new(),
            ticks: 0,
            gone: PlayoutStats::default(),
            refused: 0,
        }
    }

    /// Takes a frame that arrived at `now`. A track is there from its first frame on.
    ///
    /// # Errors
    /// If a decoder for a new track cannot be set up.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        track_id: u32,
        seq: u16,
        talkspurt_end: bool,
        opus: Bytes,
        capture: Option<Capture>,
    ) -> Result<Accepted, AudioError> {
        let payload = Payload { opus, capture };
        self.take(track_id, |jitter| jitter.handle_frame(now, seq, talkspurt_end, payload))
    }

    /// Takes a frame that arrived at `now` and may have been missing before.
    ///
    /// # Errors
    /// If a decoder for a new track cannot be set up.
    pub fn handle_received(&mut self, received: ReceivedFrame) -> Result<Accepted, AudioError> {
        let ReceivedFrame { frame, arrived: now, is_repaired } = received;
        let Frame { track, seq, talkspurt_end, opus, captured: capture, .. } = frame;
        let payload = Payload { opus, capture };
        self.take(track.0, |jitter| match is_repaired {
            true => jitter.handle_repaired(now, seq.0, talkspurt_end, payload),
            false => jitter.handle_frame(now, seq.0, talkspurt_end, payload),
        })
    }

    fn take(
        &mut self,
        track_id: u32,
        buffer: impl FnOnce(&mut JitterBuffer<Payload>) -> Arrival,
    ) -> Result<Accepted, AudioError> {
        if !self.tracks.contains_key(&track_id) {
            if !self.make_room() {
                self.refused += 1;
                return Ok(Accepted::TooManyTracks);
            }
            self.tracks.insert(track_id, Track::new(&self.config, self.ticks)?);
        }
        let Some(track) = self.tracks.get_mut(&track_id) else {
            return Ok(Accepted::TooManyTracks);
        };
        Ok(Accepted::Track(buffer(&mut track.jitter)))
    }

    /// Forgets a track, because it has ended or lost the right to speak. What waits is not played.
    pub fn remove_track(&mut self, track_id: u32) {
        if let Some(track) = self.tracks.remove(&track_id) {
            track.add_counts_to(&mut self.gone);
        }
    }

    /// Plays the frame period that begins at `now`.
    pub fn tick(&mut self, now: Instant) -> TickOutput {
        self.ticks += 1;
        let mut output = TickOutput {
            pcm: SILENT_FRAME,
            playing: Vec::new(),
            captured: Vec::new(),
            concealed: 0,
            recovered: 0,
            starved: 0,
        };
        let mut audible = [false; TRACKS_MAX];
        for ((&track_id, track), audible) in self.tracks.iter_mut().zip(&mut audible) {
            *audible = track.play(now, track_id, &mut output);
            if *audible {
                track.last_sound_tick = self.ticks;
                let level_dbov = level_dbov(&track.pcm);
                output.playing.push(PlayingTrack { track_id, level_dbov });
            }
        }
        output.pcm = self.mixer.mix(
            self.tracks.values().zip(audible).filter(|(_, audible)| *audible).map(|(t, _)| &t.pcm),
        );
        output
    }

    /// Counters over all tracks, also those removed, and gauges of the worst of those here.
    pub fn stats(&self) -> PlayoutStats {
        let mut stats = self.gone;
        stats.dropped += self.refused;
        for track in self.tracks.values() {
            let jitter = track.add_counts_to(&mut stats);
            stats.buffer_ms = stats.buffer_ms.max(jitter.buffer_ms);
            stats.target_ms = stats.target_ms.max(jitter.target_ms);
            stats.jitter_ms = stats.jitter_ms.max(jitter.jitter_ms);
        }
        stats
    }

    /// The numbers of the tracks that are here, in order.
    pub fn track_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.tracks.keys().copied()
    }

    /// Makes room for one more track, at the cost of the one that has been silent for longest.
    fn make_room(&mut self) -> bool {
        if self.tracks.len() < TRACKS_MAX {
            return true;
        }
        let idle = self
            .tracks
            .iter()
            .filter(|(_, track)| !track.jitter.is_talking() && track.jitter.is_empty())
            .min_by_key(|(_, track)| track.last_sound_tick)
            .map(|(&track_id, _)| track_id);
        match idle {
            Some(track_id) => {
                self.remove_track(track_id);
                true
            }
            None => false,
        }
    }
}

impl Track {
    fn new(config: &JitterConfig, ticks: u64) -> Result<Self, AudioError> {
        Ok(Self {
            jitter: JitterBuffer::new(config.clone()),
            decoder: TrackDecoder::new()?,
            pcm: SILENT_FRAME,
            last_sound_tick: ticks,
            concealed: 0,
            recovered: 0,
            runs: 0,
            is_in_run: false,
            undecodable: 0,
        })
    }

    /// Fills `pcm` for one frame period; `false` if the track is silent in it.
    fn play(&mut self, now: Instant, track_id: u32, output: &mut TickOutput) -> bool {
        let playout = self.jitter.poll_playout(now);
        let is_lost = matches!(playout, Playout::Lost { .. });
        self.runs += u64::from(is_lost && !self.is_in_run);
        // A frame period that no frame stands for does not end a run, and a stall goes on with it.
        self.is_in_run =
            is_lost || (self.is_in_run && matches!(playout, Playout::Stretch | Playout::Starved));
        let is_concealed = match playout {
            Playout::Frame { seq, payload } => {
                output.captured.extend(payload.capture.map(|capture| CapturedFrame {
                    track_id,
                    seq,
                    capture,
                }));
                let is_broken = self.decoder.decode(&payload.opus, &mut self.pcm).is_err();
                self.undecodable += u64::from(is_broken);
                is_broken
            }
            Playout::Lost { seq: _, next: Some((distance, next)) } => {
                let recovered = self.decoder.recover(&next.opus, distance, &mut self.pcm);
                let is_recovered = recovered.unwrap_or(false);
                self.recovered += u64::from(is_recovered);
                output.recovered += u32::from(is_recovered);
                !is_recovered
            }
            Playout::Lost { seq: _, next: None } | Playout::Stretch => true,
            Playout::Silence => return false,
            Playout::Starved => {
                output.starved += 1;
                // The end of the concealment that the loss before it began: it fades out.
                self.decoder.conceal(&mut self.pcm);
                return !self.decoder.is_faded_out();
            }
        };
        if is_concealed {
            self.decoder.conceal(&mut self.pcm);
            self.concealed += 1;
            output.concealed += 1;
        }
        true
    }

    fn add_counts_to(&self, stats: &mut PlayoutStats) -> JitterStats {
        let jitter = self.jitter.stats();
        stats.received += jitter.received;
        stats.lost += jitter.lost;
        stats.late += jitter.late;
        stats.duplicate += jitter.duplicate;
        stats.dropped += jitter.out_of_window + jitter.skipped;
        stats.concealed += self.concealed;
        stats.recovered += self.recovered;
        stats.runs += self.runs;
        stats.undecodable += self.undecodable;
        jitter
    }
}
