//! The listeners' threads of a load: they hear frames and keep count. [`super::fleet`] starts them, has
//! them do rounds, and talks to them and to the speakers' ([`super::speakers`]) through [`Shared`].

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tribune_bench::accounting;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::room::Role;
use tribune_protocol::media::Datagram;
use tribune_protocol::media::probe::Probe;
use tribune_relay_core::clock::WallClock;

use super::reporting::{Due, Reporters};
use super::round::Round;
use super::shared::{SWEEP, Shared, join, rest_until};
use super::tally::{ListenerStats, Tally};
use crate::swarm::{Arrival, News, Place, Swarm, Target};

/// The same once all are in and nobody speaks: enough to acknowledge in time, and no load on who is
/// measured meanwhile.
const IDLE_SWEEP: Duration = Duration::from_millis(20);
/// The work of one listeners' thread.
#[derive(Debug, Clone)]
pub(crate) struct ListenerWork {
    /// The relay.
    pub(crate) target: Target,
    /// The room of each listener, by name and number.
    pub(crate) rooms: Vec<(String, u16)>,
    /// Listeners of each socket.
    pub(crate) per_socket: usize,
    /// Round trip to the relay.
    pub(crate) rtt: Duration,
    /// Joins begun in a second.
    pub(crate) joins_per_second: f64,
    /// Speakers of each room.
    pub(crate) speakers: u16,
    /// The right time, counted from the schedule's start; `None` if nobody reports.
    pub(crate) reports: Option<WallClock>,
}

/// Joins listeners and counts what they hear in each round, until told to stop.
///
/// # Errors
/// A socket is unusable, or a listener cannot begin to join.
pub(crate) fn listen(
    work: &ListenerWork,
    shared: &Shared,
    rounds: &Receiver<Round>,
    results: &SyncSender<ListenerStats>,
) -> Result<()> {
    let thread = accounting::this_thread()?;
    shared.listener_threads.lock().map_err(|_| anyhow!("a thread has panicked"))?.push(thread);
    let ListenerWork { target, rooms, per_socket, rtt, joins_per_second, speakers, reports } = work;
    let place =
        Place { sockets: rooms.len().div_ceil(*per_socket), per_socket: *per_socket, rtt: *rtt };
    let mut swarm = Swarm::open(target.clone(), place)?;
    let numbers = || rooms.iter().map(|(_, number)| *number);
    let mut reporters = reports.map(|wall| Reporters::new(wall, numbers(), *speakers));
    // Who asks for the time wants the answer at once: what it waits in the socket bends the estimate.
    let idle_sweep = if reporters.is_some() { SWEEP } else { IDLE_SWEEP };
    let mut tally: Option<Tally> = None;
    let (began, mut joining, mut listeners_in, mut refused) = (Instant::now(), 0, 0, 0);
    while !shared.stopped() {
        let swept = Instant::now();
        let due = (began.elapsed().as_secs_f64() * joins_per_second) as usize;
        while joining < due.min(rooms.len()) {
            let (room, _) = &rooms[joining];
            swarm.join(joining / per_socket, join(room, Role::Listener, "listener", joining)?)?;
            joining += 1;
        }
        if tally.is_none() {
            tally = rounds.try_recv().ok().map(|round| Tally::new(round, numbers().collect()));
        }
        if let Some(tally) = &mut tally {
            tally.handle_sweep(swept);
        }
        if let Some(reporters) = &mut reporters {
            send_due(reporters, &mut swarm)?;
        }
        swarm.turn(|arrival| {
            handle_datagram(arrival, *rtt, shared, tally.as_mut(), reporters.as_mut())
        })?;
        while let Some(news) = swarm.poll_news() {
            match news {
                News::In(member, _) => {
                    if let Some(reporters) = &mut reporters {
                        reporters.handle_in(Instant::now(), member);
                    }
                    listeners_in += 1;
                    shared.listeners_in.fetch_add(1, Ordering::Relaxed);
                }
                News::Gone(_, why) => shared.count_gone("a listener", &why),
            }
        }
        if let Some(over) = tally.take_if(|tally| tally.is_over(swept)) {
            let mut heard = over.close();
            heard.reported = reporters.as_mut().map(Reporters::close);
            heard.send_refused = swarm.refused() - std::mem::replace(&mut refused, swarm.refused());
            if results.send(heard).is_err() {
                return Ok(());
            }
        }
        let idle = tally.is_none() && listeners_in == rooms.len();
        rest_until(swept + if idle { idle_sweep } else { SWEEP });
    }
    Ok(())
}

/// Sends listeners' questions and reports, each as soon as it has its time.
fn send_due(reporters: &mut Reporters, swarm: &mut Swarm) -> Result<()> {
    while let Some((member, due)) = reporters.poll_due(Instant::now()) {
        match due {
            // One that QUIC does not take is followed by the next, as one is that gets lost.
            Due::Question(question) => drop(swarm.send_datagram(member, question.write())),
            // One that it does not take is news.
            Due::Report(report) => {
                swarm.send_control(member, &FromParticipant::Report(report))?;
            }
        }
        swarm.flush();
    }
    Ok(())
}

/// A datagram has come to a listener.
fn handle_datagram(
    Arrival { at, member, datagram }: Arrival,
    rtt: Duration,
    shared: &Shared,
    mut tally: Option<&mut Tally>,
    mut reporters: Option<&mut Reporters>,
) {
    // The account is of what comes off the socket; the listener has it after the way that is simulated.
    let at_listener = at + rtt / 2;
    match Datagram::parse(datagram) {
        Ok(Datagram::Media(media)) => shared.count(&media, |frame| {
            if let Some(tally) = &mut tally {
                tally.handle_frame(at, member, frame);
            }
            if let Some(reporters) = &mut reporters {
                reporters.handle_frame(at_listener, member, frame);
            }
        }),
        Ok(Datagram::Probe(Probe::Answer(answer))) => {
            if let Some(reporters) = &mut reporters {
                reporters.handle_answer(at_listener, member, &answer);
            }
        }
        Ok(Datagram::Probe(Probe::Question { .. }) | Datagram::Nack(_)) | Err(_) => {}
    }
}
