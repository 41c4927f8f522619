//! Admission of frames: only those of a track that the room knows, from the side where it is at home or
//! was until a moment ago, not silenced, and once. Used by [`super::fanout`].

use std::time::{Duration, Instant};

use tribune_protocol::control::participant::Heard;
use tribune_protocol::ids::TrackId;
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::media::repair::{Gap, Noted, Reach, Repair};

use super::ring::{Inserted, Ring};
use crate::counters::DropCause;
use crate::messages::{LinkId, TrackRoute};

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
                }),
            }
        }
    }

    /// Judges a frame that came over `link`, and keeps it if it is accepted.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        link: LinkId,
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
        let verdict = track.insert(frame);
        if verdict == Verdict::Drop(DropCause::Duplicate) {
            track.repair.handle_duplicate(now, frame.seq, source);
        }
        verdict
    }

    /// Notes a frame that was accepted. Gives what it tells of those before it.
    pub fn note_arrival(&mut self, now: Instant, frame: &Frame, source: FrameSource) -> Noted {
        let Some(track) = self.track_mut(frame.track) else { return Noted::default() };
        track.repair.handle_frame(now, (frame.seq, frame.talkspurt_end), source)
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
            ingress.handle_frame(now, home, &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::UnknownTrack)
        );
        ingress.set_routes(&[route(Some(home), false)]);
        assert_eq!(
            ingress.handle_frame(now, other, &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::NotYourTrack)
        );
        assert_eq!(
            ingress.handle_frame(now, home, &frame(1, 0), FrameSource::Sent),
            Verdict::Accept
        );
        assert_eq!(
            ingress.handle_frame(now, home, &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::Duplicate)
        );
        ingress.set_routes(&[route(Some(home), true)]);
        assert_eq!(
            ingress.handle_frame(now, home, &frame(1, 1), FrameSource::Sent),
            Verdict::Drop(DropCause::Silenced)
        );
        ingress.set_routes(&[route(None, false)]);
        assert_eq!(
            ingress.handle_frame(now, home, &frame(1, 1), FrameSource::Sent),
            Verdict::Drop(DropCause::NotYourTrack)
        );
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
            ingress.handle_frame(now, old, &frame(1, 0), FrameSource::Sent),
            Verdict::Accept
        );
        assert_eq!(
            ingress.handle_frame(now, home, &frame(1, 0), FrameSource::Sent),
            Verdict::Drop(DropCause::Duplicate)
        );
        assert_eq!(
            ingress.handle_frame(now, home, &frame(1, 1), FrameSource::Sent),
            Verdict::Accept
        );
        assert_eq!(
            ingress.handle_frame(now, old, &frame(1, 1), FrameSource::Sent),
            Verdict::Drop(DropCause::Duplicate)
        );
        let refused = Verdict::Drop(DropCause::NotYourTrack);
        assert_eq!(ingress.handle_frame(now, other, &frame(1, 2), FrameSource::Sent), refused);
        ingress.set_routes(&[TrackRoute { silenced: true, ..route }]);
        for link in [home, old] {
            let silenced = Verdict::Drop(DropCause::Silenced);
            assert_eq!(ingress.handle_frame(now, link, &frame(1, 2), FrameSource::Sent), silenced);
        }
        ingress.set_routes(&[TrackRoute { former: None, ..route }]);
        assert_eq!(ingress.handle_frame(now, old, &frame(1, 2), FrameSource::Sent), refused);
        assert_eq!(
            ingress.handle_frame(now, home, &frame(1, 2), FrameSource::Sent),
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
        };
        let wire = header.write(b"opus").unwrap();
        let opus = wire.slice(wire.len() - 4..);
        let FrameHeader { track, seq, level, talkspurt_end, captured } = header;
        Frame { track, seq, level, talkspurt_end, captured, opus, wire }
    }
}
