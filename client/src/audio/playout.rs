//! All of listening but the network and the output: the tracks of a room, mixed.
//!
//! Pure: the caller ticks ([`Player::tick`]) once per [`TICK_PERIOD`](super::TICK_PERIOD).

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use tribune_client_core::frame::ReceivedFrame;
use tribune_client_core::jitter::{Arrival, JitterConfig, PlayoutSchedule};
use tribune_client_core::level::level_dbov;
pub use tribune_client_core::playout::PlayoutStats;
use tribune_protocol::media::datagram::{Capture, Frame};

use super::mix::Mixer;
pub use super::tick::{CapturedFrame, PlayedPeriod, PlayingTrack, SoundOrigin, TickOutput};
use super::track::{Payload, Track};
use super::{AudioError, SILENT_TICK, TICK_SAMPLES};

/// Tracks that are played at a time. A relay forwards the 4 loudest; the rest is for those that have
/// just been forwarded and for rooms that ask for more. A track costs about 200 KB at most.
pub const TRACKS_MAX: usize = 16;

/// Plays all tracks of a room.
#[derive(Debug)]
pub struct Player {
    config: JitterConfig,
    /// In order of their numbers, so that mixing does not depend on who came first.
    tracks: BTreeMap<u32, PlayedTrack>,
    mixer: Mixer,
    schedule: PlayoutSchedule,
    ticks: u64,
    /// Counts of tracks that are no longer here.
    gone: PlayoutStats,
    refused: u64,
}

#[derive(Debug)]
struct PlayedTrack {
    track: Track,
    /// Tick in which it last made a sound, for choosing the track to replace.
    last_sound_tick: u64,
}

/// Verdict on a frame given to a [`Player`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It went to its track's jitter buffer, which answered this.
    Track(Arrival),
    /// It is a new track's, and all [`TRACKS_MAX`] others are talking; it is dropped.
    TooManyTracks,
}

impl Player {
    /// A player without tracks.
    pub fn new(config: JitterConfig) -> Self {
        Self {
            config,
            tracks: BTreeMap::new(),
            mixer: Mixer::new(),
            schedule: PlayoutSchedule::default(),
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
        let Some(track) = self.track(track_id)? else { return Ok(Accepted::TooManyTracks) };
        Ok(Accepted::Track(track.handle_frame(now, seq, talkspurt_end, payload, false)))
    }

    /// Takes a frame that arrived at `now` and may have been missing before.
    ///
    /// # Errors
    /// If a decoder for a new track cannot be set up.
    pub fn handle_received(&mut self, received: ReceivedFrame) -> Result<Accepted, AudioError> {
        let ReceivedFrame { frame, arrived: now, is_repaired } = received;
        let Frame { track, seq, talkspurt_end, opus, captured: capture, .. } = frame;
        let payload = Payload { opus, capture };
        let Some(track) = self.track(track.0)? else { return Ok(Accepted::TooManyTracks) };
        Ok(Accepted::Track(track.handle_frame(now, seq.0, talkspurt_end, payload, is_repaired)))
    }

    /// Takes other choices of delays, for the tracks that are here and for those to come. The delays move there by
    /// stretching, or at once in a silence; no frame is dropped for it.
    pub fn set_config(&mut self, config: JitterConfig) {
        for played in self.tracks.values_mut() {
            played.track.set_config(config.clone());
        }
        self.config = config;
    }

    /// The track of this number, made if there is room for it.
    fn track(&mut self, track_id: u32) -> Result<Option<&mut Track>, AudioError> {
        if !self.tracks.contains_key(&track_id) {
            if !self.make_room() {
                self.refused += 1;
                return Ok(None);
            }
            let track = Track::new(&self.config)?;
            self.tracks.insert(track_id, PlayedTrack { track, last_sound_tick: self.ticks });
        }
        Ok(self.tracks.get_mut(&track_id).map(|played| &mut played.track))
    }

    /// Whether frames of a track wait to be played.
    pub fn is_waiting(&self, track_id: u32) -> bool {
        self.tracks.get(&track_id).is_some_and(|played| !played.track.is_idle())
    }

    /// Forgets a track, because it has ended or lost the right to speak. What waits is not played.
    pub fn remove_track(&mut self, track_id: u32) {
        if let Some(played) = self.tracks.remove(&track_id) {
            played.track.add_counts_to(&mut self.gone);
        }
    }

    /// Plays the tick that begins at `now`.
    pub fn tick(&mut self, now: Instant) -> TickOutput {
        self.ticks += 1;
        let at = self.schedule.handle_tick(now, TICK_SAMPLES);
        let mut output = TickOutput {
            pcm: SILENT_TICK,
            playing: Vec::new(),
            captured: Vec::new(),
            periods: Vec::new(),
            concealed: 0,
            recovered: 0,
            starved: 0,
        };
        let mut audible = [false; TRACKS_MAX];
        for ((&track_id, played), audible) in self.tracks.iter_mut().zip(&mut audible) {
            *audible = played.track.play(at, track_id, &mut output);
            if *audible {
                played.last_sound_tick = self.ticks;
                let level_dbov = level_dbov(played.track.pcm());
                output.playing.push(PlayingTrack { track_id, level_dbov });
            }
        }
        let tracks = self.tracks.values().zip(audible);
        let audible = tracks.filter(|(_, audible)| *audible).map(|(played, _)| played.track.pcm());
        output.pcm = self.mixer.mix(audible);
        output
    }

    /// Counters over all tracks, also those removed, and gauges of the worst of those here.
    pub fn stats(&self) -> PlayoutStats {
        let mut stats = self.gone;
        stats.dropped += self.refused;
        for played in self.tracks.values() {
            let jitter = played.track.add_counts_to(&mut stats);
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
            .filter(|(_, played)| played.track.is_idle())
            .min_by_key(|(_, played)| played.last_sound_tick)
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
