//! The simulated network: who comes, goes and comes back, and what a room costs while nobody is there.

use std::time::Duration;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::Note;
use tribune_tests::sim::client::Answer;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::tree::{ROOM, Tree};
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// Time for which a relay keeps an unused room.
const LINGER: Duration = Duration::from_secs(10);

#[test]
fn a_relay_wants_a_room_only_while_somebody_is_there() {
    let mut sim = Sim::new(1);
    let tree = Tree::build(&mut sim, &RelaySpec::default());
    let host = sim.joined("host", tree.origin, Role::Host);
    sim.with(host, |client| client.talk(30));
    sim.run_for(2 * SECOND);
    let carries = |sim: &Sim, relay: RelayHandle| sim.relay_ref(relay).room(ROOM).is_some();
    let elsewhere: Vec<_> = tree.relays().into_iter().skip(1).collect();
    assert!(elsewhere.iter().all(|relay| !carries(&sim, *relay)));

    let listener = sim.joined("listener", tree.leaves[0], Role::Listener);
    sim.run_for(2 * SECOND);
    assert!(carries(&sim, tree.mids[0]) && carries(&sim, tree.leaves[0]));
    assert!(elsewhere.iter().filter(|relay| carries(&sim, **relay)).count() == 2);

    sim.with(listener, |client| client.request(&FromParticipant::Leave {}));
    sim.run_for(SECOND);
    assert_eq!(sim.client_ref(listener).close_code(), Some(CloseCode::Done));
    sim.run_for(LINGER - 2 * SECOND);
    assert!(carries(&sim, tree.leaves[0]), "a reconnect costs nothing");
    sim.run_for(3 * SECOND);
    assert!(!carries(&sim, tree.leaves[0]));
    sim.run_for(LINGER);
    assert!(!carries(&sim, tree.mids[0]));
    let before = frames_in(&mut sim, &elsewhere);
    sim.run_for(5 * SECOND);
    assert_eq!(frames_in(&mut sim, &elsewhere), before, "frames cross no trunk");
}

#[test]
fn a_room_that_empties_is_the_same_within_a_minute_and_a_new_one_after() {
    let mut sim = Sim::new(2);
    let tree = Tree::build(&mut sim, &RelaySpec::default());
    let session = [7; 16];
    let stay = |sim: &mut Sim, after: Duration| {
        sim.run_for(after);
        let host = sim.client_with_session("host", session);
        sim.connect(host, tree.leaves[0]);
        sim.with(host, |client| client.rejoin(ROOM, Role::Host));
        sim.await_joined(&[host]);
        sim.run_for(SECOND);
        let track = sim.client_ref(host).track().expect("a host has a track");
        sim.with(host, |client| client.vanish());
        (host, track)
    };
    let (_, first) = stay(&mut sim, Duration::ZERO);
    // The edge notices after 20 s, and the place is kept for 30 s more.
    let (_, again) = stay(&mut sim, 40 * SECOND);
    assert_eq!(first, again, "the same room, the same place");
    // Now for so long that the room ends.
    sim.run_for(20 * SECOND + 70 * SECOND);
    let late = sim.client("late");
    sim.connect(late, tree.leaves[0]);
    let request = sim.with(late, |client| client.join(ROOM, Role::Listener));
    sim.run_for(2 * SECOND);
    let answer = sim.client_ref(late).answer(request).map(|(_, answer)| answer);
    assert_eq!(answer, Some(Answer::Err(tribune_protocol::codes::ErrorCode::RoomNotFound)));
    sim.run_for(120 * SECOND);
    assert!(tree.relays().iter().all(|relay| sim.relay_ref(*relay).room(ROOM).is_none()));
    assert_eq!(sim.relay_mut(tree.origin).hub_counters().rooms, 0);
}

/// A listener's stay within the linger finds the room as it was; tracks are those of before.
#[test]
fn a_listener_who_is_back_at_once_hears_the_same_room() {
    let mut sim = Sim::new(3);
    let tree = Tree::build(&mut sim, &RelaySpec::default());
    let host = sim.joined("host", tree.origin, Role::Host);
    sim.with(host, |client| client.talk(30));
    let listener = sim.joined("listener", tree.leaves[0], Role::Listener);
    sim.run_for(SECOND);
    for pause in [SECOND, 5 * SECOND, 30 * SECOND] {
        sim.with(listener, |client| client.hang_up());
        sim.run_for(pause);
        sim.enter(listener, tree.leaves[0], Role::Listener);
        let back = sim.now();
        sim.run_for(2 * SECOND);
        let track = sim.client_ref(host).track().expect("a host has a track");
        let heard = sim.client_ref(listener).heard();
        assert!(heard.since(track, back) > 90, "after {pause:?}");
        assert_eq!(heard.tracks().len(), 1);
        assert_eq!(heard.duplicates(), 0);
    }
}

#[test]
fn a_speaker_who_comes_back_elsewhere_has_the_same_track_and_is_heard() {
    for_seeds(8, |seed| {
        let mut sim = Sim::new(seed);
        if seed % 2 == 0 {
            sim.network.set_usual(Link::rough());
        }
        let tree = Tree::build(&mut sim, &RelaySpec::default());
        let _host = sim.joined("host", tree.origin, Role::Host);
        let speaker = sim.joined("speaker", tree.leaves[0], Role::Speaker);
        let audience = sim.audience(&tree.relays(), 7);
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(2 * SECOND);
        let track = sim.client_ref(speaker).track().expect("a speaker has a track");
        // Silence on the line: the edge has not noticed when the speaker is back, or it has.
        sim.with(speaker, |client| client.vanish());
        sim.run_for(if seed % 4 < 2 { SECOND } else { 24 * SECOND });
        sim.connect(speaker, tree.leaves[3]);
        sim.with(speaker, |client| client.rejoin(ROOM, Role::Speaker));
        sim.await_joined(&[speaker]);
        assert_eq!(sim.client_ref(speaker).track(), Some(track));
        let back = sim.now();
        sim.run_for(3 * SECOND);
        for listener in &audience {
            let heard = sim.client_ref(*listener).heard();
            assert!(heard.since(track, back) > 100, "seed {seed}");
            assert_eq!(heard.duplicates(), 0);
        }
        // When the old edge notices at last, that changes nothing.
        sim.run_for(25 * SECOND);
        let now = sim.now();
        assert_eq!(sim.client_ref(speaker).end(), None);
        for listener in &audience {
            let heard = sim.client_ref(*listener).heard();
            assert!(heard.since(track, now - SECOND) > 35, "seed {seed}");
        }
    });
}

#[test]
fn the_older_connection_of_a_session_is_replaced() {
    for_seeds(6, |seed| {
        let mut sim = Sim::new(seed);
        let tree = Tree::build(&mut sim, &RelaySpec::default());
        let _host = sim.joined("host", tree.origin, Role::Host);
        let older = sim.joined("speaker", tree.leaves[0], Role::Speaker);
        let session = sim.client_ref(older).session();
        let newer = sim.client_with_session("speaker", session);
        let at = tree.relays()[(seed as usize) % 7];
        sim.enter(newer, at, Role::Speaker);
        sim.run_for(SECOND);
        assert_eq!(sim.client_ref(older).close_code(), Some(CloseCode::Replaced), "seed {seed}");
        assert_eq!(sim.client_ref(newer).end(), None);
        assert_eq!(sim.client_ref(newer).track(), sim.client_ref(older).track());
    });
}

#[test]
fn a_hand_keeps_its_place_over_a_reconnect_and_is_granted() {
    for_seeds(6, |seed| {
        let mut sim = Sim::new(seed);
        if seed % 2 == 0 {
            sim.network.set_usual(Link::rough());
        }
        let tree = Tree::build(&mut sim, &RelaySpec::default());
        let host = sim.joined("host", tree.leaves[3], Role::Host);
        let hands = sim.audience(&tree.leaves[..2], 2);
        for hand in &hands {
            let raise = FromParticipant::RaiseHand { note: Note::default() };
            let request = sim.with(*hand, |client| client.request(&raise));
            await_ok(&mut sim, *hand, request);
        }
        sim.with(hands[0], |client| client.vanish());
        sim.run_for(SECOND);
        sim.connect(hands[0], tree.leaves[2]);
        sim.with(hands[0], |client| client.rejoin(ROOM, Role::Listener));
        sim.await_joined(&[hands[0]]);
        sim.run_for(SECOND);
        let place = |sim: &Sim, hand| sim.client_ref(hand).you().and_then(|you| you.hand);
        assert_eq!((place(&sim, hands[0]), place(&sim, hands[1])), (Some(1), Some(2)));
        let of_hands = |message: &ToParticipant| {
            if let ToParticipant::Hands { total, .. } = message { Some(*total) } else { None }
        };
        let mut messages = sim.client_ref(host).messages().iter().rev();
        let shown = messages.find_map(|(_, envelope)| of_hands(&envelope.message));
        assert_eq!(shown, Some(2));
        let participant = sim.client_ref(hands[0]).id();
        let grant = FromParticipant::Govern { act: Govern::Grant { participant } };
        let request = sim.with(host, |client| client.request(&grant));
        await_ok(&mut sim, host, request);
        sim.run_for(SECOND);
        sim.with(hands[0], |client| client.talk(30));
        sim.run_for(2 * SECOND);
        let track = sim.client_ref(hands[0]).track().expect("it may speak now");
        assert!(sim.client_ref(hands[1]).heard().of(track).count() > 80);
        assert!(sim.client_ref(host).heard().of(track).count() > 80);
        assert_eq!(sim.client_ref(hands[0]).heard().of(track).count(), 0);
        assert_eq!(place(&sim, hands[1]), Some(1));
    });
}

#[test]
fn a_relay_that_drains_says_where_to_go_and_ends() {
    let mut sim = Sim::new(5);
    let spec = RelaySpec { drain_to: Some("leaf-2:4433".to_owned()), ..RelaySpec::default() };
    let tree = Tree::build(&mut sim, &spec);
    let host = sim.joined("host", tree.origin, Role::Host);
    sim.with(host, |client| client.talk(30));
    let listener = sim.joined("listener", tree.leaves[0], Role::Listener);
    let below = sim.joined("below", tree.leaves[1], Role::Listener);
    sim.run_for(SECOND);
    sim.drain(tree.leaves[0]);
    sim.run_for(SECOND);
    let told = sim.client_ref(listener).messages().iter().any(|(_, envelope)| {
        let moved = ToParticipant::Moved { to: spec.drain_to.clone(), within_ms: 5_000 };
        envelope.message == moved
    });
    assert!(told, "moved");
    let newcomer = sim.client("newcomer");
    sim.connect(newcomer, tree.leaves[0]);
    let request = sim.with(newcomer, |client| client.join(ROOM, Role::Listener));
    sim.run_for(SECOND);
    let answer = sim.client_ref(newcomer).answer(request).map(|(_, answer)| answer);
    assert_eq!(answer, Some(Answer::Err(tribune_protocol::codes::ErrorCode::Draining)));
    sim.run_for(5 * SECOND);
    assert!(!sim.relay_ref(tree.leaves[0]).is_up(), "it has drained");
    assert_eq!(sim.client_ref(listener).close_code(), Some(CloseCode::Draining));

    // A mid relay's children take their standby at once, and nobody hears a gap of a second.
    let drained = sim.now();
    sim.drain(tree.mids[0]);
    sim.run_for(3 * SECOND);
    let track = sim.client_ref(host).track().expect("a host has a track");
    let (gap, _) = sim.client_ref(below).heard().longest_gap(track, drained - SECOND);
    assert!(gap < SECOND / 2, "{gap:?}");
    assert!(!sim.relay_ref(tree.mids[0]).is_up());
}

fn frames_in(sim: &mut Sim, relays: &[RelayHandle]) -> u64 {
    let counters = relays.iter().flat_map(|relay| sim.relay_mut(*relay).shard_counters());
    counters.map(|counters| counters.frames_in).sum()
}

fn await_ok(sim: &mut Sim, client: ClientHandle, request: tribune_protocol::ids::RequestId) {
    sim.run_until("an answer", 5 * SECOND, |sim| sim.client_ref(client).answer(request).is_some());
    let answer = sim.client_ref(client).answer(request).map(|(_, answer)| answer);
    assert_eq!(answer, Some(Answer::Ok));
}
