//! A relay over real QUIC on loopback that does what each test tells it to.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tribune_client::session::address::Address;
use tribune_protocol::ALPN_PARTICIPANT;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::{ControlReader, Envelope, decode, encode};
use tribune_protocol::ids::RequestId;

/// How long anything may take before a test is stuck: generous, as it is never waited out.
const PATIENCE: Duration = Duration::from_secs(30);

/// A relay that a test answers for.
#[allow(dead_code, reason = "each test file uses a part of it")]
pub(super) struct FakeRelay {
    pub(super) endpoint: quinn::Endpoint,
    pub(super) certificate_pem: String,
    pub(super) certificate: CertificateDer<'static>,
}

/// One connection to it.
pub(super) struct Peer {
    pub(super) connection: quinn::Connection,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    reader: ControlReader,
}

impl FakeRelay {
    pub(super) fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
        tls.alpn_protocols = vec![ALPN_PARTICIPANT.to_vec()];
        let quic =
            quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let endpoint = quinn::Endpoint::server(quic, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { endpoint, certificate_pem: made.cert.pem(), certificate: made.cert.der().clone() }
    }

    pub(super) fn address(&self) -> Address {
        format!("localhost:{}", self.endpoint.local_addr().unwrap().port()).parse().unwrap()
    }

    pub(super) async fn accept(&self) -> Peer {
        let connection = soon(self.endpoint.accept()).await.unwrap().await.unwrap();
        let (send, receive) = soon(connection.accept_bi()).await.unwrap();
        Peer { connection, send, receive, reader: ControlReader::default() }
    }
}

impl Peer {
    pub(super) async fn next(&mut self) -> Envelope<FromParticipant> {
        soon(async {
            loop {
                if let Some(body) = self.reader.poll_message().unwrap() {
                    return decode(&body).unwrap();
                }
                let chunk = self.receive.read_chunk(1_000, true).await.unwrap().unwrap();
                self.reader.handle_bytes(&chunk.bytes);
            }
        })
        .await
    }

    pub(super) async fn say(&mut self, id: Option<RequestId>, message: &ToParticipant) {
        self.send.write_all(&encode(id, message).unwrap()).await.unwrap();
    }

    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        let code = quinn::VarInt::from_u64(code.to_wire()).unwrap();
        self.connection.close(code, reason.as_bytes());
    }
}

/// The outcome of what is soon done.
pub(super) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("takes too long")
}
