//! The task behind a [`super::Session`]: connects, joins, serves the connection, and starts over.
//! [`super::serving`] is its loop while there is a connection, [`super::moving`] takes it to another
//! relay.

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tribune_protocol::control::participant::{FromParticipant, Join, Joined};

use super::clock::LocalClock;
use super::connection::Connection;
use super::moving::Stay;
use super::reconnect::{End, Failure, Next, Reconnect};
use super::served::Served;
use super::{Command, Config, Event, Link, ReceivedFrame, RequestError, SpokenFrame};
use tribune_client_core::dedup::Dedup;

/// How long a relay may take to close after `leave`, or to let us in when we leave meanwhile.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Own frames that are remembered for a move: 2 s.
const SPOKEN_MAX: usize = 100;

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
    pub(super) join: Join,
    pub(super) quic: quinn::ClientConfig,
    pub(super) clock: LocalClock,
    pub(super) ends: Ends,
    pub(super) reconnect: Reconnect,
    /// What has been heard, for a relay to go on from.
    pub(super) dedup: Dedup,
    /// What was said last and was to be heard, with the time.
    pub(super) spoken: VecDeque<(Instant, SpokenFrame)>,
    has_joined: bool,
    reconnects: u32,
    /// Spreads the retries of many clients.
    pub(super) random: StdRng,
}

/// Why a connection is not served any more.
#[derive(Debug)]
pub(super) enum Stop {
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
            dedup: Dedup::default(),
            spoken: VecDeque::new(),
            has_joined: false,
            reconnects: 0,
            random: rand::make_rng::<StdRng>(),
        }
    }

    /// Runs until the session is over.
    pub(super) async fn run(mut self) {
        let end = loop {
            let failure = match self.one_stay().await {
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

    /// Connects, joins, and stays in the room for as long as one connection leads to the next.
    async fn one_stay(&mut self) -> Stop {
        let (to, quic) = (self.reconnect.address().clone(), self.quic.clone());
        let connecting = async move { Connection::connect(&to, &quic).await };
        let (connection, mut control) = match self.while_away(connecting).await {
            None => return Stop::Leave(false),
            Some(Err(failure)) => return Stop::Failed(failure),
            Some(Ok(connected)) => connected,
        };
        let mut served = Served::new(connection);
        let join = self.next_join();
        let joined = match self.while_away(served.enter(&mut control, join)).await {
            Some(Ok(joined)) => joined,
            Some(Err(failure)) => {
                served.connection.close().await;
                return Stop::Failed(failure);
            }
            None => {
                Self::leave(served).await;
                return Stop::Leave(false);
            }
        };
        self.reconnect.handle_joined();
        let mut stay = Stay::new(served, control);
        let stop = match self.entered(joined).await {
            true => match self.serve(&mut stay).await {
                Ok(never) => match never {},
                Err(stop) => stop,
            },
            false => Stop::Leave(false),
        };
        self.end(stay, &stop).await;
        stop
    }

    async fn end(&mut self, mut stay: Stay, stop: &Stop) {
        stay.served.give_up();
        // The offset is an estimate over a path that is gone.
        self.ends.link.send_modify(|link| (link.round_trip, link.offset) = (None, None));
        let arrival = stay.moving.as_mut().and_then(|moving| moving.attempt.take());
        if let Some(leaving) = stay.leaving.take() {
            leaving.close();
        }
        match stop {
            Stop::Leave(false) => {
                Self::leave(stay.served).await;
                // If the next relay lets us in just now, it has to know too.
                if let Some(arrival) = arrival
                    && let Ok(Ok(arrived)) = tokio::time::timeout(LEAVE_TIMEOUT, arrival).await
                {
                    Self::leave(arrived.served).await;
                }
            }
            Stop::Leave(true) | Stop::Failed(_) => stay.served.connection.close().await,
        }
    }

    /// Leaves for good.
    async fn leave(mut served: Served) {
        if served.connection.send(None, &FromParticipant::Leave {}).await.is_ok() {
            let _ = tokio::time::timeout(LEAVE_TIMEOUT, served.connection.closed()).await;
        }
        served.connection.close().await;
    }

    /// The join with which to come in now.
    pub(super) fn next_join(&self) -> Join {
        Join { heard: self.dedup.newest(), ..self.join.clone() }
    }

    /// Tells that the room has let us in; `false` if nobody wants to know.
    pub(super) async fn entered(&mut self, joined: Joined) -> bool {
        // A session may begin by taking up a place that an earlier one left.
        if self.has_joined {
            self.reconnects += 1;
        }
        (self.has_joined, self.join.returning) = (true, true);
        let reconnects = self.reconnects;
        self.tell(Event::Joined { joined, reconnects }).await
    }

    /// Remembers a frame that was to be heard.
    pub(super) fn remember(&mut self, frame: SpokenFrame) {
        if self.spoken.len() == SPOKEN_MAX {
            self.spoken.pop_front();
        }
        self.spoken.push_back((Instant::now(), frame));
    }

    /// Waits for `work` without a connection: requests are refused, frames dropped. `None` if we are
    /// told to leave.
    pub(super) async fn while_away<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                Some(frame) = self.ends.frames.recv() => self.remember(frame),
                command = self.ends.commands.recv() => match command {
                    Some(Command::Report(_)) => {}
                    Some(Command::Request(_, answer)) => {
                        let _ = answer.send(Err(RequestError::Offline));
                    }
                    Some(Command::Leave | Command::Detach) | None => return None,
                },
            }
        }
    }

    /// Waits for room in the queue of events; `false` if nobody reads them any more.
    pub(super) async fn tell(&self, event: Event) -> bool {
        self.ends.events.send(event).await.is_ok()
    }
}
