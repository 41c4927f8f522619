//! Session in a room: connects, joins, comes back after a loss, hands out events and frames.
//!
//! [`start`] spawns one task per session. It owns the connections; the user holds a [`Session`]
//! (requests, frames out) and two receivers (events, frames in). All queues are bounded: events
//! wait for their reader, frames do not and are counted as dropped.
//!
//! | module | content | I/O |
//! |---|---|---|
//! | [`oneshot`] | one-shot requests, without joining | network |
//! | [`identity`] | files of session keys | files |
//! | [`clock`] | start of the local clock | clock |
//! | [`tls`] | trust in a relay | files |
//! | `driver` | the task behind a session | network, clock |
//! | [`quic`] | one QUIC connection, its settings | network |
//!
//! All decisions are those of [`tribune_client_core::participant`].

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tribune_client_core::participant::{self, Participant};
use tribune_protocol::control::participant::{FromParticipant, Join};
use tribune_protocol::quality::report::Report;

pub mod clock;
mod driver;
pub mod identity;
pub mod oneshot;
pub mod quic;
pub mod tls;

pub use tribune_client_core::connection::RequestError;
pub use tribune_client_core::encoding::Encoding;
pub use tribune_client_core::frame::{ReceivedFrame, SpokenFrame};
pub use tribune_client_core::participant::{Event, Link};
pub use tribune_client_core::{address, change, reconnect, room_view, subject, words};

use address::Address;
use clock::LocalClock;
use driver::{Command, Driver, Ends};
use tls::{TlsSetupError, Trust};

/// Events that wait for their reader. When it is full, the control stream is not read.
const EVENTS: usize = 64;
/// Frames that wait for their reader: a second of four speakers.
const FRAMES_IN: usize = 200;
/// Frames that wait to be sent: 200 ms.
const FRAMES_OUT: usize = 10;
/// Commands that wait for the task.
const COMMANDS: usize = 16;

/// Settings of a session.
#[derive(Debug, Clone)]
pub struct Config {
    /// Relays to join at, best first; not empty.
    pub addresses: Vec<Address>,
    /// How relays are authenticated.
    pub trust: Trust,
    /// The first join. `returning` and `heard` are filled in by the session.
    pub join: Join,
    /// Wait for a room that is not there yet.
    pub waits_for_room: bool,
    /// Delay of playout in the profiles `audience` and `reliable`; `None`: the room's.
    pub playout_delay: Option<Duration>,
}

/// Handle of a session. Clones are the same session.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    frames: mpsc::Sender<SpokenFrame>,
    link: watch::Receiver<Link>,
    clock: LocalClock,
}

/// The receiving sides of a session.
#[derive(Debug)]
pub struct Incoming {
    /// Events. Ends after [`Event::Ended`].
    pub events: mpsc::Receiver<Event>,
    /// Received frames.
    pub frames: mpsc::Receiver<ReceivedFrame>,
}

/// Begins a session on the current tokio runtime.
///
/// # Errors
/// [`TlsSetupError`], if the certificates to trust cannot be read.
pub fn start(config: Config) -> Result<(Session, Incoming), TlsSetupError> {
    let quic = quic::quic_config(tls::client_config(&config.trust)?);
    let (commands, commands_out) = mpsc::channel(COMMANDS);
    let (frames, frames_out) = mpsc::channel(FRAMES_OUT);
    let (events_in, events) = mpsc::channel(EVENTS);
    let (frames_in, heard) = mpsc::channel(FRAMES_IN);
    let (link_in, link) = watch::channel(Link::default());
    let clock = clock::start();
    let Config { addresses, join, waits_for_room, playout_delay, trust: _ } = config;
    let config = participant::Config { addresses, join, waits_for_room, playout_delay };
    let participant = Participant::new(Instant::now(), config, clock, rand::make_rng::<StdRng>());
    let ends = Ends {
        commands: commands_out,
        frames: frames_out,
        events: events_in,
        heard: frames_in,
        link: link_in,
    };
    tokio::spawn(Driver::new(participant, quic, ends).run());
    Ok((Session { commands, frames, link, clock }, Incoming { events, frames: heard }))
}

impl Session {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn request(&self, message: FromParticipant) -> Result<(), RequestError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let command = Command::Request(Box::new(message), answer);
        self.commands.send(command).await.map_err(|_| RequestError::Offline)?;
        answered.await.unwrap_or(Err(RequestError::Offline))
    }

    /// Tells the room how it is heard. Without a connection nobody is told, and nothing is lost by it: the
    /// next report follows in five seconds.
    pub fn report(&self, report: Report) {
        let _ = self.commands.try_send(Command::Report(report));
    }

    /// Sends a frame on one's own track; without the right to speak, or without a connection, it is
    /// dropped. Returns whether the session took it.
    pub fn send_frame(&self, frame: SpokenFrame) -> bool {
        self.frames.try_send(frame).is_ok()
    }

    /// Leaves the room. [`Event::Ended`] follows.
    pub async fn leave(&self) {
        // An error means that the session is over already.
        let _ = self.commands.send(Command::Leave { keeps_place: false }).await;
    }

    /// Closes the connection, but keeps the place and the hand for the 30 s that the origin grants
    /// after a loss. [`Event::Ended`] follows.
    pub async fn detach(&self) {
        let _ = self.commands.send(Command::Leave { keeps_place: true }).await;
    }

    /// The way to the origin, as known now.
    #[must_use]
    pub fn link(&self) -> Link {
        *self.link.borrow()
    }

    /// The session's clock.
    #[must_use]
    pub const fn clock(&self) -> LocalClock {
        self.clock
    }
}
