//! A stay in a room: connects, joins, comes back after a loss, hands out what happens.
//!
//! [`start`] spawns one task per session. It owns the connection; who uses it holds a [`Session`]
//! (requests, frames out) and two receivers (events, frames in). All queues are bounded: events
//! wait for their reader, frames do not and are counted as dropped.
//!
//! | module | content | I/O |
//! |---|---|---|
//! | [`errand`] | one-shot requests, without joining | network |
//! | [`identity`] | files of session keys | files |
//! | [`clock`] | start of the local clock | clock |
//! | [`tls`] | trust in a relay | files |
//! | `connection` | one QUIC connection | network |
//! | `driver`, `serving`, `moving` | the task behind a session; its loop; a move | network, clock |
//! | `served` | state of one connection | network |
//!
//! What decides is in [`tribune_client_core`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{FromParticipant, Join, Joined, ToParticipant};
use tribune_protocol::ids::Seq;
use tribune_protocol::media::datagram::{Frame, Level};
use tribune_protocol::quality::report::Report;
use tribune_protocol::time::Offset;

pub mod clock;
mod connection;
mod driver;
pub mod errand;
pub mod identity;
mod moving;
mod served;
mod serving;
pub mod tls;

pub use tribune_client_core::{address, change, reconnect, room_view, subject, words};

use address::Address;
use clock::LocalClock;
use reconnect::End;
use tls::{TlsSetupError, Trust};

/// Events that wait for their reader. When it is full, the control stream is not read.
const EVENTS: usize = 64;
/// Frames that wait for their reader: a second of four speakers.
const FRAMES_IN: usize = 200;
/// Frames that wait to be sent: 200 ms.
const FRAMES_OUT: usize = 10;
/// Commands that wait for the task.
const COMMANDS: usize = 16;

/// What a session needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Relays to join at, best first; not empty.
    pub addresses: Vec<Address>,
    /// How they prove who they are.
    pub trust: Trust,
    /// The first join. `returning` and `heard` are filled in by the session.
    pub join: Join,
    /// Wait for a room that is not there yet.
    pub waits_for_room: bool,
}

/// What happens in a session.
#[derive(Debug)]
pub enum Event {
    /// The room let us in, for the first time or again.
    Joined {
        /// The relay's answer.
        joined: Joined,
        /// How often the session has come back or moved to another relay so far; 0 the first time.
        reconnects: u32,
    },
    /// The relay says something about the room.
    Message(ToParticipant),
    /// There is no connection; the next attempt is under way or about to be.
    Retrying {
        /// Why, in a clause.
        why: String,
        /// Time until the next attempt.
        after: Duration,
        /// Whether we were in the room.
        was_in_room: bool,
    },
    /// The session is over. The last event.
    Ended(End),
}

/// A frame that came in.
#[derive(Debug, Clone)]
pub struct ReceivedFrame {
    /// The frame.
    pub frame: Frame,
    /// When.
    pub arrived: Instant,
}

/// A frame to be sent.
#[derive(Debug, Clone)]
pub struct SpokenFrame {
    /// Its place in the track.
    pub seq: Seq,
    /// How loud it is.
    pub level: Level,
    /// Whether silence follows.
    pub talkspurt_end: bool,
    /// One Opus packet, at most 640 bytes.
    pub opus: Bytes,
    /// When its first sample was captured.
    pub captured: Instant,
}

/// What is known about the way to the origin; renewed at each answered probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// Round trip to the edge.
    pub round_trip: Option<Duration>,
    /// The origin's clock, and when it was estimated; see [`Self::offset_at`].
    pub offset: Option<(Offset, Instant)>,
    /// Frames that came in and had no place in the queue, since the start.
    pub dropped_frames: u64,
    /// Frames that came in more than once, as they do while two relays are listened to, since the
    /// start. They are passed over.
    pub duplicate_frames: u64,
    /// Frames that were missing at first, and came after all, since the start.
    pub repaired_frames: u64,
}

impl Link {
    /// The origin's clock as it is known at `now`: the older the estimate, the larger its error.
    #[must_use]
    pub fn offset_at(&self, now: Instant) -> Option<Offset> {
        self.offset.map(|(offset, at)| offset.aged(now.saturating_duration_since(at)))
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The room refuses.
    #[error("{message}")]
    Refused {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        message: String,
    },
    /// No answer came within 10 s.
    #[error("the relay did not answer within 10 s")]
    TimedOut,
    /// There is no connection at the moment.
    #[error("there is no connection to the room at the moment")]
    Offline,
    /// 32 requests wait for their answers.
    #[error("32 requests wait for their answers already")]
    Busy,
}

/// A session in the hands of who uses it. Clones are the same session.
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
    /// What happens. Ends after [`Event::Ended`].
    pub events: mpsc::Receiver<Event>,
    /// What is heard.
    pub frames: mpsc::Receiver<ReceivedFrame>,
}

/// What a [`Session`] asks of its task.
#[derive(Debug)]
enum Command {
    Request(Box<FromParticipant>, oneshot::Sender<Result<(), RequestError>>),
    Report(Report),
    Leave,
    /// Ends as [`Command::Leave`] does, but leaves place and hand as they are for the grace time.
    Detach,
}

/// Begins a session on the current tokio runtime.
///
/// # Errors
/// [`TlsSetupError`], if the certificates to trust cannot be read.
pub fn start(config: Config) -> Result<(Session, Incoming), TlsSetupError> {
    let quic = connection::quic_config(tls::client_config(&config.trust)?);
    let (commands, commands_out) = mpsc::channel(COMMANDS);
    let (frames, frames_out) = mpsc::channel(FRAMES_OUT);
    let (events_in, events) = mpsc::channel(EVENTS);
    let (frames_in, heard) = mpsc::channel(FRAMES_IN);
    let (link_in, link) = watch::channel(Link::default());
    let clock = clock::start();
    let ends = driver::Ends {
        commands: commands_out,
        frames: frames_out,
        events: events_in,
        heard: frames_in,
        link: link_in,
    };
    tokio::spawn(driver::Driver::new(config, quic, clock, ends).run());
    Ok((Session { commands, frames, link, clock }, Incoming { events, frames: heard }))
}

impl Session {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn request(&self, message: FromParticipant) -> Result<(), RequestError> {
        let (answer, answered) = oneshot::channel();
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
        let _ = self.commands.send(Command::Leave).await;
    }

    /// Closes the connection, but keeps the place and the hand for the 30 s that the origin gives
    /// to whoever is cut off. [`Event::Ended`] follows.
    pub async fn detach(&self) {
        let _ = self.commands.send(Command::Detach).await;
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
