//! Fan-out of one room on one shard: its views, their datagrams and connections. The shard calls
//! [`RoomMedia::handle_datagram`], then sends what [`RoomMedia::take`] gives for each ready view.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use tribune_protocol::ids::Channel;
use tribune_protocol::limits::MAX_FRAMES_PER_DATAGRAM;
use tribune_protocol::media::datagram::{Frame, FrameHeader, Level, MediaDatagram};

use super::bundle::{Bundle, Bundled};
use super::ingress::{Ingress, Question, Verdict};
use super::select::{Audibility, Selection};
use crate::counters::{DropCause, ShardCounters, Side};
use crate::messages::{Hears, LinkId, ShardSet, TrackRoute};

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
}

/// A group of connections of one room that need identical bytes.
#[derive(Debug)]
struct View {
    hears: Hears,
    /// The slots of its connections on this shard, ascending: in the order in which they lie in
    /// memory. Shared with frames that are on their way.
    members: Arc<Vec<u32>>,
    /// The trunk, where the view is one; frames from there do not go back.
    trunk: Option<LinkId>,
    bundle: Bundle,
}

/// Datagrams, and the connections that get them.
#[derive(Debug)]
pub struct Departure {
    /// Usually one.
    pub datagrams: SmallVec<[Bundled; 1]>,
    /// Frames in them.
    pub frames: u64,
    /// Since when the oldest of them has waited; `None`: there is none.
    pub since: Option<Instant>,
    /// The slots of the connections, ascending.
    pub slots: Arc<Vec<u32>>,
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
            view.bundle.retain(|track| match obstacle(track) {
                None => true,
                Some(cause) => {
                    counters.frames_dropped.count(cause, 1);
                    false
                }
            });
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

    /// Puts a connection into its view, and out of the one it was in.
    pub fn attach(&mut self, link: LinkId, hears: Hears) {
        self.detach(link);
        let trunk = match hears {
            Hears::Trunk(_) => Some(link),
            Hears::Everything | Hears::AllBut(_) | Hears::Nothing => None,
        };
        match self.views.iter_mut().find(|view| view.hears == hears && view.trunk == trunk) {
            Some(view) => {
                if let Err(at) = view.members.binary_search(&link.slot) {
                    Arc::make_mut(&mut view.members).insert(at, link.slot);
                }
            }
            None => self.views.push(View {
                hears,
                members: Arc::new(vec![link.slot]),
                trunk,
                bundle: Bundle::default(),
            }),
        }
    }

    /// Takes a connection out.
    pub fn detach(&mut self, link: LinkId) {
        for view in &mut self.views {
            if let Ok(at) = view.members.binary_search(&link.slot) {
                Arc::make_mut(&mut view.members).remove(at);
            }
        }
        self.views.retain(|view| !view.members.is_empty());
    }

    /// The slots of the participants' connections.
    pub fn participants(&self) -> impl Iterator<Item = u32> {
        let participants = self.views.iter().filter(|view| view.trunk.is_none());
        participants.flat_map(|view| view.members.iter().copied())
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
        for frame in media.frames() {
            counters.frames_in += 1;
            let Ok(frame) = frame else {
                counters.frames_dropped.count(DropCause::Malformed, 1);
                break;
            };
            match self.ingress.handle_frame(now, link, &frame, media.is_repair) {
                Verdict::Accept => {
                    let noted = self.ingress.note_arrival(now, &frame, media.is_repair);
                    counters.frames_repaired.count(side, u64::from(noted.repaired));
                    counters.frames_missing.count(side, u64::from(noted.missing));
                    any_missing |= noted.missing > 0;
                    accepted.push(frame);
                }
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
        patience: Duration,
        round_trip: impl Fn(LinkId) -> Option<Duration>,
    ) -> Option<Question> {
        self.ingress.poll_ask(now, patience, round_trip)
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
                    Some(frame.wire.clone())
                }
                Audibility::Cut => {
                    counters.frames_dropped.count(DropCause::NotSelected, 1);
                    mark(frame)
                }
                Audibility::Unheard => {
                    counters.frames_dropped.count(DropCause::NotSelected, 1);
                    None
                }
            };
            self.add(now, frame, heard.as_ref(), counters);
        }
    }

    /// Notes whether the room waits in the shard's queue. Returns whether that is a change.
    pub fn set_queued(&mut self, queued: bool) -> bool {
        std::mem::replace(&mut self.queued, queued) != queued
    }

    /// Whether some view that waits in the queue has no room for so many frames more.
    #[must_use]
    pub fn is_full(&self, more: usize) -> bool {
        let full = |view: &View| view.bundle.len() + more > MAX_FRAMES_PER_DATAGRAM;
        self.queued && self.views.iter().any(full)
    }

    /// A view that is ready to send, after position `from`; to be given to [`Self::take`].
    #[must_use]
    pub fn poll_ready(&self, now: Instant, from: usize) -> Option<usize> {
        let ready = |view: &View| {
            view.bundle.due().is_some()
                && view.bundle.is_ready(
                    now,
                    self.selection.clock(now, |track| {
                        self.ingress.route(track).is_some_and(|route| view.has(route))
                    }),
                )
        };
        (from..self.views.len()).find(|at| ready(&self.views[*at]))
    }

    /// When the next view is ready at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.views.iter().filter_map(|view| view.bundle.due()).min()
    }

    /// Takes the datagrams that a view sends now.
    pub fn take(&mut self, view: usize) -> Departure {
        let view = &mut self.views[view];
        let channel = match view.hears {
            Hears::Trunk(channel) => channel,
            Hears::Everything | Hears::AllBut(_) | Hears::Nothing => Channel(0),
        };
        let frames = view.bundle.len() as u64;
        let since = view.bundle.since();
        let slots = Arc::clone(&view.members);
        Departure { datagrams: view.bundle.take(channel), frames, since, slots }
    }

    /// Relays get every frame, so that each selects for its own listeners; listeners get the part of it
    /// that is `heard`.
    fn add(
        &mut self,
        now: Instant,
        frame: &Frame,
        heard: Option<&Bytes>,
        counters: &mut ShardCounters,
    ) {
        let Some(route) = self.ingress.route(frame.track) else { return };
        for view in self.views.iter_mut().filter(|view| view.has(route)) {
            let wire = if view.trunk.is_some() { Some(&frame.wire) } else { heard };
            if let Some(wire) = wire {
                let full = !view.bundle.add(now, frame.track, wire);
                counters.frames_dropped.count(DropCause::BundleFull, u64::from(full));
            }
        }
    }
}

impl View {
    /// Whether the view hears a track.
    fn has(&self, route: &TrackRoute) -> bool {
        match self.hears {
            Hears::Everything => true,
            Hears::AllBut(own) => route.track != own,
            Hears::Nothing => false,
            Hears::Trunk(_) => {
                let deaf = route.former.filter(|former| !former.hears).map(|former| former.link);
                route.home != self.trunk && (deaf.is_none() || deaf != self.trunk)
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
    };
    header.write(&[]).ok()
}
