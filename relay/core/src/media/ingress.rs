//! Admission of frames: only those of a track that the room knows, from the side where it is at home or
//! was until a moment ago, not silenced, and once. Used by [`super::fanout`].

use std::time::{Duration, Instant};

use tribune_protocol::control::participant::Heard;
use tribune_protocol::ids::TrackId;
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::media::repair::{Gap, Noted, Reach, Repair};

use super::ring::{Inserted, Ring};
use crate::counters::{DropCause, Side};
use crate::messages::{LinkId, TrackRoute};

/// Time that a frame of a participant stands for at least: a tenth less than it should, as clocks differ.
const MIN_FRAME_PERIOD: Duration = Duration::from_millis(18);
/// Frames of a track that a participant can be ahead by: what it has kept for two seconds, and some more.
const MAX_AHEAD_FRAMES: u32 = 150;

/// Decision about a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It ends here, for this cause.
    Drop(DropCause),
}

/// Tracks of a room, by the origin's routes, with the frames that have come of each.
#[derive(Debug, Default)]
pub struct Ingress {
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Track {
    route: TrackRoute,
    ring: Ring,
    repair: Repair,
    pace: Pace,
}

/// Pace of a speaker: the media clock, a little fast, and two seconds and more at once for one that catches up.
#[derive(Debug, Default)]
struct Pace {
    /// When the allowance was whole, or would have been.
    from: Option<Instant>,
}

/// Frames to ask a neighbour for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The connection that the track comes from.
    pub link: LinkId,
    /// The track.
    pub track: TrackId,
    /// The frames.
    pub gap: Gap,
}

impl Ingress {
    /// Puts new routes in force. Tracks that stay keep their ring.
    pub fn set_routes(&mut self, routes: &[TrackRoute]) {
        self.tracks.retain(|track| routes.iter().any(|route| route.track == track.route.track));
        for route in routes {
            match self.tracks.iter_mut().find(|track| track.route.track == route.track) {
                Some(track) => track.set_route(*route),
                None => self.tracks.push(Track {
                    route: *route,
                    ring: Ring::default(),
                    repair: Repair::new(Reach::RING),
                    pace: Pace::default(),
                }),
            }
        }
    }

    /// Judges a frame that came over `link`, and keeps it if it is accepted.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        (link, side): (LinkId, Side),
        frame: &Frame,
        source: FrameSource,
    ) -> Verdict {
        let Some(track) = self.track_mut(frame.track) else {
            return Verdict::Drop(DropCause::UnknownTrack);
        };
        let former = track.route.former.map(|former| former.link);
        if track.route.home != Some(link) && former != Some(link) {
            return Verdict::Drop(DropCause::NotYourTrack);
        }
        // Relays have done this with their own participants.
        let is_new = track.ring.get(frame.seq).is_none();
        if side == Side::Participant && is_new && !track.pace.take(now) {
            return Verdict::Drop(DropCause::RateLimited);
        }
        let verdict = track.insert(frame);
        if verdict == Verdict::Drop(DropCause::Duplicate) {
            track.repair.handle_duplicate(now, frame.seq, source);
        }
        verdict
    }

    /// Notes a frame that was accepted. Gives what it tells of those before it.
    pub fn note_arrival(&mut self, now: Instant, frame: &Frame, source: FrameSource) -> Noted {
        let Some(track) = self.track_mut(frame.track) else { return Noted::default() };
        track.repair.handle_frame(now, frame.into(), source)
    }

    /// The next frames to ask for now; `round_trip` of a connection is `None` where it is not this shard's.
    pub fn poll_ask(
        &mut self,
        now: Instant,
        round_trip: impl Fn(LinkId) -> Option<Duration>,
    ) -> Option<Question> {
        self.tracks.iter_mut().find_map(|entry| {
            let home = entry.route.home;
            let Some((link, round_trip)) = home.and_then(|link| Some((link, round_trip(link)?)))
            else {
                // It comes from elsewhere now, if at all.
                entry.repair = Repair::new(Reach::RING);
                return None;
            };
            let gap = entry.repair.poll_ask(now, round_trip)?;
            Some(Question { link, track: entry.route.track, gap })
        })
    }

    /// When to call [`Self::poll_ask`] next; may be early.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tracks.iter().filter_map(|track| track.repair.poll_timeout()).min()
    }

    /// Judges a frame that another shard of this relay has authorised.
    pub fn handle_shared(&mut self, frame: &Frame) -> Verdict {
        match self.track_mut(frame.track) {
            Some(track) => track.insert(frame),
            None => Verdict::Drop(DropCause::UnknownTrack),
        }
    }

    /// The route of a track.
    #[must_use]
    pub fn route(&self, track: TrackId) -> Option<&TrackRoute> {
        self.tracks.iter().map(|entry| &entry.route).find(|route| route.track == track)
    }

    /// The newest frame of each track that is at home on a connection.
    pub fn newest_from(&self, link: LinkId) -> impl Iterator<Item = Heard> {
        let here = self.tracks.iter().filter(move |entry| entry.route.home == Some(link));
        here.filter_map(|entry| Some(Heard { track: entry.route.track, seq: entry.ring.newest()? }))
    }

    /// Ring of a track.
    #[must_use]
    pub fn ring(&self, track: TrackId) -> Option<&Ring> {
        self.tracks.iter().find(|entry| entry.route.track == track).map(|entry| &entry.ring)
    }

    fn track_mut(&mut self, track: TrackId) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|entry| entry.route.track == track)
    }
}

impl Pace {
    /// Takes a place for a frame, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let from = self.from.map_or(now, |from| from.max(now));
        let next = from + MIN_FRAME_PERIOD;
        let is_in_time = next.saturating_duration_since(now) <= MIN_FRAME_PERIOD * MAX_AHEAD_FRAMES;
        if is_in_time {
            self.from = Some(next);
        }
        is_in_time
    }
}

impl Track {
    fn set_route(&mut self, route: TrackRoute) {
        self.route = route;
        if route.silenced {
            self.repair = Repair::new(Reach::RING);
        }
    }

    fn insert(&mut self, frame: &Frame) -> Verdict {
        if self.route.silenced {
            return Verdict::Drop(DropCause::Silenced);
        }
        match self.ring.insert(frame.seq, &frame.wire) {
            Inserted::New => Verdict::Accept,
            Inserted::Duplicate => Verdict::Drop(DropCause::Duplicate),
            Inserted::TooOld => Verdict::Drop(DropCause::TooOld),
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::ids::Seq;
    use tribune_protocol::media::datagram::{FrameHeader, Level};

    use super::*;
    use crate::messages::{FormerHome, ShardId};

    #[test]
    fn a_frame_needs_a_track_a_home_and_no_silence() {
        let now = Instant::now();
        let [home, other] = [1, 2].map(link);
        let route = |home, silenced| TrackRoute { track: TrackId(1), home, former: None, silenced };
        let mut ingress = Ingress::default();
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::UnknownTrack)
        );
        ingress.set_routes(&[route(Some(home), false)]);
        assert_eq!(
            ingress.handle_frame(now, (other, Side::Participant), &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::NotYourTrack)
        );
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 0), FrameSource::Sent),
            Verdict::Accept
        );
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::Duplicate)
        );
        ingress.set_routes(&[route(Some(home), true)]);
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 1), FrameSource::Sent),
            Verdict::Drop(DropCause::Silenced)
        );
        ingress.set_routes(&[route(None, false)]);
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 1), FrameSource::Sent),
            Verdict::Drop(DropCause::NotYourTrack)
        );
    }

    #[test]
    fn a_speaker_sends_no_more_frames_than_time_passes() {
        let now = Instant::now();
        let home = link(1);
        let mut ingress = Ingress::default();
        let (track, home_now) = (TrackId(1), Some(home));
        ingress.set_routes(&[TrackRoute { track, home: home_now, former: None, silenced: false }]);
        let mut take = |ms, seq| {
            let at = now + Duration::from_millis(ms);
            ingress.handle_frame(at, (home, Side::Participant), &frame(1, seq), FrameSource::Sent)
        };
        let at_once = (0..300).filter(|seq| take(0, *seq) == Verdict::Accept).count();
        assert_eq!(at_once, 150);
        assert_eq!(take(0, 149), Verdict::Drop(DropCause::Duplicate), "that costs nothing");
        let later = (300..500).filter(|seq| take(1_800, *seq) == Verdict::Accept).count();
        assert_eq!(later, 100);
        // A relay has held its own participants to it.
        let from_relay = (home, Side::Child);
        let accepted = (500..1_000).filter(|seq| {
            let frame = frame(1, *seq);
            ingress.handle_frame(now, from_relay, &frame, FrameSource::Sent) == Verdict::Accept
        });
        assert_eq!(accepted.count(), 500);
    }

    #[test]
    fn both_homes_count_for_a_while_and_each_frame_once() {
        let now = Instant::now();
        let [home, old, other] = [1, 2, 3].map(link);
        let former = Some(FormerHome { link: old, hears: true });
        let (track, home_now) = (TrackId(1), Some(home));
        let route = TrackRoute { track, home: home_now, former, silenced: false };
        let mut ingress = Ingress::default();
        ingress.set_routes(&[route]);
        assert_eq!(
            ingress.handle_frame(now, (old, Side::Participant), &frame(1, 0), FrameSource::Sent),
            Verdict::Accept
        );
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::Duplicate)
        );
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 1), FrameSource::Sent),
            Verdict::Accept
        );
        assert_eq!(
            ingress.handle_frame(now, (old, Side::Participant), &frame(1, 1), FrameSource::Sent),
            Verdict::Drop(DropCause::Duplicate)
        );
        let refused = Verdict::Drop(DropCause::NotYourTrack);
        assert_eq!(
            ingress.handle_frame(now, (other, Side::Participant), &frame(1, 2), FrameSource::Sent),
            refused
        );
        ingress.set_routes(&[TrackRoute { silenced: true, ..route }]);
        for link in [home, old] {
            let silenced = Verdict::Drop(DropCause::Silenced);
            assert_eq!(
                ingress.handle_frame(
                    now,
                    (link, Side::Participant),
                    &frame(1, 2),
                    FrameSource::Sent
                ),
                silenced
            );
        }
        ingress.set_routes(&[TrackRoute { former: None, ..route }]);
        assert_eq!(
            ingress.handle_frame(now, (old, Side::Participant), &frame(1, 2), FrameSource::Sent),
            refused
        );
        assert_eq!(
            ingress.handle_frame(now, (home, Side::Participant), &frame(1, 2), FrameSource::Sent),
            Verdict::Accept
        );
    }

    fn link(slot: u32) -> LinkId {
        LinkId { shard: ShardId(0), slot, generation: 0 }
    }

    fn frame(track: u32, seq: u16) -> Frame {
        let header = FrameHeader {
            track: TrackId(track),
            seq: Seq(seq),
            level: Level::SILENCE,
            talkspurt_end: false,
            captured: None,
            onset: None,
        };
        let wire = header.write(b"opus").unwrap();
        let opus = wire.slice(wire.len() - 4..);
        let FrameHeader { track, seq, level, talkspurt_end, captured, onset } = header;
        Frame { track, seq, level, talkspurt_end, captured, onset, opus, wire }
    }
}
