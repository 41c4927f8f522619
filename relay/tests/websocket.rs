//! WebSockets over real sockets: a participant in a network without UDP, and those who only say that they are one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as SocketCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, Join, ToParticipant};
use tribune_protocol::control::{ControlReader, decode, encode};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{RequestId, SessionKey};
use tribune_protocol::media::Datagram;
use tribune_protocol::media::probe::Probe;
use tribune_relay::assemble::{Ready, Relay};
use tribune_relay::config::Config;
use tribune_relay::drivers::orders::Orders;
use tribune_relay::tls::{ServerTrust, client_crypto};
use tribune_relay::websocket::SUBPROTOCOL;
use tribune_relay_core::link::bridge::{ALPN_BRIDGE, BridgeKey};

/// Much longer than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);
const DATAGRAM: u8 = 0;
const CONTROL: u8 = 1;

struct Running {
    ready: Ready,
    orders: Orders,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start() -> Self {
        let arguments = [
            "relay",
            "--dev",
            "--shards=2",
            "--listen=127.0.0.1:0",
            "--http=127.0.0.1:0",
            "--web=127.0.0.1:0",
        ];
        let config = Config::from_args(arguments, &|_| None).expect("it is valid");
        let relay = Relay::start(config).await.expect("it starts");
        let (ready, orders) = (relay.ready().clone(), relay.orders());
        Self { ready, orders, task: tokio::spawn(relay.run_until_drained()) }
    }

    async fn connect(&self, origin: Option<&str>) -> Result<Socket, Error> {
        self.connect_from("127.0.0.1:0", origin).await
    }

    async fn connect_from(&self, local: &str, origin: Option<&str>) -> Result<Socket, Error> {
        let web = self.ready.web.as_ref().unwrap().address;
        let mut request = format!("ws://{web}/tribune").into_client_request()?;
        let own = format!("http://{web}");
        let headers = request.headers_mut();
        headers.insert("origin", HeaderValue::from_str(origin.unwrap_or(&own)).unwrap());
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
        let socket = TcpSocket::new_v4()?;
        socket.bind(local.parse().unwrap())?;
        let (stream, response) = client_async(request, socket.connect(web).await?).await?;
        assert_eq!(response.headers()["sec-websocket-protocol"], SUBPROTOCOL);
        Ok(Socket { stream, reader: ControlReader::default() })
    }

    async fn end(self) {
        self.orders.end();
        timeout(PATIENCE, self.task).await.expect("it ends").unwrap().unwrap();
    }
}

/// A page's socket.
struct Socket {
    stream: WebSocketStream<TcpStream>,
    reader: ControlReader,
}

impl Socket {
    async fn say(&mut self, id: u32, message: &FromParticipant) {
        let message = encode(Some(RequestId(id)), message).unwrap();
        // Any split will do.
        for part in message.chunks(7) {
            self.give(CONTROL, part).await;
        }
    }

    async fn give(&mut self, kind: u8, bytes: &[u8]) {
        let message = [&[kind], bytes].concat();
        self.stream.send(Message::Binary(message.into())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        timeout(PATIENCE, self.stream.next()).await.expect("in time").unwrap().unwrap()
    }

    /// The next message of the control stream that `wanted` takes.
    async fn told<T>(&mut self, mut wanted: impl FnMut(ToParticipant) -> Option<T>) -> T {
        loop {
            while let Some(body) = self.reader.poll_message().unwrap() {
                if let Some(found) = wanted(decode(&body).unwrap().message) {
                    return found;
                }
            }
            if let Message::Binary(bytes) = self.next().await
                && bytes[0] == CONTROL
            {
                self.reader.handle_bytes(&bytes[1..]);
            }
        }
    }

    /// The code and the reason of the end.
    async fn end(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(Some(frame)) = self.next().await {
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

fn join(session: u8, role: Role) -> FromParticipant {
    FromParticipant::Join(Join {
        room: "hall".parse().unwrap(),
        session: SessionKey([session; 16]),
        name: format!("guest {session}").parse().unwrap(),
        role,
        token: None,
        returning: false,
        heard: Vec::new(),
        profile: None,
        redundancy: true,
        way: None,
        share: None,
        stay_s: None,
    })
}

#[tokio::test]
async fn a_page_without_udp_is_in_the_room_and_is_told_why_it_has_to_go() {
    let relay = Running::start().await;
    let mut host = relay.connect(None).await.unwrap();
    host.say(1, &join(1, Role::Host)).await;
    let joined = |message| {
        let ToParticipant::Joined(joined) = message else { return None };
        Some(joined)
    };
    let you = host.told(joined).await.you;
    assert_eq!(you.profile, Profile::Live, "on the stage");

    let mut guest = relay.connect(None).await.unwrap();
    guest.say(1, &join(2, Role::Listener)).await;
    let you = guest.told(joined).await.you;
    assert_eq!(you.profile, Profile::Audience, "as browsers hear");

    // Datagrams go both ways.
    guest.give(DATAGRAM, &Probe::Question { asked_us: 5 }.write()).await;
    let answer = loop {
        if let Message::Binary(bytes) = guest.next().await
            && bytes[0] == DATAGRAM
        {
            break Datagram::parse(bytes.slice(1..));
        }
    };
    let Ok(Datagram::Probe(Probe::Answer(answer))) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.asked_us, 5);

    let target = Target::Participant(you.participant);
    let act = Govern::Kick { target, reason: "Too loud.".parse().unwrap() };
    host.say(2, &FromParticipant::Govern { act }).await;
    let (code, reason) = guest.end().await;
    assert_eq!(u64::from(code), 4_000 + CloseCode::Kicked.to_wire(), "{reason}");
    relay.end().await;
}

#[tokio::test]
async fn a_ban_of_an_address_is_of_the_browsers_own() {
    let relay = Running::start().await;
    let mut host = relay.connect(None).await.unwrap();
    host.say(1, &join(1, Role::Host)).await;
    host.told(|message| matches!(message, ToParticipant::Joined(_)).then_some(())).await;
    let target = Target::Address("127.0.0.2".parse().unwrap());
    let act = Govern::Ban { target, duration_s: None, reason: "Noise.".parse().unwrap() };
    host.say(2, &FromParticipant::Govern { act }).await;
    host.told(|message| matches!(message, ToParticipant::Ok {}).then_some(())).await;
    let mut guest = relay.connect_from("127.0.0.2:0", None).await.unwrap();
    guest.say(1, &join(2, Role::Listener)).await;
    let refused = guest.told(|message| {
        let ToParticipant::Err { code, .. } = message else { return None };
        Some(code.to_string())
    });
    assert_eq!(refused.await, "barred");
    relay.end().await;
}

#[tokio::test]
async fn pages_of_others_texts_and_forged_bridges_are_refused() {
    let relay = Running::start().await;
    let foreign = relay.connect(Some("https://evil.example")).await;
    let Err(Error::Http(response)) = foreign else { panic!("it was let in") };
    assert_eq!(response.status(), 403);

    let mut socket = relay.connect(None).await.unwrap();
    socket.stream.send(Message::text("join")).await.unwrap();
    assert_eq!(socket.end().await.0, u16::from(SocketCode::Policy));
    let mut socket = relay.connect(None).await.unwrap();
    socket.give(2, b"?").await;
    assert_eq!(socket.end().await.0, u16::from(SocketCode::Policy));

    // Whoever dials the bridge's ALPN has to prove that it is the relay.
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let crypto = client_crypto(ALPN_BRIDGE, ServerTrust::Anything, None).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::clone(&crypto) as _));
    let conn = endpoint.connect(relay.ready.listen, "localhost").unwrap().await.unwrap();
    let (mut send, _receive) = conn.open_bi().await.unwrap();
    let forged = BridgeKey::new([0; 32]).preamble([192, 0, 2, 1].into());
    send.write_all(&forged).await.unwrap();
    let closed = timeout(PATIENCE, conn.closed()).await.expect("it is closed");
    let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
    assert_eq!(close.error_code.into_inner(), CloseCode::ProtocolViolation.to_wire());
    relay.end().await;
}
