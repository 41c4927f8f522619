//! Join of a participant at this relay, from the request until it is answered.

use std::net::IpAddr;
use std::time::Duration;

use tribune_protocol::control::participant::{Heard, Join, Joined, You};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::share::ShareText;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{DisplayName, RequestId};
use tribune_protocol::limits::MAX_STAGE;

use super::overload::Overload;
use super::person::Shown;
use crate::counters::Transport;
use crate::messages::{LinkId, ViewKey};

/// Longest stay that is believed: the last point of the retention curve.
const MAX_STAY: Duration = Duration::from_secs(86_400);

/// A join under way.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The connection.
    pub link: LinkId,
    /// The request to answer.
    pub request: Option<RequestId>,
    /// Display name wanted.
    pub name: DisplayName,
    /// Role wanted.
    pub role: Role,
    /// Credentials shown.
    pub shown: Shown,
    /// Address of the participant.
    pub address: IpAddr,
    /// The origin may know the participant, as it says itself.
    pub returning: bool,
    /// Way it comes.
    pub transport: Transport,
    /// Profile wanted.
    pub profile: Option<Profile>,
    /// Way of arrival, where the connection does not tell it.
    pub way: Option<Way>,
    /// Share link shown, not checked.
    pub share: Option<ShareText>,
    /// Time for which the stay has lasted elsewhere.
    pub stayed: Option<Duration>,
    /// Redundant frames are understood.
    pub redundancy: bool,
    /// The last frame heard of each track.
    pub heard: Vec<Heard>,
    /// The relay is at its capacity: only a participant with a place in the room is let in.
    pub overload: Option<Overload>,
    /// Answer about this relay.
    pub greeting: Greeting,
}

/// Connection of somebody who joins.
#[derive(Debug, Clone, Copy)]
pub struct Connected {
    /// The connection.
    pub link: LinkId,
    /// The request to answer.
    pub request: Option<RequestId>,
    /// Address of the participant.
    pub address: IpAddr,
    /// Way it comes.
    pub transport: Transport,
}

/// This relay, as the answer to a join describes it.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Name of the relay.
    pub relay: DisplayName,
    /// Relays from here to the origin, both counted.
    pub depth: u8,
}

impl Admission {
    /// A join as it came, with what has been found out about it.
    #[must_use]
    pub fn new(
        join: Join,
        connected: Connected,
        shown: Shown,
        overload: Option<Overload>,
        greeting: Greeting,
    ) -> Self {
        let Join { name, role, returning, mut heard, profile, redundancy, way, share, .. } = join;
        heard.truncate(MAX_STAGE);
        let Connected { link, request, address, transport } = connected;
        let stayed = join.stay_s.map(|stay_s| Duration::from_secs(stay_s.into()).min(MAX_STAY));
        Self {
            link,
            request,
            name,
            role,
            shown,
            address,
            returning,
            transport,
            profile,
            way,
            share,
            stayed,
            redundancy,
            heard,
            overload,
            greeting,
        }
    }
}

impl Greeting {
    /// The answer to a join.
    pub(crate) fn joined(self, you: You, stage: Vec<StageEntry>, listeners: u64) -> Joined {
        let Self { relay, depth } = self;
        Joined { relay, depth, you, stage, listeners, redundancy: true }
    }
}

/// Progress of a participant's join.
#[derive(Debug)]
pub(crate) enum Stay {
    /// Under way.
    Joining {
        admission: Box<Admission>,
        /// The origin has been asked, and has not answered yet.
        asked: bool,
        /// The participant was in with an older connection until now, or until a moment ago.
        was_in: bool,
    },
    /// Over: the participant hears the room.
    In { view: ViewKey },
}
