//! The task behind a [`super::Session`]: connects, joins, serves the connection, and starts over.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, watch};
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::{FromParticipant, Heard, Join, Joined, ToParticipant};
use tribune_protocol::datagram::Datagram;
use tribune_protocol::datagram::media::MediaDatagram;
use tribune_protocol::datagram::probe::Probe;
use tribune_protocol::ids::{Seq, TrackId};
use tribune_protocol::limits::MAX_STAGE;

use super::clock::LocalClock;
use super::connection::{Connection, ControlIn};
use super::reconnect::{End, Failure, Next, Reconnect};
use super::served::{ANSWER_TIMEOUT, Served};
use super::{Command, Config, Event, Link, ReceivedFrame, RequestError, SpokenFrame};

/// Grid on which probes and timeouts are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long the relay may take to close after `leave`.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long control messages that came before a close are waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// The driver's sides of a session's queues.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) frames: mpsc::Receiver<SpokenFrame>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) heard: mpsc::Sender<ReceivedFrame>,
    pub(super) link: watch::Sender<Link>,
}

/// What a session keeps across its connections.
#[derive(Debug)]
pub(super) struct Driver {
    join: Join,
    quic: quinn::ClientConfig,
    clock: LocalClock,
    ends: Ends,
    reconnect: Reconnect,
    /// The last frame of each track, for the relay to go on from.
    heard: BTreeMap<TrackId, Seq>,
    has_joined: bool,
    reconnects: u32,
    /// Spreads the retries of many clients.
    random: StdRng,
}

/// Why a connection is not served any more.
#[derive(Debug)]
enum Stop {
    Failed(Failure),
    /// We leave; `true` if the place in the room is to be kept for the grace time.
    Leave(bool),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Driver {
    pub(super) fn new(
        config: Config,
        quic: quinn::ClientConfig,
        clock: LocalClock,
        ends: Ends,
    ) -> Self {
        Self {
            join: config.join,
            quic,
            clock,
            ends,
            reconnect: Reconnect::new(config.addresses, config.waits_for_room),
            heard: BTreeMap::new(),
            has_joined: false,
            reconnects: 0,
            random: StdRng::from_os_rng(),
        }
    }

    /// Runs until the session is over.
    pub(super) async fn run(mut self) {
        let end = loop {
            let failure = match self.one_connection().await {
                Stop::Leave(_) => break End::Left,
                Stop::Failed(failure) => failure,
            };
            tracing::debug!(?failure, "connection over");
            match self.reconnect.handle_failure(failure, self.random.random()) {
                Next::GiveUp(end) => break end,
                Next::Retry { after, why } => {
                    let was_in_room = self.has_joined;
                    if !self.tell(Event::Retrying { why, after, was_in_room }).await {
                        break End::Left;
                    }
                    if self.while_away(tokio::time::sleep(after)).await.is_none() {
                        break End::Left;
                    }
                }
            }
        };
        self.tell(Event::Ended(end)).await;
    }

    async fn one_connection(&mut self) -> Stop {
        let (to, quic) = (self.reconnect.address().clone(), self.quic.clone());
        let connecting = async move { Connection::connect(&to, &quic).await };
        let (connection, mut control) = match self.while_away(connecting).await {
            None => return Stop::Leave(false),
            Some(Err(failure)) => return Stop::Failed(failure),
            Some(Ok(connected)) => connected,
        };
        let mut served = Served::new(connection);
        let stop = match self.serve(&mut served, &mut control).await {
            Ok(never) => match never {},
            Err(stop) => stop,
        };
        served.give_up();
        // The offset is an estimate over a path that is gone.
        self.ends.link.send_modify(|link| (link.round_trip, link.offset) = (None, None));
        match stop {
            Stop::Leave(false) => {
                let left = served.connection.send(None, &FromParticipant::Leave {}).await;
                if left.is_ok() {
                    let _ = tokio::time::timeout(LEAVE_TIMEOUT, served.connection.closed()).await;
                }
                served.connection.close().await;
            }
            Stop::Leave(true) | Stop::Failed(_) => served.connection.close().await,
        }
        stop
    }

    async fn serve(
        &mut self,
        served: &mut Served,
        control: &mut ControlIn,
    ) -> Result<std::convert::Infallible, Stop> {
        self.enter(served, control).await?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                datagram = served.connection.receive_datagram() => match datagram {
                    Ok(datagram) => self.handle_datagram(served, datagram),
                    Err(failure) => {
                        self.drain_control(served, control).await;
                        return Err(Stop::Failed(failure));
                    }
                },
                message = control.receive() => self.handle_message(served, message?).await?,
                Some(frame) = self.ends.frames.recv() => served.send_frame(&frame, self.clock),
                command = self.ends.commands.recv() => match command {
                    Some(Command::Request(message, answer)) => served.request(message, answer).await?,
                    Some(Command::Leave) | None => return Err(Stop::Leave(false)),
                    Some(Command::Detach) => return Err(Stop::Leave(true)),
                },
                _ = tick.tick() => served.handle_tick(Instant::now(), self.clock)?,
            }
        }
    }

    /// Joins the room and tells about it.
    async fn enter(&mut self, served: &mut Served, control: &mut ControlIn) -> Result<(), Stop> {
        self.join.heard =
            self.heard.iter().map(|(&track, &seq)| Heard { track, seq }).take(MAX_STAGE).collect();
        let id = served.take_id();
        served.connection.send(Some(id), &FromParticipant::Join(self.join.clone())).await?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, async {
            loop {
                let envelope = control.receive().await?;
                if envelope.id == Some(id) {
                    return Ok::<_, Failure>(envelope.message);
                }
            }
        });
        let Some(answer) = self.while_away(answer).await else { return Err(Stop::Leave(false)) };
        let lost = || Failure::Lost("the relay did not answer the join within 10 s".to_owned());
        match answer.map_err(|_| lost())?? {
            ToParticipant::Joined(joined) => self.entered(served, joined).await,
            ToParticipant::Err { code, message } => {
                Err(Stop::Failed(Failure::Refused { code, message }))
            }
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
                let why = format!("the relay answered the join with {other:?}");
                Err(Stop::Failed(Failure::Lost(why)))
            }
        }
    }

    async fn entered(&mut self, served: &mut Served, joined: Joined) -> Result<(), Stop> {
        self.reconnect.handle_joined();
        served.track = joined.you.track;
        // A session may begin by taking up a place that an earlier one left.
        if self.has_joined {
            self.reconnects += 1;
        }
        (self.has_joined, self.join.returning) = (true, true);
        let event = Event::Joined { joined, reconnects: self.reconnects };
        if self.tell(event).await { Ok(()) } else { Err(Stop::Leave(false)) }
    }

    async fn handle_message(
        &mut self,
        served: &mut Served,
        envelope: Envelope<ToParticipant>,
    ) -> Result<(), Stop> {
        match &envelope.message {
            ToParticipant::Ok {} => {
                if let Some(token) = served.handle_answer(envelope.id, Ok(())) {
                    self.join.token = Some(token);
                }
            }
            ToParticipant::Err { code, message } => {
                let refused = RequestError::Refused { code: *code, message: message.clone() };
                served.handle_answer(envelope.id, Err(refused));
            }
            // What was asked for is the answer, and goes on as an event.
            ToParticipant::Hands { .. }
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_) => {
                served.handle_answer(envelope.id, Ok(()));
            }
            ToParticipant::You(you) => served.track = you.track,
            ToParticipant::Stage { stage } => {
                self.heard.retain(|track, _| stage.iter().any(|entry| entry.track == *track));
            }
            ToParticipant::Joined(_)
            | ToParticipant::Listeners { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Moved { .. }
            | ToParticipant::Unknown => {}
        }
        let moved = if let ToParticipant::Moved { to, .. } = &envelope.message {
            Some(to.as_ref().and_then(|to| to.parse().ok()))
        } else {
            None
        };
        if !self.tell(Event::Message(envelope.message)).await {
            return Err(Stop::Leave(false));
        }
        match moved {
            // Without another relay to go to, this one is good until it closes.
            Some(None) if !self.reconnect.has_alternative() => Ok(()),
            Some(to) => {
                self.reconnect.handle_moved(to);
                Err(Stop::Failed(Failure::Moved))
            }
            None => Ok(()),
        }
    }

    fn handle_datagram(&mut self, served: &mut Served, datagram: Bytes) {
        let arrived = Instant::now();
        match Datagram::parse(datagram) {
            Ok(Datagram::Media(media)) => self.handle_media(served, &media, arrived),
            Ok(Datagram::Probe(Probe::Answer(answer))) => {
                let local_us = self.clock.us_at(arrived);
                served.filter.handle_answer(local_us, &answer);
                let round_trip =
                    served.filter.round_trip().or_else(|| Some(served.connection.round_trip()));
                let offset = served.filter.offset(local_us);
                self.ends
                    .link
                    .send_modify(|link| (link.round_trip, link.offset) = (round_trip, offset));
            }
            Ok(Datagram::Probe(Probe::Question { .. }) | Datagram::Nack(_)) => {}
            Err(error) => tracing::debug!(%error, "datagram passed over"),
        }
    }

    fn handle_media(&mut self, served: &mut Served, media: &MediaDatagram, arrived: Instant) {
        for frame in media.frames() {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    tracing::debug!(%error, "frame passed over");
                    return;
                }
            };
            served.ask_for_missing(&frame);
            let has_room = self.heard.len() < MAX_STAGE;
            match self.heard.get_mut(&frame.track) {
                Some(last) if frame.seq.since(*last) > 0 => *last = frame.seq,
                Some(_) => {}
                None if has_room => {
                    self.heard.insert(frame.track, frame.seq);
                }
                None => {}
            }
            if self.ends.heard.try_send(ReceivedFrame { frame, arrived }).is_err() {
                self.ends.link.send_modify(|link| link.dropped_frames += 1);
            }
        }
    }

    /// What the relay said before it closed, such as the reason of a kick.
    async fn drain_control(&mut self, served: &mut Served, control: &mut ControlIn) {
        while let Ok(Ok(envelope)) = tokio::time::timeout(DRAIN_TIMEOUT, control.receive()).await {
            if self.handle_message(served, envelope).await.is_err() {
                return;
            }
        }
    }

    /// Waits for `work` without a connection: requests are refused, frames dropped. `None` if we are
    /// told to leave.
    async fn while_away<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                Some(_) = self.ends.frames.recv() => {}
                command = self.ends.commands.recv() => match command {
                    Some(Command::Request(_, answer)) => {
                        let _ = answer.send(Err(RequestError::Offline));
                    }
                    Some(Command::Leave | Command::Detach) | None => return None,
                },
            }
        }
    }

    /// Waits for room in the queue of events; `false` if nobody reads them any more.
    async fn tell(&self, event: Event) -> bool {
        self.ends.events.send(event).await.is_ok()
    }
}
