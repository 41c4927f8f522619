//! Fan-out of one room on one shard: its views, their datagrams and connections. The shard calls
//! [`RoomMedia::handle_datagram`], then sends what [`RoomMedia::take`] gives for each ready view.

use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use tribune_protocol::control::participant::Heard;
use tribune_protocol::ids::TrackId;
use tribune_protocol::limits::{MAX_FRAMES_PER_DATAGRAM, MAX_STAGE};
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::{Frame, FrameHeader, Level, MediaDatagram};

use super::bundle::{Bundled, Waiting};
use super::ingress::{Ingress, Question, Verdict};
use super::ring::Ring;
use super::select::{Audibility, Selection};
use super::view::{Departure, View};
use crate::counters::{Audiences, DropCause, ShardCounters, Side};
use crate::messages::{KeptFrame, LinkId, RedundancyLevel, ShardSet, TrackRoute, ViewKey};

/// Frames of a track that are given to one that comes back: the two seconds of SPEC.md section 9.
const KEPT_FRAMES: i16 = 100;

/// Frames that came in.
pub type Accepted = SmallVec<[Frame; 4]>;

/// One room on this shard. See the module's documentation.
#[derive(Debug)]
pub struct RoomMedia {
    ingress: Ingress,
    selection: Selection,
    views: Vec<View>,
    hosts: ShardSet,
    /// It waits in the shard's queue of rooms that are ready to send.
    queued: bool,
    /// Frames that listeners were given.
    heard: u64,
    /// When the shard looks for missing frames next.
    repair_check: Option<Instant>,
    /// When the shard looks for ready views next.
    bundle_check: Option<Instant>,
}

impl RoomMedia {
    /// A room that no connection hears yet.
    #[must_use]
    pub fn new(top_n: usize) -> Self {
        Self {
            ingress: Ingress::default(),
            selection: Selection::new(top_n),
            views: Vec::new(),
            hosts: ShardSet::default(),
            queued: false,
            heard: 0,
            repair_check: None,
            bundle_check: None,
        }
    }

    /// Puts new routes in force. Frames that wait to be bundled do not get past a silence either.
    pub fn set_routes(&mut self, routes: &[TrackRoute], counters: &mut ShardCounters) {
        let obstacle = |track| match routes.iter().find(|route| route.track == track) {
            Some(route) => route.silenced.then_some(DropCause::Silenced),
            None => Some(DropCause::UnknownTrack),
        };
        self.ingress.set_routes(routes);
        self.selection.retain(|track| obstacle(track).is_none());
        for view in &mut self.views {
            let keep = |track: TrackId| match obstacle(track) {
                None => true,
                Some(cause) => {
                    counters.frames_dropped.count(cause, 1);
                    false
                }
            };
            view.retain(keep, |track| obstacle(track).is_none());
        }
    }

    /// Sets the shards with connections of the room.
    pub const fn set_hosts(&mut self, hosts: ShardSet) {
        self.hosts = hosts;
    }

    /// Shards with connections of the room.
    #[must_use]
    pub const fn hosts(&self) -> ShardSet {
        self.hosts
    }

    /// Tracks of the room.
    #[must_use]
    pub const fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// Puts a connection into its view, and out of the one it was in. Gives the frames that the latter had
    /// still to send it.
    pub fn attach(&mut self, link: LinkId, key: ViewKey) -> SmallVec<[Bundled; 1]> {
        if self.views.iter().any(|view| view.suits(key, link) && view.has_member(link.slot)) {
            return SmallVec::new();
        }
        let waiting = self.detach(link);
        match self.views.iter_mut().find(|view| view.suits(key, link)) {
            Some(view) => view.insert(link.slot),
            None => self.views.push(View::new(key, link)),
        }
        waiting
    }

    /// Takes a connection out. Gives the frames that it had still to be sent.
    pub fn detach(&mut self, link: LinkId) -> SmallVec<[Bundled; 1]> {
        let mut waiting = SmallVec::new();
        for view in &mut self.views {
            waiting.extend(view.remove(link.slot));
        }
        self.views.retain(|view| !view.is_empty());
        waiting
    }

    /// Has a trunk's frames sent again as its path needs now.
    pub fn protect(&mut self, trunk: LinkId, redundancy: RedundancyLevel) {
        let views = self.views.iter_mut().filter(|view| view.is_trunk() && view.has_link(trunk));
        views.for_each(|view| view.protect(redundancy));
    }

    /// Connections by how they are sent frames.
    #[must_use]
    pub fn audiences(&self) -> Audiences {
        self.views.iter().map(View::audiences).fold(Audiences::default(), Audiences::plus)
    }

    /// The slots of the participants' connections.
    pub fn participants(&self) -> impl Iterator<Item = u32> {
        let participants = self.views.iter().filter(|view| !view.is_trunk());
        participants.flat_map(|view| view.members().iter().copied())
    }

    /// Lets the frames of a datagram in that came over `link`, from that side. Accepted frames go on to
    /// [`Self::handle_frames`], and to the other shards. Also returned is whether some are missing, to be
    /// asked for by [`Self::poll_ask`].
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        (link, side): (LinkId, Side),
        media: &MediaDatagram,
        counters: &mut ShardCounters,
    ) -> (Accepted, bool) {
        let (mut accepted, mut any_missing) = (Accepted::new(), false);
        for (place, frame) in media.frames().enumerate() {
            let source = media.source(place);
            counters.frames_in += 1;
            let Ok(frame) = frame else {
                counters.frames_dropped.count(DropCause::Malformed, 1);
                break;
            };
            match self.ingress.handle_frame(now, (link, side), &frame, source) {
                Verdict::Accept => {
                    let noted = self.ingress.note_arrival(now, &frame, source);
                    counters.frames_repaired.count(side, u64::from(noted.was_missing));
                    counters.frames_missing.count(side, u64::from(noted.missing));
                    any_missing |= noted.missing > 0;
                    accepted.push(frame);
                }
                // It was sent again in case it had not come.
                Verdict::Drop(DropCause::Duplicate) if source == FrameSource::Redundancy => {}
                Verdict::Drop(cause) => counters.frames_dropped.count(cause, 1),
            }
        }
        (accepted, any_missing)
    }

    /// The next frames to ask a neighbour for now. To be called until it is `None`, then
    /// [`Self::schedule_repair`].
    pub fn poll_ask(
        &mut self,
        now: Instant,
        round_trip: impl Fn(LinkId) -> Option<Duration>,
    ) -> Option<Question> {
        self.ingress.poll_ask(now, round_trip)
    }

    /// When the shard looks for missing frames next.
    #[must_use]
    pub const fn repair_check(&self) -> Option<Instant> {
        self.repair_check
    }

    /// Sets the next look for missing frames to when it is due, and returns it.
    pub fn schedule_repair(&mut self) -> Option<Instant> {
        self.repair_check = self.ingress.poll_timeout();
        self.repair_check
    }

    /// Frames that listeners were given so far.
    #[must_use]
    pub const fn heard(&self) -> u64 {
        self.heard
    }

    /// As [`Self::handle_datagram`], for frames that another shard let in.
    pub fn handle_shared(&mut self, frames: &[Frame], counters: &mut ShardCounters) -> Accepted {
        let mut accepted = Accepted::new();
        for frame in frames {
            match self.ingress.handle_shared(frame) {
                Verdict::Accept => accepted.push(frame.clone()),
                Verdict::Drop(cause) => counters.frames_dropped.count(cause, 1),
            }
        }
        accepted
    }

    /// Adds frames of one datagram to the views. [`Self::poll_ready`] tells which of them send now.
    pub fn handle_frames(&mut self, now: Instant, frames: &[Frame], counters: &mut ShardCounters) {
        for frame in frames {
            let heard = match self.selection.handle_frame(now, frame) {
                Audibility::Heard => {
                    self.heard += 1;
                    Some((frame.wire.clone(), frame.talkspurt_end))
                }
                Audibility::Cut => {
                    counters.frames_dropped.count(DropCause::NotSelected, 1);
                    mark(frame).map(|wire| (wire, true))
                }
                Audibility::Unheard => {
                    counters.frames_dropped.count(DropCause::NotSelected, 1);
                    None
                }
            };
            let newest = self.ingress.ring(frame.track).and_then(Ring::newest);
            let is_newest = |other: &Frame| {
                other.track == frame.track && newest.is_some_and(|newest| newest == other.seq)
            };
            let is_late = !frames.iter().any(is_newest);
            self.add(now, (frame, is_late), heard.as_ref(), counters);
        }
    }

    /// The last frame of each track that comes over a connection.
    #[must_use]
    pub fn last_heard(&self, link: LinkId) -> Vec<Heard> {
        self.ingress.newest_from(link).take(MAX_STAGE).collect()
    }

    /// Ring of a track, if a connection may hear it.
    #[must_use]
    pub fn ring_for(&self, link: LinkId, track: TrackId) -> Option<&Ring> {
        let view = self.views.iter().find(|view| view.has_link(link))?;
        let route = self.ingress.route(track)?;
        let may = !route.silenced && view.has(route);
        self.ingress.ring(track).filter(|_| may)
    }

    /// Frames that are kept of some tracks after the last ones that were heard, oldest first.
    #[must_use]
    pub fn kept_after(&self, heard: &[Heard]) -> Vec<KeptFrame> {
        let mut kept = Vec::new();
        for (n, Heard { track, seq }) in heard.iter().take(MAX_STAGE).enumerate() {
            if heard[..n].iter().any(|before| before.track == *track) {
                continue;
            }
            let Some(ring) = self.ingress.ring(*track) else { continue };
            let Some(newest) = ring.newest() else { continue };
            for periods_back in 0..newest.since(*seq).clamp(0, KEPT_FRAMES) {
                let wire = ring.get(newest.minus(periods_back.unsigned_abs()));
                kept.extend(wire.map(|wire| KeptFrame {
                    periods_back,
                    track: *track,
                    wire: wire.clone(),
                }));
            }
        }
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.periods_back));
        kept
    }

    /// Those of the kept frames that a connection may hear, as far as they are of use in its profile.
    #[must_use]
    pub fn for_link(&self, link: LinkId, kept: Vec<KeptFrame>) -> Vec<Bytes> {
        let Some(view) = self.views.iter().find(|view| view.has_link(link)) else {
            return Vec::new();
        };
        let may = |route: &TrackRoute| !route.silenced && view.has(route);
        let is_heard = |kept: &KeptFrame| {
            kept.periods_back < view.replayed_frames()
                && self.ingress.route(kept.track).is_some_and(may)
        };
        kept.into_iter().filter(is_heard).map(|kept| kept.wire).collect()
    }

    /// Notes whether the room waits in the shard's queue. Returns whether that is a change.
    pub fn set_queued(&mut self, queued: bool) -> bool {
        std::mem::replace(&mut self.queued, queued) != queued
    }

    /// Whether some view that waits in the queue has no room for so many frames more.
    #[must_use]
    pub fn is_full(&self, more: usize) -> bool {
        let full = |view: &View| view.waiting() + more > MAX_FRAMES_PER_DATAGRAM;
        self.queued && self.views.iter().any(full)
    }

    /// A view that is ready to send, after position `from`; to be given to [`Self::take`]. `is_packing`: the
    /// shard is behind, and listeners get several frame periods a datagram.
    #[must_use]
    pub fn poll_ready(&self, now: Instant, from: usize, is_packing: bool) -> Option<usize> {
        let ready = |view: &View| {
            view.waiting() > 0
                && view.is_ready(
                    now,
                    self.selection.clock(now, |track| {
                        self.ingress.route(track).is_some_and(|route| view.has(route))
                    }),
                    is_packing,
                )
        };
        (from..self.views.len()).find(|at| ready(&self.views[*at]))
    }

    /// When the next view is ready at the latest.
    #[must_use]
    pub fn poll_timeout(&self, is_packing: bool) -> Option<Instant> {
        self.views.iter().filter_map(|view| view.due(is_packing)).min()
    }

    /// Takes the datagrams that a view sends now.
    pub fn take(&mut self, now: Instant, view: usize) -> Departure {
        self.views[view].take(now)
    }

    /// When the shard looks for ready views next.
    #[must_use]
    pub const fn bundle_check(&self) -> Option<Instant> {
        self.bundle_check
    }

    /// Sets the next look for ready views, and returns it.
    pub fn schedule_bundles(&mut self, is_packing: bool) -> Option<Instant> {
        self.bundle_check = self.poll_timeout(is_packing);
        self.bundle_check
    }

    /// Relays get every frame, so that each selects for its own listeners; listeners get the part of it
    /// that is `heard`.
    fn add(
        &mut self,
        now: Instant,
        (frame, is_late): (&Frame, bool),
        heard: Option<&(Bytes, bool)>,
        counters: &mut ShardCounters,
    ) {
        let Some(route) = self.ingress.route(frame.track) else { return };
        let newest = self.ingress.ring(frame.track).and_then(Ring::newest);
        let periods_back = newest.map_or(0, |newest| newest.since(frame.seq));
        let takes = |view: &&mut View| view.has(route) && periods_back < view.replayed_frames();
        for view in self.views.iter_mut().filter(takes) {
            let whole = (&frame.wire, frame.talkspurt_end);
            let heard = heard.map(|(wire, ends)| (wire, *ends));
            let said = if view.is_trunk() { Some(whole) } else { heard };
            if let Some((wire, ends_talkspurt)) = said {
                let (track, wire) = (frame.track, wire.clone());
                let full = !view.add(now, Waiting { track, wire, ends_talkspurt, is_late });
                counters.frames_dropped.count(DropCause::BundleFull, u64::from(full));
            }
        }
    }
}

/// The frame that tells listeners that a track goes on unheard: it ends the talkspurt.
fn mark(frame: &Frame) -> Option<Bytes> {
    let header = FrameHeader {
        track: frame.track,
        seq: frame.seq,
        level: Level::SILENCE,
        talkspurt_end: true,
        captured: None,
        onset: None,
    };
    header.write(&[]).ok()
}
