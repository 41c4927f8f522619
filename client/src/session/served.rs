//! What a session keeps for one connection: how it joins, requests under way, the clock.
//!
//! For [`super::driver`] and its parts alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tribune_protocol::control::participant::{FromParticipant, Join, Joined, ToParticipant, You};
use tribune_protocol::ids::{Channel, RequestId, TrackId};
use tribune_protocol::limits::CAPTURE_STAMP_PERIOD;
use tribune_protocol::media::datagram::{Capture, FrameHeader, MediaWriter};
use tribune_protocol::media::nack::Nack;
use tribune_protocol::media::probe::Probe;
use tribune_protocol::media::sequence::Gap;
use tribune_protocol::time::ClockFilter;
use tribune_protocol::token::TokenText;

use super::clock::LocalClock;
use super::connection::{Connection, ControlIn};
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
    /// The own track, while there is one.
    track: Option<TrackId>,
    silenced: bool,
    stamped: Option<Instant>,
    received_udp: u64,
    last_sign_of_life: Instant,
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
            silenced: false,
            stamped: None,
            received_udp: 0,
            last_sign_of_life: Instant::now(),
        }
    }

    /// Joins, and waits for the answer.
    pub(super) async fn enter(
        &mut self,
        control: &mut ControlIn,
        join: Join,
    ) -> Result<Joined, Failure> {
        let id = self.ask_in(join).await?;
        self.let_in(control, id).await
    }

    /// Sends a join.
    pub(super) async fn ask_in(&mut self, join: Join) -> Result<RequestId, Failure> {
        let id = self.take_id();
        self.connection.send(Some(id), &FromParticipant::Join(join)).await?;
        Ok(id)
    }

    /// Waits for the answer to a join.
    pub(super) async fn let_in(
        &mut self,
        control: &mut ControlIn,
        id: RequestId,
    ) -> Result<Joined, Failure> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, async {
            let mut moved = None;
            loop {
                let envelope = control.receive().await?;
                if envelope.id == Some(id) {
                    return Ok::<_, Failure>((envelope.message, moved));
                }
                if let ToParticipant::Moved { to: Some(to), .. } = envelope.message {
                    moved = to.parse().ok();
                }
            }
        });
        let lost = || Failure::Lost("the relay did not answer the join within 10 s".to_owned());
        let (answer, moved) = answer.await.map_err(|_| lost())??;
        match answer {
            ToParticipant::Joined(joined) => {
                self.handle_place(&joined.you);
                Ok(joined)
            }
            ToParticipant::Err { code, message } => Err(Failure::of_refusal(code, message, moved)),
            other @ (ToParticipant::Ok {}
            | ToParticipant::Stage { .. }
            | ToParticipant::Listeners { .. }
            | ToParticipant::You(_)
            | ToParticipant::Hands { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Moved { .. }
            | ToParticipant::Unknown) => {
                Err(Failure::Lost(format!("the relay answered the join with {other:?}")))
            }
        }
    }

    /// The room says what our place is.
    pub(super) const fn handle_place(&mut self, you: &You) {
        (self.track, self.silenced) = (you.track, you.silenced);
    }

    /// Whether what is said now is to be heard.
    pub(super) const fn may_speak(&self) -> bool {
        self.track.is_some() && !self.silenced
    }

    /// Whether a request waits for its answer.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Has nobody wait any more: there will be no answers.
    pub(super) fn give_up(&mut self) {
        for (_, pending) in std::mem::take(&mut self.pending) {
            let _ = pending.answer.send(Err(RequestError::Offline));
        }
    }

    /// Asks the relay for frames, while the answer can still be played.
    pub(super) fn ask_for_missing(&self, track: TrackId, Gap { first, count }: Gap) {
        if self.connection.round_trip() <= REPAIR_ROUND_TRIP_MAX {
            let nack = Nack { channel: Channel(0), track, first, count };
            self.connection.send_datagram(nack.write());
        }
    }

    fn take_id(&mut self) -> RequestId {
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
            | FromParticipant::OneShot(_)
            | FromParticipant::ListRooms { .. }
            | FromParticipant::Report(_)
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

    /// Sends frames that were spoken in a row on one's own track, if there is one, as many in a
    /// datagram as it holds. Gives what was sent.
    pub(super) fn send_frames<'a>(
        &mut self,
        frames: impl Iterator<Item = &'a SpokenFrame>,
        clock: LocalClock,
    ) -> Vec<Bytes> {
        let Some(track) = self.track else { return Vec::new() };
        let mut datagrams = Vec::new();
        let mut writer = MediaWriter::new(Channel(0), self.connection.datagram_bytes_max());
        for frame in frames {
            let header = FrameHeader {
                track,
                seq: frame.seq,
                level: frame.level,
                talkspurt_end: frame.talkspurt_end,
                captured: self.stamp(frame, clock),
            };
            match header.write(&frame.opus) {
                Ok(wire) if writer.push(&wire) => {}
                Ok(wire) => {
                    if !writer.is_empty() {
                        datagrams.push(writer.take());
                    }
                    if !writer.push(&wire) {
                        tracing::debug!("frame does not fit a datagram");
                    }
                }
                Err(error) => tracing::debug!(%error, "frame not sent"),
            }
        }
        if !writer.is_empty() {
            datagrams.push(writer.take());
        }
        for datagram in &datagrams {
            self.connection.send_datagram(datagram.clone());
        }
        datagrams
    }

    /// The capture time of a frame, if it is one that is to bear it.
    fn stamp(&mut self, frame: &SpokenFrame, clock: LocalClock) -> Option<Capture> {
        let is_due =
            |last: Instant| frame.captured.saturating_duration_since(last) >= CAPTURE_STAMP_PERIOD;
        if !self.stamped.is_none_or(is_due) {
            return None;
        }
        let offset = self.filter.offset(clock.us_at(Instant::now()))?;
        self.stamped = Some(frame.captured);
        let at = offset.to_origin(clock.us_at(frame.captured));
        Some(Capture { at, error_us: Some(offset.error_us) })
    }
}
