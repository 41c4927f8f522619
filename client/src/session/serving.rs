//! The loop of a session while there is a connection: what comes over it, what is to be sent, and
//! what time brings. For [`super::driver`] alone.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::media::Datagram;
use tribune_protocol::media::datagram::{Frame, MediaDatagram};
use tribune_protocol::media::probe::Probe;

use super::driver::{Driver, Stop};
use super::moving::{self, Stay};
use super::served::Served;
use super::{Command, Event, ReceivedFrame, RequestError};
use tribune_client_core::dedup::Taken;
use tribune_client_core::handoff::Side;

/// Grid on which probes, timeouts and moves are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long control messages that came before a close are waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

impl Driver {
    pub(super) async fn serve(&mut self, stay: &mut Stay) -> Result<Infallible, Stop> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                datagram = stay.served.connection.receive_datagram() => match datagram {
                    Ok(datagram) => self.handle_datagram(stay, datagram),
                    Err(failure) => {
                        self.drain_control(stay).await;
                        self.handle_lost(stay, failure).await?;
                    }
                },
                message = stay.control.receive() => match message {
                    Ok(envelope) => self.handle_message(stay, envelope).await?,
                    Err(failure) => self.handle_lost(stay, failure).await?,
                },
                news = moving::left(&mut stay.leaving) => self.handle_left(stay, news).await?,
                arrived = moving::arrival(&mut stay.moving) => {
                    self.handle_arrived(stay, arrived).await?;
                }
                Some(frame) = self.ends.frames.recv() => {
                    let sent = stay.served.send_frames(std::iter::once(&frame), self.clock);
                    if let Some(moving) = &stay.moving {
                        moving.speak_ahead(sent);
                    }
                    if stay.served.may_speak() {
                        self.remember(frame);
                    }
                }
                command = self.ends.commands.recv() => match command {
                    Some(Command::Request(message, answer)) => {
                        if let Err(failure) = stay.served.request(message, answer).await {
                            self.handle_lost(stay, failure).await?;
                        }
                    }
                    Some(Command::Report(report)) => {
                        let message = FromParticipant::Report(report);
                        if let Err(failure) = stay.served.connection.send(None, &message).await {
                            self.handle_lost(stay, failure).await?;
                        }
                    }
                    Some(Command::Leave) | None => return Err(Stop::Leave(false)),
                    Some(Command::Detach) => return Err(Stop::Leave(true)),
                },
                _ = tick.tick() => {
                    let now = Instant::now();
                    if let Err(failure) = stay.served.handle_tick(now, self.clock) {
                        self.handle_lost(stay, failure).await?;
                    }
                    self.move_on(stay, now);
                }
            }
        }
    }

    async fn handle_message(
        &mut self,
        stay: &mut Stay,
        envelope: Envelope<ToParticipant>,
    ) -> Result<(), Stop> {
        self.take_answer(&mut stay.served, &envelope);
        match &envelope.message {
            ToParticipant::You(you) => {
                stay.served.handle_place(you);
                if !stay.served.may_speak() {
                    self.spoken.clear();
                }
            }
            ToParticipant::Stage { stage } => {
                self.dedup.retain(|track| stage.iter().any(|entry| entry.track == track));
            }
            ToParticipant::Moved { to, .. } => {
                self.handle_moved(stay, to.as_ref().and_then(|to| to.parse().ok()));
            }
            ToParticipant::Ok {}
            | ToParticipant::Err { .. }
            | ToParticipant::Hands { .. }
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_)
            | ToParticipant::Joined(_)
            | ToParticipant::Listeners { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Unknown => {}
        }
        if self.tell(Event::Message(envelope.message)).await {
            Ok(())
        } else {
            Err(Stop::Leave(false))
        }
    }

    /// Hands an answer to whoever asked.
    pub(super) fn take_answer(&mut self, served: &mut Served, envelope: &Envelope<ToParticipant>) {
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
            ToParticipant::You(_)
            | ToParticipant::Stage { .. }
            | ToParticipant::Joined(_)
            | ToParticipant::Listeners { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Moved { .. }
            | ToParticipant::Unknown => {}
        }
    }

    fn handle_datagram(&mut self, stay: &mut Stay, datagram: Bytes) {
        let arrived = Instant::now();
        match Datagram::parse(datagram) {
            Ok(Datagram::Media(media)) => self.handle_media(stay, Side::New, &media, arrived),
            Ok(Datagram::Probe(Probe::Answer(answer))) => {
                let (served, local_us) = (&mut stay.served, self.clock.us_at(arrived));
                served.filter.handle_answer(local_us, &answer);
                let round_trip =
                    served.filter.round_trip().or_else(|| Some(served.connection.round_trip()));
                let offset = served.filter.offset(local_us).map(|offset| (offset, arrived));
                self.ends
                    .link
                    .send_modify(|link| (link.round_trip, link.offset) = (round_trip, offset));
            }
            Ok(Datagram::Probe(Probe::Question { .. }) | Datagram::Nack(_)) => {}
            Err(error) => tracing::debug!(%error, "datagram passed over"),
        }
    }

    /// Takes frames of the relay that serves us, or of the one that is being left.
    pub(super) fn handle_media(
        &mut self,
        stay: &mut Stay,
        side: Side,
        media: &MediaDatagram,
        arrived: Instant,
    ) {
        for frame in media.frames() {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    tracing::debug!(%error, "frame passed over");
                    return;
                }
            };
            let taken = self.dedup.handle_frame(arrived, &frame);
            stay.note_frame(side, &frame, taken);
            match taken {
                Taken::Duplicate => self.ends.link.send_modify(|link| link.duplicate_frames += 1),
                Taken::Repaired => {
                    self.ends.link.send_modify(|link| link.repaired_frames += 1);
                    self.hand_out(frame, arrived);
                }
                Taken::New(missing) => {
                    if let Some(gap) = missing {
                        stay.served.ask_for_missing(frame.track, gap);
                    }
                    self.hand_out(frame, arrived);
                }
            }
        }
    }

    fn hand_out(&mut self, frame: Frame, arrived: Instant) {
        if self.ends.heard.try_send(ReceivedFrame { frame, arrived }).is_err() {
            self.ends.link.send_modify(|link| link.dropped_frames += 1);
        }
    }

    /// What the relay said before it closed, such as the reason of a kick.
    async fn drain_control(&mut self, stay: &mut Stay) {
        while let Ok(Ok(envelope)) =
            tokio::time::timeout(DRAIN_TIMEOUT, stay.control.receive()).await
        {
            if self.handle_message(stay, envelope).await.is_err() {
                return;
            }
        }
    }
}
