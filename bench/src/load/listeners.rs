//! Listeners' threads of a load: they receive frames and count them. [`super::fleet`] starts them, hands
//! them rounds, and reads their counters and the speakers' ([`super::speakers`]) in [`Shared`].

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use anyhow::Result;
use tribune_bench::accounting;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::media::Datagram;
use tribune_protocol::media::probe::Probe;
use tribune_relay_core::clock::WallClock;

use super::repairs::Repairs;
use super::reporting::{Due, Reporters};
use super::round::Round;
use super::shared::{SWEEP, Shared, join, rest_until};
use super::tally::{ListenerStats, Tally};
use crate::pool::client_pool::{ClientPool, Place};
use crate::pool::events::{Arrival, News};
use crate::pool::target::{Target, Way};

/// Sweep period once all are in and no round runs: enough to acknowledge in time, and no load while
/// another system is measured.
const IDLE_SWEEP: Duration = Duration::from_millis(20);
/// Configuration of one listeners' thread.
#[derive(Debug, Clone)]
pub(crate) struct ListenerWork {
    /// The relay.
    pub(crate) target: Target,
    /// Room of each listener, by name and number.
    pub(crate) rooms: Vec<(String, u16)>,
    /// Listeners on each socket.
    pub(crate) per_socket: usize,
    /// Round trip to the relay.
    pub(crate) rtt: Duration,
    /// Packets that are lost once all are in, in percent in each direction.
    pub(crate) loss: u8,
    /// Joins begun in a second.
    pub(crate) joins_per_second: f64,
    /// Speakers of each room.
    pub(crate) speakers: u16,
    /// True wall clock at the schedule's start; `None` if listeners do not report.
    pub(crate) reports: Option<WallClock>,
    /// Profile that they ask for.
    pub(crate) profile: Profile,
    /// How many of them, the first, come as browsers.
    pub(crate) web: usize,
}

/// Joins listeners and counts the frames that they receive in each round, until told to stop.
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
    shared.add_listener_thread(thread)?;
    let ListenerWork {
        target, rooms, per_socket, rtt, joins_per_second, speakers, reports, ..
    } = work;
    let place =
        Place { sockets: rooms.len().div_ceil(*per_socket), per_socket: *per_socket, rtt: *rtt };
    let mut pool = ClientPool::open(target.clone(), place)?;
    let numbers = || rooms.iter().map(|(_, number)| *number);
    let mut reporters = reports.map(|wall| Reporters::new(wall, numbers(), *speakers));
    // With probes, time that an answer waits in the socket would bias the clock estimate.
    let idle_sweep = if reporters.is_some() { SWEEP } else { IDLE_SWEEP };
    let mut tally: Option<Tally> = None;
    let mut repairs = (work.loss > 0).then(|| Repairs::new(rooms.len(), *rtt));
    let (began, mut joining, mut listeners_in, mut refused) = (Instant::now(), 0, 0, 0);
    while !shared.stopped() {
        let swept = Instant::now();
        let due = (began.elapsed().as_secs_f64() * joins_per_second) as usize;
        join_due(work, &mut pool, &mut joining, due)?;
        if tally.is_none() {
            tally = rounds.try_recv().ok().map(|round| Tally::new(round, numbers().collect()));
            pool.set_loss(if tally.is_some() { work.loss } else { 0 });
        }
        if let Some(tally) = &mut tally {
            tally.handle_sweep(swept);
        }
        if let Some(reporters) = &mut reporters {
            send_due(reporters, &mut pool)?;
        }
        while let Some((member, question)) = repairs.as_mut().and_then(|r| r.poll_question(swept)) {
            // One that QUIC does not take is asked again.
            pool.send_datagram(member, question);
        }
        pool.turn(|arrival| {
            let listeners = (tally.as_mut(), reporters.as_mut(), repairs.as_mut());
            handle_datagram(arrival, *rtt, shared, listeners)
        })?;
        shared.add_received(pool.take_received());
        while let Some(news) = pool.poll_news() {
            match news {
                News::In(member, _) => {
                    if let Some(reporters) = &mut reporters {
                        reporters.handle_in(Instant::now(), member);
                    }
                    listeners_in += 1;
                    shared.count_listener_in();
                }
                News::Gone(_, why) => shared.count_gone("a listener", &why),
            }
        }
        if let Some(over) = tally.take_if(|tally| tally.is_over(swept)) {
            let mut heard = over.close();
            heard.questions = repairs.as_mut().map(Repairs::take_asked);
            heard.reported = reporters.as_mut().map(Reporters::close);
            heard.send_refused = pool.refused() - std::mem::replace(&mut refused, pool.refused());
            if results.send(heard).is_err() {
                return Ok(());
            }
        }
        let idle = tally.is_none() && listeners_in == rooms.len();
        rest_until(swept + if idle { idle_sweep } else { SWEEP });
    }
    Ok(())
}

/// Begins the joins up to the one that is due.
fn join_due(
    work: &ListenerWork,
    pool: &mut ClientPool,
    joining: &mut usize,
    due: usize,
) -> Result<()> {
    while *joining < due.min(work.rooms.len()) {
        let (room, _) = &work.rooms[*joining];
        let mut join = join(room, Role::Listener, "listener", *joining)?;
        join.profile = Some(work.profile);
        let way = if *joining < work.web { Way::Web } else { Way::Quic };
        pool.join(*joining / work.per_socket, way, join)?;
        *joining += 1;
    }
    Ok(())
}

/// Sends the listeners' probes and reports that are due.
fn send_due(reporters: &mut Reporters, pool: &mut ClientPool) -> Result<()> {
    while let Some((member, due)) = reporters.poll_due(Instant::now()) {
        match due {
            // A probe that QUIC does not take is replaced by the next one, as a lost one is.
            Due::Question(question) => drop(pool.send_datagram(member, question.write())),
            // A report that QUIC does not take ends the participant, which the pool reports.
            Due::Report(report) => {
                pool.send_control(member, &FromParticipant::Report(report))?;
            }
        }
        pool.flush();
    }
    Ok(())
}

/// Takes a datagram of a listener.
fn handle_datagram(
    Arrival { at, member, datagram }: Arrival,
    rtt: Duration,
    shared: &Shared,
    (mut tally, mut reporters, mut repairs): (
        Option<&mut Tally>,
        Option<&mut Reporters>,
        Option<&mut Repairs>,
    ),
) {
    // The tally counts when it comes off the socket; the listener has it after the simulated delay.
    let at_listener = at + rtt / 2;
    match Datagram::parse(datagram) {
        Ok(Datagram::Media(media)) => shared.count(&media, |frame, source| {
            if let Some(repairs) = &mut repairs {
                repairs.handle_frame(at_listener, member, (frame, source));
            }
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
