//! The threads of a load and what is done with them: everybody joins once, then there are rounds of
//! speech. Used by [`crate::load`], which has one round, and by [`crate::contend`], which has as many
//! as it is asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use tribune_bench::accounting::{Memory, process_cpu, process_memory};
use tribune_bench::frame::Schedule;
use tribune_protocol::limits::FRAME_PERIOD;
use tribune_relay::tls::ServerTrust;
use tribune_relay_core::clock::WallClock;

use crate::crowd::{Audience, Shared, listen};
use crate::process::{RelayChain, RelayProcess};
use crate::sockets::allow_sockets;
use crate::speech::{Spoken, Stage, speak};
use crate::swarm::Target;
use crate::tally::{Heard, Round};

/// From the call for a round to its first frame: the threads have taken it by then.
const LEAD: Duration = Duration::from_millis(100);
/// Rest before memory is read, for what joining has left to do.
const SETTLE: Duration = Duration::from_millis(500);
/// Time for the speakers' joins, and for the last joins of listeners beyond what the rate asks for.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Time for a thread to say what a round that is over has brought.
const RESULT_WITHIN: Duration = Duration::from_secs(10);
/// How often progress is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Who takes part, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    /// Listeners in all.
    pub(crate) listeners: u32,
    /// Speakers of each room.
    pub(crate) speakers: u16,
    /// Rooms that the listeners are dealt over.
    pub(crate) rooms: u16,
    /// Opus bytes of a frame.
    pub(crate) frame_bytes: u16,
    /// Joins begun in a second.
    pub(crate) join_rate: u32,
    /// Threads of listeners.
    pub(crate) threads: u8,
    /// Listeners on each socket.
    pub(crate) per_socket: u32,
    /// Round trip of the listeners to the relay.
    pub(crate) rtt: Duration,
    /// Sockets of others in this process.
    pub(crate) other_sockets: usize,
    /// Whether all ask for the origin's time, speakers tell it and listeners report.
    pub(crate) reports: bool,
}

impl Cast {
    /// Sockets of the listeners.
    pub(crate) fn listener_sockets(&self) -> u32 {
        let threads = u32::from(self.threads);
        let of = |thread: u32| (self.listeners + threads - 1 - thread) / threads;
        (0..threads).map(|thread| of(thread).div_ceil(self.per_socket)).sum()
    }
}

/// The relays that a crew is at.
#[derive(Debug, Clone)]
pub(crate) struct Venue {
    /// Where speakers are.
    pub(crate) root: Target,
    /// Where listeners are.
    pub(crate) edge: Target,
    /// The edge's process, if it is known.
    pub(crate) edge_pid: Option<u32>,
    /// The processes of the relays above it.
    pub(crate) above: Vec<u32>,
    /// The HTTP side of the relay where speakers are, if it is known.
    pub(crate) root_http: Option<SocketAddr>,
}

impl Venue {
    /// A chain of relays that this process has started.
    pub(crate) fn of(relays: &RelayChain) -> Self {
        let target = |relay: &RelayProcess| Target {
            address: relay.address(),
            name: "localhost".to_owned(),
            trust: ServerTrust::Pinned(relay.fingerprint()),
        };
        Self {
            root: target(relays.root()),
            edge: target(relays.edge()),
            edge_pid: Some(relays.edge().pid()),
            above: relays.above_edge(),
            root_http: Some(relays.root().http()),
        }
    }
}

/// What joining took.
#[derive(Debug)]
pub(crate) struct Joining {
    /// From the first listener's join to the last one's.
    pub(crate) took: Duration,
    /// Of the edge.
    pub(crate) cpu: Option<Duration>,
    /// Of the edge, before and after the listeners have come.
    pub(crate) memory: Option<(Memory, Memory)>,
}

/// The speakers and listeners of a run. Its threads end with it.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) shared: Arc<Shared>,
    speakers: Hand<Spoken>,
    listeners: Vec<Hand<Heard>>,
    /// From which all rounds count their frames, and what time it was.
    epoch: WallClock,
}

impl Crew {
    /// Has everybody join. `progress` is called every few milliseconds with what goes on.
    ///
    /// # Errors
    /// Not everybody was let in.
    pub(crate) fn assemble(
        cast: &Cast,
        venue: &Venue,
        progress: &mut dyn FnMut(&Shared, &str),
    ) -> Result<(Self, Joining)> {
        let (speakers, listeners) =
            (usize::from(cast.speakers) * usize::from(cast.rooms), cast.listeners as usize);
        allow_sockets(cast.listener_sockets() as usize + speakers + cast.other_sockets)?;
        let mut crew = Self::start_speakers(cast, venue)?;
        let until = Instant::now() + JOIN_PATIENCE;
        let all_in = |count: usize, of: usize, who: &str| format!("{count} of {of} {who} are in");
        crew.wait(until, true, &mut |shared| {
            let count = shared.speakers_in.load(Ordering::Relaxed);
            progress(shared, &all_in(count, speakers, "speakers"));
            count == speakers
        });
        if crew.shared.speakers_in.load(Ordering::Relaxed) < speakers {
            crew.end()?;
            bail!("not all speakers were let in");
        }
        std::thread::sleep(SETTLE);
        let pid = venue.edge_pid;
        let counters = || -> Result<Option<(Memory, Duration)>> {
            pid.map(|pid| Ok((process_memory(pid)?, process_cpu(pid)?))).transpose()
        };
        let before = counters()?;
        let began = Instant::now();
        crew.add_listeners(cast, venue)?;
        let patience = f64::from(cast.listeners) / f64::from(cast.join_rate);
        let until = began + Duration::from_secs_f64(patience) + JOIN_PATIENCE;
        crew.wait(until, true, &mut |shared| {
            let count = shared.listeners_in.load(Ordering::Relaxed);
            progress(shared, &all_in(count, listeners, "listeners"));
            count == listeners
        });
        let took = began.elapsed();
        let joined = crew.shared.listeners_in.load(Ordering::Relaxed);
        if joined < listeners {
            crew.end()?;
            bail!("only {joined} of {listeners} listeners were let in within {took:.0?}");
        }
        std::thread::sleep(SETTLE);
        let both = before.zip(counters()?);
        let joining = Joining {
            took,
            cpu: both.map(|((_, before), (_, after))| after - before),
            memory: both.map(|((before, _), (after, _))| (before, after)),
        };
        Ok((crew, joining))
    }

    /// A round that begins soon: speech that is not measured, the measured span, a little more.
    pub(crate) fn round(&self, before: Duration, span: Duration, after: Duration) -> Round {
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

    /// Calls everybody to a round.
    ///
    /// # Errors
    /// A thread has ended; why.
    pub(crate) fn begin(&mut self, round: Round) -> Result<()> {
        let taken = self.speakers.rounds.try_send(round).is_ok();
        let listeners = self.listeners.iter().map(|hand| hand.rounds.try_send(round).is_ok());
        if !listeners.fold(taken, |all, taken| all && taken) {
            return self.why_ended();
        }
        Ok(())
    }

    /// Lets time pass. `glance` is called every few milliseconds.
    ///
    /// # Errors
    /// A thread has ended; why.
    pub(crate) fn pass(&mut self, until: Instant, glance: &mut dyn FnMut(&Shared)) -> Result<()> {
        self.wait(until, false, &mut |shared| {
            glance(shared);
            false
        });
        if self.is_broken() { self.why_ended() } else { Ok(()) }
    }

    /// Waits until a round is over, and adds up what it has brought.
    ///
    /// # Errors
    /// A thread has ended; why.
    pub(crate) fn finish(&mut self, round: &Round) -> Result<(Spoken, Heard)> {
        self.pass(round.schedule.end(), &mut |_| ())?;
        let Some(spoken) = self.speakers.result()? else { return self.why_ended() };
        let mut heard = Heard::default();
        for hand in &self.listeners {
            match hand.result()? {
                Some(more) => heard.merge(more),
                None => return self.why_ended(),
            }
        }
        Ok((spoken, heard))
    }

    /// Ends the threads.
    ///
    /// # Errors
    /// What went wrong in one of them.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let listeners = self.listeners.iter_mut().map(Hand::join);
        let all = std::iter::once(self.speakers.join()).chain(listeners);
        all.collect::<Vec<_>>().into_iter().collect()
    }

    /// Starts the speakers' thread. Listeners come later: the first speaker opens the room.
    fn start_speakers(cast: &Cast, venue: &Venue) -> Result<Self> {
        let of_room =
            |room| (0..cast.speakers).map(move |speaker| (room_name(room), room, speaker));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = WallClock {
            at: Instant::now(),
            unix_us: since_1970.as_micros().try_into().unwrap_or(0),
        };
        let stage = Stage {
            target: venue.root.clone(),
            speakers: (0..cast.rooms).flat_map(of_room).collect(),
            frame_bytes: usize::from(cast.frame_bytes),
            reports: cast.reports.then_some(epoch),
        };
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let speakers = Hand::start("speakers".to_owned(), move |rounds, results| {
            speak(&stage, &own, &rounds, &results)
        })?;
        Ok(Self { shared, speakers, listeners: Vec::new(), epoch })
    }

    fn add_listeners(&mut self, cast: &Cast, venue: &Venue) -> Result<()> {
        let threads = usize::from(cast.threads);
        for thread in 0..threads {
            let own = (thread..cast.listeners as usize).step_by(threads);
            let rooms = own.map(|listener| (listener % usize::from(cast.rooms)) as u16);
            let audience = Audience {
                target: venue.edge.clone(),
                rooms: rooms.map(|room| (room_name(room), room)).collect(),
                per_socket: cast.per_socket as usize,
                rtt: cast.rtt,
                joins_per_second: f64::from(cast.join_rate) / threads as f64,
                speakers: cast.speakers,
                reports: cast.reports.then_some(self.epoch),
            };
            let shared = Arc::clone(&self.shared);
            let name = format!("listeners-{thread}");
            self.listeners.push(Hand::start(name, move |rounds, results| {
                listen(&audience, &shared, &rounds, &results)
            })?);
        }
        Ok(())
    }

    /// Looks at `done` again and again: until it is, the time is over, or a thread has ended, which
    /// none does on its own but by an error. While people join, nobody may be gone either.
    fn wait(&self, until: Instant, joining: bool, done: &mut dyn FnMut(&Shared) -> bool) {
        while !done(&self.shared) && Instant::now() < until && !self.is_broken() {
            if joining && self.shared.gone.load(Ordering::Relaxed) > 0 {
                return;
            }
            std::thread::sleep(GLANCE.min(until.saturating_duration_since(Instant::now())));
        }
    }

    fn is_broken(&self) -> bool {
        self.speakers.has_ended() || self.listeners.iter().any(Hand::has_ended)
    }

    fn why_ended<T>(&mut self) -> Result<T> {
        self.end()?;
        bail!("a thread of the load has ended too early")
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// A thread that does rounds.
#[derive(Debug)]
struct Hand<T> {
    rounds: SyncSender<Round>,
    results: Receiver<T>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl<T: Send + 'static> Hand<T> {
    fn start(
        name: String,
        work: impl FnOnce(Receiver<Round>, SyncSender<T>) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        // One round at a time, and one result of each.
        let (rounds, own_rounds) = sync_channel(1);
        let (own_results, results) = sync_channel(1);
        let thread = std::thread::Builder::new().name(name);
        let thread = thread.spawn(move || work(own_rounds, own_results))?;
        Ok(Self { rounds, results, thread: Some(thread) })
    }

    /// `None`: the thread has ended.
    fn result(&self) -> Result<Option<T>> {
        match self.results.recv_timeout(RESULT_WITHIN) {
            Ok(result) => Ok(Some(result)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("a thread of the load has been silent for {RESULT_WITHIN:?} after a round")
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn join(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let name = thread.thread().name().unwrap_or("a").to_owned();
        thread.join().map_err(|_| anyhow!("the {name} thread panicked"))?.context(name)
    }
}

/// What a room of a load is called.
pub(crate) fn room_name(room: u16) -> String {
    format!("bench-{room}")
}
