//! Handoff of a simulated client after `moved`, by the machines of the client's core: it joins at the
//! next relay while the present one serves, and listens to both until nothing is missing. For clients
//! that are told to ([`crate::sim::Sim::follow_moves`]).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Event, StreamEvent};
use rand::RngExt;
use tribune_client_core::address::Address;
use tribune_client_core::connection::{Answer, Arrival as Datagram, Connection};
use tribune_client_core::dedup::{Dedup, Taken};
use tribune_client_core::handoff::{OVERLAP_MIN, Overlap, Search, Side};
use tribune_client_core::reconnect::Failure;
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::{Heard, ToParticipant};
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::media::repair::Reach;

use super::SimClient;
use super::link::ClientLink;
use crate::sim::Sent;
use crate::sim::log::{Entry, Log};
use crate::sim::network::client_address;

/// Own frames that are remembered, and how long before a join they are said once more: as the client
/// library does.
const SPOKEN_MAX: usize = 100;
const SAID_AGAIN: Duration = Duration::from_millis(200);
/// Moves of one client; each has an address of its own.
pub(in crate::sim) const MOVES_MAX: u16 = 16;
/// The first attempt to connect whose address is kept for moves.
const FIRST_MOVE: u16 = 1_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Moves {
    search: Option<Search>,
    arriving: Option<Arriving>,
    leaving: Option<Leaving>,
    dedup: Dedup,
    spoken: VecDeque<(Duration, Bytes)>,
    begun: u16,
    pub(super) figures: MoveFigures,
}

/// Outcome of the handoffs of a client.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MoveFigures {
    /// When the next relay let it in, each time.
    pub arrived: Vec<Duration>,
    /// When it left the relay before, or was closed there.
    pub left: Vec<Duration>,
    /// Frames that came more than once.
    pub duplicates: u32,
    /// Frames that it has asked for.
    pub asked: u32,
}

#[derive(Debug)]
struct Arriving {
    link: ClientLink,
    protocol: Connection,
    local: SocketAddr,
    since: Duration,
}

#[derive(Debug)]
struct Leaving {
    link: ClientLink,
    protocol: Connection,
    local: SocketAddr,
    overlap: Overlap,
    is_closed: bool,
}

/// Outcome of an attempt.
enum Outcome {
    /// The answer, and the messages behind it.
    In(Vec<Envelope<ToParticipant>>),
    /// Not let in; the relay may have named another one.
    Failed(Option<Address>),
}

/// The addresses that a client needs to follow moves.
pub(in crate::sim) fn addresses(host: crate::sim::HostId) -> impl Iterator<Item = SocketAddr> {
    (0..MOVES_MAX).map(move |n| client_address(host, FIRST_MOVE + n))
}

impl Moves {
    /// The connection beside the one that serves, if it goes to that relay.
    pub(super) fn link_to(&mut self, relay: SocketAddr) -> Option<&mut ClientLink> {
        let arriving = self.arriving.as_mut().map(|arriving| &mut arriving.link);
        let leaving = self.leaving.as_mut().map(|leaving| &mut leaving.link);
        arriving.into_iter().chain(leaving).find(|link| link.relay() == relay)
    }

    /// Says at the next relay too what is said now, and remembers it.
    pub(super) fn handle_spoken(&mut self, now: Duration, datagram: &Bytes) {
        if let Some(arriving) = &mut self.arriving {
            arriving.link.send_datagram(datagram.clone());
        }
        if self.spoken.len() == SPOKEN_MAX {
            self.spoken.pop_front();
        }
        self.spoken.push_back((now, datagram.clone()));
    }

    /// The frames for a relay to go on from.
    pub(super) fn resume_from(&self, now: Instant, delay: Duration) -> Vec<Heard> {
        self.dedup.resume_from(now, delay)
    }

    /// Sets how long missing frames are of use.
    pub(super) fn set_reach(&mut self, reach: Reach) {
        self.dedup.set_reach(reach);
    }

    pub(super) fn next_deadline(&mut self, base: Instant, now: Duration) -> Option<Duration> {
        let since_base = |at: Instant| at.saturating_duration_since(base);
        let search = self.search.as_ref().and_then(Search::poll_timeout).map(since_base);
        let over = self.leaving.as_ref().map(|leaving| since_base(leaving.overlap.deadline()));
        let earliest = self.figures.arrived.last().map(|at| *at + OVERLAP_MIN);
        let earliest = earliest.filter(|at| *at > now && self.leaving.is_some());
        let arriving =
            self.arriving.as_mut().and_then(|arriving| arriving.link.next_deadline(base, now));
        let leaving =
            self.leaving.as_mut().and_then(|leaving| leaving.link.next_deadline(base, now));
        [search, over, earliest, arriving, leaving].into_iter().flatten().min()
    }
}

impl SimClient {
    /// From now on it goes where a relay moves it, as the client library does.
    pub(in crate::sim) fn set_follows_moves(&mut self) {
        self.moves.get_or_insert_default();
    }

    /// Outcome of its handoffs; `None` if it follows none.
    #[must_use]
    pub fn moves(&self) -> Option<&MoveFigures> {
        self.moves.as_ref().map(|moves| &moves.figures)
    }

    /// Whether it has asked another relay to let it in.
    pub(super) fn is_on_the_way(&self) -> bool {
        self.moves.as_ref().is_some_and(|moves| moves.arriving.is_some())
    }

    pub(super) fn handle_moved(&mut self, to: Option<&str>) {
        let now = self.base + self.now;
        let (Some(moves), Some(link)) = (&mut self.moves, &self.link) else { return };
        if moves.arriving.is_none() {
            let from = address(link.relay());
            let named = to.and_then(|to| to.parse().ok());
            moves.search = Search::begin(now, &from, named, &[], self.rng.random());
        }
    }

    /// Whether a frame is new to it.
    pub(super) fn is_new(&mut self, side: Side, frame: &Frame, source: FrameSource) -> bool {
        let Some(moves) = &mut self.moves else { return true };
        let taken = moves.dedup.handle_frame(self.base + self.now, frame, source);
        if let Some(Leaving { overlap, .. }) = &mut moves.leaving {
            overlap.handle_frame(side, frame.track, frame.seq, frame.talkspurt_end);
        }
        match taken {
            Taken::Duplicate => {
                moves.figures.duplicates += 1;
                false
            }
            Taken::New | Taken::Repaired => true,
        }
    }

    /// When [`Self::ask_for_missing`] has something to do.
    pub(super) fn repair_due(&self) -> Option<Duration> {
        self.link.as_ref()?;
        let due = self.moves.as_ref()?.dedup.poll_timeout()?;
        Some(due.saturating_duration_since(self.base))
    }

    /// Asks for the frames that have not come.
    pub(super) fn ask_for_missing(&mut self) {
        let (Some(moves), Some(link)) = (&mut self.moves, &mut self.link) else { return };
        let now = self.base + self.now;
        while let Some((track, gap)) = moves.dedup.poll_ask(now, link.round_trip()) {
            moves.figures.asked += u32::from(gap.count);
            if let Some(leaving) = &mut moves.leaving {
                leaving.overlap.handle_asked(track, gap);
            }
            link.send_datagram(Connection::nack(track, gap));
        }
    }

    /// The part of a turn that concerns other relays than the one that serves.
    pub(super) fn move_on(&mut self, sent: &mut Vec<Sent>, log: &mut Log) {
        if self.moves.is_none() {
            return;
        }
        self.begin_attempt();
        self.drive_arriving(log);
        self.drive_leaving(log);
        let (base, at) = (self.base, self.now);
        let Some(moves) = &mut self.moves else { return };
        if let Some(Arriving { link, local, .. }) = &mut moves.arriving {
            link.transmit(base + at, at, *local, sent);
        }
        let dedup = &moves.dedup;
        let mut is_over = false;
        if let Some(Leaving { link, local, overlap, is_closed, .. }) = &mut moves.leaving {
            is_over = overlap.is_over(base + at, dedup) || *is_closed;
            if is_over {
                link.close(base + at);
            }
            link.transmit(base + at, at, *local, sent);
        }
        if is_over {
            moves.leaving = None;
            moves.figures.left.push(at);
            log.push(Entry::note(at, self.host, "has left the relay before".to_owned()));
        }
    }

    fn begin_attempt(&mut self) {
        let now = self.base + self.now;
        let Some(moves) = &mut self.moves else { return };
        let Some(to) = moves.search.as_mut().and_then(|search| search.poll_attempt(now)) else {
            return;
        };
        assert!(moves.begun < MOVES_MAX, "a client of the simulation moves {MOVES_MAX} times");
        let local = client_address(self.host, FIRST_MOVE + moves.begun);
        moves.begun += 1;
        let heard = moves.dedup.newest();
        let relay = to.to_string().parse().expect("relays of the simulation have IP addresses");
        let takes = (self.window_bytes, self.datagram_bytes);
        let mut link = ClientLink::connect(now, relay, takes, self.is_browser, &mut self.rng);
        let mut protocol = Connection::new(now);
        link.send_control(self.now, self.next_join(&mut protocol, heard));
        let arriving = Arriving { link, protocol, local, since: self.now };
        if let Some(moves) = &mut self.moves {
            moves.arriving = Some(arriving);
        }
    }

    fn drive_arriving(&mut self, log: &mut Log) {
        let now = self.base + self.now;
        let Some(moves) = &mut self.moves else { return };
        let Some(arriving) = &mut moves.arriving else { return };
        arriving.link.handle_timeout(now);
        let mut outcome = None;
        while outcome.is_none()
            && let Some(event) = arriving.link.poll_event()
        {
            match event {
                Event::ConnectionLost { .. } => outcome = Some(Outcome::Failed(None)),
                Event::Stream(StreamEvent::Readable { .. }) => outcome = arriving.read_answer(),
                Event::Connected
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked
                | Event::Stream(
                    StreamEvent::Opened { .. }
                    | StreamEvent::Writable { .. }
                    | StreamEvent::Finished { .. }
                    | StreamEvent::Stopped { .. }
                    | StreamEvent::Available { .. },
                ) => {}
            }
        }
        let Some(outcome) = outcome else { return };
        let Some(arriving) = moves.arriving.take() else { return };
        match outcome {
            Outcome::In(messages) => self.take_over(arriving, messages, log),
            Outcome::Failed(redirected) => {
                if let Some(search) = &mut moves.search {
                    search.handle_failure(now, redirected, self.rng.random());
                }
            }
        }
    }

    /// The new relay serves from now on, and the one before is listened to.
    fn take_over(
        &mut self,
        arriving: Arriving,
        messages: Vec<Envelope<ToParticipant>>,
        log: &mut Log,
    ) {
        let Arriving { link, protocol, local, since } = arriving;
        let Some(moves) = &mut self.moves else { return };
        moves.search = None;
        moves.figures.arrived.push(self.now);
        let overlap = Overlap::begin(self.base + self.now, &moves.dedup);
        let before = self.link.replace(link).filter(|_| self.end.is_none());
        let before_local = std::mem::replace(&mut self.address, local);
        self.end = None;
        let protocol = std::mem::replace(&mut self.protocol, protocol);
        let (local, is_closed) = (before_local, false);
        moves.leaving = before.map(|link| Leaving { link, protocol, local, overlap, is_closed });
        if moves.leaving.is_none() {
            moves.figures.left.push(self.now);
        }
        if let Some(link) = &mut self.link {
            for (_, datagram) in moves.spoken.iter().filter(|(at, _)| *at + SAID_AGAIN >= since) {
                link.send_datagram(datagram.clone());
            }
        }
        for envelope in messages {
            self.handle_message(envelope, log);
        }
        self.read_datagrams(log);
    }

    fn drive_leaving(&mut self, log: &mut Log) {
        let (now, local_us) = (self.base + self.now, self.local_us());
        if let Some(leaving) = self.moves.as_mut().and_then(|moves| moves.leaving.as_mut()) {
            leaving.link.handle_timeout(now);
            while let Some(event) = leaving.link.poll_event() {
                leaving.is_closed |= matches!(event, Event::ConnectionLost { .. });
            }
        }
        while let Some(leaving) = self.moves.as_mut().and_then(|moves| moves.leaving.as_mut())
            && let Some(datagram) = leaving.link.read_datagram()
        {
            let handed_over = leaving.link.handed_over();
            let datagram = leaving.protocol.handle_datagram(local_us, datagram);
            if let Datagram::Media(media) = datagram.expect("relays send datagrams of the protocol")
            {
                self.hear(Side::Old, &media, handed_over, log);
            }
        }
    }
}

impl Arriving {
    /// The answer to the join, if it has come.
    fn read_answer(&mut self) -> Option<Outcome> {
        let (mut result, mut messages) = (None, Vec::new());
        for received in self.link.read_messages(&mut self.protocol) {
            match received.answer {
                Some(Answer::Join(answer)) => result = Some(answer),
                Some(Answer::Request { .. }) | None => {}
            }
            if result.is_some() {
                messages.push(received.envelope);
            }
        }
        Some(match result? {
            Ok(()) => Outcome::In(messages),
            Err(Failure::Redirected { to, .. }) => Outcome::Failed(Some(to)),
            Err(
                Failure::Unreachable(_)
                | Failure::Tls(_)
                | Failure::Refused { .. }
                | Failure::Closed { .. }
                | Failure::Lost(_)
                | Failure::Moved,
            ) => Outcome::Failed(None),
        })
    }
}

fn address(relay: SocketAddr) -> Address {
    relay.to_string().parse().expect("an IP address and a port are an address")
}
