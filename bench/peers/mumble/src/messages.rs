//! Messages on a client's TLS connection, as far as joining and staying need them. Field numbers and kinds
//! are those of mumble's `Mumble.proto`; unused fields are left out.

use anyhow::{Context, Result, bail};
use prost::Message;

/// Bytes before a message: its kind and its length.
const HEAD_BYTES: usize = 6;
/// Longest message that mumble allows, in bytes.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024 - 1;
/// Release that clients announce: the last one that has the older UDP format only, so that newer servers
/// use it too.
const CLIENT_VERSION: u32 = 0x0001_0304;

/// Message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromClient {
    /// Version, the first message.
    Version,
    /// Authentication: name, and support of Opus.
    Authenticate {
        /// Name of the client.
        name: String,
    },
    /// Ping that keeps the connection alive.
    Ping,
    /// Deafness: a deaf client gets no audio and cannot speak either.
    Deaf(bool),
    /// Nonce of its last UDP packet, for a server that could not open later ones.
    Nonce([u8; 16]),
}

impl FromClient {
    /// Encoded message with its header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Version => (kind::VERSION, Version::of_client().encode_to_vec()),
            Self::Authenticate { name } => {
                let message = Authenticate { username: Some(name.clone()), opus: Some(true) };
                (kind::AUTHENTICATE, message.encode_to_vec())
            }
            Self::Ping => (kind::PING, Ping { timestamp: Some(1) }.encode_to_vec()),
            Self::Deaf(deaf) => {
                let mut message = UserState { self_deaf: Some(*deaf), ..UserState::default() };
                message.self_mute = message.self_deaf;
                (kind::USER_STATE, message.encode_to_vec())
            }
            Self::Nonce(nonce) => {
                let client_nonce = Some(nonce.to_vec());
                let message = CryptSetup { client_nonce, ..CryptSetup::default() };
                (kind::CRYPT_SETUP, message.encode_to_vec())
            }
        };
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((body.len() as u32).to_be_bytes());
        message.extend(body);
        message
    }
}

/// Message of a server, as far as clients need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromServer {
    /// Version of the server.
    Version {
        /// Name of its release.
        release: String,
    },
    /// The client is refused.
    Reject {
        /// Reason.
        reason: String,
    },
    /// The client is admitted.
    In {
        /// Session id of the client.
        session: u32,
    },
    /// Key and nonces for UDP.
    Crypt {
        /// Key of both directions.
        key: Vec<u8>,
        /// Nonce of the client's packets.
        client_nonce: Vec<u8>,
        /// Nonce of the server's packets.
        server_nonce: Vec<u8>,
    },
    /// Resync: the server could not open a packet and requests the client's nonce.
    Resync,
    /// Audio that did not come by UDP.
    Tunnel,
    /// A client has become deaf, or is no longer.
    Deaf {
        /// Session id of the client.
        session: u32,
        /// Whether it is deaf.
        deaf: bool,
    },
}

/// Incremental parser of messages.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Adds received bytes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Hands on each complete message that matters to a client.
    ///
    /// # Errors
    /// The bytes are not a message, or `each` fails.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(FromServer) -> Result<()>) -> Result<()> {
        let mut rest = &self.bytes[..];
        while let Some((head, tail)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let [k0, k1, length @ ..] = *head;
            let length = u32::from_be_bytes(length) as usize;
            if length > MAX_MESSAGE_BYTES {
                bail!("the server announces a message of {length} bytes");
            }
            let Some((body, tail)) = tail.split_at_checked(length) else { break };
            if let Some(message) = decode(u16::from_be_bytes([k0, k1]), body)? {
                each(message)?;
            }
            rest = tail;
        }
        let taken = self.bytes.len() - rest.len();
        self.bytes.drain(..taken);
        Ok(())
    }
}

fn decode(kind: u16, body: &[u8]) -> Result<Option<FromServer>> {
    let message = match kind {
        kind::VERSION => {
            let version = Version::decode(body).context("the server's version")?;
            FromServer::Version { release: version.release.unwrap_or_default() }
        }
        kind::UDP_TUNNEL => FromServer::Tunnel,
        kind::REJECT => {
            let reject = Reject::decode(body).context("the server's reject")?;
            FromServer::Reject { reason: reject.reason.unwrap_or_default() }
        }
        kind::SERVER_SYNC => {
            let sync = ServerSync::decode(body).context("the server's sync")?;
            FromServer::In { session: sync.session.unwrap_or_default() }
        }
        kind::USER_STATE => {
            let state = UserState::decode(body).context("the server's user state")?;
            let (Some(session), Some(deaf)) = (state.session, state.self_deaf) else {
                return Ok(None);
            };
            FromServer::Deaf { session, deaf }
        }
        kind::CRYPT_SETUP => {
            let crypt = CryptSetup::decode(body).context("the server's crypt setup")?;
            match (crypt.key, crypt.client_nonce, crypt.server_nonce) {
                (Some(key), Some(client_nonce), Some(server_nonce)) => {
                    FromServer::Crypt { key, client_nonce, server_nonce }
                }
                (None, None, None) => FromServer::Resync,
                // An answer to a request that is never sent here.
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(message))
}

mod kind {
    pub(super) const VERSION: u16 = 0;
    pub(super) const UDP_TUNNEL: u16 = 1;
    pub(super) const AUTHENTICATE: u16 = 2;
    pub(super) const PING: u16 = 3;
    pub(super) const REJECT: u16 = 4;
    pub(super) const SERVER_SYNC: u16 = 5;
    pub(super) const USER_STATE: u16 = 9;
    pub(super) const CRYPT_SETUP: u16 = 15;
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Version {
    #[prost(uint32, optional, tag = "1")]
    version: Option<u32>,
    #[prost(string, optional, tag = "2")]
    release: Option<String>,
}

impl Version {
    fn of_client() -> Self {
        Self { version: Some(CLIENT_VERSION), release: Some("peer-mumble".to_owned()) }
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Authenticate {
    #[prost(string, optional, tag = "1")]
    username: Option<String>,
    #[prost(bool, optional, tag = "5")]
    opus: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Ping {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Reject {
    #[prost(string, optional, tag = "2")]
    reason: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct ServerSync {
    #[prost(uint32, optional, tag = "1")]
    session: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct UserState {
    #[prost(uint32, optional, tag = "1")]
    session: Option<u32>,
    #[prost(bool, optional, tag = "9")]
    self_mute: Option<bool>,
    #[prost(bool, optional, tag = "10")]
    self_deaf: Option<bool>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct CryptSetup {
    #[prost(bytes = "vec", optional, tag = "1")]
    key: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    client_nonce: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    server_nonce: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_wherever_the_stream_is_cut() {
        let mut stream = Vec::new();
        let sync = ServerSync { session: Some(513) }.encode_to_vec();
        put(&mut stream, kind::SERVER_SYNC, &sync);
        put(&mut stream, 7, &[1, 2, 3]); // a kind that is passed over
        put(&mut stream, kind::UDP_TUNNEL, &[]);
        stream.extend(FromClient::Deaf(true).encode()); // says no session
        put(&mut stream, kind::USER_STATE, &[0x08, 5, 0x50, 1]);
        put(&mut stream, kind::CRYPT_SETUP, &[0x0a, 1, 7, 0x12, 1, 8, 0x1a, 1, 9]);
        put(&mut stream, kind::CRYPT_SETUP, &[]);
        let expected = [
            FromServer::In { session: 513 },
            FromServer::Tunnel,
            FromServer::Deaf { session: 5, deaf: true },
            FromServer::Crypt { key: vec![7], client_nonce: vec![8], server_nonce: vec![9] },
            FromServer::Resync,
        ];
        for cut in 0..stream.len() {
            let (mut inbox, mut got) = (Inbox::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                inbox.extend(part);
                inbox
                    .drain(|message| {
                        got.push(message);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(got, expected, "cut at {cut}");
            assert!(inbox.bytes.is_empty());
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut inbox = Inbox::default();
        inbox.extend(&[0, 5, 0xff, 0, 0, 0]);
        assert!(inbox.drain(|_| Ok(())).is_err());
        let mut inbox = Inbox::default();
        inbox.extend(&[0, 5, 0, 0, 0, 1, 0x08]);
        assert!(inbox.drain(|_| Ok(())).is_err());
    }

    #[test]
    fn clients_say_what_the_protocol_asks_for() {
        let hello = FromClient::Authenticate { name: "ab".to_owned() }.encode();
        assert_eq!(hello, [0, 2, 0, 0, 0, 6, 0x0a, 2, b'a', b'b', 0x28, 1]);
        assert_eq!(FromClient::Ping.encode(), [0, 3, 0, 0, 0, 2, 0x08, 1]);
        let nonce = FromClient::Nonce([3; 16]).encode();
        assert_eq!(nonce[..9], [0, 15, 0, 0, 0, 18, 0x12, 16, 3]);
        assert_eq!(FromClient::Deaf(false).encode(), [0, 9, 0, 0, 0, 4, 0x48, 0, 0x50, 0]);
        assert_eq!(
            FromClient::Version.encode()[..11],
            [0, 0, 0, 0, 0, 17, 0x08, 0x84, 0x86, 4, 0x12]
        );
    }

    fn put(stream: &mut Vec<u8>, kind: u16, body: &[u8]) {
        stream.extend(kind.to_be_bytes());
        stream.extend((body.len() as u32).to_be_bytes());
        stream.extend(body);
    }
}
