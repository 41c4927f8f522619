//! Requests without coming in, against a relay that does what each test tells it to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;

use fake::{FakeRelay, Peer, soon};
use tribune_client::session::address::Address;
use tribune_client::session::identity;
use tribune_client::session::oneshot::{Answer, Config, OneShotClient, OneShotError};
use tribune_client::session::reconnect::End;
use tribune_client::session::tls::Trust;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, OneShot, ToParticipant};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Note, ParticipantId, RequestId, RoomName};

fn one_shots(addresses: Vec<Address>) -> OneShotClient {
    OneShotClient::new(Config {
        addresses,
        trust: Trust::Anything,
        session: identity::new_key(),
        name: "Ada".parse().unwrap(),
        role: Role::Cohost,
        token: Some("a.b.c".into()),
    })
    .unwrap()
}

fn room() -> RoomName {
    "stage".parse().unwrap()
}

fn kick() -> Govern {
    let target = tribune_protocol::domain::target::Target::Participant(ParticipantId(5));
    Govern::Kick { target, reason: Note::default() }
}

async fn next(peer: &mut Peer) -> (Option<RequestId>, OneShot) {
    let envelope = peer.next().await;
    let FromParticipant::OneShot(one_shot) = envelope.message else {
        panic!("{:?} is no one-shot request", envelope.message)
    };
    (envelope.id, one_shot)
}

fn refusal(code: ErrorCode) -> ToParticipant {
    ToParticipant::Err { code, message: "No.".to_owned() }
}

#[tokio::test]
async fn several_requests_share_a_connection() {
    let relay = FakeRelay::start();
    let mut one_shots = one_shots(vec![relay.address()]);
    let asking = async {
        let hands = one_shots.ask(&room(), Govern::ListHands {}).await;
        let refused = one_shots.ask(&room(), kick()).await;
        let done = one_shots.ask(&room(), kick()).await;
        one_shots.close().await;
        (hands, refused, done)
    };
    let answering = async {
        let mut peer = relay.accept().await;
        let (id, one_shot) = next(&mut peer).await;
        assert_eq!((one_shot.role, one_shot.token.as_deref()), (Role::Cohost, Some("a.b.c")));
        assert_eq!(one_shot.act, Govern::ListHands {});
        // What is for nobody in particular is no answer.
        peer.say(None, &ToParticipant::Listeners { count: 3 }).await;
        peer.say(id, &ToParticipant::Hands { hands: Vec::new(), total: 0 }).await;
        let (id, _) = next(&mut peer).await;
        peer.say(id, &refusal(ErrorCode::NotPermitted)).await;
        let (id, one_shot) = next(&mut peer).await;
        assert_eq!(one_shot.act, kick());
        peer.say(id, &ToParticipant::Ok {}).await;
        soon(peer.connection.closed()).await;
    };
    let ((hands, refused, done), ()) = soon(async { tokio::join!(asking, answering) }).await;
    assert_eq!(hands, Ok(Answer::Hands { hands: Vec::new(), total: 0 }));
    let end = End::Refused { code: ErrorCode::NotPermitted, message: "No.".to_owned() };
    assert_eq!(refused, Err(OneShotError::Ended(end)));
    assert_eq!(done, Ok(Answer::Done));
}

#[tokio::test]
async fn a_relay_that_puts_us_off_is_followed_by_the_next() {
    let (first, second) = (FakeRelay::start(), FakeRelay::start());
    let mut one_shots = one_shots(vec![first.address(), second.address()]);
    let answering = async {
        let mut peer = first.accept().await;
        let (id, _) = next(&mut peer).await;
        peer.say(id, &refusal(ErrorCode::Draining)).await;
        let mut peer = second.accept().await;
        let (id, one_shot) = next(&mut peer).await;
        assert_eq!(one_shot.act, kick());
        peer.say(id, &ToParticipant::Ok {}).await;
        peer
    };
    let room = room();
    let (done, _peer) = soon(async { tokio::join!(one_shots.ask(&room, kick()), answering) }).await;
    assert_eq!(done, Ok(Answer::Done));
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_followed_by_the_next() {
    // Bound and closed again: nobody answers there.
    let nobody = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let absent = nobody.local_addr().unwrap().to_string().parse().unwrap();
    let relay = FakeRelay::start();
    let mut one_shots = one_shots(vec![absent, relay.address()]);
    let answering = async {
        let mut peer = relay.accept().await;
        let envelope = peer.next().await;
        assert_eq!(envelope.message, FromParticipant::ListRooms { after: None });
        let rooms = ToParticipant::Rooms { rooms: Vec::new(), more: false };
        peer.say(envelope.id, &rooms).await;
        peer
    };
    let (rooms, _peer) = soon(async { tokio::join!(one_shots.list_rooms(None), answering) }).await;
    assert_eq!(rooms, Ok(Answer::Rooms { rooms: Vec::new(), more: false }));
}

/// Reading twice does no harm; acting twice might.
#[tokio::test]
async fn a_connection_that_is_lost_is_not_taken_for_an_answer() {
    let (first, second) = (FakeRelay::start(), FakeRelay::start());
    let both = vec![first.address(), second.address()];
    let mut acting = one_shots(both.clone());
    let cutting = async {
        let mut peer = first.accept().await;
        next(&mut peer).await;
        peer.close(CloseCode::Shutdown, "");
    };
    let room = room();
    let (lost, ()) = soon(async { tokio::join!(acting.ask(&room, kick()), cutting) }).await;
    assert!(matches!(lost, Err(OneShotError::Unconfirmed(_))), "{lost:?}");

    let mut reading = one_shots(both);
    let cutting = async {
        let mut peer = first.accept().await;
        next(&mut peer).await;
        peer.close(CloseCode::Shutdown, "");
        let mut peer = second.accept().await;
        let (id, _) = next(&mut peer).await;
        peer.say(id, &ToParticipant::Bans { bans: Vec::new(), total: 0 }).await;
        peer
    };
    let list = Govern::ListBans { after: 0 };
    let (bans, _peer) = soon(async { tokio::join!(reading.ask(&room, list), cutting) }).await;
    assert_eq!(bans, Ok(Answer::Bans { bans: Vec::new(), total: 0 }));
}
