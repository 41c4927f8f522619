//! From one parent to another while the old one drains: nobody is thrown out, nothing goes
//! unconfirmed, nobody else's frames are let in.

use std::time::Duration;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::{Action, Credentials, ToParent};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Channel, Note, RequestId};

use super::tree::{LEAF, MID, ORIGIN, OTHER_LEAF, SPARE, Tree, place};
use crate::messages::{FormerHome, LinkId, ShardEvent};

/// A host at the origin, a speaker at a leaf, whose parent has just begun to drain and whose rooms are
/// at both parents.
struct Evening {
    tree: Tree,
    host: usize,
    speaker: usize,
    /// The leaf's trunk to the parent that drains, and the origin's to that one.
    old: LinkId,
    old_at_origin: LinkId,
}

impl Evening {
    fn moving() -> Self {
        let mut tree = Tree::with_spare(|_, _| ());
        let host = tree.join(ORIGIN, 1, Role::Host);
        let speaker = tree.join(LEAF, 2, Role::Speaker);
        tree.join(LEAF, 3, Role::Listener);
        tree.join(OTHER_LEAF, 4, Role::Listener);
        tree.pass(Duration::from_secs(2));
        let old = tree.hubs[LEAF].uplink.parent().unwrap();
        let old_at_origin = tree.child_link(ORIGIN, MID).unwrap();
        let now = tree.now;
        tree.hubs[MID].handle_drain(now, None, None);
        tree.settle();
        tree.pass(Duration::from_millis(10));
        let evening = Self { tree, host, speaker, old, old_at_origin };
        assert_ne!(evening.tree.hubs[LEAF].uplink.parent(), Some(old));
        assert!(evening.tree.child_link(MID, LEAF).is_some(), "the old trunk is kept");
        evening
    }

    fn is_untouched(&self) {
        assert_eq!(self.tree.closed(self.speaker), None, "nobody has come in elsewhere");
        let stage = &self.tree.room(ORIGIN).state().stage;
        assert!(stage.iter().all(|entry| !entry.away), "nobody is away");
    }

    fn silence(&mut self) -> RequestId {
        let participant = self.tree.people[self.speaker].id;
        let reason = Note::default();
        self.tree.govern(self.host, Govern::Silence { participant, on: true, reason })
    }
}

#[test]
fn a_relay_that_drains_is_left_when_all_rooms_have_moved() {
    let mut evening = Evening::moving();
    evening.is_untouched();
    assert!(!evening.tree.drained);
    evening.tree.pass(Duration::from_millis(1_100));
    assert!(evening.tree.drained, "both leaves have gone");
    assert!(evening.tree.child_link(SPARE, LEAF).is_some());
    evening.is_untouched();
    evening.tree.pass(Duration::from_secs(2));
    assert_eq!(evening.tree.room(ORIGIN).listeners(), 2, "each is counted once");
    let counters = evening.tree.hubs[LEAF].counters();
    assert_eq!((counters.reattachments, counters.attached), (0, 1));
    let request = evening.silence();
    assert!(evening.tree.is_answered(evening.host, request));
}

#[test]
fn a_relay_without_rooms_moves_at_once() {
    let mut tree = Tree::with_spare(|number, config| {
        if number == MID {
            config.drain_to = Some(place(SPARE).to_string());
        }
    });
    let now = tree.now;
    tree.hubs[MID].handle_drain(now, None, None);
    tree.settle();
    tree.pass(Duration::ZERO);
    assert!(tree.drained && tree.child_link(SPARE, LEAF).is_some());
}

#[test]
fn frames_of_both_sides_count_for_two_seconds_and_no_longer() {
    let mut evening = Evening::moving();
    let spare = evening.tree.child_link(ORIGIN, SPARE);
    let former = |link, hears| Some(FormerHome { link, hears });
    // The second track is the speaker's, the first the host's.
    let of = |evening: &Evening, relay: usize, track: usize| {
        let route = evening.tree.tracks[&relay][track];
        (route.home, route.former)
    };
    let origin = former(evening.old_at_origin, true);
    assert_eq!(of(&evening, ORIGIN, 1), (spare, origin));
    let above = evening.tree.hubs[LEAF].uplink.parent();
    assert_eq!(of(&evening, LEAF, 0), (above, former(evening.old, false)));
    assert_eq!(of(&evening, LEAF, 1).1, None, "the speaker has not moved");
    evening.tree.pass(Duration::from_millis(1_500));
    assert_eq!(of(&evening, ORIGIN, 1), (spare, origin));
    assert_eq!(of(&evening, LEAF, 0), (above, None), "the old trunk is closed");
    evening.tree.pass(Duration::from_millis(600));
    assert_eq!(of(&evening, ORIGIN, 1), (spare, None));
}

#[test]
fn a_former_home_is_nobodys_once_they_have_left_the_stage() {
    let mut evening = Evening::moving();
    let (speaker, host) = (evening.speaker, evening.host);
    evening.tree.ask(speaker, FromParticipant::LeaveStage {});
    evening.tree.ask(speaker, FromParticipant::RaiseHand { note: Note::default() });
    let participant = evening.tree.people[speaker].id;
    let request = evening.tree.govern(host, Govern::Grant { participant });
    assert!(evening.tree.is_answered(host, request));
    let route = evening.tree.tracks[&ORIGIN][1];
    assert_eq!((route.home, route.former), (evening.tree.child_link(ORIGIN, SPARE), None));
}

#[test]
fn both_parents_are_told_when_a_silence_is_in_force_and_not_before() {
    let mut evening = Evening::moving();
    evening.tree.slow_shards = vec![LEAF];
    let request = evening.silence();
    evening.tree.pass(Duration::from_millis(500));
    assert!(!evening.tree.is_answered(evening.host, request), "the leaf lets frames through");
    evening.tree.slow_shards.clear();
    evening.tree.release_shards();
    assert!(evening.tree.is_answered(evening.host, request));
    evening.tree.pass(Duration::from_secs(3));
    assert!(!evening.tree.closes.iter().any(|(_, code)| *code == CloseCode::TrunkLagging));
}

/// The relay that drains hears of the silence, the new parent does not yet: what the leaf has in force
/// is what the new one says, so it has nothing to confirm.
#[test]
fn the_old_parent_is_not_told_of_what_the_new_one_has_not_said() {
    let mut evening = Evening::moving();
    evening.tree.deaf = vec![SPARE];
    let request = evening.silence();
    assert!(!evening.tree.is_answered(evening.host, request));
    let silenced = |evening: &Evening, relay: usize| evening.tree.tracks[&relay][1].silenced;
    assert!(silenced(&evening, MID) && !silenced(&evening, LEAF));
    // The origin loses the new parent: all hangs on the one that drains, which sends to the leaf.
    let link = evening.tree.child_link(ORIGIN, SPARE).unwrap();
    evening.tree.event(ORIGIN, ShardEvent::Closed { link, why: "lost".to_owned() });
    evening.tree.pass(Duration::from_millis(500));
    assert!(!evening.tree.is_answered(evening.host, request), "the leaf lets frames through");
    // It sends nothing there any more.
    evening.tree.pass(Duration::from_secs(1));
    assert!(evening.tree.is_answered(evening.host, request));
}

/// It was on its way by the old parent when the news of the move had come by the new one.
#[test]
fn an_act_that_comes_late_by_the_old_way_counts_and_moves_nobody() {
    let mut evening = Evening::moving();
    let participant = evening.tree.people[evening.speaker].id;
    let hub = &evening.tree.hubs[ORIGIN];
    let channel = *hub.children.get(evening.old_at_origin).unwrap().channels.keys().next().unwrap();
    let late = |tree: &mut Tree, link: LinkId, channel: Channel, action: Action| {
        let by = Some(Credentials {
            subject: format!("guest:{participant}").parse().unwrap(),
            name: "somebody".parse().unwrap(),
            role: Role::Speaker,
            may_open: true,
            barred: false,
            came_by: None,
        });
        let message = ToParent::Act { channel, participant, request: None, by, action };
        let (remote, certified) = ("127.0.0.1:1".parse().unwrap(), false);
        tree.event(
            ORIGIN,
            ShardEvent::FromChild { link, remote, certified, message: Box::new(message) },
        );
    };
    let (tree, old) = (&mut evening.tree, evening.old_at_origin);
    late(tree, old, channel, Action::OwnMute { muted: true });
    assert!(tree.room(ORIGIN).state().stage[1].muted);
    late(tree, old, channel, Action::Away {});
    evening.is_untouched();
}

#[test]
fn an_answer_comes_by_the_old_way_too() {
    let mut evening = Evening::moving();
    evening.tree.store_hangs = true;
    let speaker = evening.speaker;
    let request = evening.tree.ask(speaker, FromParticipant::OwnMute { muted: true });
    evening.tree.release_store();
    assert!(evening.tree.is_answered(speaker, request));
}

#[test]
fn a_new_parent_that_is_lost_takes_the_old_one_along() {
    let mut evening = Evening::moving();
    let link = evening.tree.hubs[LEAF].uplink.parent().unwrap();
    evening.tree.no_dials = true;
    evening.tree.event(LEAF, ShardEvent::Closed { link, why: "lost".to_owned() });
    assert!(evening.tree.child_link(MID, LEAF).is_none(), "nobody says what is in force");
    assert_eq!(evening.tree.hubs[LEAF].uplink.parent(), None);
    evening.tree.no_dials = false;
    evening.tree.pass(Duration::from_secs(15));
    assert!(evening.tree.child_link(SPARE, LEAF).is_some());
    evening.is_untouched();
}

#[test]
fn a_second_drain_names_another_place_and_time() {
    let mut tree = Tree::with_spare(|_, _| ());
    let ada = tree.join(MID, 1, Role::Host);
    let now = tree.now;
    let (first, second) = (Duration::from_secs(30), Duration::from_secs(3));
    tree.hubs[MID].handle_drain(now, Some("one:1".to_owned()), Some(first));
    tree.hubs[MID].handle_drain(now, Some("two:2".to_owned()), Some(second));
    tree.hubs[MID].handle_drain(now, None, Some(second));
    tree.settle();
    let said = tree.broadcasts.iter().filter_map(|(_, message)| {
        let ToParticipant::Moved { to, within_ms } = message else { return None };
        Some((to.clone()?, *within_ms))
    });
    let said: Vec<_> = said.collect();
    let all = [("one:1", 30_000), ("two:2", 3_000), ("two:2", 3_000)];
    assert_eq!(said, all.map(|(to, within_ms)| (to.to_owned(), within_ms)));
    let counters = tree.hubs[MID].counters();
    assert_eq!((counters.draining, counters.moved), (1, 3));
    tree.pass(Duration::from_millis(2_900));
    assert!(!tree.drained && tree.closed(ada).is_none());
    tree.pass(Duration::from_millis(200));
    assert!(tree.drained);
}
