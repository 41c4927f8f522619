//! Sessions against a relay that does what each test tells it to, over real QUIC on loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use std::time::Instant;

use bytes::Bytes;
use fake::{FakeRelay, Peer, soon};
use tribune_client::session::reconnect::End;
use tribune_client::session::tls::{Fingerprint, Trust};
use tribune_client::session::{
    Config, Event, Incoming, RequestError, Session, SpokenFrame, identity, start,
};
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::{FromParticipant, Join, Joined, ToParticipant, You};
use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{Channel, Note, ParticipantId, RequestId, Seq, TrackId};
use tribune_protocol::media::Datagram;
use tribune_protocol::media::datagram::{Frame, FrameHeader, Level, MediaWriter};
use tribune_protocol::media::probe::{Answer, Probe};

const OWN_TRACK: TrackId = TrackId(7);
const OTHER_TRACK: TrackId = TrackId(3);
/// How far the fake origin's clock is ahead of the local one: an hour.
const CLOCK_AHEAD_US: u64 = 3_600_000_000;

fn config(relay: &FakeRelay, trust: Trust) -> Config {
    Config {
        addresses: vec![relay.address()],
        trust,
        join: Join {
            room: "stage".parse().unwrap(),
            session: identity::new_key(),
            name: "Ada".parse().unwrap(),
            role: Role::Speaker,
            token: None,
            returning: false,
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: None,
            share: None,
            stay_s: None,
        },
        waits_for_room: false,
        playout_delay: None,
    }
}

/// Reads the join.
async fn join(peer: &mut Peer) -> (Option<RequestId>, Join) {
    let Envelope { id, message: FromParticipant::Join(join) } = peer.next().await else {
        panic!("the first message is a join")
    };
    (id, join)
}

async fn let_in(peer: &mut Peer) -> Join {
    let (id, join) = join(peer).await;
    peer.say(id, &ToParticipant::Joined(joined())).await;
    join
}

fn you() -> You {
    You {
        participant: ParticipantId(1),
        role: Role::Speaker,
        track: Some(OWN_TRACK),
        silenced: false,
        hand: None,
        reason: Note::default(),
        may: PermissionSet::NONE,
        invited_by: None,
        profile: tribune_protocol::domain::profile::Profile::Live,
    }
}

fn joined() -> Joined {
    let entry = |id: u64, name: &str, track| StageEntry {
        participant: ParticipantId(id),
        name: name.parse().unwrap(),
        role: Role::Speaker,
        track,
        silenced: false,
        muted: false,
        away: false,
    };
    let stage = vec![entry(1, "Ada", OWN_TRACK), entry(2, "Bob", OTHER_TRACK)];
    Joined {
        relay: "fake".parse().unwrap(),
        depth: 1,
        you: you(),
        stage,
        listeners: 0,
        redundancy: false,
    }
}

fn media(track: TrackId, seq: u16) -> Bytes {
    let header = FrameHeader {
        track,
        seq: Seq(seq),
        level: Level::SILENCE,
        talkspurt_end: false,
        captured: None,
        onset: None,
    };
    let mut writer = MediaWriter::new(Channel(0), 1_162);
    assert!(writer.push(&header.write(&[0xf8]).unwrap()));
    writer.take()
}

fn spoken(seq: u16) -> SpokenFrame {
    SpokenFrame {
        seq: Seq(seq),
        level: Level { voice: true, minus_dbov: 20 },
        talkspurt_end: false,
        opus: Bytes::from_static(&[0xf8]),
        captured: Instant::now(),
    }
}

async fn next_event(incoming: &mut Incoming) -> Event {
    soon(incoming.events.recv()).await.expect("the session goes on")
}

async fn start_joined(relay: &FakeRelay) -> (Session, Incoming, Peer, Join) {
    let (session, mut incoming) = start(config(relay, Trust::Anything)).unwrap();
    let mut peer = relay.accept().await;
    let join = let_in(&mut peer).await;
    let event = next_event(&mut incoming).await;
    assert!(matches!(event, Event::Joined { reconnects: 0, .. }), "{event:?}");
    (session, incoming, peer, join)
}

#[tokio::test]
async fn the_place_is_taken_up_again_after_a_loss() {
    let relay = FakeRelay::start();
    let (session, mut incoming, peer, first) = start_joined(&relay).await;
    assert!(!first.returning && first.heard.is_empty());
    for seq in [65_535, 0, 65_534] {
        peer.connection.send_datagram(media(OTHER_TRACK, seq)).unwrap();
    }
    for seq in [65_535, 0, 65_534] {
        let received = soon(incoming.frames.recv()).await.unwrap();
        assert_eq!((received.frame.track, received.frame.seq), (OTHER_TRACK, Seq(seq)));
    }
    peer.close(CloseCode::Shutdown, "");
    let event = next_event(&mut incoming).await;
    assert!(matches!(event, Event::Retrying { was_in_room: true, .. }), "{event:?}");
    let lower = FromParticipant::LowerHand {};
    assert_eq!(session.request(lower).await, Err(RequestError::Offline));

    let mut peer = relay.accept().await;
    let again = let_in(&mut peer).await;
    assert!(again.returning);
    assert_eq!(again.session, first.session);
    assert_eq!(again.heard, [], "in conversation, what was missed is over");
    let event = next_event(&mut incoming).await;
    assert!(matches!(event, Event::Joined { reconnects: 1, .. }), "{event:?}");
}

#[tokio::test]
async fn requests_are_tied_to_their_answers() {
    let relay = FakeRelay::start();
    let (session, _incoming, mut peer, _) = start_joined(&relay).await;
    let raise = || FromParticipant::RaiseHand { note: Note::default() };
    let lower = || FromParticipant::LowerHand {};
    let answers = async { tokio::join!(session.request(raise()), session.request(lower())) };
    let answering = async {
        let (first, second) = (peer.next().await, peer.next().await);
        assert_eq!((&first.message, &second.message), (&raise(), &lower()));
        // In the other order, with an answer that nobody waits for between them.
        let (code, message) = (ErrorCode::NoHand, "No hand is up.".to_owned());
        peer.say(second.id, &ToParticipant::Err { code, message }).await;
        peer.say(Some(RequestId(999)), &ToParticipant::Ok {}).await;
        peer.say(first.id, &ToParticipant::Ok {}).await;
    };
    let ((raised, lowered), ()) = soon(async { tokio::join!(answers, answering) }).await;
    assert_eq!(raised, Ok(()));
    let message = "No hand is up.".to_owned();
    assert_eq!(lowered, Err(RequestError::Refused { code: ErrorCode::NoHand, message }));
}

#[tokio::test]
async fn the_reason_of_a_kick_is_heard_before_the_end() {
    let relay = FakeRelay::start();
    let (_session, mut incoming, mut peer, _) = start_joined(&relay).await;
    let parting = ToParticipant::You(You { reason: "enough".parse().unwrap(), ..you() });
    peer.say(None, &parting).await;
    let event = next_event(&mut incoming).await;
    assert!(matches!(&event, Event::Message(message) if *message == parting), "{event:?}");
    peer.close(CloseCode::Kicked, "enough");
    let event = next_event(&mut incoming).await;
    assert!(matches!(&event, Event::Ended(End::Kicked(why)) if why == "enough"), "{event:?}");
    assert!(incoming.events.recv().await.is_none());
}

#[tokio::test]
async fn frames_leave_on_the_own_track_with_the_origins_time() {
    let relay = FakeRelay::start();
    let (session, incoming, mut peer, _) = start_joined(&relay).await;
    let clock = session.clock();
    let mut seq = 65_530u16;
    let stamped: Frame = soon(async {
        loop {
            seq = seq.wrapping_add(1);
            assert!(session.send_frame(spoken(seq)));
            match Datagram::parse(peer.connection.read_datagram().await.unwrap()).unwrap() {
                Datagram::Probe(Probe::Question { asked_us }) => {
                    let received_us = clock.us_at(Instant::now()) + CLOCK_AHEAD_US;
                    let answer =
                        Answer { asked_us, received_us, answered_us: received_us, error_us: 5 };
                    let datagram = Probe::Answer(answer).write();
                    peer.connection.send_datagram(datagram).unwrap();
                }
                Datagram::Media(media) => {
                    let frame = media.frames().next().unwrap().unwrap();
                    assert_eq!(frame.track, OWN_TRACK);
                    if frame.captured.is_some() {
                        return frame;
                    }
                }
                other @ (Datagram::Nack(_) | Datagram::Probe(Probe::Answer(_))) => {
                    panic!("{other:?}")
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let offset = session.link().offset_at(Instant::now()).unwrap();
    let error = offset.offset_us.abs_diff(CLOCK_AHEAD_US as i64);
    assert!(error <= u64::from(offset.error_us), "{offset:?}");
    let captured = stamped.captured.unwrap().at.0;
    let now = clock.us_at(Instant::now()) + CLOCK_AHEAD_US;
    assert!(captured <= now + u64::from(offset.error_us), "captured in the future");
    assert!(now - captured < 30_000_000, "captured too long ago");

    // Without the right to speak nothing leaves.
    peer.say(None, &ToParticipant::You(You { role: Role::Listener, track: None, ..you() })).await;
    let mut incoming = incoming;
    let event = next_event(&mut incoming).await;
    assert!(matches!(event, Event::Message(ToParticipant::You(_))), "{event:?}");
    session.send_frame(spoken(1_000));
    let asked = FromParticipant::LeaveStage {};
    let (answer, ()) = soon(async {
        tokio::join!(session.request(asked), async {
            let id = peer.next().await.id;
            peer.say(id, &ToParticipant::Ok {}).await;
        })
    })
    .await;
    assert_eq!(answer, Ok(()));
    let frames: Vec<u16> = std::iter::from_fn(|| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let read = std::pin::pin!(peer.connection.read_datagram());
        match read.poll(&mut context) {
            std::task::Poll::Ready(datagram) => Some(datagram.unwrap()),
            std::task::Poll::Pending => None,
        }
    })
    .filter_map(|datagram| match Datagram::parse(datagram).unwrap() {
        Datagram::Media(media) => Some(media.frames().next().unwrap().unwrap().seq.0),
        Datagram::Nack(_) | Datagram::Probe(_) => None,
    })
    .collect();
    assert!(!frames.contains(&1_000), "{frames:?}");
}

#[tokio::test]
async fn a_relay_is_trusted_by_pin_or_by_file_or_not() {
    let relay = FakeRelay::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &relay.certificate_pem).unwrap();
    let pin = Fingerprint::of(&relay.certificate);
    for trust in [Trust::Pinned(pin), Trust::Ca(file.path().to_owned())] {
        let (_session, mut incoming) = start(config(&relay, trust.clone())).unwrap();
        let mut peer = relay.accept().await;
        let_in(&mut peer).await;
        let event = next_event(&mut incoming).await;
        assert!(matches!(event, Event::Joined { .. }), "{trust:?}: {event:?}");
    }
    let other = FakeRelay::start();
    std::fs::write(file.path(), &other.certificate_pem).unwrap();
    let wrong = Fingerprint::of(&other.certificate);
    for trust in [Trust::Pinned(wrong), Trust::Ca(file.path().to_owned())] {
        let (_session, mut incoming) = start(config(&relay, trust.clone())).unwrap();
        let refused = async { soon(relay.endpoint.accept()).await.unwrap().await.err() };
        let (refused, event) = tokio::join!(refused, next_event(&mut incoming));
        assert!(refused.is_some(), "{trust:?}");
        assert!(matches!(event, Event::Ended(End::Tls(_))), "{trust:?}: {event:?}");
    }
}

#[tokio::test]
async fn a_room_that_is_not_there_is_waited_for_or_not() {
    let relay = FakeRelay::start();
    let missing =
        || ToParticipant::Err { code: ErrorCode::RoomNotFound, message: "No room.".to_owned() };
    for waits_for_room in [false, true] {
        let config = Config { waits_for_room, ..config(&relay, Trust::Anything) };
        let (_session, mut incoming) = start(config).unwrap();
        let mut peer = relay.accept().await;
        let (id, _) = join(&mut peer).await;
        peer.say(id, &missing()).await;
        let event = next_event(&mut incoming).await;
        if waits_for_room {
            assert!(matches!(event, Event::Retrying { was_in_room: false, .. }), "{event:?}");
            let mut peer = relay.accept().await;
            let join = let_in(&mut peer).await;
            assert!(!join.returning, "it was never in the room");
            let event = next_event(&mut incoming).await;
            assert!(matches!(event, Event::Joined { reconnects: 0, .. }), "{event:?}");
        } else {
            assert!(matches!(event, Event::Ended(End::RoomNotFound(_))), "{event:?}");
        }
    }
}

#[tokio::test]
async fn leaving_is_said_and_ends_the_session() {
    let relay = FakeRelay::start();
    let (session, mut incoming, mut peer, _) = start_joined(&relay).await;
    session.leave().await;
    assert_eq!(peer.next().await.message, FromParticipant::Leave {});
    peer.close(CloseCode::Done, "");
    let event = next_event(&mut incoming).await;
    assert!(matches!(event, Event::Ended(End::Left)), "{event:?}");
}
