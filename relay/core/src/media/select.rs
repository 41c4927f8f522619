//! Selection of the N loudest tracks that are talking, and of the dominant one among them. Levels come
//! with the frames (RFC 6464), so nothing is decoded. Used by [`super::fanout`].
//!
//! Both choices have hysteresis, so that two equally loud speakers do not take turns every frame.

use std::time::{Duration, Instant};

use tribune_protocol::ids::TrackId;
use tribune_protocol::limits::FRAME_PERIOD;
use tribune_protocol::media::datagram::Frame;

/// A track that has sent nothing for three periods is not talking: two losses in a row are common,
/// three are not.
const TALKING_FOR: Duration = FRAME_PERIOD.saturating_mul(3);
/// Weight of a new level in the smoothed one, as 1/n: about 300 ms of speech.
const SMOOTHING: i32 = 16;
/// Margin by which a challenger has to be louder than a selected track to take its place, in 1/256 dB.
const CHALLENGE_MARGIN: i32 = 6 * UNITS_PER_DB;
/// Margin by which another track has to be louder than the leading one to lead.
const LEAD_MARGIN: i32 = 3 * UNITS_PER_DB;
/// Shortest time for which a track stays selected, so that nobody is cut off after a syllable.
const HOLD: Duration = Duration::from_millis(500);
const UNITS_PER_DB: i32 = 256;

/// The selection of one room.
#[derive(Debug)]
pub struct Selection {
    top_n: usize,
    tracks: Vec<Talker>,
    leader: Option<TrackId>,
}

#[derive(Debug)]
struct Talker {
    track: TrackId,
    /// Smoothed loudness: 127 dB and more above silence is 127 × 256.
    loudness: i32,
    last_frame: Instant,
    /// Since when listeners hear it; `None` while they do not.
    selected: Option<Instant>,
    /// Its last frame was heard and did not end a talkspurt.
    mid_talkspurt: bool,
}

/// Part of a frame that listeners get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audibility {
    /// The frame.
    Heard,
    /// A mark in its place: the track was heard up to here and has lost its place among the N.
    Cut,
    /// Nothing.
    Unheard,
}

impl Selection {
    /// A selection of `top_n` tracks, at least one.
    #[must_use]
    pub fn new(top_n: usize) -> Self {
        Self { top_n: top_n.max(1), tracks: Vec::new(), leader: None }
    }

    /// Notes a frame's level. Gives the part of the frame that listeners get.
    pub fn handle_frame(&mut self, now: Instant, frame: &Frame) -> Audibility {
        let loudness = (127 - i32::from(frame.level.minus_dbov)) * UNITS_PER_DB;
        let at = match self.tracks.iter().position(|talker| talker.track == frame.track) {
            Some(at) => at,
            None => {
                self.tracks.push(Talker {
                    track: frame.track,
                    loudness,
                    last_frame: now,
                    selected: None,
                    mid_talkspurt: false,
                });
                self.tracks.len() - 1
            }
        };
        let talker = &mut self.tracks[at];
        if now.saturating_duration_since(talker.last_frame) > TALKING_FOR {
            talker.selected = None;
        }
        talker.loudness += (loudness - talker.loudness) / SMOOTHING;
        talker.last_frame = now;
        self.choose(now, at);
        self.lead(now);
        let talker = &mut self.tracks[at];
        let audibility = match (talker.selected.is_some(), talker.mid_talkspurt) {
            (true, _) => Audibility::Heard,
            (false, true) => Audibility::Cut,
            (false, false) => Audibility::Unheard,
        };
        talker.mid_talkspurt = audibility == Audibility::Heard && !frame.talkspurt_end;
        if frame.talkspurt_end {
            // Its place is free from here on; the frame itself is still heard.
            talker.selected = None;
        }
        audibility
    }

    /// Forgets tracks that are gone from the room.
    pub fn retain(&mut self, keep: impl Fn(TrackId) -> bool) {
        self.tracks.retain(|talker| keep(talker.track));
        self.leader = self.leader.filter(|leader| keep(*leader));
    }

    /// The track whose frames clock a view: the leader where the view has it, else the loudest that
    /// the view has.
    pub fn clock(&self, now: Instant, in_view: impl Fn(TrackId) -> bool) -> Option<TrackId> {
        if let Some(leader) = self.leader.filter(|leader| in_view(*leader)) {
            return Some(leader);
        }
        let talking = self.tracks.iter().filter(|talker| talker.is_heard(now));
        talking.filter(|talker| in_view(talker.track)).max_by_key(|t| t.loudness).map(|t| t.track)
    }

    /// Gives the track a place if one is free or if it is clearly louder than the quietest.
    fn choose(&mut self, now: Instant, at: usize) {
        if self.tracks[at].selected.is_some() {
            return;
        }
        let heard = |talker: &&mut Talker| talker.is_heard(now);
        if self.tracks.iter().filter(|talker| talker.is_heard(now)).count() < self.top_n {
            self.tracks[at].selected = Some(now);
            return;
        }
        let needed = self.tracks[at].loudness - CHALLENGE_MARGIN;
        let quietest = self.tracks.iter_mut().filter(heard).min_by_key(|talker| talker.loudness);
        let Some(quietest) = quietest else { return };
        let held = quietest.selected.is_some_and(|since| now.duration_since(since) < HOLD);
        if quietest.loudness < needed && !held {
            quietest.selected = None;
            self.tracks[at].selected = Some(now);
        }
    }

    fn lead(&mut self, now: Instant) {
        let heard = || self.tracks.iter().filter(|talker| talker.is_heard(now));
        let loudest = heard().max_by_key(|talker| talker.loudness);
        let leader = heard().find(|talker| Some(talker.track) == self.leader);
        self.leader = match (leader, loudest) {
            (Some(leader), Some(loudest)) if loudest.loudness > leader.loudness + LEAD_MARGIN => {
                Some(loudest.track)
            }
            (Some(leader), _) => Some(leader.track),
            (None, loudest) => loudest.map(|talker| talker.track),
        };
    }
}

impl Talker {
    fn is_heard(&self, now: Instant) -> bool {
        self.selected.is_some() && now.saturating_duration_since(self.last_frame) <= TALKING_FOR
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tribune_protocol::ids::Seq;
    use tribune_protocol::media::datagram::Level;

    use super::Audibility::{Cut, Heard, Unheard};
    use super::*;

    #[test]
    fn the_loudest_are_heard_and_a_quiet_one_waits() {
        let mut room = Room::new(2);
        room.say(50, &[(1, 30), (2, 40)]);
        assert_eq!(room.say(1, &[(3, 60)]), [Unheard]);
        assert_eq!(room.say(50, &[(1, 30), (2, 40), (3, 20)])[..], [Heard, Unheard, Heard]);
    }

    #[test]
    fn who_loses_the_place_is_cut_once() {
        let mut room = Room::new(1);
        room.say(50, &[(1, 50)]);
        let mut cuts = 0;
        for _ in 0..50 {
            cuts += u32::from(room.say(1, &[(1, 50), (2, 20)])[0] == Cut);
        }
        assert_eq!(cuts, 1);
    }

    #[test]
    fn equal_voices_do_not_take_turns() {
        let mut room = Room::new(1);
        room.say(1, &[(1, 30)]);
        for _ in 0..200 {
            let levels = [(1, 31), (2, 29)];
            assert_eq!(room.say(1, &levels), [Heard, Unheard]);
        }
        assert_eq!(room.selection.clock(room.now, |_| true), Some(TrackId(1)));
    }

    #[test]
    fn a_talkspurt_end_frees_the_place() {
        let mut room = Room::new(1);
        room.say(50, &[(1, 30)]);
        assert_eq!(room.frame(1, 30, true), Heard);
        assert_eq!(room.say(1, &[(2, 50)]), [Heard]);
    }

    #[test]
    fn a_view_without_the_leader_has_a_clock_too() {
        let mut room = Room::new(4);
        room.say(50, &[(1, 20), (2, 40), (3, 60)]);
        assert_eq!(room.selection.clock(room.now, |_| true), Some(TrackId(1)));
        assert_eq!(room.selection.clock(room.now, |track| track != TrackId(1)), Some(TrackId(2)));
        assert_eq!(room.selection.clock(room.now, |_| false), None);
    }

    struct Room {
        selection: Selection,
        now: Instant,
    }

    impl Room {
        fn new(top_n: usize) -> Self {
            Self { selection: Selection::new(top_n), now: Instant::now() }
        }

        /// Lets each track send a frame a period; whether each was heard the last time.
        fn say(&mut self, periods: u32, levels: &[(u32, u8)]) -> Vec<Audibility> {
            let mut heard = Vec::new();
            for _ in 0..periods {
                heard =
                    levels.iter().map(|(track, level)| self.frame(*track, *level, false)).collect();
                self.now += FRAME_PERIOD;
            }
            heard
        }

        fn frame(&mut self, track: u32, minus_dbov: u8, talkspurt_end: bool) -> Audibility {
            let frame = Frame {
                track: TrackId(track),
                seq: Seq(0),
                level: Level { voice: true, minus_dbov },
                talkspurt_end,
                captured: None,
                onset: None,
                opus: Bytes::new(),
                wire: Bytes::new(),
            };
            self.selection.handle_frame(self.now, &frame)
        }
    }
}
