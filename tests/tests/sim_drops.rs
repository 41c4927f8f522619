//! The simulated network: every cause for which a frame is dropped, brought about by what peers send and
//! by what networks do, is counted, and nothing else is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Channel, Note, Seq, TrackId};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_DATAGRAM_BYTES, MAX_OPUS_BYTES};
use tribune_protocol::media::Datagram;
use tribune_protocol::media::datagram::{Frame, FrameHeader, Level, MediaWriter};
use tribune_protocol::media::probe::Probe;
use tribune_relay_core::counters::DropCause;
use tribune_relay_core::messages::{RoomId, ShardMessage, SharedFrames};
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::tree::ROOM;
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// Rooms whose speakers fill the queue of a trunk within the second and a half that it lives unheard.
const MANY_ROOMS: usize = 60;

/// A cause that is added to the relay does not compile here until it is brought about.
#[test]
fn every_cause_of_a_drop_comes_about_and_is_counted_alone() {
    for cause in DropCause::ALL {
        let (mut stage, before) = bring_about(cause);
        stage.sim.run_for(SECOND / 5);
        let after = stage.drops();
        for (n, other) in DropCause::ALL.into_iter().enumerate() {
            let grown = after[n] - before[n];
            assert_eq!(grown > 0, other == cause, "{grown} by {other:?} for {cause:?}");
        }
    }
}

/// A stage where frames are dropped for that cause, and what each cause had counted before.
fn bring_about(cause: DropCause) -> (Stage, Vec<u64>) {
    match cause {
        DropCause::UnknownChannel => Stage::when(|stage| {
            stage.send(stage.listener, Bytes::from_static(&[0, 5, 1, 0, 0, 0, 0]));
        }),
        DropCause::UnknownTrack => Stage::when(|stage| {
            stage.send(stage.host, frame(TrackId(99), 1, 30));
        }),
        DropCause::NotYourTrack => Stage::when(|stage| {
            let track = stage.track(stage.host);
            stage.send(stage.listener, frame(track, 1, 30));
        }),
        DropCause::Silenced => Stage::when(silenced),
        DropCause::Duplicate => Stage::when(|stage| {
            let track = stage.track(stage.host);
            stage.send(stage.host, frame(track, 1, 30));
            stage.send(stage.host, frame(track, 1, 30));
        }),
        DropCause::TooOld => Stage::when(|stage| {
            let track = stage.track(stage.host);
            stage.send(stage.host, frame(track, 1_000, 30));
            stage.send(stage.host, frame(track, 1, 30));
        }),
        DropCause::RateLimited => Stage::when(|stage| {
            for asked_us in 0..130 {
                stage.send(stage.listener, Probe::Question { asked_us }.write());
            }
        }),
        DropCause::Malformed => Stage::when(|stage| {
            stage.send(stage.listener, Bytes::from_static(&[1]));
        }),
        DropCause::UnknownKind => Stage::when(|stage| {
            stage.send(stage.listener, Bytes::from_static(&[9, 1, 2, 3]));
        }),
        DropCause::ShardQueueFull => {
            let spec = RelaySpec { shards: 2, message_queue: 1, ..RelaySpec::default() };
            Stage::with(spec, burst)
        }
        DropCause::NotSelected => {
            Stage::with(RelaySpec { top_n: 1, ..RelaySpec::default() }, two_talk)
        }
        DropCause::Closing => {
            let packet_cost = Duration::from_millis(2);
            let spec = RelaySpec { packet_cost, ..RelaySpec::default() };
            Stage::with(spec, frames_behind_a_mistake)
        }
        DropCause::RoomGone => Stage::when(|stage| {
            let frames = Arc::from([parsed(&frame(TrackId(1), 1, 30))]);
            let shared = SharedFrames { room: RoomId(999), frames };
            let shard_message = ShardMessage::Frames(shared);
            stage.sim.relay_mut(stage.relay).inject_shard_message(0, shard_message);
            // Whatever comes next has the shard take a turn.
            stage.send(stage.listener, Probe::Question { asked_us: 1 }.write());
        }),
        DropCause::BundleFull => Stage::when(burst_between_the_leader_s_frames),
        DropCause::SendBufferFull => Stage::when(|stage| {
            stage.sim.network.set_cut_one_way(stage.relay.0, stage.listener.0, true);
            stage.sim.with(stage.host, |host| host.talk(30));
            stage.sim.run_for(10 * SECOND);
        }),
        DropCause::TrunkQueueFull => Stage::when(a_trunk_that_nobody_hears),
        DropCause::Unsendable => Stage::when(|stage| {
            let narrow = stage.sim.client("narrow");
            stage.sim.with(narrow, |narrow| narrow.take_small_datagrams(70));
            stage.sim.enter(narrow, stage.relay, Role::Listener);
            stage.sim.with(stage.host, |host| host.talk(30));
            stage.sim.run_for(SECOND);
        }),
    }
}

/// A relay with a host, a speaker and a listener, of whom nobody talks yet.
struct Stage {
    sim: Sim,
    relay: RelayHandle,
    host: ClientHandle,
    speaker: ClientHandle,
    listener: ClientHandle,
}

impl Stage {
    fn new(spec: RelaySpec) -> Self {
        let mut sim = Sim::new(1);
        let relay = sim.relay_with("relay", &[], spec);
        let host = sim.joined("host", relay, Role::Host);
        let speaker = sim.joined("speaker", relay, Role::Speaker);
        let listener = sim.joined("listener", relay, Role::Listener);
        sim.run_for(SECOND);
        Self { sim, relay, host, speaker, listener }
    }

    /// Frames that have been dropped before, and the stage after something has happened on it.
    fn when(happens: impl FnOnce(&mut Self)) -> (Self, Vec<u64>) {
        Self::with(RelaySpec::default(), happens)
    }

    fn with(spec: RelaySpec, happens: impl FnOnce(&mut Self)) -> (Self, Vec<u64>) {
        let mut stage = Self::new(spec);
        let before = stage.drops();
        happens(&mut stage);
        (stage, before)
    }

    fn drops(&mut self) -> Vec<u64> {
        let relay = self.sim.relay_mut(self.relay);
        DropCause::ALL.into_iter().map(|cause| relay.dropped(cause)).collect()
    }

    fn track(&self, client: ClientHandle) -> TrackId {
        self.sim.client_ref(client).track().expect("who is on the stage has a track")
    }

    fn send(&mut self, client: ClientHandle, bytes: Bytes) {
        self.sim.with(client, |client| client.send_datagram(bytes));
    }

    /// So many frames from a place on, at the same instant.
    fn send_many(&mut self, client: ClientHandle, first: u16, count: u16, minus_dbov: u8) {
        let track = self.track(client);
        self.sim.with(client, |client| {
            for seq in first..first + count {
                client.send_datagram(frame(track, seq, minus_dbov));
            }
        });
    }
}

fn silenced(stage: &mut Stage) {
    let participant = stage.sim.client_ref(stage.speaker).id();
    let act = Govern::Silence { participant, on: true, reason: Note::default() };
    stage.sim.with(stage.host, |host| host.request(&FromParticipant::Govern { act }));
    stage.sim.run_for(SECOND);
    let track = stage.track(stage.speaker);
    stage.send(stage.speaker, frame(track, 1, 30));
}

/// More frames in one turn than the queue to the other shard holds; there are listeners on both.
fn burst(stage: &mut Stage) {
    for n in 0..3 {
        stage.sim.joined(&format!("more-{n}"), stage.relay, Role::Listener);
    }
    stage.send_many(stage.host, 1, 10, 30);
}

fn two_talk(stage: &mut Stage) {
    stage.sim.with(stage.host, |host| host.talk(10));
    stage.sim.with(stage.speaker, |speaker| speaker.talk_after(SECOND, 100));
    stage.sim.run_for(2 * SECOND);
}

/// The relay is busy with somebody else. What it takes up then is a mistake, for which it closes the
/// connection, and frames that have come behind it.
fn frames_behind_a_mistake(stage: &mut Stage) {
    stage.send(stage.listener, Probe::Question { asked_us: 1 }.write());
    stage.sim.with(stage.host, |host| {
        host.send_control_bytes(Bytes::from_static(&[3, 0xff, 0xff, 0xff]), Duration::ZERO);
    });
    stage.send_many(stage.host, 1, 3, 30);
}

/// The leader's next frame is not there yet, so another's wait for it, and are too many.
fn burst_between_the_leader_s_frames(stage: &mut Stage) {
    stage.sim.with(stage.host, |host| host.talk(20));
    stage.sim.run_for(SECOND + Duration::from_millis(12));
    stage.send_many(stage.speaker, 1, 38, 60);
}

/// A relay below does not hear any more what it is sent, and has not noticed yet.
fn a_trunk_that_nobody_hears(stage: &mut Stage) {
    let below = stage.sim.relay("below", &[stage.relay]);
    stage.sim.run_until("the relay below is attached", 10 * SECOND, |sim| {
        !sim.relay_ref(below).path().is_empty()
    });
    let mut hosts = Vec::new();
    for n in 0..MANY_ROOMS {
        let room = format!("{ROOM}-{n}");
        let places = [("talks", stage.relay, Role::Host), ("hears", below, Role::Listener)];
        let pair = places.map(|(name, relay, role)| {
            let client = stage.sim.client(name);
            stage.sim.connect(client, relay);
            stage.sim.with(client, |client| client.join(&room, role));
            stage.sim.await_joined(&[client]);
            client
        });
        hosts.push(pair[0]);
    }
    stage.sim.network.set_cut_one_way(stage.relay.0, below.0, true);
    // More than the part of the window that is kept for media, and than may wait for room in it.
    for seq in 0..60 {
        for host in &hosts {
            let large = large_frame(stage.track(*host), seq);
            stage.sim.with(*host, |host| host.send_datagram(large));
        }
        stage.sim.run_for(FRAME_PERIOD);
    }
}

/// A datagram with one frame of the highest bitrate.
fn large_frame(track: TrackId, seq: u16) -> Bytes {
    let header = FrameHeader {
        track,
        seq: Seq(seq),
        level: Level { voice: true, minus_dbov: 30 },
        talkspurt_end: false,
        captured: None,
        onset: None,
    };
    let mut writer = MediaWriter::new(Channel(0), MAX_DATAGRAM_BYTES);
    assert!(
        writer.push(&header.write(&[7; MAX_OPUS_BYTES]).expect("it is as large as one may be"))
    );
    writer.take()
}

/// A datagram with one frame.
fn frame(track: TrackId, seq: u16, minus_dbov: u8) -> Bytes {
    let header = FrameHeader {
        track,
        seq: Seq(seq),
        level: Level { voice: true, minus_dbov },
        talkspurt_end: false,
        captured: None,
        onset: None,
    };
    let wire = header.write(&[0; 60]).expect("a frame of the protocol");
    let mut writer = MediaWriter::new(Channel(0), MAX_DATAGRAM_BYTES);
    assert!(writer.push(&wire), "a frame fits a datagram");
    writer.take()
}

fn parsed(bytes: &Bytes) -> Frame {
    let Ok(Datagram::Media(media)) = Datagram::parse(bytes.clone()) else {
        panic!("a datagram with frames")
    };
    media.frames().next().expect("a frame").expect("a whole one")
}
