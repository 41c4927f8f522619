//! Trunk to the parent: the rooms' channels on it, the height said there, and the old parent that is
//! kept until all rooms have moved to a new one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::ids::Channel;

use super::rooms::Rooms;
use crate::messages::{LinkId, RoomId};
use crate::outbox::Outbox;

/// Time for which an old parent is kept for rooms whose state the new one does not say. That takes a few
/// turns to and fro of a tree; a parent that takes longer is not waited for.
const MOVE_PATIENCE: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct ParentTrunk {
    channels: BTreeMap<Channel, RoomId>,
    next_channel: u32,
    old: Option<OldParent>,
    /// Levels from here down, as the parent was told last.
    height_said: u8,
    /// The same, as a parent was told that has not answered yet.
    height_greeted: u8,
    was_attached: bool,
}

/// Parent that the relay moves away from.
#[derive(Debug)]
struct OldParent {
    link: LinkId,
    /// Closed by then.
    until: Instant,
    channels: BTreeMap<Channel, RoomId>,
}

impl Default for ParentTrunk {
    fn default() -> Self {
        Self {
            channels: BTreeMap::new(),
            next_channel: 1,
            old: None,
            height_said: 0,
            height_greeted: 0,
            was_attached: false,
        }
    }
}

impl ParentTrunk {
    /// A channel for a room. No two trunks have the same.
    pub(super) fn new_channel(&mut self, room: RoomId) -> Channel {
        let channel = Channel(self.next_channel);
        self.next_channel += 1;
        self.channels.insert(channel, room);
        channel
    }

    /// Room on a channel.
    pub(super) fn room(&self, channel: Channel) -> Option<RoomId> {
        self.channels.get(&channel).copied()
    }

    /// Whether no room has a channel.
    #[cfg(test)]
    pub(super) fn has_no_channels(&self) -> bool {
        self.channels.is_empty()
    }

    /// Frees a channel: its room is forgotten.
    pub(super) fn forget_channel(&mut self, channel: Channel) {
        self.channels.remove(&channel);
    }

    /// The trunk is gone, and its channels with it.
    pub(super) fn forget_channels(&mut self) {
        self.channels.clear();
    }

    /// Notes the height in the greeting of a parent.
    pub(super) const fn note_greeted(&mut self, height: u8) {
        self.height_greeted = height;
    }

    /// The greeted parent is attached. Whether another one was before.
    pub(super) const fn note_attached(&mut self) -> bool {
        self.height_said = self.height_greeted;
        std::mem::replace(&mut self.was_attached, true)
    }

    /// Notes the height to be said. Whether it is news to the parent.
    pub(super) const fn note_height(&mut self, height: u8) -> bool {
        let is_news = height != self.height_said;
        self.height_said = height;
        is_news
    }

    /// Keeps the present parent as the old one; the greeted one takes its place.
    pub(super) fn keep_old(&mut self, now: Instant, link: LinkId) {
        let channels = std::mem::take(&mut self.channels);
        self.old = Some(OldParent { link, until: now + MOVE_PATIENCE, channels });
        self.height_said = self.height_greeted;
    }

    /// Trunk to the old parent, while it is kept.
    pub(super) fn old(&self) -> Option<LinkId> {
        self.old.as_ref().map(|old| old.link)
    }

    /// End of the patience with the old parent.
    pub(super) fn old_until(&self) -> Option<Instant> {
        self.old.as_ref().map(|old| old.until)
    }

    /// Stops keeping the old parent.
    pub(super) fn take_old(&mut self) -> Option<LinkId> {
        self.old.take().map(|old| old.link)
    }
    /// Handles a message of the old parent.
    pub(super) fn handle_old(
        &self,
        now: Instant,
        message: ToChild,
        rooms: &mut Rooms,
        out: &mut Outbox,
    ) {
        match message {
            ToChild::State { channel, revision, .. } => {
                if let Some(room) = self.old_room(channel).and_then(|id| rooms.get_mut(id)) {
                    room.handle_former_state(revision, out);
                }
            }
            ToChild::Deliver { channel, participant, request, message } => {
                if let Some(room) = self.old_room(channel).and_then(|id| rooms.get_mut(id)) {
                    room.handle_deliver(now, participant, request, message, out);
                }
            }
            // The new parent's news count; `replaced` only says that the news of who is here has come
            // by the new way.
            ToChild::Welcome { .. }
            | ToChild::Path { .. }
            | ToChild::GoAway { .. }
            | ToChild::Rulings { .. }
            | ToChild::Reactions { .. }
            | ToChild::Texts { .. }
            | ToChild::Questions { .. }
            | ToChild::Rooms { .. }
            | ToChild::Listeners { .. }
            | ToChild::Protect { .. }
            | ToChild::Replaced { .. }
            | ToChild::Query { .. }
            | ToChild::Answer { .. }
            | ToChild::Unknown => {}
        }
    }

    fn old_room(&self, channel: Channel) -> Option<RoomId> {
        self.old.as_ref()?.channels.get(&channel).copied()
    }
}
