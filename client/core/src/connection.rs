//! One connection to a relay, without QUIC under it: control messages, requests and their answers,
//! clock probes, frames on the own track, signs of life.
//!
//! `handle_*` takes bytes of the control stream and datagrams, other methods give what is to be sent.
//! [`crate::participant`] makes a stay in a room out of several connections.

mod answers;
mod exchange;
mod groups;
mod sent;
mod speaking;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::{FromParticipant, Join, You};
use tribune_protocol::control::{ControlError, ControlReader, decode, encode};
use tribune_protocol::ids::{Channel, RequestId, TrackId};
use tribune_protocol::media::nack::Nack;
use tribune_protocol::media::probe::Probe;
use tribune_protocol::media::protection::Protection;
use tribune_protocol::media::repair::Gap;
use tribune_protocol::media::{Datagram, DatagramError};
use tribune_protocol::time::ClockFilter;
use tribune_protocol::token::TokenText;

pub use self::exchange::{Answer, Arrival, Path, Received, RequestError, Unsent};
pub use self::groups::GROUP_STREAMS;
use self::groups::GroupReader;
use self::sent::SentFrames;
use crate::address::Address;
use crate::encoding::UplinkCounts;
use crate::reconnect::Failure;
use crate::talkspurt::Onset;

/// Time for an answer. Moderation is answered once the farthest relay has acted.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that wait for their answers.
const PENDING_MAX: usize = 32;
/// Silence after which a relay is taken for dead: five probes in a row without even an
/// acknowledgement. The idle timeout alone would leave a listener in silence for 15 s.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// See the module's documentation.
#[derive(Debug)]
pub struct Connection {
    reader: ControlReader,
    next_id: u32,
    joining: Option<Joining>,
    pending: BTreeMap<RequestId, Pending>,
    clock: ClockFilter,
    /// The own track, while there is one.
    track: Option<TrackId>,
    silenced: bool,
    sent: SentFrames,
    groups: GroupReader,
    protection: Protection,
    /// The relay understands redundant frames.
    takes_redundancy: bool,
    stamped: Option<Instant>,
    onset: Onset,
    path: Path,
    last_sign_of_life: Instant,
}

/// A join that waits for its answer.
#[derive(Debug)]
struct Joining {
    id: RequestId,
    deadline: Instant,
    /// The relay that was named meanwhile.
    moved: Option<Address>,
}

#[derive(Debug)]
struct Pending {
    deadline: Instant,
    /// The token that the request shows, to be shown again after a loss.
    token: Option<TokenText>,
}

impl Connection {
    /// A connection whose handshake is done.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            reader: ControlReader::default(),
            next_id: 1,
            joining: None,
            pending: BTreeMap::new(),
            clock: ClockFilter::default(),
            track: None,
            silenced: false,
            sent: SentFrames::default(),
            groups: GroupReader::default(),
            protection: Protection::default(),
            takes_redundancy: false,
            stamped: None,
            onset: Onset::default(),
            path: Path::default(),
            last_sign_of_life: now,
        }
    }

    /// The same with a clock estimate from before.
    #[must_use]
    pub fn with_clock(self, clock: ClockFilter) -> Self {
        Self { clock, ..self }
    }

    /// Writes a join.
    ///
    /// # Errors
    /// [`Failure::Lost`], if it is too long.
    pub fn join(&mut self, now: Instant, join: Join) -> Result<Bytes, Failure> {
        let id = self.take_id();
        self.join_as(now, id, join)
    }

    /// As [`Self::join`], for callers that number requests themselves.
    ///
    /// # Errors
    /// [`Failure::Lost`], if it is too long.
    pub fn join_as(&mut self, now: Instant, id: RequestId, join: Join) -> Result<Bytes, Failure> {
        self.joining = Some(Joining { id, deadline: now + ANSWER_TIMEOUT, moved: None });
        message(Some(id), &FromParticipant::Join(join))
    }

    /// When the join is given up, while it waits for its answer.
    #[must_use]
    pub fn join_deadline(&self) -> Option<Instant> {
        self.joining.as_ref().map(|joining| joining.deadline)
    }

    /// Writes a request whose answer is waited for.
    ///
    /// # Errors
    /// [`Unsent`]
    pub fn request(
        &mut self,
        now: Instant,
        request: &FromParticipant,
    ) -> Result<(RequestId, Bytes), Unsent> {
        if self.pending.len() >= PENDING_MAX {
            return Err(Unsent::Busy);
        }
        let id = self.take_id();
        let bytes = message(Some(id), request).map_err(Unsent::Failed)?;
        let token = match request {
            FromParticipant::RenewToken { token } => Some(token.clone()),
            FromParticipant::Join(_)
            | FromParticipant::Leave {}
            | FromParticipant::RaiseHand { .. }
            | FromParticipant::LowerHand {}
            | FromParticipant::LeaveStage {}
            | FromParticipant::OwnMute { .. }
            | FromParticipant::React { .. }
            | FromParticipant::Write { .. }
            | FromParticipant::Ask { .. }
            | FromParticipant::Vote { .. }
            | FromParticipant::Govern { .. }
            | FromParticipant::OneShot(_)
            | FromParticipant::ListRooms { .. }
            | FromParticipant::Report(_)
            | FromParticipant::SetProfile { .. }
            | FromParticipant::Unknown => None,
        };
        self.pending.insert(id, Pending { deadline: now + ANSWER_TIMEOUT, token });
        Ok((id, bytes))
    }

    /// Takes bytes of the control stream. [`Self::poll_message`] until `None` before the next ones.
    pub fn handle_control(&mut self, bytes: &[u8]) {
        self.reader.handle_bytes(bytes);
    }

    /// The next message.
    ///
    /// # Errors
    /// [`Failure::Closed`], if the bytes are no message.
    pub fn poll_message(&mut self) -> Result<Option<Received>, Failure> {
        let Some(body) = self.reader.poll_message().map_err(violation)? else { return Ok(None) };
        let envelope = decode(&body).map_err(violation)?;
        let answer = match self.joining.take() {
            Some(joining) => self.handle_before_joined(joining, &envelope),
            None => self.handle_message(&envelope),
        };
        Ok(Some(Received { envelope, answer }))
    }

    /// Control bytes that make no message yet.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }

    /// Takes a datagram that came at `local_us`.
    ///
    /// # Errors
    /// [`DatagramError`], if it is none of the protocol's.
    pub fn handle_datagram(
        &mut self,
        local_us: u64,
        datagram: Bytes,
    ) -> Result<Arrival, DatagramError> {
        Ok(match Datagram::parse(datagram)? {
            Datagram::Media(media) => Arrival::Media(media),
            Datagram::Probe(Probe::Answer(answer)) => {
                self.clock.handle_answer(local_us, &answer);
                Arrival::Clock
            }
            Datagram::Nack(nack) => match self.answer_nack(&nack) {
                Some(repaired) if self.may_speak() => Arrival::Repair(repaired),
                Some(_) | None => Arrival::Nothing,
            },
            Datagram::Probe(Probe::Question { .. }) => Arrival::Nothing,
        })
    }

    /// Takes bytes of a stream with frames, in order; `is_over`: they are the last. Gives the datagrams that are
    /// whole with them.
    pub fn handle_stream(&mut self, stream: u64, bytes: &[u8], is_over: bool) -> Vec<Bytes> {
        self.groups.handle_bytes(stream, bytes, is_over)
    }

    /// Takes what QUIC knows about the path.
    pub fn handle_path(&mut self, now: Instant, path: Path) {
        if path.received_udp != self.path.received_udp {
            self.last_sign_of_life = now;
        }
        self.path = path;
    }

    /// The next request whose time is up; it waits no more.
    pub fn poll_late(&mut self, now: Instant) -> Option<RequestId> {
        let late = |(_, pending): &(&RequestId, &Pending)| pending.deadline <= now;
        let id = *self.pending.iter().find(late)?.0;
        self.pending.remove(&id);
        Some(id)
    }

    /// A request that waits in vain, as there will be no answers; `None` if there is none left.
    pub fn poll_abandoned(&mut self) -> Option<RequestId> {
        self.pending.pop_first().map(|(id, _)| id)
    }

    /// Whether a request waits for its answer.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next clock probe, if one is due.
    pub fn poll_probe(&mut self, local_us: u64) -> Option<Bytes> {
        let is_due = self.clock.poll_question(local_us);
        is_due.then(|| Probe::Question { asked_us: local_us }.write())
    }

    /// Checks for signs of life.
    ///
    /// # Errors
    /// [`Failure::Lost`], if there has been none for 5 s.
    pub fn check_alive(&self, now: Instant) -> Result<(), Failure> {
        if now.saturating_duration_since(self.last_sign_of_life) > DEAD_AFTER {
            let why = format!("the relay has been silent for {} s", DEAD_AFTER.as_secs());
            return Err(Failure::Lost(why));
        }
        Ok(())
    }

    /// The clock estimate.
    #[must_use]
    pub const fn clock(&self) -> &ClockFilter {
        &self.clock
    }

    /// Round trip to the relay, by probes or by QUIC.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.clock.round_trip().unwrap_or(self.path.round_trip)
    }

    /// Whether frames spoken now are to be heard.
    #[must_use]
    pub const fn may_speak(&self) -> bool {
        self.track.is_some() && !self.silenced
    }

    /// A request for missing frames.
    #[must_use]
    pub fn nack(track: TrackId, Gap { first, count }: Gap) -> Bytes {
        Nack { channel: Channel(0), track, first, count }.write()
    }

    /// Round trip on the path to the relay, by QUIC.
    #[must_use]
    pub const fn path_round_trip(&self) -> Duration {
        self.path.round_trip
    }

    /// Takes what has been counted of frames on the own track since the last time.
    pub fn take_uplink(&mut self) -> UplinkCounts {
        self.sent.take_counts()
    }

    const fn handle_you(&mut self, you: &You) {
        (self.track, self.silenced) = (you.track, you.silenced);
    }

    const fn take_id(&mut self) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        id
    }
}

/// Writes a control message.
///
/// # Errors
/// [`Failure::Lost`], if it is too long.
pub fn message(id: Option<RequestId>, message: &FromParticipant) -> Result<Bytes, Failure> {
    encode(id, message).map_err(|error| Failure::Lost(error.to_string()))
}

fn violation(error: ControlError) -> Failure {
    Failure::Closed { code: CloseCode::ProtocolViolation, reason: error.to_string() }
}
