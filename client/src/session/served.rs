//! What a session keeps for one connection: requests under way, the clock, gaps in what is heard.
//!
//! For [`super::driver`] alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tribune_protocol::clock::ClockFilter;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::datagram::media::{Frame, FrameHeader, MediaWriter};
use tribune_protocol::datagram::nack::Nack;
use tribune_protocol::datagram::probe::Probe;
use tribune_protocol::ids::{Channel, RequestId, TrackId};
use tribune_protocol::limits::{CAPTURE_STAMP_PERIOD, MAX_STAGE};
use tribune_protocol::repair::{Gap, GapDetector};
use tribune_protocol::token::TokenText;

use super::clock::LocalClock;
use super::connection::Connection;
use super::reconnect::Failure;
use super::{RequestError, SpokenFrame};

/// How long an answer may take. Moderation is answered once the farthest relay has acted.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that wait for their answers.
const PENDING_MAX: usize = 32;
/// A relay that has sent nothing for so long, not even acknowledgements of our probes, is gone:
/// five probes in a row. The idle timeout alone would leave a listener in silence for 15 s.
const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Round trip above which a repair comes too late for a live buffer.
const REPAIR_ROUND_TRIP_MAX: Duration = Duration::from_millis(150);

/// What a session keeps for one connection.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) connection: Connection,
    pending: BTreeMap<RequestId, Pending>,
    next_id: u32,
    pub(super) filter: ClockFilter,
    pub(super) track: Option<TrackId>,
    stamped: Option<Instant>,
    received_udp: u64,
    last_sign_of_life: Instant,
    gaps: BTreeMap<TrackId, GapDetector>,
}

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Result<(), RequestError>>,
    deadline: Instant,
    /// The token that the request shows, to be shown again after a loss.
    token: Option<TokenText>,
}

impl Served {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            pending: BTreeMap::new(),
            next_id: 1,
            filter: ClockFilter::default(),
            track: None,
            stamped: None,
            received_udp: 0,
            last_sign_of_life: Instant::now(),
            gaps: BTreeMap::new(),
        }
    }

    /// Has nobody wait any more: there will be no answers.
    pub(super) fn give_up(&mut self) {
        for (_, pending) in std::mem::take(&mut self.pending) {
            let _ = pending.answer.send(Err(RequestError::Offline));
        }
    }

    /// Asks the relay for what is missing before a frame, while the answer can still be played.
    pub(super) fn ask_for_missing(&mut self, frame: &Frame) {
        if !self.gaps.contains_key(&frame.track) && self.gaps.len() >= MAX_STAGE {
            return;
        }
        let gaps = self.gaps.entry(frame.track).or_default();
        let Some(Gap { first, count }) = gaps.handle_frame(frame.seq, frame.talkspurt_end) else {
            return;
        };
        if self.connection.round_trip() <= REPAIR_ROUND_TRIP_MAX {
            let nack = Nack { channel: Channel(0), track: frame.track, first, count };
            self.connection.send_datagram(nack.write());
        }
    }

    pub(super) fn take_id(&mut self) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    pub(super) async fn request(
        &mut self,
        message: Box<FromParticipant>,
        answer: oneshot::Sender<Result<(), RequestError>>,
    ) -> Result<(), Failure> {
        if self.pending.len() >= PENDING_MAX {
            let _ = answer.send(Err(RequestError::Busy));
            return Ok(());
        }
        let id = self.take_id();
        let token = match &*message {
            FromParticipant::RenewToken { token } => Some(token.clone()),
            FromParticipant::Join(_)
            | FromParticipant::Leave {}
            | FromParticipant::RaiseHand { .. }
            | FromParticipant::LowerHand {}
            | FromParticipant::LeaveStage {}
            | FromParticipant::OwnMute { .. }
            | FromParticipant::React { .. }
            | FromParticipant::Govern { .. }
            | FromParticipant::Errand(_)
            | FromParticipant::ListRooms { .. }
            | FromParticipant::Unknown => None,
        };
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        self.pending.insert(id, Pending { answer, deadline, token });
        self.connection.send(Some(id), &message).await
    }

    /// Hands an answer to whoever asked, and returns the token that the relay has taken with it.
    pub(super) fn handle_answer(
        &mut self,
        id: Option<RequestId>,
        result: Result<(), RequestError>,
    ) -> Option<TokenText> {
        let pending = id.and_then(|id| self.pending.remove(&id))?;
        let is_done = result.is_ok();
        // Whoever asked may have gone in the meantime.
        let _ = pending.answer.send(result);
        pending.token.filter(|_| is_done)
    }

    pub(super) fn handle_tick(&mut self, now: Instant, clock: LocalClock) -> Result<(), Failure> {
        let late: Vec<RequestId> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.handle_answer(Some(id), Err(RequestError::TimedOut));
        }
        let asked_us = clock.us_at(now);
        if self.filter.poll_question(asked_us) {
            self.connection.send_datagram(Probe::Question { asked_us }.write());
        }
        let received = self.connection.received_udp_datagrams();
        if received != self.received_udp {
            self.received_udp = received;
            self.last_sign_of_life = now;
        } else if now.duration_since(self.last_sign_of_life) > DEAD_AFTER {
            let why = format!("the relay has been silent for {} s", DEAD_AFTER.as_secs());
            return Err(Failure::Lost(why));
        }
        Ok(())
    }

    /// Sends a frame on one's own track, if there is one.
    pub(super) fn send_frame(&mut self, frame: &SpokenFrame, clock: LocalClock) {
        let Some(track) = self.track else { return };
        let is_due =
            |last: Instant| frame.captured.saturating_duration_since(last) >= CAPTURE_STAMP_PERIOD;
        let captured_us = clock.us_at(frame.captured);
        let offset = self.filter.offset(clock.now_us());
        let captured = offset
            .filter(|_| self.stamped.is_none_or(is_due))
            .map(|offset| offset.to_origin(captured_us));
        if captured.is_some() {
            self.stamped = Some(frame.captured);
        }
        let header = FrameHeader {
            track,
            seq: frame.seq,
            level: frame.level,
            talkspurt_end: frame.talkspurt_end,
            captured,
        };
        let mut datagram = MediaWriter::new(Channel(0), self.connection.datagram_bytes_max());
        match header.write(&frame.opus) {
            Ok(wire) if datagram.push(&wire) => self.connection.send_datagram(datagram.take()),
            Ok(_) => tracing::debug!("frame does not fit a datagram"),
            Err(error) => tracing::debug!(%error, "frame not sent"),
        }
    }
}
