//! The simulated network: delivery by profile, redundancy by need, and frames from before a loss.

use std::time::Duration;

use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::TrackId;
use tribune_relay_core::counters::{ShardCounters, Side};
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
const ROOM: &str = "stage";

/// A listener who has asked for a profile, and is in the room.
fn listener(
    sim: &mut Sim,
    name: &str,
    relay: RelayHandle,
    (profile, delay): (Profile, Option<Duration>),
) -> ClientHandle {
    let listener = sim.client(name);
    sim.follow_moves(listener);
    sim.with(listener, |client| client.prefer(profile, delay));
    sim.enter(listener, relay, Role::Listener);
    sim.run_for(SECOND);
    listener
}

fn track(sim: &Sim, speaker: ClientHandle) -> TrackId {
    sim.client_ref(speaker).track().expect("who speaks has a track")
}

/// The profile that a participant has been told last.
fn profile(sim: &Sim, client: ClientHandle) -> Profile {
    sim.client_ref(client).you().expect("it is in the room").profile
}

/// A third of the datagrams, of the same frames.
#[test]
fn an_audience_gets_three_frame_periods_a_datagram() {
    for_seeds(2, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let speaker = sim.joined("host", relay, Role::Host);
        let live = listener(&mut sim, "live", relay, (Profile::Live, None));
        let audience = listener(&mut sim, "audience", relay, (Profile::Audience, None));
        assert_eq!(profile(&sim, audience), Profile::Audience);
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(12 * SECOND);
        sim.with(speaker, |client| client.stop_talking());
        sim.run_for(SECOND);
        let track = track(&sim, speaker);
        for listener in [live, audience] {
            let heard = sim.client_ref(listener).heard();
            assert_eq!(heard.missing(track), [0; 0]);
            assert_eq!((heard.counters(track).len(), heard.duplicates()), (601, 0));
        }
        assert_eq!(sim.client_ref(live).heard().datagrams(), 601);
        let counters = &sim.relay_mut(relay).shard_counters()[0];
        let ShardCounters { live_participants, audience_participants, .. } = *counters;
        assert_eq!((live_participants, audience_participants), (2, 1), "the speaker is live");
        let packed = sim.client_ref(audience).heard().datagrams();
        assert!((200..=205).contains(&packed), "{packed}");
        let heard = sim.client_ref(audience).heard();
        let (longest, _) = heard.longest_gap(track, Duration::ZERO);
        assert!(longest <= Duration::from_millis(80), "{longest:?}");
    });
}

/// A relay without time to spare packs what listeners hear, and loses nothing; those who talk are not made to
/// wait.
#[test]
fn a_relay_that_is_behind_packs_before_it_loses_a_frame() {
    for_seeds(2, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let host = sim.joined("host", relay, Role::Host);
        let guest = sim.joined("guest", relay, Role::Speaker);
        let listener = listener(&mut sim, "listener", relay, (Profile::Live, None));
        sim.with(host, |client| client.talk(30));
        sim.run_for(2 * SECOND);
        sim.relay_mut(relay).be_busy(900_000);
        assert_eq!(sim.relay_mut(relay).shard_counters()[0].packing, 1);
        let datagrams = |sim: &Sim, client| sim.client_ref(client).heard().datagrams();
        let before = [guest, listener].map(|client| datagrams(&sim, client));
        sim.run_for(6 * SECOND);
        let [talks, listens] = [guest, listener].map(|client| datagrams(&sim, client));
        assert!((299..=301).contains(&(talks - before[0])), "{}", talks - before[0]);
        assert!((98..=103).contains(&(listens - before[1])), "{}", listens - before[1]);
        (0..5).for_each(|_| sim.relay_mut(relay).be_busy(100_000));
        assert_eq!(sim.relay_mut(relay).shard_counters()[0].packing, 0);
        let before = datagrams(&sim, listener);
        sim.run_for(2 * SECOND);
        assert!(datagrams(&sim, listener) - before >= 98);
        let track = track(&sim, host);
        assert_eq!(sim.client_ref(listener).heard().missing(track), [0; 0]);
    });
}

/// A second in which nothing comes through is asked for, and had while it can still be played.
#[test]
fn an_audience_misses_nothing_of_a_short_outage() {
    for_seeds(4, |seed| {
        for outage in [Duration::from_millis(300), SECOND] {
            let mut sim = Sim::new(seed);
            let origin = sim.relay("origin", &[]);
            let leaf = sim.relay("leaf", &[origin]);
            sim.run_for(SECOND);
            let speaker = sim.joined("host", origin, Role::Host);
            let delay = Some(2 * SECOND);
            let listener = listener(&mut sim, "listener", leaf, (Profile::Audience, delay));
            sim.with(speaker, |client| client.talk(30));
            sim.run_for(4 * SECOND);
            sim.network.set_cut(leaf.0, listener.0, true);
            sim.run_for(outage);
            sim.network.set_cut(leaf.0, listener.0, false);
            sim.run_for(4 * SECOND);
            let track = track(&sim, speaker);
            let heard = sim.client_ref(listener).heard();
            assert_eq!(heard.missing(track), [0; 0], "{outage:?}");
            let sent = sim.client_ref(speaker).sent();
            let late = heard.of(track).filter(|heard| {
                let sent = sent.iter().find(|sent| sent.seq == heard.seq);
                sent.is_some_and(|sent| heard.at > sent.at + 2 * SECOND)
            });
            assert_eq!(late.count(), 0, "{outage:?}");
        }
    });
}

/// A listener that loses its connection goes on from the last frame that it has heard.
#[test]
fn an_audience_that_comes_back_is_sent_what_it_missed() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let speaker = sim.joined("host", relay, Role::Host);
        let delay = Some(2 * SECOND);
        let audience = listener(&mut sim, "audience", relay, (Profile::Audience, delay));
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(4 * SECOND);
        sim.with(audience, |client| client.vanish());
        sim.run_for(Duration::from_millis(900));
        sim.connect(audience, relay);
        sim.with(audience, |client| client.rejoin(ROOM, Role::Listener));
        sim.run_for(2 * SECOND);
        let track = track(&sim, speaker);
        let heard = sim.client_ref(audience).heard();
        assert_eq!(heard.missing(track), [0; 0]);
        // At most twice as fast as it was said, but for the first part.
        let replayed = sim.relay_mut(relay).shard_counters()[0].frames_replayed;
        assert!((45..=60).contains(&replayed), "{replayed}");
    });
}

/// The same where the new connection is another shard's, which has had nobody of the room until then.
#[test]
fn a_listener_that_comes_back_on_another_shard_is_sent_what_it_missed() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay_with("relay", &[], RelaySpec { shards: 2, ..RelaySpec::default() });
        let speaker = sim.joined("host", relay, Role::Host);
        let delay = Some(2 * SECOND);
        let audience = listener(&mut sim, "audience", relay, (Profile::Audience, delay));
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(3 * SECOND);
        let speakers = busy_shard(&mut sim, relay, |shard| shard.frames_in);
        let mut was_here = busy_shard(&mut sim, relay, |shard| shard.frames_forwarded) == speakers;
        let goes_elsewhere = |_| {
            sim.with(audience, |client| client.vanish());
            sim.run_for(Duration::from_millis(900));
            sim.connect(audience, relay);
            sim.with(audience, |client| client.rejoin(ROOM, Role::Listener));
            sim.run_for(SECOND);
            let heard = sim.client_ref(audience).heard();
            assert_eq!(heard.missing(track(&sim, speaker)), [0; 0]);
            let is_here = busy_shard(&mut sim, relay, |shard| shard.frames_forwarded) == speakers;
            std::mem::replace(&mut was_here, is_here) && !is_here
        };
        assert!((0..20).any(goes_elsewhere), "always the same shard");
    });
}

/// A relay whose parent dies goes on at the next one from the last frames that have come.
#[test]
fn a_relay_that_changes_its_parent_is_sent_what_it_missed() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let origin = sim.relay("origin", &[]);
        let mid = sim.relay("mid", &[origin]);
        let leaf = sim.relay("leaf", &[mid, origin]);
        sim.run_for(2 * SECOND);
        let speaker = sim.joined("host", origin, Role::Host);
        let delay = Some(2 * SECOND);
        let audience = listener(&mut sim, "audience", leaf, (Profile::Audience, delay));
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(4 * SECOND);
        sim.kill(mid);
        sim.run_for(5 * SECOND);
        let track = track(&sim, speaker);
        assert_eq!(sim.client_ref(audience).heard().missing(track), [0; 0]);
        assert!(sim.relay_mut(origin).shard_counters()[0].frames_replayed > 50);
    });
}

/// A place on the stage, taken or given up, changes the profile, and no frame is missed by it.
#[test]
fn a_place_on_the_stage_is_live_without_a_gap() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let host = sim.joined("host", relay, Role::Host);
        let guest = listener(&mut sim, "guest", relay, (Profile::Audience, None));
        sim.with(host, |client| client.talk(30));
        sim.run_for(SECOND + Duration::from_millis(20 * (seed % 3)));
        let participant = sim.client_ref(guest).id();
        let target = Target::Participant(participant);
        let invite = FromParticipant::Govern { act: Govern::Invite { target } };
        sim.with(host, |client| client.request(&invite));
        sim.run_for(SECOND);
        assert_eq!(profile(&sim, guest), Profile::Live, "a conversation is about to begin");
        let accept = FromParticipant::Govern { act: Govern::AnswerInvite { accept: true } };
        sim.with(guest, |client| client.request(&accept));
        sim.run_for(SECOND);
        assert!(sim.client_ref(guest).track().is_some());
        sim.with(guest, |client| client.request(&FromParticipant::LeaveStage {}));
        sim.run_for(SECOND);
        assert_eq!(profile(&sim, guest), Profile::Audience);
        let live = FromParticipant::SetProfile { profile: Some(Profile::Live) };
        sim.with(guest, |client| client.request(&live));
        sim.run_for(SECOND);
        assert_eq!(profile(&sim, guest), Profile::Live);
        let track = track(&sim, host);
        assert_eq!(sim.client_ref(guest).heard().missing(track), [0; 0]);
    });
}

/// Of those who do not say, the ones who find a large room are its audience.
#[test]
fn the_size_of_a_room_decides_where_nobody_else_does() {
    let mut sim = Sim::new(1);
    let spec = RelaySpec { audience_from: 2, ..RelaySpec::default() };
    let relay = sim.relay_with("relay", &[], spec);
    sim.joined("host", relay, Role::Host);
    let profiles: Vec<_> = (0..4)
        .map(|n| {
            let listener = sim.joined(&format!("listener-{n}"), relay, Role::Listener);
            sim.run_for(2 * SECOND);
            profile(&sim, listener)
        })
        .collect();
    let (live, audience) = (Profile::Live, Profile::Audience);
    assert_eq!(profiles, [live, live, audience, audience]);
}

/// On streams nothing is lost, whatever the path drops, and nothing is asked for.
#[test]
fn nothing_is_lost_on_streams() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let speaker = sim.joined("host", relay, Role::Host);
        let recorder = listener(&mut sim, "recorder", relay, (Profile::Reliable, None));
        let lossy = Link::of(Duration::from_millis(30)).losing_bursts(0.1, 3);
        sim.network.set_link(relay.0, recorder.0, lossy);
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(20 * SECOND);
        sim.with(speaker, |client| client.stop_talking());
        sim.run_for(3 * SECOND);
        let track = track(&sim, speaker);
        let heard = sim.client_ref(recorder).heard();
        assert_eq!(heard.missing(track), [0; 0]);
        assert_eq!((heard.counters(track).len(), heard.duplicates()), (1_001, 0));
        let sent = sim.client_ref(speaker).sent();
        let late = heard.of(track).map(|heard| {
            let sent = sent.iter().find(|sent| sent.seq == heard.seq).expect("it was sent");
            heard.at - sent.at
        });
        let latest = late.max().expect("a thousand frames");
        assert!(latest < 2 * SECOND, "{latest:?}");
        assert_eq!(sim.relay_mut(relay).shard_counters()[0].nacks_in, 0);
    });
}

/// Where the path is too long for repair, what a listener reports has earlier frames sent again; and not any
/// more, once it loses nothing.
#[test]
fn a_listener_that_misses_frames_is_sent_them_again() {
    for_seeds(2, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let speaker = sim.joined("host", relay, Role::Host);
        let far = listener(&mut sim, "far", relay, (Profile::Live, None));
        sim.with(far, |client| client.report_from_now_on());
        let way = Link::of(Duration::from_millis(250));
        sim.network.set_link(relay.0, far.0, way.losing(0.1));
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(20 * SECOND);
        let track = track(&sim, speaker);
        let in_time = |sim: &Sim, from: usize, to: usize| {
            let sent = &sim.client_ref(speaker).sent()[from..to];
            let heard = sim.client_ref(far).heard();
            let came = sent.iter().filter(|sent| {
                let mut of = heard.of(track);
                of.any(|heard| {
                    heard.seq == sent.seq && heard.at < sent.at + Duration::from_millis(400)
                })
            });
            came.count() as f64 / sent.len() as f64
        };
        let before = in_time(&sim, 0, 250);
        assert!(before < 0.95, "{before}");
        sim.run_for(20 * SECOND);
        let after = in_time(&sim, 1_000, 1_900);
        assert!(after > 0.985, "{after}");
        let protected = in_bytes(&mut sim, relay, 5 * SECOND);
        sim.network.set_link(relay.0, far.0, way);
        sim.run_for(100 * SECOND);
        let plain = in_bytes(&mut sim, relay, 5 * SECOND);
        assert!(plain * 3 < protected * 2, "{plain} bytes after, {protected} before");
    });
}

/// A trunk over a far and lossy path says each frame once more, which spares those below most questions; and not any
/// more, once nothing is lost.
#[test]
fn a_lossy_trunk_sends_frames_again_while_it_is_lossy() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let origin = sim.relay("origin", &[]);
        let leaf = sim.relay("leaf", &[origin]);
        sim.run_for(SECOND);
        let speaker = sim.joined("host", origin, Role::Host);
        let listener = listener(&mut sim, "listener", leaf, (Profile::Live, None));
        let way = Link::of(Duration::from_millis(30));
        sim.network.set_link(origin.0, leaf.0, way.losing(0.1));
        sim.with(speaker, |client| client.talk(30));
        let asked = |sim: &mut Sim| {
            let before = sim.relay_mut(leaf).shard_counters()[0].nacks_sent;
            sim.run_for(5 * SECOND);
            sim.relay_mut(leaf).shard_counters()[0].nacks_sent - before
        };
        let plain = asked(&mut sim);
        assert!((12..=60).contains(&plain), "{plain} questions at first");
        sim.run_for(5 * SECOND);
        for _ in 0..4 {
            let protected = asked(&mut sim);
            assert!(protected * 2 < plain, "{protected} questions, {plain} at first");
        }
        assert_eq!(sim.relay_mut(origin).shard_counters()[0].protected_connections, 1);
        let protected = in_bytes(&mut sim, origin, 5 * SECOND);
        sim.network.set_link(origin.0, leaf.0, way);
        sim.run_for(80 * SECOND);
        assert_eq!(sim.relay_mut(origin).shard_counters()[0].protected_connections, 0);
        let plain = in_bytes(&mut sim, origin, 5 * SECOND);
        assert!(plain * 4 < protected * 3, "{plain} bytes after, {protected} before");
        sim.with(speaker, |client| client.stop_talking());
        sim.run_for(SECOND);
        let heard = sim.client_ref(listener).heard();
        assert_eq!(heard.missing(track(&sim, speaker)), [0; 0]);
        // What is lost for good is the difference of these: copies are no frames that were found missing.
        let counters = &sim.relay_mut(leaf).shard_counters()[0];
        let (missing, repaired) = (&counters.frames_missing, &counters.frames_repaired);
        assert_eq!(missing.of(Side::Parent), repaired.of(Side::Parent));
    });
}

/// From datagrams to streams and back at any moment, no frame is missed and none comes twice.
#[test]
fn a_recorder_that_changes_its_mind_misses_nothing() {
    for_seeds(8, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let speaker = sim.joined("host", relay, Role::Host);
        let recorder = listener(&mut sim, "recorder", relay, (Profile::Live, None));
        sim.with(speaker, |client| client.talk(30));
        for (n, wanted) in
            [Profile::Reliable, Profile::Live, Profile::Reliable, Profile::Audience, Profile::Live]
                .into_iter()
                .enumerate()
        {
            sim.run_for(SECOND + Duration::from_millis(7 * (seed + 3 * n as u64)));
            let request = FromParticipant::SetProfile { profile: Some(wanted) };
            sim.with(recorder, |client| client.request(&request));
            sim.run_for(SECOND);
            assert_eq!(profile(&sim, recorder), wanted);
        }
        sim.with(speaker, |client| client.stop_talking());
        sim.run_for(SECOND);
        let heard = sim.client_ref(recorder).heard();
        assert_eq!(heard.missing(track(&sim, speaker)), [0; 0]);
        assert_eq!(heard.duplicates(), 0);
    });
}

/// The shard whose counter grows within a second.
fn busy_shard(
    sim: &mut Sim,
    relay: RelayHandle,
    count: impl Fn(&ShardCounters) -> u64,
) -> Option<usize> {
    let counts = |sim: &mut Sim| {
        let shards = sim.relay_mut(relay).shard_counters();
        shards.iter().map(&count).collect::<Vec<_>>()
    };
    let before = counts(sim);
    sim.run_for(SECOND);
    let after = counts(sim);
    (0..before.len()).find(|shard| after[*shard] > before[*shard])
}

/// Bytes that a relay sends in some time.
fn in_bytes(sim: &mut Sim, relay: RelayHandle, span: Duration) -> u64 {
    let sent = |sim: &mut Sim| sim.relay_mut(relay).shard_counters()[0].bytes_out;
    let before = sent(sim);
    sim.run_for(span);
    sent(sim) - before
}
