//! One-shot requests, without joining: connects, asks, and reads the answers. One connection serves
//! several requests, one after the other; a relay that cannot be reached or refuses for now is followed
//! by the next address, as [`tribune_client_core::reconnect`] says.

use std::time::Instant;

use quinn::ClientConfig;
use rand::RngExt;
use rand::rngs::StdRng;
use tribune_client_core::address::Address;
use tribune_client_core::connection::{ANSWER_TIMEOUT, Connection, Unsent};
use tribune_client_core::reconnect::{End, Failure, Next, Reconnect};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{
    FromParticipant, ListenerReports, LogPage, OneShot, RoomInfo, ToParticipant,
};
use tribune_protocol::domain::ban::Ban;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Listing;
use tribune_protocol::domain::share::ShareText;
use tribune_protocol::domain::stage::Hand;
use tribune_protocol::ids::{DisplayName, RequestId, RoomName, SessionKey};
use tribune_protocol::statistics::StatisticsPart;
use tribune_protocol::token::TokenText;

use super::quic::{self, ControlIn, QuicConnection};
use super::tls::{self, TlsSetupError, Trust};

/// Identity of the requester, and relays.
#[derive(Debug, Clone)]
pub struct Config {
    /// Relays to ask, best first; not empty.
    pub addresses: Vec<Address>,
    /// How relays are authenticated.
    pub trust: Trust,
    /// Identity of the requester: see [`SessionKey`].
    pub session: SessionKey,
    /// Name in the log.
    pub name: DisplayName,
    /// The role to act in, where no token says which.
    pub role: Role,
    /// Proof of the right to the role.
    pub token: Option<TokenText>,
}

/// Answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done, everywhere in the tree where that matters.
    Done,
    /// How the room is set up.
    Room(RoomInfo),
    /// The queue of hands.
    Hands {
        /// The first of them.
        hands: Vec<Hand>,
        /// How many there are.
        total: u32,
    },
    /// A part of the list of bans.
    Bans {
        /// At most 30.
        bans: Vec<Ban>,
        /// How many there are.
        total: u32,
    },
    /// A part of the log.
    Log(LogPage),
    /// A token that lets in.
    Invitation {
        /// The token.
        token: String,
    },
    /// How the room is heard, and single listeners.
    ListenerReports(ListenerReports),
    /// A share link of ours.
    Share {
        /// Text for the parameter `s` of a link.
        text: ShareText,
    },
    /// A part of a room's statistics.
    Statistics {
        /// The part.
        part: StatisticsPart,
    },
    /// A part of the list of public rooms.
    Rooms {
        /// At most 64, by name.
        rooms: Vec<Listing>,
        /// Whether there are more behind them.
        more: bool,
    },
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OneShotError {
    /// No relay, or the room, serves us.
    #[error("{0:?}")]
    Ended(End),
    /// The request is under way, and its outcome is not known.
    #[error("{0}, and whether the request was carried out is not known")]
    Unconfirmed(String),
    /// The relay answered with something that is no answer to the request.
    #[error("the relay answered {0}, which is no answer to the request")]
    Unexpected(&'static str),
}

/// The requests of one participant, over one connection at a time.
#[derive(Debug)]
pub struct OneShotClient {
    config: Config,
    quic: ClientConfig,
    link: Option<Link>,
    random: StdRng,
}

/// A connection that requests go over.
#[derive(Debug)]
struct Link {
    quic: QuicConnection,
    control: ControlIn,
    connection: Connection,
}

/// Why an attempt failed.
enum Attempt {
    /// Nothing was asked, or it was refused: another attempt does no harm.
    Failed(Failure),
    /// The request had left.
    Cut(Failure),
}

impl OneShotClient {
    /// Prepares; the connection comes about with the first request.
    ///
    /// # Errors
    /// [`TlsSetupError`], if the certificates to trust cannot be read.
    pub fn new(config: Config) -> Result<Self, TlsSetupError> {
        let quic = quic::quic_config(tls::client_config(&config.trust)?);
        Ok(Self { config, quic, link: None, random: rand::make_rng::<StdRng>() })
    }

    /// Asks a room's origin for something.
    ///
    /// # Errors
    /// [`OneShotError`]
    pub async fn ask(&mut self, room: &RoomName, act: Govern) -> Result<Answer, OneShotError> {
        let may_repeat = act.traits().only_reads();
        let one_shot = OneShot {
            room: room.clone(),
            session: self.config.session.clone(),
            name: self.config.name.clone(),
            role: self.config.role,
            token: self.config.token.clone(),
            act,
        };
        self.request(&FromParticipant::OneShot(one_shot), may_repeat).await
    }

    /// Asks for the public rooms behind `after`.
    ///
    /// # Errors
    /// [`OneShotError`]
    pub async fn list_rooms(&mut self, after: Option<RoomName>) -> Result<Answer, OneShotError> {
        self.request(&FromParticipant::ListRooms { after }, true).await
    }

    /// Closes the connection, if there is one.
    pub async fn close(mut self) {
        if let Some(link) = self.link.take() {
            link.quic.close().await;
        }
    }

    /// Tries every address, and a relay that is about to be of use a few times.
    async fn request(
        &mut self,
        message: &FromParticipant,
        may_repeat: bool,
    ) -> Result<Answer, OneShotError> {
        let mut reconnect = Reconnect::new(self.config.addresses.clone(), false);
        loop {
            let failure = match self.attempt(&reconnect, message).await {
                Ok(message) => return answer(message),
                Err(Attempt::Failed(failure)) => failure,
                Err(Attempt::Cut(failure)) if may_repeat || is_refusal(&failure) => failure,
                Err(Attempt::Cut(failure)) => return Err(unconfirmed(failure)),
            };
            tracing::debug!(?failure, "request failed");
            match reconnect.handle_failure(failure, self.random.random()) {
                Next::GiveUp(end) => return Err(OneShotError::Ended(end)),
                Next::Retry { after, .. } => tokio::time::sleep(after).await,
            }
        }
    }

    async fn attempt(
        &mut self,
        reconnect: &Reconnect,
        message: &FromParticipant,
    ) -> Result<ToParticipant, Attempt> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => {
                let connected = QuicConnection::connect(reconnect.address(), &self.quic).await;
                let (quic, control) = connected.map_err(Attempt::Failed)?;
                Link { quic, control, connection: Connection::new(Instant::now()) }
            }
        };
        let id = link.ask(message).await.map_err(Attempt::Failed)?;
        let received = tokio::time::timeout(ANSWER_TIMEOUT, link.answer_to(id)).await;
        let silent = || Failure::Lost("the relay did not answer within 10 s".to_owned());
        let (answer, moved) =
            received.map_err(|_| Attempt::Cut(silent()))?.map_err(Attempt::Cut)?;
        let ToParticipant::Err { code, message } = answer else {
            self.link = Some(link);
            return Ok(answer);
        };
        // A relay that puts us off is not asked again on the same connection: the next address may
        // serve at once.
        if code.is_transient() {
            link.quic.close().await;
        } else {
            self.link = Some(link);
        }
        Err(Attempt::Failed(Failure::of_refusal(code, message, moved)))
    }
}

impl Link {
    /// Sends a request.
    async fn ask(&mut self, message: &FromParticipant) -> Result<RequestId, Failure> {
        // One at a time: the one before has been answered, or its connection closed.
        let request = self.connection.request(Instant::now(), message);
        let (id, bytes) = request.map_err(|unsent| match unsent {
            Unsent::Busy => Failure::Lost("too many requests wait for answers".to_owned()),
            Unsent::Failed(failure) => failure,
        })?;
        self.quic.send(&bytes).await?;
        Ok(id)
    }

    /// The answer, and the relay that was named before.
    async fn answer_to(
        &mut self,
        id: RequestId,
    ) -> Result<(ToParticipant, Option<Address>), Failure> {
        let mut moved = None;
        loop {
            while let Some(received) = self.connection.poll_message()? {
                let envelope = received.envelope;
                if envelope.id == Some(id) {
                    return Ok((envelope.message, moved));
                }
                if let ToParticipant::Moved { to: Some(to), .. } = envelope.message {
                    moved = to.parse().ok();
                }
            }
            match self.control.receive().await {
                Ok(bytes) => self.connection.handle_control(&bytes),
                // What the relay said when it closed tells more than that the stream is over.
                Err(Failure::Lost(why)) => return Err(self.quic.failure(&why)),
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Whether the relay's close itself says that the request was not carried out.
fn is_refusal(failure: &Failure) -> bool {
    match failure {
        Failure::Closed { code, .. } => !code.is_worth_a_retry() && *code != CloseCode::Done,
        Failure::Refused { .. } | Failure::Redirected { .. } => true,
        Failure::Unreachable(_) | Failure::Tls(_) | Failure::Lost(_) | Failure::Moved => false,
    }
}

fn unconfirmed(failure: Failure) -> OneShotError {
    OneShotError::Unconfirmed(match failure {
        Failure::Unreachable(why) | Failure::Tls(why) | Failure::Lost(why) => why,
        Failure::Closed { code, .. } => format!("the relay closed the connection: {code}"),
        Failure::Refused { message, .. } | Failure::Redirected { message, .. } => message,
        Failure::Moved => "the relay moves us".to_owned(),
    })
}

fn answer(message: ToParticipant) -> Result<Answer, OneShotError> {
    let unexpected = |what| Err(OneShotError::Unexpected(what));
    match message {
        ToParticipant::Ok {} => Ok(Answer::Done),
        ToParticipant::Room(room) => Ok(Answer::Room(room)),
        ToParticipant::Hands { hands, total } => Ok(Answer::Hands { hands, total }),
        ToParticipant::Bans { bans, total } => Ok(Answer::Bans { bans, total }),
        ToParticipant::Log(page) => Ok(Answer::Log(page)),
        ToParticipant::Invitation { token } => Ok(Answer::Invitation { token: token.into() }),
        ToParticipant::Rooms { rooms, more } => Ok(Answer::Rooms { rooms, more }),
        ToParticipant::ListenerReports(reports) => Ok(Answer::ListenerReports(reports)),
        ToParticipant::Share { text } => Ok(Answer::Share { text }),
        ToParticipant::Statistics { part } => Ok(Answer::Statistics { part }),
        ToParticipant::Joined(_) => unexpected("joined"),
        ToParticipant::Err { .. } => unexpected("err"),
        ToParticipant::Stage { .. } => unexpected("stage"),
        ToParticipant::Listeners { .. } => unexpected("listeners"),
        ToParticipant::You(_) => unexpected("you"),
        ToParticipant::Moderated(_) => unexpected("moderated"),
        ToParticipant::Reactions { .. } => unexpected("reactions"),
        ToParticipant::Texts { .. } => unexpected("texts"),
        ToParticipant::Questions(_) => unexpected("questions"),
        ToParticipant::TokenExpires { .. } => unexpected("token_expires"),
        ToParticipant::PleaseMute { .. } => unexpected("please_mute"),
        ToParticipant::Protect { .. } => unexpected("protect"),
        ToParticipant::Moved { .. } => unexpected("moved"),
        ToParticipant::Unknown => unexpected("a message of a later version"),
    }
}
