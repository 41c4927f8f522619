//! Sessions that a relay moves or sends on, over real QUIC on loopback, against relays that do what
//! each test tells them to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use fake::{FakeRelay, Peer, soon};
use tribune_client::session::reconnect::End;
use tribune_client::session::tls::Trust;
use tribune_client::session::{Config, Event, Incoming, Session, SpokenFrame, identity, start};
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::{FromParticipant, Join, Joined, ToParticipant, You};
use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{Channel, Note, ParticipantId, RequestId, Seq, TrackId};
use tribune_protocol::media::Datagram;
use tribune_protocol::media::datagram::{FrameHeader, Level, MediaWriter};
use tribune_protocol::media::nack::Nack;

const OWN_TRACK: TrackId = TrackId(7);
const OTHER_TRACK: TrackId = TrackId(3);

#[tokio::test]
async fn both_relays_are_listened_to_until_nothing_is_missing() {
    let (first, second) = (FakeRelay::start(), FakeRelay::start());
    let (session, mut incoming, mut old) = start_joined(&first, &[]).await;
    say(&old, 100);
    assert_eq!(hear(&mut incoming, 1).await, [100]);
    move_to(&mut old, &mut incoming, Some(&second)).await;
    let mut new = second.accept().await;
    let (id, again) = join(&mut new).await;
    assert!(again.returning);
    // The new relay takes its time, and the old one goes on.
    say(&old, 101);
    assert_eq!(hear(&mut incoming, 1).await, [101]);
    let_in(&mut new, id).await;
    assert_joined(&mut incoming, 1).await;

    // The new one is ahead. What lies between is asked for there, and comes from the old one.
    say(&new, 104);
    assert_eq!(hear(&mut incoming, 1).await, [104]);
    // 102 may have been overdue already, and be asked for alone.
    loop {
        let (track, first, count) = asked(&new).await;
        assert!(track == OTHER_TRACK && (102..=103).contains(&first.0), "{first:?}");
        if first.0 + u16::from(count) > 103 {
            break;
        }
    }
    for seq in [102, 103, 104] {
        say(&old, seq);
    }
    assert_eq!(hear(&mut incoming, 2).await, [102, 103]);
    let closed = soon(old.connection.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
    assert_eq!(close.error_code.into_inner(), CloseCode::Done.to_wire());
    say(&new, 104);
    say(&new, 105);
    assert_eq!(hear(&mut incoming, 1).await, [105], "what has been heard is not heard again");
    assert_eq!(session.link().duplicate_frames, 2);
}

#[tokio::test]
async fn the_old_relay_is_not_waited_for_for_ever() {
    let (first, second) = (FakeRelay::start(), FakeRelay::start());
    let (_session, mut incoming, mut old) = start_joined(&first, &[]).await;
    say(&old, 100);
    assert_eq!(hear(&mut incoming, 1).await, [100]);
    move_to(&mut old, &mut incoming, Some(&second)).await;
    let mut new = second.accept().await;
    let (id, _) = join(&mut new).await;
    let_in(&mut new, id).await;
    assert_joined(&mut incoming, 1).await;
    // The speaker pauses without saying so: nothing comes from either.
    soon(old.connection.closed()).await;
    say(&new, 130);
    assert_eq!(hear(&mut incoming, 1).await, [130]);
}

#[tokio::test]
async fn what_is_said_on_the_way_is_said_once_more() {
    let (first, second) = (FakeRelay::start(), FakeRelay::start());
    let (session, mut incoming, mut old) = start_joined(&first, &[]).await;
    move_to(&mut old, &mut incoming, Some(&second)).await;
    let mut new = second.accept().await;
    let (id, _) = join(&mut new).await;
    for seq in 10..14 {
        assert!(session.send_frame(spoken(seq)));
        assert_eq!(spoken_seqs(&old, 1).await, [seq], "the old relay is told while it serves");
        assert_eq!(spoken_seqs(&new, 1).await, [seq], "and the new one, once it has the join");
    }
    // The tree has taken up our join, and lets go of the old connection before we know.
    old.close(CloseCode::Replaced, "");
    soon(old.connection.closed()).await;
    for seq in 14..17 {
        assert!(session.send_frame(spoken(seq)));
    }
    let_in(&mut new, id).await;
    assert_joined(&mut incoming, 1).await;
    assert!(session.send_frame(spoken(17)));
    let mut again = BTreeSet::new();
    while again.len() < 8 {
        again.extend(spoken_seqs(&new, 1).await);
    }
    assert_eq!(again, (10..18).collect(), "those too that it was told before it let us in");
}

#[tokio::test]
async fn a_relay_that_does_not_let_us_in_leaves_us_where_we_are() {
    let relays = [FakeRelay::start(), FakeRelay::start(), FakeRelay::start()];
    let [first, named, standby] = &relays;
    let (_session, mut incoming, mut old) = start_joined(first, &[standby]).await;
    move_to(&mut old, &mut incoming, Some(named)).await;
    for (relay, code) in [(named, ErrorCode::Unavailable), (standby, ErrorCode::Barred)] {
        let mut peer = relay.accept().await;
        let (id, _) = join(&mut peer).await;
        peer.say(id, &ToParticipant::Err { code, message: "No.".to_owned() }).await;
        soon(peer.connection.closed()).await;
    }
    // In the next round.
    let mut new = named.accept().await;
    let (id, _) = join(&mut new).await;
    say(&old, 1);
    assert_eq!(hear(&mut incoming, 1).await, [1]);
    let_in(&mut new, id).await;
    assert_joined(&mut incoming, 1).await;
}

#[tokio::test]
async fn without_another_relay_the_present_one_is_good_until_it_closes() {
    let relay = FakeRelay::start();
    let (_session, mut incoming, mut old) = start_joined(&relay, &[]).await;
    move_to(&mut old, &mut incoming, None).await;
    say(&old, 1);
    assert_eq!(hear(&mut incoming, 1).await, [1]);
    old.close(CloseCode::Draining, "");
    let event = next_event(&mut incoming).await;
    assert!(matches!(event, Event::Retrying { was_in_room: true, .. }), "{event:?}");
    let mut again = relay.accept().await;
    let (id, _) = join(&mut again).await;
    let_in(&mut again, id).await;
    assert_joined(&mut incoming, 1).await;
}

#[tokio::test]
async fn a_moderators_word_ends_a_move_too() {
    let (first, second) = (FakeRelay::start(), FakeRelay::start());
    let (_session, mut incoming, mut old) = start_joined(&first, &[]).await;
    move_to(&mut old, &mut incoming, Some(&second)).await;
    let mut new = second.accept().await;
    join(&mut new).await;
    old.close(CloseCode::Kicked, "enough");
    let event = next_event(&mut incoming).await;
    assert!(matches!(&event, Event::Ended(End::Kicked(why)) if why == "enough"), "{event:?}");
}

#[tokio::test]
async fn who_leaves_on_the_way_leaves_both_relays() {
    let (first, second) = (FakeRelay::start(), FakeRelay::start());
    let (session, mut incoming, mut old) = start_joined(&first, &[]).await;
    move_to(&mut old, &mut incoming, Some(&second)).await;
    let mut new = second.accept().await;
    let (id, _) = join(&mut new).await;
    session.leave().await;
    assert_eq!(old.next().await.message, FromParticipant::Leave {});
    old.close(CloseCode::Done, "");
    let_in(&mut new, id).await;
    assert_eq!(new.next().await.message, FromParticipant::Leave {});
    new.close(CloseCode::Done, "");
    let event = next_event(&mut incoming).await;
    assert!(matches!(event, Event::Ended(End::Left)), "{event:?}");
}

#[tokio::test]
async fn a_join_that_is_sent_on_is_made_there() {
    let relays = [FakeRelay::start(), FakeRelay::start(), FakeRelay::start()];
    let [first, full, free] = &relays;
    let (_session, mut incoming) = start(config(first, &[])).unwrap();
    for (relay, to, code) in
        [(first, full, ErrorCode::Draining), (full, free, ErrorCode::Overloaded)]
    {
        let mut peer = relay.accept().await;
        let (id, _) = join(&mut peer).await;
        let to = Some(to.address().to_string());
        peer.say(None, &ToParticipant::Moved { to, within_ms: 0 }).await;
        peer.say(id, &ToParticipant::Err { code, message: "Go on.".to_owned() }).await;
        let event = next_event(&mut incoming).await;
        assert!(matches!(event, Event::Retrying { was_in_room: false, .. }), "{event:?}");
    }
    let mut peer = free.accept().await;
    let (id, sent) = join(&mut peer).await;
    assert!(!sent.returning, "it was never in the room");
    let_in(&mut peer, id).await;
    assert_joined(&mut incoming, 0).await;
}

fn config(relay: &FakeRelay, others: &[&FakeRelay]) -> Config {
    let others = others.iter().map(|relay| relay.address());
    Config {
        addresses: std::iter::once(relay.address()).chain(others).collect(),
        trust: Trust::Anything,
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

async fn start_joined(relay: &FakeRelay, others: &[&FakeRelay]) -> (Session, Incoming, Peer) {
    let (session, mut incoming) = start(config(relay, others)).unwrap();
    let mut peer = relay.accept().await;
    let (id, _) = join(&mut peer).await;
    let_in(&mut peer, id).await;
    assert_joined(&mut incoming, 0).await;
    (session, incoming, peer)
}

/// Reads the join.
async fn join(peer: &mut Peer) -> (Option<RequestId>, Join) {
    let Envelope { id, message: FromParticipant::Join(join) } = peer.next().await else {
        panic!("the first message is a join")
    };
    (id, join)
}

async fn let_in(peer: &mut Peer, id: Option<RequestId>) {
    let entry = |id: u64, name: &str, track| StageEntry {
        participant: ParticipantId(id),
        name: name.parse().unwrap(),
        role: Role::Speaker,
        track,
        silenced: false,
        muted: false,
        away: false,
    };
    let you = You {
        participant: ParticipantId(1),
        role: Role::Speaker,
        track: Some(OWN_TRACK),
        silenced: false,
        hand: None,
        reason: Note::default(),
        may: PermissionSet::NONE,
        invited_by: None,
        profile: tribune_protocol::domain::profile::Profile::Live,
    };
    let stage = vec![entry(1, "Ada", OWN_TRACK), entry(2, "Bob", OTHER_TRACK)];
    let joined = Joined {
        relay: "fake".parse().unwrap(),
        depth: 1,
        you,
        stage,
        listeners: 0,
        redundancy: false,
    };
    peer.say(id, &ToParticipant::Joined(joined)).await;
}

/// Says `moved`, and has the session tell of it.
async fn move_to(peer: &mut Peer, incoming: &mut Incoming, relay: Option<&FakeRelay>) {
    let to = relay.map(|relay| relay.address().to_string());
    peer.say(None, &ToParticipant::Moved { to, within_ms: 5_000 }).await;
    let event = next_event(incoming).await;
    assert!(matches!(event, Event::Message(ToParticipant::Moved { .. })), "{event:?}");
}

async fn assert_joined(incoming: &mut Incoming, times: u32) {
    let event = next_event(incoming).await;
    let Event::Joined { reconnects, .. } = event else { panic!("{event:?}") };
    assert_eq!(reconnects, times);
}

async fn next_event(incoming: &mut Incoming) -> Event {
    soon(incoming.events.recv()).await.expect("the session goes on")
}

/// Sends a frame of the other speaker.
fn say(peer: &Peer, seq: u16) {
    let header = FrameHeader {
        track: OTHER_TRACK,
        seq: Seq(seq),
        level: Level::SILENCE,
        talkspurt_end: false,
        captured: None,
        onset: None,
    };
    let mut writer = MediaWriter::new(Channel(0), 1_162);
    assert!(writer.push(&header.write(&[0xf8]).unwrap()));
    peer.connection.send_datagram(writer.take()).unwrap();
}

/// The next frames that the session hands out.
async fn hear(incoming: &mut Incoming, count: usize) -> Vec<u16> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let received = soon(incoming.frames.recv()).await.unwrap();
        assert_eq!(received.frame.track, OTHER_TRACK);
        seqs.push(received.frame.seq.0);
    }
    seqs
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

/// The next frames that the session sends to a relay.
async fn spoken_seqs(peer: &Peer, count: usize) -> Vec<u16> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        if let Datagram::Media(media) = next_datagram(peer).await {
            for frame in media.frames() {
                let frame = frame.unwrap();
                assert_eq!(frame.track, OWN_TRACK);
                seqs.push(frame.seq.0);
            }
        }
    }
    seqs
}

/// Frames that the session asks a relay for next.
async fn asked(peer: &Peer) -> (TrackId, Seq, u8) {
    loop {
        if let Datagram::Nack(Nack { track, first, count, .. }) = next_datagram(peer).await {
            return (track, first, count);
        }
    }
}

async fn next_datagram(peer: &Peer) -> Datagram {
    Datagram::parse(soon(peer.connection.read_datagram()).await.unwrap()).unwrap()
}
