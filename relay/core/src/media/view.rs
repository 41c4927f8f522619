//! View: a group of connections of one room that need identical bytes. Used by [`super::fanout`].

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::ids::{Channel, TrackId};

use super::bundle::{Bundle, Bundled, Waiting};
use crate::counters::Audiences;
use crate::messages::{Hears, LinkId, RedundancyLevel, TrackRoute, ViewKey};

/// Frame periods that a datagram of `audience` holds: a third of the packets, and 40 ms more.
const PACKED_PERIODS: u8 = 3;
/// The same for a stream: what is lost there comes late, so that time matters less.
const STREAM_PERIODS: u8 = 5;

/// Frames of a track sent to a connection that comes back: the two seconds of SPEC.md section 9.
const REPLAYED: i16 = 100;
/// The same in `live`: as long as its buffer waits.
const REPLAYED_LIVE: i16 = 20;

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
    /// They are written to streams.
    pub on_streams: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct View {
    key: ViewKey,
    /// The slots of its connections on this shard, ascending: in the order in which they lie in
    /// memory. Shared with frames that are on their way.
    members: Arc<Vec<u32>>,
    /// The trunk, where the view is one; frames from there do not go back.
    trunk: Option<LinkId>,
    /// Frames that are sent again: the key's, or what the trunk needs.
    redundancy: RedundancyLevel,
    bundle: Bundle,
}

impl View {
    /// A view of one connection.
    pub(super) fn new(key: ViewKey, link: LinkId) -> Self {
        let members = Arc::new(vec![link.slot]);
        let redundancy = key.redundancy;
        Self { key, members, trunk: trunk(key, link), redundancy, bundle: Bundle::default() }
    }

    /// Whether a connection with that key belongs here.
    pub(super) fn suits(&self, key: ViewKey, link: LinkId) -> bool {
        self.key == key && self.trunk == trunk(key, link)
    }

    pub(super) const fn is_trunk(&self) -> bool {
        self.trunk.is_some()
    }

    /// Has it send frames again as the trunk needs now.
    pub(super) const fn protect(&mut self, redundancy: RedundancyLevel) {
        self.redundancy = redundancy;
    }

    /// Its connections, by how they are sent frames.
    pub(super) fn audiences(&self) -> Audiences {
        let count = self.members.len() as u64;
        let mut audiences = Audiences::default();
        match self.key.profile {
            Profile::Live | Profile::Unknown if self.is_trunk() => {}
            Profile::Live | Profile::Unknown => audiences.live = count,
            Profile::Audience => audiences.audience = count,
            Profile::Reliable => audiences.reliable = count,
        }
        if self.redundancy > RedundancyLevel::None {
            audiences.protected = count;
        }
        audiences
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Whether a connection is in it.
    pub(super) fn has_link(&self, link: LinkId) -> bool {
        self.has_member(link.slot) && self.trunk.is_none_or(|trunk| trunk == link)
    }

    /// Frames of a track that are sent at most to a connection that comes back. In conversation older ones
    /// are of no use.
    pub(super) const fn replayed_frames(&self) -> i16 {
        match (self.key.profile, self.key.hears) {
            (
                Profile::Live | Profile::Unknown,
                Hears::Everything | Hears::AllBut(_) | Hears::Nothing,
            ) => REPLAYED_LIVE,
            (Profile::Live | Profile::Unknown, Hears::Trunk(_))
            | (Profile::Audience | Profile::Reliable, _) => REPLAYED,
        }
    }

    pub(super) fn has_member(&self, slot: u32) -> bool {
        self.members.binary_search(&slot).is_ok()
    }

    /// Adds a connection.
    pub(super) fn insert(&mut self, slot: u32) {
        if let Err(at) = self.members.binary_search(&slot) {
            Arc::make_mut(&mut self.members).insert(at, slot);
        }
    }

    /// Takes a connection out. Gives the frames that it has not been sent yet, if it was in.
    pub(super) fn remove(&mut self, slot: u32) -> SmallVec<[Bundled; 1]> {
        let Ok(at) = self.members.binary_search(&slot) else { return SmallVec::new() };
        Arc::make_mut(&mut self.members).remove(at);
        self.bundle.copy(self.channel())
    }

    /// Whether the view hears a track.
    pub(super) fn has(&self, route: &TrackRoute) -> bool {
        match self.key.hears {
            Hears::Everything => true,
            Hears::AllBut(own) => route.track != own,
            Hears::Nothing => false,
            Hears::Trunk(_) => {
                let deaf = route.former.filter(|former| !former.hears).map(|former| former.link);
                route.home != self.trunk && (deaf.is_none() || deaf != self.trunk)
            }
        }
    }

    /// Adds a frame. Returns whether there was room.
    pub(super) fn add(&mut self, now: Instant, frame: Waiting) -> bool {
        self.bundle.add(now, frame)
    }

    /// Keeps only the frames of some tracks: see [`Bundle::retain`].
    pub(super) fn retain(
        &mut self,
        keep: impl FnMut(TrackId) -> bool,
        is_known: impl Fn(TrackId) -> bool,
    ) {
        self.bundle.retain(keep, is_known);
    }

    /// Frames that wait.
    pub(super) fn waiting(&self) -> usize {
        self.bundle.len()
    }

    /// Whether it sends now, by the frames of `clock`. `is_packing`: the shard is behind.
    pub(super) fn is_ready(&self, now: Instant, clock: Option<TrackId>, is_packing: bool) -> bool {
        self.bundle.is_ready(now, clock, self.periods(is_packing))
    }

    /// When it sends at the latest; `None`: nothing waits.
    pub(super) fn due(&self, is_packing: bool) -> Option<Instant> {
        self.bundle.due(self.periods(is_packing))
    }

    /// Takes the datagrams that it sends now.
    pub(super) fn take(&mut self, now: Instant) -> Departure {
        let (frames, since) = (self.bundle.len() as u64, self.bundle.since());
        let channel = self.channel();
        Departure {
            datagrams: self.bundle.take(now, channel, self.redundancy),
            frames,
            since,
            slots: Arc::clone(&self.members),
            on_streams: match self.key.profile {
                Profile::Reliable => true,
                Profile::Live | Profile::Audience | Profile::Unknown => false,
            },
        }
    }

    const fn channel(&self) -> Channel {
        match self.key.hears {
            Hears::Trunk(channel) => channel,
            Hears::Everything | Hears::AllBut(_) | Hears::Nothing => Channel(0),
        }
    }

    /// Frame periods a datagram. Listeners are packed before a frame is lost; those who talk to each other
    /// and relays, for whom others wait, are not.
    const fn periods(&self, is_packing: bool) -> u8 {
        match (self.key.profile, self.key.hears) {
            (Profile::Audience, _) => PACKED_PERIODS,
            (Profile::Reliable, _) => STREAM_PERIODS,
            (Profile::Live | Profile::Unknown, Hears::Everything) if is_packing => PACKED_PERIODS,
            (Profile::Live | Profile::Unknown, _) => 1,
        }
    }
}

const fn trunk(key: ViewKey, link: LinkId) -> Option<LinkId> {
    match key.hears {
        Hears::Trunk(_) => Some(link),
        Hears::Everything | Hears::AllBut(_) | Hears::Nothing => None,
    }
}
