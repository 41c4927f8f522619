//! The task behind a [`super::Session`]: puts a [`Participant`] on quinn, and its queues on tokio's.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tribune_client_core::address::Address;
use tribune_client_core::connection::RequestError;
use tribune_client_core::frame::{ReceivedFrame, SpokenFrame};
use tribune_client_core::participant::{ConnectionId, Event, Link, Output, Participant, Ticket};
use tribune_client_core::reconnect::Failure;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::quality::report::Report;

use super::quic::{ControlIn, GroupChunk, Media, QuicConnection};

/// Connections that are up or on the way at a time: see [`Participant`].
const CONNECTIONS: usize = 3;
/// Time for control messages that came before a close.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// Orders of a [`super::Session`] to its task.
#[derive(Debug)]
pub(super) enum Command {
    Request(Box<FromParticipant>, oneshot::Sender<Result<(), RequestError>>),
    Report(Report),
    Leave {
        /// Leaves place and hand as they are for the grace time.
        keeps_place: bool,
    },
}

/// The driver's sides of a session's queues.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) frames: mpsc::Receiver<SpokenFrame>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) heard: mpsc::Sender<ReceivedFrame>,
    pub(super) link: watch::Sender<Link>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Driver {
    participant: Participant,
    quic: quinn::ClientConfig,
    ends: Ends,
    slots: [Option<Slot>; CONNECTIONS],
    /// Connections whose close is on its way.
    closing: JoinSet<()>,
    answers: BTreeMap<Ticket, oneshot::Sender<Result<(), RequestError>>>,
    next_ticket: u64,
    dropped_frames: u64,
    /// Nobody holds the session any more.
    is_forsaken: bool,
}

/// A connection, from its dial to its close.
#[derive(Debug)]
struct Slot {
    id: ConnectionId,
    state: State,
}

enum State {
    Dialing(Dial),
    Up {
        connection: QuicConnection,
        control: ControlIn,
        takes_datagrams: bool,
    },
    /// The participant knows that it is over, and has not closed it yet.
    Over(QuicConnection),
}

type Dial = Pin<Box<dyn Future<Output = Result<(QuicConnection, ControlIn), Failure>> + Send>>;

/// News of a slot.
enum News {
    Dialed(Result<(QuicConnection, ControlIn), Failure>),
    Control(Bytes),
    Datagram(Bytes),
    Group(GroupChunk),
    /// Control messages that came before may still wait.
    Over(Failure),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dialing(_) => "Dialing",
            Self::Up { .. } => "Up",
            Self::Over(_) => "Over",
        })
    }
}

/// The next news of a slot, if there is anything in it.
async fn news(slot: &mut Option<Slot>) -> (ConnectionId, News) {
    let Some(Slot { id, state }) = slot else { return pending().await };
    let news = match state {
        State::Dialing(dial) => News::Dialed(dial.await),
        State::Up { connection, control, takes_datagrams: true } => tokio::select! {
            media = connection.receive_media() => match media {
                Ok(Media::Datagram(datagram)) => News::Datagram(datagram),
                Ok(Media::Group(chunk)) => News::Group(chunk),
                Err(failure) => News::Over(failure),
            },
            bytes = control.receive() => bytes.map_or_else(News::Over, News::Control),
        },
        State::Up { control, takes_datagrams: false, .. } => {
            control.receive().await.map_or_else(News::Over, News::Control)
        }
        State::Over(_) => pending().await,
    };
    (*id, news)
}

impl Driver {
    pub(super) fn new(participant: Participant, quic: quinn::ClientConfig, ends: Ends) -> Self {
        Self {
            participant,
            quic,
            ends,
            slots: [None, None, None],
            closing: JoinSet::new(),
            answers: BTreeMap::new(),
            next_ticket: 0,
            dropped_frames: 0,
            is_forsaken: false,
        }
    }

    /// Runs until the session is over.
    pub(super) async fn run(mut self) {
        while !self.carry_out().await {
            while self.closing.try_join_next().is_some() {}
            let due = self.participant.poll_timeout();
            let [first, second, third] = &mut self.slots;
            tokio::select! {
                (id, news) = news(first) => self.handle_news(id, news).await,
                (id, news) = news(second) => self.handle_news(id, news).await,
                (id, news) = news(third) => self.handle_news(id, news).await,
                Some(frame) = self.ends.frames.recv() => {
                    self.participant.handle_spoken(Instant::now(), frame);
                }
                command = self.ends.commands.recv(), if !self.is_forsaken => {
                    self.handle_command(command);
                }
                () = sleep_until(due) => self.handle_timeout(),
            }
        }
    }

    fn handle_command(&mut self, command: Option<Command>) {
        let now = Instant::now();
        match command {
            Some(Command::Request(request, answer)) => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.answers.insert(ticket, answer);
                self.participant.handle_request(now, ticket, &request);
            }
            Some(Command::Report(report)) => self.participant.handle_report(now, report),
            Some(Command::Leave { keeps_place }) => self.participant.handle_leave(now, keeps_place),
            None => {
                self.is_forsaken = true;
                self.participant.handle_leave(now, false);
            }
        }
    }

    fn handle_timeout(&mut self) {
        let now = Instant::now();
        for Slot { id, state } in self.slots.iter().flatten() {
            match state {
                State::Up { connection, .. } => {
                    self.participant.handle_path(now, *id, connection.path());
                }
                State::Dialing(_) | State::Over(_) => {}
            }
        }
        self.participant.handle_timeout(now);
    }

    async fn handle_news(&mut self, id: ConnectionId, news: News) {
        let now = Instant::now();
        match news {
            News::Dialed(Ok((connection, control))) => {
                let path = connection.path();
                if let Some(slot) = self.slot(id) {
                    slot.state = State::Up { connection, control, takes_datagrams: false };
                }
                self.participant.handle_connected(now, id, path);
            }
            News::Dialed(Err(failure)) => self.participant.handle_closed(now, id, failure),
            News::Control(bytes) => self.participant.handle_control(now, id, &bytes),
            News::Datagram(datagram) => self.participant.handle_datagram(now, id, datagram),
            News::Group(GroupChunk { stream, bytes, is_over }) => {
                self.participant.handle_stream(now, id, (stream, is_over), &bytes);
            }
            News::Over(failure) => {
                self.drain_control(id).await;
                self.handle_over(id, failure);
            }
        }
    }

    /// Last words of the relay before it closed, such as the reason of a kick.
    async fn drain_control(&mut self, id: ConnectionId) {
        loop {
            let Some(Slot { state: State::Up { control, .. }, .. }) = self.slot(id) else { return };
            let received = tokio::time::timeout(DRAIN_TIMEOUT, control.receive()).await;
            let Ok(Ok(bytes)) = received else { return };
            self.participant.handle_control(Instant::now(), id, &bytes);
        }
    }

    fn handle_over(&mut self, id: ConnectionId, failure: Failure) {
        if let Some(place) = self.slots.iter_mut().find(|slot| is(slot, id)) {
            *place = place.take().map(|Slot { id, state }| match state {
                State::Up { connection, .. } => Slot { id, state: State::Over(connection) },
                other @ (State::Dialing(_) | State::Over(_)) => Slot { id, state: other },
            });
        }
        self.participant.handle_closed(Instant::now(), id, failure);
    }

    /// Does what the participant wants done. `true`: the session is over.
    async fn carry_out(&mut self) -> bool {
        while let Some(output) = self.participant.poll_output() {
            match output {
                Output::Dial { connection, to } => self.dial(connection, to),
                Output::Control { connection, bytes } => {
                    let Some(Slot { state: State::Up { connection: up, .. }, .. }) =
                        self.slot(connection)
                    else {
                        continue;
                    };
                    if let Err(failure) = up.send(&bytes).await {
                        self.handle_over(connection, failure);
                    }
                }
                Output::Datagram { connection, bytes } => {
                    if let Some(Slot { state: State::Up { connection, .. }, .. }) =
                        self.slot(connection)
                    {
                        connection.send_datagram(bytes);
                    }
                }
                Output::Close(id) => self.close(id),
                Output::Answer { ticket, result } => {
                    // The asker may have gone in the meantime.
                    let _ = self.answers.remove(&ticket).map(|answer| answer.send(result));
                }
                Output::Event(event) => {
                    let is_last = matches!(*event, Event::Ended(_));
                    if is_last {
                        // The process may end with the event.
                        while self.closing.join_next().await.is_some() {}
                    }
                    let is_read = self.ends.events.send(*event).await.is_ok();
                    if is_last {
                        return true;
                    }
                    if !is_read {
                        self.participant.handle_leave(Instant::now(), false);
                    }
                }
                Output::Frame(frame) => {
                    self.dropped_frames += u64::from(self.ends.heard.try_send(frame).is_err());
                }
            }
        }
        self.take_stock();
        false
    }

    /// Takes over what the participant has changed without an output.
    fn take_stock(&mut self) {
        for Slot { id, state } in self.slots.iter_mut().flatten() {
            match state {
                State::Up { takes_datagrams, .. } => {
                    *takes_datagrams = self.participant.takes_datagrams(*id);
                }
                State::Dialing(_) | State::Over(_) => {}
            }
        }
        let dropped_frames = self.dropped_frames;
        let known = Link { dropped_frames, ..*self.participant.link() };
        self.ends.link.send_if_modified(|link| std::mem::replace(link, known) != known);
    }

    fn dial(&mut self, id: ConnectionId, to: Address) {
        let quic = self.quic.clone();
        let dial: Dial = Box::pin(async move { QuicConnection::connect(&to, &quic).await });
        match self.slots.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(Slot { id, state: State::Dialing(dial) }),
            None => {
                let why = format!("{CONNECTIONS} connections are up already");
                self.participant.handle_closed(Instant::now(), id, Failure::Unreachable(why));
            }
        }
    }

    /// Closes in the background: what comes next does not wait for it.
    fn close(&mut self, id: ConnectionId) {
        let slot = self.slots.iter_mut().find(|slot| is(slot, id)).and_then(Option::take);
        match slot.map(|slot| slot.state) {
            Some(State::Up { connection, .. } | State::Over(connection)) => {
                self.closing.spawn(connection.close());
            }
            Some(State::Dialing(_)) | None => {}
        }
    }

    fn slot(&mut self, id: ConnectionId) -> Option<&mut Slot> {
        self.slots.iter_mut().flatten().find(|slot| slot.id == id)
    }
}

fn is(slot: &Option<Slot>, id: ConnectionId) -> bool {
    slot.as_ref().is_some_and(|slot| slot.id == id)
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => pending().await,
    }
}
