//! A session's move to another relay: the next connection comes about while the present one serves,
//! and the one before is listened to until nothing is missing. [`tribune_client_core::handoff`] decides, this
//! carries it out. For [`super::driver`] alone.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::{Join, Joined, ToParticipant};
use tribune_protocol::media::Datagram;
use tribune_protocol::media::datagram::Frame;

use super::address::Address;
use super::connection::{Connection, ControlIn, Mouth};
use super::driver::{Driver, Stop};
use super::reconnect::Failure;
use super::served::Served;
use tribune_client_core::dedup::Taken;
use tribune_client_core::handoff::{Overlap, Search, Side};

/// Own frames that were said so long before a join, and those since, are said once more at the next
/// relay: they can be on their way by the relay before when the tree stops taking them from there.
const SAID_AGAIN: Duration = Duration::from_millis(200);

/// The connections of a session that is in the room.
#[derive(Debug)]
pub(super) struct Stay {
    /// The relay that serves us.
    pub(super) served: Served,
    pub(super) control: ControlIn,
    /// The one before, which is listened to for a while.
    pub(super) leaving: Option<Leaving>,
    /// The way to the next one.
    pub(super) moving: Option<Moving>,
}

/// A relay that is being left.
#[derive(Debug)]
pub(super) struct Leaving {
    served: Served,
    control: ControlIn,
    overlap: Overlap,
}

/// What comes from a relay that is being left.
#[derive(Debug)]
pub(super) enum Left {
    Datagram(Bytes),
    Message(Envelope<ToParticipant>),
    Closed(Failure),
}

/// The way to the next relay.
pub(super) struct Moving {
    search: Search,
    /// The attempt that is under way.
    pub(super) attempt: Option<Attempt>,
    /// When it began.
    since: Instant,
    /// Its connection, as soon as the join has left.
    ahead: Ahead,
}

/// A connection whose join waits for its answer.
type Ahead = Arc<OnceLock<Mouth>>;

/// An attempt to come in at another relay.
pub(super) type Attempt = Pin<Box<dyn Future<Output = Result<Arrived, Failure>> + Send>>;

/// A relay that has let us in.
#[derive(Debug)]
pub(super) struct Arrived {
    at: Address,
    pub(super) served: Served,
    control: ControlIn,
    joined: Joined,
}

impl Stay {
    pub(super) const fn new(served: Served, control: ControlIn) -> Self {
        Self { served, control, leaving: None, moving: None }
    }

    /// Notes for the overlap, if there is one, that a frame has come and what was missing before it.
    pub(super) fn note_frame(&mut self, side: Side, frame: &Frame, taken: Taken) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.overlap.handle_frame(side, frame.track, frame.seq, frame.talkspurt_end);
        if let Taken::New(Some(gap)) = taken {
            leaving.overlap.handle_asked(frame.track, gap);
        }
    }
}

impl Moving {
    /// Says at the next relay too what is said now. What comes there before the join is passed over,
    /// but what comes after it is not held up until we know that we are in.
    pub(super) fn speak_ahead(&self, datagrams: Vec<Bytes>) {
        if let Some(mouth) = self.ahead.get().filter(|_| self.attempt.is_some()) {
            datagrams.into_iter().for_each(|datagram| mouth.send_datagram(datagram));
        }
    }
}

impl Leaving {
    /// Closes the connection, in the background: what comes next does not wait for it.
    pub(super) fn close(mut self) {
        self.served.give_up();
        tokio::spawn(self.served.connection.close());
    }
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moving").field("search", &self.search).finish_non_exhaustive()
    }
}

/// The next thing from a relay that is being left, if there is one.
pub(super) async fn left(leaving: &mut Option<Leaving>) -> Left {
    let Some(Leaving { served, control, .. }) = leaving else { return pending().await };
    tokio::select! {
        datagram = served.connection.receive_datagram() => {
            datagram.map_or_else(Left::Closed, Left::Datagram)
        }
        message = control.receive() => message.map_or_else(Left::Closed, Left::Message),
    }
}

/// What comes of the attempt that is under way, if there is one.
pub(super) async fn arrival(moving: &mut Option<Moving>) -> Result<Arrived, Failure> {
    match moving.as_mut().and_then(|moving| moving.attempt.as_mut()) {
        Some(attempt) => attempt.await,
        None => pending().await,
    }
}

async fn arrive(
    at: Address,
    quic: quinn::ClientConfig,
    join: Join,
    ahead: Ahead,
) -> Result<Arrived, Failure> {
    let (connection, mut control) = Connection::connect(&at, &quic).await?;
    let mut served = Served::new(connection);
    let id = served.ask_in(join).await?;
    // It is set once, as each attempt has its own.
    let _ = ahead.set(served.connection.mouth());
    match served.let_in(&mut control, id).await {
        Ok(joined) => Ok(Arrived { at, served, control, joined }),
        Err(failure) => {
            tokio::spawn(served.connection.close());
            Err(failure)
        }
    }
}

impl Driver {
    /// The relay asks to go on elsewhere. Without another relay to go to, this one is good until it
    /// closes.
    pub(super) fn handle_moved(&mut self, stay: &mut Stay, to: Option<Address>) {
        if stay.moving.as_ref().is_some_and(|moving| moving.attempt.is_some()) {
            return;
        }
        let (now, from, others) =
            (Instant::now(), self.reconnect.address(), self.reconnect.addresses());
        let search = Search::begin(now, from, to, others, self.random.random());
        stay.moving = search.map(|search| Moving {
            search,
            attempt: None,
            since: now,
            ahead: Ahead::default(),
        });
    }

    /// Leaves the relay before if nothing is missing, and begins the next attempt if one is due.
    pub(super) fn move_on(&mut self, stay: &mut Stay, now: Instant) {
        let is_over = |leaving: &mut Leaving| {
            let answers = leaving.served.has_pending() && now < leaving.overlap.deadline();
            leaving.overlap.is_over(now, &self.dedup) && !answers
        };
        if let Some(leaving) = stay.leaving.take_if(is_over) {
            leaving.close();
        }
        if let Some(moving) = &mut stay.moving
            && let Some(to) = moving.search.poll_attempt(now)
        {
            (moving.since, moving.ahead) = (now, Ahead::default());
            let (join, ahead) = (self.next_join(), Arc::clone(&moving.ahead));
            moving.attempt = Some(Box::pin(arrive(to, self.quic.clone(), join, ahead)));
        }
    }

    /// The attempt to come in at another relay is over.
    pub(super) async fn handle_arrived(
        &mut self,
        stay: &mut Stay,
        arrived: Result<Arrived, Failure>,
    ) -> Result<(), Stop> {
        match arrived {
            Ok(arrived) => {
                let before = self.take_over(stay, arrived).await?;
                let overlap = Overlap::begin(Instant::now(), &self.dedup);
                if let Some(earlier) = stay.leaving.replace(Leaving { overlap, ..before }) {
                    earlier.close();
                }
            }
            Err(failure) => {
                tracing::debug!(?failure, "the next relay does not let us in");
                if let Some(moving) = &mut stay.moving {
                    moving.attempt = None;
                    let to = match failure {
                        Failure::Redirected { to, .. } => Some(to),
                        Failure::Unreachable(_)
                        | Failure::Tls(_)
                        | Failure::Refused { .. }
                        | Failure::Closed { .. }
                        | Failure::Lost(_)
                        | Failure::Moved => None,
                    };
                    moving.search.handle_failure(Instant::now(), to, self.random.random());
                }
            }
        }
        Ok(())
    }

    /// The connection that serves us is gone. If we are on the way to another relay, we may be in
    /// there already: our join is what the relay before is closed for, then.
    pub(super) async fn handle_lost(
        &mut self,
        stay: &mut Stay,
        failure: Failure,
    ) -> Result<(), Stop> {
        let Some(mut moving) = stay.moving.take() else { return Err(Stop::Failed(failure)) };
        if !is_worth_going_on(&failure, moving.attempt.is_some()) {
            return Err(Stop::Failed(failure));
        }
        let Some(attempt) = moving.attempt.take() else {
            // The relay closes before we could go. Where it sends us is the place to begin.
            let Some(to) = moving.search.next() else { return Err(Stop::Failed(failure)) };
            self.reconnect.handle_moved(to.clone());
            return Err(Stop::Failed(Failure::Moved));
        };
        stay.served.give_up();
        match self.while_away(attempt).await {
            None => Err(Stop::Leave(false)),
            Some(Ok(arrived)) => {
                stay.moving = Some(moving);
                self.take_over(stay, arrived).await?.close();
                Ok(())
            }
            Some(Err(also)) => {
                tracing::debug!(?also, "the next relay does not let us in either");
                // It is not another session that has taken the place, but this one's attempt.
                Err(Stop::Failed(Failure::Lost("the relay has closed the connection".to_owned())))
            }
        }
    }

    /// What comes from a relay that is being left: its frames are heard, and answers to what it was
    /// asked. Anything else is said by the relay that serves us, and its end is expected.
    pub(super) async fn handle_left(&mut self, stay: &mut Stay, news: Left) -> Result<(), Stop> {
        match news {
            Left::Datagram(datagram) => {
                if let Ok(Datagram::Media(media)) = Datagram::parse(datagram) {
                    self.handle_media(stay, Side::Old, &media, Instant::now());
                }
            }
            Left::Message(envelope) => {
                let Some(leaving) = stay.leaving.as_mut().filter(|_| envelope.id.is_some()) else {
                    return Ok(());
                };
                self.take_answer(&mut leaving.served, &envelope);
                if !self.tell(super::Event::Message(envelope.message)).await {
                    return Err(Stop::Leave(false));
                }
            }
            Left::Closed(why) => {
                tracing::debug!(?why, "the relay before has closed");
                if let Some(leaving) = stay.leaving.take() {
                    leaving.close();
                }
            }
        }
        Ok(())
    }

    /// From now on the new relay serves us. Gives the one before.
    async fn take_over(&mut self, stay: &mut Stay, arrived: Arrived) -> Result<Leaving, Stop> {
        let Arrived { at, served, control, joined } = arrived;
        let since = stay.moving.take().map(|moving| moving.since);
        let before = Leaving {
            served: std::mem::replace(&mut stay.served, served),
            control: std::mem::replace(&mut stay.control, control),
            overlap: Overlap::begin(Instant::now(), &self.dedup),
        };
        self.reconnect.handle_arrived(at);
        self.dedup.retain(|track| joined.stage.iter().any(|entry| entry.track == track));
        if stay.served.may_speak()
            && let Some(since) = since
        {
            let again = self.spoken.iter().filter(|(at, _)| *at + SAID_AGAIN >= since);
            stay.served.send_frames(again.map(|(_, frame)| frame), self.clock);
        }
        if self.entered(joined).await { Ok(before) } else { Err(Stop::Leave(false)) }
    }
}

/// Whether a relay's end leaves a reason to wait for another one. `is_under_way`: it has been asked.
fn is_worth_going_on(failure: &Failure, is_under_way: bool) -> bool {
    match failure {
        Failure::Closed { code: CloseCode::Replaced, .. } => is_under_way,
        Failure::Closed { code, .. } => code.is_worth_a_retry(),
        Failure::Lost(_) => true,
        Failure::Unreachable(_)
        | Failure::Tls(_)
        | Failure::Refused { .. }
        | Failure::Moved
        | Failure::Redirected { .. } => false,
    }
}
