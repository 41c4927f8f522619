//! Fleet of a load: speakers and listeners on worker threads, which join once and then run rounds of
//! speech. [`crate::load`] runs one round, [`crate::contend`] one per requested window.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use tribune_bench::accounting::{Memory, process_cpu, process_memory};
use tribune_bench::frame::Schedule;
use tribune_protocol::limits::FRAME_PERIOD;
use tribune_relay_core::clock::WallClock;

use super::listeners::{ListenerWork, listen};
use super::round::Round;
use super::shared::Shared;
use super::speakers::{SpeakerStats, SpeakerWork, speak};
use super::spec::{LoadSpec, Topology, room_name};
use super::tally::ListenerStats;
use super::worker::Worker;
use crate::pool::sockets::allow_sockets;

/// From the start of a round to its first frame, so that all threads have taken it by then.
const LEAD: Duration = Duration::from_millis(100);
/// Pause before memory is read, so that work left over from the joins is done.
const SETTLE: Duration = Duration::from_millis(500);
/// Time for the speakers' joins, and for the listeners' beyond the time that the join rate takes.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Period in which progress is polled.
const POLL_PERIOD: Duration = Duration::from_millis(20);

/// Duration and cost of the listeners' joins.
#[derive(Debug)]
pub(crate) struct JoinPhase {
    /// From the first listener's join to the last admission.
    pub(crate) took: Duration,
    /// CPU of the edge.
    pub(crate) cpu: Option<Duration>,
    /// Memory of the edge, before and after the listeners' joins.
    pub(crate) memory: Option<(Memory, Memory)>,
}

/// Speakers and listeners of a run. Its threads end with it.
#[derive(Debug)]
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    speakers: Worker<SpeakerStats>,
    listeners: Vec<Worker<ListenerStats>>,
    /// Start of all rounds' frame numbers, with the wall clock at that instant.
    epoch: WallClock,
}

impl Fleet {
    /// Joins speakers, then listeners. `progress` is called every few milliseconds with a status line.
    ///
    /// # Errors
    /// A participant was not admitted in time.
    pub(crate) fn assemble(
        spec: &LoadSpec,
        topology: &Topology,
        progress: &mut dyn FnMut(&Shared, &str),
    ) -> Result<(Self, JoinPhase)> {
        let (speakers, listeners) =
            (usize::from(spec.speakers) * usize::from(spec.rooms), spec.listeners as usize);
        allow_sockets(spec.listener_sockets() as usize + speakers + spec.other_sockets)?;
        let mut fleet = Self::start_speakers(spec, topology)?;
        let until = Instant::now() + JOIN_PATIENCE;
        let all_in = |count: usize, of: usize, who: &str| format!("{count} of {of} {who} are in");
        fleet.wait(until, true, &mut |shared| {
            let count = shared.speakers_in();
            progress(shared, &all_in(count, speakers, "speakers"));
            count == speakers
        });
        if fleet.shared.speakers_in() < speakers {
            fleet.end()?;
            bail!("not all speakers were let in");
        }
        std::thread::sleep(SETTLE);
        let pid = topology.edge_pid;
        let counters = || -> Result<Option<(Memory, Duration)>> {
            pid.map(|pid| Ok((process_memory(pid)?, process_cpu(pid)?))).transpose()
        };
        let before = counters()?;
        let began = Instant::now();
        fleet.add_listeners(spec, topology)?;
        let patience = f64::from(spec.listeners) / f64::from(spec.join_rate);
        let until = began + Duration::from_secs_f64(patience) + JOIN_PATIENCE;
        fleet.wait(until, true, &mut |shared| {
            let count = shared.listeners_in();
            progress(shared, &all_in(count, listeners, "listeners"));
            count == listeners
        });
        let took = began.elapsed();
        let joined = fleet.shared.listeners_in();
        if joined < listeners {
            fleet.end()?;
            bail!("only {joined} of {listeners} listeners were let in within {took:.0?}");
        }
        std::thread::sleep(SETTLE);
        let both = before.zip(counters()?);
        let joining = JoinPhase {
            took,
            cpu: both.map(|((_, before), (_, after))| after - before),
            memory: both.map(|((before, _), (after, _))| (before, after)),
        };
        Ok((fleet, joining))
    }

    /// Round that starts shortly: unmeasured speech, the measured span, more unmeasured speech.
    pub(crate) fn plan_round(&self, before: Duration, span: Duration, after: Duration) -> Round {
        let frames = |time: Duration| (time.as_nanos() / FRAME_PERIOD.as_nanos()) as u32;
        let first = frames(self.epoch.at.elapsed() + LEAD) + 1;
        Round {
            schedule: Schedule {
                start: self.epoch.at,
                before: first + frames(before),
                measured: frames(span),
                after: frames(after),
            },
            first,
            speakers: u16::MAX,
            gaps: false,
        }
    }

    /// Counters that its threads share.
    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Starts a round in all threads.
    ///
    /// # Errors
    /// A thread has ended; its error.
    pub(crate) fn begin_round(&mut self, round: Round) -> Result<()> {
        let taken = self.speakers.offer(round);
        let listeners = self.listeners.iter().map(|worker| worker.offer(round));
        if !listeners.fold(taken, |all, taken| all && taken) {
            return self.ended_early();
        }
        Ok(())
    }

    /// Waits until an instant. `poll` is called every few milliseconds.
    ///
    /// # Errors
    /// A thread has ended; its error.
    pub(crate) fn run_until(
        &mut self,
        until: Instant,
        poll: &mut dyn FnMut(&Shared),
    ) -> Result<()> {
        self.wait(until, false, &mut |shared| {
            poll(shared);
            false
        });
        if self.is_broken() { self.ended_early() } else { Ok(()) }
    }

    /// Waits until a round is over, and returns the sums of its results.
    ///
    /// # Errors
    /// A thread has ended; its error.
    pub(crate) fn finish_round(&mut self, round: &Round) -> Result<(SpeakerStats, ListenerStats)> {
        self.run_until(round.schedule.end(), &mut |_| ())?;
        let Some(spoken) = self.speakers.result()? else { return self.ended_early() };
        let mut heard = ListenerStats::default();
        for worker in &self.listeners {
            match worker.result()? {
                Some(more) => heard.merge(more),
                None => return self.ended_early(),
            }
        }
        Ok((spoken, heard))
    }

    /// Ends the threads.
    ///
    /// # Errors
    /// The first error of a thread.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.shared.stop();
        let listeners = self.listeners.iter_mut().map(Worker::join);
        let all = std::iter::once(self.speakers.join()).chain(listeners);
        all.collect::<Vec<_>>().into_iter().collect()
    }

    /// Starts the speakers' thread. Listeners follow later: the first speaker opens the room.
    fn start_speakers(spec: &LoadSpec, topology: &Topology) -> Result<Self> {
        let of_room =
            |room| (0..spec.speakers).map(move |speaker| (room_name(room), room, speaker));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = WallClock {
            at: Instant::now(),
            unix_us: since_1970.as_micros().try_into().unwrap_or(0),
        };
        let work = SpeakerWork {
            target: topology.root.clone(),
            speakers: (0..spec.rooms).flat_map(of_room).collect(),
            frame_bytes: usize::from(spec.frame_bytes),
            reports: spec.reports.then_some(epoch),
        };
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let speakers = Worker::start("speakers".to_owned(), move |rounds, results| {
            speak(&work, &own, &rounds, &results)
        })?;
        Ok(Self { shared, speakers, listeners: Vec::new(), epoch })
    }

    fn add_listeners(&mut self, spec: &LoadSpec, topology: &Topology) -> Result<()> {
        let threads = usize::from(spec.threads);
        for thread in 0..threads {
            let own = (thread..spec.listeners as usize).step_by(threads);
            let rooms = own.map(|listener| (listener % usize::from(spec.rooms)) as u16);
            let work = ListenerWork {
                target: topology.edge.clone(),
                rooms: rooms.map(|room| (room_name(room), room)).collect(),
                per_socket: spec.per_socket as usize,
                rtt: spec.rtt,
                loss: spec.loss,
                joins_per_second: f64::from(spec.join_rate) / threads as f64,
                speakers: spec.speakers,
                reports: spec.reports.then_some(self.epoch),
                profile: spec.profile,
                web: (spec.web as usize).saturating_sub(thread).div_ceil(threads),
            };
            let shared = Arc::clone(&self.shared);
            let name = format!("listeners-{thread}");
            self.listeners.push(Worker::start(name, move |rounds, results| {
                listen(&work, &shared, &rounds, &results)
            })?);
        }
        Ok(())
    }

    /// Polls `done` until it holds, the time is over, or a thread has ended, which happens only by an error.
    /// During the joins, a disconnected participant ends the wait as well.
    fn wait(&self, until: Instant, joining: bool, done: &mut dyn FnMut(&Shared) -> bool) {
        while !done(&self.shared) && Instant::now() < until && !self.is_broken() {
            if joining && self.shared.gone() > 0 {
                return;
            }
            std::thread::sleep(POLL_PERIOD.min(until.saturating_duration_since(Instant::now())));
        }
    }

    fn is_broken(&self) -> bool {
        self.speakers.has_ended() || self.listeners.iter().any(Worker::has_ended)
    }

    fn ended_early<T>(&mut self) -> Result<T> {
        self.end()?;
        bail!("a thread of the load has ended too early")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
