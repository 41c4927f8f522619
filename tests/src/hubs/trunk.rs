//! The network between relays: each trunk keeps the order of its control messages, trunks race each
//! other, and a trunk can be lost. Lost packets of a stream show as delay, lost connections as breaks.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::limits::MAX_TREE_DEPTH;
use tribune_relay_core::messages::{DialId, Hears, LinkId, ShardEvent, ShardId};
use tribune_relay_core::tree::target::Target;

use super::audio::Frame;
use super::event::NetEvent;
use super::shard::Peer;
use super::{HubNet, RelayNo, read};

/// A trunk, in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrunkNo(pub usize);

/// One end of a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The child's.
    Below,
    /// The parent's.
    Above,
}

/// Conditions on all links.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Time that every message on a trunk takes.
    pub latency: Duration,
    /// Added to it, evenly spread.
    pub jitter: Duration,
    /// Share of messages that are lost and sent again, and of frames that are lost.
    pub loss: f64,
    /// Share of what crosses between hub and shard that is held up, by up to 20 ms.
    pub hold_up: f64,
}

/// Longest extra delay of a retransmitted message; at least a third of it.
const RETRANSMISSION: Duration = Duration::from_millis(300);
/// The usual time between a hub and a shard, at most.
const INSIDE: Duration = Duration::from_micros(500);
/// A thread of a relay that was held up goes on after that, at most.
const HELD_UP: Duration = Duration::from_millis(20);
/// A side notices that its trunk is gone within that, as by QUIC's idle timeout.
const NOTICED_WITHIN: Duration = Duration::from_millis(1_500);

impl Weather {
    /// No loss, 10 ms.
    #[must_use]
    pub const fn clean() -> Self {
        let (latency, jitter) = (Duration::from_millis(10), Duration::ZERO);
        Self { latency, jitter, loss: 0.0, hold_up: 0.0 }
    }

    /// Jitter as long as the way, 3 % loss, a relay's threads out of step.
    #[must_use]
    pub const fn rough() -> Self {
        let (latency, jitter) = (Duration::from_millis(15), Duration::from_millis(15));
        Self { latency, jitter, loss: 0.03, hold_up: 0.05 }
    }

    /// The time that something takes between a hub and a shard.
    pub(super) fn inside(&self, rng: &mut StdRng) -> Duration {
        if self.hold_up > 0.0 && rng.random_bool(self.hold_up) {
            return rng.random_range(Duration::ZERO..HELD_UP);
        }
        rng.random_range(Duration::ZERO..INSIDE)
    }

    /// The time that something takes on a trunk, once.
    fn across(&self, rng: &mut StdRng) -> Duration {
        self.latency + self.jitter.mul_f64(rng.random())
    }

    /// The time that a message of a stream takes on a trunk.
    fn message(&self, rng: &mut StdRng) -> Duration {
        let mut time = self.across(rng);
        while self.loss > 0.0 && rng.random_bool(self.loss) {
            time += rng.random_range(RETRANSMISSION / 3..RETRANSMISSION);
        }
        time
    }
}

/// Control messages counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Their bytes, with the length in front.
    pub bytes: u64,
}

/// A trunk.
#[derive(Debug)]
struct Trunk {
    child: RelayNo,
    parent: RelayNo,
    below: LinkId,
    above: LinkId,
    /// Nothing gets through any more.
    broken: bool,
    /// Arrival of the last message in flight, to the parent and to the child.
    last: [Duration; 2],
    /// Since when the parent's shard has the room on it.
    subscribed: Option<Duration>,
}

/// All trunks so far, and the bytes sent on them.
#[derive(Debug, Default)]
pub(super) struct Trunks {
    all: Vec<Trunk>,
    /// The trunks of a child, the last one last: two while it moves.
    open: Vec<Vec<TrunkNo>>,
    /// Pairs of child and parent that cannot reach each other.
    cut: Vec<(RelayNo, RelayNo)>,
    /// To and from children, by parent.
    from_children: Vec<Traffic>,
    to_children: Vec<Traffic>,
}

impl Trunks {
    fn grow(&mut self, relays: usize) {
        self.open.resize(relays, Vec::new());
        self.from_children.resize(relays, Traffic::default());
        self.to_children.resize(relays, Traffic::default());
    }

    fn end(&self, trunk: TrunkNo, side: Side) -> (RelayNo, LinkId) {
        let trunk = &self.all[trunk.0];
        match side {
            Side::Below => (trunk.child, trunk.below),
            Side::Above => (trunk.parent, trunk.above),
        }
    }
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Below => Self::Above,
            Self::Above => Self::Below,
        }
    }
}

impl HubNet {
    /// The control messages so far on a relay's trunks to its children: from them, and to them.
    #[must_use]
    pub fn traffic(&self, relay: RelayNo) -> (Traffic, Traffic) {
        let of = |all: &[Traffic]| all.get(relay.0).copied().unwrap_or_default();
        (of(&self.trunks.from_children), of(&self.trunks.to_children))
    }

    /// Breaks the trunk that a child has at the moment, if any, the newest of two: what is on its way is
    /// lost, and each side notices in its own time.
    pub fn break_trunk(&mut self, child: RelayNo) {
        if let Some(trunk) = self.trunks_of(child).last().copied() {
            self.break_this(trunk);
        }
    }

    /// Lets nothing pass between a child and a parent any more, or lets it pass again. Trunks between
    /// them break.
    pub fn set_cut(&mut self, child: RelayNo, parent: RelayNo, cut: bool) {
        self.trunks.cut.retain(|pair| *pair != (child, parent));
        if !cut {
            return;
        }
        self.trunks.cut.push((child, parent));
        for trunk in self.trunks_of(child).to_vec() {
            if self.trunks.all[trunk.0].parent == parent {
                self.break_this(trunk);
            }
        }
    }

    fn break_this(&mut self, trunk: TrunkNo) {
        self.break_now(trunk);
        for side in [Side::Below, Side::Above] {
            let at = self.now + self.rng.random_range(Duration::ZERO..NOTICED_WITHIN);
            self.schedule.push(at, NetEvent::TrunkGone { trunk, side });
        }
    }

    fn trunks_of(&self, child: RelayNo) -> &[TrunkNo] {
        self.trunks.open.get(child.0).map(Vec::as_slice).unwrap_or_default()
    }

    /// Lets everything pass everywhere.
    pub fn heal(&mut self) {
        self.trunks.cut.clear();
    }

    /// Since when the room has been subscribed on every trunk from the origin down to a relay;
    /// `None`: it is not.
    #[must_use]
    pub fn in_tree_since(&self, relay: RelayNo) -> Option<Duration> {
        self.way_since(relay, MAX_TREE_DEPTH)
    }

    /// By the way that has lasted longest, where there are several.
    fn way_since(&self, relay: RelayNo, levels: usize) -> Option<Duration> {
        if self.relays[relay.0].parents.is_empty() {
            return Some(Duration::ZERO);
        }
        let levels = levels.checked_sub(1)?;
        let since = |trunk: &TrunkNo| {
            let trunk = &self.trunks.all[trunk.0];
            Some(trunk.subscribed?.max(self.way_since(trunk.parent, levels)?))
        };
        self.trunks_of(relay).iter().filter_map(since).min()
    }

    pub(super) fn dial(&mut self, child: RelayNo, target: &Target, dial: DialId) {
        let named = target.to.as_ref().map(|to| RelayNo(usize::from(to.port()) - 1));
        let parent = named.unwrap_or_else(|| self.relays[child.0].parents[target.parent]);
        // A handshake is one turn there and back.
        let takes = self.weather.message(&mut self.rng) + self.weather.message(&mut self.rng);
        self.schedule.push(self.now + takes, NetEvent::Dialled { child, parent, dial });
    }

    pub(super) fn handle_dialled(&mut self, child: RelayNo, parent: RelayNo, dial: DialId) {
        if self.trunks.cut.contains(&(child, parent)) {
            let why = "nobody answers".to_owned();
            return self.tell_hub(child, ShardId(0), ShardEvent::DialFailed { dial, why });
        }
        let trunk = TrunkNo(self.trunks.all.len());
        let shards = self.relays[parent.0].shards.len();
        let shard = ShardId(self.rng.random_range(0..shards) as u8);
        let below = self.shard(child, ShardId(0)).open(Peer::Trunk(trunk, Side::Below));
        let above = self.shard(parent, shard).open(Peer::Trunk(trunk, Side::Above));
        let (broken, last, subscribed) = (false, [Duration::ZERO; 2], None);
        self.trunks.all.push(Trunk { child, parent, below, above, broken, last, subscribed });
        self.trunks.grow(self.relays.len());
        self.trunks.open[child.0].push(trunk);
        self.tell_hub(child, ShardId(0), ShardEvent::Dialled { dial, link: below });
    }

    /// A hub's message enters a trunk on that side.
    pub(super) fn send_on_trunk(&mut self, trunk: TrunkNo, from: Side, message: Bytes) {
        let takes = self.weather.message(&mut self.rng);
        let sent = &mut self.trunks.all[trunk.0];
        let traffic = match from {
            Side::Below => &mut self.trunks.from_children[sent.parent.0],
            Side::Above => &mut self.trunks.to_children[sent.parent.0],
        };
        traffic.messages += 1;
        traffic.bytes += message.len() as u64;
        if sent.broken {
            return;
        }
        let last = &mut sent.last[usize::from(from == Side::Above)];
        *last = (*last).max(self.now + takes);
        self.schedule.push(*last, NetEvent::TrunkMessage { trunk, to: from.other(), message });
    }

    pub(super) fn handle_trunk_message(&mut self, trunk: TrunkNo, to: Side, message: &Bytes) {
        let (relay, link) = self.trunks.end(trunk, to);
        if self.trunks.all[trunk.0].broken || self.shard(relay, link.shard).peer(link).is_none() {
            return;
        }
        self.witness(relay, message);
        let event = match to {
            Side::Above => {
                let message = Box::new(read::<ToParent>(message).1);
                let remote = ([127, 0, 0, 1], 1).into();
                ShardEvent::FromChild { link, remote, certified: false, message }
            }
            Side::Below => ShardEvent::FromParent { link, message: read::<ToChild>(message).1 },
        };
        self.tell_hub(relay, link.shard, event);
    }

    /// A side has noticed that the trunk is gone.
    pub(super) fn handle_trunk_gone(&mut self, trunk: TrunkNo, side: Side) {
        let (relay, link) = self.trunks.end(trunk, side);
        if self.shard(relay, link.shard).close(link).is_some() {
            let why = "the trunk is gone".to_owned();
            self.tell_hub(relay, link.shard, ShardEvent::Closed { link, why });
        }
    }

    /// A side has closed the trunk; what it had sent may be lost.
    pub(super) fn trunk_closed_by(&mut self, trunk: TrunkNo, side: Side) {
        let to = side.other();
        let last = self.trunks.all[trunk.0].last[usize::from(to == Side::Below)];
        let at = last.max(self.now + self.weather.across(&mut self.rng));
        self.schedule.push(at, NetEvent::TrunkGone { trunk, side: to });
        let farewell_is_read = self.rng.random_bool(0.5);
        self.trunks.all[trunk.0].subscribed = None;
        let child = self.trunks.all[trunk.0].child;
        self.trunks.open[child.0].retain(|open| *open != trunk);
        if !farewell_is_read {
            self.break_now(trunk);
        }
    }

    /// Notes whether the room is on a trunk, where the parent's shard attaches or detaches it.
    pub(super) fn note_subscription(&mut self, relay: RelayNo, link: LinkId) {
        let shard = self.shard_ref(relay, link.shard);
        if let Some(Peer::Trunk(trunk, Side::Above)) = shard.peer(link) {
            let on = matches!(shard.hears(link), Some((_, Hears::Trunk(_))));
            let now = self.now;
            let subscribed = &mut self.trunks.all[trunk.0].subscribed;
            *subscribed = if on { subscribed.or(Some(now)) } else { None };
        }
    }

    /// A frame enters a trunk. Frames are lost and overtake each other.
    pub(super) fn send_frame(&mut self, trunk: TrunkNo, from: Side, frame: Frame) {
        let lost = self.weather.loss > 0.0 && self.rng.random_bool(self.weather.loss);
        if self.trunks.all[trunk.0].broken || lost {
            return;
        }
        let at = self.now + self.weather.across(&mut self.rng);
        self.schedule.push(at, NetEvent::TrunkFrame { trunk, to: from.other(), frame });
    }

    pub(super) fn handle_trunk_frame(&mut self, trunk: TrunkNo, to: Side, frame: Frame) {
        let (relay, link) = self.trunks.end(trunk, to);
        if !self.trunks.all[trunk.0].broken {
            self.handle_frame(relay, link, frame);
        }
    }

    fn break_now(&mut self, trunk: TrunkNo) {
        let broken = &mut self.trunks.all[trunk.0];
        (broken.broken, broken.subscribed) = (true, None);
        let child = broken.child;
        self.trunks.open[child.0].retain(|open| *open != trunk);
    }
}
